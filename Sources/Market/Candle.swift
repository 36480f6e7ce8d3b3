/// The lengths of candles that the hub makes.
public enum CandleInterval: UInt8, Hashable, Sendable, CaseIterable, BitwiseCopyable {
    case second = 0
    case minute = 1
    case fiveMinutes = 2
    case fifteenMinutes = 3
    case hour = 4
    case day = 5

    public var lengthNs: Int64 {
        switch self {
        case .second: 1_000_000_000
        case .minute: 60_000_000_000
        case .fiveMinutes: 300_000_000_000
        case .fifteenMinutes: 900_000_000_000
        case .hour: 3_600_000_000_000
        case .day: 86_400_000_000_000
        }
    }

    /// As clients and venues write it.
    public var name: String {
        switch self {
        case .second: "1s"
        case .minute: "1m"
        case .fiveMinutes: "5m"
        case .fifteenMinutes: "15m"
        case .hour: "1h"
        case .day: "1d"
        }
    }

    public init?(name: String) {
        guard let match = Self.allCases.first(where: { $0.name == name }) else { return nil }
        self = match
    }

    /// The start of the interval that `timeNs` falls into, counted from 1970 UTC.
    ///
    /// The first interval that 64 bits hold whole stands for those before it.
    public func openNs(of timeNs: Int64) -> Int64 {
        let into = timeNs % lengthNs
        guard into < 0 else { return timeNs - into }
        let (openNs, overflow) = (timeNs - into).subtractingReportingOverflow(lengthNs)
        return overflow ? timeNs - into : openNs
    }
}

extension CandleInterval {
    /// The start of the interval that follows; the last that 64 bits hold stands for those after it.
    func openNs(after openNs: Int64) -> Int64 { openNs.saturatingAdding(lengthNs) }
}

/// Open, high, low, close and volume of the trades of one interval.
///
/// A closed candle without trades says that there were none: its four prices are the close before it.
public struct Candle: Hashable, Sendable, BitwiseCopyable {
    /// Where in an interval the hub did not listen, so that trades may be missing.
    public struct Missing: OptionSet, Hashable, Sendable, BitwiseCopyable {
        public var rawValue: UInt8

        @inlinable
        public init(rawValue: UInt8) { self.rawValue = rawValue }

        /// The hub began to listen within the interval or after it.
        public static let start = Missing(rawValue: 1 << 0)
        /// The hub ceased to listen within the interval or before it.
        public static let end = Missing(rawValue: 1 << 1)
        public static let all: Missing = [.start, .end]
    }

    public var interval: CandleInterval
    /// Start of the interval, nanoseconds since 1970 UTC; it ends before `openNs + interval.lengthNs`.
    public var openNs: Int64
    public var open: Price
    public var high: Price
    public var low: Price
    public var close: Price
    public var volume: Quantity
    public var tradeCount: UInt32
    /// Whether the interval is over: only a trade that comes late changes it still.
    public var isClosed: Bool
    public var missing: Missing

    public init(
        interval: CandleInterval,
        openNs: Int64,
        open: Price,
        high: Price,
        low: Price,
        close: Price,
        volume: Quantity,
        tradeCount: UInt32,
        isClosed: Bool,
        missing: Missing = []
    ) {
        self.interval = interval
        self.openNs = openNs
        self.open = open
        self.high = high
        self.low = low
        self.close = close
        self.volume = volume
        self.tradeCount = tradeCount
        self.isClosed = isClosed
        self.missing = missing
    }

    /// The candle that a first trade opens.
    public init(interval: CandleInterval, openNs: Int64, first price: Price, quantity: Quantity) {
        self.init(
            interval: interval,
            openNs: openNs,
            open: price,
            high: price,
            low: price,
            close: price,
            volume: quantity,
            tradeCount: 1,
            isClosed: false
        )
    }

    /// The closed candle of an interval without trades, after one that closed at `price`.
    public init(interval: CandleInterval, openNs: Int64, emptyAt price: Price, missing: Missing = []) {
        self.init(
            interval: interval,
            openNs: openNs,
            open: price,
            high: price,
            low: price,
            close: price,
            volume: .zero,
            tradeCount: 0,
            isClosed: true,
            missing: missing
        )
    }

    /// Whether trades of the interval may be missing, because the hub did not listen for all of it.
    public var isPartial: Bool { !missing.isEmpty }

    public var isEmpty: Bool { tradeCount == 0 }

    /// Counts a trade that is neither before the first nor before the last.
    public mutating func add(_ price: Price, _ quantity: Quantity) {
        high = max(high, price)
        low = min(low, price)
        close = price
        volume = volume.saturatingAdding(quantity)
        tradeCount &+= 1
    }

    /// The same in units that are so many times finer; nil when a number does not fit.
    public func scaled(price: Int64, quantity: Int64) -> Candle? {
        guard let open = open.scaled(by: price), let high = high.scaled(by: price), let low = low.scaled(by: price),
            let close = close.scaled(by: price), let volume = volume.scaled(by: quantity)
        else { return nil }
        var candle = self
        (candle.open, candle.high, candle.low, candle.close) = (open, high, low, close)
        candle.volume = volume
        return candle
    }
}

extension Price {
    func scaled(by factor: Int64) -> Price? {
        let (ticks, overflow) = ticks.multipliedReportingOverflow(by: factor)
        return overflow ? nil : Price(ticks: ticks)
    }
}

extension Quantity {
    func scaled(by factor: Int64) -> Quantity? {
        let (lots, overflow) = lots.multipliedReportingOverflow(by: factor)
        return overflow ? nil : Quantity(lots: lots)
    }
}

extension Int64 {
    /// The sum, or the end of the range that it would pass.
    func saturatingAdding(_ other: Int64) -> Int64 {
        let (sum, overflow) = addingReportingOverflow(other)
        return overflow ? (other < 0 ? .min : .max) : sum
    }

    func saturatingSubtracting(_ other: Int64) -> Int64 {
        let (difference, overflow) = subtractingReportingOverflow(other)
        return overflow ? (other < 0 ? .max : .min) : difference
    }

    /// Ten to a power from 0 to 18.
    package static func power(ofTen exponent: UInt8) -> Int64 {
        precondition(exponent <= 18, "no power of ten that 64 bits hold")
        return (0..<exponent).reduce(1) { power, _ in power * 10 }
    }
}
