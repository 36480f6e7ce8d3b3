import Hub
import Market
import Testing

/// A hub that is told of single orders, and clients that keep them by what they are sent.
private struct OrderFloor {
    struct Listener {
        var session: SessionID
        var topic: TopicID?
        /// In the order of priority, each side; nil before the first snapshot.
        var orders: [RestingOrder]?
        var last: UInt64 = 0
        var faults: [String] = []
        var pushes = 0
        var snapshots = 0
        var flags: EventFlags = []
        /// What it had when its connection was lost.
        var memory: (last: UInt64, orders: [RestingOrder])?
        var recoveries = 0
    }

    var hub = Hub(epoch: 1)
    var table = InstrumentTable()
    var pass = Pass()
    var nowNs: Int64 = 1_000_000_000
    var stream = MarketStream(instrument: InstrumentID(0))
    var feed = OrderLedger()
    var listeners: [Listener] = []
    /// All orders after each event, by its number.
    var history: [[RestingOrder]] = [[]]
    private var numbered: [MarketEvent] = []

    struct Tap: MarketEventSink {
        var events: [MarketEvent] = []
        mutating func receive(_ event: MarketEvent, levels: Span<LevelChange>) { events.append(event) }
    }

    init() throws {
        var single = Instrument(
            id: InstrumentID(0),
            venue: "itch",
            symbol: "ABC-USD",
            rawSymbol: "ABC",
            priceScale: 4,
            quantityScale: 0
        )
        single.hasSingleOrders = true
        _ = try table.add(single)
        let plain = Instrument(
            id: InstrumentID(0),
            venue: "kraken",
            symbol: "BTC-USD",
            rawSymbol: "XBT",
            priceScale: 2,
            quantityScale: 8
        )
        _ = try table.add(plain)
        _ = hub.adopt(table, into: &pass)
        _ = feed.addBook()
        pass.removeAll()
    }

    var orders: [RestingOrder] {
        var all: [RestingOrder] = []
        for side in Side.allCases { feed.forEachOrder(of: 0, side) { all.append($0) } }
        return all
    }

    // MARK: The venue

    mutating func say(_ change: OrderChange, flags: EventFlags = []) {
        let event = MarketEvent(
            instrument: InstrumentID(0),
            flags: flags,
            eventNs: nowNs,
            receivedNs: nowNs,
            payload: .order(change)
        )
        var tap = Tap()
        stream.apply(event, levels: Span(), into: &tap)
        for event in tap.events { hub.receive(event, levels: Span()) }
        if change.kind != .cleared, !(flags.contains(.snapshot) && change.kind == .added) { history.append(orders) }
    }

    mutating func add(_ id: UInt64, _ side: Side, _ ticks: Int64, _ lots: Int64) throws {
        let order = RestingOrder(id: id, side: side, price: Price(ticks: ticks), quantity: Quantity(lots: lots))
        _ = try feed.add(order, to: 0)
        say(OrderChange(.added, side: side, id: id, price: order.price, quantity: order.quantity))
    }

    /// Says everything anew, as a session that begins does, or a ring that lost something.
    mutating func restate(as sequence: UInt64? = nil) {
        if let sequence {
            var parts = [OrderChange(.cleared)]
            parts += orders.map {
                OrderChange(.added, side: $0.side, id: $0.id, price: $0.price, quantity: $0.quantity)
            }
            parts.append(OrderChange(.complete))
            for part in parts {
                let event = MarketEvent(
                    instrument: InstrumentID(0),
                    flags: [.snapshot, .gapBefore],
                    eventNs: nowNs,
                    receivedNs: nowNs,
                    sequence: sequence,
                    payload: .order(part)
                )
                hub.receive(event, levels: Span())
            }
            return
        }
        say(OrderChange(.cleared), flags: .snapshot)
        for order in orders {
            say(
                OrderChange(.added, side: order.side, id: order.id, price: order.price, quantity: order.quantity),
                flags: .snapshot
            )
        }
        say(OrderChange(.complete), flags: .snapshot)
    }

