import Hub
import Market
import Testing

extension SymbolOutcome {
    var topic: TopicDescription? { try? result.get() }
    var code: Refusal.Code? {
        guard case .failure(let refusal) = result else { return nil }
        return refusal.code
    }
}

extension Answer {
    var code: Refusal.Code? {
        guard case .refused(let refusal) = self else { return nil }
        return refusal.code
    }
}

@Suite("Subscribing")
struct SubscribingTests {
    /// Orders have tests of their own: these instruments have none.
    static let channels = Channel.allCases.filter { $0 != .orders }

    @Test("gives every channel its usual view", arguments: channels)
    func everyChannel(channel: Channel) throws {
        var exchange = Exchange("BTC-USD")
        let client = exchange.open(channel == .marketData ? .legacy : .enhanced)
        let outcome = try #require(exchange.subscribe(client, channel, "BTC-USD").first)
        let topic = try #require(outcome.topic)
        #expect(topic.instrument.qualifiedSymbol == "BTC-USD@kraken")
        #expect(topic.view.channel == channel)
        #expect(topic.view.delivery == (channel == .trades || channel == .status ? .every : .conflate))
        #expect(topic.view.candleInterval == (channel == .candles ? .minute : nil))
        #expect(exchange.hub.subscriptionCount(of: exchange.clients[client].session) == 1)
        #expect(exchange.hub.isConsistent)
    }

    @Test("sends what is known at once", arguments: channels)
    func firstState(channel: Channel) throws {
        var exchange = Exchange("BTC-USD")
        exchange.snapshot(bids: [(99, 1)], asks: [(101, 1)])
        exchange.trade(100)
        exchange.status(.live)
        let client = exchange.open(channel == .marketData ? .legacy : .enhanced)
        exchange.subscribe(client, channel, "BTC-USD")
        #expect(exchange.faults == [])
        // Trades are events: there is none to see for one who comes later.
        #expect(exchange.clients[client].heard.count == (channel == .trades ? 0 : 1))
    }

    @Test("sends the latest trade at once under LATEST")
    func latestTradeAtOnce() {
        var exchange = Exchange("BTC-USD")
        exchange.trade(100)
        let client = exchange.open()
        exchange.subscribe(client, .trades, "BTC-USD", delivery: .latest, intervalMs: 100)
        #expect(exchange.faults == [])
        #expect(exchange.clients[client].heard.count == 1)
    }

    @Test("answers symbol by symbol")
    func perSymbol() {
        var exchange = Exchange("BTC-USD", "ETH-USD@coinbase", "BTC-USD@coinbase")
        let client = exchange.open()
        let outcomes = exchange.subscribe(client, .ticker, "BTC-USD", "XYZ-USD", "ETH-USD", "BTC-USD@coinbase")
        #expect(outcomes.map(\.symbol) == ["BTC-USD", "XYZ-USD", "ETH-USD", "BTC-USD@coinbase"])
        #expect(outcomes.map { $0.topic?.instrument.id.rawValue } == [0, nil, 1, 2])
        #expect(outcomes[1].code == .unknownSymbol)
        #expect(exchange.hub.topicCount == 3)
    }

    @Test("takes the venue's own name too, and it is the same subscription", arguments: [Format.enhanced, .legacy])
    func venueNames(format: Format) {
        var exchange = Exchange("BTC-USD@kraken=XBT/USD", "BTC-USDT@binance=BTCUSDT", "BTC-USDT-PERP@usdm=BTCUSDT")
        let client = exchange.open(format)
        let outcomes = exchange.subscribe(client, .ticker, "XBT/USD", "XBT/USD@kraken", "BTCUSDT", "BTCUSDT@usdm")
        #expect(outcomes.map { $0.topic?.instrument.id.rawValue } == [0, 0, nil, 2])
        #expect(outcomes[2].code == .unknownSymbol)
        #expect(exchange.hub.topicCount == 2)
        exchange.unsubscribe(client, .ticker, "BTC-USD", "BTC-USDT-PERP")
        #expect(exchange.hub.topicCount == 0)
    }

    @Test("shares a topic among those with the same view and format, and with no others")
    func sharing() {
        var exchange = Exchange("BTC-USD")
        let (one, two, legacy) = (exchange.open(), exchange.open(), exchange.open(.legacy))
        let first = exchange.subscribe(one, .book, "BTC-USD", depth: 10).first?.topic?.id
        let same = exchange.subscribe(two, .book, "BTC-USD@kraken", depth: 10, group: 1).first?.topic?.id
        let deeper = exchange.subscribe(two, .book, "BTC-USD", depth: 25).first?.topic?.id
        let other = exchange.subscribe(legacy, .book, "BTC-USD", depth: 10).first?.topic?.id
        #expect(first == same)
        #expect(Set([first, deeper, other]).count == 3)
        #expect(exchange.hub.topicCount == 3)
    }

