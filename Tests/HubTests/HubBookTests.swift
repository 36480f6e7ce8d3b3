import Hub
import Market
import Testing

@Suite("Books")
struct BookDeliveryTests {
    @Test("come as a snapshot, then as what changed", arguments: [Delivery.every, .conflate])
    func snapshotThenDeltas(delivery: Delivery) throws {
        var exchange = Exchange("BTC-USD")
        exchange.snapshot(bids: [(99, 1), (98, 1)], asks: [(101, 1)])
        let client = exchange.open()
        exchange.subscribe(client, .book, "BTC-USD", delivery: delivery)
        exchange.change(bids: [(99, 0), (97, 4)], asks: [(102, 2)])
        exchange.run()
        let heard = exchange.clients[client].heard
        #expect(exchange.faults == [])
        #expect(heard.count == 2)
        #expect(
            heard[1].levels == [
                LevelChange(.bid, price: Price(ticks: 99), quantity: .zero),
                LevelChange(.bid, price: Price(ticks: 97), quantity: Quantity(lots: 4)),
                LevelChange(.ask, price: Price(ticks: 102), quantity: Quantity(lots: 2)),
            ]
        )
        #expect(heard[1].push.previous == 1)
        #expect(heard[1].push.sequence == 2)
    }

    @Test(
        "are marked while they are known to be wrong or old, also for who joins then",
        arguments: [
            (.live, []), (.halted, []), (.resyncing, .maybeBadBook), (.stale, .stale), (.disconnected, .stale),
        ] as [(MarketStatus.State, EventFlags)]
    )
    func doubt(state: MarketStatus.State, flag: EventFlags) throws {
        var exchange = Exchange("BTC-USD")
        exchange.snapshot(bids: [(99, 1)], asks: [(101, 1)])
        exchange.status(state, .gap)
        let client = exchange.open()
        for channel in [Channel.book, .ticker] { exchange.subscribe(client, channel, "BTC-USD") }
        exchange.change(bids: [(98, 1)])
        exchange.quote(97, 102)
        exchange.run()
        let marks = exchange.clients[client].heard.map { $0.push.flags.intersection([.maybeBadBook, .stale]) }
        #expect(marks.count == 4)
        #expect(marks.allSatisfy { $0 == flag })
    }

    @Test("under EVERY have a push an event, and a checksum on snapshots and once a pass")
    func everyBook() {
        var exchange = Exchange("BTC-USD")
        let client = exchange.open()
        exchange.subscribe(client, .book, "BTC-USD", delivery: .every)
        exchange.clients[client].forget()
        exchange.snapshot(bids: [(99, 1)])
        exchange.change(bids: [(99, 2)])
        exchange.change(bids: [(99, 3)])
        exchange.run()
        let pushes = exchange.clients[client].heard.map(\.push)
        #expect(exchange.faults == [])
        #expect(pushes.map(\.sequence) == [1, 2, 3])
        #expect(pushes.map { $0.checksum != nil } == [true, false, true])
    }

    @Test("under LATEST come whole, and only when something changed")
    func latestBook() {
        var exchange = Exchange("BTC-USD")
        exchange.snapshot(bids: [(99, 1), (98, 1)])
        let client = exchange.open()
        exchange.subscribe(client, .book, "BTC-USD", delivery: .latest, intervalMs: 20)
        exchange.clients[client].forget()
        exchange.snapshot(bids: [(99, 1), (98, 1)])
        exchange.run(afterMs: 20)
        #expect(exchange.clients[client].heard.isEmpty)
        exchange.change(bids: [(98, 5)])
        exchange.run(afterMs: 20)
        #expect(exchange.clients[client].heard.map(\.levels.count) == [2])
        #expect(exchange.faults == [])
    }

    @Test("send a level that leaves the window with quantity 0 and one that enters whole")
    func windowEdge() {
        var exchange = Exchange("BTC-USD")
        exchange.snapshot(bids: (0..<12).map { (100 - $0, 1) })
        let client = exchange.open()
        exchange.subscribe(client, .book, "BTC-USD", depth: 10)
        exchange.clients[client].forget()
        exchange.change(bids: [(101, 7)])
        exchange.run()
        #expect(
            exchange.clients[client].heard[0].levels == [
                LevelChange(.bid, price: Price(ticks: 101), quantity: Quantity(lots: 7)),
                LevelChange(.bid, price: Price(ticks: 91), quantity: .zero),
            ]
        )
        exchange.change(bids: [(100, 0)])
        exchange.run()
        #expect(
            exchange.clients[client].heard[1].levels == [
                LevelChange(.bid, price: Price(ticks: 100), quantity: .zero),
                LevelChange(.bid, price: Price(ticks: 91), quantity: Quantity(lots: 1)),
            ]
        )
        exchange.change(bids: [(89, 7)])
        exchange.run()
        #expect(exchange.clients[client].heard.count == 2, "what is not seen makes no push")
        #expect(exchange.faults == [])
    }

    @Test("gather so many price steps a level, bids down, asks up, below zero too", arguments: [1, 5] as [Int64])
    func groups(tick: Int64) {
        var exchange = Exchange()
        exchange.list("BTC-USD", tick: tick)
        exchange.snapshot(
            bids: [(-7, 1), (-10, 2), (-11, 4)].map { ($0.0 * tick, $0.1) },
            asks: [(-6, 1), (0, 2), (1, 4), (10, 8)].map { ($0.0 * tick, $0.1) }
        )
        let client = exchange.open()
        exchange.subscribe(client, .book, "BTC-USD", group: 10)
        #expect(exchange.clients[client].only?.book.bids == [level(-20 * tick, 4), level(-10 * tick, 3)])
        #expect(exchange.clients[client].only?.book.asks == [level(10 * tick, 12), level(0, 3)])
        #expect(exchange.faults == [])
    }

    @Test("begin anew after a snapshot of the venue", arguments: [Delivery.every, .conflate])
    func resync(delivery: Delivery) {
        var exchange = Exchange("BTC-USD")
        exchange.snapshot(bids: [(99, 1)])
        let client = exchange.open()
        exchange.subscribe(client, .book, "BTC-USD", delivery: delivery)
        exchange.snapshot(bids: [(99, 1)], asks: [(101, 1)])
        exchange.run()
        guard case .bookSnapshot? = exchange.clients[client].heard.last?.push.payload else {
            Issue.record("no snapshot")
            return
        }
        #expect(exchange.faults == [])
    }

    @Test("begin anew when the units changed; nothing in old units is told any more", arguments: Delivery.allCases)
    func unitsChanged(delivery: Delivery) {
        var exchange = Exchange("BTC-USD")
        exchange.snapshot(bids: [(9900, 1)])
        exchange.trade(9900)
        let (early, late) = (exchange.open(), exchange.open())
        exchange.subscribe(early, .book, "BTC-USD", delivery: delivery, intervalMs: 20)
        exchange.subscribe(early, .trades, "BTC-USD", delivery: .conflate)
        exchange.trade(9901)
        exchange.status(.resyncing, .unitsChanged)
        for channel in [Channel.book, .ticker, .candles] {
            exchange.subscribe(late, channel, "BTC-USD", delivery: delivery, intervalMs: 20)
        }
        #expect(exchange.clients[late].heard.allSatisfy { $0.levels.isEmpty && $0.push.channel == .book })
        // A delta, so that nothing but the change of units can be the reason for a snapshot.
        exchange.change(bids: [(99, 1)])
        exchange.trade(99)
        exchange.run(afterMs: 20)
        #expect(exchange.faults == [])
        for client in [early, late] {
            let heard = exchange.clients[client].heard.last { $0.push.channel == .book }
            guard case .bookSnapshot? = heard?.push.payload else {
                Issue.record("no snapshot")
                return
            }
            #expect(heard?.levels == [LevelChange(.bid, price: Price(ticks: 99), quantity: Quantity(lots: 1))])
        }
    }

    @Test("fit for one who joins while pushes wait", arguments: Delivery.allCases)
    func joiner(delivery: Delivery) {
        var exchange = Exchange("BTC-USD")
        exchange.snapshot(bids: [(99, 1)])
        let (early, late) = (exchange.open(), exchange.open())
        exchange.subscribe(early, .book, "BTC-USD", delivery: delivery, intervalMs: 20)
        exchange.change(bids: [(99, 2)])
        exchange.change(bids: [(99, 0), (98, 1)])
        exchange.subscribe(late, .book, "BTC-USD", delivery: delivery, intervalMs: 20)
        #expect(exchange.clients[late].heard.map(\.push.sequence) == [1])
        exchange.run(afterMs: 20)
        #expect(exchange.faults == [])
        #expect(exchange.clients[late].only?.last == 3)
    }
}
