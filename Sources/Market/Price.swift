/// A price as a whole number of an instrument's price unit, ten to the power of minus ``Instrument/priceScale``.
///
/// 101.25 at scale 2 is `Price(ticks: 10_125)`. Comparing and adding are exact. An instrument's smallest permitted step
/// may be several of these units: see ``Instrument/tick``.
public struct Price: Hashable, Comparable, Sendable, BitwiseCopyable {
    public var ticks: Int64

    @inlinable
    public init(ticks: Int64) { self.ticks = ticks }

    @inlinable
    public static func < (left: Price, right: Price) -> Bool { left.ticks < right.ticks }

    public static let zero = Price(ticks: 0)
}

/// An amount as a whole number of an instrument's quantity unit, ten to the power of minus ``Instrument/quantityScale``.
///
/// Never negative.
public struct Quantity: Hashable, Comparable, Sendable, BitwiseCopyable {
    public private(set) var lots: Int64

    /// - Precondition: `lots` is zero or more.
    @inlinable
    public init(lots: Int64) {
        precondition(lots >= 0, "a quantity cannot be negative")
        self.init(unchecked: lots)
    }

    @usableFromInline
    init(unchecked lots: Int64) { self.lots = lots }

    public static let zero = Quantity(unchecked: 0)

    @inlinable public var isZero: Bool { lots == 0 }

    @inlinable
    public static func < (left: Quantity, right: Quantity) -> Bool { left.lots < right.lots }

    /// The sum, or the greatest quantity there is when the sum does not fit: a day's volume may be larger than a lot count.
    @inlinable
    public func saturatingAdding(_ other: Quantity) -> Quantity {
        let (sum, overflow) = lots.addingReportingOverflow(other.lots)
        return Quantity(unchecked: overflow ? .max : sum)
    }
}

/// The side of the book an order rests on.
public enum Side: UInt8, Hashable, Sendable, CaseIterable, BitwiseCopyable {
    case bid = 0
    case ask = 1
}

/// Who crossed the spread in a trade, where the venue tells.
public enum Aggressor: UInt8, Hashable, Sendable, CaseIterable, BitwiseCopyable {
    case unknown = 0
    case buyer = 1
    case seller = 2
}