    // MARK: Clients

    mutating func open(_ format: Format = .enhanced) -> Int {
        listeners.append(Listener(session: hub.open(format)))
        return listeners.count - 1
    }

    mutating func subscribe(_ listener: Int, _ symbol: String = "ABC-USD", intervalMs: UInt32 = 0) -> Answer {
        let memory = listeners[listener].memory
        let request = SubscribeRequest(
            channel: .orders,
            symbols: [symbol],
            intervalMs: intervalMs,
            from: memory.map { [Position(epoch: 1, sequence: $0.last)] } ?? []
        )
        let answer = hub.handle(.subscribe(request), from: listeners[listener].session, requestID: 1, into: &pass)
        if case .subscribed(let outcomes) = answer, case .success(let topic)? = outcomes.first?.result {
            listeners[listener].topic = topic.id
            if let memory, outcomes[0].recovery?.isRecovered == true {
                (listeners[listener].last, listeners[listener].orders) = memory
                listeners[listener].recoveries += 1
            }
        }
        listeners[listener].memory = nil
        deliver()
        return answer
    }

    mutating func unsubscribe(_ listener: Int) {
        let request = UnsubscribeRequest(channel: .orders, symbols: ["ABC-USD"])
        _ = hub.handle(.unsubscribe(request), from: listeners[listener].session, requestID: 1, into: &pass)
        deliver()
        let left = listeners[listener]
        listeners[listener] = Listener(session: left.session)
        listeners[listener].faults = left.faults
        listeners[listener].recoveries = left.recoveries
    }

    /// Loses the listener's connection, and opens another.
    mutating func leave(_ listener: Int) {
        let left = listeners[listener]
        hub.close(left.session)
        listeners[listener] = Listener(session: hub.open(.enhanced))
        listeners[listener].faults = left.faults
        listeners[listener].recoveries = left.recoveries
        if let orders = left.orders, left.last > 0 { listeners[listener].memory = (left.last, orders) }
    }

    mutating func run(afterMs: Int64 = 0) {
        nowNs += afterMs * 1_000_000
        hub.pass(atNs: nowNs, into: &pass)
        deliver()
        hub.endLingering(atNs: nowNs)
        for index in listeners.indices where hub.isBehind(listeners[index].session) {
            hub.catchUp(listeners[index].session, into: &pass)
            deliver()
        }
    }

    mutating func deliver() {
        for share in pass.shares {
            guard let index = listeners.firstIndex(where: { $0.session == share.session }) else { continue }
            for place in pass.order[Int(share.range.lowerBound)..<Int(share.range.upperBound)] {
                take(pass.pushes[Int(place)], index)
            }
            check(index)
        }
        pass.removeAll()
    }

    private mutating func take(_ push: Push, _ index: Int) {
        listeners[index].pushes += 1
        listeners[index].flags = push.flags
        guard push.topic == listeners[index].topic else { return fault(index, "a push of another topic") }
        let isFirst = listeners[index].orders == nil
        if isFirst {
            if case .orderSnapshot = push.payload {} else { fault(index, "no snapshot at first: \(push)") }
        } else if push.previous != listeners[index].last {
            fault(index, "previous is \(push.previous), not \(listeners[index].last)")
        }
        if push.skipped != 0 { fault(index, "something was skipped") }
        listeners[index].last = push.sequence
        switch push.payload {
        case .orderSnapshot:
            listeners[index].snapshots += 1
            if !push.flags.contains(.snapshot) { fault(index, "a snapshot without its flag") }
            listeners[index].orders = Array(pass.orders[Int(push.levels.lowerBound)..<Int(push.levels.upperBound)])
        case .orderChange(let change): apply(change, index)
        default: fault(index, "no orders: \(push)")
        }
        if let checksum = push.checksum {
            var book = OrderBook()
            for order in listeners[index].orders ?? [] {
                let sum = book.quantity(at: order.price, of: order.side).saturatingAdding(order.quantity)
                book.set(sum, at: order.price, of: order.side)
            }
            if book.checksum != checksum { fault(index, "another checksum at \(push.sequence)") }
        }
    }