    @Test(
        "rounds an interval up to the next that is served",
        arguments: [
            (0, 0), (1, 20), (20, 20), (21, 25), (26, 50), (501, 1000), (60_000, 60_000), (60_001, 60_000),
        ] as [(UInt32, UInt32)]
    )
    func intervals(wished: UInt32, served: UInt32) {
        var exchange = Exchange("BTC-USD")
        let client = exchange.open()
        let topic = exchange.subscribe(client, .ticker, "BTC-USD", intervalMs: wished).first?.topic
        #expect(topic?.view.intervalMs == served)
    }

    @Test(
        "keeps all pushes of a client on the grid of its pass_ms",
        arguments: [
            (0, 25, 25), (25, 0, 25), (25, 20, 25), (20, 25, 100), (200, 250, 1000), (100, 500, 500), (30, 0, 50),
        ] as [(UInt32, UInt32, UInt32)]
    )
    func passMs(passMs: UInt32, intervalMs: UInt32, served: UInt32) {
        var exchange = Exchange("BTC-USD")
        let client = exchange.open()
        exchange.ask(.connect(ConnectRequest(client: "test", passMs: passMs)), of: client)
        let topic = exchange.subscribe(client, .ticker, "BTC-USD", intervalMs: intervalMs).first?.topic
        #expect(topic?.view.intervalMs == served)
    }

    @Test("changes nothing when it is repeated")
    func repeated() {
        var exchange = Exchange("BTC-USD")
        exchange.snapshot(bids: [(99, 1)])
        let client = exchange.open()
        let first = exchange.subscribe(client, .book, "BTC-USD")
        let again = exchange.subscribe(client, .book, "BTC-USD@kraken", "BTC-USD")
        #expect(again.map(\.topic) == [first[0].topic, first[0].topic])
        #expect(exchange.clients[client].heard.count == 1)
        #expect(exchange.hub.subscriptionCount(of: exchange.clients[client].session) == 1)
    }

    struct Wrong: Sendable, CustomTestStringConvertible {
        var field: String
        var request: SubscribeRequest
        var testDescription: String { "\(field): \(request)" }
    }

    @Test(
        "names the field that is wrong",
        arguments: [
            Wrong(field: "symbols", request: SubscribeRequest(channel: .ticker, symbols: [])),
            Wrong(field: "depth", request: SubscribeRequest(channel: .book, symbols: ["BTC-USD"], depth: 11)),
            Wrong(field: "depth", request: SubscribeRequest(channel: .ticker, symbols: ["BTC-USD"], depth: 10)),
            Wrong(field: "group", request: SubscribeRequest(channel: .trades, symbols: ["BTC-USD"], group: 2)),
            Wrong(
                field: "group",
                request: SubscribeRequest(channel: .book, symbols: ["BTC-USD"], group: 1_000_000_001)
            ),
            Wrong(field: "group", request: SubscribeRequest(channel: .book, symbols: ["BTC-USD"], group: .max)),
            Wrong(
                field: "interval_ms",
                request: SubscribeRequest(channel: .book, symbols: ["BTC-USD"], delivery: .latest)
            ),
            Wrong(
                field: "interval_ms",
                request: SubscribeRequest(channel: .ticker, symbols: ["BTC-USD"], delivery: .latest, intervalMs: 19)
            ),
            Wrong(
                field: "candle_interval",
                request: SubscribeRequest(channel: .book, symbols: ["BTC-USD"], candleInterval: .minute)
            ),
            Wrong(
                field: "delivery",
                request: SubscribeRequest(channel: .status, symbols: ["BTC-USD"], delivery: .conflate)
            ),
            Wrong(field: "channel", request: SubscribeRequest(channel: .marketData, symbols: ["BTC-USD"])),
        ]
    )
    func wrongField(wrong: Wrong) throws {
        var exchange = Exchange("BTC-USD")
        let client = exchange.open()
        guard case .refused(let refusal) = exchange.ask(.subscribe(wrong.request), of: client) else {
            Issue.record("was not refused")
            return
        }
        #expect(refusal.code == .invalidField)
        #expect(refusal.fields.map(\.name) == [wrong.field])
        #expect(exchange.hub.topicCount == 0)
    }

