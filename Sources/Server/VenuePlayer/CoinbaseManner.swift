internal import JSON

/// Coinbase Exchange as a client meets it.
///
/// Sources: docs.cdp.coinbase.com/exchange/websocket-feed, pages overview (a subscription within five seconds),
/// rate-limits (10 messages a second, bursts of 1,000, a lazily filled token bucket) and errors.
package struct CoinbaseManner: VenueManner {
    package let venue = "coinbase"
    package let rules: MannerRules

    package init() {
        var rules = MannerRules()
        rules.inbound = .bucket(perSecond: 10, burst: 1_000)
        rules.subscribeMostNs = 5_000_000_000
        self.rules = rules
    }

    package func role(of frame: UnsafeRawBufferPointer) -> RecordedRole {
        guard let type = RecordedText.string("type", in: frame) else { return .other }
        let channel: String
        switch type {
        case "snapshot", "l2update": channel = "level2"
        case "match", "last_match": channel = "matches"
        case "ticker": channel = "ticker"
        default: return .other
        }
        guard let symbol = RecordedText.string("product_id", in: frame) else { return .other }
        return .data(PlayedStream(channel: channel, symbol: symbol))
    }

    package func request(_ text: UnsafeRawBufferPointer) throws(MeaningFault) -> VenueRequest {
        let frame = try JSONDocument.request(text)
        guard let type = frame["type"]?.string else { throw .badMember("type") }
        try frame.allow(only: ["type", "product_ids", "channels"])
        let common = try frame["product_ids"].map { ids throws(MeaningFault) in try ids.texts(named: "product_ids") }
        guard let channels = frame["channels"], channels.kind == .array, !channels.elements.isEmpty else {
            throw .badMember("channels")
        }
        var streams: Set<PlayedStream> = []
        for channel in channels.elements {
            let name: String
            var products = common ?? []
            if let text = channel.string {
                name = text
            } else {
                try channel.allow(only: ["name", "product_ids"])
                guard let text = channel["name"]?.string else { throw .badMember("channels") }
                name = text
                if let own = channel["product_ids"] { products += try own.texts(named: "product_ids") }
            }
            guard !products.isEmpty else { throw .badMember("product_ids") }
            for product in products { streams.insert(PlayedStream(channel: name, symbol: product)) }
        }
        switch type {
        case "subscribe": return .subscribe(streams, tag: nil)
        case "unsubscribe": return .unsubscribe(streams, tag: nil)
        default: throw .unknownRequest(type)
        }
    }

    /// A frame with one wrong product fails as a whole.
    package func reply(
        to request: VenueRequest,
        having streams: Set<PlayedStream>,
        in recording: Recording
    ) -> VenueReply {
        var reply = VenueReply()
        switch request {
        case .subscribe(let asked, _):
            reply.refused = asked.filter { !recording.offers($0) }
            if let wrong = reply.refused.min() {
                let isProduct = recording.symbols.contains(wrong.symbol)
                let reason =
                    isProduct ? "\(wrong.channel) is not a valid channel" : "\(wrong.symbol) is not a valid product"
                reply.texts = [Self.error("Failed to subscribe", reason)]
                return reply
            }
            reply.begins = asked.subtracting(streams)
            reply.texts = [Self.acknowledgement(streams.union(asked))]
        case .unsubscribe(let asked, _):
            reply.ends = asked.intersection(streams)
            reply.texts = [Self.acknowledgement(streams.subtracting(asked))]
        case .list, .ping: break
        }
        return reply
    }

    private static func acknowledgement(_ streams: Set<PlayedStream>) -> String {
        let channels = Dictionary(grouping: streams.sorted(), by: \.channel).sorted { $0.key < $1.key }
        let entries = channels.map { name, streams in
            "{\"name\":\(JSONText.quoted(name)),\"product_ids\":["
                + streams.map { JSONText.quoted($0.symbol) }.joined(separator: ",") + "]}"
        }
        return "{\"type\":\"subscriptions\",\"channels\":[\(entries.joined(separator: ","))]}"
    }

    private static func error(_ message: String, _ reason: String) -> String {
        "{\"type\":\"error\",\"message\":\(JSONText.quoted(message)),\"reason\":\(JSONText.quoted(reason))}"
    }

    package func refusal(of fault: MeaningFault) -> String {
        switch fault {
        case .notJSON, .binary: Self.error("Malformed JSON", fault.description)
        default: Self.error("Failed to subscribe", fault.description)
        }
    }

    package func httpRefusal(_ refusal: HTTPRefusal) -> String { "{\"message\":\"NotFound\"}" }
}
