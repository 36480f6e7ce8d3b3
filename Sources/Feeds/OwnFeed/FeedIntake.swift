import Market

/// What a message says of one instrument, its numbers as they were written.
///
/// The levels of a book stand in ``FeedIntake/levels``.
struct FeedDatum {
    enum Content {
        case trade(LineFeedAmount, Aggressor, TradeID)
        case quote(bid: LineFeedAmount?, ask: LineFeedAmount?)
        case snapshot
        case delta
        case status(MarketStatus)
    }

    var content: Content
    /// Nil when the sender does not say when it happened.
    var eventNs: Int64?
    var flags: EventFlags = .last
    var venueSequence: UInt64 = 0

    /// What a sender may say of an event; the others the hub sees for itself.
    static let flagsKnown: EventFlags = [.last, .gapBefore, .maybeBadBook, .stale, .historic, .synthetic]
}

/// A level of a book, its numbers as they were written.
struct FeedLevel {
    var side: Side
    var amount: LineFeedAmount
}

/// What an instrument is called, by itself and on its venue.
struct FeedIdentity {
    var symbol: String
    var rawSymbol: String
    var venue: String
    var kind = Instrument.Kind.spot
}

/// Makes market events of what one connection of the hub's own feed says, in either form.
///
/// It keeps the instruments that the connection has named and turns numbers into their units, which become finer when a number
/// needs it: the table is changed and a status with the reason `unitsChanged` goes ahead of the number.
struct FeedIntake: Sendable {
    let settings: LineFeed.Settings
    var conduct = FeedConduct()
    /// In the order in which the connection first named them.
    private(set) var instruments: [InstrumentID] = []
    /// The levels of the book event that is told next.
    var levels: [FeedLevel] = []
    private var changes: [LevelChange] = []

    static let aheadMostNs: Int64 = 86_400_000_000_000

    init(_ settings: LineFeed.Settings) { self.settings = settings }

    /// An instrument that the connection named before, or one that it names now.
    enum Place {
        case known(InstrumentID)
        case named(FeedIdentity)
    }

    /// Tells a datum, and before it what is new of its instrument.
    ///
    /// - Returns: the instrument.
    /// - Throws: why it cannot be; nothing was told and the table is as it was.
    mutating func tell(
        _ datum: FeedDatum,
        of place: Place,
        _ receivedNs: Int64,
        _ table: inout InstrumentTable,
        _ sink: inout some MarketEventSink
    ) throws(LineFeedError) -> InstrumentID {
        let known = find(place, table)
        let old = known.map { LineFeedScales(of: $0, in: table) }
        var scales = LineFeedScales()
        if let old {
            scales = old
        } else if case .named(let new) = place {
            scales = LineFeedScales(ofNew: new, in: table)
        }
        changes.removeAll(keepingCapacity: true)
        let payload = try read(datum, &scales, known)
        let id = try enter(place, known, old, scales, receivedNs, &table, &sink)
        var flags = datum.flags
        if datum.eventNs == nil { flags.insert(.eventTimeMissing) }
        switch payload {
        case .bookSnapshot:
            conduct.beginBook(of: id)
            flags.insert(.snapshot)
        case .status(let status) where ![.live, .halted, .stale].contains(status.state):
            conduct.endBook(of: id)
        default: break
        }
        if conduct.isAfterGap(id) { flags.insert(.gapBefore) }
        let event = MarketEvent(
            instrument: id,
            flags: flags,
            eventNs: datum.eventNs ?? 0,
            receivedNs: receivedNs,
            venueSequence: datum.venueSequence,
            payload: payload
        )
        sink.receive(event, levels: changes.span)
        return id
    }

    /// Takes an instrument's names and units before anything happens to it, or its finer units later; `known` is what the
    /// sender's name for it meant so far.
    mutating func declare(
        _ identity: FeedIdentity,
        _ declared: LineFeedScales,
        known: InstrumentID?,
        _ receivedNs: Int64,
        _ table: inout InstrumentTable,
        _ sink: inout some MarketEventSink
    ) throws(LineFeedError) -> InstrumentID {
        guard declared.price <= 18 else { throw .malformed(.priceScale) }
        guard declared.quantity <= 18 else { throw .malformed(.quantityScale) }
        let found = table.id(venue: identity.venue, rawSymbol: identity.rawSymbol)
        guard known == nil || known == found else { throw .malformed(.rawSymbol) }
        let old = found.map { LineFeedScales(of: $0, in: table) }
        let scales = LineFeedScales(
            price: max(old?.price ?? 0, declared.price),
            quantity: max(old?.quantity ?? 0, declared.quantity)
        )
        return try enter(.named(identity), found, old, scales, receivedNs, &table, &sink)
    }

    /// Says of the instruments whose books miss something that they wait for snapshots.
    mutating func lose(atNs receivedNs: Int64, _ sink: inout some MarketEventSink) {
        for id in conduct.lose(instruments) {
            tell(MarketStatus(.resyncing, .gap), of: id, flags: [.gapBefore, .synthetic], receivedNs, &sink)
        }
    }

