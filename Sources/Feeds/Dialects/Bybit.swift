import Market

/// Bybit v5: `orderbook.DEPTH`, `publicTrade`, `tickers` and `kline` of spot, linear and inverse instruments.
///
/// A book's messages count up by one in `u`; a `u` of 1 is a snapshot, because the venue's service began anew. The topic of
/// depth 1 is told whole each time: it is the best bid and ask, not a book.
public struct BybitDialect: VenueDialect {
    public enum MarketKind: String, Sendable {
        case spot
        case linear
        case inverse
    }

    public let venue: String
    public let rules: VenueRules
    let market: MarketKind
    private let depth: Int

    public init(market: MarketKind, depth: Int = 200) {
        self.market = market
        self.depth = depth
        venue = market == .spot ? "bybit" : "bybit-" + market.rawValue
        // The venue wants a ping every 20 s and answers it.
        var rules = VenueRules(book: .inStreamContiguous, silenceMostNs: 30_000_000_000)
        rules.pingEveryNs = 20_000_000_000
        rules.pingText = "{\"op\":\"ping\"}"
        // The instrument of a candle stands in the topic alone.
        rules.namesAreBare = true
        self.rules = rules
    }

    private struct Fields {
        var (topic, type, time, matchTime, data) = (none, none, none, none, none)
        var (success, message, verb) = (none, none, none)
        var book: Book?
        private static let none = FrameValue.none
    }

    private struct Book {
        var symbol = FrameValue.none
        var number = FrameValue.none
        var hasBids = false
        var hasAsks = false
        var levels: Range<Int>
    }

