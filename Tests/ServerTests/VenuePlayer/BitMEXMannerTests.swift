import Server
import Testing

@Suite("BitMEX as it is played")
struct BitMEXMannerTests {
    private let manner = BitMEXManner()

    private func recording() throws -> Recording {
        try Played.recording(
            "1\t1\tC\twss://www.bitmex.com/realtime",
            "2\t1\tS\t{\"op\":\"subscribe\",\"args\":[\"trade:A\",\"trade:B\"]}",
            "3\t1\tR\t{\"info\":\"Welcome\",\"version\":\"1\"}",
            "4\t1\tR\t{\"success\":true,\"subscribe\":\"trade:A\",\"request\":{}}",
            "5\t1\tR\t{\"table\":\"trade\",\"action\":\"partial\",\"types\":{\"symbol\":\"symbol\"},"
                + "\"filter\":{\"symbol\":\"A\"},\"data\":[]}",
            "6\t1\tR\t{\"table\":\"orderBookL2\",\"action\":\"update\",\"data\":[{\"symbol\":\"B\",\"id\":1}]}"
        )
    }

    private func role(_ text: String) -> RecordedRole { Array(text.utf8).withUnsafeBytes { manner.role(of: $0) } }

    @Test("a frame belongs to its table and its instrument, also a partial, whose table of types names a symbol too")
    func roles() throws {
        let recording = try recording()
        #expect(recording.manner.venue == "bitmex")
        #expect(recording.greeting == "{\"info\":\"Welcome\",\"version\":\"1\"}")
        #expect(
            recording.frames.map { recording.streams[$0.stream] } == [
                PlayedStream(channel: "trade", symbol: "A"), PlayedStream(channel: "orderBookL2", symbol: "B"),
            ]
        )
        #expect(role("{\"status\":400,\"error\":\"x\"}") == .other)
        #expect(role("{\"success\":true,\"subscribe\":\"announcement\"}") == .other)
    }

    @Test("topics are a table and an instrument")
    func requests() throws {
        let streams: Set = [PlayedStream(channel: "trade", symbol: "A"), PlayedStream(channel: "quote", symbol: "B")]
        let text = "{\"args\":[\"quote:B\",\"trade:A\"],\"op\":\"subscribe\"}"
        #expect(try Played.request(text, of: manner) == .subscribe(streams, tag: nil))
        #expect(try Played.request("ping", of: manner) == .ping(tag: nil))
        #expect(
            try manner.streams(ofPath: "/realtime", query: [(name: "subscribe", value: "trade:A,quote:B")])
                .map(Set.init) == streams
        )
        #expect(try manner.streams(ofPath: "/elsewhere", query: []) == nil)
    }

    @Test(
        "what has no meaning is named",
        arguments: [
            ("pong", MeaningFault.notJSON), ("{}", .badMember("op")), ("{\"op\":\"subscribe\"}", .badMember("args")),
            ("{\"op\":\"subscribe\",\"args\":[\"trade\"]}", .badChannel("trade")),
            ("{\"op\":\"authKey\",\"args\":[\"a:b\"]}", .unknownRequest("authKey")),
            ("{\"op\":\"subscribe\",\"args\":[\"a:b\"],\"id\":1}", .unknownMember("id")),
        ]
    )
    func meaningless(text: String, fault: MeaningFault) {
        #expect(throws: fault) { try Played.request(text, of: manner) }
    }

    @Test("each topic is answered on its own, recorded ones in the recorded words, wrong ones with an error")
    func replies() throws {
        let recording = try recording()
        let asked = Played.trades("A", "B", "C")
        let reply = recording.manner.reply(to: .subscribe(asked, tag: nil), having: [], in: recording)
        #expect(reply.begins == Played.trades("A", "B"))
        #expect(reply.refused == Played.trades("C"))
        #expect(
            reply.texts == [
                "{\"success\":true,\"subscribe\":\"trade:A\",\"request\":{}}",
                "{\"success\":true,\"subscribe\":\"trade:B\",\"request\":{\"op\":\"subscribe\",\"args\":[\"trade:B\"]}}",
                "{\"status\":400,\"error\":\"Unknown or expired symbol. Topic: trade:C\",\"meta\":{}}",
            ]
        )
        let pong = recording.manner.reply(to: .ping(tag: nil), having: [], in: recording)
        #expect(pong.texts == ["pong"])
        let ended = recording.manner.reply(to: .unsubscribe(Played.trades("A"), tag: nil), having: asked, in: recording)
        #expect(ended.ends == Played.trades("A"))
    }
}
