import Market

/// Books: snapshots, updates, and the rules that tell whether one follows the other.
extension VenueFeed {
    mutating func handle(
        _ message: VenueBook,
        _ levels: [VenueLevel],
        _ names: [UInt64],
        _ arrival: Arrival,
        _ instruments: inout InstrumentTable,
        _ actions: inout [FeedAction],
        _ sink: inout some MarketEventSink
    ) throws(FrameFault) {
        let own = levels.span.extracting(message.levels)
        guard message.isSnapshot, message.keying != .price else {
            return try handle(message, own, names, arrival, &instruments, &actions, &sink)
        }
        try handle(keyedSnapshot: message, own, names, arrival, &instruments, &actions, &sink)
    }

    mutating func handle(
        _ message: VenueBook,
        _ own: Span<VenueLevel>,
        _ names: [UInt64],
        _ arrival: Arrival,
        _ instruments: inout InstrumentTable,
        _ actions: inout [FeedAction],
        _ sink: inout some MarketEventSink
    ) throws(FrameFault) {
        let place: Int
        if let known = self.place(of: message.symbol, arrival) {
            place = known
        } else {
            // Where snapshots come in the stream, an update cannot introduce an instrument: nobody subscribed to it.
            guard message.isSnapshot || rules.book.isRequested else {
                // A venue that names levels tells of changes before the snapshot too.
                guard message.areLevelsNamed || rules.haltsIntroduce else { throw .unknownSymbol }
                counters.unusedUpdates += 1
                return
            }
            let needed = scales(of: own)
            let units = try units(of: message.symbol, fitting: needed, arrival, instruments)
            guard convert(own, units.price, units.quantity) else { throw .outOfRange }
            place = try follow(message.symbol, scales: needed, arrival, &instruments, &sink)
        }
        if message.keying != .price {
            try take(keyedUpdate: message, own, names, place, arrival, &instruments, &actions, &sink)
        } else if message.isSnapshot {
            followed[place].entries = nil
            try take(snapshot: message, own, place, arrival, &instruments, &actions, &sink)
            if message.areLevelsNamed { remember(names, of: own, message.levels, place) }
        } else if message.areLevelsNamed, followed[place].state == .live,
            followed[place].connection == arrival.connection
        {
            guard let priced = priced(own, names, message.levels, place) else {
                return resync(place, .gap, atNs: arrival.receivedNs, &actions, &sink)
            }
            try take(update: message, priced.span, place, arrival, &instruments, &actions, &sink)
        } else {
            // Totals lead where there were entries before.
            if followed[place].entries != nil { followed[place].entries = nil }
            try take(update: message, own, place, arrival, &instruments, &actions, &sink)
        }
    }

    // MARK: Named levels

    private mutating func remember(_ names: [UInt64], of levels: Span<VenueLevel>, _ range: Range<Int>, _ place: Int) {
        followed[place].levelPrices.removeAll(keepingCapacity: true)
        for index in levels.indices where followed[place].levelPrices.count < 2 * limits.levelsMost {
            followed[place].levelPrices[names[range.lowerBound + index]] = levels[index].price
        }
    }

    /// The levels with the prices that their names stand for; nil when a level changed that nobody told of.
    ///
    /// Removing an unknown level is left out, as it would change nothing.
    private mutating func priced(
        _ levels: Span<VenueLevel>,
        _ names: [UInt64],
        _ range: Range<Int>,
        _ place: Int
    ) -> [VenueLevel]? {
        var priced: [VenueLevel] = []
        priced.reserveCapacity(levels.count)
        for index in levels.indices {
            var level = levels[index]
            let name = names[range.lowerBound + index]
            if level.price == .absent {
                guard let price = followed[place].levelPrices[name] else {
                    guard level.quantity.digits == 0 else { return nil }
                    continue
                }
                level.price = price
            }
            if level.quantity.digits == 0 {
                followed[place].levelPrices[name] = nil
            } else {
                guard followed[place].levelPrices.count < 2 * limits.levelsMost else { return nil }
                followed[place].levelPrices[name] = level.price
            }
            priced.append(level)
        }
        return priced
    }

