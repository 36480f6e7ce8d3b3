/// Makes the candles of one instrument out of its trades, so that a closed candle equals the venue's own.
///
/// The rules:
/// * A trade counts into the interval of its time by the venue's clock: see ``VenueClock``.
/// * The newest candle is told at every trade. It closes at the first trade of a later interval, or by the clock
///   ``graceNs`` after its end.
/// * Trades may come late and out of order: the newest candle and the one before it stay amendable, closed or not. High, low,
///   volume and count take the late trade in, open and close go by the trades' times; of two with one time the earlier arrival
///   opens and the later closes. A closed candle that changed is told again, and the newest one behind it. A trade older than that is too late: no candle
///   of that length changes, and it is counted in ``tooLateCount``.
/// * An interval without trades gives a closed candle at the close before it, without volume. No more than ``emptyMost`` in a
///   row are told, so that quiet instruments cost nothing; those after them are as empty, and told by nobody.
/// * A candle of an interval in which the hub did not listen all the time says so in ``Candle/missing``.
public struct CandleMaker: Sendable {
    /// A candle with the times of the trades that gave its open and its close.
    public struct Slot: Hashable, Sendable, BitwiseCopyable {
        public var candle: Candle
        public var firstNs: Int64
        public var lastNs: Int64

        public init(candle: Candle, firstNs: Int64, lastNs: Int64) {
            self.candle = candle
            self.firstNs = firstNs
            self.lastNs = lastNs
        }
    }

    /// Closed by the clock so long after its end: trades are on their way still.
    public static let graceNs: Int64 = 2_000_000_000
    /// Candles without trades told in a row.
    public static let emptyMost = 60

    public private(set) var venueClock = VenueClock()
    /// Trades that came too late for a candle of at least one length.
    public private(set) var tooLateCount = 0
    /// Whether a candle changed since the owner last asked.
    private var isChanged = false

    private let instrument: InstrumentID
    private var newest = InlineArray<6, Slot?>(repeating: nil)
    /// Of the interval right before the newest one's.
    private var before = InlineArray<6, Slot?>(repeating: nil)
    private var emptyCounts = InlineArray<6, UInt8>(repeating: 0)
    /// The number of the last event of each length.
    var sequences = InlineArray<6, UInt64>(repeating: 0)
    /// Since when the hub listens, by the venue's clock; nil while it does not.
    private var listeningSinceNs: Int64?

    init(instrument: InstrumentID) { self.instrument = instrument }

    // MARK: Events

    /// Says that nothing is heard of the instrument from here on.
    mutating func stopListening() {
        guard listeningSinceNs != nil else { return }
        listeningSinceNs = nil
        for index in newest.indices where newest[index]?.candle.isClosed == false {
            newest[index]?.candle.missing.insert(.end)
        }
    }

    /// Says that from here on every trade of the instrument is heard.
    mutating func listen(receivedNs: Int64) {
        if listeningSinceNs == nil { listeningSinceNs = venueClock.venueNs(receivedNs) }
    }

    mutating func add(_ trade: Trade, of event: MarketEvent, atNs timeNs: Int64, into sink: inout some MarketEventSink)
    {
        if listeningSinceNs == nil { listeningSinceNs = timeNs }
        var isTooLate = false
        for interval in CandleInterval.allCases {
            isTooLate = !add(trade, interval, event, timeNs, into: &sink) || isTooLate
        }
        if isTooLate { tooLateCount += 1 }
        isChanged = true
    }

    /// The venue's time of an event, by which it counts.
    mutating func timeNs(of event: MarketEvent) -> Int64 {
        venueClock.timeNs(eventNs: event.eventNs, receivedNs: event.receivedNs)
    }

    /// Closes the candles whose interval is over and tells those of intervals without trades; `nowNs` is the feed's clock.
    mutating func advance(toNs nowNs: Int64, into sink: inout some MarketEventSink) {
        let overNs = venueClock.venueNs(nowNs).saturatingSubtracting(Self.graceNs)
        for interval in CandleInterval.allCases {
            let index = Int(interval.rawValue)
            while let slot = newest[index], interval.openNs(after: slot.candle.openNs) <= overNs {
                let nextNs = interval.openNs(after: slot.candle.openNs)
                if !slot.candle.isClosed {
                    close(index, receivedNs: nowNs, into: &sink)
                } else if emptyCounts[index] < Self.emptyMost, interval.openNs(after: nextNs) <= overNs {
                    addEmpty(index, receivedNs: nowNs, into: &sink)
                } else {
                    break
                }
            }
        }
    }

    // MARK: Life

