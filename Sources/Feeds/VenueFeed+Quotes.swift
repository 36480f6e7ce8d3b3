import Market

/// Trades, quotes and candles: what has no life of its own.
extension VenueFeed {
    /// Decimals of prices and of quantities.
    struct Scales {
        var price: UInt8 = 0
        var quantity: UInt8 = 0
    }

    private func needed(_ number: VenueNumber) -> UInt8 {
        switch rules.decimals {
        case .significant: number.scale
        case .written: max(number.scale, min(number.written, limits.scaleMost))
        }
    }

    mutating func handle(
        _ trade: VenueTrade,
        _ arrival: Arrival,
        _ instruments: inout InstrumentTable,
        _ sink: inout some MarketEventSink
    ) throws(FrameFault) {
        guard let id = TradeID(trade.id.bytes(in: arrival.text)) else { throw .wrong(field: "trade_id") }
        let scales = Scales(price: needed(trade.price), quantity: needed(trade.quantity))
        let place = try follow(trade.symbol, scales: scales, arrival, &instruments, &sink)
        try fit(scales, place, trade.eventNs, arrival, &instruments, &sink)
        let price = try price(trade.price, place)
        let quantity = try quantity(trade.quantity, place)
        guard !followed[place].isRepeated(id) else {
            counters.repeatedTrades += 1
            return
        }
        counters.trades += 1
        let event = MarketEvent(
            instrument: followed[place].id,
            flags: flags(eventNs: trade.eventNs).union(trade.isHistoric ? .historic : []),
            eventNs: trade.eventNs,
            receivedNs: arrival.receivedNs,
            venueSequence: trade.sequence,
            payload: .trade(Trade(price: price, quantity: quantity, aggressor: trade.aggressor, id: id))
        )
        sink.receive(event, levels: Span())
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
        let place = try follow(quote.symbol, scales: scales, arrival, &instruments, &sink)
        try fit(scales, place, quote.eventNs, arrival, &instruments, &sink)
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
        let place = try follow(candle.symbol, scales: scales, arrival, &instruments, &sink)
        try fit(scales, place, candle.eventNs, arrival, &instruments, &sink)
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
        let price = max(old.priceScale, scales.price)
        let quantity = max(old.quantityScale, scales.quantity)
        guard price <= max(limits.scaleMost, old.priceScale), quantity <= max(limits.scaleMost, old.quantityScale),
            // A factor to spare: the next price may be higher.
            followed[place].book.rescale(
                priceFactor: powerOfTen(price - old.priceScale),
                quantityFactor: powerOfTen(quantity - old.quantityScale),
                headroom: 1_000
            )
        else { throw .outOfRange }
        followed[place].priceScale = price
        followed[place].quantityScale = quantity
        instruments.rescale(old.id, priceScale: price, quantityScale: quantity)
        sink.learn(instruments[old.id])
        sendStatus(MarketStatus(followed[place].status.state, .unitsChanged), place, atNs: arrival.receivedNs, &sink)
        guard old.state == .live else { return }
        sendSnapshot(place, flags(eventNs: eventNs), eventNs: eventNs, receivedNs: arrival.receivedNs, &sink)
    }
}
