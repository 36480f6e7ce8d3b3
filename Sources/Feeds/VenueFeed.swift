public import Market

/// Turns the frames of one venue into market events.
///
/// It knows instruments by the venue's own names, keeps their books, notices when one is incomplete or wrong, and says what
/// must be asked of the venue then. It performs nothing: time, bytes and the table of instruments are given in; events go to
/// the sink, requests to `actions`. One thread owns it.
///
/// A book lives as follows, per instrument and connection: nothing heard; waiting for a snapshot, while updates are kept;
/// live; and from live to resyncing with a reason, as if from the start.
public struct VenueFeed: Sendable {
    public struct Limits: Sendable {
        /// Instruments of this venue; a frame naming one more is refused.
        public var instrumentsMost = 4_096
        /// Levels of one side of a book; the worst go.
        public var levelsMost = 100_000
        /// Updates kept while a snapshot is on its way; the oldest go, and the snapshot is asked for again.
        public var waitingUpdatesMost = 4_096
        public var waitingLevelsMost = 200_000
        /// A book whose bids stand above its asks longer than this begins anew.
        public var crossedMostNs: Int64 = 5_000_000_000
        /// A live book without news for longer than this is called stale, and begins anew after as long again; 0 for never,
        /// because a quiet market is no fault.
        public var quietMostNs: Int64 = 0
        /// Decimals that a number may need beyond the list of instruments.
        public var scaleMost: UInt8 = 12

        public init() {}
    }

    /// What was seen since the start.
    public struct Counters: Sendable, Hashable {
        public var frames = 0
        public var badFrames = 0
        /// Frames that a connection had brought before, by their numbers.
        public var repeatedFrames = 0
        /// Times that a connection's frames were numbered with a hole.
        public var frameGaps = 0
        /// Trades that the venue's numbers show to be missing.
        public var missedTrades = 0
        public var trades = 0
        public var repeatedTrades = 0
        public var quotes = 0
        public var candles = 0
        public var bookSnapshots = 0
        public var bookUpdates = 0
        /// Updates whose changes the book has already.
        public var repeatedUpdates = 0
        /// Updates that came before their snapshot, or during a resync, and were not needed.
        public var unusedUpdates = 0
        public var levels = 0
        public var checksumsRight = 0
        public var checksumsWrong = 0
        public var gaps = 0
        public var resyncs = 0
        /// Books that were called stale.
        public var staleBooks = 0
        public var waitingOverflows = 0

        public init() {}

        /// Adds what another feed has seen.
        public mutating func add(_ other: Counters) {
            frames += other.frames
            badFrames += other.badFrames
            repeatedFrames += other.repeatedFrames
            frameGaps += other.frameGaps
            missedTrades += other.missedTrades
            trades += other.trades
            repeatedTrades += other.repeatedTrades
            quotes += other.quotes
            candles += other.candles
            bookSnapshots += other.bookSnapshots
            bookUpdates += other.bookUpdates
            repeatedUpdates += other.repeatedUpdates
            unusedUpdates += other.unusedUpdates
            levels += other.levels
            checksumsRight += other.checksumsRight
            checksumsWrong += other.checksumsWrong
            gaps += other.gaps
            resyncs += other.resyncs
            staleBooks += other.staleBooks
            waitingOverflows += other.waitingOverflows
        }
    }

    public let dialect: any VenueDialect
    public let limits: Limits
    /// Whether quotes without quantities are passed on, with quantities of zero.
    public var passesQuotesWithoutSize = false
    public internal(set) var counters = Counters()

    /// What a checksum that does not fit does; the dialect's own rule at first.
    public var checksumRule: VenueRules.ChecksumRule
    let rules: VenueRules
    var followed: [FeedInstrument] = []
    var changes: [LevelChange] = []
    /// Nil while a frame is read: what it says changes the feed.
    private var frame: VenueFrame? = VenueFrame()
    private var index = SymbolIndex()
    private var placeByID: [InstrumentID: Int] = [:]
    var counts = FrameCounts()
    /// What the venue told of units, by its names; at most ``Limits/instrumentsMost``, those beyond count as not told.
    private var toldUnits: [String: Scales] = [:]

