public import Market

/// Names a topic while anyone listens to it; dense, so that it can index an array.
public struct TopicID: Hashable, Sendable, BitwiseCopyable {
    public var rawValue: UInt32

    @inlinable
    public init(_ rawValue: UInt32) { self.rawValue = rawValue }

    @inlinable public var index: Int { Int(rawValue) }
}

/// Names a client's session while it lasts.
public struct SessionID: Hashable, Sendable, BitwiseCopyable {
    /// Dense, so that it can index an array; used again after the session's end.
    public var slot: UInt32
    /// Tells apart the sessions that had one slot.
    public var generation: UInt32

    @inlinable
    public init(slot: UInt32, generation: UInt32) {
        self.slot = slot
        self.generation = generation
    }

    @inlinable public var index: Int { Int(slot) }
}

/// One change of one topic, to be encoded once and sent to everyone who listens.
public struct Push: Sendable {
    public enum Payload: Sendable, BitwiseCopyable {
        case trade(Trade)
        case tradeAggregate(TradeAggregate)
        case ticker(Ticker)
        case candle(Candle)
        /// The levels are ``Pass/levels`` in ``Push/levels``: bids best first, then asks best first.
        case bookSnapshot
        /// The levels that changed, bids first.
        case bookDelta
        case status(MarketStatus)
        /// The single orders are ``Pass/orders`` in ``Push/levels``: bids best first, then asks best first, first come first.
        case orderSnapshot
        case orderChange(OrderChange)
    }

    public var topic: TopicID
    public var format: Format
    public var channel: Channel
    /// ``View/fields`` of its topic.
    public var fields: UInt32 = 0
    /// Whether it goes with the pass that follows its event, and waits for no interval's end.
    public var isImmediate = true
    public var instrument: InstrumentID
    public var sequence: UInt64
    public var previous: UInt64
    public var skipped: UInt64
    public var eventNs: Int64
    public var receivedNs: Int64
    public var flags: EventFlags
    public var payload: Payload
    /// Where this push's levels stand in ``Pass/levels``, or its orders in ``Pass/orders``.
    public var levels: Range<Int32>
    /// Of the topic's ten best levels after a push of a book or of orders; nil where a later push of the pass carries it.
    public var checksum: UInt32?
}

/// What several trades come to.
public struct TradeAggregate: Hashable, Sendable, BitwiseCopyable {
    public var high: Price
    public var low: Price
    public var last: Price
    public var volume: Quantity
    public var count: UInt32
    /// Whether trades before one of these were lost on their way to the hub.
    public var isBehindGap = false

    public init(_ trade: Trade) {
        high = trade.price
        low = trade.price
        last = trade.price
        volume = trade.quantity
        count = 1
    }

    public mutating func add(_ trade: Trade) {
        high = max(high, trade.price)
        low = min(low, trade.price)
        last = trade.price
        volume = volume.saturatingAdding(trade.quantity)
        count &+= 1
    }
}

/// What one pass sends, and to whom.
///
/// Reused from pass to pass, so that a pass allocates nothing once it has seen its largest.
public struct Pass: Sendable {
    /// One session's share of a pass.
    public struct Share: Sendable {
        public var session: SessionID
        /// Where the session's pushes stand in ``Pass/order``.
        public var range: Range<Int32>
    }

    /// In the order in which they happened.
    public internal(set) var pushes: [Push] = []
    public internal(set) var levels: [LevelChange] = []
    public internal(set) var orders: [RestingOrder] = []
    /// Indices into ``pushes``, each session's together and rising.
    public internal(set) var order: [Int32] = []
    public internal(set) var shares: [Share] = []

    public init() {}

    public var isEmpty: Bool { shares.isEmpty }

    public mutating func removeAll() {
        pushes.removeAll(keepingCapacity: true)
        levels.removeAll(keepingCapacity: true)
        orders.removeAll(keepingCapacity: true)
        order.removeAll(keepingCapacity: true)
        shares.removeAll(keepingCapacity: true)
    }
}
