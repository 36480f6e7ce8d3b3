public import Market

/// A seeded exchange: order flow on real books, so that the hub has a lively market without a venue.
///
/// Limit orders, cancels and market orders arrive in clusters (each arrival makes further ones likelier for a while), sizes
/// have fat tails, and the instruments' hidden values share a common part, calm and wild spells, and sudden news. Each order
/// does what it would on an exchange: rests in price-time priority, or trades against the best prices there are.
///
/// The same settings, ids and start give the same events to the byte on every machine, however the calls to
/// ``advance(toNs:most:into:)`` are cut.
public struct SyntheticExchange: Sendable {
    public static let venue = "synthetic"

    public struct Settings: Sendable {
        public static let eventsPerSecondRange = 1.0...100_000.0

        public var seed: UInt64
        /// Arrivals of orders and cancels over all instruments, on average.
        public var eventsPerSecond: Double
        public var instruments: [SyntheticInstrument]
        /// The longest that an instrument is without a trade.
        ///
        /// Kept while ``eventsPerSecond`` is at least four for each instrument and such span; below that the rate wins, and an
        /// instrument's longest pause is four of its mean arrivals.
        public var tradeAtLeastEveryNs: Int64

        /// - Precondition: the rate is in ``eventsPerSecondRange``, the span positive, and there is an instrument.
        public init(
            seed: UInt64 = 1,
            eventsPerSecond: Double = 200,
            instruments: [SyntheticInstrument] = SyntheticInstrument.standard,
            tradeAtLeastEveryNs: Int64 = 1_000_000_000
        ) {
            precondition(Self.eventsPerSecondRange.contains(eventsPerSecond), "1 to 100,000 events a second")
            precondition(tradeAtLeastEveryNs > 0, "a span is positive")
            precondition(!instruments.isEmpty, "an exchange trades something")
            self.seed = seed
            self.eventsPerSecond = eventsPerSecond
            self.instruments = instruments
            self.tradeAtLeastEveryNs = tradeAtLeastEveryNs
        }
    }

    /// When the next event happens.
    public private(set) var nextDueNs: Int64

    private var markets: [SyntheticMarket]
    private var random: SyntheticRandom
    private var arrivals: ClusteredArrivals
    private var mood: MarketMood
    /// Which instrument the next event belongs to, and whether it must be a trade to keep the promise.
    private var nextIndex = 0
    private var mustTrade = false
    /// How many instruments have told their first snapshot.
    private var openedCount = 0
    private let longestPauseNs: Int64
    /// No instrument's pause ends before this.
    private var earliestDeadlineNs: Int64 = .min

    /// For how long a value remembers where it started, so that prices stay believable for months.
    static let returnSeconds = 864_000.0

    /// - Parameters:
    ///   - settings: what to trade, how fast, and the seed.
    ///   - ids: the id of each of the settings' instruments, in their order.
    ///   - startNs: when the exchange opens; its snapshots bear this time.
    public init(_ settings: Settings, ids: [InstrumentID], startNs: Int64) {
        precondition(ids.count == settings.instruments.count, "an id for each instrument")
        var random = SyntheticRandom(seed: settings.seed)
        markets = zip(settings.instruments, ids).map { traits, id in
            SyntheticMarket(traits, id: id, startNs: startNs, random: &random)
        }
        self.random = random
        arrivals = ClusteredArrivals(
            ratePerSecond: settings.eventsPerSecond,
            activities: settings.instruments.map(\.activity)
        )
        mood = MarketMood(eventsPerSecond: settings.eventsPerSecond, instrumentCount: ids.count)
        let meanPauseNs = Double(ids.count) / settings.eventsPerSecond * 1e9
        longestPauseNs = max(settings.tradeAtLeastEveryNs, Int64(4 * meanPauseNs))
        nextDueNs = startNs
    }