    // MARK: Snapshots

    private mutating func take(
        snapshot message: VenueBook,
        _ levels: Span<VenueLevel>,
        _ place: Int,
        _ arrival: Arrival,
        _ instruments: inout InstrumentTable,
        _ actions: inout [FeedAction],
        _ sink: inout some MarketEventSink
    ) throws(FrameFault) {
        if rules.book.isRequested {
            if followed[place].state == .live, followed[place].audit != nil {
                return audit(answer: message, levels, place, atNs: arrival.receivedNs, &actions, &sink)
            }
            // Asked for twice, or late: what we have is newer.
            guard followed[place].state != .live || message.lastID > followed[place].lastID else {
                counters.unusedUpdates += 1
                return
            }
            guard !isTooOld(message, place) else {
                counters.unusedUpdates += 1
                demandSnapshot(place, .gap, &actions)
                return
            }
        }
        try convert(levels, place, message.eventNs, arrival, &instruments, &sink)
        counters.bookSnapshots += 1
        let isAfterLoss = followed[place].hasLostBook
        followed[place].hasLostBook = false
        let wasLive = followed[place].state == .live
        fillBook(place)
        let depth = min(message.depth ?? limits.levelsMost, limits.levelsMost)
        followed[place].book.truncate(.bid, to: depth)
        followed[place].book.truncate(.ask, to: depth)
        followed[place].state = .live
        followed[place].lastID = message.lastID
        followed[place].lastEventNs = message.eventNs
        followed[place].awaitsFirst = rules.book.isRequested
        followed[place].crossedSinceNs = 0
        followed[place].heardNs = arrival.receivedNs
        followed[place].isStale = false
        followed[place].isDoubtful = false
        followed[place].audit = nil
        if !rules.book.isRequested { followed[place].connection = arrival.connection }
        followed[place].count = counts.current
        var flags = flags(eventNs: message.eventNs)
        if isAfterLoss { flags.insert(.gapBefore) }
        if message.isDoubtful { flags.insert(.maybeBadBook) }
        guard compareChecksum(message, place, &flags) else {
            return resync(place, .checksum, atNs: arrival.receivedNs, &actions, &sink)
        }
        sendSnapshot(
            place,
            flags,
            eventNs: message.eventNs,
            receivedNs: arrival.receivedNs,
            sequence: message.lastID,
            &sink
        )
        if !wasLive { sendStatus(followed[place].status, place, atNs: arrival.receivedNs, &sink) }
        takeWaiting(place, arrival, &instruments, &actions, &sink)
    }

    /// Applies the updates that waited for the snapshot.
    ///
    /// Where the book cannot take one it has begun anew by then; the snapshot's frame is not to blame.
    private mutating func takeWaiting(
        _ place: Int,
        _ arrival: Arrival,
        _ instruments: inout InstrumentTable,
        _ actions: inout [FeedAction],
        _ sink: inout some MarketEventSink
    ) {
        let waiting = followed[place].waiting
        followed[place].waiting = WaitingUpdates()
        for update in waiting.updates {
            var past = arrival
            past.receivedNs = update.receivedNs
            past.connection = followed[place].connection
            do throws(FrameFault) {
                try take(update: update.book, update.levels.span, place, past, &instruments, &actions, &sink)
            } catch {
                continue
            }
        }
    }

    /// Whether changes lie between a snapshot and the first waiting update that is newer.
    private func isTooOld(_ snapshot: VenueBook, _ place: Int) -> Bool {
        let waiting = followed[place].waiting
        switch rules.book {
        case .inStream, .inStreamContiguous, .inStreamChained: return false
        case .requestedThenNewer:
            // What happened before the first update was never heard, or was heard by a book that is no more.
            return snapshot.lastID < max(waiting.updates.first?.book.lastID ?? 0, followed[place].heardID)
        case .requestedThenContiguous:
            guard let first = waiting.updates.first(where: { $0.book.lastID > snapshot.lastID }) else { return false }
            return first.book.firstID > snapshot.lastID + 1
        case .requestedThenChained:
            guard let first = waiting.updates.first(where: { $0.book.lastID >= snapshot.lastID }) else { return false }
            return first.book.firstID > snapshot.lastID
        }
    }

