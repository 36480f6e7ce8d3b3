import Market

/// Trades, quotes and candles: what has no life of its own.
extension VenueFeed {
    /// Decimals of prices and of quantities.
    struct Scales: Equatable {
        var price: UInt8 = 0
        var quantity: UInt8 = 0

        /// Both with the decimals that `others` have more, which are `most` at most.
        func widened(to others: Scales, most: UInt8) throws(FrameFault) -> Scales {
            let wide = Scales(price: max(price, others.price), quantity: max(quantity, others.quantity))
            guard wide.price <= max(most, price), wide.quantity <= max(most, quantity) else { throw .outOfRange }
            return wide
        }
    }

    private func needed(_ number: VenueNumber) -> UInt8 {
        switch rules.decimals {
        case .significant, .told: number.scale
        case .written: max(number.scale, min(number.written, limits.scaleMost))
        }
    }

    mutating func handle(
        _ trade: VenueTrade,
        _ arrived: Arrival,
        _ instruments: inout InstrumentTable,
        _ sink: inout some MarketEventSink
    ) throws(FrameFault) {
        var arrival = arrived
        if trade.isDerived { arrival.kind = .index }
        guard let id = TradeID(trade.id.bytes(in: arrival.text)) else { throw .wrong(field: "trade_id") }
        let scales = Scales(price: needed(trade.price), quantity: needed(trade.quantity))
        let place: Int
        if let known = self.place(of: trade.symbol, arrival), isFitting(scales, known) {
            place = known
        } else {
            let numbers = Numbers(prices: [trade.price], quantities: [trade.quantity], scales: scales)
            place = try settle(trade.symbol, numbers, trade.eventNs, arrival, &instruments, &sink)
        }
        let price = try price(trade.price, place)
        let quantity = try quantity(trade.quantity, place)
        guard !followed[place].isRepeated(id) else {
            counters.repeatedTrades += 1
            return
        }
        counters.trades += 1
        if counts.current != nil { followed[place].count = counts.current }
        if followed[place].state == .empty { followed[place].connection = arrival.connection }
        var flags = flags(eventNs: trade.eventNs)
        if trade.isDerived { flags.insert(.synthetic) }
        if trade.isHistoric { flags.insert(.historic) }
        // A past trade that has a number closes the hole that it was lost in.
        if !trade.isHistoric || rules.tradesAreNumbered, isAfterLoss(trade, place) { flags.insert(.gapBefore) }
        let event = MarketEvent(
            instrument: followed[place].id,
            flags: flags,
            eventNs: trade.eventNs,
            receivedNs: arrival.receivedNs,
            venueSequence: trade.sequence,
            payload: .trade(Trade(price: price, quantity: quantity, aggressor: trade.aggressor, id: id))
        )
        sink.receive(event, levels: Span())
    }

    /// Whether trades are missing before this one: the connection was gone meanwhile, or the venue's numbers tell.
    private mutating func isAfterLoss(_ trade: VenueTrade, _ place: Int) -> Bool {
        var isLoss = followed[place].hasMissedTrades
        followed[place].hasMissedTrades = false
        guard rules.tradesAreNumbered, trade.sequence > 0 else { return isLoss }
        let last = followed[place].lastTrade
        if last > 0 {
            // The numbers know better than the connection.
            let missed = trade.sequence > last ? trade.sequence - last - 1 : 0
            isLoss = missed > 0
            // The venue's numbers are not to be trusted with our arithmetic.
            let (sum, isOver) = counters.missedTrades.addingReportingOverflow(Int(clamping: missed))
            counters.missedTrades = isOver ? .max : sum
        }
        followed[place].lastTrade = max(last, trade.sequence)
        return isLoss
    }

    mutating func handle(
        _ quote: VenueQuote,
        _ arrival: Arrival,
        _ instruments: inout InstrumentTable,
        _ sink: inout some MarketEventSink
    ) throws(FrameFault) {
        guard quote.sizes != nil || passesQuotesWithoutSize else { return }
        let none = VenueNumber(digits: 0, scale: 0, written: 0)
        let (bidSize, askSize) = (quote.sizes?.bid ?? none, quote.sizes?.ask ?? none)
        let scales = Scales(
            price: max(needed(quote.bid), needed(quote.ask)),
            quantity: max(needed(bidSize), needed(askSize))
        )
        let place: Int
        if let known = self.place(of: quote.symbol, arrival), isFitting(scales, known) {
            place = known
        } else {
            let numbers = Numbers(prices: [quote.bid, quote.ask], quantities: [bidSize, askSize], scales: scales)
            place = try settle(quote.symbol, numbers, quote.eventNs, arrival, &instruments, &sink)
        }
        let top = Quote(
            bid: Level(price: try price(quote.bid, place), quantity: try quantity(bidSize, place)),
            ask: Level(price: try price(quote.ask, place), quantity: try quantity(askSize, place))
        )
        counters.quotes += 1
        let event = MarketEvent(
            instrument: followed[place].id,
            flags: flags(eventNs: quote.eventNs),
            eventNs: quote.eventNs,
            receivedNs: arrival.receivedNs,
            venueSequence: quote.sequence,
            payload: .quote(top)
        )
        sink.receive(event, levels: Span())
    }

