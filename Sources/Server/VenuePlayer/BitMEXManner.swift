internal import JSON

/// BitMEX as a client meets it.
///
/// Source: bitmex.com/app/wsAPI (commands and their answers, the texts `ping` and `pong`); the words of the answers are those of
/// the recorded ones. Limits of messages are not published for public tables; none is enforced.
package struct BitMEXManner: VenueManner {
    package let venue = "bitmex"
    package let rules = MannerRules()

    package init() {}

    package func role(of frame: UnsafeRawBufferPointer) -> RecordedRole {
        if let table = RecordedText.string("table", in: frame) {
            guard let symbol = RecordedText.string("symbol", in: frame.afterTypes) else { return .other }
            return .data(PlayedStream(channel: table, symbol: symbol))
        }
        if RecordedText.string("info", in: frame) != nil { return .greeting }
        guard let topic = RecordedText.string("subscribe", in: frame), let stream = try? Self.stream(named: topic)
        else {
            return .other
        }
        return .acknowledgement(stream)
    }

    /// `trade:XBTUSD`.
    private static func stream(named topic: String) throws(MeaningFault) -> PlayedStream {
        let parts = topic.split(separator: ":", maxSplits: 1)
        guard parts.count == 2 else { throw .badChannel(topic) }
        return PlayedStream(channel: String(parts[0]), symbol: String(parts[1]))
    }

    private static func name(_ stream: PlayedStream) -> String { "\(stream.channel):\(stream.symbol)" }

    package func request(_ text: UnsafeRawBufferPointer) throws(MeaningFault) -> VenueRequest {
        if text.elementsEqual("ping".utf8) { return .ping(tag: nil) }
        let frame = try JSONDocument.request(text)
        guard let verb = frame["op"]?.string else { throw .badMember("op") }
        try frame.allow(only: ["op", "args"])
        guard verb == "subscribe" || verb == "unsubscribe" else { throw .unknownRequest(verb) }
        guard let args = frame["args"] else { throw .badMember("args") }
        var streams: Set<PlayedStream> = []
        for topic in try args.texts(named: "args") { streams.insert(try Self.stream(named: topic)) }
        return verb == "subscribe" ? .subscribe(streams, tag: nil) : .unsubscribe(streams, tag: nil)
    }

    package func streams(
        ofPath path: String,
        query: [(name: String, value: String)]
    ) throws(MeaningFault) -> [PlayedStream]? {
        guard path == "/realtime" else { return nil }
        var streams: [PlayedStream] = []
        for (name, value) in query {
            guard name == "subscribe" else { throw .unknownMember(name) }
            for topic in value.split(separator: ",") { streams.append(try Self.stream(named: String(topic))) }
        }
        return streams
    }

    /// Every topic is answered on its own.
    package func reply(
        to request: VenueRequest,
        having streams: Set<PlayedStream>,
        in recording: Recording
    ) -> VenueReply {
        var reply = VenueReply()
        switch request {
        case .ping: reply.texts = ["pong"]
        case .subscribe(let asked, _):
            reply = .each(of: asked, having: streams, in: recording) { stream in
                recording.acknowledgement(of: stream) ?? Self.answer("subscribe", stream)
            } refusal: { stream in
                Self.error("Unknown or expired symbol. Topic: \(Self.name(stream))")
            }
        case .unsubscribe(let asked, _):
            reply.ends = asked.intersection(streams)
            reply.texts = asked.sorted().map { Self.answer("unsubscribe", $0) }
        case .list: break
        }
        return reply
    }

    private static func answer(_ verb: String, _ stream: PlayedStream) -> String {
        let topic = JSONText.quoted(name(stream))
        return "{\"success\":true,\"\(verb)\":\(topic),\"request\":{\"op\":\"\(verb)\",\"args\":[\(topic)]}}"
    }

    private static func error(_ text: String) -> String {
        "{\"status\":400,\"error\":\(JSONText.quoted(text)),\"meta\":{}}"
    }

    package func refusal(of fault: MeaningFault) -> String { Self.error(fault.description) }

    package func httpRefusal(_ refusal: HTTPRefusal) -> String {
        "{\"error\":{\"message\":\"Not Found\",\"name\":\"HTTPError\"}}"
    }
}

extension UnsafeRawBufferPointer {
    /// What stands behind a partial's table of types, which has a `symbol` too; all of it where there is none.
    fileprivate var afterTypes: UnsafeRawBufferPointer {
        let mark = Array("\"filter\":".utf8)
        // Types stand within the first few hundred bytes.
        let head = prefix(2_048)
        guard head.count > mark.count else { return self }
        for place in 0...(head.count - mark.count) where self[place] == mark[0] {
            if self[place..<(place + mark.count)].elementsEqual(mark) {
                return UnsafeRawBufferPointer(rebasing: self[place...])
            }
        }
        return self
    }
}
