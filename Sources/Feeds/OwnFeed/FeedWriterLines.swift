import Market

/// The JSON form, a message a line.
extension FeedWriter {
    /// What lines call an instrument: its name and venue where that is short enough, its number otherwise.
    static func key(of instrument: Instrument) -> String {
        let name = instrument.symbol + ":" + instrument.venue
        let isFine = name.utf8.count <= LineFeed.symbolBytesMost && name.utf8.allSatisfy(LineFeedSyntax.isNameByte)
        return isFine ? name : String(number(of: instrument.id))
    }

    mutating func writeLine(
        _ event: MarketEvent,
        _ levels: Span<LevelChange>,
        _ range: Range<Int>,
        isFirst: Bool,
        _ instrument: Instrument
    ) {
        switch event.payload {
        case .trade: beginLine("trade")
        case .quote: beginLine("quote")
        case .status: beginLine("status")
        case .bookSnapshot: beginLine(isFirst ? "snapshot" : "delta")
        case .bookDelta, .ticker, .candle, .order: beginLine("delta")
        }
        text(",\"symbol\":", Self.key(of: instrument))
        if event.eventNs > 0 { number(",\"time_ns\":", UInt64(event.eventNs)) }
        let flags = Self.flags(of: event)
        if flags != 0 { number(",\"flags\":", flags) }
        if event.venueSequence != 0 { number(",\"venue_seq\":", event.venueSequence) }
        switch event.payload {
        case .trade(let trade):
            amount(",\"price\":", ",\"quantity\":", Level(price: trade.price, quantity: trade.quantity), instrument)
            if trade.aggressor != .unknown { text(",\"side\":", trade.aggressor == .buyer ? "buy" : "sell") }
            if !trade.id.isEmpty { text(",\"id\":", trade.id.text) }
        case .quote(let quote):
            // A line names one side at least: of two empty ones it says that a price has no quantity.
            let isEmpty = quote.bid.quantity.isZero && quote.ask.quantity.isZero
            let none = Level(price: Price(ticks: 1), quantity: .zero)
            if isEmpty || !quote.bid.quantity.isZero {
                amount(",\"bid\":", ",\"bid_quantity\":", isEmpty ? none : quote.bid, instrument)
            }
            if !quote.ask.quantity.isZero { amount(",\"ask\":", ",\"ask_quantity\":", quote.ask, instrument) }
        case .status(let status):
            text(",\"state\":", status.state.name)
            text(",\"reason\":", status.reason.name)
        case .bookSnapshot, .bookDelta, .ticker, .candle, .order:
            side(",\"bids\":[", .bid, levels, range, instrument)
            side(",\"asks\":[", .ask, levels, range, instrument)
        }
        endLine()
    }

    private mutating func side(
        _ key: StaticString,
        _ side: Side,
        _ levels: Span<LevelChange>,
        _ range: Range<Int>,
        _ instrument: Instrument
    ) {
        raw(key)
        var isFirst = true
        for index in range where levels[index].side == side {
            raw(isFirst ? "[" : ",[")
            isFirst = false
            decimal(levels[index].price.ticks, instrument.priceScale)
            raw(",")
            decimal(levels[index].quantity.lots, instrument.quantityScale)
            raw("]")
        }
        raw("]")
    }

    private mutating func amount(
        _ priceKey: StaticString,
        _ quantityKey: StaticString,
        _ level: Level,
        _ instrument: Instrument
    ) {
        raw(priceKey)
        decimal(level.price.ticks, instrument.priceScale)
        raw(quantityKey)
        decimal(level.quantity.lots, instrument.quantityScale)
    }

    mutating func beginLine(_ type: StaticString) {
        raw("{\"type\":\"")
        raw(type)
        raw("\"")
        guard isCounting else { return }
        sequence += 1
        number(",\"seq\":", sequence)
    }

    mutating func endLine() { raw("}\n") }

    private mutating func raw(_ text: StaticString) {
        finished.append(contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    mutating func text(_ key: StaticString, _ value: String) {
        raw(key)
        finished.append(contentsOf: quoted(value).utf8)
    }

    mutating func number(_ key: StaticString, _ value: UInt64) {
        raw(key)
        finished.append(contentsOf: String(value).utf8)
    }

    /// As text in quotation marks, with all decimals of the units: many readers of JSON take numbers for floating point.
    private mutating func decimal(_ units: Int64, _ scale: UInt8) {
        raw("\"")
        finished.append(contentsOf: Decimal(digits: units, scale: scale).paddedText.utf8)
        raw("\"")
    }
}
