import Hub
import Market
import Testing

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

    @Test("gets the state of a book it joins once it is free")
    func joinsWhileBlocked() {
        var exchange = Exchange("BTC-USD")
        exchange.snapshot(bids: [(99, 1)])
        let client = exchange.open()
        exchange.block(client)
        exchange.subscribe(client, .book, "BTC-USD")
        exchange.change(bids: [(99, 2)])
        exchange.run()
        exchange.free(client)
        #expect(exchange.clients[client].heard.map(\.push.sequence) == [2])
        #expect(exchange.faults == [])
    }
}

@Suite("A request for more state than one message should hold")
struct HubLargeStateTests {
    @Test("is answered at once and told in pieces, each client ending on the topic's last push")
    func pieces() {
        var hub = Hub(settings: Hub.Settings(stateLevelsMost: 10), epoch: 1)
        var table = InstrumentTable()
        for index in 0..<5 {
            let symbol = "S\(index)"
            _ = try? table.add(
                Instrument(
                    id: InstrumentID(0),
                    venue: "v",
                    symbol: symbol,
                    rawSymbol: symbol,
                    priceScale: 0,
                    quantityScale: 0
                )
            )
        }
        var pass = Pass()
        #expect(hub.adopt(table, into: &pass).isEmpty)
        for index in 0..<5 {
            let levels = (1...6).map { LevelChange(.bid, price: Price(ticks: $0), quantity: Quantity(lots: 1)) }
            let event = MarketEvent(
                instrument: InstrumentID(UInt32(index)),
                eventNs: 1,
                receivedNs: 1,
                sequence: 3,
                payload: .bookSnapshot(top: .none)
            )
            hub.receive(event, levels: levels.span)
        }
        let session = hub.open(.enhanced)
        let request = SubscribeRequest(channel: .book, symbols: ["*"])
        guard case .subscribed(let outcomes) = hub.handle(.subscribe(request), from: session, requestID: 1, into: &pass)
        else {
            Issue.record("not subscribed")
            return
        }
        #expect(outcomes.count == 5)
        var told = pass.pushes.map(\.instrument)
        #expect(told.count == 2)
        while hub.isBehind(session) {
            pass.removeAll()
            hub.catchUp(session, into: &pass)
            #expect(!pass.isEmpty)
            #expect(pass.pushes.allSatisfy { $0.previous == 0 && $0.skipped == 0 && $0.flags.contains(.snapshot) })
            told += pass.pushes.map(\.instrument)
        }
        #expect(told.map(\.rawValue).sorted() == [0, 1, 2, 3, 4])
        #expect(hub.isConsistent)
    }
}

@Suite("New units of an instrument")
struct HubNewUnitsTests {
    @Test("send out what waits in the old ones first, due or not")
    func passesAll() {
        var exchange = Exchange("BTC-USD", "ETH-USD")
        let client = exchange.open()
        exchange.subscribe(client, .trades, "BTC-USD", delivery: .every, intervalMs: 60_000)
        exchange.subscribe(client, .trades, "ETH-USD", delivery: .every, intervalMs: 60_000)
        exchange.trade(100, on: 0)
        exchange.trade(100, on: 1)
        var pass = Pass()
        exchange.floor.hub.passAll(of: InstrumentID(0), into: &pass)
        #expect(pass.pushes.map(\.instrument) == [InstrumentID(0)])
        #expect(pass.shares.count == 1)
        #expect(exchange.hub.isConsistent)
        pass.removeAll()
        exchange.floor.hub.passAll(of: InstrumentID(0), into: &pass)
        #expect(pass.isEmpty)
    }
}
