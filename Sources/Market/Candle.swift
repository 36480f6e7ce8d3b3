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

/// Open, high, low, close and volume of the trades of one interval.
public struct Candle: Hashable, Sendable, BitwiseCopyable {
    public var interval: CandleInterval
    /// Start of the interval, nanoseconds since 1970 UTC; it ends before `openNs + interval.lengthNs`.
    public var openNs: Int64
    public var open: Price
    public var high: Price
    public var low: Price
    public var close: Price
    public var volume: Quantity
    public var tradeCount: UInt32
    /// Whether the interval is over: no further change follows.
    public var isClosed: Bool

    public init(
        interval: CandleInterval,
        openNs: Int64,
        open: Price,
        high: Price,
        low: Price,
        close: Price,
        volume: Quantity,
        tradeCount: UInt32,
        isClosed: Bool
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

    public mutating func add(_ price: Price, _ quantity: Quantity) {
        high = max(high, price)
        low = min(low, price)
        close = price
        volume = volume.saturatingAdding(quantity)
        tradeCount &+= 1
    }
}
