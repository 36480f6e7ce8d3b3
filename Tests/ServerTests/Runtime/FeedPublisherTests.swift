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

    @Test("lets nobody hear of what happens while it is muted, and states how things are then")
    func mutes() {
        let ring = EventRing(capacity: 65_536)
        var publisher = publisher([FeedPublisher.Outlet(ring: ring) {}], knowing: "A", "B")
        _ = ring.drain(most: .max) { _, _ in }
        publisher.mute()
        publisher.receive(trade(0, price: 10), levels: Span())
        let (event, levels) = delta(0, price: 9, lots: 4)
        publisher.receive(event, levels: levels.span)
        publisher.endTurn(atNs: 1) { _ in OrderBook() }
        #expect(drained(ring).isEmpty)
        var book = OrderBook()
        book.apply(levels[0])
        publisher.unmute(atNs: 77) { _ in book }
        let heard = drained(ring)
        #expect(heard.allSatisfy { $0.instrument == InstrumentID(0) && $0.receivedNs == 77 })
        #expect(heard.allSatisfy { $0.flags.isSuperset(of: [.gapBefore, .snapshot]) })
        let kinds = heard.map { event in
            switch event.payload {
            case .status: "status"
            case .bookSnapshot: "book"
            case .ticker: "ticker"
            case .candle: "candle"
            case .trade, .quote, .bookDelta, .order: "event"
            }
        }
        #expect(kinds == ["status", "book", "ticker"] + CandleInterval.allCases.map { _ in "candle" })
        #expect(publisher.droppedCount == 0, "nothing found a ring full")
        // Numbers go on: a client sees that a trade is missing.
        publisher.receive(trade(0, price: 11), levels: Span())
        #expect(drained(ring).first?.sequence == 2)
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

    @Test("heals a loop of more single orders than its ring has room for")
    func healsManyOrders() {
        let ring = EventRing(capacity: 4096)
        var publisher = publisher([FeedPublisher.Outlet(ring: ring) {}], knowing: "A")
        let resting = (1...1_000).map { number in
            RestingOrder(id: UInt64(number), side: .bid, price: Price(ticks: 5), quantity: Quantity(lots: 1))
        }
        for order in resting {
            let change = OrderChange(
                .added,
                side: order.side,
                id: order.id,
                price: order.price,
                quantity: order.quantity
            )
            let event = MarketEvent(instrument: InstrumentID(0), eventNs: 1, receivedNs: 1, payload: .order(change))
            publisher.receive(event, levels: Span())
        }
        #expect(publisher.droppedCount > 0)
        _ = drained(ring)
        publisher.endTurn(atNs: 7) { _ in
            OrderBook()
        } orders: { _ in
            resting
        }
        let told = drained(ring).compactMap { event -> UInt64? in
            guard case .order(let change) = event.payload, change.kind == .added else { return nil }
            #expect(event.sequence == 1_000 && event.flags.isSuperset(of: [.gapBefore, .snapshot]))
            return change.id
        }
        #expect(told == resting.map(\.id))
        let before = publisher.droppedCount
        publisher.endTurn(atNs: 8) { _ in OrderBook() }
        #expect(drained(ring).isEmpty && publisher.droppedCount == before, "once is enough")
    }

    @Test("tells a loop that missed candles the newest ones, with the numbers they have")
    func healsCandles() {
        let (slow, quick) = (EventRing(capacity: 4096), EventRing(capacity: 1 << 20))
        var publisher = publisher([.init(ring: slow) {}, .init(ring: quick) {}], knowing: "A")
        for price in 1...50 { publisher.receive(trade(0, price: Int64(price)), levels: Span()) }
        #expect(publisher.droppedCount > 0)
        _ = drained(slow)
        publisher.endTurn(atNs: 7) { _ in OrderBook() }
        func candles(_ events: [MarketEvent]) -> [CandleInterval: (UInt64, Int64)] {
            var last: [CandleInterval: (UInt64, Int64)] = [:]
            for event in events {
                guard case .candle(let candle) = event.payload else { continue }
                last[candle.interval] = (event.sequence, candle.close.ticks)
            }
            return last
        }
        let (healed, whole) = (candles(drained(slow)), candles(drained(quick)))
        #expect(healed.count == CandleInterval.allCases.count)
        for interval in CandleInterval.allCases {
            #expect(healed[interval].map { [Int64($0), $1] } == whole[interval].map { [Int64($0), $1] })
        }
    }

    @Test("has a closed candle in the store before any loop hears of the next")
    func storesFirst() {
        let store = CandleStore(bytesMost: 1 << 20)
        var publisher = FeedPublisher(outlets: [], board: board, candles: store)
        publisher.learn(instrument("A"))
        var first = trade(0, price: 5)
        publisher.receive(first, levels: Span())
        #expect(store.past(InstrumentID(0), .second, limit: 5, endNs: nil).candles.isEmpty)
        first.eventNs += 1_000_000_000
        publisher.receive(first, levels: Span())
        let past = store.past(InstrumentID(0), .second, limit: 5, endNs: nil).candles
        #expect(past.map(\.close.ticks) == [5] && past[0].isClosed)
        #expect(store.takeChanged().isEmpty)
        publisher.showCandles()
        #expect(store.takeChanged() == [InstrumentID(0)] && store.takeChanged().isEmpty)
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
