public import Market

/// What a client asks of the hub, whatever the language it came in.
public enum Request: Hashable, Sendable {
    case connect(ConnectRequest)
    case subscribe(SubscribeRequest)
    case unsubscribe(UnsubscribeRequest)
    case list(ListRequest)
    case resync(ResyncRequest)
    case ping(clientNs: UInt64)
}

public struct ConnectRequest: Hashable, Sendable {
    public var client: String
    /// At most one frame of market data per so many milliseconds; 0 sends at once.
    public var passMs: UInt32
    /// Whether its frames are to tell when they were encoded.
    public var wantsTimings: Bool

    public init(client: String, passMs: UInt32, wantsTimings: Bool = false) {
        self.client = client
        self.passMs = passMs
        self.wantsTimings = wantsTimings
    }
}

public struct SubscribeRequest: Hashable, Sendable {
    public var channel: Channel
    /// Names and wildcards, as the client wrote them.
    public var symbols: [String]
    /// Nil means the channel's usual mode.
    public var delivery: Delivery?
    public var depth: UInt32
    public var group: UInt64
    public var intervalMs: UInt32
    public var candleInterval: CandleInterval?
    /// How many past candles the answer is to have.
    public var history: UInt32
    /// Where to go on, for each of ``symbols`` in their order; empty when everything is to begin with its state.
    public var from: [Position]
    /// Which fields of a datum the answer is to have, by ``Channel/fieldNames``; empty for all.
    public var fields: [String]

    /// Past candles that one request is answered with, over all its symbols.
    public static let historyMost = 4_000

    public init(
        channel: Channel,
        symbols: [String],
        delivery: Delivery? = nil,
        depth: UInt32 = 0,
        group: UInt64 = 0,
        intervalMs: UInt32 = 0,
        candleInterval: CandleInterval? = nil,
        history: UInt32 = 0,
        from: [Position] = [],
        fields: [String] = []
    ) {
        self.fields = fields
        self.history = history
        self.from = from
        self.channel = channel
        self.symbols = symbols
        self.delivery = delivery
        self.depth = depth
        self.group = group
        self.intervalMs = intervalMs
        self.candleInterval = candleInterval
    }
}

/// Ends every subscription of the channel to the named symbols, whatever its other settings, or the topics given.
public struct UnsubscribeRequest: Hashable, Sendable {
    /// Nil when only topics are named.
    public var channel: Channel?
    public var symbols: [String]
    public var topics: [TopicID]

    public init(channel: Channel?, symbols: [String], topics: [TopicID] = []) {
        self.channel = channel
        self.symbols = symbols
        self.topics = topics
    }
}

/// Tells the present state of topics anew, to a client that lost track of them.
public struct ResyncRequest: Hashable, Sendable {
    public var topics: [TopicID]

    public init(topics: [TopicID]) { self.topics = topics }
}

/// A topic and the number of its last push.
public struct TopicSequence: Hashable, Sendable {
    public var topic: TopicID
    public var sequence: UInt64

    public init(topic: TopicID, sequence: UInt64) {
        self.topic = topic
        self.sequence = sequence
    }
}

public struct ListRequest: Hashable, Sendable {
    /// A name or wildcard; empty means all.
    public var pattern: String
    public var from: UInt32
    /// 0 and more than 1,000 mean 1,000.
    public var limit: UInt32

    public init(pattern: String = "", from: UInt32 = 0, limit: UInt32 = 0) {
        self.pattern = pattern
        self.from = from
        self.limit = limit
    }
}

/// What the hub answers.
public enum Answer: Hashable, Sendable {
    case connected(Welcome)
    case subscribed([SymbolOutcome])
    case unsubscribed([TopicID])
    case listed([Instrument], next: UInt32, tableVersion: UInt32)
    case pong(clientNs: UInt64)
    /// The pushes go on behind these numbers, with the state first where the channel has one.
    case resynced([TopicSequence])
    case refused(Refusal)
}

