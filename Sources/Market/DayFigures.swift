/// First, highest and lowest price and the volume of the trades of the last 24 hours, kept by whole minutes.
///
/// What counts is the minute that it is and the 1,439 before it: a trade tells the time, and on quiet days the clock
/// (``expire(atNs:)``). A trade costs O(1), the first trade of a new minute O(1,440).
public struct DayFigures: Sendable {
    private struct Minute {
        var openNs: Int64
        var open: Price
        var high: Price
        var low: Price
        var volume: Quantity
    }

    private var minutes: [Minute] = []
    private var total: Ticker.Day?
    private static let dayNs: Int64 = 86_400_000_000_000

    public init() {}

    public var day: Ticker.Day? { total }

    /// Counts a trade; one older than the newest minute counts into that minute, because the figures look at prices only.
    public mutating func add(_ price: Price, _ quantity: Quantity, atNs now: Int64) {
        let openNs = CandleInterval.minute.openNs(of: now)
        guard let newest = minutes.indices.last, openNs <= minutes[newest].openNs else {
            forget(before: openNs)
            minutes.append(Minute(openNs: openNs, open: price, high: price, low: price, volume: quantity))
            sum()
            return
        }
        minutes[newest].high = max(minutes[newest].high, price)
        minutes[newest].low = min(minutes[newest].low, price)
        minutes[newest].volume = minutes[newest].volume.saturatingAdding(quantity)
        guard var day = total else { return sum() }
        day.high = max(day.high, price)
        day.low = min(day.low, price)
        day.volume = day.volume.saturatingAdding(quantity)
        total = day
    }

    /// Forgets the minutes that are no longer of the last 24 hours; O(1) when there are none.
    ///
    /// - Returns: whether the figures changed.
    public mutating func expire(atNs now: Int64) -> Bool {
        let openNs = CandleInterval.minute.openNs(of: now)
        guard let first = minutes.first, Self.isOver(first, at: openNs) else { return false }
        let old = total
        forget(before: openNs)
        sum()
        return total != old
    }

    /// Counts minutes of an earlier run as well, in the order of time and in the present units.
    public mutating func resume(_ candles: some Sequence<Candle>) {
        let own = minutes
        minutes = candles.filter { !$0.isEmpty && $0.openNs <= own.first?.openNs ?? .max }.map {
            Minute(openNs: $0.openNs, open: $0.open, high: $0.high, low: $0.low, volume: $0.volume)
        }
        if let first = own.first, let last = minutes.last, last.openNs == first.openNs {
            minutes[minutes.count - 1].high = max(last.high, first.high)
            minutes[minutes.count - 1].low = min(last.low, first.low)
            minutes[minutes.count - 1].volume = last.volume.saturatingAdding(first.volume)
            minutes += own.dropFirst()
        } else {
            minutes += own
        }
        if let newest = minutes.last { forget(before: newest.openNs) }
        sum()
    }

    /// Takes over units that are so many times finer; minutes whose numbers do not fit are forgotten.
    public mutating func rescale(price: Int64, quantity: Int64) {
        minutes = minutes.compactMap { minute in
            guard let open = minute.open.scaled(by: price), let high = minute.high.scaled(by: price),
                let low = minute.low.scaled(by: price), let volume = minute.volume.scaled(by: quantity)
            else { return nil }
            return Minute(openNs: minute.openNs, open: open, high: high, low: low, volume: volume)
        }
        sum()
    }

    private mutating func forget(before openNs: Int64) {
        minutes.removeAll { Self.isOver($0, at: openNs) }
    }

    /// Whether a minute is 24 hours or more before the one that begins at `openNs`.
    private static func isOver(_ minute: Minute, at openNs: Int64) -> Bool {
        openNs.saturatingSubtracting(minute.openNs) >= dayNs
    }

    private mutating func sum() {
        guard let first = minutes.first else {
            total = nil
            return
        }
        let start = Ticker.Day(open: first.open, high: first.high, low: first.low, volume: first.volume)
        total = minutes.dropFirst().reduce(into: start) { day, minute in
            day.high = max(day.high, minute.high)
            day.low = min(day.low, minute.low)
            day.volume = day.volume.saturatingAdding(minute.volume)
        }
    }
}