    mutating func handle(
        _ candle: VenueCandle,
        _ arrival: Arrival,
        _ instruments: inout InstrumentTable,
        _ sink: inout some MarketEventSink
    ) throws(FrameFault) {
        let scales = Scales(
            price: max(needed(candle.open), needed(candle.high), needed(candle.low), needed(candle.close)),
            quantity: needed(candle.volume)
        )
        let place: Int
        if let known = self.place(of: candle.symbol, arrival), isFitting(scales, known) {
            place = known
        } else {
            let prices = [candle.open, candle.high, candle.low, candle.close]
            let numbers = Numbers(prices: prices, quantities: [candle.volume], scales: scales)
            place = try settle(candle.symbol, numbers, candle.eventNs, arrival, &instruments, &sink)
        }
        let normalized = Candle(
            interval: candle.interval,
            openNs: candle.openNs,
            open: try price(candle.open, place),
            high: try price(candle.high, place),
            low: try price(candle.low, place),
            close: try price(candle.close, place),
            volume: try quantity(candle.volume, place),
            tradeCount: UInt32(clamping: candle.tradeCount),
            isClosed: candle.isClosed
        )
        counters.candles += 1
        let event = MarketEvent(
            instrument: followed[place].id,
            flags: flags(eventNs: candle.eventNs),
            eventNs: candle.eventNs,
            receivedNs: arrival.receivedNs,
            payload: .candle(normalized)
        )
        sink.receive(event, levels: Span())
    }

    func flags(eventNs: Int64) -> EventFlags { eventNs == 0 ? [.last, .eventTimeMissing] : .last }

    // MARK: Units

    private func price(_ number: VenueNumber, _ place: Int) throws(FrameFault) -> Price {
        guard let ticks = number.units(atScale: followed[place].priceScale) else { throw .outOfRange }
        return Price(ticks: ticks)
    }

    private func quantity(_ number: VenueNumber, _ place: Int) throws(FrameFault) -> Quantity {
        guard let lots = number.units(atScale: followed[place].quantityScale), lots >= 0 else { throw .outOfRange }
        return Quantity(lots: lots)
    }

    /// The numbers of a message and the decimals that they need.
    private struct Numbers {
        var prices: [VenueNumber]
        var quantities: [VenueNumber]
        var scales: Scales

        func fit(_ units: Scales) -> Bool {
            prices.allSatisfy { $0.units(atScale: units.price) != nil }
                && quantities.allSatisfy { $0.units(atScale: units.quantity) != nil }
        }
    }

    /// The place of a message's instrument, which is followed and has the units for its numbers from now on.
    ///
    /// Whatever is refused is refused before anything changes.
    private mutating func settle(
        _ symbol: FrameValue,
        _ numbers: Numbers,
        _ eventNs: Int64,
        _ arrival: Arrival,
        _ instruments: inout InstrumentTable,
        _ sink: inout some MarketEventSink
    ) throws(FrameFault) -> Int {
        let units = try units(of: symbol, fitting: numbers.scales, arrival, instruments)
        guard numbers.fit(units) else { throw .outOfRange }
        let place = try follow(symbol, scales: numbers.scales, arrival, &instruments, &sink)
        try fit(numbers.scales, place, eventNs, arrival, &instruments, &sink)
        return place
    }

    /// The units that an instrument will have after a message that needs `scales`; changes nothing.
    func units(
        of symbol: FrameValue,
        fitting scales: Scales,
        _ arrival: Arrival,
        _ instruments: InstrumentTable
    ) throws(FrameFault) -> Scales {
        var old = Scales()
        if let place = place(of: symbol, arrival) {
            old = Scales(price: followed[place].priceScale, quantity: followed[place].quantityScale)
        } else if let id = instruments.id(
            venue: dialect.venue,
            rawSymbol: arrival.rawSymbol ?? symbol.string(in: arrival.text)
        ) {
            old = Scales(price: instruments[id].priceScale, quantity: instruments[id].quantityScale)
        }
        return try old.widened(to: scales, most: limits.scaleMost)
    }

