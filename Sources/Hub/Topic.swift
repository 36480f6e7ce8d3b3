import Market

/// What one or more sessions listen to: an instrument in one view and one format.
struct Topic: Sendable {
    struct Key: Hashable, Sendable {
        var instrument: InstrumentID
        var view: View
        var format: Format
    }

    /// A session that listens, and where it keeps the subscription.
    struct Subscriber: Sendable {
        var slot: UInt32
        /// The place in the session's own list.
        var place: Int32
        /// Whether pushes were left out; then ``seen`` is the last the client has.
        var isBehind = false
        var seen: UInt64 = 0
    }

    /// When and as which event of its source something happened.
    struct Stamp: Sendable {
        var sequence: UInt64 = 0
        var eventNs: Int64 = 0
        var receivedNs: Int64 = 0
        var flags: EventFlags = []
    }

    /// A push that waits for its pass.
    struct Waiting: Sendable {
        var stamp: Stamp
        var payload: Push.Payload
        /// Where its levels stand in ``waitingLevels``.
        var levels: Range<Int32> = 0..<0
    }

    let key: Key
    let id: TopicID
    /// Index into `View.intervalsMs`.
    let intervalClass: Int
    var subscribers: [Subscriber] = []
    /// The event that the last push ended with; the next push follows it.
    var last = Stamp()
    /// The whole value as of the last push, for those who join; nil when the channel has no such value yet.
    var value: Push.Payload?
    /// A candle that was closed before ``value``, for those who were away.
    var closedCandle: (stamp: Stamp, candle: Candle)?
    var window = BookWindow()
    /// Whether the next book push must be a snapshot, because the venue's book began anew.
    var needsSnapshot = false
    var isDirty = false
    var waiting: [Waiting] = []
    var waitingLevels: [LevelChange] = []
    /// Trades since the last push, under CONFLATE.
    var aggregate: TradeAggregate?

    init(key: Key, id: TopicID, intervalClass: Int) {
        self.key = key
        self.id = id
        self.intervalClass = intervalClass
    }

    /// Whether a client that falls behind must not lose a push of this topic.
    var isLossless: Bool { key.view.delivery == .every }

    /// Brings ``window`` up to `book` and appends the levels of the push that says so.
    ///
    /// `spare` is any window; it is left with what was shown before.
    /// - Returns: nil when the view shows no change.
    mutating func show(
        _ book: OrderBook,
        spare: inout BookWindow,
        into levels: inout [LevelChange]
    ) -> Push.Payload? {
        let start = levels.count
        spare.show(book, depth: key.view.depth, group: key.view.group)
        swap(&spare, &window)
        if needsSnapshot {
            needsSnapshot = false
            window.levels(into: &levels)
            return .bookSnapshot
        }
        spare.changes(to: window, into: &levels)
        guard levels.count > start else { return nil }
        guard key.view.delivery == .latest else { return .bookDelta }
        levels.removeSubrange(start...)
        window.levels(into: &levels)
        return .bookSnapshot
    }
}

/// What a hub knows of one instrument.
struct InstrumentState: Sendable {
    var book = OrderBook()
    var bookStamp = Topic.Stamp()
    var ticker = Ticker()
    var tickerStamp = Topic.Stamp()
    var trade: Trade?
    var tradeStamp = Topic.Stamp()
    var candles = InlineArray<6, Candle?>(repeating: nil)
    var candleStamps = InlineArray<6, Topic.Stamp>(repeating: Topic.Stamp())
    var status = MarketStatus(.disconnected, .started)
    var statusStamp = Topic.Stamp()

    /// Who is to be told, by what changed.
    var trades: [TopicID] = []
    var tickers: [TopicID] = []
    var books: [TopicID] = []
    var candleTopics: [TopicID] = []
    var statuses: [TopicID] = []

    mutating func add(_ topic: TopicID, to channel: Channel) {
        switch channel {
        case .trades, .marketData: trades.append(topic)
        case .ticker: tickers.append(topic)
        case .book: books.append(topic)
        case .candles: candleTopics.append(topic)
        case .status: statuses.append(topic)
        }
    }

    mutating func remove(_ topic: TopicID, from channel: Channel) {
        switch channel {
        case .trades, .marketData: trades.removeAll { $0 == topic }
        case .ticker: tickers.removeAll { $0 == topic }
        case .book: books.removeAll { $0 == topic }
        case .candles: candleTopics.removeAll { $0 == topic }
        case .status: statuses.removeAll { $0 == topic }
        }
    }
}

/// One client, as far as the market is concerned.
struct Session: Sendable {
    struct Subscription: Sendable {
        var topic: TopicID
        /// The place in the topic's list of subscribers.
        var place: Int32
        /// What the client wrote, for the list of its subscriptions.
        var symbol: String
        /// Whether only a wildcard asked for it: then it ends with the wildcard.
        var isFromWildcard: Bool
        var heartbeatSequence: UInt64
    }

    /// A wildcard that later instruments join.
    struct Wildcard: Sendable {
        var pattern: String
        var view: View
        var requestID: UInt32
    }

    var generation: UInt32
    var isOpen = true
    var format: Format
    var isBlocked = false
    var passMs: UInt32 = 0
    var subscriptions: [Subscription] = []
    var wildcards: [Wildcard] = []
    var behindCount = 0
    /// How many pushes of the running pass are the session's, and then where the next stands.
    var share: Int32 = 0

    init(generation: UInt32, format: Format) {
        self.generation = generation
        self.format = format
    }
}
