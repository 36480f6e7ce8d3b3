/// One price and what rests there.
public struct Level: Hashable, Sendable, BitwiseCopyable {
    public var price: Price
    public var quantity: Quantity

    @inlinable
    public init(price: Price, quantity: Quantity) {
        self.price = price
        self.quantity = quantity
    }
}

/// A level's new total on one side of a book; a quantity of zero removes the level.
public struct LevelChange: Hashable, Sendable, BitwiseCopyable {
    public var price: Price
    public var quantity: Quantity
    public var side: Side

    @inlinable
    public init(_ side: Side, price: Price, quantity: Quantity) {
        self.side = side
        self.price = price
        self.quantity = quantity
    }
}

/// The resting quantity at every price of one instrument.
///
/// A value: copying it freezes a picture of the market. Each side is kept with its best level last, because that end moves
/// most: a change near the best price shifts few levels.
///
/// Invariant: within a side, prices are strictly ordered and no level is empty. Bids may stand above asks for a while: a
/// venue's stream can be crossed between two messages.
public struct OrderBook: Sendable {
    /// Lowest price first, best last.
    public private(set) var bids: [Level] = []
    /// Highest price first, best last.
    public private(set) var asks: [Level] = []

    public init() {}

    @inlinable public var bestBid: Level? { bids.last }
    @inlinable public var bestAsk: Level? { asks.last }
    public var isEmpty: Bool { bids.isEmpty && asks.isEmpty }
    /// Whether the best bid is at or above the best ask.
    public var isCrossed: Bool {
        guard let bid = bids.last, let ask = asks.last else { return false }
        return bid.price >= ask.price
    }

    @inlinable
    public func depth(of side: Side) -> Int { side == .bid ? bids.count : asks.count }

    /// The level at `rank`, 0 being the best.
    ///
    /// - Precondition: `rank` is below ``depth(of:)``.
    public func level(_ rank: Int, of side: Side) -> Level {
        side == .bid ? bids[bids.count - 1 - rank] : asks[asks.count - 1 - rank]
    }

    /// The best `most` levels of a side, best first.
    public func top(_ most: Int, of side: Side) -> [Level] {
        (side == .bid ? bids : asks).suffix(most).reversed()
    }

    public func quantity(at price: Price, of side: Side) -> Quantity {
        let levels = side == .bid ? bids : asks
        let index = side == .bid ? Self.rankBid(price, levels) : Self.rankAsk(price, levels)
        return index < levels.count && levels[index].price == price ? levels[index].quantity : .zero
    }

    /// Replaces what rests at a price; zero removes the level, and removing an unknown level changes nothing.
    ///
    /// Costs O(log *n*) to find the place and O(*r*) to move the *r* better levels.
    /// - Returns: whether the book changed.
    @discardableResult
    public mutating func set(_ quantity: Quantity, at price: Price, of side: Side) -> Bool {
        switch side {
        case .bid: Self.set(quantity, at: price, in: &bids, Self.rankBid(price, bids))
        case .ask: Self.set(quantity, at: price, in: &asks, Self.rankAsk(price, asks))
        }
    }

    @discardableResult
    public mutating func apply(_ change: LevelChange) -> Bool {
        set(change.quantity, at: change.price, of: change.side)
    }

    public mutating func removeAll() {
        bids.removeAll(keepingCapacity: true)
        asks.removeAll(keepingCapacity: true)
    }

    /// Drops all but the best `most` levels of a side, telling each that goes.
    public mutating func truncate(_ side: Side, to most: Int, removed: (Level) -> Void = { _ in }) {
        let surplus = depth(of: side) - most
        guard surplus > 0 else { return }
        switch side {
        case .bid:
            bids[..<surplus].forEach(removed)
            bids.removeFirst(surplus)
        case .ask:
            asks[..<surplus].forEach(removed)
            asks.removeFirst(surplus)
        }
    }

    /// Gives every level finer units: prices times `priceFactor`, quantities times `quantityFactor`.
    ///
    /// - Returns: false when a number would not fit any more with `headroom` to spare; the book is then unchanged.
    public mutating func rescale(priceFactor: Int64, quantityFactor: Int64, headroom: Int64 = 1) -> Bool {
        func fits(_ value: Int64, _ factor: Int64) -> Bool {
            let (product, overflow) = value.multipliedReportingOverflow(by: factor)
            return !overflow && !product.multipliedReportingOverflow(by: headroom).overflow
        }
        func allFit(_ levels: [Level]) -> Bool {
            levels.allSatisfy { fits($0.price.ticks, priceFactor) && fits($0.quantity.lots, quantityFactor) }
        }
        guard allFit(bids), allFit(asks) else { return false }
        func rescaled(_ level: Level) -> Level {
            Level(
                price: Price(ticks: level.price.ticks * priceFactor),
                quantity: Quantity(lots: level.quantity.lots * quantityFactor)
            )
        }
        bids = bids.map(rescaled)
        asks = asks.map(rescaled)
        return true
    }

    /// CRC32 (zlib's) over the best ten levels, asks then bids, each level's price then quantity as decimal integers.
    ///
    /// Kraken's rule, which the hub uses for its own clients as well. Prices are not negative where this is used; a negative
    /// one is written with its sign.
    public var checksum: UInt32 {
        var sum = CRC32()
        for side in [Side.ask, .bid] {
            for rank in 0..<min(10, depth(of: side)) {
                let level = level(rank, of: side)
                sum.add(decimal: level.price.ticks)
                sum.add(decimal: level.quantity.lots)
            }
        }
        return sum.value
    }

    private static func set(_ quantity: Quantity, at price: Price, in levels: inout [Level], _ index: Int) -> Bool {
        let isPresent = index < levels.count && levels[index].price == price
        switch (isPresent, quantity.isZero) {
        case (true, true): levels.remove(at: index)
        case (true, false):
            guard levels[index].quantity != quantity else { return false }
            levels[index].quantity = quantity
        case (false, true): return false
        case (false, false): levels.insert(Level(price: price, quantity: quantity), at: index)
        }
        return true
    }

    /// How many levels stand before the first whose price is not below `price`, in an array with rising prices.
    ///
    /// The last eight are looked at first, from the best end: nine changes in ten are there.
    private static func rankBid(_ price: Price, _ levels: [Level]) -> Int {
        levels.withUnsafeBufferPointer { levels in
            var high = levels.count
            for _ in 0..<min(8, high) {
                if levels[high - 1].price < price { return high }
                high -= 1
            }
            var low = 0
            while low < high {
                let middle = (low + high) >> 1
                if levels[middle].price < price { low = middle + 1 } else { high = middle }
            }
            return low
        }
    }

    private static func rankAsk(_ price: Price, _ levels: [Level]) -> Int {
        levels.withUnsafeBufferPointer { levels in
            var high = levels.count
            for _ in 0..<min(8, high) {
                if levels[high - 1].price > price { return high }
                high -= 1
            }
            var low = 0
            while low < high {
                let middle = (low + high) >> 1
                if levels[middle].price > price { low = middle + 1 } else { high = middle }
            }
            return low
        }
    }

    /// Whether the invariant holds.
    ///
    /// Costs O(*n*): for assertions and tests.
    package var isConsistent: Bool {
        zip(bids, bids.dropFirst()).allSatisfy { $0.price < $1.price }
            && zip(asks, asks.dropFirst()).allSatisfy { $0.price > $1.price }
            && (bids + asks).allSatisfy { !$0.quantity.isZero }
    }
}
