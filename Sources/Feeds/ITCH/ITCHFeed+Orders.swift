import Market

/// What messages do to orders and books, and which trades they tell.
extension ITCHFeed {
    mutating func add(
        _ add: ITCHMessage.Add,
        _ place: Int,
        _ stamp: Stamp,
        _ sink: inout some MarketEventSink
    ) {
        let order = RestingOrder(
            id: add.order,
            side: add.side == UInt8(ascii: "B") ? .bid : .ask,
            price: Price(ticks: Int64(add.price)),
            quantity: Quantity(lots: Int64(add.shares))
        )
        do throws(OrderLedger.Refusal) {
            let outcome = try ledger.add(order, to: place)
            let change = OrderChange(
                .added,
                side: order.side,
                id: order.id,
                price: order.price,
                quantity: order.quantity
            )
            tell(change, outcome.level, place, stamp, &sink)
        } catch {
            refused(error, place, stamp, &sink)
        }
    }

    /// An execution, cancellation, deletion or replacement of an order that should rest.
    mutating func change(
        _ body: ITCHMessage.Body,
        _ place: Int,
        _ stamp: Stamp,
        _ sink: inout some MarketEventSink
    ) {
        do throws(OrderLedger.Refusal) {
            switch body {
            case .executed(let order, let shares, let match):
                let resting = try ownOrder(order, place)
                try execute(resting, shares, at: resting.price, match, isPrinted: true, place, stamp, &sink)
            case .executedWithPrice(let executed):
                let resting = try ownOrder(executed.order, place)
                let price = Price(ticks: Int64(executed.price))
                let isPrinted = executed.printable != UInt8(ascii: "N")
                let (shares, match) = (executed.shares, executed.match)
                try execute(resting, shares, at: price, match, isPrinted: isPrinted, place, stamp, &sink)
            case .cancelled(let order, let shares):
                let resting = try ownOrder(order, place)
                let outcome = try ledger.reduce(order, by: Quantity(lots: Int64(shares)))
                tell(Self.change(.reduced, resting, leaving: outcome), outcome.level, place, stamp, &sink)
            case .deleted(let order):
                let resting = try ownOrder(order, place)
                let outcome = try ledger.remove(order)
                tell(Self.change(.deleted, resting, leaving: outcome), outcome.level, place, stamp, &sink)
            case .replaced(let replaced): try replace(replaced, place, stamp, &sink)
            default: return
            }
        } catch {
            refused(error, place, stamp, &sink)
        }
    }

    private func ownOrder(_ id: UInt64, _ place: Int) throws(OrderLedger.Refusal) -> RestingOrder {
        guard let (order, book) = ledger.order(id), book == place else { throw .unknownOrder }
        return order
    }

    private static func change(
        _ kind: OrderChange.Kind,
        _ order: RestingOrder,
        leaving outcome: OrderLedger.Outcome
    ) -> OrderChange {
        OrderChange(kind, side: order.side, id: order.id, price: order.price, quantity: outcome.order.quantity)
    }

    /// Whoever came to an order that rested was the aggressor.
    ///
    /// Executions that are not printed are told again in a cross and must not count twice.
    private mutating func execute(
        _ resting: RestingOrder,
        _ shares: UInt32,
        at price: Price,
        _ match: UInt64,
        isPrinted: Bool,
        _ place: Int,
        _ stamp: Stamp,
        _ sink: inout some MarketEventSink
    ) throws(OrderLedger.Refusal) {
        let quantity = Quantity(lots: Int64(shares))
        let outcome = try ledger.reduce(resting.id, by: quantity)
        if isPrinted {
            let aggressor: Aggressor = resting.side == .bid ? .seller : .buyer
            let trade = Trade(price: price, quantity: quantity, aggressor: aggressor, id: TradeID(match))
            send(trade, place, stamp, &sink)
        }
        var change = Self.change(.executed, resting, leaving: outcome)
        change.price = price
        tell(change, outcome.level, place, stamp, &sink)
    }

    private mutating func replace(
        _ replaced: ITCHMessage.Replaced,
        _ place: Int,
        _ stamp: Stamp,
        _ sink: inout some MarketEventSink
    ) throws(OrderLedger.Refusal) {
        let resting = try ownOrder(replaced.order, place)
        let price = Price(ticks: Int64(replaced.price))
        let quantity = Quantity(lots: Int64(replaced.shares))
        let (old, new) = try ledger.replace(resting.id, with: replaced.newOrder, price: price, quantity: quantity)
        let change = OrderChange(
            .replaced,
            side: resting.side,
            id: resting.id,
            newID: replaced.newOrder,
            price: price,
            quantity: quantity
        )
        tell(change, new.level, besides: old.level.price == price ? nil : old.level, place, stamp, &sink)
    }

