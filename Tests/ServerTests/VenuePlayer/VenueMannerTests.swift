import Server
import Testing

@Suite("What a client's frame means to a played venue")
struct VenueMannerTests {
    private static let coinbase = CoinbaseManner()
    private static let kraken = KrakenManner()
    private static let binance = BinanceManner(market: .spot)

    @Test(
        "the order of keys and of lists, repetition and white space change nothing",
        arguments: [
            (
                "{\"type\":\"subscribe\",\"product_ids\":[\"A\",\"B\"],\"channels\":[\"level2\",\"matches\"]}",
                "{ \"channels\" : [\"matches\",\"level2\"], \"product_ids\":[\"B\",\"A\",\"B\"],\"type\":\"subscribe\" }"
            ),
            (
                "{\"type\":\"subscribe\",\"product_ids\":[\"A\"],\"channels\":[\"level2\"]}",
                "{\"type\":\"subscribe\",\"channels\":[{\"product_ids\":[\"A\"],\"name\":\"level2\"}]}"
            ),
            (
                "{\"type\":\"subscribe\",\"product_ids\":[\"A\"],\"channels\":[\"level2\"]}",
                "{\"type\":\"subscribe\",\"product_ids\":[\"\\u0041\"],\"channels\":[\"level2\"]}"
            ),
        ]
    )
    func equalOfCoinbase(one: String, other: String) throws {
        #expect(try Played.request(one, of: Self.coinbase) == Played.request(other, of: Self.coinbase))
    }

    @Test(
        "other products, channels or verbs are another meaning",
        arguments: [
            "{\"type\":\"subscribe\",\"product_ids\":[\"A\"],\"channels\":[\"level2\",\"matches\"]}",
            "{\"type\":\"subscribe\",\"product_ids\":[\"A\",\"B\"],\"channels\":[\"level2\"]}",
            "{\"type\":\"unsubscribe\",\"product_ids\":[\"A\",\"B\"],\"channels\":[\"level2\",\"matches\"]}",
        ]
    )
    func different(text: String) throws {
        let recorded = "{\"type\":\"subscribe\",\"product_ids\":[\"A\",\"B\"],\"channels\":[\"level2\",\"matches\"]}"
        #expect(try Played.request(text, of: Self.coinbase) != Played.request(recorded, of: Self.coinbase))
    }

    @Test("Kraken's options belong to the channel, and an absent depth is ten")
    func optionsOfKraken() throws {
        let book = "{\"event\":\"subscribe\",\"pair\":[\"A/X\"],\"subscription\":{\"depth\":1000,\"name\":\"book\"}}"
        let stream = PlayedStream(channel: "book-1000", symbol: "A/X")
        #expect(try Played.request(book, of: Self.kraken) == .subscribe([stream], tag: nil))
        let plain = "{\"reqid\":4,\"event\":\"subscribe\",\"pair\":[\"A/X\"],\"subscription\":{\"name\":\"book\"}}"
        let ten = PlayedStream(channel: "book-10", symbol: "A/X")
        #expect(try Played.request(plain, of: Self.kraken) == .subscribe([ten], tag: "4"))
    }

    @Test("Binance's streams may be named in the address or in a frame")
    func streamsOfBinance() throws {
        let streams: Set = [
            PlayedStream(channel: "depth@100ms", symbol: "btcusdt"), PlayedStream(channel: "trade", symbol: "btcusdt"),
        ]
        let query = [(name: "streams", value: "btcusdt@trade/btcusdt@depth@100ms")]
        #expect(try Self.binance.streams(ofPath: "/stream", query: query).map(Set.init) == streams)
        let frame = "{\"id\":1,\"method\":\"SUBSCRIBE\",\"params\":[\"btcusdt@depth@100ms\",\"btcusdt@trade\"]}"
        #expect(try Played.request(frame, of: Self.binance) == .subscribe(streams, tag: "1"))
        #expect(try Self.binance.streams(ofPath: "/elsewhere", query: query) == nil)
    }

    @Test(
        "what has no meaning is named",
        arguments: [
            ("{", MeaningFault.notJSON), ("[]", .notJSON), ("{\"type\":\"subscribe\"}", .badMember("channels")),
            ("{\"type\":\"subscribe\",\"channels\":[\"level2\"]}", .badMember("product_ids")),
            ("{\"type\":\"subscribe\",\"channels\":[\"a\"],\"product_ids\":[1]}", .badMember("product_ids")),
            (
                "{\"type\":\"subscribe\",\"channels\":[\"a\"],\"product_ids\":[\"b\"],\"key\":\"x\"}",
                .unknownMember("key")
            ),
            ("{\"type\":\"buy\",\"channels\":[\"a\"],\"product_ids\":[\"b\"]}", .unknownRequest("buy")),
        ]
    )
    func meaningless(text: String, fault: MeaningFault) {
        #expect(throws: fault) { try Played.request(text, of: Self.coinbase) }
    }

    @Test("Kraken answers each pair on its own, recorded ones in the recorded words, wrong ones with its error")
    func repliesOfKraken() throws {
        let recording = try Played.kraken()
        let asked = Played.trades("A/X", "C/X")
        let reply = recording.manner.reply(to: .subscribe(asked, tag: "9"), having: [], in: recording)
        #expect(reply.begins == Played.trades("A/X"))
        #expect(reply.refused == Played.trades("C/X"))
        #expect(reply.texts.count == 2)
        #expect(reply.texts[0].contains("\"channelID\":7"))
        #expect(reply.texts[1].contains("\"errorMessage\":\"Currency pair not supported C/X\""))
        #expect(reply.texts[1].contains("\"reqid\":9"))
        let pong = recording.manner.reply(to: .ping(tag: "42"), having: [], in: recording)
        #expect(pong.texts == ["{\"event\":\"pong\",\"reqid\":42}"])
    }

    @Test("Coinbase refuses a frame with one wrong product as a whole, and tells all that is subscribed otherwise")
    func repliesOfCoinbase() throws {
        let recording = try Played.recording(
            "1\t1\tC\twss://ws-feed.pro.coinbase.com",
            "2\t1\tS\t{\"type\":\"subscribe\",\"product_ids\":[\"A\",\"B\"],\"channels\":[\"ticker\"]}",
            "3\t1\tR\t{\"type\":\"ticker\",\"product_id\":\"A\"}"
        )
        let (a, c) = (PlayedStream(channel: "ticker", symbol: "A"), PlayedStream(channel: "ticker", symbol: "C"))
        let wrong = recording.manner.reply(to: .subscribe([a, c], tag: nil), having: [], in: recording)
        #expect(wrong.begins.isEmpty)
        #expect(
            wrong.texts == [
                "{\"type\":\"error\",\"message\":\"Failed to subscribe\",\"reason\":\"C is not a valid product\"}"
            ]
        )
        let b = PlayedStream(channel: "ticker", symbol: "B")
        let right = recording.manner.reply(to: .subscribe([a, b], tag: nil), having: [a], in: recording)
        #expect(right.begins == [b])
        #expect(
            right.texts
                == ["{\"type\":\"subscriptions\",\"channels\":[{\"name\":\"ticker\",\"product_ids\":[\"A\",\"B\"]}]}"]
        )
    }
}