    /// Tells everything that is due until `untilNs`, in the order of time.
    ///
    /// First come a status and a snapshot of each book, then one order or cancel after the other: its trades, one for each
    /// resting order met, and the change of the book with the best prices afterwards. Trades are numbered per instrument from 1.
    /// - Parameters:
    ///   - untilNs: the present.
    ///   - most: stops after so many orders (or first snapshots), so that a caller can do other things between.
    ///   - sink: hears events without numbers.
    /// - Returns: whether more is due.
    public mutating func advance(toNs untilNs: Int64, most: Int, into sink: inout some MarketEventSink) -> Bool {
        var left = most
        while nextDueNs <= untilNs {
            guard left > 0 else { return true }
            left -= 1
            if openedCount < markets.count {
                open(into: &sink)
            } else {
                step(into: &sink)
            }
        }
        return false
    }

    /// The book of one of this exchange's instruments, in O(levels).
    ///
    /// - Precondition: the instrument is one of this exchange's.
    public func book(of id: InstrumentID) -> OrderBook { markets[place(of: id)].orderBook }

    /// Tells the whole book of one instrument, as of the last event told.
    ///
    /// - Parameters:
    ///   - id: one of this exchange's instruments.
    ///   - now: the time that the snapshot bears.
    ///   - sink: hears it.
    public mutating func snapshot(of id: InstrumentID, atNs now: Int64, into sink: inout some MarketEventSink) {
        markets[place(of: id)].sendSnapshot(atNs: now, into: &sink)
    }

    /// Whether every book keeps its invariant.
    ///
    /// Costs O(orders): for tests.
    package var isConsistent: Bool { markets.allSatisfy(\.book.isConsistent) }

    private func place(of id: InstrumentID) -> Int {
        guard let place = markets.firstIndex(where: { $0.id == id }) else {
            preconditionFailure("not an instrument of the synthetic exchange")
        }
        return place
    }

    private mutating func open(into sink: inout some MarketEventSink) {
        let live = MarketEvent(
            instrument: markets[openedCount].id,
            eventNs: nextDueNs,
            receivedNs: nextDueNs,
            payload: .status(MarketStatus(.live, .started))
        )
        sink.receive(live, levels: Span())
        markets[openedCount].sendSnapshot(atNs: nextDueNs, into: &sink)
        openedCount += 1
        if openedCount == markets.count { schedule() }
    }

    private mutating func step(into sink: inout some MarketEventSink) {
        let now = nextDueNs
        mood.advance(toNs: now, random: &random)
        // A trade that is nearly due takes an arrival's place, so that the promise does not raise the rate.
        let isNearlyDue = now - markets[nextIndex].lastTradeNs > longestPauseNs / 2
        markets[nextIndex].step(
            atNs: now,
            mustTrade: mustTrade || isNearlyDue,
            market: mood.level,
            ownMove: mood.ownMove,
            random: &random,
            into: &sink
        )
        schedule()
    }

    /// Decides when the next event happens, and where.
    private mutating func schedule() {
        let (seconds, index) = arrivals.next(random: &random)
        let wait = max(Int64(seconds * 1e9), 1)
        nextIndex = index
        mustTrade = false
        guard nextDueNs + wait > earliestDeadlineNs else {
            nextDueNs += wait
            return
        }
        var (deadline, late) = (Int64.max, 0)
        for (index, market) in markets.enumerated() where market.lastTradeNs < deadline {
            (deadline, late) = (market.lastTradeNs, index)
        }
        deadline += longestPauseNs - longestPauseNs / 20
        earliestDeadlineNs = deadline
        if nextDueNs + wait > deadline {
            nextDueNs = max(deadline, nextDueNs + 1)
            nextIndex = late
            mustTrade = true
        } else {
            nextDueNs += wait
        }
    }
}