    /// The venue says something of an order that cannot be: a message was lost before.
    private mutating func refused(
        _ refusal: OrderLedger.Refusal,
        _ place: Int,
        _ stamp: Stamp,
        _ sink: inout some MarketEventSink
    ) {
        switch refusal {
        case .unknownOrder, .orderExists, .noQuantity, .tooMuch:
            counters.unknownOrders += 1
            doubt(place, .gap, stamp, &sink)
        case .tooManyOrders, .tooManyLevels, .outOfRange: doubt(place, .bufferOverflow, stamp, &sink)
        }
    }

    // MARK: Trades without effect on the book

    /// The order did not show, and on which side it was the venue does not say since 2014: its `B` means nothing.
    mutating func hiddenTrade(
        _ trade: ITCHMessage.HiddenTrade,
        _ place: Int,
        _ stamp: Stamp,
        _ sink: inout some MarketEventSink
    ) {
        guard trade.shares > 0 else { return }
        let told = Trade(
            price: Price(ticks: Int64(trade.price)),
            quantity: Quantity(lots: Int64(trade.shares)),
            aggressor: .unknown,
            id: TradeID(trade.match)
        )
        send(told, place, stamp, &sink)
    }

    /// A cross in which nothing was traded is told with no shares.
    mutating func crossTrade(
        _ cross: ITCHMessage.CrossTrade,
        _ shares: Int64,
        _ place: Int,
        _ stamp: Stamp,
        _ sink: inout some MarketEventSink
    ) {
        guard shares > 0 else { return }
        let told = Trade(
            price: Price(ticks: Int64(cross.price)),
            quantity: Quantity(lots: shares),
            aggressor: .unknown,
            id: TradeID(cross.match)
        )
        send(told, place, stamp, &sink)
    }

    // MARK: Events

    private func event(_ payload: MarketEvent.Payload, _ place: Int, _ stamp: Stamp) -> MarketEvent {
        var flags: EventFlags = stamp.eventNs == 0 ? [.last, .eventTimeMissing] : .last
        if followed[place].doubt != nil { flags.insert(.maybeBadBook) }
        return MarketEvent(
            instrument: followed[place].id,
            flags: flags,
            eventNs: stamp.eventNs,
            receivedNs: stamp.receivedNs,
            venueSequence: stamp.sequence,
            payload: payload
        )
    }

    private mutating func send(_ trade: Trade, _ place: Int, _ stamp: Stamp, _ sink: inout some MarketEventSink) {
        counters.common.trades += 1
        var event = event(.trade(trade), place, stamp)
        event.flags.remove(.maybeBadBook)
        sink.receive(event, levels: Span())
    }

    private mutating func tell(
        _ order: OrderChange,
        _ level: LevelChange,
        besides first: LevelChange? = nil,
        _ place: Int,
        _ stamp: Stamp,
        _ sink: inout some MarketEventSink
    ) {
        counters.common.bookUpdates += 1
        changes.removeAll(keepingCapacity: true)
        if let first { changes.append(first) }
        changes.append(level)
        counters.common.levels += changes.count
        let top = Quote(of: ledger.books[place])
        sink.receive(event(.bookDelta(top: top), place, stamp), levels: changes.span)
        if settings.tellsOrders { sink.receive(event(.order(order), place, stamp), levels: Span()) }
    }

    mutating func sendBook(
        _ place: Int,
        _ stamp: Stamp,
        extra: EventFlags,
        _ sink: inout some MarketEventSink
    ) {
        counters.common.bookSnapshots += 1
        let book = ledger.books[place]
        changes.removeAll(keepingCapacity: true)
        for side in Side.allCases {
            for rank in 0..<book.depth(of: side) {
                let level = book.level(rank, of: side)
                changes.append(LevelChange(side, price: level.price, quantity: level.quantity))
            }
        }
        var event = event(.bookSnapshot(top: Quote(of: book)), place, stamp)
        event.flags.formUnion(extra.union(.snapshot))
        sink.receive(event, levels: changes.span)
    }

    func sendOrders(
        _ place: Int,
        _ stamp: Stamp,
        extra: EventFlags,
        _ sink: inout some MarketEventSink
    ) {
        var event = event(.order(OrderChange(.cleared)), place, stamp)
        event.flags.formUnion(extra.union(.snapshot))
        sink.receive(event, levels: Span())
        for order in orders(of: followed[place].id) {
            event.payload = .order(
                OrderChange(.added, side: order.side, id: order.id, price: order.price, quantity: order.quantity)
            )
            sink.receive(event, levels: Span())
        }
        event.payload = .order(OrderChange(.complete))
        sink.receive(event, levels: Span())
    }
}
