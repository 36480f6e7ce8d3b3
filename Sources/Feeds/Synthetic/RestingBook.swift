import Market

/// The resting orders of one instrument, by price and then by time.
///
/// Orders live in one pool and are linked in arrival order within their level. Prices and quantities are whole ticks and
/// lots. At most ``levelsMost`` levels a side and ``ordersMost`` orders; who adds asks first whether there is room.
///
/// Invariant: the best bid is below the best ask, no level is empty, and a level's quantity is the sum of its orders'.
struct RestingBook: Sendable {
    static let levelsMost = 400
    static let ordersMost = 4_096

    struct Fill {
        var price: Int64
        var quantity: Int64
    }

    struct PriceLevel {
        /// The price for bids and its negative for asks, so that the greatest is the best on both sides.
        var rank: Int64
        var quantity: Int64
        /// The oldest order.
        var head: Int32
        /// The newest order.
        var tail: Int32
    }

    private struct Order {
        var id: UInt64
        var price: Int64
        var quantity: Int64
        var side: Side
        var previous: Int32
        var next: Int32
        /// Its place in ``live``.
        var place: Int32
    }

    /// Best last.
    private(set) var bids: [PriceLevel] = []
    /// Best last.
    private(set) var asks: [PriceLevel] = []
    private var orders: [Order] = []
    /// Places in ``orders`` that are free, and those that are taken, in no order.
    private var free: [Int32] = []
    private var live: [Int32] = []
    private var lastOrderID: UInt64 = 0
    private static let none: Int32 = -1

    init() {
        bids.reserveCapacity(Self.levelsMost)
        asks.reserveCapacity(Self.levelsMost)
        orders.reserveCapacity(Self.ordersMost)
        free.reserveCapacity(Self.ordersMost)
        live.reserveCapacity(Self.ordersMost)
    }

    var orderCount: Int { live.count }
    var bestBid: Int64? { bids.last?.rank }
    var bestAsk: Int64? { (asks.last?.rank).map { -$0 } }

    func depth(of side: Side) -> Int { side == .bid ? bids.count : asks.count }

    /// Whether an order at this price would stay within the bounds.
    func hasRoom(at price: Int64, on side: Side) -> Bool {
        guard live.count < Self.ordersMost else { return false }
        let (rank, levels) = side == .bid ? (price, bids) : (-price, asks)
        guard levels.count == Self.levelsMost else { return true }
        let index = Self.index(of: rank, in: levels)
        return index < levels.count && levels[index].rank == rank
    }

    func side(ofLive place: Int) -> Side { orders[Int(live[place])].side }

    /// Appends an order at the end of its price's queue and returns the level's new total.
    ///
    /// - Precondition: it does not cross the other side, and ``hasRoom(at:on:)``.
    mutating func add(_ quantity: Int64, at price: Int64, on side: Side) -> Int64 {
        assert(side == .bid ? price < bestAsk ?? .max : price > bestBid ?? .min, "a resting order must not cross")
        lastOrderID += 1
        let order = Order(
            id: lastOrderID,
            price: price,
            quantity: quantity,
            side: side,
            previous: Self.none,
            next: Self.none,
            place: Int32(live.count)
        )
        let slot: Int32
        if let reused = free.popLast() {
            slot = reused
            orders[Int(slot)] = order
        } else {
            slot = Int32(orders.count)
            orders.append(order)
        }
        live.append(slot)
        switch side {
        case .bid: return Self.append(slot, of: quantity, rank: price, to: &bids, &orders)
        case .ask: return Self.append(slot, of: quantity, rank: -price, to: &asks, &orders)
        }
    }

    /// Takes one live order away, `place` counting them in no order, and says which level now has how much.
    mutating func cancel(live place: Int) -> (side: Side, price: Int64, quantity: Int64) {
        remove(live[place])
    }

    /// Takes away the newest order of a side's best level.
    mutating func cancelAtBest(of side: Side) -> (side: Side, price: Int64, quantity: Int64)? {
        guard let level = side == .bid ? bids.last : asks.last else { return nil }
        return remove(level.tail)
    }

