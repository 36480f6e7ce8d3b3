import Server
import Testing

@Suite("Gemini, played")
struct GeminiMannerTests {
    private static let book = PlayedStream(channel: "l2", symbol: "BTCUSD")

    private static func recording() throws -> Recording {
        try Played.recording(
            "1\t1\tC\twss://api.gemini.com/v2/marketdata",
            "2\t1\tS\t{\"type\":\"subscribe\",\"subscriptions\":[{\"name\":\"l2\",\"symbols\":[\"BTCUSD\"]}]}",
            "3\t1\tR\t{\"type\":\"l2_updates\",\"symbol\":\"BTCUSD\",\"changes\":[],\"trades\":[]}",
            "4\t1\tR\t{\"type\":\"trade\",\"symbol\":\"BTCUSD\"}",
            "5\t1\tR\t{\"type\":\"heartbeat\",\"timestamp\":1}",
            "6\t1\tR\t{\"type\":\"candles_1m_updates\",\"symbol\":\"BTCUSD\"}"
        )
    }

    @Test("trades belong to the book's subscription, candles to their own")
    func reads() throws {
        let recording = try Self.recording()
        #expect(recording.manner.venue == "gemini")
        #expect(recording.frames.map(\.line) == [3, 4, 6])
        #expect(recording.streams == [Self.book, PlayedStream(channel: "candles_1m", symbol: "BTCUSD")])
    }

    @Test("begins what was recorded without a word, and names the rest")
    func replies() throws {
        let recording = try Self.recording()
        let text = "{\"type\":\"subscribe\",\"subscriptions\":[{\"symbols\":[\"btcusd\",\"X\"],\"name\":\"l2\"}]}"
        let reply = recording.manner.reply(
            to: try Played.request(text, of: recording.manner),
            having: [],
            in: recording
        )
        #expect(reply.begins == [Self.book])
        #expect(
            reply.texts == ["{\"result\":\"error\",\"reason\":\"InvalidSymbol\",\"message\":\"X is not supported\"}"]
        )
        let end = try Played.request(
            text.replacing("subscribe", with: "unsubscribe", maxReplacements: 1),
            of: recording.manner
        )
        #expect(recording.manner.reply(to: end, having: [Self.book], in: recording).ends == [Self.book])
    }

    @Test(
        "what has no meaning is named",
        arguments: [
            ("{\"subscriptions\":[]}", MeaningFault.badMember("type")),
            ("{\"type\":\"logon\"}", .unknownRequest("logon")),
            ("{\"type\":\"subscribe\"}", .badMember("subscriptions")),
            ("{\"type\":\"subscribe\",\"subscriptions\":[{\"symbols\":[]}]}", .badMember("name")),
            ("{\"type\":\"subscribe\",\"subscriptions\":[{\"name\":\"l2\"}]}", .badMember("symbols")),
            ("{\"type\":\"subscribe\",\"subscriptions\":[{\"depth\":1}]}", .unknownMember("depth")),
        ]
    )
    func meaningless(text: String, fault: MeaningFault) {
        #expect(throws: fault) { try Played.request(text, of: GeminiManner()) }
    }
}