    public init(_ dialect: any VenueDialect, limits: Limits = Limits()) {
        self.dialect = dialect
        self.limits = limits
        rules = dialect.rules
        checksumRule = rules.checksum
    }

    /// The book of an instrument while it is complete.
    public func book(of id: InstrumentID) -> OrderBook? {
        guard let place = placeByID[id], followed[place].state == .live else { return nil }
        return followed[place].book
    }

    /// Instruments heard of, in the order of first hearing.
    public var instruments: [InstrumentID] { followed.map(\.id) }

    /// How many updates, and levels in them, wait for a snapshot at the instrument that has most of each.
    package var waitingMost: (updates: Int, levels: Int) {
        followed.reduce((0, 0)) { most, instrument in
            (max(most.0, instrument.waiting.updates.count), max(most.1, instrument.waiting.levelCount))
        }
    }

    // MARK: What happens

    /// Takes a frame that a connection received.
    ///
    /// - Throws: why the frame was not understood. It is counted and changed nothing, with two exceptions: a live book that
    ///   cannot follow an update begins anew, and what stands in the frame before a number that fits no units is done.
    public mutating func receive(
        _ text: UnsafeRawBufferPointer,
        connection: UInt32,
        atNs receivedNs: Int64,
        instruments: inout InstrumentTable,
        actions: inout [FeedAction],
        into sink: inout some MarketEventSink
    ) throws(FrameFault) {
        try read(Arrival(text: text, connection: connection, receivedNs: receivedNs), &instruments, &actions, &sink)
    }

    /// Takes the answer to a request for an instrument's book.
    public mutating func receiveSnapshot(
        _ body: UnsafeRawBufferPointer,
        rawSymbol: String,
        connection: UInt32,
        atNs receivedNs: Int64,
        instruments: inout InstrumentTable,
        actions: inout [FeedAction],
        into sink: inout some MarketEventSink
    ) throws(FrameFault) {
        let arrival = Arrival(text: body, connection: connection, receivedNs: receivedNs, rawSymbol: rawSymbol)
        try read(arrival, &instruments, &actions, &sink)
    }

    /// Forgets the books of a connection that is gone.
    public mutating func disconnected(
        _ connection: UInt32,
        reason: MarketStatus.Reason,
        atNs now: Int64,
        into sink: inout some MarketEventSink
    ) {
        counts.forget(connection)
        for place in followed.indices where followed[place].connection == connection {
            followed[place].forgetBook()
            followed[place].heardID = 0
            followed[place].state = .empty
            followed[place].hasMissedTrades = true
            sendStatus(MarketStatus(.disconnected, reason), place, atNs: now, &sink)
        }
    }

    /// Looks for books that stay crossed or without news; to be called about once a second.
    ///
    /// - Returns: whether there was one; otherwise nothing has changed.
    public mutating func advance(
        toNs now: Int64,
        actions: inout [FeedAction],
        into sink: inout some MarketEventSink
    ) -> Bool {
        let before = (counters.resyncs, counters.staleBooks)
        for place in followed.indices where followed[place].state == .live {
            let since = followed[place].crossedSinceNs
            if since != 0, now &- since > limits.crossedMostNs {
                resync(place, .crossed, atNs: now, &actions, &sink)
            } else {
                watchSilence(place, atNs: now, &actions, &sink)
            }
        }
        return (counters.resyncs, counters.staleBooks) != before
    }

    // MARK: Beside another feed of the same instruments

    /// Tells a live book whole, for listeners who had another feed's until now.
    public mutating func restate(_ id: InstrumentID, atNs now: Int64, into sink: inout some MarketEventSink) {
        guard let place = placeByID[id], followed[place].state == .live else { return }
        let number = followed[place].lastID
        sendSnapshot(place, [.last, .eventTimeMissing], eventNs: 0, receivedNs: now, sequence: number, &sink)
    }