    public func parse(_ text: UnsafeRawBufferPointer, into frame: inout VenueFrame) throws(FrameFault) {
        var scanner = JSONScanner(text)
        var fields = Fields()
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            switch key.end - key.start - 2 {
            case 2 where key.equals("ts", in: text): fields.time = try scanner.value()
            case 2 where key.equals("op", in: text): fields.verb = try scanner.value()
            case 3 where key.equals("cts", in: text): fields.matchTime = try scanner.value()
            case 4 where key.equals("data", in: text):
                // The topic comes first, so that a book is read at once.
                if scanner.isAtObject, BybitTopic(fields.topic, text).kind == .book {
                    fields.book = try readBook(&scanner, &frame)
                } else {
                    fields.data = try scanner.value()
                }
            case 4 where key.equals("type", in: text): fields.type = try scanner.value()
            case 5 where key.equals("topic", in: text): fields.topic = try scanner.value()
            case 7 where key.equals("success", in: text): fields.success = try scanner.value()
            case 7 where key.equals("ret_msg", in: text): fields.message = try scanner.value()
            default: try scanner.skip()
            }
            isMore = try scanner.nextMember()
        }
        try scanner.finish()
        if fields.topic.isPresent {
            try addData(fields, scanner, &frame)
        } else {
            try addAnswer(fields, text, &frame)
        }
    }

    private func addAnswer(
        _ fields: Fields,
        _ text: UnsafeRawBufferPointer,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        if fields.verb.equals("pong", in: text) || fields.verb.equals("ping", in: text) {
            frame.messages.append(.heartbeat)
        } else if fields.success.isWord("true", in: text) {
            frame.messages.append(.other)
        } else if fields.success.isWord("false", in: text) {
            frame.messages.append(.refusal(fields.message))
        } else {
            throw fields.success.isPresent ? .wrong(field: "success") : .missing(field: "topic")
        }
    }

    private func addData(
        _ fields: Fields,
        _ scanner: JSONScanner,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        let topic = BybitTopic(fields.topic, scanner.text)
        guard fields.data.isPresent || fields.book != nil else { throw .missing(field: "data") }
        switch topic.kind {
        case .book: try addBook(fields, topic, scanner, &frame)
        case .trades:
            var rows = JSONScanner(scanner.text, at: fields.data)
            var isMore = try rows.beginArray()
            if !isMore { frame.messages.append(.other) }
            while isMore {
                try addTrade(&rows, &frame)
                isMore = try rows.nextElement()
            }
        case .ticker: try addTicker(fields, scanner, &frame)
        case .candles:
            var rows = JSONScanner(scanner.text, at: fields.data)
            var isMore = try rows.beginArray()
            if !isMore { frame.messages.append(.other) }
            while isMore {
                try addCandle(&rows, topic, fields.time, &frame)
                isMore = try rows.nextElement()
            }
        case .other: frame.messages.append(.other)
        case nil: throw .unknownMessage
        }
    }

    // MARK: Books

    /// `{"s":"BTCUSDT","b":[["price","size"],...],"a":[...],"u":1,"seq":2}`.
    private func readBook(_ scanner: inout JSONScanner, _ frame: inout VenueFrame) throws(FrameFault) -> Book {
        let text = scanner.text
        let first = frame.levels.count
        var book = Book(levels: first..<first)
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            switch key.end - key.start == 3 ? text[key.start + 1] : 0 {
            case UInt8(ascii: "s"): book.symbol = try scanner.value()
            case UInt8(ascii: "u"): book.number = try scanner.value()
            case UInt8(ascii: "b"):
                book.hasBids = true
                try scanner.levels(.bid, into: &frame.levels)
            case UInt8(ascii: "a"):
                book.hasAsks = true
                try scanner.levels(.ask, into: &frame.levels)
            default: try scanner.skip()
            }
            isMore = try scanner.nextMember()
        }
        book.levels = first..<frame.levels.count
        return book
    }

    private func addBook(
        _ fields: Fields,
        _ topic: BybitTopic,
        _ scanner: JSONScanner,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        let text = scanner.text
        guard let depth = topic.depth else { throw .wrong(field: "topic") }
        var data = JSONScanner(text, at: fields.data)
        let told = if let book = fields.book { book } else { try readBook(&data, &frame) }
        guard told.symbol.isString(in: text) else { throw .missing(field: "s") }
        guard told.hasBids, told.hasAsks else { throw .missing(field: "levels") }
        let isSnapshot = fields.type.equals("snapshot", in: text)
        guard isSnapshot || fields.type.equals("delta", in: text) else { throw .wrong(field: "type") }
        let number = try scanner.unsigned(in: told.number, named: "u")
        guard number > 0, number < .max else { throw .wrong(field: "u") }
        // The matching engine's time, where it is told.
        let eventNs = try scanner.millisecondsNs(in: fields.matchTime.isPresent ? fields.matchTime : fields.time)
        guard depth > 1 else {
            guard isSnapshot else { throw .wrong(field: "type") }
            return try addTop(told, number, eventNs, &frame)
        }
        var book = VenueBook(symbol: told.symbol, isSnapshot: isSnapshot || number == 1, levels: told.levels)
        book.lastID = number
        book.depth = depth
        book.eventNs = eventNs
        frame.messages.append(.book(book))
    }

    /// The best bid and ask, of which either may be absent.
    private func addTop(
        _ told: Book,
        _ number: UInt64,
        _ eventNs: Int64,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        let none = VenueNumber(digits: 0, scale: 0, written: 0)
        var bid = VenueLevel(.bid, price: none, quantity: none)
        var ask = VenueLevel(.ask, price: none, quantity: none)
        guard told.levels.count <= 2 else { throw .wrong(field: "levels") }
        for level in frame.levels[told.levels] {
            if level.side == .bid { bid = level } else { ask = level }
        }
        frame.messages.append(
            .quote(
                VenueQuote(
                    symbol: told.symbol,
                    bid: bid.price,
                    ask: ask.price,
                    sizes: VenueQuote.Sizes(bid: bid.quantity, ask: ask.quantity),
                    eventNs: eventNs,
                    sequence: number
                )
            )
        )
    }

    // MARK: Trades, tickers and candles

    /// `{"T":1672304486865,"s":"BTCUSDT","S":"Buy","v":"0.001","p":"16578.50","i":"20f43950-...","seq":1}`.
    private func addTrade(_ scanner: inout JSONScanner, _ frame: inout VenueFrame) throws(FrameFault) {
        let (text, none) = (scanner.text, FrameValue.none)
        var (time, symbol, side, size, price, id, number) = (none, none, none, none, none, none, none)
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            let value = try scanner.value()
            switch key.end - key.start == 3 ? text[key.start + 1] : 0 {
            case UInt8(ascii: "T"): time = value
            case UInt8(ascii: "s"): symbol = value
            case UInt8(ascii: "S"): side = value
            case UInt8(ascii: "v"): size = value
            case UInt8(ascii: "p"): price = value
            case UInt8(ascii: "i"): id = value
            default: if key.equals("seq", in: text) { number = value }
            }
            isMore = try scanner.nextMember()
        }
        guard symbol.isString(in: text) else { throw .missing(field: "s") }
        guard time.isPresent else { throw .missing(field: "T") }
        let isBuy = side.equals("Buy", in: text)
        guard isBuy || side.equals("Sell", in: text) else { throw .wrong(field: "S") }
        frame.messages.append(
            .trade(
                VenueTrade(
                    symbol: symbol,
                    price: try scanner.number(in: price, named: "p"),
                    quantity: try scanner.quantity(in: size, named: "v"),
                    aggressor: isBuy ? .buyer : .seller,
                    id: id,
                    eventNs: try scanner.millisecondsNs(in: time),
                    sequence: number.isPresent ? try scanner.unsigned(in: number, named: "seq") : 0,
                    isHistoric: false
                )
            )
        )
    }

    /// A ticker is a quote where it tells both sides: spot's has none, and a delta leaves out what did not change.
    private func addTicker(
        _ fields: Fields,
        _ scanner: JSONScanner,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        let (text, none) = (scanner.text, FrameValue.none)
        var data = JSONScanner(text, at: fields.data)
        var (symbol, bid, bidSize, ask, askSize) = (none, none, none, none, none)
        var isMore = try data.beginObject()
        while isMore {
            let key = try data.key()
            let value = try data.value()
            if key.equals("symbol", in: text) { symbol = value }
            if key.equals("bid1Price", in: text) { bid = value }
            if key.equals("bid1Size", in: text) { bidSize = value }
            if key.equals("ask1Price", in: text) { ask = value }
            if key.equals("ask1Size", in: text) { askSize = value }
            isMore = try data.nextMember()
        }
        guard symbol.isString(in: text) else { throw .missing(field: "symbol") }
        // An empty side is an empty text.
        let values = [bid, bidSize, ask, askSize]
        guard values.allSatisfy({ $0.isPresent && !$0.equals("", in: text) }) else {
            frame.messages.append(.other)
            return
        }
        frame.messages.append(
            .quote(
                VenueQuote(
                    symbol: symbol,
                    bid: try scanner.number(in: bid, named: "bid1Price"),
                    ask: try scanner.number(in: ask, named: "ask1Price"),
                    sizes: VenueQuote.Sizes(
                        bid: try scanner.quantity(in: bidSize, named: "bid1Size"),
                        ask: try scanner.quantity(in: askSize, named: "ask1Size")
                    ),
                    eventNs: try scanner.millisecondsNs(in: fields.time),
                    sequence: 0
                )
            )
        )
    }

    /// `{"start":1672324800000,"interval":"5","open":"1","close":"2","high":"3","low":"0","volume":"4","confirm":false,...}`.
    private func addCandle(
        _ scanner: inout JSONScanner,
        _ topic: BybitTopic,
        _ time: FrameValue,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        let (text, none) = (scanner.text, FrameValue.none)
        var (start, open, high, low, close, volume, confirm) = (none, none, none, none, none, none, none)
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            let value = try scanner.value()
            if key.equals("start", in: text) { start = value }
            if key.equals("open", in: text) { open = value }
            if key.equals("high", in: text) { high = value }
            if key.equals("low", in: text) { low = value }
            if key.equals("close", in: text) { close = value }
            if key.equals("volume", in: text) { volume = value }
            if key.equals("confirm", in: text) { confirm = value }
            isMore = try scanner.nextMember()
        }
        guard let interval = topic.interval else {
            frame.messages.append(.other)
            return
        }
        guard start.isPresent else { throw .missing(field: "start") }
        guard confirm.isWord("true", in: text) || confirm.isWord("false", in: text) else {
            throw .wrong(field: "confirm")
        }
        frame.messages.append(
            .candle(
                VenueCandle(
                    symbol: topic.symbol,
                    openNs: try scanner.millisecondsNs(in: start),
                    open: try scanner.number(in: open, named: "open"),
                    high: try scanner.number(in: high, named: "high"),
                    low: try scanner.number(in: low, named: "low"),
                    close: try scanner.number(in: close, named: "close"),
                    volume: try scanner.quantity(in: volume, named: "volume"),
                    interval: interval,
                    isClosed: confirm.isWord("true", in: text),
                    tradeCount: 0,
                    eventNs: try scanner.millisecondsNs(in: time)
                )
            )
        )
    }

    // MARK: What we send

    /// The venue takes no more topics in one frame (spot).
    private static let topicsMost = 10

    public func url(for subscription: VenueSubscription) -> String {
        "wss://stream.bybit.com/v5/public/" + market.rawValue
    }

    public func subscribeFrames(for subscription: VenueSubscription) -> [String] {
        let names = subscription.channels.map { channel in
            switch channel {
            case .book: "orderbook.\(depth)"
            case .quotes: "orderbook.1"
            case .trades: "publicTrade"
            case .candles: "kline.1"
            }
        }
        return (names + subscription.ownChannels).flatMap { name in
            let topics = subscription.rawSymbols.map { name + "." + $0 }
            return stride(from: 0, to: topics.count, by: Self.topicsMost).map { start in
                frame("subscribe", Array(topics[start..<min(start + Self.topicsMost, topics.count)]))
            }
        }
    }

    public func resubscribeFrames(rawSymbol: String) -> [String] {
        let topics = ["orderbook.\(depth).\(rawSymbol)"]
        return [frame("unsubscribe", topics), frame("subscribe", topics)]
    }

    private func frame(_ verb: String, _ topics: [String]) -> String {
        "{\"op\":\"\(verb)\",\"args\":\(quotedList(topics))}"
    }
}
