internal import JSON

/// Bybit as a client meets it: v5 of spot, linear and inverse instruments, and v2 as it was until 2023.
///
/// Sources: bybit-exchange.github.io/docs/v5, pages ws/connect (`ping`, at most ten topics a frame for spot, the answers) and
/// websocket/public/orderbook (a subscription begins with a snapshot); of v2 the recorded answers. The words of the refusal are
/// those that clients of v5 report. Limits of messages are not published; none is enforced.
package struct BybitManner: VenueManner {
    package enum Generation: Sendable {
        case spot
        case linear
        case inverse
        case v2
    }

    package let venue: String
    package let rules = MannerRules()
    private let generation: Generation

    package init(_ generation: Generation) {
        self.generation = generation
        venue =
            switch generation {
            case .spot: "bybit"
            case .linear: "bybit-linear"
            case .inverse: "bybit-inverse"
            case .v2: "bybit-v2"
            }
    }

    package func role(of frame: UnsafeRawBufferPointer) -> RecordedRole {
        if let topic = RecordedText.string("topic", in: frame) {
            return (try? Self.stream(named: topic)).map { .data($0) } ?? .other
        }
        // Of v5 an answer does not tell what it answers.
        guard generation == .v2, let answer = try? JSONDocument.request(frame), answer["success"]?.written == "true",
            let request = answer["request"], request["op"]?.string == "subscribe",
            let topics = try? request["args"]?.texts(named: "args"), topics.count == 1,
            let stream = try? Self.stream(named: topics[0])
        else { return .other }
        return .acknowledgement(stream)
    }

    /// `orderbook.50.BTCUSDT`: the instrument stands behind the last point.
    private static func stream(named topic: String) throws(MeaningFault) -> PlayedStream {
        guard let dot = topic.lastIndex(of: "."), dot > topic.startIndex, topic.index(after: dot) < topic.endIndex
        else { throw .badChannel(topic) }
        return PlayedStream(channel: String(topic[..<dot]), symbol: String(topic[topic.index(after: dot)...]))
    }

    private static func name(_ stream: PlayedStream) -> String { "\(stream.channel).\(stream.symbol)" }

    package func request(_ text: UnsafeRawBufferPointer) throws(MeaningFault) -> VenueRequest {
        let frame = try JSONDocument.request(text)
        guard let verb = frame["op"]?.string else { throw .badMember("op") }
        try frame.allow(only: ["op", "args", "req_id"])
        let tag = frame["req_id"]?.written
        if verb == "ping" { return .ping(tag: tag) }
        guard verb == "subscribe" || verb == "unsubscribe" else { throw .unknownRequest(verb) }
        guard let args = frame["args"] else { throw .badMember("args") }
        let topics = try args.texts(named: "args")
        guard generation != .spot || topics.count <= 10 else { throw .badMember("args") }
        var streams: Set<PlayedStream> = []
        for topic in topics { streams.insert(try Self.stream(named: topic)) }
        return verb == "subscribe" ? .subscribe(streams, tag: tag) : .unsubscribe(streams, tag: tag)
    }

    package func streams(
        ofPath path: String,
        query: [(name: String, value: String)]
    ) throws(MeaningFault) -> [PlayedStream]? {
        let paths =
            switch generation {
            case .spot: ["/v5/public/spot"]
            case .linear: ["/v5/public/linear"]
            case .inverse: ["/v5/public/inverse"]
            case .v2: ["/realtime", "/realtime_public"]
            }
        return paths.contains(path) ? [] : nil
    }

    /// A frame with one wrong topic fails as a whole.
    package func reply(
        to request: VenueRequest,
        having streams: Set<PlayedStream>,
        in recording: Recording
    ) -> VenueReply {
        var reply = VenueReply()
        switch request {
        case .ping(let tag):
            reply.texts = [answer("ping", isSuccess: true, "pong", nil, tag)]
        case .subscribe(let asked, let tag):
            reply.refused = asked.filter { !recording.offers($0) }
            if let wrong = reply.refused.min() {
                let message = "error:handler not found,topic:\(Self.name(wrong))"
                reply.texts = [answer("subscribe", isSuccess: false, message, asked, tag)]
                return reply
            }
            reply.begins = asked.subtracting(streams)
            let recorded = asked.count == 1 ? asked.first.flatMap(recording.acknowledgement(of:)) : nil
            reply.texts = [recorded ?? answer("subscribe", isSuccess: true, "subscribe", asked, tag)]
        case .unsubscribe(let asked, let tag):
            reply.ends = asked.intersection(streams)
            reply.texts = [answer("unsubscribe", isSuccess: true, "unsubscribe", asked, tag)]
        case .list: break
        }
        return reply
    }

    /// v2 repeats the request, v5 its verb and its mark.
    private func answer(
        _ verb: String,
        isSuccess: Bool,
        _ message: String,
        _ streams: Set<PlayedStream>?,
        _ tag: String?
    ) -> String {
        let isSilent = generation == .v2 && isSuccess && verb != "ping"
        var text =
            "{\"success\":\(isSuccess),\"ret_msg\":\(JSONText.quoted(isSilent ? "" : message)),\"conn_id\":\"played\","
        if generation == .v2 {
            let topics = streams.map {
                "[" + $0.sorted().map { JSONText.quoted(Self.name($0)) }.joined(separator: ",") + "]"
            }
            text += "\"request\":{\"op\":\"\(verb)\",\"args\":\(topics ?? "null")}}"
        } else {
            text += "\"req_id\":\(tag ?? "\"\""),\"op\":\"\(verb)\"}"
        }
        return text
    }

    package func refusal(of fault: MeaningFault) -> String {
        answer("subscribe", isSuccess: false, "error:\(fault.description)", nil, nil)
    }

    package func httpRefusal(_ refusal: HTTPRefusal) -> String { "{\"retCode\":10001,\"retMsg\":\"Not recorded\"}" }
}
