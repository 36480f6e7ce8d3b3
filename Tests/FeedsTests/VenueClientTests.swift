import Feeds
import Market
import Testing

/// A client in virtual time: effects are kept, the timer is called when it asked for.
private struct Bench {
    var client: VenueClient
    var gate = VenueGate()
    var now: Int64 = 0
    var random: UInt64 = 0
    var effects: [VenueClient.Effect] = []
    var timerNs: Int64 = .max

    init(
        _ venue: String,
        channels: [VenueChannel] = [.book, .trades],
        ownChannels: [String] = [],
        limits: VenueClient.Limits = .init(),
        failuresMost: Int = .max
    ) throws {
        let dialect = try #require(Venues.dialect(of: venue))
        let rawSymbol = venue == "kraken" ? "XBT/USD" : venue == "coinbase" ? "BTC-USD" : "BTCUSDT"
        var gateLimits = VenueGate.Limits()
        gateLimits.failuresMost = failuresMost
        gate = VenueGate(gateLimits)
        let subscription = VenueSubscription(rawSymbols: [rawSymbol], channels: channels, ownChannels: ownChannels)
        client = VenueClient(dialect, subscription: subscription, limits: limits)
    }

    @discardableResult
    mutating func handle(_ event: VenueClient.Event) -> [VenueClient.Effect] {
        var new: [VenueClient.Effect] = []
        client.handle(event, atNs: now, random: random, gate: &gate, into: &new)
        for case .wait(let untilNs) in new { timerNs = untilNs }
        new.removeAll { if case .wait = $0 { true } else { false } }
        effects += new
        return new
    }

    /// Lets time pass, calling the timer whenever it is due.
    @discardableResult
    mutating func pass(_ lengthNs: Int64) -> [VenueClient.Effect] {
        let end = now + lengthNs
        var new: [VenueClient.Effect] = []
        while timerNs <= end {
            now = max(now, timerNs)
            timerNs = .max
            new += handle(.timer)
        }
        now = end
        return new
    }

    mutating func goLive() {
        handle(.start)
        handle(.connected)
        pass(1_000_000_000)
        handle(.heard)
        effects = []
    }
}

private let second: Int64 = 1_000_000_000

@Suite("The life of a connection to a venue")
struct VenueClientTests {
    @Test("connects, subscribes with the pauses the venue wants, and is live when it hears something")
    func subscribes() throws {
        var bench = try Bench("coinbase")
        #expect(bench.handle(.start) == [.connect(url: "wss://ws-feed.exchange.coinbase.com")])
        #expect(bench.client.state == .connecting)
        let book = "{\"type\":\"subscribe\",\"product_ids\":[\"BTC-USD\"],\"channels\":[\"level2\"]}"
        let trades = "{\"type\":\"subscribe\",\"product_ids\":[\"BTC-USD\"],\"channels\":[\"matches\"]}"
        #expect(bench.handle(.connected) == [.send(book)])
        #expect(bench.pass(129_000_000) == [])
        #expect(bench.pass(1_000_000) == [.send(trades)])
        #expect(bench.client.state == .subscribing)
        bench.handle(.heard)
        #expect(bench.client.state == .live)
    }

    @Test("says all in the address where the venue wants it so")
    func address() throws {
        var bench = try Bench("binance")
        let url = "wss://stream.binance.com:9443/stream?streams=btcusdt@depth@100ms/btcusdt@trade"
        #expect(bench.handle(.start) == [.connect(url: url)])
        #expect(bench.handle(.connected) == [])
    }

    @Test("asks Binance for what does not fit into the address by frames", arguments: [1, 25, 26, 100, 300])
    func longAddress(count: Int) {
        let dialect = BinanceDialect(market: .perpetual)
        let symbols = (0..<count).map { "INSTRUMENT\(1_000 + $0)USDT" }
        let subscription = VenueSubscription(rawSymbols: symbols, channels: [.trades, .book])
        let head = "wss://fstream.binance.com/stream?streams="
        let url = dialect.url(for: subscription)
        #expect(url.hasPrefix(head) && url.utf8.count <= head.utf8.count + 1_500)
        let frames = dialect.subscribeFrames(for: subscription)
        let asked = frames.flatMap { frame -> [String] in
            #expect(frame.hasPrefix("{\"method\":\"SUBSCRIBE\",\"params\":[\"instrument"))
            return frame.split(separator: "\"").map(String.init).filter { $0.contains("@") }
        }
        #expect(frames.allSatisfy { $0.utf8.count <= 4_096 })
        let all = url.dropFirst(head.count).split(separator: "/").map(String.init) + asked
        #expect(all == ["@aggTrade", "@depth@100ms"].flatMap { end in symbols.map { $0.lowercased() + end } })
    }

