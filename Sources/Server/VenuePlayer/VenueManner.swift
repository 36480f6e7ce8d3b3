internal import JSON

/// How one venue deals with its clients: the only thing of the player that differs between venues.
///
/// A new venue is one file with a type of this protocol, and one line in ``VenueManners``.
package protocol VenueManner: Sendable {
    /// The venue's name, as everywhere in the hub.
    var venue: String { get }
    var rules: MannerRules { get }

    /// What a recorded frame is to the player.
    func role(of frame: UnsafeRawBufferPointer) -> RecordedRole

    /// A frame with another number than the recorded one; nil where frames of a connection are not numbered.
    func numbered(_ text: some Collection<UInt8>, _ number: UInt64) -> [UInt8]?

    /// What a client's frame means; two frames of the same meaning give equal requests.
    func request(_ text: UnsafeRawBufferPointer) throws(MeaningFault) -> VenueRequest

    /// Where the venue has a WebSocket that subscribes to nothing by itself; `/` for a client that was told of another host.
    var paths: [String] { get }

    /// What connecting to this place subscribes to by itself; nil where the venue has no WebSocket.
    func streams(ofPath path: String, query: [(name: String, value: String)]) throws(MeaningFault) -> [PlayedStream]?

    /// What the venue answers to a request, and what begins and ends by it.
    func reply(to request: VenueRequest, having streams: Set<PlayedStream>, in recording: Recording) -> VenueReply

    /// The venue's words for a frame that it does not take.
    func refusal(of fault: MeaningFault) -> String

    /// The venue's HTTP answer to a request for something that was not recorded.
    func httpRefusal(_ refusal: HTTPRefusal) -> String
}

extension VenueManner {
    package func numbered(_ text: some Collection<UInt8>, _ number: UInt64) -> [UInt8]? { nil }

    package var paths: [String] { ["/"] }

    package func streams(
        ofPath path: String,
        query: [(name: String, value: String)]
    ) throws(MeaningFault) -> [PlayedStream]? {
        paths.contains(path) ? [] : nil
    }
}

/// All venues that can be played.
package enum VenueManners {
    package static let all: [(hosts: [String], manner: any VenueManner)] = [
        (["ws-feed.pro.coinbase.com", "ws-feed.exchange.coinbase.com"], CoinbaseManner()),
        (["stream.binance.com", "api.binance.com"], BinanceManner(market: .spot)),
        (["fstream.binance.com", "fapi.binance.com"], BinanceManner(market: .perpetual)),
        (["dstream.binance.com", "dapi.binance.com"], BinanceManner(market: .coinMargined)),
        // Two versions at one host: the one with a path comes first.
        (["ws.kraken.com/v2"], KrakenV2Manner()),
        (["ws.kraken.com"], KrakenManner()),
        (["ws.okx.com"], OKXManner()),
        (["www.deribit.com"], DeribitManner()),
        (["ws.bitstamp.net", "www.bitstamp.net"], BitstampManner()),
        (["www.bitmex.com", "ws.bitmex.com"], BitMEXManner()),
        // One host, told apart by the path.
        (["stream.bybit.com/v5/public/spot"], BybitManner(.spot)),
        (["stream.bybit.com/v5/public/linear"], BybitManner(.linear)),
        (["stream.bybit.com/v5/public/inverse"], BybitManner(.inverse)),
        (["stream.bybit.com/realtime", "stream.bybit.com/realtime_public"], BybitManner(.v2)),
        (["futures.kraken.com"], KrakenFuturesManner()),
        (["advanced-trade-ws.coinbase.com"], CoinbaseAdvancedManner()),
        (["api.gemini.com"], GeminiManner()),
    ]

    /// The manner of the venue at a recorded address, `wss://ws.kraken.com`.
    static func manner(ofURL url: String) -> (any VenueManner)? {
        guard let address = WebAddress(url) else { return nil }
        let place = address.host + Recording.split(address.path).path
        return all.first { $0.hosts.contains(address.host) || $0.hosts.contains(place) }?.manner
    }
}

/// One subject of a subscription: all its frames, and nobody else's.
package struct PlayedStream: Hashable, Sendable, Comparable {
    /// With its options, in the venue's words: `level2`, `book-1000`, `depth@100ms`.
    package var channel: String
    /// In the venue's words.
    package var symbol: String

    package init(channel: String, symbol: String) {
        self.channel = channel
        self.symbol = symbol
    }

    package static func < (one: Self, other: Self) -> Bool {
        (one.channel, one.symbol) < (other.channel, other.symbol)
    }
}

/// What a recorded frame is to the player.
package enum RecordedRole: Equatable, Sendable {
    /// Played to whoever has the stream.
    case data(PlayedStream)
    /// Says that a stream begins; sent when it does.
    case acknowledgement(PlayedStream)
    /// Sent to everyone who connects.
    case greeting
    /// Belonged to the recorded connection alone.
    case other
}

/// What a client's frame means: symbols and channels as sets, whatever the order of keys and items.
package enum VenueRequest: Equatable, Sendable {
    /// `tag` is the client's own mark for the answer, as written.
    case subscribe(Set<PlayedStream>, tag: String?)
    case unsubscribe(Set<PlayedStream>, tag: String?)
    case list(tag: String?)
    case ping(tag: String?)
}

