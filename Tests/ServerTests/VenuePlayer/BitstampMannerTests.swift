import Server
import Testing

@Suite("Bitstamp as a played venue")
struct BitstampMannerTests {
    private static let stream = PlayedStream(channel: "diff_order_book", symbol: "ethusd")
    private static let acknowledgement =
        #"{"event":"bts:subscription_succeeded","channel":"diff_order_book_ethusd","data":{}}"#

    private static func request(_ verb: String, _ channel: String) -> String {
        #"{"event":"bts:\#(verb)","data":{"channel":"\#(channel)"}}"#
    }

    private static func recording() throws -> Recording {
        try Played.recording(
            "1\t1\tC\twss://ws.bitstamp.net/",
            "2\t1\tS\t" + request("subscribe", "diff_order_book_ethusd"),
            "3\t0\tH\thttps://www.bitstamp.net/api/v2/order_book/ethusd\t{\"microtimestamp\":\"5\"}",
            "4\t1\tR\t" + acknowledgement,
            "5\t1\tR\t{\"data\":{},\"channel\":\"diff_order_book_ethusd\",\"event\":\"data\"}"
        )
    }

    @Test("subscribes channel by channel, unsubscribes, and answers heartbeats")
    func replies() throws {
        let recording = try Self.recording()
        #expect(recording.frames.count == 1)
        let asked = try Played.request(Self.request("subscribe", "diff_order_book_ethusd"), of: BitstampManner())
        let reply = recording.manner.reply(to: asked, having: [], in: recording)
        #expect(reply.begins == [Self.stream])
        #expect(reply.texts == [Self.acknowledgement])
        let off = try Played.request(Self.request("unsubscribe", "diff_order_book_ethusd"), of: BitstampManner())
        #expect(recording.manner.reply(to: off, having: [Self.stream], in: recording).ends == [Self.stream])
        let wrong = try Played.request(Self.request("subscribe", "live_trades_xyz"), of: BitstampManner())
        let refusal = recording.manner.reply(to: wrong, having: [], in: recording)
        #expect(refusal.refused == [PlayedStream(channel: "live_trades", symbol: "xyz")])
        #expect(refusal.texts.first?.contains("Bad subscription string.") == true)
        let heartbeat = try Played.request(#"{"event":"bts:heartbeat"}"#, of: BitstampManner())
        #expect(
            recording.manner.reply(to: heartbeat, having: [], in: recording).texts.first?.contains("success") == true
        )
    }

    @Test("answers a request for a recorded book by its path, and no other")
    func books() throws {
        let recording = try Self.recording()
        let body = try recording.answer(path: "/api/v2/order_book/ethusd", query: [])
        #expect(String(decoding: body, as: UTF8.self) == "{\"microtimestamp\":\"5\"}")
        #expect(throws: HTTPRefusal.unknownPath) { try recording.answer(path: "/api/v2/order_book/xyz", query: []) }
    }

    @Test(
        "what has no meaning is named",
        arguments: [
            ("x", MeaningFault.notJSON), ("{}", .badMember("event")),
            (#"{"event":"bts:dance"}"#, .unknownRequest("bts:dance")),
            (#"{"event":"bts:subscribe"}"#, .badMember("channel")),
            (request("subscribe", "trades_x"), .badChannel("trades_x")),
            (request("subscribe", "live_trades_"), .badChannel("live_trades_")),
            (#"{"event":"bts:subscribe","data":{"channel":"live_trades_x","auth":"y"}}"#, .unknownMember("auth")),
        ]
    )
    func meaningless(text: String, fault: MeaningFault) {
        #expect(throws: fault) { try Played.request(text, of: BitstampManner()) }
    }
}