    @Test(
        "asks for further channels in the venue's own words",
        arguments: [
            ("binance", "wss://stream.binance.com:9443/stream?streams=btcusdt@bookTicker/btcusdt@depth@0ms", nil),
            ("coinbase", "wss://ws-feed.exchange.coinbase.com", "\"channels\":[\"depth@0ms\"]"),
            ("kraken", "wss://ws.kraken.com", "\"subscription\":{\"name\":\"depth@0ms\"}"),
        ]
    )
    func ownChannels(venue: String, url: String, part: String?) throws {
        var bench = try Bench(venue, channels: [.quotes], ownChannels: ["depth@0ms"])
        #expect(bench.handle(.start) == [.connect(url: url)])
        let sent = (bench.handle(.connected) + bench.pass(second)).map { "\($0)" }
        #expect(sent.count == (part == nil ? 0 : 2))
        if let part { #expect(sent.last?.replacing("\\", with: "").contains(part) == true) }
    }

    @Test("waits for a frame as long as it is told, and does not move its timer with every frame")
    func ownSilence() throws {
        var limits = VenueClient.Limits()
        limits.silenceMostNs = 2 * second
        var bench = try Bench("binance", limits: limits)
        bench.goLive()
        let timerNs = bench.timerNs
        bench.now += second / 2
        bench.handle(.heard)
        #expect(bench.timerNs == timerNs)
        #expect(bench.pass(2 * second - 1) == [])
        #expect(bench.pass(1) == [.close, .lost(.silence)])
    }

    @Test("gives up a connection that does not open in ten seconds and tries again")
    func connectTimeout() throws {
        var bench = try Bench("kraken")
        bench.handle(.start)
        #expect(bench.pass(10 * second - 1) == [])
        #expect(bench.pass(1) == [.close])
        #expect(bench.client.state == .pausing)
        #expect(bench.pass(second) == [.connect(url: "wss://ws.kraken.com")])
    }

    @Test("takes silence for a loss: closes, tells, and comes back", arguments: ["coinbase", "kraken", "binance"])
    func silence(venue: String) throws {
        var bench = try Bench(venue)
        bench.goLive()
        let most = try #require(Venues.dialect(of: venue)).rules.silenceMostNs
        #expect(bench.pass(most - 1) == [])
        #expect(bench.pass(1) == [.close, .lost(.silence)])
        bench.pass(second)
        #expect(bench.client.state == .connecting)
    }

    @Test("doubles its pauses up to a minute, half of each at random")
    func pauses() throws {
        var bench = try Bench("kraken")
        bench.handle(.start)
        var pauses: [Int64] = []
        for _ in 0..<10 {
            bench.handle(.closed)
            let start = bench.now
            bench.pass(bench.timerNs - bench.now)
            pauses.append(bench.now - start)
        }
        #expect(
            pauses.map { $0 / 1_000_000 } == [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]
        )
        bench.random = .max
        bench.handle(.closed)
        let longest = bench.timerNs - bench.now
        #expect(longest > 30 * second && longest < 60 * second)
    }

    @Test("starts with short pauses again only after a connection that stayed", arguments: [(29, 4), (30, 1)])
    func steady(seconds: Int64, losses: Int) throws {
        var bench = try Bench("kraken")
        bench.handle(.start)
        for _ in 0..<3 {
            bench.handle(.closed)
            bench.pass(bench.timerNs - bench.now)
        }
        bench.handle(.connected)
        for _ in 0..<seconds {
            bench.pass(second)
            bench.handle(.heard)
        }
        bench.handle(.closed)
        #expect(bench.client.losses == losses)
    }

    @Test("asks for books no faster than the venue allows")
    func fetchRate() throws {
        var bench = try Bench("binance")
        bench.goLive()
        let every = try #require(Venues.dialect(of: "binance")).rules.snapshotEveryNs
        let first = bench.handle(.demanded(.fetchSnapshot(url: "a", rawSymbol: "A")))
        #expect(first == [.fetch(url: "a", rawSymbol: "A")])
        #expect(bench.handle(.demanded(.fetchSnapshot(url: "b", rawSymbol: "B"))) == [])
        #expect(bench.handle(.demanded(.fetchSnapshot(url: "b", rawSymbol: "B"))) == [], "asked for already")
        #expect(bench.pass(every - 1) == [])
        #expect(bench.pass(1) == [.fetch(url: "b", rawSymbol: "B")])
    }

    @Test("asks again after a refusal with longer and longer pauses, and after no answer at all")
    func fetchFailure() throws {
        var bench = try Bench("binance")
        bench.goLive()
        bench.handle(.demanded(.fetchSnapshot(url: "a", rawSymbol: "A")))
        for pause in [Int64(1), 2, 4] {
            #expect(bench.handle(.fetchFailed(rawSymbol: "A")) == [])
            bench.handle(.heard)
            #expect(bench.pass(pause * second - 1) == [])
            #expect(bench.pass(1) == [.fetch(url: "a", rawSymbol: "A")])
        }
        bench.handle(.heard)
        #expect(bench.pass(15 * second) == [])
        bench.handle(.heard)
        #expect(bench.pass(8 * second) == [.fetch(url: "a", rawSymbol: "A")])
        bench.handle(.fetched(rawSymbol: "A"))
        bench.handle(.heard)
        #expect(bench.pass(20 * second) == [])
    }