    /// Takes the units that another feed gave an instrument; a book that does not fit them begins anew.
    public mutating func adopt(
        _ instrument: Instrument,
        atNs now: Int64,
        actions: inout [FeedAction],
        into sink: inout some MarketEventSink
    ) {
        guard let place = placeByID[instrument.id] else { return }
        let units = Scales(price: instrument.priceScale, quantity: instrument.quantityScale)
        guard units.price >= followed[place].priceScale, units.quantity >= followed[place].quantityScale else { return }
        var book = followed[place].book
        let fits = rescale(&book, of: place, to: units)
        followed[place].priceScale = units.price
        followed[place].quantityScale = units.quantity
        if fits { followed[place].book = book }
        guard !fits, followed[place].state == .live else { return }
        // Not for the units, of which clients have heard already.
        resync(place, .gap, atNs: now, &actions, &sink)
    }

    // MARK: Frames

    struct Arrival {
        var text: UnsafeRawBufferPointer
        var connection: UInt32
        var receivedNs: Int64
        /// The instrument that was asked for, in the answer to a request.
        var rawSymbol: String?
        /// What the message's instrument is, where its name does not tell.
        var kind: Instrument.Kind?
    }

    private mutating func read(
        _ arrival: Arrival,
        _ instruments: inout InstrumentTable,
        _ actions: inout [FeedAction],
        _ sink: inout some MarketEventSink
    ) throws(FrameFault) {
        counters.frames += 1
        var frame = self.frame.take() ?? VenueFrame()
        defer { self.frame = frame }
        frame.clear()
        do throws(FrameFault) {
            if arrival.rawSymbol == nil {
                try dialect.parse(arrival.text, into: &frame)
            } else {
                try dialect.parseSnapshot(arrival.text, into: &frame)
            }
            guard follows(frame.number, of: frame.numbered, arrival, &actions, &sink) else {
                counters.repeatedFrames += 1
                return
            }
            if frame.messages.count > 1 { try checkWhole(frame, arrival, instruments, &actions, &sink) }
            let messages = frame.messages.span
            for index in messages.indices {
                try handle(messages[index], frame.levels, frame.levelNames, arrival, &instruments, &actions, &sink)
            }
        } catch {
            counters.badFrames += 1
            throw error
        }
    }

    // Given the frame's arrays instead of the frame: a copy of what was just written in pieces waits for the last of them.
    private mutating func handle(
        _ message: VenueMessage,
        _ levels: [VenueLevel],
        _ names: [UInt64],
        _ arrival: Arrival,
        _ instruments: inout InstrumentTable,
        _ actions: inout [FeedAction],
        _ sink: inout some MarketEventSink
    ) throws(FrameFault) {
        switch message {
        case .trade(let trade):
            try handle(trade, arrival, &instruments, &sink)
        case .quote(let quote):
            try handle(quote, arrival, &instruments, &sink)
        case .candle(let candle):
            try handle(candle, arrival, &instruments, &sink)
        case .book(let book):
            try handle(book, levels, names, arrival, &instruments, &actions, &sink)
        case .subscribed(let symbol):
            if let known = place(of: symbol, arrival), followed[known].state == .empty {
                followed[known].connection = arrival.connection
            }
        case .trading(let symbol, let isHalted):
            if rules.haltsIntroduce { _ = try follow(symbol, scales: Scales(), arrival, &instruments, &sink) }
            handle(trading: symbol, isHalted: isHalted, arrival, &sink)
        case .units(let units):
            handle(units, arrival)
        case .answer(let text):
            actions.append(FeedAction(connection: arrival.connection, demand: .send("\(text)")))
        case .refusal(let reason):
            let text = reason.string(in: arrival.text)
            actions.append(FeedAction(connection: arrival.connection, demand: .report(refusal: text)))
        case .reconnectRequest:
            actions.append(FeedAction(connection: arrival.connection, demand: .reconnect(.venueRequest)))
        case .heartbeat, .other:
            break
        }
    }

