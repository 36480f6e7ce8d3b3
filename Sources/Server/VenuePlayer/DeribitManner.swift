internal import JSON

/// Deribit's WebSocket as a client meets it: JSON-RPC.
///
/// Sources: docs.deribit.com, pages public/subscribe, public/unsubscribe, public/set_heartbeat (a `test_request` wants
/// public/test) and public/test. That a request is refused as a whole for one wrong channel is an assumption. A heartbeat
/// that stays unanswered closes nothing here, and one comes to everyone who subscribed.
package struct DeribitManner: VenueManner {
    package let venue = "deribit"
    package let paths = ["/ws/api/v2"]
    package let rules: MannerRules

    package init() {
        var rules = MannerRules()
        rules.heartbeatEveryNs = 10_000_000_000
        rules.heartbeat = #"{"jsonrpc":"2.0","method":"heartbeat","params":{"type":"test_request"}}"#
        self.rules = rules
    }

    package func role(of frame: UnsafeRawBufferPointer) -> RecordedRole {
        guard let name = RecordedText.string("channel", in: frame), let stream = try? stream(named: name) else {
            return .other
        }
        return .data(stream)
    }

    /// `book.BTC-PERPETUAL.raw`: the channel is what stands around the instrument.
    private func stream(named name: String) throws(MeaningFault) -> PlayedStream {
        let parts = name.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, ["book", "trades", "ticker"].contains(parts[0]), !parts[1].isEmpty else {
            throw .badChannel(name)
        }
        return PlayedStream(channel: "\(parts[0]).\(parts[2])", symbol: String(parts[1]))
    }

    private static func name(_ stream: PlayedStream) -> String {
        stream.channel.replacing(".", with: ".\(stream.symbol).", maxReplacements: 1)
    }

    package func request(_ text: UnsafeRawBufferPointer) throws(MeaningFault) -> VenueRequest {
        let frame = try JSONDocument.request(text)
        try frame.allow(only: ["jsonrpc", "id", "method", "params"])
        guard frame["jsonrpc"]?.string == "2.0" else { throw .badMember("jsonrpc") }
        guard let method = frame["method"]?.string else { throw .badMember("method") }
        let tag = frame["id"]?.written
        switch method {
        case "public/test": return .ping(tag: tag)
        case "public/set_heartbeat":
            guard let interval = frame["params"]?["interval"]?.uint64, interval >= 10 else {
                throw .badMember("interval")
            }
            // It is answered as a request for no channel would be.
            return .subscribe([], tag: tag)
        case "public/subscribe": return .subscribe(try streams(of: frame), tag: tag)
        case "public/unsubscribe": return .unsubscribe(try streams(of: frame), tag: tag)
        default: throw .unknownRequest(method)
        }
    }

    private func streams(of frame: JSONValue) throws(MeaningFault) -> Set<PlayedStream> {
        guard let parameters = frame["params"], parameters.kind == .object else { throw .badMember("params") }
        try parameters.allow(only: ["channels"])
        guard let channels = parameters["channels"] else { throw .badMember("channels") }
        var streams: Set<PlayedStream> = []
        for name in try channels.texts(named: "channels") { streams.insert(try stream(named: name)) }
        guard !streams.isEmpty else { throw .badMember("channels") }
        return streams
    }

    package func reply(
        to request: VenueRequest,
        having streams: Set<PlayedStream>,
        in recording: Recording
    ) -> VenueReply {
        var reply = VenueReply()
        switch request {
        case .ping(let tag): reply.texts = [Self.result(#"{"version":"1.2.26"}"#, tag)]
        case .subscribe(let asked, let tag):
            reply.refused = asked.filter { !recording.offers($0) }
            if let wrong = reply.refused.min() {
                reply.texts = [Self.error("unknown channel \(Self.name(wrong))", tag)]
                return reply
            }
            reply.begins = asked.subtracting(streams)
            reply.texts = [Self.result(asked.isEmpty ? "\"ok\"" : Self.names(asked), tag)]
        case .unsubscribe(let asked, let tag):
            reply.ends = asked.intersection(streams)
            reply.texts = [Self.result(Self.names(reply.ends), tag)]
        case .list: break
        }
        return reply
    }

    private static func names(_ streams: Set<PlayedStream>) -> String {
        "[" + streams.sorted().map { JSONText.quoted(name($0)) }.joined(separator: ",") + "]"
    }

    private static func result(_ result: String, _ tag: String?) -> String {
        "{\"jsonrpc\":\"2.0\",\"id\":\(tag ?? "null"),\"result\":\(result),\"usIn\":0,\"usOut\":0,\"usDiff\":0}"
    }

    private static func error(_ reason: String, _ tag: String?) -> String {
        let data = "{\"reason\":\(JSONText.quoted(reason)),\"param\":\"channels\"}"
        let error = "{\"message\":\"Invalid params\",\"data\":\(data),\"code\":-32602}"
        return "{\"jsonrpc\":\"2.0\",\"id\":\(tag ?? "null"),\"error\":\(error)}"
    }

    package func refusal(of fault: MeaningFault) -> String {
        switch fault {
        case .unknownRequest:
            "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"message\":\"Method not found\",\"code\":-32601}}"
        default: Self.error(fault.description, nil)
        }
    }

    package func httpRefusal(_ refusal: HTTPRefusal) -> String {
        "{\"jsonrpc\":\"2.0\",\"error\":{\"message\":\"not_found\",\"code\":13020}}"
    }
}
