import Market

/// Kraken's WebSocket API version 2: `book` with CRC32, `trade`, `ticker` and `instrument`.
///
/// Numbers are JSON numbers without the zeros at their end, and the checksum is made of the digits with those zeros. So the
/// decimals of each pair must be known: from the list of instruments, or from the channel `instrument`, which is asked for
/// with every book.
public struct KrakenV2Dialect: VenueDialect {
    public let venue = "kraken-v2"
    public let rules: VenueRules
    private let depth: Int

    /// - Parameter depth: 10, 25, 100, 500 or 1,000 levels of each side.
    public init(depth: Int = 1_000) {
        self.depth = depth
        // A heartbeat comes about once a second.
        var rules = VenueRules(book: .inStream, silenceMostNs: 10_000_000_000)
        rules.decimals = .told
        rules.tradesAreNumbered = true
        self.rules = rules
    }

    public func parse(_ text: UnsafeRawBufferPointer, into frame: inout VenueFrame) throws(FrameFault) {
        var scanner = JSONScanner(text)
        let none = FrameValue.none
        var (channel, type, data, method) = (none, none, none, none)
        var (success, result, message) = (none, none, none)
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            let value = try scanner.value()
            if key.equals("channel", in: text) { channel = value }
            if key.equals("type", in: text) { type = value }
            if key.equals("data", in: text) { data = value }
            if key.equals("method", in: text) { method = value }
            if key.equals("success", in: text) { success = value }
            if key.equals("result", in: text) { result = value }
            if key.equals("error", in: text) { message = value }
            isMore = try scanner.nextMember()
        }
        try scanner.finish()
        if channel.equals("book", in: text) {
            let isSnapshot = try isSnapshot(type, text)
            try each(data, text) { entry throws(FrameFault) in try addBook(&entry, isSnapshot, &frame) }
        } else if channel.equals("trade", in: text) {
            let isSnapshot = try isSnapshot(type, text)
            try each(data, text) { entry throws(FrameFault) in try addTrade(&entry, isHistoric: isSnapshot, &frame) }
        } else if channel.equals("ticker", in: text) {
            try each(data, text) { entry throws(FrameFault) in try addQuote(&entry, &frame) }
        } else if channel.equals("instrument", in: text) {
            try addUnits(data, text, &frame)
        } else if channel.equals("heartbeat", in: text) || method.equals("pong", in: text) {
            frame.messages.append(.heartbeat)
        } else if channel.equals("status", in: text) || channel.equals("ohlc", in: text)
            || channel.equals("level3", in: text)
        {
            frame.messages.append(.other)
        } else if !channel.isPresent, success.isWord("false", in: text) || message.isPresent {
            frame.messages.append(.refusal(message))
        } else if method.equals("subscribe", in: text) {
            try addSubscription(result, text, &frame)
        } else if method.equals("unsubscribe", in: text) {
            frame.messages.append(.other)
        } else {
            throw channel.isPresent || method.isPresent ? .unknownMessage : .missing(field: "channel")
        }
    }

    private func isSnapshot(_ type: FrameValue, _ text: UnsafeRawBufferPointer) throws(FrameFault) -> Bool {
        if type.equals("snapshot", in: text) { return true }
        guard type.equals("update", in: text) else { throw .wrong(field: "type") }
        return false
    }

    /// Reads the entries of an array, the scanner standing before each.
    @inline(__always)
    private func each(
        _ data: FrameValue,
        _ text: UnsafeRawBufferPointer,
        _ read: (inout JSONScanner) throws(FrameFault) -> Void
    ) throws(FrameFault) {
        guard data.isPresent else { throw .missing(field: "data") }
        var scanner = JSONScanner(text, at: data)
        var isMore = try scanner.beginArray()
        while isMore {
            try read(&scanner)
            isMore = try scanner.nextElement()
        }
    }

    // MARK: Data

    private func addBook(
        _ scanner: inout JSONScanner,
        _ isSnapshot: Bool,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        let text = scanner.text
        let firstLevel = frame.levels.count
        var book = VenueBook(symbol: .none, isSnapshot: isSnapshot, levels: firstLevel..<firstLevel)
        book.depth = depth
        var hasLevels = false
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            if key.equals("bids", in: text) {
                hasLevels = true
                try scanner.krakenLevels(.bid, into: &frame.levels)
            } else if key.equals("asks", in: text) {
                hasLevels = true
                try scanner.krakenLevels(.ask, into: &frame.levels)
            } else if key.equals("symbol", in: text) {
                book.symbol = try scanner.value()
            } else if key.equals("checksum", in: text) {
                guard let checksum = UInt32(exactly: try scanner.unsigned()) else { throw .wrong(field: "checksum") }
                book.checksum = checksum
            } else if key.equals("timestamp", in: text) {
                book.eventNs = try JSONScanner.isoTimeNs(try scanner.value(), in: text)
            } else {
                try scanner.skip()
            }
            isMore = try scanner.nextMember()
        }
        guard book.symbol.isPresent else { throw .missing(field: "symbol") }
        guard hasLevels else { throw .missing(field: "bids") }
        book.levels = firstLevel..<frame.levels.count
        frame.messages.append(.book(book))
    }

    private func addTrade(
        _ scanner: inout JSONScanner,
        isHistoric: Bool,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        let (text, none) = (scanner.text, FrameValue.none)
        var (symbol, side, price, quantity, id, time) = (none, none, none, none, none, none)
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            let value = try scanner.value()
            if key.equals("symbol", in: text) { symbol = value }
            if key.equals("side", in: text) { side = value }
            if key.equals("price", in: text) { price = value }
            if key.equals("qty", in: text) { quantity = value }
            if key.equals("trade_id", in: text) { id = value }
            if key.equals("timestamp", in: text) { time = value }
            isMore = try scanner.nextMember()
        }
        guard symbol.isPresent else { throw .missing(field: "symbol") }
        let isBuy = side.equals("buy", in: text)
        guard isBuy || side.equals("sell", in: text) else { throw .wrong(field: "side") }
        frame.messages.append(
            .trade(
                VenueTrade(
                    symbol: symbol,
                    price: try scanner.number(in: price, named: "price"),
                    quantity: try scanner.quantity(in: quantity, named: "qty"),
                    aggressor: isBuy ? .buyer : .seller,
                    id: id,
                    eventNs: try timeNs(time, text),
                    sequence: try scanner.unsigned(in: id, named: "trade_id"),
                    isHistoric: isHistoric
                )
            )
        )
    }

    private func addQuote(_ scanner: inout JSONScanner, _ frame: inout VenueFrame) throws(FrameFault) {
        let (text, none) = (scanner.text, FrameValue.none)
        var (symbol, bid, ask, bidSize, askSize, time) = (none, none, none, none, none, none)
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            let value = try scanner.value()
            if key.equals("symbol", in: text) { symbol = value }
            if key.equals("bid", in: text) { bid = value }
            if key.equals("ask", in: text) { ask = value }
            if key.equals("bid_qty", in: text) { bidSize = value }
            if key.equals("ask_qty", in: text) { askSize = value }
            if key.equals("timestamp", in: text) { time = value }
            isMore = try scanner.nextMember()
        }
        guard symbol.isPresent else { throw .missing(field: "symbol") }
        let sizes = VenueQuote.Sizes(
            bid: try scanner.quantity(in: bidSize, named: "bid_qty"),
            ask: try scanner.quantity(in: askSize, named: "ask_qty")
        )
        frame.messages.append(
            .quote(
                VenueQuote(
                    symbol: symbol,
                    bid: try scanner.number(in: bid, named: "bid"),
                    ask: try scanner.number(in: ask, named: "ask"),
                    sizes: sizes,
                    eventNs: try timeNs(time, text),
                    sequence: 0
                )
            )
        )
    }

    private func timeNs(_ time: FrameValue, _ text: UnsafeRawBufferPointer) throws(FrameFault) -> Int64 {
        time.isPresent ? try JSONScanner.isoTimeNs(time, in: text) : 0
    }

    // MARK: Pairs

    /// `{"assets":[...],"pairs":[{"symbol":"BTC/USD","price_precision":1,"qty_precision":8,"status":"online",...},...]}`.
    private func addUnits(
        _ data: FrameValue,
        _ text: UnsafeRawBufferPointer,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        guard data.isPresent else { throw .missing(field: "data") }
        var scanner = JSONScanner(text, at: data)
        var isMore = try scanner.beginObject()
        while isMore {
            if try scanner.key().equals("pairs", in: text) {
                var isMorePairs = try scanner.beginArray()
                while isMorePairs {
                    try addPair(&scanner, &frame)
                    isMorePairs = try scanner.nextElement()
                }
            } else {
                try scanner.skip()
            }
            isMore = try scanner.nextMember()
        }
    }

    private func addPair(_ scanner: inout JSONScanner, _ frame: inout VenueFrame) throws(FrameFault) {
        let pair = try KrakenPair(&scanner)
        guard pair.symbol.isPresent else { throw .missing(field: "symbol") }
        frame.messages.append(
            .units(
                VenueUnits(
                    symbol: pair.symbol,
                    priceScale: try pair.priceScale(scanner),
                    quantityScale: try pair.quantityScale(scanner)
                )
            )
        )
        guard pair.status.isPresent else { return }
        let isHalted = ["maintenance", "delisted", "work_in_progress", "cancel_only"]
            .contains { (status: StaticString) in pair.status.equals(status, in: scanner.text) }
        frame.messages.append(.trading(pair.symbol, isHalted: isHalted))
    }

    private func addSubscription(
        _ result: FrameValue,
        _ text: UnsafeRawBufferPointer,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        guard result.isPresent else { throw .missing(field: "result") }
        var scanner = JSONScanner(text, at: result)
        var symbol = FrameValue.none
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            let value = try scanner.value()
            if key.equals("symbol", in: text) { symbol = value }
            isMore = try scanner.nextMember()
        }
        frame.messages.append(symbol.isPresent ? .subscribed(symbol) : .other)
    }

    // MARK: What we send

    public func url(for subscription: VenueSubscription) -> String { "wss://ws.kraken.com/v2" }

    /// The decimals of the pairs come first, as the books are compared with their checksums.
    public func subscribeFrames(for subscription: VenueSubscription) -> [String] {
        let symbols = subscription.rawSymbols
        let units = "{\"method\":\"subscribe\",\"params\":{\"channel\":\"instrument\"}}"
        let named: [[String]] = subscription.channels.compactMap { channel in
            switch channel {
            case .book: [units, bookFrame("subscribe", symbols)]
            case .trades: [frame("subscribe", "trade", symbols, ",\"snapshot\":true")]
            case .quotes: [frame("subscribe", "ticker", symbols, ",\"event_trigger\":\"bbo\"")]
            case .candles: nil
            }
        }
        return named.flatMap(\.self) + subscription.ownChannels.map { frame("subscribe", $0, symbols, "") }
    }

    public func resubscribeFrames(rawSymbol: String) -> [String] {
        [bookFrame("unsubscribe", [rawSymbol]), bookFrame("subscribe", [rawSymbol])]
    }

    private func bookFrame(_ method: String, _ symbols: [String]) -> String {
        frame(method, "book", symbols, ",\"depth\":\(depth)")
    }

    private func frame(_ method: String, _ channel: String, _ symbols: [String], _ option: String) -> String {
        "{\"method\":\"\(method)\",\"params\":{\"channel\":\(quoted(channel)),\"symbol\":\(quotedList(symbols))"
            + "\(option)}}"
    }
}
