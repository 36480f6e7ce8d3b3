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
        /// The last push the client has, when some were left out since; else nil.
        var seen: UInt64? {
            get { lastSeen >= Self.joining ? nil : lastSeen }
            set { lastSeen = newValue ?? Self.upToDate }
        }
        /// As few bytes as will do: there is one of these a delivery.
        private var lastSeen = Self.upToDate
        private static let upToDate = UInt64.max
        private static let joining = UInt64.max - 1

        var isBehind: Bool { lastSeen != Self.upToDate }

        /// Puts off the first state: the client is behind, and has seen nothing.
        mutating func joinLater() { lastSeen = Self.joining }

        init(slot: UInt32, place: Int32) {
            self.slot = slot
            self.place = place
        }
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
        /// Where its levels stand in ``waitingLevels``, or its orders in ``waitingOrders``.
        var levels: Range<Int32> = 0..<0
        /// Of a book's snapshot, which has one wherever in a pass it stands.
        var checksum: UInt32?
    }

    let key: Key
    let id: TopicID
    /// Index into `View.intervalsMs`.
    let intervalClass: Int
    var subscribers: [Subscriber] = []
    /// How many of ``subscribers`` are behind.
    var behindCount = 0
    /// The place in the instrument's list of topics.
    var listPlace = 0
    /// The last push in ``RecentPushes``; 0 when none is there that makes sense in the present units.
    var newestEntry: UInt64 = 0
    /// Set while nobody listens.
    var lingersUntilNs: Int64?
    /// The event that the last push ended with; the next push follows it.
    var last = Stamp()
    /// The whole value as of the last push, for those who join; nil when the channel has no such value yet.
    var value: Push.Payload?
    /// Values up to this number are in units that are no more.
    var oldUnitsUntil: UInt64 = 0
    /// The newest closed candles that a subscriber who is behind may lack.
    var closedCandles: [(stamp: Stamp, candle: Candle)] = []
    /// Price units that one level of a book gathers.
    var step: Int64 = 1
    /// As of the last push.
    var window = BookWindow()
    /// Under EVERY, what ``window`` will be after the pushes that wait.
    var ahead = BookWindow()
    /// Whether the next book push must be a snapshot, because the venue's book began anew.
    var needsSnapshot = false
    /// Where it stands in ``Hub/dirty``; the place is negative while nothing is to be pushed.
    var dirtyClass = 0
    var dirtyPlace = -1
    var waiting: [Waiting] = []
    var waitingLevels: [LevelChange] = []
    /// Of snapshots of single orders that wait; their places stand in ``Waiting/levels``.
    var waitingOrders: [RestingOrder] = []
    /// Who got single orders that are newer than the last push, and up to which event; until the next push.
    var aheadJoiners: [(slot: UInt32, sequence: UInt64)] = []
    /// Trades since the last push, under CONFLATE.
    var aggregate: TradeAggregate?

    init(key: Key, id: TopicID, intervalClass: Int) {
        self.key = key
        self.id = id
        self.intervalClass = intervalClass
    }

    /// Pushes and levels that may wait for an interval to end; more go with the next pass, so that memory has a bound.
    static let waitingMost = 1_024
    static let waitingLevelsMost = 16_384
    /// Closed candles kept for those who are behind; who misses more gets the newest.
    static let closedCandlesMost = 120

    var isDirty: Bool { dirtyPlace >= 0 }
    var isHoldingTooMuch: Bool {
        waiting.count >= Self.waitingMost || waitingLevels.count + waitingOrders.count >= Self.waitingLevelsMost
    }

    /// Whether a client that falls behind must not lose a push of this topic.
    var isLossless: Bool { key.view.delivery == .every }

    /// Brings what is shown (``ahead`` under EVERY, else ``window``) up to `book` and appends the levels of the push that says so.
    ///
    /// `spare` is any window; it is left with what was shown before.
    /// - Returns: nil when the view shows no change.
    mutating func show(
        _ book: OrderBook,
        spare: inout BookWindow,
        into levels: inout [LevelChange]
    ) -> Push.Payload? {
        let start = levels.count
        spare.show(book, depth: key.view.depth, step: step)
        switch key.view.delivery {
        case .every:
            swap(&spare, &ahead)
            return difference(from: spare, to: ahead, into: &levels)
        case .conflate:
            swap(&spare, &window)
            return difference(from: spare, to: window, into: &levels)
        case .latest:
            swap(&spare, &window)
            needsSnapshot = false
            spare.changes(to: window, into: &levels)
            guard levels.count > start else { return nil }
            levels.removeSubrange(start...)
            window.levels(into: &levels)
            return .bookSnapshot
        }
    }

    private mutating func difference(
        from old: BookWindow,
        to new: BookWindow,
        into levels: inout [LevelChange]
    ) -> Push.Payload? {
        if needsSnapshot {
            needsSnapshot = false
            new.levels(into: &levels)
            return .bookSnapshot
        }
        let start = levels.count
        old.changes(to: new, into: &levels)
        return levels.count > start ? .bookDelta : nil
    }

    /// Forgets what was told in units that are no more; what waits under EVERY is told all the same.
    ///
    /// - Parameters:
    ///   - last: the number of the source's last event in old units.
    ///   - step: price units that one level of a book gathers from now on.
    mutating func forgetOldUnits(until last: UInt64, step: Int64) {
        oldUnitsUntil = last
        newestEntry = 0
        value = nil
        aggregate = nil
        closedCandles = []
        if !isLossless { waiting.removeAll(keepingCapacity: true) }
        needsSnapshot = true
        self.step = step
        if waiting.isEmpty { hideBook() }
    }

    /// Shows nothing until the book's next snapshot.
    mutating func hideBook() {
        window = BookWindow()
        ahead = BookWindow()
    }
}

