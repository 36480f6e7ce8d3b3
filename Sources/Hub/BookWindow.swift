package import Market

/// The part of a book that a topic shows: so many levels a side, gathered by price steps, best first.
package struct BookWindow: Sendable {
    package private(set) var bids: [Level] = []
    package private(set) var asks: [Level] = []

    package init() {}

    package var isEmpty: Bool { bids.isEmpty && asks.isEmpty }
    package var levelCount: Int { bids.count + asks.count }

    /// What is shown at a price, zero where nothing is.
    ///
    /// Costs O(log *n*).
    package func quantity(_ side: Side, at price: Price) -> Quantity {
        let levels = side == .bid ? bids : asks
        var (low, high) = (0, levels.count)
        while low < high {
            let middle = (low + high) / 2
            let isBetter = side == .bid ? levels[middle].price > price : levels[middle].price < price
            if isBetter { low = middle + 1 } else { high = middle }
        }
        return low < levels.count && levels[low].price == price ? levels[low].quantity : .zero
    }

    /// Shows the best `depth` levels a side (0 for all), gathered by `step` price units: bids down, asks up.
    ///
    /// The memory of what was shown before is used again. A rounded price that does not fit is the last that does.
    package mutating func show(_ book: OrderBook, depth: UInt32, step: Int64) {
        Self.fill(&bids, from: book.bids, depth: depth, step: step) { price in
            let rest = price % step
            guard rest < 0 else { return price - rest }
            let (rounded, overflow) = (price - rest).subtractingReportingOverflow(step)
            return overflow ? .min : rounded
        }
        Self.fill(&asks, from: book.asks, depth: depth, step: step) { price in
            let rest = price % step
            guard rest > 0 else { return price - rest }
            let (rounded, overflow) = (price - rest).addingReportingOverflow(step)
            return overflow ? .max : rounded
        }
    }

    /// Becomes equal to `other`, in memory of its own.
    package mutating func copy(_ other: BookWindow) {
        bids.removeAll(keepingCapacity: true)
        bids.append(contentsOf: other.bids)
        asks.removeAll(keepingCapacity: true)
        asks.append(contentsOf: other.asks)
    }

    /// Appends what must be set so that `self` becomes `next`, bids first, best first.
    package func changes(to next: BookWindow, into changes: inout [LevelChange]) {
        Self.changes(.bid, from: bids, to: next.bids, isBetter: >, into: &changes)
        Self.changes(.ask, from: asks, to: next.asks, isBetter: <, into: &changes)
    }

    /// Appends every level, bids first, best first.
    package func levels(into changes: inout [LevelChange]) {
        for level in bids { changes.append(LevelChange(.bid, price: level.price, quantity: level.quantity)) }
        for level in asks { changes.append(LevelChange(.ask, price: level.price, quantity: level.quantity)) }
    }

    /// Kraken's rule over the ten best levels of what is shown: see ``OrderBook/checksum``.
    package var checksum: UInt32 {
        var sum = CRC32()
        for side in [asks, bids] {
            for level in side.prefix(10) {
                sum.add(decimal: level.price.ticks)
                sum.add(decimal: level.quantity.lots)
            }
        }
        return sum.value
    }

    /// `levels` come best last, as a book keeps them.
    private static func fill(
        _ shown: inout [Level],
        from levels: [Level],
        depth: UInt32,
        step: Int64,
        rounded: (Int64) -> Int64
    ) {
        let most = depth == 0 ? Int.max : Int(depth)
        shown.removeAll(keepingCapacity: true)
        if step <= 1 {
            shown.append(contentsOf: levels.suffix(most).reversed())
            return
        }
        for level in levels.reversed() {
            let price = Price(ticks: rounded(level.price.ticks))
            if let last = shown.indices.last, shown[last].price == price {
                shown[last].quantity = shown[last].quantity.saturatingAdding(level.quantity)
            } else if shown.count < most {
                shown.append(Level(price: price, quantity: level.quantity))
            } else {
                return
            }
        }
    }

    private static func changes(
        _ side: Side,
        from old: [Level],
        to new: [Level],
        isBetter: (Price, Price) -> Bool,
        into changes: inout [LevelChange]
    ) {
        var (was, now) = (0, 0)
        while was < old.count || now < new.count {
            if was < old.count, now < new.count, old[was].price == new[now].price {
                if old[was].quantity != new[now].quantity {
                    changes.append(LevelChange(side, price: new[now].price, quantity: new[now].quantity))
                }
                was += 1
                now += 1
            } else if now == new.count || (was < old.count && isBetter(old[was].price, new[now].price)) {
                changes.append(LevelChange(side, price: old[was].price, quantity: .zero))
                was += 1
            } else {
                changes.append(LevelChange(side, price: new[now].price, quantity: new[now].quantity))
                now += 1
            }
        }
    }
}
