import Market

/// What the events of a protobuf message mean.
extension MessageFeed {
    mutating func tell(
        _ event: MessageEvent,
        _ receivedNs: Int64,
        _ table: inout InstrumentTable,
        _ sink: inout some MarketEventSink,
        _ verdict: inout LineFeed.Verdict
    ) throws(LineFeedError) {
        guard event.eventNs <= UInt64(Int64.max) else { throw .malformed(.time) }
        let eventNs = Int64(event.eventNs)
        guard eventNs <= receivedNs &+ FeedIntake.aheadMostNs else { throw .fromTheFuture }
        let content: FeedDatum.Content
        switch event.content {
        case .unknown, .heartbeat:
            return
        case .hello(let hello):
            guard hello.version == FeedHello.versionSpoken else { throw .unknownVersion }
            verdict.hello = hello
            return
        case .problem(let problem):
            verdict.problem = problem
            return
        case .declaration(let declaration):
            return try declare(declaration, receivedNs, &table, &sink)
        case .trade(let price, let quantity, let aggressor, let id):
            let scales = try known(event).scales
            let amount = try amount(price, quantity, scales, .price, .quantity)
            guard let aggressor = UInt8(exactly: aggressor).flatMap(Aggressor.init) else { throw .malformed(.side) }
            content = .trade(amount, aggressor, id)
        case .quote(let bid, let ask):
            let scales = try known(event).scales
            content = .quote(
                bid: bid.quantity == 0 ? nil : try amount(bid.price, bid.quantity, scales, .bid, .bidQuantity),
                ask: ask.quantity == 0 ? nil : try amount(ask.price, ask.quantity, scales, .ask, .askQuantity)
            )
        case .snapshot(let range):
            try take(range, try known(event).scales)
            content = .snapshot
        case .delta(let range):
            try take(range, try known(event).scales)
            content = .delta
        case .status(let state, let reason):
            guard let state = UInt8(exactly: state).flatMap(MarketStatus.State.init) else { throw .malformed(.state) }
            // A reason of a later version is none that is known here.
            let reason = UInt8(exactly: reason).flatMap(MarketStatus.Reason.init) ?? .none
            content = .status(MarketStatus(state, reason))
        }
        var datum = FeedDatum(content: content, eventNs: eventNs == 0 ? nil : eventNs)
        datum.flags.formUnion(
            EventFlags(rawValue: UInt16(truncatingIfNeeded: event.flags)).intersection(FeedDatum.flagsKnown)
        )
        datum.venueSequence = event.venueSequence
        _ = try intake.tell(datum, of: .known(try known(event).id), receivedNs, &table, &sink)
    }

    private func known(_ event: MessageEvent) throws(LineFeedError) -> Declared {
        guard let known = declared[event.instrument] else { throw .unknownInstrument(number: event.instrument) }
        return known
    }

    private mutating func declare(
        _ declaration: MessageDeclaration,
        _ receivedNs: Int64,
        _ table: inout InstrumentTable,
        _ sink: inout some MarketEventSink
    ) throws(LineFeedError) {
        let symbol = declaration.symbol
        guard (1...64).contains(symbol.utf8.count), symbol.utf8.allSatisfy(LineFeedSyntax.isNameByte) else {
            throw .malformed(.symbol)
        }
        let rawSymbol = declaration.rawSymbol.isEmpty ? symbol : declaration.rawSymbol
        guard VenueSymbol.isName(rawSymbol) else { throw .malformed(.rawSymbol) }
        guard declaration.venue.isEmpty || LineFeedSyntax.isVenue(declaration.venue) else { throw .malformed(.venue) }
        guard declaration.priceScale <= 18 else { throw .malformed(.priceScale) }
        guard declaration.quantityScale <= 18 else { throw .malformed(.quantityScale) }
        let kind = UInt8(exactly: declaration.kind).flatMap(Instrument.Kind.init)
        guard let kind = declaration.kind == 0 ? .spot : kind else { throw .malformed(.instrumentKind) }
        let venue = declaration.venue.isEmpty ? LineFeed.venue : declaration.venue
        let identity = FeedIdentity(
            symbol: symbol,
            rawSymbol: rawSymbol,
            venue: intake.settings.venue ?? venue,
            kind: kind
        )
        let scales = LineFeedScales(
            price: UInt8(declaration.priceScale),
            quantity: UInt8(declaration.quantityScale)
        )
        let number = declaration.number
        let known = declared[number]?.id
        // Several numbers may mean one instrument, but not without end.
        guard known != nil || declared.count < 4 * intake.settings.instrumentsMost else {
            throw .tooManyInstruments(most: intake.settings.instrumentsMost)
        }
        let id = try intake.declare(identity, scales, known: known, receivedNs, &table, &sink)
        declared[number] = Declared(id: id, scales: scales)
    }

    private mutating func take(_ range: Range<Int>, _ scales: LineFeedScales) throws(LineFeedError) {
        intake.levels.removeAll(keepingCapacity: true)
        for level in levels[range] {
            let key: LineFeedKey = level.side == .bid ? .bids : .asks
            let amount = try amount(level.price, level.quantity, scales, key, key)
            intake.levels.append(FeedLevel(side: level.side, amount: amount))
        }
    }

    /// A price and a quantity as decimal numbers of the sender's units.
    private func amount(
        _ price: Int64,
        _ quantity: UInt64,
        _ scales: LineFeedScales,
        _ priceKey: LineFeedKey,
        _ quantityKey: LineFeedKey
    ) throws(LineFeedError) -> LineFeedAmount {
        guard price > 0 else { throw .notPositive(priceKey) }
        guard let lots = Int64(exactly: quantity) else { throw .tooLarge(quantityKey) }
        return LineFeedAmount(
            price: Decimal(digits: price, scale: scales.price),
            quantity: Decimal(digits: lots, scale: scales.quantity),
            priceKey: priceKey,
            quantityKey: quantityKey
        )
    }
}
