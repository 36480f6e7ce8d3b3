internal import JSON

/// Kraken's WebSocket API version 2 as a client meets it.
///
/// Sources: docs.kraken.com/api/docs/websocket-v2, pages book, trade, ticker, instrument (requests and acknowledgements), ping,
/// and heartbeat (about once a second while there is a subscription).
package struct KrakenV2Manner: VenueManner {
    package let venue = "kraken-v2"
    package let paths = ["/v2", "/"]
    package let rules: MannerRules

    package init() {
        var rules = MannerRules()
        rules.heartbeatEveryNs = 1_000_000_000
        rules.heartbeat = "{\"channel\":\"heartbeat\"}"
        self.rules = rules
    }

    /// Frames do not tell their depth: books of more than one depth cannot be played from one recording.
    package func role(of frame: UnsafeRawBufferPointer) -> RecordedRole {
        if frame.starts(with: "{\"method\"".utf8) { return .other }
        guard let channel = RecordedText.string("channel", in: frame) else { return .other }
        switch channel {
        case "status": return .greeting
        case "instrument": return .data(PlayedStream(channel: channel, symbol: ""))
        case "book", "trade", "ticker", "ohlc":
            guard let symbol = RecordedText.string("symbol", in: frame) else { return .other }
            return .data(PlayedStream(channel: channel, symbol: symbol))
        default: return .other
        }
    }

    package func request(_ text: UnsafeRawBufferPointer) throws(MeaningFault) -> VenueRequest {
        let frame = try JSONDocument.request(text)
        guard let method = frame["method"]?.string else { throw .badMember("method") }
        try frame.allow(only: ["method", "params", "req_id"])
        let tag = frame["req_id"]?.written
        switch method {
        case "ping": return .ping(tag: tag)
        case "subscribe": return .subscribe(try streams(of: frame["params"]), tag: tag)
        case "unsubscribe": return .unsubscribe(try streams(of: frame["params"]), tag: tag)
        default: throw .unknownRequest(method)
        }
    }

    private func streams(of params: JSONValue?) throws(MeaningFault) -> Set<PlayedStream> {
        guard let params, let channel = params["channel"]?.string else { throw .badMember("params") }
        switch channel {
        case "instrument":
            try params.allow(only: ["channel", "snapshot"])
            return [PlayedStream(channel: channel, symbol: "")]
        case "book": try params.allow(only: ["channel", "symbol", "depth", "snapshot"])
        case "trade": try params.allow(only: ["channel", "symbol", "snapshot"])
        case "ticker": try params.allow(only: ["channel", "symbol", "snapshot", "event_trigger"])
        default: throw .badChannel(channel)
        }
        guard let symbols = params["symbol"] else { throw .badMember("symbol") }
        return Set(try symbols.texts(named: "symbol").map { PlayedStream(channel: channel, symbol: $0) })
    }

    /// Every pair is answered on its own, the wrong ones among them.
    package func reply(
        to request: VenueRequest,
        having streams: Set<PlayedStream>,
        in recording: Recording
    ) -> VenueReply {
        var reply = VenueReply()
        switch request {
        case .ping(let tag):
            reply.texts = ["{\"method\":\"pong\"" + (tag.map { ",\"req_id\":\($0)" } ?? "") + "}"]
        case .subscribe(let asked, let tag):
            reply = .each(of: asked, having: streams, in: recording) { stream in
                Self.result("subscribe", stream, tag)
            } refusal: { stream in
                let error = "Currency pair not supported \(stream.symbol)"
                return Self.error("subscribe", error, symbol: stream.symbol, tag)
            }
        case .unsubscribe(let asked, let tag):
            for stream in asked.sorted() {
                guard streams.contains(stream) else {
                    reply.texts.append(
                        Self.error("unsubscribe", "Subscription Not Found", symbol: stream.symbol, tag)
                    )
                    continue
                }
                reply.ends.insert(stream)
                reply.texts.append(Self.result("unsubscribe", stream, tag))
            }
        case .list: break
        }
        return reply
    }

    private static func result(_ method: String, _ stream: PlayedStream, _ tag: String?) -> String {
        let symbol = stream.symbol.isEmpty ? "" : ",\"symbol\":\(JSONText.quoted(stream.symbol))"
        return "{\"method\":\"\(method)\"" + (tag.map { ",\"req_id\":\($0)" } ?? "")
            + ",\"result\":{\"channel\":\(JSONText.quoted(stream.channel))\(symbol)},\"success\":true}"
    }

    private static func error(_ method: String, _ error: String, symbol: String, _ tag: String?) -> String {
        "{\"error\":\(JSONText.quoted(error)),\"method\":\"\(method)\"" + (tag.map { ",\"req_id\":\($0)" } ?? "")
            + ",\"success\":false,\"symbol\":\(JSONText.quoted(symbol))}"
    }

    package func refusal(of fault: MeaningFault) -> String {
        "{\"error\":\(JSONText.quoted("Malformed request: \(fault.description)")),\"success\":false}"
    }

    package func httpRefusal(_ refusal: HTTPRefusal) -> String { "{\"error\":[\"EGeneral:Unknown method\"]}" }
}
