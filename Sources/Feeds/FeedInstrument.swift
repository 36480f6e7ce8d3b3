import Market

/// One instrument as a feed follows it: its units, its book, and how complete the book is.
struct FeedInstrument: Sendable {
    /// The life of a book on one connection.
    enum BookState: Sendable, Hashable {
        /// Nothing was heard yet.
        case empty
        /// Updates are kept until the snapshot comes.
        case snapshotting
        /// The book follows the venue.
        case live
        /// The book was found to be wrong and waits for a snapshot.
        case resyncing(MarketStatus.Reason)
    }

    let id: InstrumentID
    let rawSymbol: String
    var priceScale: UInt8
    var quantityScale: UInt8
    /// The connection that the book is told on.
    var connection: UInt32

    var book = OrderBook()
    var state = BookState.empty
    /// The venue's number of the last change in the book.
    var lastID: UInt64 = 0
    /// The highest such number that this connection told before the book began anew: a book asked for must not be older.
    var heardID: UInt64 = 0
    /// The venue's time of that change; 0 where it gave none.
    var lastEventNs: Int64 = 0
    /// A whole book was lost since the last snapshot: the next one says so.
    var hasLostBook = false
    /// No update was applied since the snapshot: the rule for the first one holds.
    var awaitsFirst = false
    var waiting = WaitingUpdates()
    var audit: BookAudit?
    /// When the next audit begins; 0 before the first update.
    var auditDueNs: Int64 = 0
    /// The last audit found the book wrong.
    var isDoubtful = false
    /// Since when bids stand above asks; 0 when they do not.
    var crossedSinceNs: Int64 = 0
    /// When the book last heard something.
    var heardNs: Int64 = 0
    var isStale = false
    var isHalted = false
    /// Which of the counts of frames its messages belong to; nil where frames are not numbered.
    var count: Int?
    /// The venue's names of levels, where updates go by them.
    var levelPrices: [UInt64: VenueNumber] = [:]
    /// What the book's totals are made of, where the venue tells of that.
    var entries: EntryTotals?
    /// Trades may have happened that nobody told of: the next one says so.
    var hasMissedTrades = false
    /// The number of the last trade, where the venue counts them.
    var lastTrade: UInt64 = 0
    /// Decimals that the list of instruments or the venue itself told; nil where they are inferred from the digits.
    var toldUnits: VenueFeed.Scales?
    private var recentTrades = RecentTrades()

    init(_ instrument: Instrument, connection: UInt32) {
        id = instrument.id
        rawSymbol = instrument.rawSymbol
        priceScale = instrument.priceScale
        quantityScale = instrument.quantityScale
        self.connection = connection
    }

    var status: MarketStatus {
        switch state {
        case .empty, .snapshotting: MarketStatus(.connected, .none)
        case .live where isHalted: MarketStatus(.halted, .venueRequest)
        case .live where isStale: MarketStatus(.stale, .silence)
        case .live: MarketStatus(.live, .none)
        case .resyncing(let reason): MarketStatus(.resyncing, reason)
        }
    }

    /// Whether a trade of this name was among the last few hundred; remembers it otherwise.
    mutating func isRepeated(_ id: TradeID) -> Bool { !id.isEmpty && recentTrades.holds(id) }

    /// Applies changes, of which then remain those that changed something, and those that fell out of the depth.
    ///
    /// - Returns: the top of the book afterwards.
    mutating func apply(_ changes: inout [LevelChange], depthMost: Int, lastID: UInt64) -> Quote {
        self.lastID = lastID
        awaitsFirst = false
        var kept = 0
        for index in changes.indices where book.apply(changes[index]) {
            if kept != index { changes[kept] = changes[index] }
            kept += 1
        }
        if kept < changes.count { changes.removeLast(changes.count - kept) }
        for side in [Side.bid, .ask] where book.depth(of: side) > depthMost {
            book.truncate(side, to: depthMost) { changes.append(LevelChange(side, price: $0.price, quantity: .zero)) }
        }
        return Quote(of: book)
    }

    mutating func forgetBook() {
        if state == .live { hasLostBook = true }
        book.removeAll()
        levelPrices.removeAll(keepingCapacity: true)
        entries = nil
        isStale = false
        waiting = WaitingUpdates()
        audit = nil
        auditDueNs = 0
        isDoubtful = false
        awaitsFirst = false
        lastID = 0
        lastEventNs = 0
        crossedSinceNs = 0
    }
}

/// Book updates that wait for a snapshot, oldest first, within bounds.
struct WaitingUpdates: Sendable {
    struct Update: Sendable {
        var book: VenueBook
        var levels: [VenueLevel]
        var receivedNs: Int64
    }

    private(set) var updates: [Update] = []
    private(set) var levelCount = 0

    /// Keeps an update; the older half goes, and again, while there are too many.
    ///
    /// - Returns: false when some had to go.
    mutating func add(
        _ book: VenueBook,
        _ levels: Span<VenueLevel>,
        receivedNs: Int64,
        _ limits: VenueFeed.Limits
    ) -> Bool {
        guard levels.count <= limits.waitingLevelsMost else {
            // What came before it does not lead on to what comes after it.
            self = WaitingUpdates()
            return false
        }
        var isRoom = true
        while !updates.isEmpty,
            updates.count >= limits.waitingUpdatesMost || levelCount + levels.count > limits.waitingLevelsMost
        {
            isRoom = false
            updates.removeFirst((updates.count + 1) / 2)
            levelCount = updates.reduce(0) { $0 + $1.levels.count }
        }
        // Made of nothing, an array writes its length into the one empty storage that all threads share.
        let kept =
            levels.isEmpty
            ? []
            : [VenueLevel](unsafeUninitializedCapacity: levels.count) { buffer, count in
                for index in levels.indices { buffer.initializeElement(at: index, to: levels[index]) }
                count = levels.count
            }
        updates.append(Update(book: book, levels: kept, receivedNs: receivedNs))
        levelCount += levels.count
        return isRoom
    }
}
