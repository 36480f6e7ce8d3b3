import Server
import Testing

@Suite("OKX as a played venue")
struct OKXMannerTests {
    private static let argument = #"{"channel":"books","instId":"A-B"}"#
    private static let stream = PlayedStream(channel: "books", symbol: "A-B")

    private static func recording() throws -> Recording {
        try Played.recording(
            "1\t1\tC\twss://ws.okx.com:8443/ws/v5/public",
            "2\t1\tS\t{\"op\":\"subscribe\",\"args\":[\(argument)]}",
            "3\t1\tR\t{\"event\":\"subscribe\",\"arg\":\(argument)}",
            "4\t1\tR\t{\"arg\":\(argument),\"action\":\"snapshot\",\"data\":[]}"
        )
    }

    @Test("plays data, gives back the recorded acknowledgement and answers each argument on its own")
    func replies() throws {
        let recording = try Self.recording()
        #expect(recording.frames.count == 1)
        let wrong = PlayedStream(channel: "books", symbol: "C-D")
        let reply = recording.manner.reply(to: .subscribe([Self.stream, wrong], tag: nil), having: [], in: recording)
        #expect(reply.begins == [Self.stream])
        #expect(reply.refused == [wrong])
        #expect(reply.texts.first == #"{"event":"subscribe","arg":\#(Self.argument)}"#)
        #expect(reply.texts.last?.contains(#""code":"60018""#) == true)
        let end = recording.manner.reply(
            to: .unsubscribe([Self.stream], tag: "\"7\""),
            having: [Self.stream],
            in: recording
        )
        #expect(end.ends == [Self.stream])
        #expect(end.texts == [#"{"id":"7","event":"unsubscribe","arg":\#(Self.argument),"connId":"0"}"#])
    }

    @Test("answers a ping in plain text")
    func ping() throws {
        let recording = try Self.recording()
        #expect(try Played.request("ping", of: OKXManner()) == .ping(tag: nil))
        #expect(recording.manner.reply(to: .ping(tag: nil), having: [], in: recording).texts == ["pong"])
    }

    @Test(
        "what has no meaning is named",
        arguments: [
            ("pong", MeaningFault.notJSON), ("{}", .badMember("op")),
            (#"{"op":"login","args":[]}"#, .unknownRequest("login")),
            (#"{"op":"subscribe","args":[]}"#, .badMember("args")),
            (#"{"op":"subscribe","args":[{"channel":"books"}]}"#, .badMember("args")),
            (
                #"{"op":"subscribe","args":[{"channel":"books","instId":"A","instType":"SPOT"}]}"#,
                .unknownMember("instType")
            ),
        ]
    )
    func meaningless(text: String, fault: MeaningFault) {
        #expect(throws: fault) { try Played.request(text, of: OKXManner()) }
    }
}
