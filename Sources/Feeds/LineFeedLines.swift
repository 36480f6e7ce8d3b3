import Market

/// What a line of the JSON form means, as a whole.
extension LineFeed {
    mutating func tell(
        _ line: LineFeedSyntax,
        _ receivedNs: Int64,
        _ table: inout InstrumentTable,
        _ sink: inout some MarketEventSink,
        _ verdict: inout Verdict
    ) throws(LineFeedError) {
        if let sequence = try line.whole(.sequence, most: .max),
            let gap = try intake.conduct.take(sequence: sequence)
        {
            verdict.gap = gap
            intake.lose(atNs: receivedNs, &sink)
        }
        let eventNs = try line.time(atMost: receivedNs &+ FeedIntake.aheadMostNs)
        guard line[.symbol].kind != .absent else { return try tellOfNoInstrument(line, &verdict) }
        let symbol = try line.symbol()
        let content: FeedDatum.Content
        switch try line.kind() {
        case .trade:
            guard let amount = try line.amount(.price, .quantity) else { throw .missing(.price) }
            content = .trade(amount, try line.aggressor(), try line.tradeID())
        case .quote:
            let bid = try line.amount(.bid, .bidQuantity)
            let ask = try line.amount(.ask, .askQuantity)
            guard bid != nil || ask != nil else { throw .missing(.bid) }
            content = .quote(bid: bid, ask: ask)
        case .snapshot:
            try line.levels(into: &intake.levels)
            content = .snapshot
        case .delta:
            try line.levels(into: &intake.levels)
            content = .delta
        case .status:
            content = .status(try line.status())
        case .instrument:
            return try declare(line, symbol, receivedNs, &table, &sink)
        case .hello, .heartbeat, .error:
            return try tellOfNoInstrument(line, &verdict)
        }
        var datum = FeedDatum(content: content, eventNs: eventNs)
        if let flags = try line.whole(.flags, most: UInt64(UInt16.max)) {
            datum.flags = EventFlags(rawValue: UInt16(flags)).intersection(FeedDatum.flagsKnown)
        }
        datum.venueSequence = try line.whole(.venueSequence, most: .max) ?? 0
        if let id = symbols[symbol] {
            _ = try intake.tell(datum, of: .known(id), receivedNs, &table, &sink)
        } else {
            let text = symbol.text
            let identity = FeedIdentity(symbol: text, rawSymbol: text, venue: intake.settings.venue ?? Self.venue)
            symbols.add(symbol, try intake.tell(datum, of: .named(identity), receivedNs, &table, &sink))
        }
    }

    private mutating func declare(
        _ line: LineFeedSyntax,
        _ symbol: LineFeedSymbols.Symbol,
        _ receivedNs: Int64,
        _ table: inout InstrumentTable,
        _ sink: inout some MarketEventSink
    ) throws(LineFeedError) {
        let scales = LineFeedScales(
            price: UInt8(try line.whole(.priceScale, most: 18) ?? 0),
            quantity: UInt8(try line.whole(.quantityScale, most: 18) ?? 0)
        )
        let name = try line.name() ?? symbol.text
        let venue = try line.venue()
        let identity = FeedIdentity(
            symbol: name,
            rawSymbol: try line.rawSymbol() ?? name,
            venue: intake.settings.venue ?? venue ?? Self.venue,
            kind: try line.instrumentKind() ?? .spot
        )
        let known = symbols[symbol]
        let id = try intake.declare(identity, scales, known: known, receivedNs, &table, &sink)
        if known == nil { symbols.add(symbol, id) }
    }

    private func tellOfNoInstrument(_ line: LineFeedSyntax, _ verdict: inout Verdict) throws(LineFeedError) {
        switch try line.kindIfAny() {
        case .hello:
            let version = try line.whole(.version, most: .max) ?? FeedHello.versionSpoken
            guard version == FeedHello.versionSpoken else { throw .unknownVersion }
            let name = try line.text(.name) { feedText($0, bytesMost: FeedHello.nameBytesMost) } ?? ""
            let heartbeat = try line.whole(.heartbeat, most: UInt64(UInt32.max)) ?? 0
            verdict.hello = FeedHello(version: version, name: name, heartbeatMs: heartbeat)
        case .heartbeat:
            return
        case .error:
            let text = try line.text(.message) { feedText($0, bytesMost: FeedProblem.textBytesMost) } ?? ""
            verdict.problem = FeedProblem(code: try line.whole(.code, most: .max) ?? 0, text: text)
        case .trade, .quote, .snapshot, .delta, .instrument, .status, nil:
            throw .missing(.symbol)
        }
    }
}