    /// Makes sure that all trades, quotes, candles and books of a frame can be taken: it is refused as a whole or not at all.
    func checkAll(
        _ frame: borrowing VenueFrame,
        _ arrival: Arrival,
        _ instruments: InstrumentTable
    ) throws(FrameFault) {
        // The units that each instrument of the frame will have.
        var all: [(symbol: FrameValue, place: Int?, units: Scales)] = []
        for message in frame.messages {
            let (symbol, numbers): (FrameValue, Numbers)
            switch message {
            case .trade(let trade):
                guard TradeID(trade.id.bytes(in: arrival.text)) != nil else { throw .wrong(field: "trade_id") }
                let scales = Scales(price: needed(trade.price), quantity: needed(trade.quantity))
                symbol = trade.symbol
                numbers = Numbers(prices: [trade.price], quantities: [trade.quantity], scales: scales)
            case .quote(let quote):
                let sizes = quote.sizes.map { [$0.bid, $0.ask] } ?? []
                let scales = Scales(
                    price: max(needed(quote.bid), needed(quote.ask)),
                    quantity: sizes.map(needed).max() ?? 0
                )
                symbol = quote.symbol
                numbers = Numbers(prices: [quote.bid, quote.ask], quantities: sizes, scales: scales)
            case .candle(let candle):
                let prices = [candle.open, candle.high, candle.low, candle.close]
                let scales = Scales(price: prices.map(needed).max() ?? 0, quantity: needed(candle.volume))
                symbol = candle.symbol
                numbers = Numbers(prices: prices, quantities: [candle.volume], scales: scales)
            case .book(let book):
                guard let levels = try checked(book, frame, arrival) else { continue }
                symbol = book.symbol
                numbers = Numbers(
                    prices: levels.map(\.price).filter { $0 != .absent },
                    quantities: levels.map(\.quantity).filter { $0 != .absent },
                    scales: scales(of: levels.span)
                )
            default:
                continue
            }
            let name = symbol.bytes(in: arrival.text)
            let index: Int
            if let known = all.lastIndex(where: { $0.symbol.bytes(in: arrival.text).elementsEqual(name) }) {
                index = known
                all[index].units = try all[index].units.widened(to: numbers.scales, most: limits.scaleMost)
            } else {
                index = all.count
                let units = try units(of: symbol, fitting: numbers.scales, arrival, instruments)
                all.append((symbol, self.place(of: symbol, arrival), units))
            }
            guard numbers.fit(all[index].units) else { throw .outOfRange }
        }
        for (_, place, units) in all {
            guard let place, !isFitting(units, place) else { continue }
            var book = followed[place].book
            guard rescale(&book, of: place, to: units) else { throw .outOfRange }
        }
    }

    func rescale(_ book: inout OrderBook, of place: Int, to units: Scales) -> Bool {
        book.rescale(
            priceFactor: powerOfTen(units.price - followed[place].priceScale),
            quantityFactor: powerOfTen(units.quantity - followed[place].quantityScale),
            // A factor to spare: the next price may be higher.
            headroom: 1_000
        )
    }

    func isFitting(_ scales: Scales, _ place: Int) -> Bool {
        scales.price <= followed[place].priceScale && scales.quantity <= followed[place].quantityScale
    }

    /// Gives an instrument finer units when a number needs them, and tells so with a status and the book in the new units.
    mutating func fit(
        _ scales: Scales,
        _ place: Int,
        _ eventNs: Int64,
        _ arrival: Arrival,
        _ instruments: inout InstrumentTable,
        _ sink: inout some MarketEventSink
    ) throws(FrameFault) {
        guard !isFitting(scales, place) else { return }
        let old = followed[place]
        let units = try Scales(price: old.priceScale, quantity: old.quantityScale)
            .widened(to: scales, most: limits.scaleMost)
        var book = old.book
        guard rescale(&book, of: place, to: units) else { throw .outOfRange }
        followed[place].book = book
        followed[place].priceScale = units.price
        followed[place].quantityScale = units.quantity
        instruments.rescale(old.id, priceScale: units.price, quantityScale: units.quantity)
        sink.learn(instruments[old.id])
        sendStatus(MarketStatus(followed[place].status.state, .unitsChanged), place, atNs: arrival.receivedNs, &sink)
        guard old.state == .live else { return }
        sendSnapshot(
            place,
            flags(eventNs: eventNs),
            eventNs: eventNs,
            receivedNs: arrival.receivedNs,
            sequence: followed[place].lastID,
            &sink
        )
    }
}