    /// Forgets every candle, because the units changed and nobody said how; numbers go on.
    mutating func forget() {
        newest = InlineArray(repeating: nil)
        before = InlineArray(repeating: nil)
    }

    /// Takes over units that are so many times finer.
    mutating func rescale(price: Int64, quantity: Int64) {
        for index in newest.indices {
            newest[index] = newest[index]?.scaled(price: price, quantity: quantity)
            before[index] = before[index]?.scaled(price: price, quantity: quantity)
        }
    }

    /// Whether a candle changed since this was last asked.
    mutating func takeIsChanged() -> Bool {
        defer { isChanged = false }
        return isChanged
    }

    /// What a later run needs to go on with: for each length the newest candle and the one before it.
    public var slots: [Slot] {
        newest.indices.flatMap { index in [before[index], newest[index]].compactMap(\.self) }
    }

    /// The newest candle of a length, open or closed.
    public func newest(_ interval: CandleInterval) -> Candle? { newest[Int(interval.rawValue)]?.candle }

    /// The number of the last event of a length.
    public func sequence(_ interval: CandleInterval) -> UInt64 { sequences[Int(interval.rawValue)] }

    /// Goes on with the candles that a run before this one left; trades since then are missing in them.
    ///
    /// `slots` are in the present units, each length's in the order of time. Candles that were made here meanwhile are later
    /// ones, or of an interval that the run before had begun: then both become one.
    mutating func resume(_ slots: [Slot]) {
        for interval in CandleInterval.allCases {
            let index = Int(interval.rawValue)
            var kept = slots.filter { $0.candle.interval == interval }
            guard var last = kept.popLast() else { continue }
            if !last.candle.isClosed { last.candle.missing.insert(.end) }
            guard let known = newest[index] else {
                (before[index], newest[index]) = (kept.last, last)
                continue
            }
            if known.candle.openNs == last.candle.openNs {
                newest[index] = last.joined(with: known)
                before[index] = kept.last
            } else if interval.openNs(after: last.candle.openNs) == known.candle.openNs {
                last.candle.isClosed = true
                before[index] = last
            }
        }
        isChanged = true
    }

    // MARK: One length

    /// - Returns: false when the trade is too late.
    private mutating func add(
        _ trade: Trade,
        _ interval: CandleInterval,
        _ event: MarketEvent,
        _ timeNs: Int64,
        into sink: inout some MarketEventSink
    ) -> Bool {
        let index = Int(interval.rawValue)
        let openNs = interval.openNs(of: timeNs)
        guard let slot = newest[index] else {
            open(index, interval, openNs, trade, timeNs)
            send(newest[index], event, into: &sink)
            return true
        }
        if openNs == slot.candle.openNs {
            newest[index]?.add(trade, atNs: timeNs)
            if emptyCounts[index] > 0 { emptyCounts[index] = 0 }
            send(newest[index], event, into: &sink)
            return true
        }
        if openNs > slot.candle.openNs {
            if !slot.candle.isClosed { close(index, receivedNs: event.receivedNs, into: &sink) }
            fill(index, upToNs: openNs, receivedNs: event.receivedNs, into: &sink)
            open(index, interval, openNs, trade, timeNs)
            send(newest[index], event, into: &sink)
            return true
        }
        guard openNs == before[index]?.candle.openNs else { return false }
        before[index]?.add(trade, atNs: timeNs)
        send(before[index], event, into: &sink)
        if slot.candle.isEmpty, let close = before[index]?.candle.close {
            newest[index]?.candle = Candle(
                interval: interval,
                openNs: slot.candle.openNs,
                emptyAt: close,
                missing: slot.candle.missing
            )
        }
        // Told again behind it, so that the last that was told is the newest.
        send(newest[index], event, into: &sink)
        return true
    }

    private mutating func open(
        _ index: Int,
        _ interval: CandleInterval,
        _ openNs: Int64,
        _ trade: Trade,
        _ timeNs: Int64
    ) {
        var candle = Candle(interval: interval, openNs: openNs, first: trade.price, quantity: trade.quantity)
        candle.missing = missing(at: openNs).intersection(.start)
        newest[index] = Slot(candle: candle, firstNs: timeNs, lastNs: timeNs)
        emptyCounts[index] = 0
    }

