internal import JSON

/// Gemini's market data version 2 as a client meets it.
///
/// Source: docs.gemini.com/websocket/market-data/v2, pages about and level-2-data. The documentation tells no words for a
/// refusal of this channel; those of the REST API are used.
package struct GeminiManner: VenueManner {
    package let venue = "gemini"
    package let paths = ["/v2/marketdata", "/"]
    package let rules: MannerRules

    package init() {
        var rules = MannerRules()
        rules.heartbeatEveryNs = 5_000_000_000
        rules.heartbeat = "{\"type\":\"heartbeat\",\"timestamp\":0}"
        self.rules = rules
    }

    /// Trades belong to the subscription of the book.
    package func role(of frame: UnsafeRawBufferPointer) -> RecordedRole {
        guard let type = RecordedText.string("type", in: frame), let symbol = RecordedText.string("symbol", in: frame)
        else { return .other }
        switch type {
        case "l2_updates", "trade": return .data(PlayedStream(channel: "l2", symbol: symbol))
        case let type where type.hasPrefix("candles_") && type.hasSuffix("_updates"):
            return .data(PlayedStream(channel: String(type.dropLast("_updates".count)), symbol: symbol))
        default: return .other
        }
    }

    package func request(_ text: UnsafeRawBufferPointer) throws(MeaningFault) -> VenueRequest {
        let frame = try JSONDocument.request(text)
        guard let type = frame["type"]?.string else { throw .badMember("type") }
        guard type == "subscribe" || type == "unsubscribe" else { throw .unknownRequest(type) }
        try frame.allow(only: ["type", "subscriptions"])
        guard let subscriptions = frame["subscriptions"], subscriptions.kind == .array else {
            throw .badMember("subscriptions")
        }
        var streams: Set<PlayedStream> = []
        for subscription in subscriptions.elements {
            try subscription.allow(only: ["name", "symbols"])
            guard let name = subscription["name"]?.string else { throw .badMember("name") }
            guard let symbols = subscription["symbols"] else { throw .badMember("symbols") }
            for symbol in try symbols.texts(named: "symbols") {
                streams.insert(PlayedStream(channel: name, symbol: symbol.uppercased()))
            }
        }
        return type == "subscribe" ? .subscribe(streams, tag: nil) : .unsubscribe(streams, tag: nil)
    }

    /// Nothing is acknowledged: the data begin.
    package func reply(
        to request: VenueRequest,
        having streams: Set<PlayedStream>,
        in recording: Recording
    ) -> VenueReply {
        var reply = VenueReply()
        switch request {
        case .subscribe(let asked, _):
            reply.refused = asked.filter { !recording.offers($0) }
            reply.begins = asked.subtracting(streams).subtracting(reply.refused)
            reply.texts = reply.refused.sorted().map { stream in
                let isSymbol = recording.symbols.contains(stream.symbol)
                let (reason, wrong) = isSymbol ? ("InvalidName", stream.channel) : ("InvalidSymbol", stream.symbol)
                return Self.error(reason, "\(wrong) is not supported")
            }
        case .unsubscribe(let asked, _): reply.ends = asked.intersection(streams)
        case .list, .ping: break
        }
        return reply
    }

    private static func error(_ reason: String, _ message: String) -> String {
        "{\"result\":\"error\",\"reason\":\"\(reason)\",\"message\":\(JSONText.quoted(message))}"
    }

    package func refusal(of fault: MeaningFault) -> String { Self.error("InvalidJson", fault.description) }

    package func httpRefusal(_ refusal: HTTPRefusal) -> String { Self.error("EndpointNotFound", "not recorded") }
}