    /// Makes the book what `changes` say, sorting them when the venue did not.
    private mutating func fillBook(_ place: Int) {
        changes.removeAll { $0.quantity.isZero }
        for side in [Side.bid, .ask] {
            let isBetter: (Price, Price) -> Bool = side == .bid ? { $0 > $1 } : { $0 < $1 }
            var previous: Price?
            var isSorted = true
            for change in changes where change.side == side {
                if let previous, isBetter(change.price, previous) {
                    isSorted = false
                    break
                }
                previous = change.price
            }
            guard !isSorted else { continue }
            changes.sort { left, right in
                guard left.side == right.side else { return left.side.rawValue < right.side.rawValue }
                return left.side == .bid ? left.price > right.price : left.price < right.price
            }
            break
        }
        followed[place].book.removeAll()
        // Worst first: each then goes to the end, where a book grows for nothing.
        for change in changes.reversed() { followed[place].book.apply(change) }
    }

    mutating func sendSnapshot(
        _ place: Int,
        _ flags: EventFlags,
        eventNs: Int64,
        receivedNs: Int64,
        sequence: UInt64 = 0,
        _ sink: inout some MarketEventSink
    ) {
        let book = followed[place].book
        var levels: [LevelChange] = []
        levels.reserveCapacity(book.bids.count + book.asks.count)
        for side in [Side.bid, .ask] {
            for level in (side == .bid ? book.bids : book.asks).reversed() {
                levels.append(LevelChange(side, price: level.price, quantity: level.quantity))
            }
        }
        let event = MarketEvent(
            instrument: followed[place].id,
            flags: flags.union(.snapshot),
            eventNs: eventNs,
            receivedNs: receivedNs,
            venueSequence: sequence,
            payload: .bookSnapshot(top: Quote(of: book))
        )
        sink.receive(event, levels: levels.span)
    }

    // MARK: Updates

    private enum Continuity {
        case follows
        case isKnown
        case isGap
    }

    mutating func take(
        update message: VenueBook,
        _ levels: Span<VenueLevel>,
        _ place: Int,
        _ arrival: Arrival,
        _ instruments: inout InstrumentTable,
        _ actions: inout [FeedAction],
        _ sink: inout some MarketEventSink
    ) throws(FrameFault) {
        guard followed[place].state == .live else {
            return wait(message, levels, place, arrival, &actions, &sink)
        }
        if rules.book.isRequested {
            // Their numbers tell which updates belong to the book; the connection that brings them keeps it alive.
            followed[place].connection = arrival.connection
        } else if followed[place].connection != arrival.connection {
            counters.unusedUpdates += 1
            return
        }
        if let count = counts.current, followed[place].count != count { followed[place].count = count }
        switch continuity(of: message, place) {
        case .follows: break
        case .isKnown:
            counters.repeatedUpdates += 1
            return
        case .isGap:
            resync(place, .gap, atNs: arrival.receivedNs, &actions, &sink)
            return wait(message, levels, place, arrival, &actions, &sink)
        }
        do throws(FrameFault) {
            try convert(levels, place, message.eventNs, arrival, &instruments, &sink)
        } catch {
            // The book cannot follow what it could not take.
            followed[place].heardID = max(followed[place].heardID, message.lastID)
            resync(place, .gap, atNs: arrival.receivedNs, &actions, &sink)
            throw error
        }
        counters.levels += changes.count
        if rules.auditEveryNs > 0, checksumRule != .ignore {
            audit(update: message, place, atNs: arrival.receivedNs, &actions)
        }
        followed[place].heardNs = arrival.receivedNs
        if followed[place].isStale { endStaleness(place, atNs: arrival.receivedNs, &sink) }
        let depth = min(message.depth ?? limits.levelsMost, limits.levelsMost)
        let top = followed[place].apply(&changes, depthMost: depth, lastID: message.lastID)
        followed[place].lastEventNs = message.eventNs
        counters.bookUpdates += 1
        var flags = flags(eventNs: message.eventNs)
        if message.isDoubtful || followed[place].isDoubtful { flags.insert(.maybeBadBook) }
        guard compareChecksum(message, place, &flags) else {
            return resync(place, .checksum, atNs: arrival.receivedNs, &actions, &sink)
        }
        let event = MarketEvent(
            instrument: followed[place].id,
            flags: flags,
            eventNs: message.eventNs,
            receivedNs: arrival.receivedNs,
            venueSequence: message.lastID,
            payload: .bookDelta(top: top)
        )
        sink.receive(event, levels: changes.span)
        watchCrossing(place, top, atNs: arrival.receivedNs, &actions, &sink)
    }

