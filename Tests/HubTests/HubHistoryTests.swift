import Hub
import Market
import Testing

@Suite("Subscribing with past candles")
struct HistorySubscribingTests {
    private func request(_ symbols: [String], history: UInt32, channel: Channel = .candles) -> Request {
        .subscribe(SubscribeRequest(channel: channel, symbols: symbols, history: history))
    }

    @Test(
        "is refused where they could not be told",
        arguments: [
            (["BTC-USD"], 1_001, Channel.candles), (["BTC-USD"], 1, .trades), (["BTC-*"], 1, .candles),
            (["BTC-USD", "*"], 1, .candles), (Array(repeating: "BTC-USD", count: 5), 1_000, .candles),
        ] as [([String], UInt32, Channel)]
    )
    func refused(symbols: [String], history: UInt32, channel: Channel) {
        var exchange = Exchange("BTC-USD")
        let client = exchange.open()
        let answer = exchange.ask(request(symbols, history: history, channel: channel), of: client)
        #expect(answer.code == .invalidField)
        #expect(exchange.hub.topicCount == 0)
    }

    @Test("is taken up to the limits", arguments: [(1, 1_000), (4, 1_000), (1, 1)] as [(Int, UInt32)])
    func taken(count: Int, history: UInt32) {
        var exchange = Exchange("BTC-USD")
        let client = exchange.open()
        let symbols = Array(repeating: "BTC-USD", count: count)
        #expect(exchange.ask(request(symbols, history: history), of: client).code == nil)
    }

    @Test("says before which candle the past ends: that of the first push")
    func firstOpen() throws {
        var exchange = Exchange("BTC-USD")
        func topic(_ exchange: inout Exchange, _ intervalMs: UInt32) throws -> TopicDescription {
            let client = exchange.open()
            let wish = SubscribeRequest(
                channel: .candles,
                symbols: ["BTC-USD"],
                intervalMs: intervalMs,
                candleInterval: .second,
                history: 5
            )
            guard case .subscribed(let outcomes) = exchange.ask(.subscribe(wish), of: client) else {
                throw Refusal(.malformed, "no outcome")
            }
            return try #require(outcomes.first?.topic)
        }
        #expect(try topic(&exchange, 0).firstOpenNs == nil, "nothing was traded yet")
        exchange.trade(100)
        let openNs = CandleInterval.second.openNs(of: exchange.nowNs)
        #expect(try topic(&exchange, 1_000).firstOpenNs == openNs)
        // Known to the hub, and not pushed yet to those who listen: a second client joins at what was pushed last.
        exchange.nowNs += 1_000_000_000
        exchange.trade(101)
        #expect(try topic(&exchange, 1_000).firstOpenNs == openNs)
        #expect(exchange.hub.newestCandle(of: InstrumentID(0), .second)?.openNs == openNs + 1_000_000_000)
        exchange.run(afterMs: 2_000)
        #expect(exchange.faults == [])
    }
}
