/// One order that rests in a book.
public struct RestingOrder: Hashable, Sendable, BitwiseCopyable {
    /// The venue's number of the order.
    public var id: UInt64
    public var side: Side
    public var price: Price
    public var quantity: Quantity

    @inlinable
    public init(id: UInt64, side: Side, price: Price, quantity: Quantity) {
        self.id = id
        self.side = side
        self.price = price
        self.quantity = quantity
    }
}

/// The individual orders of some books by their numbers, each book's aggregate always in step.
///
/// Every change costs O(1) for the orders and what ``OrderBook/set(_:at:of:)`` costs for the aggregate, and allocates nothing
/// once the pools have grown to what rests at most. Orders of one price and side keep the order in which they came: the first
/// has priority. A partial execution or reduction keeps it, a replacement loses it.
///
/// Order numbers are unique over all books of a ledger, as they are over a venue's day.
public struct OrderLedger: Sendable {
    public struct Limits: Sendable {
        public var ordersMost: Int
        /// Prices with at least one order, over all books and both sides.
        public var levelsMost: Int

        public init(ordersMost: Int = 8_000_000, levelsMost: Int = 2_000_000) {
            self.ordersMost = ordersMost
            self.levelsMost = levelsMost
        }
    }

    /// Why a change cannot be; the ledger is unchanged.
    public enum Refusal: Error, Hashable, Sendable {
        case unknownOrder
        case orderExists
        /// An order, or an execution, of nothing.
        case noQuantity
        /// More was to go than rests.
        case tooMuch(resting: Quantity)
        case tooManyOrders(most: Int)
        case tooManyLevels(most: Int)
        /// The level's total would not fit 64 bits.
        case outOfRange
    }

    /// What a change came to.
    public struct Outcome: Hashable, Sendable, BitwiseCopyable {
        /// The place of the order's book.
        public var book: Int
        /// The order afterwards; its quantity is zero when it is gone.
        public var order: RestingOrder
        /// The total of its level afterwards.
        public var level: LevelChange
    }

    struct Order: Sendable, BitwiseCopyable {
        var id: UInt64
        var lots: Int64
        var level: Int32
        /// Neighbours at the level, first come first; -1 for none.
        var previous: Int32
        /// In a free slot the next free one.
        var next: Int32
    }

    struct LevelQueue: Sendable, BitwiseCopyable {
        var ticks: Int64
        var lots: Int64
        var book: Int32
        var count: Int32
        var first: Int32
        /// In a free slot the next free one.
        var last: Int32
        var side: Side
    }

    public let limits: Limits
    /// By place.
    public private(set) var books: [OrderBook] = []
    var orders: [Order] = []
    var levels: [LevelQueue] = []
    private var freeOrder: Int32 = -1
    private var freeLevel: Int32 = -1
    var orderTable = SlotTable()
    var levelTable = SlotTable()

    public init(limits: Limits = Limits()) { self.limits = limits }

    /// Orders at rest.
    public var count: Int { orderTable.count }
    /// Prices with at least one order.
    public var levelCount: Int { levelTable.count }

    /// - Returns: the place of a new, empty book; places count from 0.
    public mutating func addBook() -> Int {
        books.append(OrderBook())
        return books.count - 1
    }

    /// The order under a number, and the place of its book.
    public func order(_ id: UInt64) -> (order: RestingOrder, book: Int)? {
        let slot = orderTable.slot(of: id)
        guard slot >= 0 else { return nil }
        let order = orders[Int(slot)]
        return (resting(order), Int(levels[Int(order.level)].book))
    }

    // MARK: Changes

    /// Lets an order rest behind all others of its price.
    public mutating func add(_ order: RestingOrder, to book: Int) throws(Refusal) -> Outcome {
        guard !order.quantity.isZero else { throw .noQuantity }
        guard orderTable.slot(of: order.id) < 0 else { throw .orderExists }
        guard count < limits.ordersMost else { throw .tooManyOrders(most: limits.ordersMost) }
        let level = levelSlot(order.price, order.side, book)
        try checkRoom(level, order.quantity)
        return insert(order, level, book)
    }