    @Test("takes so many symbols a request and no more")
    func symbolsMost() {
        var exchange = Exchange("BTC-USD", settings: Hub.Settings(symbolsPerRequestMost: 3))
        let client = exchange.open()
        for (count, code) in [(3, nil), (4, .tooManySymbols)] as [(Int, Refusal.Code?)] {
            let symbols = Array(repeating: "BTC-USD", count: count)
            let answer = exchange.ask(.subscribe(SubscribeRequest(channel: .ticker, symbols: symbols)), of: client)
            #expect(answer.code == code)
            let end = exchange.ask(.unsubscribe(UnsubscribeRequest(channel: .ticker, symbols: symbols)), of: client)
            #expect(end.code == code)
        }
    }

    @Test("takes so many subscriptions a session, topics a hub and wildcards a session, and no more")
    func limits() {
        let settings = Hub.Settings(subscriptionsMost: 2, topicsMost: 3, wildcardsMost: 1)
        var exchange = Exchange("A-USD", "B-USD", "C-USD", "D-USD", settings: settings)
        let (one, two) = (exchange.open(), exchange.open())
        let first = exchange.subscribe(one, .ticker, "A-USD", "B-USD", "C-USD")
        #expect(first.map(\.code) == [nil, nil, .tooManySubscriptions])
        let second = exchange.subscribe(two, .ticker, "C-USD", "D-USD", "A-USD")
        #expect(second.map(\.code) == [nil, .tooManyTopics, nil])
        exchange.unsubscribe(two, .ticker, "C-USD")
        #expect(exchange.subscribe(two, .ticker, "D-USD").map(\.code) == [nil])
        let three = exchange.open()
        #expect(exchange.subscribe(three, .trades, "X*", "Y*").map(\.code) == [.tooManySubscriptions])
        #expect(exchange.hub.isConsistent)
    }

    @Test("takes so many views of an instrument a channel, and no more, whoever else has them")
    func viewsMost() {
        var exchange = Exchange("A-USD", "B-USD", settings: Hub.Settings(viewsMost: 2))
        let (one, two) = (exchange.open(), exchange.open())
        let codes = ([0, 10, 25, 10] as [UInt32]).map { depth in
            exchange.subscribe(one, .book, "A-USD", depth: depth).first?.code
        }
        #expect(codes == [nil, nil, .tooManySubscriptions, nil])
        #expect(exchange.subscribe(one, .book, "B-USD", depth: 25).first?.code == nil)
        #expect(exchange.subscribe(one, .ticker, "A-USD").first?.code == nil)
        #expect(exchange.subscribe(two, .book, "A-USD", depth: 25).first?.code == nil)
        exchange.unsubscribe(one, .book, "A-USD")
        #expect(exchange.subscribe(one, .book, "A-USD", depth: 25).first?.code == nil)
    }
}

@Suite("Wildcards")
struct WildcardTests {
    @Test("mean what fits now, and what is listed later")
    func laterJoins() throws {
        var exchange = Exchange("BTC-USD", "ETH-USD", "BTC-EUR@coinbase")
        let (client, other) = (exchange.open(), exchange.open())
        #expect(exchange.subscribe(client, .book, "BTC-*").map { $0.topic?.instrument.id.rawValue } == [0, 2])
        exchange.subscribe(other, .ticker, "ETH*")
        let joined = exchange.list(["BTC-GBP", "XRP-USD", "BTC-USD@coinbase"])
        #expect(joined.map(\.outcome.symbol) == ["BTC-*"])
        #expect(joined.map { $0.outcome.topic?.instrument.symbol } == ["BTC-GBP"])
        #expect(joined.map(\.requestID) == [1])
        #expect(joined.map(\.session) == [exchange.clients[client].session])
        exchange.snapshot(bids: [(9, 9)], on: 3)
        exchange.run()
        #expect(exchange.faults == [])
        #expect(exchange.clients[client].topics.count == 3)
        #expect(exchange.hub.isConsistent)
    }

    @Test("end with all that only they asked for")
    func ends() {
        var exchange = Exchange("BTC-USD", "ETH-USD")
        let client = exchange.open()
        exchange.subscribe(client, .ticker, "*")
        guard case .unsubscribed(let ended) = exchange.unsubscribe(client, .ticker, "*") else {
            Issue.record("was refused")
            return
        }
        #expect(ended.count == 2)
        #expect(exchange.hub.topicCount == 0)
        #expect(exchange.list("XRP-USD").isEmpty)
    }

