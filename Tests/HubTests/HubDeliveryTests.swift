import Hub
import Market
import Testing

@Suite("Delivery")
struct DeliveryTests {
    /// Three trades, with as many tickers and candles, between two passes.
    private func heard(
        _ channel: Channel,
        _ delivery: Delivery,
        format: Format = .enhanced,
        everyMs: UInt32 = 0
    ) -> [Push] {
        var exchange = Exchange("BTC-USD")
        let client = exchange.open(format)
        let intervalMs: UInt32 = delivery == .latest ? 20 : everyMs
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

    @Test("under CONFLATE is each trade while the client keeps up")
    func conflatedTrades() {
        let pushes = heard(.trades, .conflate)
        #expect(pushes.map(\.sequence) == [1, 2, 3])
        #expect(pushes.map(\.skipped) == [0, 0, 0])
    }

    @Test("under CONFLATE merges values that came since the last pass", arguments: [Channel.ticker, .candles])
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

    @Test("of trades conflated over an interval is one aggregate, or the trade when it is one")
    func aggregate() {
        guard case .tradeAggregate(let sum)? = heard(.trades, .conflate, everyMs: 20).first?.payload else {
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
        exchange.subscribe(client, .trades, "BTC-USD", delivery: .conflate, intervalMs: 20)
        exchange.trade(5)
        exchange.run(afterMs: 20)
        exchange.run(afterMs: 20)
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
