internal import JSON

/// Binance spot, USD-M and COIN-M futures as a client meets them: combined streams, named in the URL or subscribed to later.
///
/// Sources: developers.binance.com, "WebSocket Streams" of spot (ping every 20 s, pong within a minute, 5 messages a
/// second) and of USD-M and COIN-M futures (every 3 minutes, within 10 minutes, 10 a second). The close code
/// 1008 "Too many requests" is what clients report. A stream that was not recorded is refused with the error of the REST API:
/// the venue itself would accept it and stay silent, which would hide the mistake.
package struct BinanceManner: VenueManner {
    package enum MarketKind: Sendable {
        case spot
        case perpetual
        case coinMargined
    }

    package let venue: String
    package let rules: MannerRules

    package init(market: MarketKind) {
        var rules = MannerRules()
        rules.countsPongs = true
        rules.endsWithRecording = true
        switch market {
        case .spot:
            venue = "binance"
            rules.inbound = .window(mostPerSecond: 5)
            rules.pingEveryNs = 20_000_000_000
            rules.pongMostNs = 60_000_000_000
        case .perpetual, .coinMargined:
            venue = market == .perpetual ? "binance-usdm" : "binance-coinm"
            rules.inbound = .window(mostPerSecond: 10)
            rules.pingEveryNs = 180_000_000_000
            rules.pongMostNs = 600_000_000_000
        }
        self.rules = rules
    }

    package func role(of frame: UnsafeRawBufferPointer) -> RecordedRole {
        guard let name = RecordedText.string("stream", in: frame), let stream = try? stream(named: name) else {
            return .other
        }
        return .data(stream)
    }

    /// `btcusdt@depth@100ms`: the symbol and the rest.
    private func stream(named name: String) throws(MeaningFault) -> PlayedStream {
        guard let at = name.firstIndex(of: "@"), at > name.startIndex else { throw .badChannel(name) }
        return PlayedStream(channel: String(name[name.index(after: at)...]), symbol: String(name[..<at]))
    }

    package func request(_ text: UnsafeRawBufferPointer) throws(MeaningFault) -> VenueRequest {
        let frame = try JSONDocument.request(text)
        guard let method = frame["method"]?.string else { throw .badMember("method") }
        try frame.allow(only: ["method", "params", "id"])
        let tag = frame["id"]?.written
        if method == "LIST_SUBSCRIPTIONS" { return .list(tag: tag) }
        guard method == "SUBSCRIBE" || method == "UNSUBSCRIBE" else { throw .unknownRequest(method) }
        guard let params = frame["params"] else { throw .badMember("params") }
        var streams: Set<PlayedStream> = []
        for name in try params.texts(named: "params") { streams.insert(try stream(named: name)) }
        return method == "SUBSCRIBE" ? .subscribe(streams, tag: tag) : .unsubscribe(streams, tag: tag)
    }

    package func streams(
        ofPath path: String,
        query: [(name: String, value: String)]
    ) throws(MeaningFault) -> [PlayedStream]? {
        guard path == "/stream" else { return nil }
        var streams: [PlayedStream] = []
        for (name, value) in query {
            guard name == "streams" else { throw .unknownMember(name) }
            for text in value.split(separator: "/") { streams.append(try stream(named: String(text))) }
        }
        return streams
    }

    package func reply(
        to request: VenueRequest,
        having streams: Set<PlayedStream>,
        in recording: Recording
    ) -> VenueReply {
        var reply = VenueReply()
        switch request {
        case .subscribe(let asked, let tag):
            reply.refused = asked.filter { !recording.offers($0) }
            if let wrong = reply.refused.min() {
                reply.texts = [Self.error(2, "Invalid request: unknown stream \(Self.name(wrong))", tag)]
                return reply
            }
            reply.begins = asked.subtracting(streams)
            reply.texts = [Self.result("null", tag)]
        case .unsubscribe(let asked, let tag):
            reply.ends = asked.intersection(streams)
            reply.texts = [Self.result("null", tag)]
        case .list(let tag):
            let names = streams.sorted().map { JSONText.quoted(Self.name($0)) }
            reply.texts = [Self.result("[\(names.joined(separator: ","))]", tag)]
        case .ping: break
        }
        return reply
    }

    private static func name(_ stream: PlayedStream) -> String { "\(stream.symbol)@\(stream.channel)" }

    private static func result(_ result: String, _ tag: String?) -> String {
        "{\"result\":\(result),\"id\":\(tag ?? "null")}"
    }

    private static func error(_ code: Int, _ message: String, _ tag: String?) -> String {
        "{\"error\":{\"code\":\(code),\"msg\":\(JSONText.quoted(message))}" + (tag.map { ",\"id\":\($0)" } ?? "") + "}"
    }

    package func refusal(of fault: MeaningFault) -> String {
        switch fault {
        case .notJSON, .binary: Self.error(3, "Invalid JSON: \(fault.description)", nil)
        default: Self.error(2, "Invalid request: \(fault.description)", nil)
        }
    }

    package func httpRefusal(_ refusal: HTTPRefusal) -> String {
        switch refusal {
        case .unknownPath: "{\"code\":-1000,\"msg\":\"Path was not recorded.\"}"
        case .unknownSymbol: "{\"code\":-1121,\"msg\":\"Invalid symbol.\"}"
        case .unknownParameter(let name):
            "{\"code\":-1130,\"msg\":\(JSONText.quoted("Data sent for parameter '\(name)' is not valid."))}"
        }
    }
}
