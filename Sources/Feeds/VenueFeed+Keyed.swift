import Market

/// Books that are told entry by entry or place by place instead of as totals of prices.
extension VenueFeed {
    /// Takes a snapshot of entries as the totals that they make, and one by places as the prices that stand there.
    mutating func handle(
        keyedSnapshot message: VenueBook,
        _ levels: Span<VenueLevel>,
        _ names: [UInt64],
        _ arrival: Arrival,
        _ instruments: inout InstrumentTable,
        _ actions: inout [FeedAction],
        _ sink: inout some MarketEventSink
    ) throws(FrameFault) {
        var totals = message
        totals.keying = .price
        guard message.keying == .entry else {
            return try handle(totals, levels, names, arrival, &instruments, &actions, &sink)
        }
        var entries = EntryTotals(most: 2 * limits.levelsMost)
        guard let all = entries.apply(levels, names[message.levels]) else { throw .outOfRange }
        try handle(totals, all.span, names, arrival, &instruments, &actions, &sink)
        if let place = place(of: message.symbol, arrival), followed[place].state == .live {
            followed[place].entries = entries
        }
    }

    /// Turns the changes that a message tells into totals of prices, and takes those.
    ///
    /// A change of something that nobody told of makes the book begin anew.
    mutating func take(
        keyedUpdate message: VenueBook,
        _ levels: Span<VenueLevel>,
        _ names: [UInt64],
        _ place: Int,
        _ arrival: Arrival,
        _ instruments: inout InstrumentTable,
        _ actions: inout [FeedAction],
        _ sink: inout some MarketEventSink
    ) throws(FrameFault) {
        let names = names[message.levels]
        // Without a book there is nothing to change, and what is told on another connection is not this book's.
        guard followed[place].state == .live, followed[place].connection == arrival.connection else {
            counters.unusedUpdates += 1
            return
        }
        let totals: [VenueLevel]?
        if message.keying == .position {
            totals = PositionedLevel.totals(of: levels, names, in: followed[place])
        } else if followed[place].entries != nil {
            totals = followed[place].entries?.apply(levels, names, isReduction: message.keying == .reduction)
        } else {
            // The snapshot told totals: names mean nothing, prices do.
            totals =
                message.keying == .reduction
                ? nil
                : levels.indices.allSatisfy { levels[$0].price != .absent && levels[$0].quantity != .absent }
                    ? levels.indices.map { levels[$0] } : nil
        }
        guard let totals else { return resync(place, .gap, atNs: arrival.receivedNs, &actions, &sink) }
        try take(update: message, totals.span, place, arrival, &instruments, &actions, &sink)
    }
}

/// Entries of a book by their names, and the totals that they make at each price.
struct EntryTotals: Sendable {
    private struct Place: Hashable {
        var isBid: Bool
        var digits: Int64
        var scale: UInt8

        init(_ level: VenueLevel) {
            isBid = level.side == .bid
            (digits, scale) = (level.price.digits, level.price.scale)
        }
    }

    private let most: Int
    private var entries: [UInt64: VenueLevel] = [:]
    private var totals: [Place: VenueNumber] = [:]

    init(most: Int) { self.most = most }

    /// Changes entries: one with a quantity of zero goes, one without a price or a quantity keeps what it had.
    ///
    /// - Returns: the new totals of the prices concerned; nil when an entry is unknown, when there are too many or when a
    ///   total does not fit. What is kept is of no use then.
    mutating func apply(
        _ levels: Span<VenueLevel>,
        _ names: ArraySlice<UInt64>,
        isReduction: Bool = false
    ) -> [VenueLevel]? {
        var touched: [VenueLevel] = []
        for index in levels.indices {
            var level = levels[index]
            let name = names[names.startIndex + index]
            if let old = entries[name] {
                if level.price == .absent { level.price = old.price }
                if level.quantity == .absent { level.quantity = old.quantity }
                if isReduction {
                    guard let rest = Self.difference(old.quantity, level.quantity) else { return nil }
                    level = VenueLevel(old.side, price: old.price, quantity: rest)
                }
                guard add(old, isNegative: true) else { return nil }
                entries[name] = nil
                touched.append(old)
            } else if isReduction {
                return nil
            } else if level.quantity.digits == 0, level.quantity != .absent {
                // Removing what is not there changes nothing.
                continue
            }
            guard level.price != .absent, level.quantity != .absent else { return nil }
            guard level.quantity.digits > 0 else { continue }
            guard entries.count < most, add(level, isNegative: false) else { return nil }
            entries[name] = level
            touched.append(level)
        }
        var seen: Set<Place> = []
        var changed: [VenueLevel] = []
        for var level in touched where seen.insert(Place(level)).inserted {
            level.quantity = totals[Place(level)] ?? VenueNumber(digits: 0, scale: 0, written: 0)
            changed.append(level)
        }
        return changed
    }