    /// Takes a part of an order away, by execution or by cancellation; an order of which nothing is left is gone.
    public mutating func reduce(_ id: UInt64, by quantity: Quantity) throws(Refusal) -> Outcome {
        guard !quantity.isZero else { throw .noQuantity }
        let slot = orderTable.slot(of: id)
        guard slot >= 0 else { throw .unknownOrder }
        let resting = orders[Int(slot)].lots
        guard quantity.lots <= resting else { throw .tooMuch(resting: Quantity(lots: resting)) }
        guard quantity.lots < resting else { return take(slot) }
        orders[Int(slot)].lots = resting - quantity.lots
        let level = Int(orders[Int(slot)].level)
        levels[level].lots -= quantity.lots
        let change = setLevel(level)
        return Outcome(book: Int(levels[level].book), order: self.resting(orders[Int(slot)]), level: change)
    }

    public mutating func remove(_ id: UInt64) throws(Refusal) -> Outcome {
        let slot = orderTable.slot(of: id)
        guard slot >= 0 else { throw .unknownOrder }
        return take(slot)
    }

    /// Lets a new order take an old one's place in the market, on its side and in its book, behind all others of its price.
    public mutating func replace(
        _ id: UInt64,
        with newID: UInt64,
        price: Price,
        quantity: Quantity
    ) throws(Refusal) -> (old: Outcome, new: Outcome) {
        guard !quantity.isZero else { throw .noQuantity }
        let slot = orderTable.slot(of: id)
        guard slot >= 0 else { throw .unknownOrder }
        guard newID == id || orderTable.slot(of: newID) < 0 else { throw .orderExists }
        let queue = levels[Int(orders[Int(slot)].level)]
        try checkRoom(levelSlot(price, queue.side, Int(queue.book)), quantity)
        let old = take(slot)
        let order = RestingOrder(id: newID, side: queue.side, price: price, quantity: quantity)
        let book = Int(queue.book)
        return (old, insert(order, levelSlot(price, queue.side, book), book))
    }

    /// Empties one book, in O(its orders).
    public mutating func removeAll(of book: Int) {
        for side in Side.allCases {
            for rank in 0..<books[book].depth(of: side) {
                let level = levelSlot(books[book].level(rank, of: side).price, side, book)
                var slot = levels[Int(level)].first
                while slot >= 0 {
                    let next = orders[Int(slot)].next
                    orderTable.remove(slot, under: orders[Int(slot)].id)
                    freeOrder(slot)
                    slot = next
                }
                freeLevel(level)
            }
        }
        books[book].removeAll()
    }

    /// Tells every order of a side, best price first, at one price in the order of priority.
    public func forEachOrder(of book: Int, _ side: Side, _ body: (RestingOrder) -> Void) {
        for rank in 0..<books[book].depth(of: side) {
            let level = levelSlot(books[book].level(rank, of: side).price, side, book)
            var slot = levels[Int(level)].first
            while slot >= 0 {
                body(resting(orders[Int(slot)]))
                slot = orders[Int(slot)].next
            }
        }
    }

    // MARK: Pools

    private func resting(_ order: Order) -> RestingOrder {
        let level = levels[Int(order.level)]
        return RestingOrder(
            id: order.id,
            side: level.side,
            price: Price(ticks: level.ticks),
            quantity: Quantity(lots: order.lots)
        )
    }

    private func checkRoom(_ level: Int32, _ quantity: Quantity) throws(Refusal) {
        if level >= 0 {
            let sum = levels[Int(level)].lots.addingReportingOverflow(quantity.lots)
            guard !sum.overflow else { throw .outOfRange }
        } else {
            guard levelCount < limits.levelsMost else { throw .tooManyLevels(most: limits.levelsMost) }
        }
    }

