import Market

/// What a venue told of a live book since it was asked for the book again, so that the answer, which is seconds behind the
/// stream, can be compared with the book all the same.
struct BookAudit: Sendable {
    /// The number of the book's last change when the noting began: an older answer cannot be compared.
    let sinceID: UInt64
    /// The units of the changes.
    let units: VenueFeed.Scales
    /// When the book is to be asked for again; 0 while an answer is awaited.
    var askAgainNs: Int64 = 0
    /// Answers so far that told nothing.
    var answers = 0
    private var changes: [LevelChange] = []
    /// The number of each message, and where its changes end.
    private var messages: [(lastID: UInt64, end: Int)] = []

    /// A venue whose answers all tell nothing is asked again when the next audit is due.
    static let answersMost = 5
    static let pauseNs: Int64 = 2_000_000_000

    init(sinceID: UInt64, units: VenueFeed.Scales) {
        self.sinceID = sinceID
        self.units = units
    }

    /// Notes what a message tells, which may have changed nothing in the book.
    ///
    /// - Returns: false when there is no room for it within the limits: then there is nothing to compare any more.
    mutating func note(_ told: [LevelChange], lastID: UInt64, _ limits: VenueFeed.Limits) -> Bool {
        guard changes.count + told.count <= limits.waitingLevelsMost, messages.count < limits.waitingUpdatesMost else {
            return false
        }
        changes += told
        messages.append((lastID, changes.count))
        return true
    }

    /// Whether a book is what an answer says, the changes after the answer's number done to it.
    ///
    /// - Parameters:
    ///   - book: the book as it is now.
    ///   - answer: the levels of the answer, in the units of the book; levels beyond its worst are not compared.
    ///   - number: the answer's.
    ///   - levelsMost: how deep the book is kept; what a full side may have lost is not compared.
    /// - Returns: true also for an answer without levels, which confirms nothing and contradicts nothing.
    func confirms(_ book: OrderBook, _ answer: [LevelChange], number: UInt64, levelsMost: Int) -> Bool {
        var told = OrderBook()
        var worst: (bid: Price?, ask: Price?)
        // Worst first, as far as venues tell the best first: each then goes to the end, where a book grows for nothing.
        for level in answer.reversed() where !level.quantity.isZero {
            told.apply(level)
            switch level.side {
            case .bid: worst.bid = min(worst.bid ?? level.price, level.price)
            case .ask: worst.ask = max(worst.ask ?? level.price, level.price)
            }
        }
        var start = 0
        for message in messages {
            if message.lastID > number { for change in changes[start..<message.end] { told.apply(change) } }
            start = message.end
        }
        if book.bids.count >= levelsMost, let last = book.bids.first?.price {
            worst.bid = worst.bid.map { max($0, last) }
        }
        if book.asks.count >= levelsMost, let last = book.asks.first?.price {
            worst.ask = worst.ask.map { min($0, last) }
        }
        let areBidsRight = worst.bid.map { worst in
            told.bids.filter { $0.price >= worst } == book.bids.filter { $0.price >= worst }
        }
        let areAsksRight = worst.ask.map { worst in
            told.asks.filter { $0.price <= worst } == book.asks.filter { $0.price <= worst }
        }
        return areBidsRight ?? true && areAsksRight ?? true
    }
}

/// Books of venues that give no sign of a loss, neither numbers nor checksums, are compared with the venue's own now and then.
///
/// Everything goes by the times at which frames came, so that a recording is audited when the live connection was.
extension VenueFeed {
    /// Begins an audit when one is due, and notes what a message tells while one is under way.
    ///
    /// To be called with the message's levels in ``changes``, before they are applied.
    mutating func audit(
        update message: VenueBook,
        _ place: Int,
        atNs now: Int64,
        _ actions: inout [FeedAction]
    ) {
        let units = Scales(price: followed[place].priceScale, quantity: followed[place].quantityScale)
        let (told, limits) = (changes, limits)
        // Not held beside the one that notes, which would copy itself then.
        if let known = followed[place].audit?.units, let askAgainNs = followed[place].audit?.askAgainNs {
            let isNoted = followed[place].audit?.note(told, lastID: message.lastID, limits) == true
            if known != units || !isNoted {
                followed[place].audit = nil
            } else if askAgainNs != 0, now >= askAgainNs {
                followed[place].audit?.askAgainNs = 0
                demandSnapshot(place, .checksum, &actions)
            }
        }
        guard now >= followed[place].auditDueNs else { return }
        let isFirst = followed[place].auditDueNs == 0
        followed[place].auditDueNs = now + rules.auditEveryNs
        // A book that was just asked for needs no audit.
        guard !isFirst else { return }
        followed[place].audit = BookAudit(sinceID: followed[place].lastID, units: units)
        // Noted, because it has not been applied yet.
        _ = followed[place].audit?.note(told, lastID: message.lastID, limits)
        demandSnapshot(place, .checksum, &actions)
    }

    /// Compares a live book with an answer.
    ///
    /// An answer that is newer than the stream confirms a book to which nothing happened since; when it differs, the stream may
    /// only be late, and the venue is asked again.
    mutating func audit(
        answer message: VenueBook,
        _ levels: Span<VenueLevel>,
        _ place: Int,
        atNs now: Int64,
        _ actions: inout [FeedAction],
        _ sink: inout some MarketEventSink
    ) {
        let units = Scales(price: followed[place].priceScale, quantity: followed[place].quantityScale)
        // An answer that nobody waits for was asked for before the audit.
        guard var audit = followed[place].audit, audit.askAgainNs == 0, audit.units == units else {
            counters.unusedUpdates += 1
            return
        }
        // Levels that need finer units than the book has are not in the book.
        let isRight =
            message.lastID >= audit.sinceID && convert(levels, units.price, units.quantity)
            && audit.confirms(
                followed[place].book,
                changes,
                number: message.lastID,
                levelsMost: limits.levelsMost
            )
        audit.answers += 1
        let isLast = audit.answers >= BookAudit.answersMost
        if isRight {
            followed[place].audit = nil
            followed[place].isDoubtful = false
            counters.checksumsRight += 1
        } else if message.lastID < audit.sinceID || message.lastID > followed[place].lastID, !isLast {
            counters.unusedUpdates += 1
            audit.askAgainNs = now + BookAudit.pauseNs
            followed[place].audit = audit
        } else if message.lastID < audit.sinceID {
            counters.unusedUpdates += 1
            followed[place].audit = nil
        } else {
            followed[place].audit = nil
            followed[place].isDoubtful = true
            counters.checksumsWrong += 1
            if checksumRule == .resync { resync(place, .checksum, atNs: now, &actions, &sink) }
        }
    }
}