    /// What is left of a quantity; nil when there was less.
    private static func difference(_ left: VenueNumber, _ right: VenueNumber) -> VenueNumber? {
        let scale = max(left.scale, right.scale)
        guard let before = left.units(atScale: scale), let less = right.units(atScale: scale), before >= less else {
            return nil
        }
        return VenueNumber(digits: before - less, scale: scale, written: scale)
    }

    private mutating func add(_ level: VenueLevel, isNegative: Bool) -> Bool {
        let old = totals[Place(level)] ?? VenueNumber(digits: 0, scale: 0, written: 0)
        let scale = max(old.scale, level.quantity.scale)
        guard let before = old.units(atScale: scale), let more = level.quantity.units(atScale: scale) else {
            return false
        }
        let (sum, isOver) = before.addingReportingOverflow(isNegative ? -more : more)
        guard !isOver, sum >= 0 else { return false }
        totals[Place(level)] = sum == 0 ? nil : VenueNumber(digits: sum, scale: scale, written: scale)
        return true
    }
}

/// What a message does at a place of one side of a book, packed into the name of a level.
struct PositionedLevel {
    enum Action: UInt8 {
        /// What stands there and behind it moves back by one.
        case insert = 0
        case replace = 1
        /// What stands behind it moves up by one.
        case remove = 2
        /// The best places up to this one go.
        case removeThrough = 3
        /// This place and all behind it go.
        case removeFrom = 4
    }

    var action: Action
    /// From 1.
    var position: Int
    /// No book is deeper.
    static let positionMost = 1 << 20

    var name: UInt64 { UInt64(action.rawValue) << 32 | UInt64(position) }

    init(_ action: Action, _ position: Int) {
        self.action = action
        self.position = position
    }

    init?(name: UInt64) {
        guard let action = Action(rawValue: UInt8(truncatingIfNeeded: name >> 32)) else { return nil }
        self.init(action, Int(name & 0xFFFF_FFFF))
    }

    /// The new totals of the prices that a message changes; nil when it names a place that the book does not have.
    ///
    /// Costs a copy of the book.
    static func totals(
        of levels: Span<VenueLevel>,
        _ names: ArraySlice<UInt64>,
        in instrument: FeedInstrument
    ) -> [VenueLevel]? {
        // Best first.
        var sides: [[VenueLevel]] = [Side.bid, .ask].map { side in
            instrument.book.top(.max, of: side).map { level in
                VenueLevel(
                    side,
                    price: VenueNumber(digits: level.price.ticks, scale: instrument.priceScale, written: 0),
                    quantity: VenueNumber(digits: level.quantity.lots, scale: instrument.quantityScale, written: 0)
                )
            }
        }
        var touched: [VenueLevel] = []
        for index in levels.indices {
            let level = levels[index]
            guard let what = PositionedLevel(name: names[names.startIndex + index]) else { return nil }
            let side = level.side == .bid ? 0 : 1
            let offset = what.position - 1
            guard offset >= 0 else { return nil }
            let gone: Range<Int>
            switch what.action {
            case .insert:
                guard offset <= sides[side].count, level.price != .absent else { return nil }
                gone = offset..<offset
            case .replace:
                guard offset < sides[side].count else { return nil }
                gone = offset..<(offset + 1)
            case .remove:
                // What lies deeper than the book goes without a trace.
                guard offset < sides[side].count else { continue }
                gone = offset..<(offset + 1)
            case .removeThrough: gone = 0..<min(what.position, sides[side].count)
            case .removeFrom: gone = min(offset, sides[side].count)..<sides[side].count
            }
            var new: [VenueLevel] = []
            if what.action == .insert || what.action == .replace {
                var kept = level
                if kept.price == .absent { kept.price = sides[side][offset].price }
                if kept.quantity == .absent {
                    guard what.action == .replace else { return nil }
                    kept.quantity = sides[side][offset].quantity
                }
                new = [kept]
            }
            touched += sides[side][gone] + new
            sides[side].replaceSubrange(gone, with: new)
        }
        return touched.map { level in
            var total = level
            let now = sides[level.side == .bid ? 0 : 1].first { isSame($0.price, level.price) }
            total.quantity = now?.quantity ?? VenueNumber(digits: 0, scale: 0, written: 0)
            return total
        }
    }

    private static func isSame(_ left: VenueNumber, _ right: VenueNumber) -> Bool {
        let scale = max(left.scale, right.scale)
        guard let left = left.units(atScale: scale), let right = right.units(atScale: scale) else { return false }
        return left == right
    }
}
