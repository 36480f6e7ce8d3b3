import Server
import Testing

@Suite("Bybit as it is played")
struct BybitMannerTests {
    private static let book = "{\"topic\":\"orderbook.50.BTCUSDT\",\"type\":\"snapshot\",\"data\":{\"s\":\"BTCUSDT\"}}"

    private func recording(_ path: String, _ topic: String = "orderbook.50.BTCUSDT") throws -> Recording {
        try Played.recording(
            "1\t1\tC\twss://stream.bybit.com\(path)",
            "2\t1\tS\t{\"op\":\"subscribe\",\"args\":[\"\(topic)\"]}",
            "3\t1\tR\t{\"success\":true,\"ret_msg\":\"\",\"conn_id\":\"3\","
                + "\"request\":{\"op\":\"subscribe\",\"args\":[\"\(topic)\"]}}",
            "4\t1\tR\t\(Self.book)"
        )
    }

    @Test(
        "which of the venue's markets it is, the path tells",
        arguments: [
            ("/v5/public/spot", "bybit"), ("/v5/public/linear", "bybit-linear"),
            ("/v5/public/inverse", "bybit-inverse"),
            ("/realtime", "bybit-v2"), ("/realtime_public", "bybit-v2"),
        ]
    )
    func markets(path: String, venue: String) throws {
        let recording = try recording(path)
        #expect(recording.manner.venue == venue)
        #expect(recording.frames.count == 1)
        #expect(recording.streams == [PlayedStream(channel: "orderbook.50", symbol: "BTCUSDT")])
        #expect(try recording.manner.streams(ofPath: path, query: []) == [])
        #expect(try recording.manner.streams(ofPath: "/v5/public/option", query: []) == nil)
    }

    @Test("an unknown path is no venue")
    func unknown() {
        #expect(throws: Recording.Refusal.unknownVenue) { try recording("/v5/private") }
    }

    @Test("topics are a channel with its options and an instrument")
    func requests() throws {
        let manner = BybitManner(.linear)
        let streams: Set = [
            PlayedStream(channel: "orderbook.50", symbol: "A"), PlayedStream(channel: "publicTrade", symbol: "B"),
        ]
        let text = "{\"req_id\":\"x\",\"args\":[\"publicTrade.B\",\"orderbook.50.A\"],\"op\":\"subscribe\"}"
        #expect(try Played.request(text, of: manner) == .subscribe(streams, tag: "\"x\""))
        #expect(try Played.request("{\"op\":\"ping\"}", of: manner) == .ping(tag: nil))
    }

    @Test(
        "what has no meaning is named",
        arguments: [
            ("ping", MeaningFault.notJSON), ("{}", .badMember("op")), ("{\"op\":\"subscribe\"}", .badMember("args")),
            ("{\"op\":\"subscribe\",\"args\":[\"tickers\"]}", .badChannel("tickers")),
            ("{\"op\":\"subscribe\",\"args\":[\"tickers.\"]}", .badChannel("tickers.")),
            ("{\"op\":\"auth\",\"args\":[\"a\"]}", .unknownRequest("auth")),
            ("{\"op\":\"ping\",\"id\":1}", .unknownMember("id")),
        ]
    )
    func meaningless(text: String, fault: MeaningFault) {
        #expect(throws: fault) { try Played.request(text, of: BybitManner(.inverse)) }
    }

    @Test("spot takes at most ten topics a frame", arguments: [(10, true), (11, false)])
    func most(count: Int, isTaken: Bool) {
        let topics = (0..<count).map { "\"tickers.C\($0)\"" }.joined(separator: ",")
        let text = "{\"op\":\"subscribe\",\"args\":[\(topics)]}"
        #expect(((try? Played.request(text, of: BybitManner(.spot))) != nil) == isTaken)
        #expect((try? Played.request(text, of: BybitManner(.linear))) != nil)
    }

    @Test("v5 answers a frame as a whole, v2 in the recorded words")
    func replies() throws {
        let (v5, v2) = (try recording("/v5/public/linear"), try recording("/realtime_public"))
        let known = PlayedStream(channel: "orderbook.50", symbol: "BTCUSDT")
        let unknown = PlayedStream(channel: "orderbook.3", symbol: "BTCUSDT")
        let right = v5.manner.reply(to: .subscribe([known], tag: "\"7\""), having: [], in: v5)
        #expect(right.begins == [known])
        let words = "\"conn_id\":\"played\",\"req_id\":"
        #expect(
            right.texts == ["{\"success\":true,\"ret_msg\":\"subscribe\",\(words)\"7\",\"op\":\"subscribe\"}"]
        )
        let wrong = v5.manner.reply(to: .subscribe([known, unknown], tag: nil), having: [], in: v5)
        #expect(wrong.begins.isEmpty)
        #expect(wrong.refused == [unknown])
        #expect(wrong.texts.first?.contains("handler not found,topic:orderbook.3.BTCUSDT") == true)
        let recorded = v2.manner.reply(to: .subscribe([known], tag: nil), having: [], in: v2)
        #expect(recorded.texts.first?.contains("\"conn_id\":\"3\"") == true)
        let pongs = [v5, v2].map { $0.manner.reply(to: .ping(tag: nil), having: [], in: $0).texts }
        #expect(
            pongs == [
                ["{\"success\":true,\"ret_msg\":\"pong\",\(words)\"\",\"op\":\"ping\"}"],
                [
                    "{\"success\":true,\"ret_msg\":\"pong\",\"conn_id\":\"played\","
                        + "\"request\":{\"op\":\"ping\",\"args\":null}}"
                ],
            ]
        )
        let ended = v5.manner.reply(to: .unsubscribe([known, unknown], tag: nil), having: [known], in: v5)
        #expect(ended.ends == [known])
    }
}