    // MARK: Numbers

    private mutating func read(
        _ datum: FeedDatum,
        _ scales: inout LineFeedScales,
        _ known: InstrumentID?
    ) throws(LineFeedError) -> MarketEvent.Payload {
        switch datum.content {
        case .trade(let amount, let aggressor, let id):
            guard amount.quantity.digits > 0 else { throw .notPositive(amount.quantityKey) }
            try scales.widen(for: amount, isNew: known == nil)
            let level = try scales.level(amount)
            return .trade(Trade(price: level.price, quantity: level.quantity, aggressor: aggressor, id: id))
        case .quote(let bid, let ask):
            if let bid { try scales.widen(for: bid, isNew: known == nil) }
            if let ask { try scales.widen(for: ask, isNew: known == nil) }
            return .quote(Quote(bid: try scales.level(bid), ask: try scales.level(ask)))
        case .snapshot:
            try readLevels(&scales, isNew: known == nil)
            return .bookSnapshot(top: .none)
        case .delta:
            guard let known, conduct.hasBook(of: known) else { throw .noSnapshot }
            try readLevels(&scales, isNew: false)
            return .bookDelta(top: .none)
        case .status(let status):
            // That its units changed, a sender tells by a declaration; whether ours change is seen here.
            return .status(status.reason == .unitsChanged ? MarketStatus(status.state, .none) : status)
        }
    }

    private mutating func readLevels(_ scales: inout LineFeedScales, isNew: Bool) throws(LineFeedError) {
        for level in levels { try scales.widen(for: level.amount, isNew: isNew) }
        for level in levels {
            let price = level.amount.price.units(atScale: scales.price)
            let quantity = level.amount.quantity.units(atScale: scales.quantity)
            guard let price else { throw .tooLarge(level.amount.priceKey) }
            guard let quantity else { throw .tooLarge(level.amount.quantityKey) }
            changes.append(LevelChange(level.side, price: Price(ticks: price), quantity: Quantity(lots: quantity)))
        }
    }

    // MARK: Instruments

    private func find(_ place: Place, _ table: InstrumentTable) -> InstrumentID? {
        switch place {
        case .known(let id): id
        case .named(let identity): table.id(venue: identity.venue, rawSymbol: identity.rawSymbol)
        }
    }

    /// Makes or rescales an instrument if need be, and says so.
    private mutating func enter(
        _ place: Place,
        _ known: InstrumentID?,
        _ old: LineFeedScales?,
        _ scales: LineFeedScales,
        _ receivedNs: Int64,
        _ table: inout InstrumentTable,
        _ sink: inout some MarketEventSink
    ) throws(LineFeedError) -> InstrumentID {
        guard case .named(let identity) = place else {
            // Named before: only its units can be new.
            guard let known else { throw .missing(.symbol) }
            refine(known, old, scales, receivedNs, &table, &sink)
            return known
        }
        let id: InstrumentID
        if let known { id = known } else { id = try make(identity, scales, &table) }
        if !instruments.contains(id) {
            instruments.append(id)
            sink.learn(table[id])
            tell(MarketStatus(.live, .started), of: id, flags: .last, receivedNs, &sink)
        }
        refine(id, old, scales, receivedNs, &table, &sink)
        return id
    }

    private func refine(
        _ id: InstrumentID,
        _ old: LineFeedScales?,
        _ scales: LineFeedScales,
        _ receivedNs: Int64,
        _ table: inout InstrumentTable,
        _ sink: inout some MarketEventSink
    ) {
        guard let old, old != scales else { return }
        table.rescale(id, priceScale: scales.price, quantityScale: scales.quantity)
        sink.learn(table[id])
        tell(MarketStatus(.live, .unitsChanged), of: id, flags: .last, receivedNs, &sink)
    }

    private func make(
        _ identity: FeedIdentity,
        _ scales: LineFeedScales,
        _ table: inout InstrumentTable
    ) throws(LineFeedError) -> InstrumentID {
        let count = settings.venue.map { table.count(ofVenue: $0) } ?? instruments.count
        guard count < settings.instrumentsMost else { throw .tooManyInstruments(most: settings.instrumentsMost) }
        let instrument = Instrument(
            id: InstrumentID(0),
            venue: identity.venue,
            symbol: identity.symbol,
            rawSymbol: identity.rawSymbol,
            kind: identity.kind,
            priceScale: scales.price,
            quantityScale: scales.quantity
        )
        do {
            return try table.add(instrument)
        } catch {
            throw .symbolTaken
        }
    }

    private func tell(
        _ status: MarketStatus,
        of id: InstrumentID,
        flags: EventFlags,
        _ receivedNs: Int64,
        _ sink: inout some MarketEventSink
    ) {
        let event = MarketEvent(
            instrument: id,
            flags: flags,
            eventNs: receivedNs,
            receivedNs: receivedNs,
            payload: .status(status)
        )
        sink.receive(event, levels: Span())
    }
}