    @Test("leave alone what was asked for by name", arguments: [true, false])
    func explicitStays(isNameFirst: Bool) {
        var exchange = Exchange("BTC-USD", "ETH-USD")
        let client = exchange.open()
        for symbol in isNameFirst ? ["BTC-USD", "*"] : ["*", "BTC-USD"] { exchange.subscribe(client, .ticker, symbol) }
        let session = exchange.clients[client].session
        #expect(exchange.hub.subscriptions(of: session) == [.init(channel: .ticker, symbols: ["*", "BTC-USD"])])
        exchange.unsubscribe(client, .ticker, "*")
        #expect(exchange.hub.subscriptions(of: session) == [.init(channel: .ticker, symbols: ["BTC-USD"])])
    }

    @Test("keep what another still asks for")
    func overlap() {
        var exchange = Exchange("BTC-USD", "ETH-USD")
        let client = exchange.open()
        let session = exchange.clients[client].session
        exchange.subscribe(client, .ticker, "*", "BTC-*", "BTC-USD")
        exchange.unsubscribe(client, .ticker, "*")
        #expect(exchange.hub.subscriptionCount(of: session) == 1)
        // The name goes, the wildcard still means it.
        #expect(exchange.unsubscribe(client, .ticker, "BTC-USD").code == nil)
        #expect(exchange.hub.subscriptionCount(of: session) == 1)
        #expect(exchange.hub.subscriptions(of: session) == [.init(channel: .ticker, symbols: ["BTC-*"])])
        exchange.unsubscribe(client, .ticker, "BTC-*")
        #expect(exchange.hub.subscriptionCount(of: session) == 0)
    }

    @Test("tell each instrument once a request, however often they are written")
    func repetition() {
        var exchange = Exchange("BTC-USD", "ETH-USD")
        let client = exchange.open()
        #expect(exchange.subscribe(client, .ticker, "*", "*", "BTC*", "*").map(\.symbol) == ["*", "*"])
        #expect(exchange.subscribe(client, .ticker, "*", "*").count == 2)
    }

    @Test("may fit nothing yet, but not be too long")
    func nothingYet() {
        var exchange = Exchange("BTC-USD")
        let client = exchange.open()
        #expect(exchange.subscribe(client, .ticker, "XRP-*").isEmpty)
        #expect(exchange.list("XRP-USD").count == 1)
        #expect(exchange.subscribe(client, .ticker, String(repeating: "*", count: 65)).map(\.code) == [.unknownSymbol])
    }
}

@Suite("Unsubscribing")
struct UnsubscribingTests {
    @Test("ends all views of a channel to a symbol, by either of its names")
    func allViews() {
        var exchange = Exchange("BTC-USD", "ETH-USD")
        let client = exchange.open()
        exchange.subscribe(client, .book, "BTC-USD", "ETH-USD", depth: 10)
        exchange.subscribe(client, .book, "BTC-USD", depth: 25)
        exchange.subscribe(client, .ticker, "BTC-USD")
        guard case .unsubscribed(let ended) = exchange.unsubscribe(client, .book, "BTC-USD@kraken") else {
            Issue.record("was refused")
            return
        }
        #expect(ended.count == 2)
        #expect(exchange.hub.topicCount == 2)
        #expect(exchange.hub.isConsistent)
    }

    @Test("ends topics by number")
    func byNumber() throws {
        var exchange = Exchange("BTC-USD", "ETH-USD")
        let client = exchange.open()
        let ids = exchange.subscribe(client, .ticker, "BTC-USD", "ETH-USD").compactMap { $0.topic?.id }
        let request = UnsubscribeRequest(channel: nil, symbols: [], topics: [ids[1], TopicID(99)])
        #expect(exchange.ask(.unsubscribe(request), of: client) == .unsubscribed([ids[1]]))
        #expect(exchange.hub.topicCount == 1)
    }

    @Test("says when there was nothing to end")
    func nothing() {
        var exchange = Exchange("BTC-USD")
        let client = exchange.open()
        exchange.subscribe(client, .ticker, "BTC-USD")
        #expect(exchange.unsubscribe(client, .trades, "BTC-USD").code == .notSubscribed)
        #expect(exchange.unsubscribe(client, .ticker, "ETH-USD").code == .notSubscribed)
        #expect(exchange.hub.topicCount == 1)
    }

    @Test("lists what is left in the order in which it was asked for")
    func order() {
        var exchange = Exchange("A-USD", "B-USD", "C-USD", "D-USD")
        let client = exchange.open()
        exchange.subscribe(client, .ticker, "A-USD", "B-USD", "C-USD", "D-USD")
        exchange.unsubscribe(client, .ticker, "A-USD")
        let left = exchange.hub.subscriptions(of: exchange.clients[client].session)
        #expect(left == [.init(channel: .ticker, symbols: ["B-USD", "C-USD", "D-USD"])])
    }