/// Why a client's frame has no meaning for the venue.
package enum MeaningFault: Error, Hashable, Sendable {
    case notJSON
    /// A request that the venue does not know, or that is not played.
    case unknownRequest(String)
    /// A member that is missing or has a wrong value.
    case badMember(String)
    /// A member that the recorded frames do not have and whose meaning is not known.
    case unknownMember(String)
    /// A channel or an option of it that the venue does not have.
    case badChannel(String)
    /// Not text.
    case binary

    package var description: String {
        switch self {
        case .notJSON: "it is not JSON"
        case .unknownRequest(let name): "the request \(name) is not known"
        case .badMember(let name): "\(name) is missing or wrong"
        case .unknownMember(let name): "\(name) is not known"
        case .badChannel(let name): "the channel \(name) is not known"
        case .binary: "it is not text"
        }
    }
}

/// What a venue says to a request.
package struct VenueReply: Equatable, Sendable {
    /// In this order, before any frame of a stream that begins.
    package var texts: [String] = []
    package var begins: Set<PlayedStream> = []
    package var ends: Set<PlayedStream> = []
    /// Streams that were asked for and not recorded.
    package var refused: Set<PlayedStream> = []

    /// Begins each stream that was recorded, and refuses each other one, with a text for every one of them.
    ///
    /// A stream that the client has already is acknowledged again and does not begin again.
    static func each(
        of asked: Set<PlayedStream>,
        having streams: Set<PlayedStream>,
        in recording: Recording,
        acknowledgement: (PlayedStream) -> String,
        refusal: (PlayedStream) -> String
    ) -> VenueReply {
        var reply = VenueReply()
        for stream in asked.sorted() {
            if recording.offers(stream) {
                reply.begins.insert(stream)
                reply.texts.append(acknowledgement(stream))
            } else {
                reply.refused.insert(stream)
                reply.texts.append(refusal(stream))
            }
        }
        reply.begins.subtract(streams)
        return reply
    }
}

/// Why an HTTP request is not answered from the recording.
package enum HTTPRefusal: Error, Hashable, Sendable {
    case unknownPath
    case unknownSymbol
    case unknownParameter(String)
}

/// What a venue demands of its clients' behaviour, and how it keeps connections alive.
package struct MannerRules: Sendable {
    package enum Rate: Sendable {
        case none
        /// At most so many in any second.
        case window(mostPerSecond: Int)
        /// As many as there are tokens.
        case bucket(perSecond: Int, burst: Int)
    }

    /// Messages of the client, pongs included where `countsPongs`.
    package var inbound = Rate.none
    package var countsPongs = false
    package var tooFast = Closing(code: 1008, reason: "Too many requests")
    /// How often the venue pings; 0 for never.
    package var pingEveryNs: Int64 = 0
    /// A pong must come within this time of a ping.
    package var pongMostNs: Int64 = 0
    package var noPong = Closing(code: 1008, reason: "Pong timeout")
    /// A client must have subscribed by then; 0 for never.
    package var subscribeMostNs: Int64 = 0
    package var noSubscription = Closing(code: 1000, reason: "")
    /// Sent so often to clients with a subscription; 0 for never.
    package var heartbeatEveryNs: Int64 = 0
    package var heartbeat = ""
    /// Whether the recording cannot begin again on the same connection, because its numbers would run back.
    package var endsWithRecording = false

    package struct Closing: Hashable, Sendable {
        package var code: UInt16
        package var reason: String
    }
}

extension JSONDocument {
    /// What a client may send is small; more is not read.
    static let requestLimits = JSONLimits(bytesMost: 65_536, depthMost: 6, valuesMost: 20_000, membersMost: 16)

    /// Reads a client's frame, which must be an object.
    static func request(_ text: UnsafeRawBufferPointer) throws(MeaningFault) -> JSONValue {
        guard let document = try? JSONDocument(reading: text, limits: requestLimits), document.root.kind == .object
        else { throw .notJSON }
        return document.root
    }
}

extension JSONValue {
    /// Fails when the object has members besides these.
    func allow(only known: Set<String>) throws(MeaningFault) {
        for (key, _) in members where !known.contains(key) { throw .unknownMember(key) }
    }

    /// The texts of an array of texts and of nothing else.
    func texts(named name: String) throws(MeaningFault) -> [String] {
        guard kind == .array else { throw .badMember(name) }
        let texts = elements.compactMap(\.string)
        guard texts.count == elements.count else { throw .badMember(name) }
        return texts
    }

    var written: String { String(decoding: source, as: UTF8.self) }
}

/// Finds things in recorded frames, which are what the venue wrote, without reading all of them.
enum RecordedText {
    /// The text behind the first `"key":"`, as written.
    static func string(_ key: StaticString, in frame: UnsafeRawBufferPointer) -> String? {
        key.withUTF8Buffer { key in
            var at = 0
            while let quote = frame[at...].firstIndex(of: UInt8(ascii: "\"")) {
                let end = quote + 1 + key.count
                guard end + 3 <= frame.count else { return nil }
                if frame[quote + 1..<end].elementsEqual(key), frame[end] == UInt8(ascii: "\""),
                    frame[end + 1] == UInt8(ascii: ":"), frame[end + 2] == UInt8(ascii: "\"")
                {
                    let rest = frame[(end + 3)...]
                    guard let close = rest.firstIndex(of: UInt8(ascii: "\"")) else { return nil }
                    return String(decoding: rest[..<close], as: UTF8.self)
                }
                at = quote + 1
            }
            return nil
        }
    }
}
