import Market

/// A frame of several messages is refused as a whole or not at all.
extension VenueFeed {
    /// Makes sure that every message of a frame can be taken, before the first one is.
    ///
    /// The live books that a refused frame would have changed miss what it said: they begin anew.
    mutating func checkWhole(
        _ frame: borrowing VenueFrame,
        _ arrival: Arrival,
        _ instruments: InstrumentTable,
        _ actions: inout [FeedAction],
        _ sink: inout some MarketEventSink
    ) throws(FrameFault) {
        do throws(FrameFault) {
            try checkNewcomers(frame.messages, arrival, instruments)
            try checkAll(frame, arrival, instruments)
        } catch {
            for case .book(let book) in frame.messages {
                guard let place = place(of: book.symbol, arrival), followed[place].state == .live else { continue }
                resync(place, .gap, atNs: arrival.receivedNs, &actions, &sink)
            }
            throw error
        }
    }

    /// The levels of a book message that will be converted; nil when it will not be applied.
    func checked(
        _ book: VenueBook,
        _ frame: borrowing VenueFrame,
        _ arrival: Arrival
    ) throws(FrameFault) -> [VenueLevel]? {
        let isLive = place(of: book.symbol, arrival).map { followed[$0].state == .live } ?? false
        guard book.isSnapshot || isLive else { return nil }
        let levels = Array(frame.levels[book.levels])
        guard book.isSnapshot, book.keying == .entry else { return levels }
        var entries = EntryTotals(most: 2 * limits.levelsMost)
        guard let totals = entries.apply(levels.span, frame.levelNames[book.levels]) else { throw .outOfRange }
        return totals
    }

    /// Makes sure that the instruments that a frame names first can be followed.
    private func checkNewcomers(
        _ messages: [VenueMessage],
        _ arrival: Arrival,
        _ instruments: InstrumentTable
    ) throws(FrameFault) {
        guard arrival.rawSymbol == nil else { return }
        var newcomers: [FrameValue] = []
        for message in messages {
            let symbol: FrameValue
            var introduces = true
            switch message {
            case .trade(let trade): symbol = trade.symbol
            case .quote(let quote):
                guard quote.sizes != nil || passesQuotesWithoutSize else { continue }
                symbol = quote.symbol
            case .candle(let candle): symbol = candle.symbol
            case .book(let book):
                symbol = book.symbol
                introduces = book.isSnapshot || rules.book.isRequested
                if !introduces, book.areLevelsNamed || rules.haltsIntroduce { continue }
            default: continue
            }
            let name = symbol.bytes(in: arrival.text)
            let isKnown =
                place(of: symbol, arrival) != nil
                || newcomers.contains { $0.bytes(in: arrival.text).elementsEqual(name) }
            if isKnown { continue }
            let rawSymbol = symbol.string(in: arrival.text)
            guard introduces, VenueSymbol.isName(rawSymbol), rules.namesAreBare || symbol.isString(in: arrival.text),
                instruments.id(venue: dialect.venue, rawSymbol: rawSymbol) != nil
                    || instruments.id(named: rawSymbol + "@" + dialect.venue) == nil
            else { throw .unknownSymbol }
            newcomers.append(symbol)
        }
        guard followed.count + newcomers.count <= limits.instrumentsMost else { throw .tooManyInstruments }
    }
}