/// When orders arrive, and for which instrument: a Hawkes process.
///
/// Each arrival raises the rate at which others follow, mostly for its own instrument; the excitement fades exponentially. An
/// arrival brings 0.6 further ones on average, so a cluster has 2.5 members.
private struct ClusteredArrivals: Sendable {
    private let calmRate: Double
    private let fading: Double
    private let weights: [Double]
    /// Each instrument's excitement, before `fade`.
    private var excitements: [Double]
    private var excitementSum = 0.0
    /// What has faded since the excitements were written; one factor for all.
    private var fade = 1.0

    private static let branching = 0.6
    private static let ownShare = 0.8

    init(ratePerSecond: Double, activities: [Double]) {
        calmRate = ratePerSecond * (1 - Self.branching)
        fading = ratePerSecond * 0.1
        let sum = activities.reduce(0, +)
        weights = activities.map { $0 / sum }
        excitements = activities.map { _ in 0 }
    }

    /// The wait for the next arrival in seconds, and its instrument, by Ogata's thinning.
    mutating func next(random: inout SyntheticRandom) -> (seconds: Double, index: Int) {
        var seconds = 0.0
        while true {
            let bound = calmRate + excitementSum * fade
            let wait = random.exponential() / bound
            seconds += wait
            fade *= SyntheticRandom.exponential(-fading * wait)
            let mark = random.unit() * bound
            if mark < calmRate + excitementSum * fade {
                let index = instrument(at: mark, random: &random)
                excite(index)
                return (seconds, index)
            }
        }
    }

    private func instrument(at mark: Double, random: inout SyntheticRandom) -> Int {
        var left = mark - calmRate
        if left >= 0, random.isTrue(withChance: Self.ownShare) {
            left /= fade
            for (index, excitement) in excitements.enumerated() {
                left -= excitement
                if left < 0 { return index }
            }
        }
        var chance = random.unit()
        for (index, weight) in weights.enumerated() {
            chance -= weight
            if chance < 0 { return index }
        }
        return weights.count - 1
    }

    private mutating func excite(_ index: Int) {
        if fade < 1e-9 {
            for other in excitements.indices { excitements[other] *= fade }
            fade = 1
            excitementSum = excitements.reduce(0, +)
        }
        let rise = Self.branching * fading / fade
        excitements[index] += rise
        excitementSum += rise
    }
}

/// What all instruments share: the market's level, how wild the times are, and news.
private struct MarketMood: Sendable {
    /// The market's part of every value, in ticks.
    private(set) var level = 0.0
    /// How far an instrument's own part moves in a root second now, in ticks.
    private(set) var ownMove: Double

    /// The logarithm of how wild the times are; 0 is ordinary.
    private var wildness = 0.0
    private var lastNs: Int64?
    private let move: Double
    private let newsPerSecond: Double

    private static let wildnessSeconds = 20.0
    private static let wildnessSpread = 0.5
    private static let ownPart = 0.5

    /// With few events a second the value moves less, so that the books can follow it and spreads are the same at every rate.
    init(eventsPerSecond: Double, instrumentCount: Int) {
        let rate = eventsPerSecond / Double(instrumentCount)
        move = min(3, 0.2 * SyntheticRandom.root(rate))
        ownMove = move * Self.ownPart
        newsPerSecond = 0.05 * min(1, rate / 20)
    }

    mutating func advance(toNs now: Int64, random: inout SyntheticRandom) {
        defer { lastNs = now }
        guard let lastNs else { return }
        let seconds = Double(now - lastNs) * 1e-9
        let forgotten = min(seconds / Self.wildnessSeconds, 1)
        wildness += Self.wildnessSpread * SyntheticRandom.root(2 * forgotten) * random.bell() - wildness * forgotten
        let wild = SyntheticRandom.exponential(wildness)
        ownMove = move * Self.ownPart * wild
        level += move * wild * SyntheticRandom.root(seconds) * random.bell()
        level -= level * min(seconds / SyntheticExchange.returnSeconds, 1)
        if random.isTrue(withChance: seconds * newsPerSecond) {
            let jump = 2 * move * random.pareto(most: 10)
            level += random.isTrue(withChance: 0.5) ? jump : -jump
        }
    }
}
