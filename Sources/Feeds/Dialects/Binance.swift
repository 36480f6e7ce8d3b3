import Market

/// Binance spot, USD-M and COIN-M futures: combined streams `{"stream":"x@y","data":{...}}`, or the bare data.
///
/// They differ in addresses and names, and spot in how the numbers of depth updates hang together.
public struct BinanceDialect: VenueDialect {
    public enum MarketKind: Sendable {
        case spot
        /// USD-M: margined and priced in dollars' likes, dated contracts among them.
        case perpetual
        /// COIN-M: priced in dollars, margined and paid in the coin; quantities are contracts of so many dollars.
        case coinMargined
    }

    public let venue: String
    public let rules: VenueRules
    let market: MarketKind

    public init(market: MarketKind) {
        self.market = market
        let isSpot = market == .spot
        venue =
            switch market {
            case .spot: "binance"
            case .perpetual: "binance-usdm"
            case .coinMargined: "binance-coinm"
            }
        var rules = VenueRules(
            book: isSpot ? .requestedThenContiguous : .requestedThenChained,
            silenceMostNs: 30_000_000_000
        )
        // A request for 1,000 levels weighs 50 of 6,000 a minute (spot) or 20 of 2,400 (futures).
        rules.snapshotEveryNs = 600_000_000
        // At most 5 messages a second (spot) or 10 (futures), pongs among them.
        rules.sendEveryNs = 350_000_000
        rules.connectionLifeNs = 86_000_000_000_000
        // The numbers of updates are the instrument's, also in the answer to a request.
        rules.numbersAreShared = true
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
            if market != .spot { book.previousID = try scanner.unsigned(in: fields.previousID, named: "pu") }
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
                    openNs: try outer.millisecondsNs(in: t),
                    open: try outer.number(in: o, named: "o"),
                    high: try outer.number(in: h, named: "h"),
                    low: try outer.number(in: l, named: "l"),
                    close: try outer.number(in: c, named: "c"),
                    volume: try outer.quantity(in: v, named: "v"),
                    interval: interval,
                    isClosed: x.isWord("true", in: text),
                    tradeCount: try outer.unsigned(in: n, named: "n"),
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
        case .coinMargined: "https://dapi.binance.com/dapi/v1/depth?symbol=\(name)&limit=1000"
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

    /// Bytes of streams in the address; further ones are subscribed to by frames.
    ///
    /// Servers bound a request line; libwebsockets, with which we play venues, at 2,048 bytes.
    static let addressBytesMost = 1_500
    /// Streams in one frame.
    static let streamsMost = 50

    public func url(for subscription: VenueSubscription) -> String {
        let base =
            switch market {
            case .spot: "wss://stream.binance.com:9443"
            case .perpetual: "wss://fstream.binance.com"
            case .coinMargined: "wss://dstream.binance.com"
            }
        let streams = streams(for: subscription)
        return base + "/stream?streams=" + streams[..<countInAddress(streams)].joined(separator: "/")
    }

    private func streams(for subscription: VenueSubscription) -> [String] {
        let suffixes = subscription.channels.map(suffix) + subscription.ownChannels.map { "@" + $0 }
        return suffixes.flatMap { suffix in subscription.rawSymbols.map { $0.lowercased() + suffix } }
    }

    /// How many of the streams stand in the address: one at least, because the venue wants that.
    private func countInAddress(_ streams: [String]) -> Int {
        var (count, bytes) = (0, 0)
        for stream in streams {
            bytes += stream.utf8.count + 1
            guard count == 0 || bytes <= Self.addressBytesMost else { break }
            count += 1
        }
        return count
    }

    private func suffix(_ channel: VenueChannel) -> String {
        switch channel {
        case .book: "@depth@100ms"
        case .quotes: "@bookTicker"
        case .trades: market == .spot ? "@trade" : "@aggTrade"
        case .candles: "@kline_1m"
        }
    }

    public func subscribeFrames(for subscription: VenueSubscription) -> [String] {
        let streams = streams(for: subscription)
        return stride(from: countInAddress(streams), to: streams.count, by: Self.streamsMost).map { first in
            let names = quotedList(Array(streams[first..<min(first + Self.streamsMost, streams.count)]))
            return "{\"method\":\"SUBSCRIBE\",\"params\":\(names),\"id\":\(first)}"
        }
    }
}