    /// What a client does who knows the rules of Docs/PROTOCOL.md and nothing else.
    private mutating func apply(_ change: OrderChange, _ index: Int) {
        var orders = listeners[index].orders ?? []
        let known = orders.firstIndex { $0.id == change.id }
        switch change.kind {
        case .added:
            Self.insert(
                RestingOrder(id: change.id, side: change.side, price: change.price, quantity: change.quantity),
                &orders
            )
        case .executed, .reduced, .deleted:
            guard let known else { return fault(index, "an unknown order: \(change)") }
            orders[known].quantity = change.quantity
            if change.quantity.isZero { orders.remove(at: known) }
        case .replaced:
            guard let known else { return fault(index, "an unknown order: \(change)") }
            orders.remove(at: known)
            Self.insert(
                RestingOrder(id: change.newID, side: change.side, price: change.price, quantity: change.quantity),
                &orders
            )
        case .cleared, .complete: fault(index, "a part of a snapshot")
        }
        listeners[index].orders = orders
    }

    private static func insert(_ order: RestingOrder, _ orders: inout [RestingOrder]) {
        func isBehind(_ other: RestingOrder) -> Bool {
            if other.side != order.side { return order.side == .bid }
            return order.side == .bid ? other.price < order.price : other.price > order.price
        }
        orders.insert(order, at: orders.firstIndex(where: isBehind) ?? orders.count)
    }

    private mutating func check(_ index: Int) {
        guard let orders = listeners[index].orders else { return }
        let wanted = history[Int(listeners[index].last)]
        if orders != wanted { fault(index, "at \(listeners[index].last): \(orders), not \(wanted)") }
    }

    private mutating func fault(_ index: Int, _ text: String) { listeners[index].faults.append(text) }
}

@Suite("The channel of single orders")
struct HubOrdersTests {
    @Test("begins with all orders by priority, and goes on with each change")
    func goesOn() throws {
        var floor = try OrderFloor()
        floor.restate()
        try floor.add(1, .bid, 100, 5)
        try floor.add(2, .bid, 101, 5)
        try floor.add(3, .bid, 100, 7)
        let listener = floor.open()
        _ = floor.subscribe(listener)
        #expect(floor.listeners[listener].orders?.map(\.id) == [2, 1, 3] && floor.listeners[listener].last == 4)
        _ = try floor.feed.reduce(1, by: Quantity(lots: 2))
        floor.say(OrderChange(.executed, side: .bid, id: 1, price: Price(ticks: 99), quantity: Quantity(lots: 3)))
        _ = try floor.feed.replace(2, with: 9, price: Price(ticks: 100), quantity: Quantity(lots: 1))
        floor.say(
            OrderChange(.replaced, side: .bid, id: 2, newID: 9, price: Price(ticks: 100), quantity: Quantity(lots: 1))
        )
        floor.run()
        #expect(floor.listeners[listener].orders?.map(\.id) == [1, 3, 9] && floor.listeners[listener].pushes == 3)
        #expect(floor.listeners[listener].faults == [])
    }

    @Test("is refused where the venue tells no single orders, and to the legacy channel")
    func refuses() throws {
        var floor = try OrderFloor()
        let (enhanced, legacy) = (floor.open(), floor.open(.legacy))
        guard case .subscribed(let outcomes) = floor.subscribe(enhanced, "BTC-USD"),
            case .failure(let refusal)? = outcomes.first?.result
        else { throw NotThis() }
        #expect(refusal.code == .noSingleOrders && refusal.code.rawValue == 120 && !refusal.code.isTemporary)
        guard case .refused(let refused) = floor.subscribe(legacy) else { throw NotThis() }
        #expect(refused.code == .invalidField)
        guard case .subscribed(let all) = floor.subscribe(enhanced, "*") else { throw NotThis() }
        #expect(all.count == 1, "a wildcard means those that have orders")
        for delivery in [Delivery.conflate, .latest] {
            let request = SubscribeRequest(channel: .orders, symbols: ["ABC-USD"], delivery: delivery, intervalMs: 100)
            let session = floor.listeners[enhanced].session
            guard case .refused = floor.hub.handle(.subscribe(request), from: session, requestID: 1, into: &floor.pass)
            else { throw NotThis() }
        }
    }

