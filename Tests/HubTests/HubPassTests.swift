import Hub
import Market
import Testing

@Suite("Passes")
struct PassTests {
    @Test("make one push a topic for all who listen, and one ordered share a session")
    func sharing() {
        var exchange = Exchange("BTC-USD", "ETH-USD")
        let clients = (0..<3).map { _ in exchange.open() }
        exchange.subscribe(clients[0], .ticker, "*")
        exchange.subscribe(clients[1], .ticker, "ETH-USD")
        exchange.subscribe(clients[2], .ticker, "ETH-USD", "BTC-USD")
        exchange.subscribe(clients[2], .trades, "BTC-USD")
        for instrument in [1, 0, 1] { exchange.trade(100, on: instrument) }
        let pass = exchange.rawPass()
        #expect(pass.pushes.count == 3)
        #expect(pass.shares.count == 3)
        let counts = pass.shares.map { ($0.session.slot, $0.range.count) }.sorted { $0.0 < $1.0 }.map(\.1)
        #expect(counts == [2, 1, 3])
        for share in pass.shares {
            let indices = Array(pass.order[Int(share.range.lowerBound)..<Int(share.range.upperBound)])
            #expect(indices == indices.sorted())
        }
        #expect(exchange.rawPass().isEmpty)
    }

    @Test("come on the grid of the interval, for all topics of one interval together")
    func grid() {
        var exchange = Exchange("BTC-USD", "ETH-USD")
        let client = exchange.open()
        exchange.subscribe(client, .ticker, "*", intervalMs: 100)
        let start = exchange.nowNs
        exchange.trade(100)
        #expect(exchange.rawPass(atNs: start + 1_000_000).isEmpty)
        #expect(exchange.hub.nextPassNs == start + 100_000_000)
        exchange.trade(100, on: 1)
        #expect(exchange.rawPass(atNs: start + 99_999_999).isEmpty)
        #expect(exchange.rawPass(atNs: start + 100_000_000).pushes.count == 2)
        #expect(exchange.hub.nextPassNs == nil)
        #expect(exchange.rawPass(atNs: start + 500_000_000).isEmpty)
        #expect(exchange.hub.isConsistent)
    }

    @Test("push a topic once an interval even when asked twice at the very time")
    func onceAnInterval() {
        var exchange = Exchange("BTC-USD")
        let client = exchange.open()
        exchange.subscribe(client, .ticker, "BTC-USD", intervalMs: 100)
        let due = exchange.nowNs + 100_000_000
        exchange.trade(100)
        #expect(exchange.rawPass(atNs: due).pushes.count == 1)
        exchange.trade(101)
        #expect(exchange.rawPass(atNs: due).isEmpty)
        #expect(exchange.hub.nextPassNs == due + 100_000_000)
    }

    @Test("wait for nothing once the topic that waited has ended")
    func nothingWaits() {
        var exchange = Exchange("BTC-USD")
        let client = exchange.open()
        exchange.subscribe(client, .ticker, "BTC-USD", intervalMs: 100)
        exchange.trade(100)
        exchange.nowNs += 1
        exchange.run()
        #expect(exchange.hub.nextPassNs != nil)
        exchange.unsubscribe(client, .ticker, "BTC-USD")
        #expect(exchange.hub.nextPassNs == nil)
        #expect(exchange.hub.isConsistent)
    }

    @Test("hold back no more pushes of one topic than a bound, whatever its interval")
    func waitingMost() {
        var exchange = Exchange("BTC-USD")
        let client = exchange.open()
        exchange.subscribe(client, .trades, "BTC-USD", intervalMs: 60_000)
        exchange.run(afterMs: 1)
        for _ in 0..<5_000 { exchange.trade(100) }
        exchange.run(afterMs: 1)
        #expect(exchange.clients[client].heard.count == 5_000)
        exchange.trade(100)
        exchange.run(afterMs: 1)
        #expect(exchange.clients[client].heard.count == 5_000)
        exchange.run(afterMs: 60_000)
        #expect(exchange.clients[client].heard.count == 5_001)
        #expect(exchange.faults == [])
        #expect(exchange.hub.isConsistent)
    }

    @Test("leave out events of instruments that are not listed yet")
    func unlisted() {
        var hub = Hub(epoch: 1)
        let status = MarketEvent.Payload.status(MarketStatus(.live, .none))
        let event = MarketEvent(instrument: InstrumentID(3), eventNs: 0, receivedNs: 0, sequence: 1, payload: status)
        hub.receive(event, levels: Span())
        #expect(hub.nextPassNs == nil)
    }
}

@Suite("Delivery")
struct DeliveryTests {
    /// Three trades, with as many tickers and candles, between two passes.
    private func heard(_ channel: Channel, _ delivery: Delivery, format: Format = .enhanced) -> [Push] {
        var exchange = Exchange("BTC-USD")
        let client = exchange.open(format)
        let intervalMs: UInt32 = delivery == .latest ? 20 : 0
        exchange.subscribe(client, channel, "BTC-USD", delivery: delivery, intervalMs: intervalMs)
        exchange.clients[client].forget()
        for ticks in [102, 99, 101] as [Int64] { exchange.trade(ticks, 2) }
        exchange.run(afterMs: 20)
        exchange.run(afterMs: 20)
        #expect(exchange.faults == [])
        return exchange.clients[client].heard.map(\.push)
    }