    /// Fills up to `quantity` from the best level on, oldest order first; at most `levelsMost` levels are emptied, and
    /// never a side's last one.
    ///
    /// Appends one fill for each order met, and the new total of each level touched.
    mutating func take(
        _ quantity: Int64,
        from side: Side,
        levelsMost: Int,
        fills: inout [Fill],
        levels: inout [(price: Int64, quantity: Int64)]
    ) {
        var wanted = quantity
        var emptied = 0
        while wanted > 0, let best = side == .bid ? bids.last : asks.last {
            if wanted >= best.quantity {
                guard emptied < levelsMost, depth(of: side) > 1 else { return }
                emptied += 1
            }
            let price = side == .bid ? best.rank : -best.rank
            var slot = best.head
            var taken: Int64 = 0
            while slot != Self.none, wanted > 0 {
                let order = orders[Int(slot)]
                let filled = min(order.quantity, wanted)
                fills.append(Fill(price: price, quantity: filled))
                wanted -= filled
                taken += filled
                if filled == order.quantity {
                    release(slot)
                    slot = order.next
                } else {
                    orders[Int(slot)].quantity -= filled
                }
            }
            if slot != Self.none { orders[Int(slot)].previous = Self.none }
            levels.append((price, best.quantity - taken))
            switch side {
            case .bid: Self.shrinkBest(of: &bids, by: taken, head: slot)
            case .ask: Self.shrinkBest(of: &asks, by: taken, head: slot)
            }
        }
    }

    private mutating func remove(_ slot: Int32) -> (side: Side, price: Int64, quantity: Int64) {
        let order = orders[Int(slot)]
        if order.previous != Self.none { orders[Int(order.previous)].next = order.next }
        if order.next != Self.none { orders[Int(order.next)].previous = order.previous }
        release(slot)
        let left: Int64
        switch order.side {
        case .bid: left = Self.unlink(order, rank: order.price, in: &bids)
        case .ask: left = Self.unlink(order, rank: -order.price, in: &asks)
        }
        return (order.side, order.price, left)
    }

    /// Gives an order's place back to the pool.
    private mutating func release(_ slot: Int32) {
        let place = Int(orders[Int(slot)].place)
        let moved = live[live.count - 1]
        live[place] = moved
        orders[Int(moved)].place = Int32(place)
        live.removeLast()
        free.append(slot)
    }

    private static func append(
        _ slot: Int32,
        of quantity: Int64,
        rank: Int64,
        to levels: inout [PriceLevel],
        _ orders: inout [Order]
    ) -> Int64 {
        let index = index(of: rank, in: levels)
        guard index < levels.count, levels[index].rank == rank else {
            levels.insert(PriceLevel(rank: rank, quantity: quantity, head: slot, tail: slot), at: index)
            return quantity
        }
        orders[Int(slot)].previous = levels[index].tail
        orders[Int(levels[index].tail)].next = slot
        levels[index].tail = slot
        levels[index].quantity += quantity
        return levels[index].quantity
    }

    private static func unlink(_ order: Order, rank: Int64, in levels: inout [PriceLevel]) -> Int64 {
        let index = index(of: rank, in: levels)
        levels[index].quantity -= order.quantity
        let left = levels[index].quantity
        if left == 0 {
            levels.remove(at: index)
        } else {
            if order.previous == none { levels[index].head = order.next }
            if order.next == none { levels[index].tail = order.previous }
        }
        return left
    }

    private static func shrinkBest(of levels: inout [PriceLevel], by taken: Int64, head: Int32) {
        let index = levels.count - 1
        levels[index].quantity -= taken
        levels[index].head = head
        if levels[index].quantity == 0 { levels.removeLast() }
    }

    /// How many levels are worse than `rank`; most orders come near the best, so that end is looked at first.
    private static func index(of rank: Int64, in levels: [PriceLevel]) -> Int {
        var high = levels.count
        for _ in 0..<min(8, high) {
            if levels[high - 1].rank < rank { return high }
            high -= 1
        }
        var low = 0
        while low < high {
            let middle = (low + high) >> 1
            if levels[middle].rank < rank { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// Whether the invariant holds.
    ///
    /// Costs O(*orders*): for tests.
    var isConsistent: Bool {
        let sides = [(Side.bid, bids), (Side.ask, asks)]
        let areLevelsRight = sides.allSatisfy { side, levels in
            zip(levels, levels.dropFirst()).allSatisfy { $0.rank < $1.rank }
                && levels.allSatisfy { isConsistent($0, on: side) }
        }
        let count = sides.flatMap { $0.1 }.reduce(0) { $0 + queue(of: $1).count }
        return areLevelsRight && count == live.count && live.count + free.count == orders.count
            && (bestBid ?? .min) < (bestAsk ?? .max)
    }

    private func isConsistent(_ level: PriceLevel, on side: Side) -> Bool {
        let queue = queue(of: level)
        return !queue.isEmpty && queue.reduce(0) { $0 + $1.quantity } == level.quantity
            && queue.allSatisfy { $0.quantity > 0 && $0.side == side && abs($0.price) == abs(level.rank) }
            && zip(queue, queue.dropFirst()).allSatisfy { $0.id < $1.id }
            && queue.last?.next == Self.none && queue.first?.previous == Self.none
    }

    private func queue(of level: PriceLevel) -> [Order] {
        var queue: [Order] = []
        var slot = level.head
        while slot != Self.none {
            queue.append(orders[Int(slot)])
            slot = orders[Int(slot)].next
        }
        return queue
    }
}
