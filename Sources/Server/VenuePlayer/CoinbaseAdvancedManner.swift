internal import JSON

/// Coinbase Advanced Trade as a client meets it.
///
/// Sources: docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket, pages websocket-overview (a subscription within
/// five seconds), websocket-channels and websocket-rate-limits (8 messages a second). `sequence_num` counts the frames of each
/// connection, so the recorded numbers are replaced.
package struct CoinbaseAdvancedManner: VenueManner {
    package let venue = "coinbase-advanced"
    package let rules: MannerRules

    package init() {
        var rules = MannerRules()
        rules.inbound = .window(mostPerSecond: 8)
        rules.subscribeMostNs = 5_000_000_000
        rules.heartbeatEveryNs = 1_000_000_000
        rules.heartbeat = Self.frame("heartbeats", "{\"heartbeat_counter\":1}")
        self.rules = rules
    }

    package func role(of frame: UnsafeRawBufferPointer) -> RecordedRole {
        let channel: String
        switch RecordedText.string("channel", in: frame) {
        case "l2_data": channel = "level2"
        case "market_trades": channel = "market_trades"
        case "ticker": channel = "ticker"
        default: return .other
        }
        guard let product = RecordedText.string("product_id", in: frame) else { return .other }
        return .data(PlayedStream(channel: channel, symbol: product))
    }

    package func numbered(_ text: some Collection<UInt8>, _ number: UInt64) -> [UInt8]? {
        let bytes = Array(text)
        let key = Array("\"sequence_num\":".utf8)
        guard let place = bytes.firstRange(of: key) else { return nil }
        let end = bytes[place.upperBound...].firstIndex { !(UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
        return bytes[..<place.upperBound] + Array("\(number)".utf8) + bytes[(end ?? bytes.endIndex)...]
    }

    package func request(_ text: UnsafeRawBufferPointer) throws(MeaningFault) -> VenueRequest {
        let frame = try JSONDocument.request(text)
        guard let type = frame["type"]?.string else { throw .badMember("type") }
        guard type == "subscribe" || type == "unsubscribe" else { throw .unknownRequest(type) }
        try frame.allow(only: ["type", "product_ids", "channel"])
        guard let channel = frame["channel"]?.string else { throw .badMember("channel") }
        var streams: Set = [PlayedStream(channel: channel, symbol: "")]
        if channel != "heartbeats" {
            guard let products = frame["product_ids"] else { throw .badMember("product_ids") }
            let names = try products.texts(named: "product_ids")
            guard !names.isEmpty else { throw .badMember("product_ids") }
            streams = Set(names.map { PlayedStream(channel: channel, symbol: $0) })
        }
        return type == "subscribe" ? .subscribe(streams, tag: nil) : .unsubscribe(streams, tag: nil)
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
                reply.texts = [Self.error("\(wrong.symbol) \(wrong.channel) is not a valid subscription")]
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
            "\(JSONText.quoted(name)):[" + streams.map { JSONText.quoted($0.symbol) }.joined(separator: ",") + "]"
        }
        return frame("subscriptions", "{\"subscriptions\":{\(entries.joined(separator: ","))}}")
    }

    private static func frame(_ channel: String, _ event: String) -> String {
        "{\"channel\":\"\(channel)\",\"client_id\":\"\",\"sequence_num\":0,\"events\":[\(event)]}"
    }

    private static func error(_ message: String) -> String {
        "{\"type\":\"error\",\"message\":\(JSONText.quoted(message))}"
    }

    package func refusal(of fault: MeaningFault) -> String { Self.error("failure: \(fault.description)") }

    package func httpRefusal(_ refusal: HTTPRefusal) -> String { "{\"error\":\"NOT_FOUND\"}" }
}
