public import Market

/// What a topic of Bybit is about: `orderbook.50.BTCUSDT`, `orderBookL2_25.BTCUSD`, `kline.1.BTCUSDT`, `trade.BTCUSD`.
struct BybitTopic {
    enum Kind {
        case book
        case trades
        case ticker
        case candles
        /// Documented, and of no use to the hub.
        case other
    }

    /// Nil for what the venue does not document.
    let kind: Kind?
    /// The instrument, without quotes.
    let symbol: FrameValue
    /// The levels of a book; nil where the topic tells none.
    private(set) var depth: Int?
    /// Nil for one that the hub does not keep.
    private(set) var interval: CandleInterval?

    init(_ topic: FrameValue, _ text: UnsafeRawBufferPointer) {
        let bytes = topic.bytes(in: text)
        guard topic.isString(in: text), let dot = bytes.firstIndex(of: UInt8(ascii: ".")),
            let lastDot = bytes.lastIndex(of: UInt8(ascii: ".")), lastDot + 1 < bytes.count
        else {
            (kind, symbol) = (nil, .none)
            return
        }
        symbol = FrameValue(start: topic.start + 1 + lastDot + 1, end: topic.end - 1)
        let name = FrameValue(start: topic.start + 1, end: topic.start + 1 + dot)
        if name.isWord("orderbook", in: text) {
            kind = .book
            depth = Self.number(bytes[min(dot + 1, lastDot)..<lastDot])
        } else if name.isWord("orderBookL2_25", in: text) {
            (kind, depth) = (.book, 25)
        } else if name.isWord("orderBook_200", in: text) {
            (kind, depth) = (.book, 200)
        } else if name.isWord("publicTrade", in: text) || name.isWord("trade", in: text) {
            kind = .trades
        } else if name.isWord("tickers", in: text) {
            kind = .ticker
        } else if name.isWord("kline", in: text) {
            kind = .candles
            interval = Self.interval(bytes[min(dot + 1, lastDot)..<lastDot])
        } else {
            kind = Self.others.contains { name.isWord($0, in: text) } ? .other : nil
        }
    }

    private static let others: [StaticString] = [
        "allLiquidation", "liquidation", "insurance", "priceLimit", "kline_lt", "tickers_lt", "adlAlert",
        "instrument_info", "klineV2", "candle",
    ]

    private static func number(_ digits: Slice<UnsafeRawBufferPointer>) -> Int? {
        guard (1...5).contains(digits.count) else { return nil }
        var total = 0
        for byte in digits {
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { return nil }
            total = total * 10 + Int(byte - UInt8(ascii: "0"))
        }
        return total > 0 ? total : nil
    }

    /// Of minutes, or `D`.
    private static func interval(_ name: Slice<UnsafeRawBufferPointer>) -> CandleInterval? {
        if name.elementsEqual([UInt8(ascii: "D")]) { return .day }
        return switch number(name) {
        case 1: .minute
        case 5: .fiveMinutes
        case 15: .fifteenMinutes
        case 60: .hour
        default: nil
        }
    }
}

/// What Bybit's names of instruments tell without a list.
enum BybitName {
    /// Quote currencies of spot pairs, longer ones first where one ends with another.
    private static let quotes = [
        "USDT", "USDC", "USDE", "USDQ", "USDR", "USD1", "BUSD", "RLUSD", "USD", "EUR", "GBP", "BRL", "BRZ", "TRY",
        "PLN",
        "DAI", "MNT", "BTC", "ETH", "SOL", "XRP",
    ]

    /// `BTCUSDT` is `BTC-USDT`.
    static func spot(_ rawSymbol: String) -> VenueSymbol {
        guard let (base, quote) = split(rawSymbol[...], quotes) else { return VenueSymbol(rawSymbol) }
        return VenueSymbol(base + "-" + quote)
    }

    /// `BTCUSDT` and `BTCPERP` are perpetual and paid in USDT and USDC; `BTC-26SEP25` and `BTCUSDT-26SEP25` end on that day.
    static func linear(_ rawSymbol: String) -> VenueSymbol {
        var terms = Instrument.Terms()
        let parts = rawSymbol.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
        if let (base, quote) = split(parts[0], ["USDT", "USDC"]) {
            (terms.base, terms.quote) = (base, quote)
        } else if parts.count == 1 {
            guard rawSymbol.hasSuffix("PERP"), rawSymbol.count > 4 else { return VenueSymbol(rawSymbol, .perpetual) }
            (terms.base, terms.quote) = (String(rawSymbol.dropLast(4)), "USDC")
        } else {
            (terms.base, terms.quote) = (String(parts[0]), "USDC")
        }
        guard parts.count > 1 else { return VenueSymbol(terms, .perpetual) }
        guard !terms.base.isEmpty, let date = date(parts[1]) else { return VenueSymbol(rawSymbol, .future) }
        terms.expiryNs = date.startNs
        return VenueSymbol(terms, .future)
    }

