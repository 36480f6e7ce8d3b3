extension OrderLedger {
    /// Whether orders, levels, tables and aggregates agree with each other.
    ///
    /// Costs O(everything): for assertions and tests.
    package var isConsistent: Bool {
        var (orderCount, levelCount) = (0, 0)
        for (place, book) in books.enumerated() {
            guard book.isConsistent else { return false }
            for side in Side.allCases {
                for rank in 0..<book.depth(of: side) {
                    guard let count = orderCountIfConsistent(book.level(rank, of: side), side, place) else {
                        return false
                    }
                    orderCount += count
                    levelCount += 1
                }
            }
        }
        return orderCount == count && levelCount == self.levelCount
            && count <= limits.ordersMost && levelCount <= limits.levelsMost
    }

    /// How many orders make up a level of the aggregate; nil when they do not.
    private func orderCountIfConsistent(_ wanted: Level, _ side: Side, _ book: Int) -> Int? {
        let slot = levelSlot(wanted.price, side, book)
        guard slot >= 0 else { return nil }
        let queue = levels[Int(slot)]
        var (lots, count, previous, at) = (Int64(0), 0, Int32(-1), queue.first)
        while at >= 0 {
            let order = orders[Int(at)]
            guard order.level == slot, order.previous == previous, order.lots > 0, count < self.count,
                orderTable.slot(of: order.id) == at
            else { return nil }
            lots += order.lots
            count += 1
            previous = at
            at = order.next
        }
        guard queue.last == previous, Int(queue.count) == count, count > 0, queue.lots == lots,
            wanted.quantity.lots == lots
        else { return nil }
        return count
    }
}