    // By its place: an instrument given by value is copied, a dozen counted references with it.
    private func continuity(of message: VenueBook, _ place: Int) -> Continuity {
        let (last, isFirst) = (followed[place].lastID, followed[place].awaitsFirst)
        switch rules.book {
        case .inStream: return .follows
        case .inStreamContiguous:
            if message.lastID <= last { return .isKnown }
            return message.lastID == last + 1 ? .follows : .isGap
        case .inStreamChained:
            if message.lastID == 0, message.previousID == 0 { return .follows }
            if message.previousID == last { return .follows }
            // Numbers that begin anew are told by one message: who missed it knows by the time that this is no old one.
            return message.lastID <= last && message.eventNs <= followed[place].lastEventNs ? .isKnown : .isGap
        case .requestedThenNewer:
            return message.lastID < last || (isFirst && message.lastID == last) ? .isKnown : .follows
        case .requestedThenContiguous:
            if message.lastID <= last { return .isKnown }
            if isFirst { return message.firstID <= last + 1 ? .follows : .isGap }
            return message.firstID == last + 1 ? .follows : .isGap
        case .requestedThenChained:
            if isFirst {
                if message.lastID < last { return .isKnown }
                return message.firstID <= last ? .follows : .isGap
            }
            if message.lastID <= last { return .isKnown }
            return message.previousID == last ? .follows : .isGap
        }
    }

    /// Keeps an update until the snapshot comes, where it will be needed then.
    private mutating func wait(
        _ message: VenueBook,
        _ levels: Span<VenueLevel>,
        _ place: Int,
        _ arrival: Arrival,
        _ actions: inout [FeedAction],
        _ sink: inout some MarketEventSink
    ) {
        guard rules.book.isRequested else {
            counters.unusedUpdates += 1
            return
        }
        followed[place].connection = arrival.connection
        if followed[place].state == .empty {
            followed[place].state = .snapshotting
            demandSnapshot(place, .started, &actions)
        }
        guard followed[place].waiting.add(message, levels, receivedNs: arrival.receivedNs, limits) else {
            counters.waitingOverflows += 1
            followed[place].state = .resyncing(.bufferOverflow)
            sendStatus(MarketStatus(.resyncing, .bufferOverflow), place, atNs: arrival.receivedNs, &sink)
            return demandSnapshot(place, .bufferOverflow, &actions)
        }
    }

    // MARK: Watching

    /// Tells of a book that has no news for too long, and begins it anew when that does not end.
    mutating func watchSilence(
        _ place: Int,
        atNs now: Int64,
        _ actions: inout [FeedAction],
        _ sink: inout some MarketEventSink
    ) {
        guard limits.quietMostNs > 0, now &- followed[place].heardNs > limits.quietMostNs else { return }
        if followed[place].isStale {
            guard now &- followed[place].heardNs > 2 * limits.quietMostNs else { return }
            resync(place, .silence, atNs: now, &actions, &sink)
        } else {
            followed[place].isStale = true
            counters.staleBooks += 1
            sendStatus(followed[place].status, place, atNs: now, &sink)
        }
    }

    private mutating func endStaleness(_ place: Int, atNs now: Int64, _ sink: inout some MarketEventSink) {
        followed[place].isStale = false
        sendStatus(followed[place].status, place, atNs: now, &sink)
    }

