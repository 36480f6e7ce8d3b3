internal import JSON

/// OKX's public WebSocket, version 5, as a client meets it.
///
/// Sources: okx.com/docs-v5, "WebSocket", parts "Connect" (closed after 30 s without a subscription or data; `ping` as plain
/// text is answered `pong`), "Subscribe" and "Unsubscribe"; the error 60018 and the close code 4004 stand in its list of error
/// codes. Whether one wrong argument spoils the others of its request is not told; here each is answered on its own.
package struct OKXManner: VenueManner {
    package let venue = "okx"
    package let paths = ["/ws/v5/public"]
    package let rules: MannerRules

    package init() {
        var rules = MannerRules()
        rules.subscribeMostNs = 30_000_000_000
        rules.noSubscription = MannerRules.Closing(code: 4004, reason: "No data received in 30s")
        self.rules = rules
    }

    package func role(of frame: UnsafeRawBufferPointer) -> RecordedRole {
        guard let channel = RecordedText.string("channel", in: frame),
            let symbol = RecordedText.string("instId", in: frame)
        else { return .other }
        let stream = PlayedStream(channel: channel, symbol: symbol)
        guard let event = RecordedText.string("event", in: frame) else { return .data(stream) }
        return event == "subscribe" ? .acknowledgement(stream) : .other
    }

    package func request(_ text: UnsafeRawBufferPointer) throws(MeaningFault) -> VenueRequest {
        guard !text.elementsEqual("ping".utf8) else { return .ping(tag: nil) }
        let frame = try JSONDocument.request(text)
        try frame.allow(only: ["id", "op", "args"])
        guard let operation = frame["op"]?.string else { throw .badMember("op") }
        guard operation == "subscribe" || operation == "unsubscribe" else { throw .unknownRequest(operation) }
        guard let arguments = frame["args"], arguments.kind == .array, !arguments.elements.isEmpty else {
            throw .badMember("args")
        }
        var streams: Set<PlayedStream> = []
        for argument in arguments.elements {
            guard let channel = argument["channel"]?.string, let symbol = argument["instId"]?.string else {
                throw .badMember("args")
            }
            try argument.allow(only: ["channel", "instId"])
            streams.insert(PlayedStream(channel: channel, symbol: symbol))
        }
        let tag = frame["id"]?.written
        return operation == "subscribe" ? .subscribe(streams, tag: tag) : .unsubscribe(streams, tag: tag)
    }

    package func reply(
        to request: VenueRequest,
        having streams: Set<PlayedStream>,
        in recording: Recording
    ) -> VenueReply {
        var reply = VenueReply()
        switch request {
        case .ping: reply.texts = ["pong"]
        case .subscribe(let asked, let tag):
            reply = .each(of: asked, having: streams, in: recording) { stream in
                recording.acknowledgement(of: stream) ?? Self.event("subscribe", stream, tag)
            } refusal: { stream in
                let name = "channel:\(stream.channel),instId:\(stream.symbol)"
                return Self.error("60018", "Wrong URL or \(name) doesn't exist.", tag)
            }
        case .unsubscribe(let asked, let tag):
            reply.ends = asked.intersection(streams)
            reply.texts = asked.sorted().map { Self.event("unsubscribe", $0, tag) }
        case .list: break
        }
        return reply
    }

    private static func event(_ event: String, _ stream: PlayedStream, _ tag: String?) -> String {
        let argument = "{\"channel\":\(JSONText.quoted(stream.channel)),\"instId\":\(JSONText.quoted(stream.symbol))}"
        return "{" + idMember(tag) + "\"event\":\"\(event)\",\"arg\":\(argument),\"connId\":\"0\"}"
    }

    private static func error(_ code: String, _ message: String, _ tag: String?) -> String {
        "{" + idMember(tag)
            + "\"event\":\"error\",\"code\":\"\(code)\",\"msg\":\(JSONText.quoted(message)),\"connId\":\"0\"}"
    }

    private static func idMember(_ tag: String?) -> String { tag.map { "\"id\":\($0)," } ?? "" }

    package func refusal(of fault: MeaningFault) -> String {
        Self.error("60012", "Invalid request: \(fault.description)", nil)
    }

    package func httpRefusal(_ refusal: HTTPRefusal) -> String {
        "{\"code\":\"50040\",\"data\":[],\"msg\":\"nothing of this was recorded\"}"
    }
}