/// What a hub knows of one instrument.
struct InstrumentState: Sendable {
    var book = OrderBook()
    var bookStamp = Topic.Stamp()
    var ticker: Ticker?
    var tickerStamp = Topic.Stamp()
    var trade: Trade?
    var tradeStamp = Topic.Stamp()
    var candles = InlineArray<6, Candle?>(repeating: nil)
    var candleStamps = InlineArray<6, Topic.Stamp>(repeating: Topic.Stamp())
    var status = MarketStatus(.disconnected, .started)
    var statusStamp = Topic.Stamp()
    /// Nil until the venue has told them.
    var orders: OrderLedger?
    var ordersStamp = Topic.Stamp()
    /// A snapshot of single orders that is known already is coming in, and is passed over.
    var isPassingOverOrders = false
    /// The numbers of the last events in units that are no more.
    var oldUnits = OldUnits()

    /// Who is to be told, by what changed.
    var trades: [TopicID] = []
    var tickers: [TopicID] = []
    var books: [TopicID] = []
    var candleTopics: [TopicID] = []
    var statuses: [TopicID] = []
    var orderTopics: [TopicID] = []

    struct OldUnits: Sendable {
        var trade: UInt64 = 0
        var ticker: UInt64 = 0
        var book: UInt64 = 0
        var orders: UInt64 = 0
        var candles = InlineArray<6, UInt64>(repeating: 0)
    }

    /// Forgets what is in units that are no more.
    mutating func forgetOldUnits() {
        oldUnits.trade = tradeStamp.sequence
        oldUnits.ticker = tickerStamp.sequence
        oldUnits.book = bookStamp.sequence
        oldUnits.orders = ordersStamp.sequence
        for place in candleStamps.indices { oldUnits.candles[place] = candleStamps[place].sequence }
        book.removeAll()
        ticker = nil
        trade = nil
        candles = InlineArray(repeating: nil)
        orders = nil
    }

    /// The number of the last event in old units of the source that a view shows.
    func oldUnitsUntil(of view: View) -> UInt64 {
        switch view.channel {
        case .trades, .marketData: oldUnits.trade
        case .ticker: oldUnits.ticker
        case .book: oldUnits.book
        case .candles: oldUnits.candles[Int(view.candleInterval?.rawValue ?? 0)]
        case .status: 0
        case .orders: oldUnits.orders
        }
    }

    /// The number of the newest event of the source that a view shows.
    func lastSequence(of view: View) -> UInt64 {
        switch view.channel {
        case .trades, .marketData: tradeStamp.sequence
        case .ticker: tickerStamp.sequence
        case .book: bookStamp.sequence
        case .candles: candleStamps[Int(view.candleInterval?.rawValue ?? 0)].sequence
        case .status: statusStamp.sequence
        case .orders: ordersStamp.sequence
        }
    }

    /// Appends a topic to those that are told of its channel's events.
    ///
    /// - Returns: its place.
    mutating func add(_ topic: TopicID, to channel: Channel) -> Int {
        change(channel) { topics in
            topics.append(topic)
            return topics.count - 1
        }
    }

    /// Takes out the topic at a place.
    ///
    /// - Returns: the topic that stands there now, nil when it was the last.
    mutating func remove(at place: Int, from channel: Channel) -> TopicID? {
        change(channel) { topics in
            topics.swapAt(place, topics.count - 1)
            topics.removeLast()
            return place < topics.count ? topics[place] : nil
        }
    }

    func topics(of channel: Channel) -> [TopicID] {
        switch channel {
        case .trades, .marketData: trades
        case .ticker: tickers
        case .book: books
        case .candles: candleTopics
        case .status: statuses
        case .orders: orderTopics
        }
    }

    private mutating func change<Result>(_ channel: Channel, _ body: (inout [TopicID]) -> Result) -> Result {
        switch channel {
        case .trades, .marketData: body(&trades)
        case .ticker: body(&tickers)
        case .book: body(&books)
        case .candles: body(&candleTopics)
        case .status: body(&statuses)
        case .orders: body(&orderTopics)
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
        /// Counts the session's subscriptions in the order in which they were made.
        var number: UInt64
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
    /// The place of each topic in ``subscriptions``.
    var places: [TopicID: Int32] = [:]
    /// How many subscriptions were ever made.
    var madeCount: UInt64 = 0
    var wildcards: [Wildcard] = []
    var behindCount = 0
    /// Pushes that were left out since the owner was told that it fell behind.
    var leftOutCount: UInt64 = 0

    init(generation: UInt32, format: Format) {
        self.generation = generation
        self.format = format
    }
}