    /// `BTCUSD` is perpetual, `BTCUSDU21` ends on the last Friday of September 2021.
    static func inverse(_ rawSymbol: String) -> VenueSymbol {
        var terms = Instrument.Terms()
        let ending = ending(rawSymbol)
        guard let (base, quote) = split(ending?.name ?? rawSymbol[...], ["USD"]) else {
            return VenueSymbol(rawSymbol, .perpetual)
        }
        (terms.base, terms.quote) = (base, quote)
        terms.expiryNs = ending?.date.startNs ?? 0
        return VenueSymbol(terms, ending == nil ? .perpetual : .future)
    }

    /// The name before a month's letter and two digits of a year, and the day that they mean.
    static func ending(_ rawSymbol: String) -> (name: Substring, date: CalendarDate)? {
        let digits = rawSymbol.suffix(2)
        guard rawSymbol.utf8.count > 3, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let year = Int(digits),
            let month = rawSymbol.dropLast(2).last.flatMap(CalendarDate.month(ofLetter:)),
            let date = CalendarDate.lastFriday(year: 2_000 + year, month: month)
        else { return nil }
        return (rawSymbol.dropLast(3), date)
    }

    private static func split(_ name: Substring, _ quotes: [String]) -> (base: String, quote: String)? {
        guard let quote = quotes.first(where: { name.hasSuffix($0) && name.count > $0.count }) else { return nil }
        return (String(name.dropLast(quote.count)), quote)
    }

    /// `26SEP25` or `5SEP25`.
    private static func date(_ text: Substring) -> CalendarDate? {
        guard (6...7).contains(text.utf8.count), text.utf8.allSatisfy({ $0 < 0x80 }), let day = Int(text.dropLast(5)),
            let year = Int(text.suffix(2)), year >= 0, let month = CalendarDate.month(named: text.dropLast(2).suffix(3))
        else { return nil }
        return CalendarDate(year: 2_000 + year, month: month, day: day)
    }
}

/// Names, and the list that `GET /v5/market/instruments-info` answers.
extension BybitDialect {
    public func symbol(ofRaw rawSymbol: String) -> VenueSymbol {
        switch market {
        case .spot: BybitName.spot(rawSymbol)
        case .linear: BybitName.linear(rawSymbol)
        case .inverse: BybitName.inverse(rawSymbol)
        }
    }

    public func listing(_ scanner: inout JSONScanner) throws(FrameFault) -> Instrument? {
        let (text, none) = (scanner.text, FrameValue.none)
        var (symbol, type, base, quote, settle, delivery) = (none, none, none, none, none, none)
        var (prices, lots) = (none, none)
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            let value = try scanner.value()
            if key.equals("symbol", in: text) { symbol = value }
            if key.equals("contractType", in: text) { type = value }
            if key.equals("baseCoin", in: text) { base = value }
            if key.equals("quoteCoin", in: text) { quote = value }
            if key.equals("settleCoin", in: text) { settle = value }
            if key.equals("deliveryTime", in: text) { delivery = value }
            if key.equals("priceFilter", in: text) { prices = value }
            if key.equals("lotSizeFilter", in: text) { lots = value }
            isMore = try scanner.nextMember()
        }
        guard symbol.isString(in: text), base.isString(in: text), quote.isString(in: text),
            let kind = kind(ofType: type.string(in: text)),
            let tick = try scanner.number("tickSize", inObject: prices),
            let lot = try scanner.number(market == .spot ? "basePrecision" : "qtyStep", inObject: lots)
        else { return nil }
        var terms = Instrument.Terms()
        (terms.base, terms.quote) = (base.string(in: text), quote.string(in: text))
        guard !terms.base.isEmpty, !terms.quote.isEmpty else { return nil }
        terms.settle = settle.isString(in: text) ? settle.string(in: text) : terms.quote
        if market == .inverse {
            terms.isInverse = true
            terms.contractSize = Decimal(digits: 1, scale: 0)
        }
        if kind == .future {
            terms.expiryNs = try scanner.millisecondsNs(in: delivery)
            guard terms.expiryNs > 0 else { return nil }
        }
        let rawSymbol = symbol.string(in: text)
        return Instrument(venue: venue, rawSymbol: rawSymbol, kind: kind, terms: terms, tick: tick, lot: lot)
    }

    private func kind(ofType type: String) -> Instrument.Kind? {
        switch (market, type) {
        case (.spot, ""): .spot
        case (.linear, "LinearPerpetual"), (.inverse, "InversePerpetual"): .perpetual
        case (.linear, "LinearFutures"), (.inverse, "InverseFutures"): .future
        default: nil
        }
    }
}

extension JSONScanner {
    /// A step that a kept object has under a key; nil where there is none, or none above zero.
    func number(_ name: StaticString, inObject object: FrameValue) throws(FrameFault) -> VenueNumber? {
        guard object.isPresent else { return nil }
        var scanner = JSONScanner(text, at: object)
        var found: VenueNumber?
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            let value = try scanner.value()
            if key.equals(name, in: text) { found = try number(in: value, named: "step") }
            isMore = try scanner.nextMember()
        }
        return found.flatMap { $0.digits > 0 ? $0 : nil }
    }
}
