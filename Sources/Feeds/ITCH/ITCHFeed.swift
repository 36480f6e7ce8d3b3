public import Market

/// Turns the messages of Nasdaq TotalView-ITCH 5.0 into market events; see Docs/feeds/itch.md.
///
/// It keeps every resting order and the book they add up to. ITCH has no snapshot in its stream and no checksum: a book is
/// right when every message of the session was heard, from the first. A message that names an order which does not rest shows
/// that one was lost; the instrument is then marked (resyncing, gap) and all that is told of it bears MAYBE_BAD_BOOK until a
/// session begins anew. The session layers number messages, so that there no loss stays unseen.
///
/// It performs nothing and one thread owns it. In steady state a message allocates nothing.
public struct ITCHFeed: Sendable {
    public static let venue = "itch"
    /// Decimals of every price.
    public static let priceScale: UInt8 = 4

    public struct Settings: Sendable {
        public var venue = ITCHFeed.venue
        /// What prices are in.
        public var currency = "USD"
        /// The market whose operational halts count: `Q` Nasdaq, `B` BX, `X` PSX.
        public var market = UInt8(ascii: "Q")
        /// The stocks to follow; empty for all.
        public var symbols: Set<String> = []
        /// Whether single orders are told, besides the books they add up to.
        public var tellsOrders = true
        public var instrumentsMost = 16_384
        public var ledger = OrderLedger.Limits()

        public init() {}
    }

    /// What was seen since the start, besides what every feed counts.
    public struct Counters: Sendable, Hashable {
        public var common = VenueFeed.Counters()
        public var unknownKinds = 0
        /// Messages about orders that do not rest, or rest already, or with more than rests.
        public var unknownOrders = 0
        public var brokenTrades = 0
        /// Stocks that cannot be followed: by their name, or because there are too many.
        public var refusedInstruments = 0

        public init() {}
    }

    public let settings: Settings
    public internal(set) var counters = Counters()
    public internal(set) var ledger: OrderLedger
    /// Nanoseconds since 1970 UTC from which the messages count their time.
    public private(set) var midnightNs: Int64

    struct Followed: Sendable {
        let id: InstrumentID
        /// Why the book may be wrong; nil while it follows the venue.
        var doubt: MarketStatus.Reason?
        var isHalted = false
        var isHaltedByOperation = false
        /// What subscribers were told last.
        var status = MarketStatus(.disconnected, .started)
    }

    /// By place, which is also the place of the book in the ledger.
    var followed: [Followed] = []
    var changes: [LevelChange] = []
    /// Places by the venue's number of the stock; negative for none.
    private var places = [Int32](repeating: Self.unknown, count: 65_536)
    private var placeByID: [InstrumentID: Int] = [:]
    /// Something was lost, or the session was not heard from its start: who comes later is in doubt as well.
    private var isIncomplete = false
    private var isConnected = true

    static let unknown: Int32 = -1
    private static let ignored: Int32 = -2

    /// `midnightNs` is when the day of the messages began in New York, nanoseconds since 1970 UTC.
    public init(_ settings: Settings = Settings(), midnightNs: Int64) {
        self.settings = settings
        self.midnightNs = midnightNs
        ledger = OrderLedger(limits: settings.ledger)
        changes.reserveCapacity(2)
    }

    /// Instruments heard of, in the order of first hearing.
    public var instruments: [InstrumentID] { followed.map(\.id) }

    /// The book of an instrument, the doubtful one too: see ``isDoubtful(_:)``.
    public func book(of id: InstrumentID) -> OrderBook? { placeByID[id].map { ledger.books[$0] } }

    public func isDoubtful(_ id: InstrumentID) -> Bool { placeByID[id].map { followed[$0].doubt != nil } ?? true }

    /// The orders of an instrument: bids, then asks, each side in the order of priority.
    public func orders(of id: InstrumentID) -> [RestingOrder] {
        guard let place = placeByID[id] else { return [] }
        var orders: [RestingOrder] = []
        for side in Side.allCases { ledger.forEachOrder(of: place, side) { orders.append($0) } }
        return orders
    }

    // MARK: Sessions

    /// Forgets all orders: a session begins, with a day of its own that began at `midnightNs` in New York.
    ///
    /// `isWhole` says whether its first message is the next to come; otherwise every book is in doubt.
    public mutating func beginSession(
        midnightNs: Int64,
        isWhole: Bool,
        atNs now: Int64,
        into sink: inout some MarketEventSink
    ) {
        self.midnightNs = midnightNs
        isIncomplete = !isWhole
        isConnected = true
        for index in places.indices { places[index] = Self.unknown }
        for place in followed.indices {
            ledger.removeAll(of: place)
            followed[place].doubt = isWhole ? nil : .gap
            followed[place].isHalted = false
            followed[place].isHaltedByOperation = false
            let stamp = Stamp(eventNs: 0, receivedNs: now, sequence: 0)
            sendBook(place, stamp, extra: .gapBefore, &sink)
            if settings.tellsOrders { sendOrders(place, stamp, extra: .gapBefore, &sink) }
            sendStatus(place, atNs: now, &sink)
        }
    }