    /// Whether a frame's number is the next one, or has a hole before it, which everything it counts is then told of.
    private mutating func follows(
        _ number: UInt64?,
        of counted: FrameValue,
        _ arrival: Arrival,
        _ actions: inout [FeedAction],
        _ sink: inout some MarketEventSink
    ) -> Bool {
        guard let number else {
            counts.takeNone()
            return true
        }
        let name = counted.bytes(in: arrival.text)
        switch counts.take(number, of: name, on: arrival.connection) {
        case .isNext: return true
        case .isKnown: return false
        case .isBehindGap:
            counters.frameGaps += 1
            for place in followed.indices
            where followed[place].connection == arrival.connection && followed[place].count == counts.current {
                followed[place].hasMissedTrades = true
                switch followed[place].state {
                case .live: resync(place, .gap, atNs: arrival.receivedNs, &actions, &sink)
                // What was lost may be the snapshot that it waits for.
                case .resyncing(let reason): demandSnapshot(place, reason, &actions)
                case .empty, .snapshotting: continue
                }
            }
            return true
        }
    }

    private mutating func handle(
        trading symbol: FrameValue,
        isHalted: Bool,
        _ arrival: Arrival,
        _ sink: inout some MarketEventSink
    ) {
        guard let place = place(of: symbol, arrival), followed[place].isHalted != isHalted else { return }
        followed[place].isHalted = isHalted
        let reason = MarketStatus.Reason.venueRequest
        let state: MarketStatus.State = isHalted ? .halted : followed[place].status.state
        sendStatus(MarketStatus(state, reason), place, atNs: arrival.receivedNs, &sink)
    }

    /// Remembers the units of an instrument; its book takes them on with its next message.
    private mutating func handle(_ units: VenueUnits, _ arrival: Arrival) {
        let told = Scales(price: units.priceScale, quantity: units.quantityScale)
        guard told.price <= limits.scaleMost, told.quantity <= limits.scaleMost else { return }
        if let place = place(of: units.symbol, arrival) { followed[place].toldUnits = told }
        let rawSymbol = units.symbol.string(in: arrival.text)
        guard toldUnits.count < limits.instrumentsMost || toldUnits[rawSymbol] != nil else { return }
        toldUnits[rawSymbol] = told
    }

    // MARK: Instruments

    func place(of symbol: FrameValue, _ arrival: Arrival) -> Int? {
        if var asked = arrival.rawSymbol {
            return asked.withUTF8 { index.place(of: UnsafeRawBufferPointer($0)) }
        }
        let bytes = symbol.bytes(in: arrival.text)
        if let place = index.place(of: bytes) { return place }
        guard bytes.contains(UInt8(ascii: "\\")) else { return nil }
        var resolved = symbol.string(in: arrival.text)
        return resolved.withUTF8 { index.place(of: UnsafeRawBufferPointer($0)) }
    }

    /// The place of an instrument, which is followed from now on if it was not.
    ///
    /// `scales` are the decimals that this message needs, for an instrument whose units no list told.
    mutating func follow(
        _ symbol: FrameValue,
        scales: Scales,
        _ arrival: Arrival,
        _ instruments: inout InstrumentTable,
        _ sink: inout some MarketEventSink
    ) throws(FrameFault) -> Int {
        if let known = place(of: symbol, arrival) { return known }
        let rawSymbol = arrival.rawSymbol ?? symbol.string(in: arrival.text)
        guard VenueSymbol.isName(rawSymbol),
            arrival.rawSymbol != nil || rules.namesAreBare || symbol.isString(in: arrival.text)
        else { throw .unknownSymbol }
        guard followed.count < limits.instrumentsMost else { throw .tooManyInstruments }
        let id: InstrumentID
        var told = toldUnits[rawSymbol]
        if let listed = instruments.id(venue: dialect.venue, rawSymbol: rawSymbol) {
            id = listed
            told = told ?? Scales(price: instruments[id].priceScale, quantity: instruments[id].quantityScale)
        } else {
            id = try infer(rawSymbol, arrival.kind, scales, &instruments)
        }
        var name = rawSymbol
        let place = name.withUTF8 { index.add(UnsafeRawBufferPointer($0)) }
        followed.append(FeedInstrument(instruments[id], connection: arrival.connection))
        followed[place].count = counts.current
        followed[place].toldUnits = told
        placeByID[id] = place
        sink.learn(instruments[id])
        sendStatus(MarketStatus(.connected, .started), place, atNs: arrival.receivedNs, &sink)
        return place
    }