    /// Tells the intervals without trades between the newest candle, which is closed, and one that opens at `openNs`.
    private mutating func fill(
        _ index: Int,
        upToNs openNs: Int64,
        receivedNs: Int64,
        into sink: inout some MarketEventSink
    ) {
        while let slot = newest[index] {
            let interval = slot.candle.interval
            guard interval.openNs(after: slot.candle.openNs) < openNs else {
                before[index] = slot
                return
            }
            guard emptyCounts[index] < Self.emptyMost else { break }
            addEmpty(index, receivedNs: receivedNs, into: &sink)
        }
        // Nobody is told the rest, but the last of it may have a late trade.
        guard let slot = newest[index] else { return }
        let lastNs = openNs.saturatingSubtracting(slot.candle.interval.lengthNs)
        before[index] = empty(after: slot, atNs: lastNs)
    }

    private mutating func addEmpty(_ index: Int, receivedNs: Int64, into sink: inout some MarketEventSink) {
        guard let slot = newest[index] else { return }
        before[index] = slot
        let made = empty(after: slot, atNs: slot.candle.interval.openNs(after: slot.candle.openNs))
        newest[index] = made
        emptyCounts[index] += 1
        isChanged = true
        send(closed: made.candle, receivedNs: receivedNs, into: &sink)
    }

    private func empty(after slot: Slot, atNs openNs: Int64) -> Slot {
        let candle = Candle(
            interval: slot.candle.interval,
            openNs: openNs,
            emptyAt: slot.candle.close,
            missing: missing(at: openNs)
        )
        return Slot(candle: candle, firstNs: .max, lastNs: .min)
    }

    private func missing(at openNs: Int64) -> Candle.Missing {
        guard let since = listeningSinceNs else { return .all }
        return openNs < since ? .start : []
    }

    private mutating func close(_ index: Int, receivedNs: Int64, into sink: inout some MarketEventSink) {
        newest[index]?.candle.isClosed = true
        isChanged = true
        if let slot = newest[index] { send(closed: slot.candle, receivedNs: receivedNs, into: &sink) }
    }

    // MARK: Telling

    private mutating func send(closed candle: Candle, receivedNs: Int64, into sink: inout some MarketEventSink) {
        let endNs = candle.interval.openNs(after: candle.openNs)
        send(candle, eventNs: endNs, receivedNs: receivedNs, into: &sink)
    }

    private mutating func send(_ slot: Slot?, _ event: MarketEvent, into sink: inout some MarketEventSink) {
        guard let slot else { return }
        send(slot.candle, eventNs: event.eventNs, receivedNs: event.receivedNs, into: &sink)
    }

    private mutating func send(
        _ candle: Candle,
        eventNs: Int64,
        receivedNs: Int64,
        into sink: inout some MarketEventSink
    ) {
        let index = Int(candle.interval.rawValue)
        sequences[index] += 1
        let event = MarketEvent(
            instrument: instrument,
            flags: .synthetic,
            eventNs: eventNs,
            receivedNs: receivedNs,
            sequence: sequences[index],
            payload: .candle(candle)
        )
        sink.receive(event, levels: Span())
    }
}

extension CandleMaker.Slot {
    /// Counts a trade of the candle's interval, wherever in it.
    mutating func add(_ trade: Trade, atNs timeNs: Int64) {
        let (open, close) = (candle.open, candle.close)
        if candle.isEmpty {
            let (isClosed, missing) = (candle.isClosed, candle.missing)
            candle = Candle(
                interval: candle.interval,
                openNs: candle.openNs,
                first: trade.price,
                quantity: trade.quantity
            )
            (candle.isClosed, candle.missing) = (isClosed, missing)
            (firstNs, lastNs) = (timeNs, timeNs)
            return
        }
        candle.add(trade.price, trade.quantity)
        candle.open = timeNs < firstNs ? trade.price : open
        candle.close = timeNs >= lastNs ? trade.price : close
        firstNs = min(firstNs, timeNs)
        lastNs = max(lastNs, timeNs)
    }

    /// One candle of two halves of an interval, this the earlier.
    func joined(with later: Self) -> Self {
        guard !candle.isEmpty else { return later }
        guard !later.candle.isEmpty else { return self }
        var joined = self
        joined.candle.high = max(candle.high, later.candle.high)
        joined.candle.low = min(candle.low, later.candle.low)
        joined.candle.close = later.candle.close
        joined.candle.volume = candle.volume.saturatingAdding(later.candle.volume)
        joined.candle.tradeCount = candle.tradeCount &+ later.candle.tradeCount
        joined.candle.isClosed = later.candle.isClosed
        joined.candle.missing.formUnion(later.candle.missing)
        joined.lastNs = later.lastNs
        return joined
    }

    /// The same in units that are so many times finer; nil when a number does not fit.
    public func scaled(price: Int64, quantity: Int64) -> Self? {
        candle.scaled(price: price, quantity: quantity).map { Self(candle: $0, firstNs: firstNs, lastNs: lastNs) }
    }
}