    /// Marks every book as doubtful: messages were lost and will not come.
    public mutating func lost(atNs now: Int64, into sink: inout some MarketEventSink) {
        isIncomplete = true
        counters.common.gaps += 1
        let stamp = Stamp(eventNs: 0, receivedNs: now, sequence: 0)
        for place in followed.indices { doubt(place, .gap, stamp, &sink) }
    }

    /// Says that nothing is heard at present; the orders are kept, because a session goes on where it was.
    public mutating func disconnected(
        reason: MarketStatus.Reason,
        atNs now: Int64,
        into sink: inout some MarketEventSink
    ) {
        isConnected = false
        for place in followed.indices {
            followed[place].status = MarketStatus(.disconnected, reason)
            send(followed[place].status, place, atNs: now, &sink)
        }
    }

    /// The session goes on with the message that follows the last one heard.
    public mutating func resumed(atNs now: Int64, into sink: inout some MarketEventSink) {
        isConnected = true
        for place in followed.indices { sendStatus(place, atNs: now, &sink) }
    }

    // MARK: Messages

    /// Takes one message without its framing.
    ///
    /// `receivedNs` is nil when only the message's own time is known, as in a file; `sequence` is the session's number of the message,
    /// and `instruments` gets new stocks.
    /// - Throws: why the message was not understood. It is counted; unless its kind is unknown it may have changed a book, so
    ///   that the instrument it names is in doubt from here on, or all where it names none.
    public mutating func receive(
        _ bytes: UnsafeRawBufferPointer,
        atNs receivedNs: Int64?,
        sequence: UInt64,
        instruments: inout InstrumentTable,
        into sink: inout some MarketEventSink
    ) throws(ITCHFault) {
        counters.common.frames += 1
        do throws(ITCHFault) {
            let message = try ITCHMessage(bytes)
            let eventNs = midnightNs &+ message.timeNs
            let stamp = Stamp(eventNs: eventNs, receivedNs: receivedNs ?? eventNs, sequence: sequence)
            try take(message, stamp, &instruments, &sink)
        } catch {
            if case .unknownKind = error {
                counters.unknownKinds += 1
                throw error
            }
            counters.common.badFrames += 1
            let stamp = Stamp(eventNs: 0, receivedNs: receivedNs ?? midnightNs, sequence: sequence)
            if bytes.count >= 3 {
                doubt(locate: ITCHFields(bytes: bytes).u16(1), stamp, &sink)
            } else {
                lost(atNs: stamp.receivedNs, into: &sink)
            }
            throw error
        }
    }

    struct Stamp {
        var eventNs: Int64
        var receivedNs: Int64
        var sequence: UInt64
    }

    private mutating func take(
        _ message: ITCHMessage,
        _ stamp: Stamp,
        _ instruments: inout InstrumentTable,
        _ sink: inout some MarketEventSink
    ) throws(ITCHFault) {
        switch message.body {
        case .systemEvent(let code):
            // Start of messages: what an earlier day left is over.
            guard code == UInt8(ascii: "O"), ledger.count > 0 else { return }
            beginSession(midnightNs: midnightNs, isWhole: true, atNs: stamp.receivedNs, into: &sink)
        case .directory(let directory):
            _ = follow(directory.stock, message.locate, stamp, &instruments, &sink)
        case .tradingAction(let action):
            let place = follow(action.stock, message.locate, stamp, &instruments, &sink)
            guard place >= 0 else { return }
            followed[Int(place)].isHalted = action.state != UInt8(ascii: "T")
            sendStatus(Int(place), atNs: stamp.receivedNs, &sink)
        case .operationalHalt(let stock, let market, let action):
            let place = follow(stock, message.locate, stamp, &instruments, &sink)
            guard place >= 0, market == settings.market else { return }
            followed[Int(place)].isHaltedByOperation = action == UInt8(ascii: "H")
            sendStatus(Int(place), atNs: stamp.receivedNs, &sink)
        case .add(let add):
            let place = follow(add.stock, message.locate, stamp, &instruments, &sink)
            if place >= 0 { self.add(add, Int(place), stamp, &sink) }
        case .trade(let trade):
            let place = follow(trade.stock, message.locate, stamp, &instruments, &sink)
            if place >= 0 { hiddenTrade(trade, Int(place), stamp, &sink) }
        case .crossTrade(let cross):
            guard let shares = Int64(exactly: cross.shares) else { throw .outOfRange(kind: UInt8(ascii: "Q")) }
            let place = follow(cross.stock, message.locate, stamp, &instruments, &sink)
            if place >= 0 { crossTrade(cross, shares, Int(place), stamp, &sink) }
        case .executed, .executedWithPrice, .cancelled, .deleted, .replaced:
            let place = places[Int(message.locate)]
            if place >= 0 {
                change(message.body, Int(place), stamp, &sink)
            } else if place == Self.unknown {
                // Its stock was never named: when it is, it is in doubt.
                counters.unknownOrders += 1
                isIncomplete = true
            }
        case .brokenTrade: counters.brokenTrades += 1
        case .regSHO, .participantPosition, .circuitBreakerLevels, .circuitBreakerBreach, .quotingPeriod,
            .auctionCollar, .imbalance, .retailInterest, .directListing:
            return
        }
    }

