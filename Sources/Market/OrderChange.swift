/// What happened to one resting order of an instrument whose venue tells orders one by one.
public struct OrderChange: Hashable, Sendable, BitwiseCopyable {
    public enum Kind: UInt8, Hashable, Sendable, CaseIterable, BitwiseCopyable {
        /// Rests now, behind all others of its price.
        case added = 1
        /// A part was traded; a quantity of zero says that nothing is left.
        case executed = 2
        /// A part was taken back; the order keeps its priority.
        case reduced = 3
        case deleted = 4
        /// Gave way to another order on its side, behind all others of the new price.
        case replaced = 5
        /// No order rests: what follows with the flag SNAPSHOT, until ``complete``, are all that do.
        case cleared = 6
        case complete = 7
    }

    public var kind: Kind
    public var side: Side
    /// The order's number; of a replacement the old one's.
    public var id: UInt64
    /// Of a replacement the new order's number; else 0.
    public var newID: UInt64
    /// The order's price; of an execution the price it was made at, which may be another.
    public var price: Price
    /// What rests of the order, or of the new one, afterwards.
    public var quantity: Quantity

    @inlinable
    public init(
        _ kind: Kind,
        side: Side = .bid,
        id: UInt64 = 0,
        newID: UInt64 = 0,
        price: Price = .zero,
        quantity: Quantity = .zero
    ) {
        self.kind = kind
        self.side = side
        self.id = id
        self.newID = newID
        self.price = price
        self.quantity = quantity
    }
}
