import Server
import Testing

@Suite("Coinbase Advanced Trade, played")
struct CoinbaseAdvancedMannerTests {
    private static let manner = CoinbaseAdvancedManner()
    private static let book = PlayedStream(channel: "level2", symbol: "A")

    private static func recording() throws -> Recording {
        try Played.recording(
            "1\t1\tC\twss://advanced-trade-ws.coinbase.com",
            "2\t1\tS\t{\"type\":\"subscribe\",\"channel\":\"heartbeats\"}",
            "3\t1\tS\t{\"type\":\"subscribe\",\"product_ids\":[\"A\"],\"channel\":\"level2\"}",
            "4\t1\tR\t{\"channel\":\"l2_data\",\"sequence_num\":17,\"events\":[{\"product_id\":\"A\"}]}",
            "5\t1\tR\t{\"channel\":\"heartbeats\",\"sequence_num\":18,\"events\":[]}"
        )
    }

    @Test("knows the streams; heartbeats and acknowledgements are made anew")
    func reads() throws {
        let recording = try Self.recording()
        #expect(recording.manner.venue == "coinbase-advanced")
        #expect(recording.frames.map(\.line) == [4])
        #expect(recording.streams == [PlayedStream(channel: "heartbeats", symbol: ""), Self.book])
    }

    @Test("frames get the numbers of the connection that hears them")
    func numbers() {
        let text = "{\"channel\":\"l2_data\",\"sequence_num\":17,\"events\":[]}"
        let numbered = Self.manner.numbered(text.utf8, 4).map { String(decoding: $0, as: UTF8.self) }
        #expect(numbered == "{\"channel\":\"l2_data\",\"sequence_num\":4,\"events\":[]}")
        #expect(Self.manner.numbered("{\"type\":\"error\"}".utf8, 4) == nil)
        #expect(KrakenManner().numbered(text.utf8, 4) == nil)
    }

    @Test("refuses a frame with one wrong product as a whole, and tells all that is subscribed otherwise")
    func replies() throws {
        let recording = try Self.recording()
        let wrong = recording.manner.reply(
            to: .subscribe([Self.book, PlayedStream(channel: "level2", symbol: "B")], tag: nil),
            having: [],
            in: recording
        )
        #expect(wrong.begins.isEmpty)
        #expect(wrong.texts == ["{\"type\":\"error\",\"message\":\"B level2 is not a valid subscription\"}"])
        let right = recording.manner.reply(to: .subscribe([Self.book], tag: nil), having: [], in: recording)
        #expect(right.begins == [Self.book])
        #expect(
            right.texts == [
                "{\"channel\":\"subscriptions\",\"client_id\":\"\",\"sequence_num\":0,"
                    + "\"events\":[{\"subscriptions\":{\"level2\":[\"A\"]}}]}"
            ]
        )
    }

    @Test(
        "what has no meaning is named",
        arguments: [
            ("{\"channel\":\"level2\"}", MeaningFault.badMember("type")),
            ("{\"type\":\"buy\"}", .unknownRequest("buy")), ("{\"type\":\"subscribe\"}", .badMember("channel")),
            ("{\"type\":\"subscribe\",\"channel\":\"level2\"}", .badMember("product_ids")),
            ("{\"type\":\"subscribe\",\"channel\":\"level2\",\"product_ids\":[]}", .badMember("product_ids")),
            ("{\"type\":\"subscribe\",\"channel\":\"level2\",\"jwt\":\"x\"}", .unknownMember("jwt")),
        ]
    )
    func meaningless(text: String, fault: MeaningFault) {
        #expect(throws: fault) { try Played.request(text, of: Self.manner) }
    }
}