    // MARK: Instruments

    /// The place of a stock, which is followed from now on if it is to be; negative if not.
    @inline(__always)
    private mutating func follow(
        _ stock: ITCHText,
        _ locate: UInt16,
        _ stamp: Stamp,
        _ instruments: inout InstrumentTable,
        _ sink: inout some MarketEventSink
    ) -> Int32 {
        let known = places[Int(locate)]
        return known != Self.unknown ? known : begin(stock, locate, stamp, &instruments, &sink)
    }

    private mutating func begin(
        _ stock: ITCHText,
        _ locate: UInt16,
        _ stamp: Stamp,
        _ instruments: inout InstrumentTable,
        _ sink: inout some MarketEventSink
    ) -> Int32 {
        let name = stock.text
        guard settings.symbols.isEmpty || settings.symbols.contains(name) else {
            places[Int(locate)] = Self.ignored
            return Self.ignored
        }
        guard let id = instrument(name, &instruments) else {
            counters.refusedInstruments += 1
            places[Int(locate)] = Self.ignored
            return Self.ignored
        }
        if let place = placeByID[id] {
            places[Int(locate)] = Int32(place)
            return Int32(place)
        }
        let place = ledger.addBook()
        followed.append(Followed(id: id, doubt: isIncomplete ? .gap : nil))
        placeByID[id] = place
        places[Int(locate)] = Int32(place)
        sink.learn(instruments[id])
        sendStatus(place, atNs: stamp.receivedNs, &sink)
        sendBook(place, stamp, extra: [], &sink)
        if settings.tellsOrders { sendOrders(place, stamp, extra: [], &sink) }
        return Int32(place)
    }

    private func instrument(_ name: String, _ instruments: inout InstrumentTable) -> InstrumentID? {
        if let listed = instruments.id(venue: settings.venue, rawSymbol: name) { return listed }
        // A star would be read as a wildcard and an at sign as the beginning of a venue.
        guard VenueSymbol.isName(name),
            !name.utf8.contains(where: { $0 == UInt8(ascii: "*") || $0 == UInt8(ascii: "@") }),
            followed.count < settings.instrumentsMost
        else { return nil }
        var instrument = Instrument(
            id: InstrumentID(0),
            venue: settings.venue,
            symbol: name + "-" + settings.currency,
            rawSymbol: name,
            kind: .spot,
            priceScale: Self.priceScale,
            quantityScale: 0
        )
        instrument.hasSingleOrders = settings.tellsOrders
        return try? instruments.add(instrument)
    }

    private mutating func doubt(locate: UInt16, _ stamp: Stamp, _ sink: inout some MarketEventSink) {
        let place = places[Int(locate)]
        if place >= 0 { doubt(Int(place), .gap, stamp, &sink) } else if place == Self.unknown { isIncomplete = true }
    }

    /// Marks a book as doubtful and says so at once, with the book.
    mutating func doubt(
        _ place: Int,
        _ reason: MarketStatus.Reason,
        _ stamp: Stamp,
        _ sink: inout some MarketEventSink
    ) {
        guard followed[place].doubt == nil else { return }
        counters.common.resyncs += 1
        followed[place].doubt = reason
        sendStatus(place, atNs: stamp.receivedNs, &sink)
        sendBook(place, stamp, extra: .gapBefore, &sink)
    }

    // MARK: Statuses

    private mutating func sendStatus(_ place: Int, atNs now: Int64, _ sink: inout some MarketEventSink) {
        guard isConnected else { return }
        let status =
            if let doubt = followed[place].doubt {
                MarketStatus(.resyncing, doubt)
            } else if followed[place].isHalted || followed[place].isHaltedByOperation {
                MarketStatus(.halted, .venueRequest)
            } else {
                MarketStatus(.live, .none)
            }
        guard status != followed[place].status else { return }
        followed[place].status = status
        send(status, place, atNs: now, &sink)
    }

    private func send(_ status: MarketStatus, _ place: Int, atNs now: Int64, _ sink: inout some MarketEventSink) {
        let event = MarketEvent(
            instrument: followed[place].id,
            flags: .eventTimeMissing,
            eventNs: 0,
            receivedNs: now,
            payload: .status(status)
        )
        sink.receive(event, levels: Span())
    }
}