    @Test("resubscribes an instrument at once, and again only after five seconds")
    func resubscribes() throws {
        var bench = try Bench("kraken")
        bench.goLive()
        let demand = FeedAction.Demand.resubscribe(rawSymbol: "XBT/USD", frames: ["off", "on"])
        #expect(bench.handle(.demanded(demand)) == [.send("off"), .send("on")])
        #expect(bench.handle(.demanded(demand)) == [])
        #expect(bench.pass(5 * second - 1) == [])
        #expect(bench.pass(1) == [.send("off"), .send("on")])
    }

    @Test("resubscribes on the channel that the connection is for")
    func resubscribesOwnChannel() throws {
        var bench = try Bench("deribit", channels: [], ownChannels: ["book.{instrument_name}.raw"])
        bench.goLive()
        bench.handle(.demanded(.resubscribe(rawSymbol: "BTCUSDT", frames: ["off", "on"])))
        bench.pass(second)
        let frames = ["unsubscribe", "subscribe"].map {
            #"{"jsonrpc":"2.0","id":0,"method":"public/\#($0)","params":{"channels":["book.BTCUSDT.raw"]}}"#
        }
        #expect(bench.effects == frames.map { .send($0) })
    }

    @Test("answers before it sends what it wants itself")
    func answersFirst() throws {
        var bench = try Bench("deribit")
        bench.handle(.start)
        bench.handle(.connected)
        #expect(bench.effects.count == 2, "connected, and asked for heartbeats")
        bench.handle(.demanded(.send("answer")))
        bench.pass(second)
        #expect(bench.effects.count == 4)
        #expect(bench.effects[2] == .send("answer"))
    }

    @Test("leaves before the venue closes a connection of a day")
    func life() throws {
        var bench = try Bench("binance")
        bench.goLive()
        for _ in 0..<85_998 {
            bench.pass(second)
            bench.handle(.heard)
        }
        #expect(bench.effects == [])
        #expect(bench.pass(second) == [.renew])
        // Its successor is on its way; without one it goes by itself.
        for _ in 0..<299 {
            bench.handle(.heard)
            #expect(bench.pass(second) == [])
        }
        bench.handle(.heard)
        #expect(bench.pass(second).prefix(2) == [.close, .lost(.connectionLost)])
    }

    @Test("a venue that fails eight times in a row is left alone for a minute at least")
    func breaker() throws {
        var bench = try Bench("kraken", failuresMost: 8)
        bench.handle(.start)
        var connects = 1
        while bench.client.losses < 8 {
            bench.handle(.closed)
            connects += bench.pass(60 * second).count { if case .connect = $0 { true } else { false } }
        }
        guard case .open(let untilNs) = bench.gate.breaker else {
            Issue.record("the breaker is not open")
            return
        }
        #expect(connects == 8)
        #expect(bench.client.state == .pausing)
        #expect(bench.pass(untilNs - bench.now - 1) == [])
        #expect(bench.pass(1) == [.connect(url: "wss://ws.kraken.com")])
    }

    @Test("a venue that answers too many requests is not asked again before its time")
    func refusedFetch() throws {
        var bench = try Bench("binance")
        bench.goLive()
        bench.handle(.demanded(.fetchSnapshot(url: "a", rawSymbol: "A")))
        bench.handle(.fetchRefused(rawSymbol: "A", retryAfterNs: 20 * second))
        for _ in 0..<19 {
            #expect(bench.pass(second) == [])
            bench.handle(.heard)
        }
        #expect(bench.pass(second) == [.fetch(url: "a", rawSymbol: "A")])
    }

    @Test("reconnects when the venue asks for it, and drops what it wanted to send")
    func reconnects() throws {
        var bench = try Bench("kraken")
        bench.goLive()
        #expect(bench.handle(.demanded(.reconnect(.venueRequest))) == [.close, .lost(.venueRequest)])
        #expect(bench.handle(.demanded(.send("late"))) == [])
        #expect(bench.pass(second) == [.connect(url: "wss://ws.kraken.com")])
    }

    @Test("does nothing more once stopped")
    func stops() throws {
        var bench = try Bench("kraken")
        bench.goLive()
        #expect(bench.handle(.stop) == [.close, .lost(.connectionLost)])
        #expect(bench.handle(.closed) == [])
        #expect(bench.pass(1_000 * second) == [])
    }
}
