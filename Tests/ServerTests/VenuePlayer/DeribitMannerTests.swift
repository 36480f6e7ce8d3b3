import Server
import Testing

@Suite("Deribit as a played venue")
struct DeribitMannerTests {
    private static let stream = PlayedStream(channel: "book.raw", symbol: "A-PERPETUAL")

    private static func request(_ method: String, _ parameters: String) -> String {
        #"{"jsonrpc":"2.0","id":7,"method":"public/\#(method)","params":\#(parameters)}"#
    }

    private static func recording() throws -> Recording {
        try Played.recording(
            "1\t1\tC\twss://www.deribit.com/ws/api/v2",
            "2\t1\tS\t" + request("subscribe", #"{"channels":["book.A-PERPETUAL.raw"]}"#),
            "3\t1\tR\t{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":[\"book.A-PERPETUAL.raw\"]}",
            "4\t1\tR\t{\"method\":\"subscription\",\"params\":{\"channel\":\"book.A-PERPETUAL.raw\",\"data\":{}}}"
        )
    }

    @Test("subscribes, unsubscribes and answers in JSON-RPC")
    func replies() throws {
        let recording = try Self.recording()
        #expect(recording.frames.count == 1)
        #expect(recording.streams == [Self.stream])
        let asked = try Played.request(
            Self.request("subscribe", #"{"channels":["book.A-PERPETUAL.raw"]}"#),
            of: DeribitManner()
        )
        #expect(asked == .subscribe([Self.stream], tag: "7"))
        let reply = recording.manner.reply(to: asked, having: [], in: recording)
        #expect(reply.begins == [Self.stream])
        let tail = #","usIn":0,"usOut":0,"usDiff":0}"#
        #expect(reply.texts == [#"{"jsonrpc":"2.0","id":7,"result":["book.A-PERPETUAL.raw"]"# + tail])
        let end = recording.manner.reply(
            to: .unsubscribe([Self.stream], tag: "8"),
            having: [Self.stream],
            in: recording
        )
        #expect(end.ends == [Self.stream])
        #expect(end.texts == [#"{"jsonrpc":"2.0","id":8,"result":["book.A-PERPETUAL.raw"]"# + tail])
    }

    @Test("sets a heartbeat and answers a test")
    func heartbeats() throws {
        let recording = try Self.recording()
        let set = try Played.request(Self.request("set_heartbeat", #"{"interval":10}"#), of: DeribitManner())
        let answer = recording.manner.reply(to: set, having: [], in: recording)
        #expect(answer.begins.isEmpty)
        #expect(answer.texts.first?.contains(#""result":"ok""#) == true)
        let test = try Played.request(Self.request("test", "{}"), of: DeribitManner())
        #expect(test == .ping(tag: "7"))
        #expect(recording.manner.reply(to: test, having: [], in: recording).texts.first?.contains("version") == true)
    }

    @Test("refuses a request with a channel that was not recorded as a whole")
    func refuses() throws {
        let recording = try Self.recording()
        let wrong = PlayedStream(channel: "book.100ms", symbol: "A-PERPETUAL")
        let reply = recording.manner.reply(to: .subscribe([Self.stream, wrong], tag: "7"), having: [], in: recording)
        #expect(reply.begins.isEmpty)
        #expect(reply.refused == [wrong])
        #expect(reply.texts.first?.contains("unknown channel book.A-PERPETUAL.100ms") == true)
    }

    @Test(
        "what has no meaning is named",
        arguments: [
            ("x", MeaningFault.notJSON), ("{}", .badMember("jsonrpc")),
            (request("login", "{}"), .unknownRequest("public/login")),
            (request("set_heartbeat", #"{"interval":9}"#), .badMember("interval")),
            (request("subscribe", "[]"), .badMember("params")),
            (request("subscribe", #"{"channels":[]}"#), .badMember("channels")),
            (request("subscribe", #"{"channels":["book.A"]}"#), .badChannel("book.A")),
            (request("subscribe", #"{"channels":["x.A.raw"]}"#), .badChannel("x.A.raw")),
        ]
    )
    func meaningless(text: String, fault: MeaningFault) {
        #expect(throws: fault) { try Played.request(text, of: DeribitManner()) }
    }
}