    private struct NotThis: Error {}

    @Test("gives who joins between two passes what is, and not again what it knows")
    func joinsBetween() throws {
        var floor = try OrderFloor()
        floor.restate()
        let first = floor.open()
        _ = floor.subscribe(first, intervalMs: 100)
        floor.run()
        try floor.add(1, .ask, 100, 5)
        let second = floor.open()
        _ = floor.subscribe(second, intervalMs: 100)
        #expect(floor.listeners[second].orders?.map(\.id) == [1] && floor.listeners[first].orders == [])
        try floor.add(2, .ask, 100, 5)
        floor.run(afterMs: 200)
        #expect(floor.listeners[first].orders?.map(\.id) == [1, 2])
        #expect(floor.listeners[second].orders?.map(\.id) == [1, 2] && floor.listeners[second].pushes == 2)
        #expect(floor.listeners.allSatisfy { $0.faults == [] })
    }

    @Test("passes over what it is told again, and takes what it lacks")
    func restates() throws {
        var floor = try OrderFloor()
        floor.restate()
        try floor.add(1, .bid, 100, 5)
        let listener = floor.open()
        _ = floor.subscribe(listener)
        floor.restate(as: floor.stream.ordersSequence)
        floor.run()
        #expect(floor.listeners[listener].pushes == 1)
        // Two changes that this loop never hears of.
        _ = try floor.feed.remove(1)
        let order = RestingOrder(id: 2, side: .ask, price: Price(ticks: 9), quantity: Quantity(lots: 1))
        _ = try floor.feed.add(order, to: 0)
        floor.history += [floor.orders, floor.orders]
        floor.restate(as: floor.stream.ordersSequence + 2)
        floor.hub.pass(atNs: floor.nowNs, into: &floor.pass)
        let push = try #require(floor.pass.pushes.first)
        #expect(push.sequence == push.previous + 2 && push.skipped == 1 && push.flags.contains(.gapBefore))
        #expect(floor.pass.orders == [order])
    }

    @Test("goes on with the changes that were missed, unless all orders were told anew")
    func comesBack() throws {
        var floor = try OrderFloor()
        floor.hub.settings.lingerNs = 1_000_000_000
        floor.restate()
        try floor.add(1, .bid, 100, 5)
        let listener = floor.open()
        _ = floor.subscribe(listener)
        floor.run(afterMs: 1)
        floor.leave(listener)
        try floor.add(2, .bid, 100, 5)
        try floor.add(3, .bid, 100, 5)
        floor.run(afterMs: 1)
        _ = floor.subscribe(listener)
        #expect(floor.listeners[listener].recoveries == 1 && floor.listeners[listener].snapshots == 0)
        #expect(floor.listeners[listener].orders?.map(\.id) == [1, 2, 3])
        floor.leave(listener)
        floor.restate()
        floor.run(afterMs: 1)
        _ = floor.subscribe(listener)
        #expect(floor.listeners[listener].recoveries == 1)
        #expect(floor.listeners[listener].snapshots == 1)
        #expect(floor.listeners[listener].faults == [])
    }

    @Test("lets nobody inherit what the last one in its place knew")
    func inheritsNothing() throws {
        var floor = try OrderFloor()
        floor.restate()
        let (first, second, other) = (floor.open(), floor.open(), floor.open())
        _ = floor.subscribe(other, intervalMs: 1000)
        _ = floor.subscribe(second, intervalMs: 1000)
        floor.run(afterMs: 1000)
        floor.leave(second)
        try floor.add(1, .bid, 100, 5)
        // Knows more than was pushed, and goes; who comes back gets its place.
        _ = floor.subscribe(first, intervalMs: 1000)
        floor.hub.close(floor.listeners[second].session)
        floor.leave(first)
        floor.listeners[second].session = floor.listeners[first].session
        floor.listeners[first].session = floor.hub.open(.enhanced)
        _ = floor.subscribe(second, intervalMs: 1000)
        #expect(floor.listeners[second].recoveries == 1)
        floor.run(afterMs: 1000)
        #expect(floor.listeners[second].orders?.map(\.id) == [1])
        #expect(floor.listeners.allSatisfy { $0.faults == [] })
    }