    @Test("keeps all places right among many sessions and topics", arguments: 1...20 as ClosedRange<UInt64>)
    func bookkeeping(seed: UInt64) {
        var random = Dice(seed: seed)
        var exchange = Exchange()
        exchange.list((0..<12).map { "I\($0)-USD" })
        for _ in 0..<8 { _ = exchange.open() }
        for _ in 0..<200 {
            let client = random.below(8)
            let symbol = "I\(random.below(12))-USD"
            let channel: Channel = random.chance(50) ? .ticker : .book
            if random.chance(60) {
                exchange.subscribe(client, channel, symbol, intervalMs: random.chance(50) ? 0 : 100)
            } else {
                exchange.unsubscribe(client, channel, symbol)
            }
            if random.chance(30) { exchange.trade(100, on: random.below(12)) }
            guard exchange.hub.isConsistent else {
                Issue.record("places are wrong")
                return
            }
        }
        exchange.run(afterMs: 100)
        #expect(exchange.faults == [])
    }

    @Test("frees a topic with its last subscriber, for use under the same number")
    func reuse() {
        var exchange = Exchange("BTC-USD", "ETH-USD")
        let (one, two) = (exchange.open(), exchange.open())
        let first = exchange.subscribe(one, .ticker, "BTC-USD").first?.topic?.id
        exchange.subscribe(two, .ticker, "BTC-USD")
        exchange.trade(100)
        exchange.unsubscribe(one, .ticker, "BTC-USD")
        #expect(exchange.hub.topicCount == 1)
        exchange.unsubscribe(two, .ticker, "BTC-USD")
        #expect(exchange.hub.topicCount == 0)
        #expect(exchange.subscribe(one, .trades, "ETH-USD").first?.topic?.id == first)
        // What waited for the topic's former life is gone.
        #expect(exchange.rawPass().pushes.isEmpty)
        exchange.trade(50, on: 1)
        exchange.run()
        #expect(exchange.faults == [])
        #expect(exchange.clients[one].heard.count == 1)
    }
}

@Suite("Listing")
struct ListingTests {
    private func page(_ exchange: inout Exchange, _ request: ListRequest) -> (ids: [UInt32], next: UInt32) {
        let client = exchange.open()
        guard case .listed(let instruments, let next, let version) = exchange.ask(.list(request), of: client),
            version == exchange.table.version
        else { return ([], .max) }
        return (instruments.map(\.id.rawValue), next)
    }

    @Test("pages in the order of ids")
    func pages() {
        var exchange = Exchange("A-USD", "B-USD", "C-USD", "A-EUR", "B-EUR")
        #expect(page(&exchange, ListRequest(limit: 2)) == ([0, 1], 2))
        #expect(page(&exchange, ListRequest(from: 2, limit: 2)) == ([2, 3], 4))
        #expect(page(&exchange, ListRequest(from: 4, limit: 2)) == ([4], 0))
        #expect(page(&exchange, ListRequest(limit: 5)) == ([0, 1, 2, 3, 4], 0))
        #expect(page(&exchange, ListRequest(from: 9)) == ([], 0))
        #expect(page(&exchange, ListRequest(pattern: "A*", limit: 1)) == ([0], 3))
        #expect(page(&exchange, ListRequest(pattern: "B-EUR@kraken")) == ([4], 0))
        #expect(page(&exchange, ListRequest(pattern: "X")) == ([], 0))
    }

    @Test("gives a thousand at most", arguments: [0, 1000, 1001, .max] as [UInt32])
    func most(limit: UInt32) {
        var exchange = Exchange()
        exchange.list((0...1000).map { "I\($0)" })
        let (ids, next) = page(&exchange, ListRequest(limit: limit))
        #expect(ids.count == 1000)
        #expect(next == 1000)
    }
}

@Suite("Greeting")
struct GreetingTests {
    @Test("connect tells the epoch, the table and a name of the session; ping comes back")
    func connect() {
        var exchange = Exchange("BTC-USD")
        let client = exchange.open()
        let welcome = Welcome(epoch: 7, session: 1 << 32, tableVersion: 1, instrumentCount: 1)
        #expect(exchange.ask(.connect(ConnectRequest(client: "t", passMs: 0)), of: client) == .connected(welcome))
        #expect(exchange.ask(.ping(clientNs: 5), of: client) == .pong(clientNs: 5))
    }
}
