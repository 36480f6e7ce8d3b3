/// First, highest and lowest price and the volume of the trades of the last 24 hours, kept by whole minutes.
///
/// What counts is the newest trade's minute and the 1,439 before it. A trade costs O(1), the first trade of a new minute
/// O(1,440).
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
            minutes.removeAll {
                let (age, overflow) = openNs.subtractingReportingOverflow($0.openNs)
                return overflow || age >= Self.dayNs
            }
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
