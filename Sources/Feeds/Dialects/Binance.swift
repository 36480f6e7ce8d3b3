public import Market

/// Binance spot and USD-M futures: combined streams `{"stream":"x@y","data":{...}}`, or the bare data.
///
/// The two differ in addresses, in names, and in how the numbers of depth updates hang together.
public struct BinanceDialect: VenueDialect {
    public enum MarketKind: Sendable {
        case spot
        case perpetual
    }

    public let venue: String
    public let rules: VenueRules
    private let market: MarketKind

    public init(market: MarketKind) {
        self.market = market
        let isSpot = market == .spot
        venue = isSpot ? "binance" : "binance-usdm"
        var rules = VenueRules(
            book: isSpot ? .requestedThenContiguous : .requestedThenChained,
            silenceMostNs: 30_000_000_000
        )
        // A request for 1,000 levels weighs 50 of 6,000 a minute (spot) or 20 of 2,400 (futures).
        rules.snapshotEveryNs = 600_000_000
        rules.connectionLifeNs = 86_000_000_000_000
        self.rules = rules
    }

    /// The values of a frame by the venue's one-letter keys.
    private struct Fields {
        var (e, eventTime, time, s, firstID, lastID, previousID) = (none, none, none, none, none, none, none)
        var (b, bidSize, a, askSize, t, p, q, m, x, k) = (none, none, none, none, none, none, none, none, none, none)
        var (stream, error, result) = (none, none, none)
        var (hasBids, hasAsks) = (false, false)
        private static let none = FrameValue.none
    }

