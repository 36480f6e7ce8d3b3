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
    /// Answers so far, all too old.
    var answers = 0
    private var changes: [LevelChange] = []
    /// The number of each message, and where its changes end.
    private var messages: [(lastID: UInt64, end: Int)] = []

    /// A venue whose answers are all too old is asked again when the next audit is due.
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
    /// - Returns: true also for an answer without levels, which confirms nothing and contradicts nothing.
    func confirms(_ book: OrderBook, _ answer: [LevelChange], number: UInt64) -> Bool {
        var told = OrderBook()
        var worst: (bid: Price?, ask: Price?)
        for level in answer where !level.quantity.isZero {
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
        if let audit = followed[place].audit {
            let isNoted = followed[place].audit?.note(told, lastID: message.lastID, limits) == true
            if audit.units != units || !isNoted {
                followed[place].audit = nil
            } else if audit.askAgainNs != 0, now >= audit.askAgainNs {
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

    /// Compares a live book with an answer that is not newer.
    mutating func audit(
        answer message: VenueBook,
        _ levels: Span<VenueLevel>,
        _ place: Int,
        atNs now: Int64,
        _ actions: inout [FeedAction],
        _ sink: inout some MarketEventSink
    ) {
        guard let audit = followed[place].audit, audit.askAgainNs == 0 else {
            counters.unusedUpdates += 1
            return
        }
        guard message.lastID >= audit.sinceID else {
            counters.unusedUpdates += 1
            followed[place].audit?.answers += 1
            followed[place].audit?.askAgainNs = now + BookAudit.pauseNs
            if audit.answers + 1 >= BookAudit.answersMost { followed[place].audit = nil }
            return
        }
        followed[place].audit = nil
        let units = Scales(price: followed[place].priceScale, quantity: followed[place].quantityScale)
        guard audit.units == units else { return }
        // Levels that need finer units than the book has are not in the book.
        let isRight =
            convert(levels, units.price, units.quantity)
            && audit.confirms(followed[place].book, changes, number: message.lastID)
        followed[place].isDoubtful = !isRight
        if isRight {
            counters.checksumsRight += 1
        } else {
            counters.checksumsWrong += 1
            if checksumRule == .resync { resync(place, .checksum, atNs: now, &actions, &sink) }
        }
    }
}
