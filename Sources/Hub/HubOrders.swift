import Market

/// Single orders: every change is pushed, in order, and who joins gets them as they are.
///
/// A joiner may be newer than the topic's last push, because the orders of the past are not kept: until the next push it is
/// noted up to where it knows, and of that push it gets what lies behind. The rule that `previous` is a client's last sequence
/// holds all the same, since each event has a push of its own.
extension Hub {
    /// Whether a view of an instrument can be had at all.
    func fits(_ instrument: InstrumentID, _ view: View) -> Bool {
        view.channel != .orders || table[instrument].hasSingleOrders
    }

    // MARK: What happens

    mutating func receive(_ change: OrderChange, _ stamp: Topic.Stamp, _ index: Int) {
        switch change.kind {
        case .cleared:
            // After a loss a loop is told some things again.
            let known = states[index].ordersStamp.sequence
            states[index].isPassingOverOrders = stamp.sequence <= known && known > 0
            guard !states[index].isPassingOverOrders else { return }
            var ledger = OrderLedger(limits: .init(ordersMost: .max, levelsMost: .max))
            _ = ledger.addBook()
            states[index].orders = ledger
        case .complete:
            guard !states[index].isPassingOverOrders else {
                states[index].isPassingOverOrders = false
                return
            }
            states[index].ordersStamp = stamp
            for topic in states[index].orderTopics { enqueueSnapshot(stamp, of: index, on: topic) }
        case .added where stamp.flags.contains(.snapshot):
            if !states[index].isPassingOverOrders { apply(change, index) }
        case .added, .executed, .reduced, .deleted, .replaced:
            apply(change, index)
            states[index].ordersStamp = stamp
            for topic in states[index].orderTopics { enqueue(.orderChange(change), stamp, on: topic) }
        }
    }

    /// Does to the orders what the feed did to its own.
    private mutating func apply(_ change: OrderChange, _ index: Int) {
        guard states[index].orders != nil else { return }
        do throws(OrderLedger.Refusal) {
            let price = change.price
            switch change.kind {
            case .added:
                let order = RestingOrder(id: change.id, side: change.side, price: price, quantity: change.quantity)
                _ = try states[index].orders?.add(order, to: 0)
            case .executed, .reduced, .deleted:
                guard let resting = states[index].orders?.order(change.id)?.order.quantity,
                    resting > change.quantity
                else { throw .unknownOrder }
                let gone = Quantity(lots: resting.lots - change.quantity.lots)
                _ = try states[index].orders?.reduce(change.id, by: gone)
            case .replaced:
                _ = try states[index].orders?.replace(
                    change.id,
                    with: change.newID,
                    price: price,
                    quantity: change.quantity
                )
            case .cleared, .complete: break
            }
        } catch {
            // The feed's own ledger took it, and every event since was heard: this one differs by our own mistake.
            preconditionFailure("the orders of a loop differ from their feed's: \(error)")
        }
    }

    private mutating func enqueueSnapshot(_ stamp: Topic.Stamp, of index: Int, on id: TopicID) {
        let start = Int32(topics[id.index].waitingOrders.count)
        states[index].appendOrders(to: &topics[id.index].waitingOrders)
        let end = Int32(topics[id.index].waitingOrders.count)
        enqueue(.orderSnapshot, stamp, on: id, levels: start..<end)
        if let newest = topics[id.index].waiting.indices.last {
            topics[id.index].waiting[newest].checksum = states[index].orders?.books[0].checksum
        }
    }

    // MARK: Who gets what

    func orderChecksum(of id: TopicID) -> UInt32 {
        (states[topics[id.index].key.instrument.index].orders?.books.first ?? OrderBook()).checksum
    }

    /// Gives pushes to those who can use them: not to who has yet to be told the state, and not what a joiner knows already.
    mutating func assignOrders(_ id: TopicID, _ pushes: Range<Int>, into pass: Pass) {
        let firstPair = pairs.count
        for subscriber in topics[id.index].subscribers where !subscriber.isBehind {
            let joined = topics[id.index].aheadJoiners.last { $0.slot == subscriber.slot }?.sequence ?? 0
            let first = pushes.first { pass.pushes[$0].sequence > joined } ?? pushes.upperBound
            give(first..<pushes.upperBound, to: subscriber.slot)
        }
        deals.append(.toSome(pairs: firstPair..<pairs.count))
        topics[id.index].aheadJoiners.removeAll()
    }

    /// Appends the orders as they are now, for one session alone.
    mutating func appendOrders(of id: TopicID, into pass: inout Pass) {
        let index = topics[id.index].key.instrument.index
        let start = Int32(pass.orders.count)
        states[index].appendOrders(to: &pass.orders)
        let orders = start..<Int32(pass.orders.count)
        var stamp = states[index].ordersStamp
        stamp.flags.insert(.snapshot)
        if states[index].status.state == .resyncing { stamp.flags.insert(.maybeBadBook) }
        pass.pushes.append(push(.orderSnapshot, stamp, previous: 0, of: id, levels: orders))
        pass.pushes[pass.pushes.count - 1].checksum = orderChecksum(of: id)
    }

    /// Notes who has just been told the orders as they are, where the topic's pushes are not as far.
    mutating func noteJoiner(_ slot: UInt32, of id: TopicID) {
        guard topics[id.index].key.view.channel == .orders, topics[id.index].isDirty else { return }
        let sequence = states[topics[id.index].key.instrument.index].ordersStamp.sequence
        topics[id.index].aheadJoiners.append((slot, sequence))
    }
}

extension Topic {
    /// Whether somebody must not get all of the next pushes.
    var hasUnequalSubscribers: Bool { behindCount > 0 || !aheadJoiners.isEmpty }
}

extension InstrumentState {
    /// Bids, then asks, each best price first and first come first.
    func appendOrders(to all: inout [RestingOrder]) {
        guard let orders else { return }
        all.reserveCapacity(all.count + orders.count)
        for side in Side.allCases { orders.forEachOrder(of: 0, side) { all.append($0) } }
    }
}