    private mutating func watchCrossing(
        _ place: Int,
        _ top: Quote,
        atNs now: Int64,
        _ actions: inout [FeedAction],
        _ sink: inout some MarketEventSink
    ) {
        guard !top.bid.quantity.isZero, !top.ask.quantity.isZero, top.bid.price >= top.ask.price else {
            if followed[place].crossedSinceNs != 0 { followed[place].crossedSinceNs = 0 }
            return
        }
        if followed[place].crossedSinceNs == 0 { followed[place].crossedSinceNs = now }
        guard now &- followed[place].crossedSinceNs > limits.crossedMostNs else { return }
        resync(place, .crossed, atNs: now, &actions, &sink)
    }

    /// Whether the book is what the venue says it is, or nobody minds.
    private mutating func compareChecksum(_ message: VenueBook, _ place: Int, _ flags: inout EventFlags) -> Bool {
        guard let wanted = message.checksum, checksumRule != .ignore else { return true }
        guard rules.decimals != .told || followed[place].toldUnits != nil else { return true }
        if followed[place].checksum(by: rules.checksumMethod) == wanted {
            counters.checksumsRight += 1
            flags.insert(.checksumOK)
            return true
        }
        counters.checksumsWrong += 1
        flags.insert(.maybeBadBook)
        return checksumRule == .count
    }

    // MARK: Units

    /// Decimals that the levels of a message need.
    func scales(of levels: Span<VenueLevel>) -> Scales {
        let isWritten = rules.decimals == .written
        var scales = Scales()
        for index in levels.indices {
            let (price, quantity) = (levels[index].price, levels[index].quantity)
            scales.price = max(scales.price, isWritten ? max(price.scale, price.written) : price.scale)
            scales.quantity = max(scales.quantity, isWritten ? max(quantity.scale, quantity.written) : quantity.scale)
        }
        return scales
    }

    /// Fills `changes` with the levels in the instrument's units, which grow when they must.
    private mutating func convert(
        _ levels: Span<VenueLevel>,
        _ place: Int,
        _ eventNs: Int64,
        _ arrival: Arrival,
        _ instruments: inout InstrumentTable,
        _ sink: inout some MarketEventSink
    ) throws(FrameFault) {
        let isTold = rules.decimals == .told && followed[place].toldUnits.map { !isFitting($0, place) } ?? false
        if !isTold, convert(levels, followed[place].priceScale, followed[place].quantityScale) { return }
        var needed = scales(of: levels)
        if isTold, let told = followed[place].toldUnits {
            needed = try needed.widened(to: told, most: limits.scaleMost)
        }
        let price = max(needed.price, followed[place].priceScale)
        let quantity = max(needed.quantity, followed[place].quantityScale)
        // Before the units change: a refused message leaves them.
        guard convert(levels, price, quantity) else { throw .outOfRange }
        try fit(needed, place, eventNs, arrival, &instruments, &sink)
    }

    /// The same, in given units; false when a level does not fit them.
    mutating func convert(
        _ levels: Span<VenueLevel>,
        _ priceScale: UInt8,
        _ quantityScale: UInt8
    ) -> Bool {
        changes.empty()
        // Made of nothing, an array writes its length into the one empty storage that all threads share.
        guard !levels.isEmpty else { return true }
        let isWritten = rules.decimals == .written
        var isFitting = true
        // At once, so that it is asked once whether there is room and whether nobody else has the array.
        changes.append(addingCapacity: levels.count) { changes in
            for index in levels.indices {
                let level = levels[index]
                guard let ticks = level.price.units(atScale: priceScale),
                    let lots = level.quantity.units(atScale: quantityScale), lots >= 0,
                    !isWritten || (level.price.written <= priceScale && level.quantity.written <= quantityScale)
                else {
                    isFitting = false
                    return
                }
                changes.append(LevelChange(level.side, price: Price(ticks: ticks), quantity: Quantity(lots: lots)))
            }
        }
        return isFitting
    }
}
