import Market
import Testing

@testable import Server

@Suite("Feed publisher")
struct FeedPublisherTests {
    private let board = InstrumentBoard()

    private func instrument(_ name: String) -> Instrument {
        Instrument(
            id: InstrumentID(0),
            venue: "test",
            symbol: name,
            rawSymbol: name,
            priceScale: 0,
            quantityScale: 0
        )
    }

    private func publisher(_ outlets: [FeedPublisher.Outlet], knowing names: String...) -> FeedPublisher {
        var publisher = FeedPublisher(outlets: outlets, board: board)
        for (index, name) in names.enumerated() {
            var instrument = instrument(name)
            instrument.id = InstrumentID(UInt32(index))
            publisher.learn(instrument)
        }
        return publisher
    }

    private func trade(_ instrument: UInt32, price: Int64) -> MarketEvent {
        let trade = Trade(price: Price(ticks: price), quantity: Quantity(lots: 1), aggressor: .seller, id: TradeID())
        return MarketEvent(
            instrument: InstrumentID(instrument),
            eventNs: 1_000,
            receivedNs: 2_000,
            payload: .trade(trade)
        )
    }

    private func delta(_ instrument: UInt32, price: Int64, lots: Int64) -> (MarketEvent, [LevelChange]) {
        let level = Level(price: Price(ticks: price), quantity: Quantity(lots: lots))
        let top = Quote(bid: level, ask: Quote.none.ask)
        let event = MarketEvent(
            instrument: InstrumentID(instrument),
            eventNs: 1_000,
            receivedNs: 2_000,
            payload: .bookDelta(top: top)
        )
        return (event, [LevelChange(.bid, price: level.price, quantity: level.quantity)])
    }

    private func drained(_ ring: EventRing) -> [MarketEvent] {
        var events: [MarketEvent] = []
        _ = ring.drain(most: .max) { event, _ in events.append(event) }
        return events
    }

    @Test("numbers an event once and gives it to every loop alike")
    func fansOut() {
        let rings = [EventRing(capacity: 65_536), EventRing(capacity: 65_536)]
        var wakes = [0, 0]
        withUnsafeMutablePointer(to: &wakes) { wakes in
            let outlets = rings.indices.map { index in
                FeedPublisher.Outlet(ring: rings[index]) { wakes.pointee[index] += 1 }
            }
            var publisher = publisher(outlets, knowing: "A")
            publisher.receive(trade(0, price: 10), levels: Span())
            publisher.receive(trade(0, price: 11), levels: Span())
            publisher.endTurn(atNs: 0) { _ in OrderBook() }
            publisher.endTurn(atNs: 0) { _ in OrderBook() }
        }
        #expect(wakes == [1, 1])
        let (first, second) = (drained(rings[0]), drained(rings[1]))
        #expect(first.map(\.sequence) == second.map(\.sequence))
        let trades = first.filter { if case .trade = $0.payload { true } else { false } }
        #expect(trades.map(\.sequence) == [1, 2])
    }

    @Test("tells new instruments and new units ahead of the events that need them")
    func units() {
        let ring = EventRing(capacity: 65_536)
        var publisher = publisher([.init(ring: ring) {}], knowing: "A")
        publisher.receive(trade(0, price: 10), levels: Span())
        var finer = instrument("A")
        finer.priceScale = 1
        publisher.learn(finer)
        publisher.learn(finer)
        publisher.receive(trade(0, price: 105), levels: Span())
        var story: [String] = []
        _ = ring.drain(most: .max) { units in
            story.append("scale \(units.priceScale)")
        } into: { event, _ in
            if case .trade(let trade) = event.payload { story.append("trade \(trade.price.ticks)") }
        }
        #expect(story == ["scale 0", "trade 10", "scale 1", "trade 105"])
        #expect(board[InstrumentID(0)].symbol == "A")
        #expect(board.count == 1)
    }

    @Test("heals a loop that was too slow, and harms no other")
    func heals() {
        let (slow, quick) = (EventRing(capacity: 4096), EventRing(capacity: 1 << 20))
        let outlets = [FeedPublisher.Outlet(ring: slow) {}, FeedPublisher.Outlet(ring: quick) {}]
        var publisher = publisher(outlets, knowing: "A", "B")
        var book = OrderBook()
        for price in 1...100 {
            let (event, levels) = delta(0, price: Int64(price), lots: 5)
            book.apply(levels[0])
            publisher.receive(event, levels: levels.span)
            publisher.endTurn(atNs: 0) { _ in book }
        }
        #expect(publisher.droppedCount > 0)
        let bookEvents = drained(quick).filter { if case .bookDelta = $0.payload { true } else { false } }
        #expect(bookEvents.map(\.sequence) == Array(1...100))

        let before = drained(slow)
        #expect(before.count < 100)
        publisher.endTurn(atNs: 7) { _ in book }
        var restated: (sequence: UInt64, levels: Int, flags: EventFlags)?
        _ = slow.drain(most: .max) { event, levels in
            if case .bookSnapshot = event.payload { restated = (event.sequence, levels.count, event.flags) }
        }
        #expect(restated?.sequence == 100)
        #expect(restated?.levels == 100)
        #expect(restated?.flags.contains(.gapBefore) == true)

        let (event, levels) = delta(0, price: 101, lots: 5)
        publisher.receive(event, levels: levels.span)
        let later = drained(slow).compactMap { event -> UInt64? in
            if case .bookDelta = event.payload { event.sequence } else { nil }
        }
        #expect(later == [101])
    }

    @Test("tells a loop that was too slow the single orders again, as they are, in their order")
    func healsOrders() throws {
        let ring = EventRing(capacity: 8192)
        var publisher = publisher([.init(ring: ring) {}], knowing: "A")
        var ledger = OrderLedger()
        _ = ledger.addBook()
        for id: UInt64 in 1...100 {
            let order = RestingOrder(id: id, side: .bid, price: Price(ticks: 5), quantity: Quantity(lots: 1))
            _ = try ledger.add(order, to: 0)
            if id > 20 { _ = try ledger.remove(id - 20) }
            let change = OrderChange(.added, side: .bid, id: id, price: order.price, quantity: order.quantity)
            let event = MarketEvent(
                instrument: InstrumentID(0),
                eventNs: 1,
                receivedNs: 1,
                payload: .order(change)
            )
            publisher.receive(event, levels: Span())
        }
        #expect(publisher.droppedCount > 0)
        _ = drained(ring)
        var orders: [RestingOrder] = []
        ledger.forEachOrder(of: 0, .bid) { orders.append($0) }
        publisher.endTurn(atNs: 7, book: { _ in ledger.books[0] }, orders: { _ in orders })
        var story: [OrderChange] = []
        for event in drained(ring) {
            guard case .order(let change) = event.payload else { continue }
            #expect(event.sequence == 100 && event.flags.contains([.snapshot, .gapBefore]))
            story.append(change)
        }
        #expect(story.first?.kind == .cleared && story.last?.kind == .complete)
        #expect(story.dropFirst().dropLast().map(\.id) == Array(81...100))
    }

    @Test("lets other instruments through while one is missed")
    func missesOne() {
        let ring = EventRing(capacity: 4096)
        var publisher = publisher([.init(ring: ring) {}], knowing: "A", "B")
        while publisher.droppedCount == 0 { publisher.receive(trade(0, price: 1), levels: Span()) }
        _ = drained(ring)
        publisher.receive(trade(1, price: 2), levels: Span())
        #expect(drained(ring).first?.instrument == InstrumentID(1))
    }
}
