import Server
import Testing

@Suite("Kraken Futures, played")
struct KrakenFuturesMannerTests {
    private static let manner = KrakenFuturesManner()

    private static func recording() throws -> Recording {
        try Played.recording(
            "1\t1\tC\twss://futures.kraken.com/ws/v1",
            "2\t1\tS\t{\"event\":\"subscribe\",\"feed\":\"book\",\"product_ids\":[\"pi_a\",\"pi_b\"]}",
            "3\t1\tR\t{\"event\":\"info\",\"version\":1}",
            "4\t1\tR\t{\"event\":\"subscribed\",\"feed\":\"book\",\"product_ids\":[\"PI_A\"] }",
            "5\t1\tR\t{\"feed\":\"book_snapshot\",\"product_id\":\"PI_A\",\"seq\":1}",
            "6\t1\tR\t{\"feed\":\"book\",\"product_id\":\"PI_A\",\"seq\":2}",
            "7\t1\tR\t{\"feed\":\"ticker_lite\",\"product_id\":\"PI_A\"}"
        )
    }

    @Test("snapshots belong to the feed that they begin, products are the same in small letters")
    func streams() throws {
        let recording = try Self.recording()
        #expect(recording.manner.venue == "kraken-futures")
        #expect(recording.frames.map(\.line) == [5, 6, 7])
        #expect(recording.frames.map(\.stream) == [0, 0, 2])
        #expect(
            recording.streams == [
                PlayedStream(channel: "book", symbol: "PI_A"), PlayedStream(channel: "book", symbol: "PI_B"),
                PlayedStream(channel: "ticker_lite", symbol: "PI_A"),
            ]
        )
        #expect(recording.greeting == "{\"event\":\"info\",\"version\":1}")
    }

    @Test("answers each product on its own, recorded ones in the recorded words")
    func replies() throws {
        let recording = try Self.recording()
        let text = "{\"product_ids\":[\"pi_a\",\"PI_B\",\"PI_C\"],\"feed\":\"book\",\"event\":\"subscribe\"}"
        let request = try Played.request(text, of: Self.manner)
        let reply = recording.manner.reply(to: request, having: [], in: recording)
        #expect(reply.begins.map(\.symbol).sorted() == ["PI_A", "PI_B"])
        #expect(reply.refused == [PlayedStream(channel: "book", symbol: "PI_C")])
        #expect(
            reply.texts == [
                "{\"event\":\"subscribed\",\"feed\":\"book\",\"product_ids\":[\"PI_A\"] }",
                "{\"event\":\"subscribed\",\"feed\":\"book\",\"product_ids\":[\"PI_B\"]}",
                "{\"event\":\"error\",\"message\":\"Invalid product id\"}",
            ]
        )
        let ends = recording.manner.reply(to: .unsubscribe(reply.begins, tag: nil), having: reply.begins, in: recording)
        #expect(ends.ends == reply.begins)
        #expect(ends.texts.count == 2)
    }

    @Test(
        "what has no meaning is named",
        arguments: [
            ("[]", MeaningFault.notJSON), ("{\"feed\":\"book\"}", .badMember("event")),
            ("{\"event\":\"challenge\",\"api_key\":\"x\"}", .unknownRequest("challenge")),
            ("{\"event\":\"subscribe\",\"product_ids\":[\"A\"]}", .badMember("feed")),
            ("{\"event\":\"subscribe\",\"feed\":\"book\"}", .badMember("product_ids")),
            ("{\"event\":\"subscribe\",\"feed\":\"book\",\"product_ids\":[1]}", .badMember("product_ids")),
            (
                "{\"event\":\"subscribe\",\"feed\":\"book\",\"product_ids\":[],\"depth\":1}",
                .unknownMember("depth")
            ),
        ]
    )
    func meaningless(text: String, fault: MeaningFault) {
        #expect(throws: fault) { try Played.request(text, of: Self.manner) }
    }
}