    private func infer(
        _ rawSymbol: String,
        _ kind: Instrument.Kind?,
        _ scales: Scales,
        _ instruments: inout InstrumentTable
    ) throws(FrameFault) -> InstrumentID {
        guard scales.price <= limits.scaleMost, scales.quantity <= limits.scaleMost else { throw .outOfRange }
        let name = dialect.symbol(ofRaw: rawSymbol)
        // The venue's own name where the hub's is taken: two things never share a name.
        for symbol in [name.symbol, rawSymbol] {
            let least = instruments.leastScales["\(symbol)@\(dialect.venue)"] ?? (0, 0)
            let instrument = Instrument(
                id: InstrumentID(0),
                venue: dialect.venue,
                symbol: symbol,
                rawSymbol: rawSymbol,
                kind: kind ?? name.kind,
                priceScale: max(scales.price, min(least.price, limits.scaleMost)),
                quantityScale: max(scales.quantity, min(least.quantity, limits.scaleMost))
            )
            if let id = try? instruments.add(instrument) { return id }
        }
        throw .unknownSymbol
    }

    // MARK: Events

    func sendStatus(
        _ status: MarketStatus,
        _ place: Int,
        atNs receivedNs: Int64,
        _ sink: inout some MarketEventSink
    ) {
        let event = MarketEvent(
            instrument: followed[place].id,
            flags: .eventTimeMissing,
            eventNs: 0,
            receivedNs: receivedNs,
            payload: .status(status)
        )
        sink.receive(event, levels: Span())
    }

    /// Drops the book and asks the venue for what makes it complete again.
    mutating func resync(
        _ place: Int,
        _ reason: MarketStatus.Reason,
        atNs now: Int64,
        _ actions: inout [FeedAction],
        _ sink: inout some MarketEventSink
    ) {
        counters.resyncs += 1
        if reason == .gap { counters.gaps += 1 }
        followed[place].heardID = max(followed[place].heardID, followed[place].lastID)
        followed[place].forgetBook()
        followed[place].state = .resyncing(reason)
        followed[place].isStale = false
        sendStatus(MarketStatus(.resyncing, reason), place, atNs: now, &sink)
        demandSnapshot(place, reason, &actions)
    }

    func demandSnapshot(_ place: Int, _ reason: MarketStatus.Reason, _ actions: inout [FeedAction]) {
        let (rawSymbol, connection) = (followed[place].rawSymbol, followed[place].connection)
        let demand: FeedAction.Demand
        if let url = dialect.snapshotURL(rawSymbol: rawSymbol) {
            demand = .fetchSnapshot(url: url, rawSymbol: rawSymbol)
        } else {
            let frames = dialect.resubscribeFrames(rawSymbol: rawSymbol)
            demand = frames.isEmpty ? .reconnect(reason) : .resubscribe(rawSymbol: rawSymbol, frames: frames)
        }
        actions.append(FeedAction(connection: connection, demand: demand))
    }
}

/// Something that the feed wants of a venue; whoever owns the connection does it.
public struct FeedAction: Hashable, Sendable {
    public var connection: UInt32
    public var demand: Demand

    public init(connection: UInt32, demand: Demand) {
        self.connection = connection
        self.demand = demand
    }

    public enum Demand: Hashable, Sendable {
        /// Ask for an instrument's book, and hand the answer to ``VenueFeed/receiveSnapshot``.
        case fetchSnapshot(url: String, rawSymbol: String)
        /// Send these so that an instrument's book begins anew.
        case resubscribe(rawSymbol: String, frames: [String])
        /// Close the connection and open another.
        case reconnect(MarketStatus.Reason)
        case send(String)
        /// Nothing to do: the venue refused something, in its own words.
        case report(refusal: String)
    }
}
