internal import JSON

/// Kraken Futures, WebSocket version 1, as a client meets it.
///
/// Sources: docs.kraken.com/api/docs/futures-api/websocket, pages book, trade and ticker_lite (acknowledgements and the texts of
/// errors); products in small letters are taken and answered in capitals, as recorded. That a client must ping at least once
/// a minute is not enforced.
package struct KrakenFuturesManner: VenueManner {
    package let venue = "kraken-futures"
    package let paths = ["/ws/v1", "/"]
    package let rules = MannerRules()

    package init() {}

    package func role(of frame: UnsafeRawBufferPointer) -> RecordedRole {
        if let event = RecordedText.string("event", in: frame) {
            if event == "info" { return .greeting }
            guard event == "subscribed", let stream = acknowledged(frame) else { return .other }
            return .acknowledgement(stream)
        }
        guard let feed = RecordedText.string("feed", in: frame),
            let product = RecordedText.string("product_id", in: frame)
        else { return .other }
        let channel = feed.hasSuffix("_snapshot") ? String(feed.dropLast("_snapshot".count)) : feed
        return .data(PlayedStream(channel: channel, symbol: product))
    }

    /// The stream of an acknowledgement, which names one product.
    private func acknowledged(_ frame: UnsafeRawBufferPointer) -> PlayedStream? {
        guard let document = try? JSONDocument.request(frame), let feed = document["feed"]?.string,
            let products = try? document["product_ids"]?.texts(named: "product_ids"), products.count == 1
        else { return nil }
        return PlayedStream(channel: feed, symbol: products[0])
    }

    package func request(_ text: UnsafeRawBufferPointer) throws(MeaningFault) -> VenueRequest {
        let frame = try JSONDocument.request(text)
        guard let event = frame["event"]?.string else { throw .badMember("event") }
        guard event == "subscribe" || event == "unsubscribe" else { throw .unknownRequest(event) }
        try frame.allow(only: ["event", "feed", "product_ids"])
        guard let feed = frame["feed"]?.string else { throw .badMember("feed") }
        guard let products = frame["product_ids"] else { throw .badMember("product_ids") }
        let streams = Set(
            try products.texts(named: "product_ids").map { PlayedStream(channel: feed, symbol: $0.uppercased()) }
        )
        return event == "subscribe" ? .subscribe(streams, tag: nil) : .unsubscribe(streams, tag: nil)
    }

    /// Every product is answered on its own, the wrong ones among them.
    package func reply(
        to request: VenueRequest,
        having streams: Set<PlayedStream>,
        in recording: Recording
    ) -> VenueReply {
        var reply = VenueReply()
        switch request {
        case .subscribe(let asked, _):
            reply = .each(of: asked, having: streams, in: recording) { stream in
                recording.acknowledgement(of: stream) ?? Self.acknowledgement("subscribed", stream)
            } refusal: { stream in
                let isProduct = recording.symbols.contains(stream.symbol)
                return Self.error(isProduct ? "Invalid feed" : "Invalid product id")
            }
        case .unsubscribe(let asked, _):
            reply.ends = asked.intersection(streams)
            reply.texts = asked.sorted().map { Self.acknowledgement("unsubscribed", $0) }
        case .list, .ping: break
        }
        return reply
    }

    private static func acknowledgement(_ event: String, _ stream: PlayedStream) -> String {
        "{\"event\":\"\(event)\",\"feed\":\(JSONText.quoted(stream.channel)),"
            + "\"product_ids\":[\(JSONText.quoted(stream.symbol))]}"
    }

    private static func error(_ message: String) -> String {
        "{\"event\":\"error\",\"message\":\(JSONText.quoted(message))}"
    }

    package func refusal(of fault: MeaningFault) -> String {
        switch fault {
        case .notJSON, .binary: Self.error("Json Error")
        default: Self.error("Json Error: \(fault.description)")
        }
    }

    package func httpRefusal(_ refusal: HTTPRefusal) -> String { "{\"result\":\"error\",\"error\":\"notFound\"}" }
}