    @Test("flags what is given of an instrument that is being resynced")
    func flags() throws {
        var floor = try OrderFloor()
        floor.restate()
        let status = MarketEvent(
            instrument: InstrumentID(0),
            eventNs: 0,
            receivedNs: 1,
            sequence: 1,
            payload: .status(MarketStatus(.resyncing, .gap))
        )
        floor.hub.receive(status, levels: Span())
        let listener = floor.open()
        _ = floor.subscribe(listener)
        #expect(floor.listeners[listener].flags.contains(.maybeBadBook))
    }

    @Test("ends everybody on the venue's orders, whatever they do", arguments: 1...30 as ClosedRange<UInt64>)
    func simulation(seed: UInt64) throws {
        var dice = Dice(seed: seed)
        var floor = try OrderFloor()
        floor.hub.settings.stateLevelsMost = 40
        floor.hub.settings.lingerNs = 60_000_000
        floor.restate()
        var nextID: UInt64 = 1
        for _ in 0..<6 { _ = floor.open() }
        for _ in 0..<1_500 {
            switch dice.below(22) {
            case 0..<8:
                try floor.add(nextID, dice.chance(50) ? .bid : .ask, dice.between(90, 110), dice.between(1, 9))
                nextID += 1
            case 8..<13:
                guard let order = floor.orders.isEmpty ? nil : dice.pick(floor.orders) else { break }
                let gone = Quantity(lots: dice.between(1, order.quantity.lots))
                let left = try floor.feed.reduce(order.id, by: gone).order.quantity
                let kind = dice.pick([OrderChange.Kind.executed, .reduced])
                floor.say(OrderChange(kind, side: order.side, id: order.id, price: order.price, quantity: left))
            case 13:
                guard let order = floor.orders.isEmpty ? nil : dice.pick(floor.orders) else { break }
                _ = try floor.feed.remove(order.id)
                floor.say(OrderChange(.deleted, side: order.side, id: order.id, price: order.price))
            case 14:
                guard let order = floor.orders.isEmpty ? nil : dice.pick(floor.orders) else { break }
                let (price, quantity) = (Price(ticks: dice.between(90, 110)), Quantity(lots: dice.between(1, 9)))
                _ = try floor.feed.replace(order.id, with: nextID, price: price, quantity: quantity)
                floor.say(
                    OrderChange(
                        .replaced,
                        side: order.side,
                        id: order.id,
                        newID: nextID,
                        price: price,
                        quantity: quantity
                    )
                )
                nextID += 1
            case 15: if dice.chance(10) { floor.restate() }
            case 16:
                let index = dice.below(6)
                if floor.listeners[index].topic == nil {
                    _ = floor.subscribe(index, intervalMs: dice.pick([0, 50]))
                } else if dice.chance(40) {
                    floor.unsubscribe(index)
                }
            case 17:
                // Two at once, so that each may get the other's place.
                for index in [dice.below(6), dice.below(6)] where dice.chance(20) { floor.leave(index) }
            case 18: floor.hub.setBlocked(dice.chance(30), floor.listeners[dice.below(6)].session)
            default: floor.run(afterMs: dice.between(0, 30))
            }
            #expect(floor.hub.isConsistent)
        }
        for listener in floor.listeners { floor.hub.setBlocked(false, listener.session) }
        floor.run(afterMs: 1_000)
        floor.run(afterMs: 1_000)
        for listener in floor.listeners {
            #expect(listener.faults == [])
            guard listener.topic != nil else { continue }
            #expect(listener.orders == floor.orders && listener.last == floor.stream.ordersSequence)
        }
    }
}
