internal import JSON

/// Kraken's WebSocket API version 1 as a client meets it.
///
/// Sources: docs.kraken.com/api/docs/websocket-v1, pages subscribe, subscriptionstatus (its error texts), ping and heartbeat
/// (about once a second while there is a subscription). A rate of messages is not published for public data; none is enforced.
package struct KrakenManner: VenueManner {
    package let venue = "kraken"
    package let rules: MannerRules

    package init() {
        var rules = MannerRules()
        rules.heartbeatEveryNs = 1_000_000_000
        rules.heartbeat = "{\"event\":\"heartbeat\"}"
        self.rules = rules
    }

    package func role(of frame: UnsafeRawBufferPointer) -> RecordedRole {
        if frame.first == UInt8(ascii: "[") { return data(frame) }
        switch RecordedText.string("event", in: frame) {
        case "systemStatus": return .greeting
        case "subscriptionStatus":
            guard let pair = RecordedText.string("pair", in: frame),
                let channel = RecordedText.string("channelName", in: frame),
                RecordedText.string("status", in: frame) == "subscribed"
            else { return .other }
            return .acknowledgement(
                PlayedStream(channel: channel, symbol: pair.replacing("\\/", with: "/"))
            )
        default: return .other
        }
    }

    /// A data frame ends with the names of its channel and its pair.
    private func data(_ frame: UnsafeRawBufferPointer) -> RecordedRole {
        let parts = frame.suffix(128).split(separator: UInt8(ascii: "\""), omittingEmptySubsequences: false)
        guard parts.count >= 5 else { return .other }
        let texts = parts.suffix(5).map { String(decoding: $0, as: UTF8.self) }
        guard texts[2] == ",", texts[4] == "]" else { return .other }
        return .data(PlayedStream(channel: texts[1], symbol: texts[3].replacing("\\/", with: "/")))
    }

    package func request(_ text: UnsafeRawBufferPointer) throws(MeaningFault) -> VenueRequest {
        let frame = try JSONDocument.request(text)
        guard let event = frame["event"]?.string else { throw .badMember("event") }
        let tag = frame["reqid"]?.written
        switch event {
        case "ping":
            try frame.allow(only: ["event", "reqid"])
            return .ping(tag: tag)
        case "subscribe": return .subscribe(try streams(of: frame), tag: tag)
        case "unsubscribe": return .unsubscribe(try streams(of: frame), tag: tag)
        default: throw .unknownRequest(event)
        }
    }

    private func streams(of frame: JSONValue) throws(MeaningFault) -> Set<PlayedStream> {
        try frame.allow(only: ["event", "reqid", "pair", "subscription"])
        guard let pairs = frame["pair"] else { throw .badMember("pair") }
        guard let subscription = frame["subscription"], subscription.kind == .object,
            let name = subscription["name"]?.string
        else { throw .badMember("subscription") }
        let channel: String
        switch name {
        case "book":
            try subscription.allow(only: ["name", "depth"])
            channel = "book-\(try number("depth", in: subscription, or: 10))"
        case "ohlc":
            try subscription.allow(only: ["name", "interval"])
            channel = "ohlc-\(try number("interval", in: subscription, or: 1))"
        case "trade", "ticker", "spread":
            try subscription.allow(only: ["name"])
            channel = name
        default: throw .badChannel(name)
        }
        return Set(try pairs.texts(named: "pair").map { PlayedStream(channel: channel, symbol: $0) })
    }

    private func number(
        _ name: String,
        in subscription: JSONValue,
        or standard: UInt64
    ) throws(MeaningFault) -> UInt64 {
        guard let value = subscription[name] else { return standard }
        guard let number = value.uint64 else { throw .badMember(name) }
        return number
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
            reply.texts = ["{\"event\":\"pong\"" + (tag.map { ",\"reqid\":\($0)" } ?? "") + "}"]
        case .subscribe(let asked, let tag):
            reply = .each(of: asked, having: streams, in: recording) { stream in
                recording.acknowledgement(of: stream)
                    ?? Self.status("subscribed", stream, channelID: 1, error: nil, tag)
            } refusal: { stream in
                Self.refusal(of: stream, recording, tag)
            }
        case .unsubscribe(let asked, let tag):
            for stream in asked.sorted() {
                guard streams.contains(stream) else {
                    reply.texts.append(
                        Self.status("error", stream, channelID: nil, error: "Subscription Not Found", tag)
                    )
                    continue
                }
                reply.ends.insert(stream)
                reply.texts.append(Self.status("unsubscribed", stream, channelID: 1, error: nil, tag))
            }
        case .list: break
        }
        return reply
    }

    private static func refusal(of stream: PlayedStream, _ recording: Recording, _ tag: String?) -> String {
        let error =
            if !recording.symbols.contains(stream.symbol) {
                "Currency pair not supported \(stream.symbol)"
            } else if stream.channel.hasPrefix("book-") {
                "Subscription depth not supported"
            } else if stream.channel.hasPrefix("ohlc-") {
                "Subscription ohlc interval not supported"
            } else {
                "Subscription name invalid"
            }
        return status("error", stream, channelID: nil, error: error, tag)
    }

    private static func status(
        _ status: String,
        _ stream: PlayedStream,
        channelID: Int?,
        error: String?,
        _ tag: String?
    ) -> String {
        let parts = stream.channel.split(separator: "-")
        var subscription = "{\"name\":\(JSONText.quoted(String(parts[0])))"
        if parts.count > 1 { subscription += ",\"\(parts[0] == "book" ? "depth" : "interval")\":\(parts[1])" }
        var members: [String] = []
        if let channelID { members.append("\"channelID\":\(channelID)") }
        members.append("\"channelName\":\(JSONText.quoted(stream.channel))")
        if let error { members.append("\"errorMessage\":\(JSONText.quoted(error))") }
        members.append("\"event\":\"subscriptionStatus\",\"pair\":\(JSONText.quoted(stream.symbol))")
        if let tag { members.append("\"reqid\":\(tag)") }
        members.append("\"status\":\"\(status)\",\"subscription\":\(subscription)}")
        return "{" + members.joined(separator: ",") + "}"
    }

    package func refusal(of fault: MeaningFault) -> String {
        let message =
            switch fault {
            case .notJSON, .binary: "Malformed request"
            case .unknownRequest: "Unsupported event"
            default: "Malformed request: \(fault.description)"
            }
        return "{\"errorMessage\":\(JSONText.quoted(message)),\"event\":\"error\"}"
    }

    package func httpRefusal(_ refusal: HTTPRefusal) -> String { "{\"error\":[\"EGeneral:Unknown method\"]}" }
}