    private mutating func insert(_ order: RestingOrder, _ known: Int32, _ book: Int) -> Outcome {
        let level = known >= 0 ? known : makeLevel(order.price, order.side, book)
        let last = levels[Int(level)].last
        let made = Order(id: order.id, lots: order.quantity.lots, level: level, previous: last, next: -1)
        let slot: Int32
        if freeOrder >= 0 {
            slot = freeOrder
            freeOrder = orders[Int(slot)].next
            orders[Int(slot)] = made
        } else {
            slot = Int32(orders.count)
            orders.append(made)
        }
        if last >= 0 { orders[Int(last)].next = slot } else { levels[Int(level)].first = slot }
        levels[Int(level)].last = slot
        levels[Int(level)].count += 1
        levels[Int(level)].lots += order.quantity.lots
        orderTable.add(slot, under: order.id)
        return Outcome(book: book, order: order, level: setLevel(Int(level)))
    }

    /// Takes an order out, and its level when it was the last there.
    private mutating func take(_ slot: Int32) -> Outcome {
        let order = orders[Int(slot)]
        let level = Int(order.level)
        var gone = resting(order)
        gone.quantity = .zero
        if order.previous >= 0 {
            orders[Int(order.previous)].next = order.next
        } else {
            levels[level].first = order.next
        }
        if order.next >= 0 {
            orders[Int(order.next)].previous = order.previous
        } else {
            levels[level].last = order.previous
        }
        levels[level].lots -= order.lots
        levels[level].count -= 1
        let book = Int(levels[level].book)
        let change = setLevel(level)
        if levels[level].count == 0 { freeLevel(order.level) }
        orderTable.remove(slot, under: order.id)
        freeOrder(slot)
        return Outcome(book: book, order: gone, level: change)
    }

    /// Brings the aggregate up to a level.
    private mutating func setLevel(_ level: Int) -> LevelChange {
        let queue = levels[level]
        let change = LevelChange(
            queue.side,
            price: Price(ticks: queue.ticks),
            quantity: Quantity(lots: queue.lots)
        )
        books[Int(queue.book)].apply(change)
        return change
    }

    private mutating func freeOrder(_ slot: Int32) {
        orders[Int(slot)].level = -1
        orders[Int(slot)].next = freeOrder
        freeOrder = slot
    }

    private mutating func freeLevel(_ level: Int32) {
        let queue = levels[Int(level)]
        levelTable.remove(level, under: Self.key(queue.ticks, queue.side, queue.book))
        levels[Int(level)].count = 0
        levels[Int(level)].last = freeLevel
        freeLevel = level
    }

    private mutating func makeLevel(_ price: Price, _ side: Side, _ book: Int) -> Int32 {
        let made = LevelQueue(
            ticks: price.ticks,
            lots: 0,
            book: Int32(book),
            count: 0,
            first: -1,
            last: -1,
            side: side
        )
        let level: Int32
        if freeLevel >= 0 {
            level = freeLevel
            freeLevel = levels[Int(level)].last
            levels[Int(level)] = made
        } else {
            level = Int32(levels.count)
            levels.append(made)
        }
        levelTable.add(level, under: Self.key(price.ticks, side, Int32(book)))
        return level
    }

    /// The level of a price; -1 when nothing rests there.
    func levelSlot(_ price: Price, _ side: Side, _ book: Int) -> Int32 {
        levelTable.slot(of: Self.key(price.ticks, side, Int32(book))) { slot in
            let level = levels[Int(slot)]
            return level.ticks == price.ticks && level.side == side && level.book == Int32(book)
        }
    }

    /// Different levels may have the same key.
    private static func key(_ ticks: Int64, _ side: Side, _ book: Int32) -> UInt64 {
        let place = UInt64(UInt32(bitPattern: book)) << 1 | UInt64(side.rawValue)
        return UInt64(bitPattern: ticks) ^ place &* 0xD6E8_FEB8_6659_FD93
    }
}
