internal import JSON

/// Bitstamp's WebSocket, version 2, as a client meets it; its order books by REST are answered by their paths.
///
/// Source: bitstamp.net/websocket/v2, parts "Subscriptions", "Heartbeat" and "Errors" (the words of `bts:error` as clients
/// report them). No rate of messages is published; none is enforced.
package struct BitstampManner: VenueManner {
    package let venue = "bitstamp"
    package let rules: MannerRules

    package init() {
        var rules = MannerRules()
        rules.endsWithRecording = true
        self.rules = rules
    }

    private static let channels = [
        "diff_order_book", "detail_order_book", "order_book", "live_trades", "live_orders",
    ]

    /// `diff_order_book_ethusd`: the instrument is the end.
    private func stream(named name: String) throws(MeaningFault) -> PlayedStream {
        for channel in Self.channels where name.hasPrefix(channel + "_") {
            let symbol = name.dropFirst(channel.count + 1)
            guard !symbol.isEmpty else { break }
            return PlayedStream(channel: channel, symbol: String(symbol))
        }
        throw .badChannel(name)
    }

    package func role(of frame: UnsafeRawBufferPointer) -> RecordedRole {
        guard let name = RecordedText.string("channel", in: frame), let stream = try? stream(named: name) else {
            return .other
        }
        switch RecordedText.string("event", in: frame) {
        case "data", "trade": return .data(stream)
        case "bts:subscription_succeeded": return .acknowledgement(stream)
        default: return .other
        }
    }

    package func request(_ text: UnsafeRawBufferPointer) throws(MeaningFault) -> VenueRequest {
        let frame = try JSONDocument.request(text)
        try frame.allow(only: ["event", "data"])
        guard let event = frame["event"]?.string else { throw .badMember("event") }
        if event == "bts:heartbeat" { return .ping(tag: nil) }
        guard event == "bts:subscribe" || event == "bts:unsubscribe" else { throw .unknownRequest(event) }
        guard let data = frame["data"], data.kind == .object, let name = data["channel"]?.string else {
            throw .badMember("channel")
        }
        try data.allow(only: ["channel"])
        let stream = try stream(named: name)
        return event == "bts:subscribe" ? .subscribe([stream], tag: nil) : .unsubscribe([stream], tag: nil)
    }

    package func reply(
        to request: VenueRequest,
        having streams: Set<PlayedStream>,
        in recording: Recording
    ) -> VenueReply {
        var reply = VenueReply()
        switch request {
        case .ping:
            reply.texts = [#"{"event":"bts:heartbeat","channel":"","data":{"status":"success"}}"#]
        case .subscribe(let asked, _):
            reply = .each(of: asked, having: streams, in: recording) { stream in
                recording.acknowledgement(of: stream) ?? Self.succeeded("subscription", stream)
            } refusal: { _ in
                Self.error("Bad subscription string.")
            }
        case .unsubscribe(let asked, _):
            reply.ends = asked.intersection(streams)
            reply.texts = asked.sorted().map { Self.succeeded("unsubscription", $0) }
        case .list: break
        }
        return reply
    }

    private static func succeeded(_ what: String, _ stream: PlayedStream) -> String {
        let name = JSONText.quoted("\(stream.channel)_\(stream.symbol)")
        return "{\"event\":\"bts:\(what)_succeeded\",\"channel\":\(name),\"data\":{}}"
    }

    private static func error(_ message: String) -> String {
        "{\"event\":\"bts:error\",\"channel\":\"\",\"data\":{\"code\":null,\"message\":\(JSONText.quoted(message))}}"
    }

    package func refusal(of fault: MeaningFault) -> String {
        switch fault {
        case .badChannel: Self.error("Bad subscription string.")
        case .notJSON, .binary: Self.error("Incorrect JSON format.")
        default: Self.error(fault.description)
        }
    }

    package func httpRefusal(_ refusal: HTTPRefusal) -> String {
        "{\"status\":\"error\",\"reason\":\"Not found.\",\"code\":\"404.001\"}"
    }
}