    @Test("under EVERY is each event", arguments: [Channel.trades, .ticker, .candles])
    func every(channel: Channel) {
        let pushes = heard(channel, .every)
        #expect(pushes.map(\.sequence) == [1, 2, 3])
        #expect(pushes.map(\.skipped) == [0, 0, 0])
    }

    @Test("under CONFLATE merges what came since the last pass", arguments: [Channel.trades, .ticker, .candles])
    func conflate(channel: Channel) {
        let pushes = heard(channel, .conflate)
        #expect(pushes.map(\.sequence) == [3])
        #expect(pushes.map(\.skipped) == [2])
    }

    @Test("under LATEST is the whole value", arguments: [Channel.trades, .ticker, .candles])
    func latest(channel: Channel) {
        let pushes = heard(channel, .latest)
        #expect(pushes.map(\.sequence) == [3])
    }

    @Test("of marketData is the latest trade", arguments: Delivery.allCases)
    func marketData(delivery: Delivery) {
        let pushes = heard(.marketData, delivery, format: .legacy)
        #expect(pushes.map(\.sequence) == (delivery == .every ? [1, 2, 3] : [3]))
    }

    @Test("of conflated trades is one aggregate, or the trade when it is one")
    func aggregate() {
        guard case .tradeAggregate(let sum)? = heard(.trades, .conflate).first?.payload else {
            Issue.record("no aggregate")
            return
        }
        #expect((sum.high, sum.low, sum.last).0 == Price(ticks: 102))
        #expect(sum.low == Price(ticks: 99))
        #expect(sum.last == Price(ticks: 101))
        #expect(sum.volume == Quantity(lots: 6))
        #expect(sum.count == 3)
        var exchange = Exchange("BTC-USD")
        let client = exchange.open()
        exchange.subscribe(client, .trades, "BTC-USD", delivery: .conflate)
        exchange.trade(5)
        exchange.run()
        guard case .trade? = exchange.clients[client].heard.first?.push.payload else {
            Issue.record("no trade")
            return
        }
    }

    @Test("of status is every change")
    func status() {
        var exchange = Exchange("BTC-USD")
        let client = exchange.open()
        exchange.subscribe(client, .status, "BTC-USD")
        exchange.clients[client].forget()
        exchange.status(.live)
        exchange.status(.stale, .silence)
        exchange.status(.live)
        exchange.run()
        #expect(exchange.faults == [])
        #expect(exchange.clients[client].heard.map(\.push.sequence) == [1, 2, 3])
    }

    @Test("of a ticker that came back to what was shown is nothing")
    func sameTicker() {
        var exchange = Exchange("BTC-USD")
        exchange.quote(99, 101)
        let client = exchange.open()
        exchange.subscribe(client, .ticker, "BTC-USD")
        exchange.clients[client].forget()
        exchange.quote(98, 101)
        exchange.quote(99, 101)
        exchange.run()
        #expect(exchange.clients[client].heard.isEmpty)
        exchange.quote(97, 101)
        exchange.run()
        #expect(exchange.clients[client].heard.map(\.push.skipped) == [2])
        #expect(exchange.faults == [])
    }

    @Test("of a closed candle is never left out for the next one")
    func closedCandle() {
        var exchange = Exchange("BTC-USD")
        let client = exchange.open()
        exchange.subscribe(client, .candles, "BTC-USD", candles: .second)
        exchange.trade(100)
        exchange.nowNs += 1_000_000_000
        exchange.trade(101)
        exchange.run()
        let candles = exchange.clients[client].heard.compactMap { heard -> Candle? in
            guard case .candle(let candle) = heard.push.payload else { return nil }
            return candle
        }
        #expect(candles.map(\.isClosed) == [true, false])
        #expect(exchange.faults == [])
    }
}

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

    @Test("under EVERY have a push an event, and one checksum a pass")
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
        #expect(pushes.map { $0.checksum != nil } == [false, false, true])
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

@Suite("A blocked session")
struct BlockedSessionTests {
    @Test("still has in its shares what must not be lost", arguments: [Channel.trades, .ticker, .book, .candles])
    func lossless(channel: Channel) {
        var exchange = Exchange("BTC-USD")
        let client = exchange.open()
        exchange.subscribe(client, channel, "BTC-USD", delivery: .every)
        exchange.clients[client].forget()
        exchange.block(client)
        exchange.trade(100)
        exchange.change(bids: [(99, 1)])
        exchange.run()
        #expect(exchange.clients[client].heard.contains { $0.push.previous == 0 })
        exchange.free(client)
        #expect(exchange.faults == [])
    }

