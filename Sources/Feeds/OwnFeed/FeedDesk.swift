public import Market

/// What the connections of one source say together: for each instrument whose word counts, and its book.
///
/// An instrument belongs to the connection that named it first. Others that name it stand by: their books are followed but not
/// told. When the first is gone, or knows its book to be wrong while another's is right, the next takes over, with a status and
/// a snapshot marked GAP_BEFORE. Without another the instrument is said to be disconnected, and its book is forgotten.
public struct FeedDesk: Sendable {
    public struct Limits: Sendable {
        /// A book that grows beyond this is dropped and waits for a snapshot.
        public var levelsMost = 100_000
        /// The same for the books of all connections together.
        public var levelsInAllMost = 2_000_000

        public init() {}
    }

    /// One connection's view of one instrument.
    private struct Seat: Sendable {
        enum State: Sendable {
            /// No book was told, and perhaps none will be.
            case withoutBook
            case live
            /// The book was found to be wrong, or its sender says so.
            case waiting(MarketStatus)
        }

        var connection: UInt32
        var state = State.withoutBook
        var book = OrderBook()

        var isLive: Bool { if case .live = state { true } else { false } }
        var status: MarketStatus {
            if case .waiting(let status) = state { status } else { MarketStatus(.live, .none) }
        }
    }

    private struct Row: Sendable {
        var id: InstrumentID
        var priceScale: UInt8
        var quantityScale: UInt8
        /// The first is the one whose word counts.
        var seats: [Seat] = []
        /// As clients heard it last.
        var told = MarketStatus(.disconnected, .started)
    }

    private let limits: Limits
    private var rows: [Row] = []
    private var places: [InstrumentID: Int] = [:]
    /// Levels of all books.
    public private(set) var levelCount = 0

    public init(limits: Limits = Limits()) { self.limits = limits }

    /// Every instrument that was ever named here, in the order of first hearing.
    public var instruments: [InstrumentID] { rows.map(\.id) }

    /// The book of an instrument while it is complete; nil for one that is not of this source, too.
    public func book(of id: InstrumentID) -> OrderBook? {
        guard let place = places[id], let seat = rows[place].seats.first, seat.isLive else { return nil }
        return seat.book
    }

    /// Whether an instrument was ever named here.
    public func knows(_ id: InstrumentID) -> Bool { places[id] != nil }

    /// The connection whose word on an instrument counts.
    public func owner(of id: InstrumentID) -> UInt32? { places[id].flatMap { rows[$0].seats.first?.connection } }

    // MARK: What happens

    /// Hears that a connection has named an instrument, or that its units became finer; `sink` is told by the caller.
    public mutating func learn(_ instrument: Instrument, from connection: UInt32) {
        let id = instrument.id
        let place: Int
        if let known = places[id] {
            place = known
        } else {
            place = rows.count
            places[id] = place
            rows.append(Row(id: id, priceScale: instrument.priceScale, quantityScale: instrument.quantityScale))
        }
        if !rows[place].seats.contains(where: { $0.connection == connection }) {
            rows[place].seats.append(Seat(connection: connection))
        }
        rescale(place, instrument)
    }

    /// Takes an event of a connection and passes on what counts, with the top of the book beside book events.
    public mutating func receive(
        _ event: MarketEvent,
        levels: Span<LevelChange>,
        from connection: UInt32,
        into sink: inout some MarketEventSink
    ) {
        guard let place = places[event.instrument],
            let index = rows[place].seats.firstIndex(where: { $0.connection == connection })
        else { return }
        switch event.payload {
        case .trade, .quote:
            if index == 0 { sink.receive(event, levels: Span()) }
        case .bookSnapshot:
            replace(place, index, event, levels, &sink)
        case .bookDelta:
            guard rows[place].seats[index].isLive else { return }
            let before = size(place, index)
            for level in levels.indices { rows[place].seats[index].book.apply(levels[level]) }
            guard fits(place, index, before, event, &sink), index == 0 else { return }
            var told = event
            told.payload = .bookDelta(top: Quote(of: rows[place].seats[0].book))
            sink.receive(told, levels: levels)
        case .status(let status):
            take(status, place, index, event, &sink)
        case .ticker, .candle, .order:
            return
        }
    }

    /// Forgets a connection that is gone.
    public mutating func closed(
        _ connection: UInt32,
        reason: MarketStatus.Reason,
        atNs now: Int64,
        into sink: inout some MarketEventSink
    ) {
        for place in rows.indices {
            guard let index = rows[place].seats.firstIndex(where: { $0.connection == connection }) else { continue }
            levelCount -= size(place, index)
            rows[place].seats.remove(at: index)
            guard index == 0 else { continue }
            if rows[place].seats.isEmpty {
                tell(MarketStatus(.disconnected, reason), place, atNs: now, &sink)
            } else {
                restate(place, reason, atNs: now, &sink)
            }
        }
    }

    // MARK: Books

    private mutating func replace(
        _ place: Int,
        _ index: Int,
        _ event: MarketEvent,
        _ levels: Span<LevelChange>,
        _ sink: inout some MarketEventSink
    ) {
        let before = size(place, index)
        rows[place].seats[index].book.removeAll()
        for level in levels.indices { rows[place].seats[index].book.apply(levels[level]) }
        rows[place].seats[index].state = .live
        guard fits(place, index, before, event, &sink) else { return }
        if index > 0 {
            // It may be better than what the first has.
            if !rows[place].seats[0].isLive, case .waiting(let status) = rows[place].seats[0].state {
                promote(place, status.reason, atNs: event.receivedNs, &sink)
            }
            return
        }
        if rows[place].told.state != .live {
            tell(MarketStatus(.live, .none), place, atNs: event.receivedNs, &sink)
        }
        var told = event
        told.payload = .bookSnapshot(top: Quote(of: rows[place].seats[0].book))
        sink.receive(told, levels: levels)
    }