    public func parse(_ text: UnsafeRawBufferPointer, into frame: inout VenueFrame) throws(FrameFault) {
        var scanner = JSONScanner(text)
        var fields = Fields()
        let firstLevel = frame.levels.count
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            if key.equals("stream", in: text) {
                fields.stream = try scanner.value()
            } else if key.equals("data", in: text), scanner.isAtObject {
                var isMoreData = try scanner.beginObject()
                while isMoreData {
                    let key = try scanner.key()
                    try read(key, &fields, &scanner, &frame.levels)
                    isMoreData = try scanner.nextMember()
                }
            } else if key.equals("error", in: text) || key.equals("msg", in: text) {
                fields.error = try scanner.value()
            } else if key.equals("result", in: text) {
                fields.result = try scanner.value()
            } else {
                try read(key, &fields, &scanner, &frame.levels)
            }
            isMore = try scanner.nextMember()
        }
        try scanner.finish()
        try add(fields, firstLevel..<frame.levels.count, scanner, &frame)
    }

    @inline(__always)
    private func read(
        _ key: FrameValue,
        _ fields: inout Fields,
        _ scanner: inout JSONScanner,
        _ levels: inout [VenueLevel]
    ) throws(FrameFault) {
        guard key.end - key.start == 3 else {
            if key.equals("pu", in: scanner.text) {
                fields.previousID = try scanner.value()
            } else {
                try scanner.skip()
            }
            return
        }
        switch scanner.text[key.start + 1] {
        case UInt8(ascii: "b") where scanner.isAtArray:
            fields.hasBids = true
            try scanner.levels(.bid, into: &levels)
        case UInt8(ascii: "a") where scanner.isAtArray:
            fields.hasAsks = true
            try scanner.levels(.ask, into: &levels)
        case UInt8(ascii: "b"): fields.b = try scanner.value()
        case UInt8(ascii: "a"): fields.a = try scanner.value()
        case UInt8(ascii: "e"): fields.e = try scanner.value()
        case UInt8(ascii: "E"): fields.eventTime = try scanner.value()
        case UInt8(ascii: "T"): fields.time = try scanner.value()
        case UInt8(ascii: "s"): fields.s = try scanner.value()
        case UInt8(ascii: "U"): fields.firstID = try scanner.value()
        case UInt8(ascii: "u"): fields.lastID = try scanner.value()
        case UInt8(ascii: "B"): fields.bidSize = try scanner.value()
        case UInt8(ascii: "A"): fields.askSize = try scanner.value()
        case UInt8(ascii: "t"): fields.t = try scanner.value()
        case UInt8(ascii: "p"): fields.p = try scanner.value()
        case UInt8(ascii: "q"): fields.q = try scanner.value()
        case UInt8(ascii: "m"): fields.m = try scanner.value()
        case UInt8(ascii: "X"): fields.x = try scanner.value()
        case UInt8(ascii: "k"): fields.k = try scanner.value()
        default: try scanner.skip()
        }
    }

    private func add(
        _ fields: Fields,
        _ levels: Range<Int>,
        _ scanner: JSONScanner,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        let (text, type) = (scanner.text, fields.e)
        if type.equals("depthUpdate", in: text) {
            guard fields.s.isString(in: text) else { throw .missing(field: "s") }
            guard fields.hasBids, fields.hasAsks else { throw .missing(field: "levels") }
            var book = VenueBook(symbol: fields.s, isSnapshot: false, levels: levels)
            book.firstID = try scanner.unsigned(in: fields.firstID, named: "U")
            book.lastID = try scanner.unsigned(in: fields.lastID, named: "u")
            guard book.firstID <= book.lastID, book.lastID < .max else { throw .wrong(field: "u") }
            if market == .perpetual { book.previousID = try scanner.unsigned(in: fields.previousID, named: "pu") }
            book.eventNs = try scanner.millisecondsNs(in: fields.eventTime)
            frame.messages.append(.book(book))
        } else if type.equals("trade", in: text) {
            try addTrade(fields, id: fields.t, scanner, &frame)
        } else if type.equals("aggTrade", in: text) {
            try addTrade(fields, id: fields.a, scanner, &frame)
        } else if type.equals("bookTicker", in: text) || (!type.isPresent && fields.bidSize.isPresent) {
            try addQuote(fields, scanner, &frame)
        } else if type.equals("kline", in: text) {
            try addCandle(fields, scanner, &frame)
        } else if fields.error.isPresent {
            frame.messages.append(.refusal(fields.error))
        } else if fields.result.isPresent, !type.isPresent {
            frame.messages.append(.other)
        } else {
            throw type.isPresent ? .unknownMessage : .missing(field: "e")
        }
    }

    private func addTrade(
        _ fields: Fields,
        id: FrameValue,
        _ scanner: JSONScanner,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        let text = scanner.text
        guard fields.s.isString(in: text) else { throw .missing(field: "s") }
        // Payments of the insurance fund and the like are no trades of the market.
        guard !fields.x.isPresent || fields.x.equals("MARKET", in: text) else {
            frame.messages.append(.other)
            return
        }
        let isBuyerMaker = fields.m.isWord("true", in: text)
        guard isBuyerMaker || fields.m.isWord("false", in: text) else { throw .wrong(field: "m") }
        frame.messages.append(
            .trade(
                VenueTrade(
                    symbol: fields.s,
                    price: try scanner.number(in: fields.p, named: "p"),
                    quantity: try scanner.quantity(in: fields.q, named: "q"),
                    aggressor: isBuyerMaker ? .seller : .buyer,
                    id: id,
                    eventNs: try scanner.millisecondsNs(in: fields.time),
                    sequence: 0,
                    isHistoric: false
                )
            )
        )
    }

    private func addQuote(
        _ fields: Fields,
        _ scanner: JSONScanner,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        guard fields.s.isString(in: scanner.text) else { throw .missing(field: "s") }
        frame.messages.append(
            .quote(
                VenueQuote(
                    symbol: fields.s,
                    bid: try scanner.number(in: fields.b, named: "b"),
                    ask: try scanner.number(in: fields.a, named: "a"),
                    sizes: VenueQuote.Sizes(
                        bid: try scanner.quantity(in: fields.bidSize, named: "B"),
                        ask: try scanner.quantity(in: fields.askSize, named: "A")
                    ),
                    eventNs: try scanner.millisecondsNs(in: fields.eventTime),
                    sequence: try scanner.unsigned(in: fields.lastID, named: "u")
                )
            )
        )
    }

    private func addCandle(
        _ fields: Fields,
        _ outer: JSONScanner,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        let text = outer.text
        guard fields.s.isString(in: text) else { throw .missing(field: "s") }
        guard fields.k.isPresent else { throw .missing(field: "k") }
        var scanner = JSONScanner(text, at: fields.k)
        let none = FrameValue.none
        var (t, i, o, h, l, c, v, n, x) = (none, none, none, none, none, none, none, none, none)
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            let value = try scanner.value()
            switch key.bytes(in: text).count == 1 ? text[key.start + 1] : 0 {
            case UInt8(ascii: "t"): t = value
            case UInt8(ascii: "i"): i = value
            case UInt8(ascii: "o"): o = value
            case UInt8(ascii: "h"): h = value
            case UInt8(ascii: "l"): l = value
            case UInt8(ascii: "c"): c = value
            case UInt8(ascii: "v"): v = value
            case UInt8(ascii: "n"): n = value
            case UInt8(ascii: "x"): x = value
            default: break
            }
            isMore = try scanner.nextMember()
        }
        guard let interval = CandleInterval(name: i.string(in: text)) else {
            frame.messages.append(.other)
            return
        }
        guard t.isPresent else { throw .missing(field: "t") }
        guard x.isWord("true", in: text) || x.isWord("false", in: text) else { throw .wrong(field: "x") }
        frame.messages.append(
            .candle(
                VenueCandle(
                    symbol: fields.s,
                    interval: interval,
                    openNs: try outer.millisecondsNs(in: t),
                    open: try outer.number(in: o, named: "o"),
                    high: try outer.number(in: h, named: "h"),
                    low: try outer.number(in: l, named: "l"),
                    close: try outer.number(in: c, named: "c"),
                    volume: try outer.quantity(in: v, named: "v"),
                    tradeCount: try outer.unsigned(in: n, named: "n"),
                    isClosed: x.isWord("true", in: text),
                    eventNs: try outer.millisecondsNs(in: fields.eventTime)
                )
            )
        )
    }

    // MARK: Snapshots

    public func snapshotURL(rawSymbol: String) -> String? {
        let name = percentEncoded(rawSymbol)
        return switch market {
        case .spot: "https://api.binance.com/api/v3/depth?symbol=\(name)&limit=1000"
        case .perpetual: "https://fapi.binance.com/fapi/v1/depth?symbol=\(name)&limit=1000"
        }
    }

    public func parseSnapshot(_ body: UnsafeRawBufferPointer, into frame: inout VenueFrame) throws(FrameFault) {
        var scanner = JSONScanner(body)
        var (lastID, time) = (FrameValue.none, FrameValue.none)
        var (hasBids, hasAsks) = (false, false)
        let firstLevel = frame.levels.count
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            if key.equals("bids", in: body) {
                hasBids = true
                try scanner.levels(.bid, into: &frame.levels)
            } else if key.equals("asks", in: body) {
                hasAsks = true
                try scanner.levels(.ask, into: &frame.levels)
            } else if key.equals("lastUpdateId", in: body) {
                lastID = try scanner.value()
            } else if key.equals("E", in: body) {
                time = try scanner.value()
            } else {
                try scanner.skip()
            }
            isMore = try scanner.nextMember()
        }
        try scanner.finish()
        guard hasBids, hasAsks else { throw .missing(field: "levels") }
        var book = VenueBook(symbol: .none, isSnapshot: true, levels: firstLevel..<frame.levels.count)
        book.lastID = try scanner.unsigned(in: lastID, named: "lastUpdateId")
        guard book.lastID < .max else { throw .wrong(field: "lastUpdateId") }
        book.eventNs = try scanner.millisecondsNs(in: time)
        frame.messages.append(.book(book))
    }

    // MARK: What we send

    public func url(for subscription: VenueSubscription) -> String {
        let suffixes = subscription.channels.map(suffix) + subscription.ownChannels.map { "@" + $0 }
        let streams = suffixes.flatMap { suffix in subscription.rawSymbols.map { $0.lowercased() + suffix } }
        let base = market == .spot ? "wss://stream.binance.com:9443" : "wss://fstream.binance.com"
        return base + "/stream?streams=" + streams.joined(separator: "/")
    }

    private func suffix(_ channel: VenueChannel) -> String {
        switch channel {
        case .book: "@depth@100ms"
        case .quotes: "@bookTicker"
        case .trades: market == .spot ? "@trade" : "@aggTrade"
        case .candles: "@kline_1m"
        }
    }

    public func subscribeFrames(for subscription: VenueSubscription) -> [String] { [] }

    // MARK: Names

    /// Quote currencies, longer ones first where one ends with another.
    private static let quotes = [
        "FDUSD", "USDT", "USDC", "TUSD", "BUSD", "USDP", "BIDR", "IDRT", "BVND", "DAI", "PAX", "USDS", "USD1", "BKRW",
        "USD", "EUR", "GBP", "TRY", "BRL", "AUD", "RUB", "UAH", "NGN", "ZAR", "PLN", "RON", "ARS", "CZK", "JPY", "MXN",
        "COP", "IDR", "BTC", "ETH", "BNB", "XRP", "TRX", "DOGE", "DOT", "SOL", "VAI",
    ]

    public func symbol(ofRaw rawSymbol: String) -> VenueSymbol {
        let parts = rawSymbol.split(separator: "_", maxSplits: 1)
        guard let name = parts.first else { return VenueSymbol(rawSymbol) }
        let quote = Self.quotes.first { name.hasSuffix($0) && name.count > $0.count }
        let pair = quote.map { name.dropLast($0.count) + "-" + $0 } ?? String(name)
        guard market == .perpetual else { return VenueSymbol(String(pair)) }
        guard parts.count > 1 else { return VenueSymbol(pair + "-PERP", .perpetual) }
        // A delivery date as YYMMDD.
        return VenueSymbol(pair + "-20" + parts[1], .future)
    }

    public func listing(_ scanner: inout JSONScanner) throws(FrameFault) -> Instrument? {
        let text = scanner.text
        let none = FrameValue.none
        var (id, base, quote, contract, filters) = (none, none, none, none, none)
        var (margin, delivery) = (none, none)
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            let value = try scanner.value()
            if key.equals("symbol", in: text) { id = value }
            if key.equals("baseAsset", in: text) { base = value }
            if key.equals("quoteAsset", in: text) { quote = value }
            if key.equals("contractType", in: text) { contract = value }
            if key.equals("filters", in: text) { filters = value }
            if key.equals("marginAsset", in: text) { margin = value }
            if key.equals("deliveryDate", in: text) { delivery = value }
            isMore = try scanner.nextMember()
        }
        guard id.isString(in: text), base.isString(in: text), quote.isString(in: text), filters.isPresent,
            let steps = try steps(in: filters, text)
        else { return nil }
        let rawSymbol = id.string(in: text)
        let pair = base.string(in: text) + "-" + quote.string(in: text)
        let symbol: VenueSymbol =
            if market == .spot {
                VenueSymbol(pair)
            } else if contract.equals("PERPETUAL", in: text) {
                VenueSymbol(pair + "-PERP", .perpetual)
            } else {
                VenueSymbol(pair + "-20" + (rawSymbol.split(separator: "_").dropFirst().first ?? "0"), .future)
            }
        var instrument = Instrument(
            venue: venue,
            rawSymbol: rawSymbol,
            symbol: symbol,
            tick: steps.tick,
            lot: steps.lot
        )
        instrument.terms.base = base.string(in: text)
        instrument.terms.quote = quote.string(in: text)
        instrument.terms.settle = margin.isString(in: text) ? margin.string(in: text) : instrument.terms.quote
        // A perpetual contract's date is far in the future and means nothing.
        if symbol.kind == .future { instrument.terms.expiryNs = try scanner.millisecondsNs(in: delivery) }
        return instrument
    }

    /// `tickSize` and `stepSize` of an entry's filters.
    private func steps(
        in filters: FrameValue,
        _ text: UnsafeRawBufferPointer
    ) throws(FrameFault) -> (tick: VenueNumber, lot: VenueNumber)? {
        var scanner = JSONScanner(text, at: filters)
        var (tick, lot): (VenueNumber?, VenueNumber?)
        var isMore = try scanner.beginArray()
        while isMore {
            var (type, tickSize, stepSize) = (FrameValue.none, FrameValue.none, FrameValue.none)
            var isMoreFields = try scanner.beginObject()
            while isMoreFields {
                let key = try scanner.key()
                let value = try scanner.value()
                if key.equals("filterType", in: text) { type = value }
                if key.equals("tickSize", in: text) { tickSize = value }
                if key.equals("stepSize", in: text) { stepSize = value }
                isMoreFields = try scanner.nextMember()
            }
            if type.equals("PRICE_FILTER", in: text) { tick = try scanner.number(in: tickSize, named: "tickSize") }
            if type.equals("LOT_SIZE", in: text) { lot = try scanner.number(in: stepSize, named: "stepSize") }
            isMore = try scanner.nextElement()
        }
        guard let tick, let lot else { return nil }
        return (tick, lot)
    }
}