    @Test(
        "is left out of what may be conflated, and brought to each topic's last push when it is free",
        arguments: [Channel.trades, .ticker, .book, .candles],
        [Delivery.conflate, .latest]
    )
    func catchesUp(channel: Channel, delivery: Delivery) throws {
        var exchange = Exchange("BTC-USD")
        let (slow, quick) = (exchange.open(), exchange.open())
        for client in [slow, quick] {
            exchange.subscribe(client, channel, "BTC-USD", delivery: delivery, intervalMs: 20)
        }
        exchange.trade(100)
        exchange.change(bids: [(99, 1)])
        exchange.run(afterMs: 20)
        exchange.block(slow)
        let before = exchange.clients[slow].heard.count
        for step in 1...3 as ClosedRange<Int64> {
            exchange.trade(100 + step)
            exchange.trade(90 + step)
            exchange.change(bids: [(99 - step, 1)])
            exchange.run(afterMs: 20)
        }
        #expect(exchange.clients[slow].heard.count == before)
        // Waits for its interval: not part of the catch-up.
        exchange.trade(100)
        exchange.change(bids: [(50, 1)])
        exchange.free(slow)
        #expect(exchange.clients[slow].only?.last == exchange.clients[quick].only?.last)
        #expect(exchange.clients[slow].heard.count == before + 1)
        exchange.run(afterMs: 20)
        #expect(exchange.clients[slow].only?.last == exchange.clients[quick].only?.last)
        #expect(exchange.faults == [])
        #expect(exchange.hub.isConsistent)
    }

    @Test("that is free again but was not brought up to date gets nothing that does not fit")
    func freeWithoutCatchUp() {
        var exchange = Exchange("BTC-USD")
        let client = exchange.open()
        exchange.subscribe(client, .book, "BTC-USD")
        exchange.block(client)
        exchange.change(bids: [(99, 1)])
        exchange.run()
        exchange.floor.hub.setBlocked(false, exchange.clients[client].session)
        exchange.change(bids: [(98, 1)])
        exchange.run()
        exchange.free(client)
        #expect(exchange.faults == [])
        #expect(exchange.clients[client].only?.last == 2)
        #expect(exchange.hub.isConsistent)
    }

    @Test("has nothing to catch up with when nothing was pushed meanwhile")
    func nothingMissed() {
        var exchange = Exchange("BTC-USD")
        let client = exchange.open()
        exchange.subscribe(client, .book, "BTC-USD")
        let count = exchange.clients[client].shareCount
        exchange.block(client)
        exchange.run()
        exchange.free(client)
        #expect(exchange.clients[client].shareCount == count)
    }

    @Test("loses no closed candle")
    func closedCandles() {
        var exchange = Exchange("BTC-USD")
        let client = exchange.open()
        exchange.subscribe(client, .candles, "BTC-USD", candles: .second)
        exchange.block(client)
        for second in 0..<5 {
            exchange.trade(100 + Int64(second))
            exchange.run(afterMs: 1000)
        }
        exchange.free(client)
        let closed = exchange.clients[client].heard.filter { heard in
            guard case .candle(let candle) = heard.push.payload else { return false }
            return candle.isClosed
        }
        #expect(closed.count == 4)
        #expect(exchange.faults == [])
    }

    @Test("keeps at most so many closed candles")
    func closedCandlesMost() {
        var exchange = Exchange("BTC-USD")
        let client = exchange.open()
        exchange.subscribe(client, .candles, "BTC-USD", candles: .second)
        exchange.block(client)
        for _ in 0..<1000 {
            exchange.trade(100)
            exchange.run(afterMs: 1000)
        }
        exchange.free(client)
        #expect((100...200).contains(exchange.clients[client].heard.count))
        #expect(exchange.faults == [])
    }

    @Test("may end what it missed, and end itself")
    func endsWhileBehind() {
        var exchange = Exchange("BTC-USD", "ETH-USD")
        let (client, other) = (exchange.open(), exchange.open())
        for name in ["BTC-USD", "ETH-USD"] {
            exchange.subscribe(client, .trades, name, delivery: .conflate)
            exchange.subscribe(other, .trades, name, delivery: .conflate)
        }
        exchange.block(client)
        for instrument in [0, 1] { exchange.trade(100, on: instrument) }
        exchange.run()
        exchange.unsubscribe(client, .trades, "BTC-USD")
        #expect(exchange.hub.isConsistent)
        exchange.free(client)
        #expect(exchange.faults == [])
        #expect(exchange.clients[client].only?.last == 1)
        exchange.block(client)
        exchange.trade(100, on: 1)
        exchange.run()
        exchange.close(client)
        #expect(exchange.hub.isConsistent)
        exchange.trade(100, on: 1)
        exchange.run()
        #expect(exchange.faults == [])
    }

    @Test("gets the state of what it joins")
    func joinsWhileBlocked() {
        var exchange = Exchange("BTC-USD")
        exchange.snapshot(bids: [(99, 1)])
        let client = exchange.open()
        exchange.block(client)
        exchange.subscribe(client, .book, "BTC-USD")
        exchange.change(bids: [(99, 2)])
        exchange.run()
        exchange.free(client)
        #expect(exchange.clients[client].heard.map(\.push.sequence) == [1, 2])
        #expect(exchange.faults == [])
    }
}