    /// Counts a book's levels after a change, and drops the book when they are too many.
    private mutating func fits(
        _ place: Int,
        _ index: Int,
        _ before: Int,
        _ event: MarketEvent,
        _ sink: inout some MarketEventSink
    ) -> Bool {
        let now = size(place, index)
        levelCount += now - before
        guard now > limits.levelsMost || levelCount > limits.levelsInAllMost else { return true }
        wait(place, index, MarketStatus(.resyncing, .bufferOverflow), atNs: event.receivedNs, &sink)
        return false
    }

    private func size(_ place: Int, _ index: Int) -> Int {
        rows[place].seats[index].book.bids.count + rows[place].seats[index].book.asks.count
    }

    private mutating func rescale(_ place: Int, _ instrument: Instrument) {
        let (price, quantity) = (instrument.priceScale, instrument.quantityScale)
        guard price > rows[place].priceScale || quantity > rows[place].quantityScale else { return }
        let priceFactor = powerOfTen(price - rows[place].priceScale)
        let quantityFactor = powerOfTen(quantity - rows[place].quantityScale)
        (rows[place].priceScale, rows[place].quantityScale) = (price, quantity)
        for index in rows[place].seats.indices {
            let fits = rows[place].seats[index].book.rescale(priceFactor: priceFactor, quantityFactor: quantityFactor)
            guard !fits else { continue }
            levelCount -= size(place, index)
            rows[place].seats[index].book.removeAll()
            // Told by the status that follows.
            rows[place].seats[index].state = .waiting(MarketStatus(.resyncing, .unitsChanged))
        }
    }

    // MARK: Statuses

    private mutating func take(
        _ status: MarketStatus,
        _ place: Int,
        _ index: Int,
        _ event: MarketEvent,
        _ sink: inout some MarketEventSink
    ) {
        switch (status.state, status.reason) {
        case (_, .unitsChanged):
            // Whoever brought it, the table is another one now.
            let now = rows[place].seats[0].status.state == .live ? rows[place].told.state : .resyncing
            tell(MarketStatus(now, .unitsChanged), place, atNs: event.receivedNs, &sink)
            sendBook(place, [.snapshot, .last], atNs: event.receivedNs, &sink)
        case (.disconnected, _), (.connected, _), (.resyncing, _):
            wait(place, index, status, atNs: event.receivedNs, &sink)
        case (.live, _), (.stale, _), (.halted, _):
            if case .waiting(let waiting) = rows[place].seats[index].state {
                // After a gap the snapshot says when the book is right again.
                guard waiting.state == .disconnected || waiting.state == .connected else { return }
                rows[place].seats[index].state = .withoutBook
            }
            guard index == 0 else { return }
            rows[place].told = status
            sink.receive(event, levels: Span())
        }
    }

    /// Drops a seat's book until there is a snapshot; another seat takes over where its book is right.
    private mutating func wait(
        _ place: Int,
        _ index: Int,
        _ status: MarketStatus,
        atNs now: Int64,
        _ sink: inout some MarketEventSink
    ) {
        levelCount -= size(place, index)
        rows[place].seats[index].book.removeAll()
        rows[place].seats[index].state = .waiting(status)
        guard index == 0 else { return }
        guard !promote(place, status.reason, atNs: now, &sink) else { return }
        tell(status, place, atNs: now, &sink)
    }

    /// Puts a seat with a book that is right first.
    @discardableResult
    private mutating func promote(
        _ place: Int,
        _ reason: MarketStatus.Reason,
        atNs now: Int64,
        _ sink: inout some MarketEventSink
    ) -> Bool {
        guard let better = rows[place].seats.firstIndex(where: \.isLive) else { return false }
        rows[place].seats.swapAt(0, better)
        restate(place, reason, atNs: now, &sink)
        return true
    }

    /// Says how the instrument stands with the connection that is first now.
    private mutating func restate(
        _ place: Int,
        _ reason: MarketStatus.Reason,
        atNs now: Int64,
        _ sink: inout some MarketEventSink
    ) {
        tell(MarketStatus(rows[place].seats[0].status.state, reason), place, atNs: now, &sink)
        sendBook(place, [.snapshot, .last, .gapBefore, .synthetic], atNs: now, &sink)
    }

    private func sendBook(_ place: Int, _ flags: EventFlags, atNs now: Int64, _ sink: inout some MarketEventSink) {
        guard let seat = rows[place].seats.first, seat.isLive else { return }
        let levels = seat.book.levels
        let event = MarketEvent(
            instrument: rows[place].id,
            flags: flags,
            eventNs: now,
            receivedNs: now,
            payload: .bookSnapshot(top: Quote(of: seat.book))
        )
        sink.receive(event, levels: levels.span)
    }

    private mutating func tell(
        _ status: MarketStatus,
        _ place: Int,
        atNs now: Int64,
        _ sink: inout some MarketEventSink
    ) {
        rows[place].told = status
        let event = MarketEvent(
            instrument: rows[place].id,
            flags: .synthetic,
            eventNs: 0,
            receivedNs: now,
            payload: .status(status)
        )
        sink.receive(event, levels: Span())
    }
}

extension OrderBook {
    /// All levels, bids first, each side best first.
    public var levels: [LevelChange] {
        var levels: [LevelChange] = []
        levels.reserveCapacity(bids.count + asks.count)
        for level in bids.reversed() { levels.append(LevelChange(.bid, price: level.price, quantity: level.quantity)) }
        for level in asks.reversed() { levels.append(LevelChange(.ask, price: level.price, quantity: level.quantity)) }
        return levels
    }
}