/// What a client learns when it introduces itself.
public struct Welcome: Hashable, Sendable {
    public var epoch: UInt64
    public var session: UInt64
    public var tableVersion: UInt32
    public var instrumentCount: UInt32

    public init(epoch: UInt64, session: UInt64, tableVersion: UInt32, instrumentCount: UInt32) {
        self.epoch = epoch
        self.session = session
        self.tableVersion = tableVersion
        self.instrumentCount = instrumentCount
    }
}

/// What became of one symbol of a subscribe request; a wildcard has one for each instrument that fits.
public struct SymbolOutcome: Hashable, Sendable {
    /// As the client wrote it.
    public var symbol: String
    public var result: Result<TopicDescription, Refusal>
    /// Nil unless past candles were asked for; the owner of the hub, who has them, puts them here.
    public var history: PastCandles?
    /// Nil unless the request named a position, and the topic was not subscribed to already.
    public var recovery: Recovery?

    public init(
        symbol: String,
        result: Result<TopicDescription, Refusal>,
        history: PastCandles? = nil,
        recovery: Recovery? = nil
    ) {
        self.symbol = symbol
        self.result = result
        self.history = history
        self.recovery = recovery
    }
}

/// A topic as its subscriber needs to know it.
public struct TopicDescription: Hashable, Sendable {
    public var id: TopicID
    public var instrument: Instrument
    public var view: View
    /// Of the topic's last push; 0 when there was none.
    public var sequence: UInt64
    /// When the candle opens that the topic's first push is of; nil when it is not known yet.
    ///
    /// Past candles end before it.
    public var firstOpenNs: Int64?

    public init(id: TopicID, instrument: Instrument, view: View, sequence: UInt64, firstOpenNs: Int64? = nil) {
        self.firstOpenNs = firstOpenNs
        self.id = id
        self.instrument = instrument
        self.view = view
        self.sequence = sequence
    }
}

/// Why a request was not carried out; nothing changed.
public struct Refusal: Error, Hashable, Sendable {
    /// Numbers and reasons as in Proto/errors.csv.
    public enum Code: UInt32, Hashable, Sendable, CaseIterable {
        case malformed = 100
        case unknownCommand = 101
        case unknownSymbol = 102
        case unknownChannel = 103
        case tooManySymbols = 104
        case tooManySubscriptions = 105
        case invalidField = 106
        case rateLimited = 107
        case wrongFrameKind = 108
        case notSubscribed = 109
        case tooManyTopics = 110
        case noSingleOrders = 120

        /// As it stands on the wire.
        public var reason: String {
            switch self {
            case .malformed: "malformed"
            case .unknownCommand: "unknown_command"
            case .unknownSymbol: "unknown_symbol"
            case .unknownChannel: "unknown_channel"
            case .tooManySymbols: "too_many_symbols"
            case .tooManySubscriptions: "too_many_subscriptions"
            case .invalidField: "invalid_field"
            case .rateLimited: "rate_limited"
            case .wrongFrameKind: "wrong_frame_kind"
            case .notSubscribed: "not_subscribed"
            case .tooManyTopics: "too_many_topics"
            case .noSingleOrders: "no_single_orders"
            }
        }

        /// Whether the same request may succeed later.
        public var isTemporary: Bool { self == .rateLimited || self == .tooManyTopics }
    }

    public struct Field: Hashable, Sendable {
        public var name: String
        public var message: String

        public init(_ name: String, _ message: String) {
            self.name = name
            self.message = message
        }
    }

    public var code: Code
    /// What is wrong and what would pass, for a person.
    public var message: String
    /// When to try again; 0 unless ``Code/isTemporary``.
    public var retryAfterMs: UInt32
    public var fields: [Field]

    public init(_ code: Code, _ message: String, retryAfterMs: UInt32 = 0, fields: [Field] = []) {
        self.code = code
        self.message = message
        self.retryAfterMs = retryAfterMs
        self.fields = fields
    }
}
