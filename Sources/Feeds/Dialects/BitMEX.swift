import Market

/// BitMEX: tables `orderBookL2`, `trade` and `quote`, told of as `partial`, `insert`, `update` and `delete` of rows.
///
/// A level is known by its id: updates and deletes may leave its price out. There are neither numbers nor a checksum; a change
/// of a level that nobody told of is the only sign of a loss.
public struct BitMEXDialect: VenueDialect {
    public let venue = "bitmex"
    public let rules: VenueRules

    public init() {
        var rules = VenueRules(book: .inStream, silenceMostNs: 15_000_000_000)
        // After 5 s without a frame the venue wants to be asked whether it lives.
        rules.pingEveryNs = 5_000_000_000
        rules.pingText = "ping"
        self.rules = rules
    }

    private enum Action {
        case partial, insert, update, delete
    }

    private struct Fields {
        var (table, action, data, filter, info, error, success, subscribe) = (
            none, none, none, none, none, none, none, none
        )
        var unsubscribe = none
        private static let none = FrameValue.none
    }

    public func parse(_ text: UnsafeRawBufferPointer, into frame: inout VenueFrame) throws(FrameFault) {
        if text.elementsEqual("pong".utf8) {
            frame.messages.append(.heartbeat)
            return
        }
        var scanner = JSONScanner(text)
        var fields = Fields()
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            let value = try scanner.value()
            switch key.end - key.start - 2 {
            case 4 where key.equals("data", in: text): fields.data = value
            case 4 where key.equals("info", in: text): fields.info = value
            case 5 where key.equals("table", in: text): fields.table = value
            case 5 where key.equals("error", in: text): fields.error = value
            case 6 where key.equals("action", in: text): fields.action = value
            case 6 where key.equals("filter", in: text): fields.filter = value
            case 7 where key.equals("success", in: text): fields.success = value
            case 9 where key.equals("subscribe", in: text): fields.subscribe = value
            case 11 where key.equals("unsubscribe", in: text): fields.unsubscribe = value
            default: break
            }
            isMore = try scanner.nextMember()
        }
        try scanner.finish()
        if fields.table.isPresent {
            try addTable(fields, text, &frame)
        } else if fields.error.isPresent {
            frame.messages.append(.refusal(fields.error))
        } else if fields.success.isPresent {
            try addAnswer(fields, text, &frame)
        } else if fields.info.isPresent {
            frame.messages.append(.other)
        } else {
            throw .missing(field: "table")
        }
    }

    /// `{"success":true,"subscribe":"trade:XBTUSD"}`.
    private func addAnswer(
        _ fields: Fields,
        _ text: UnsafeRawBufferPointer,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        guard fields.success.isWord("true", in: text) else {
            guard fields.success.isWord("false", in: text) else { throw .wrong(field: "success") }
            frame.messages.append(.refusal(fields.subscribe))
            return
        }
        guard fields.subscribe.isString(in: text) else {
            guard fields.unsubscribe.isPresent else { throw .missing(field: "subscribe") }
            frame.messages.append(.other)
            return
        }
        let topic = fields.subscribe.bytes(in: text)
        guard let colon = topic.firstIndex(of: UInt8(ascii: ":")) else {
            frame.messages.append(.other)
            return
        }
        let start = fields.subscribe.start + 1 + colon + 1
        frame.messages.append(.subscribed(FrameValue(start: start, end: fields.subscribe.end - 1)))
    }

    // MARK: Tables

    private func addTable(
        _ fields: Fields,
        _ text: UnsafeRawBufferPointer,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        let isBook = fields.table.equals("orderBookL2", in: text) || fields.table.equals("orderBookL2_25", in: text)
        let isTrade = fields.table.equals("trade", in: text)
        guard isBook || isTrade || fields.table.equals("quote", in: text) else {
            guard Self.others.contains(fields.table.string(in: text)) else { throw .unknownMessage }
            frame.messages.append(.other)
            return
        }
        let action = try action(fields.action, text)
        guard fields.data.isPresent else { throw .missing(field: "data") }
        if isBook {
            try addBook(fields, action, text, &frame)
        } else {
            guard action == .partial || action == .insert else { throw .wrong(field: "action") }
            var scanner = JSONScanner(text, at: fields.data)
            var isMore = try scanner.beginArray()
            if !isMore { frame.messages.append(.other) }
            while isMore {
                if isTrade {
                    try addTrade(&scanner, isHistoric: action == .partial, &frame)
                } else {
                    try addQuote(&scanner, &frame)
                }
                isMore = try scanner.nextElement()
            }
        }
    }

    /// Public tables that the hub has no use for.
    private static let others: Set = [
        "announcement", "chat", "connected", "funding", "instrument", "insurance", "liquidation", "orderBook10",
        "publicNotifications", "quoteBin1m", "quoteBin5m", "quoteBin1h", "quoteBin1d", "settlement", "tradeBin1m",
        "tradeBin5m", "tradeBin1h", "tradeBin1d",
    ]

    private func action(_ value: FrameValue, _ text: UnsafeRawBufferPointer) throws(FrameFault) -> Action {
        if value.equals("update", in: text) { return .update }
        if value.equals("insert", in: text) { return .insert }
        if value.equals("delete", in: text) { return .delete }
        if value.equals("partial", in: text) { return .partial }
        throw value.isPresent ? .wrong(field: "action") : .missing(field: "action")
    }

    // MARK: Books

    /// One message for each run of rows of one instrument.
    private func addBook(
        _ fields: Fields,
        _ action: Action,
        _ text: UnsafeRawBufferPointer,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        var scanner = JSONScanner(text, at: fields.data)
        var open: VenueBook?
        var isMore = try scanner.beginArray()
        while isMore {
            let (symbol, eventNs) = try addLevel(&scanner, action, &frame)
            let place = frame.levels.count - 1
            if var book = open, book.symbol.bytes(in: text).elementsEqual(symbol.bytes(in: text)) {
                book.levels = book.levels.lowerBound..<(place + 1)
                book.eventNs = max(book.eventNs, eventNs)
                open = book
            } else {
                if let book = open { frame.messages.append(.book(book)) }
                var book = VenueBook(symbol: symbol, isSnapshot: action == .partial, levels: place..<(place + 1))
                book.areLevelsNamed = true
                book.eventNs = eventNs
                open = book
            }
            isMore = try scanner.nextElement()
        }
        if let book = open {
            frame.messages.append(.book(book))
        } else {
            try addEmptyBook(fields, action, text, &frame)
        }
    }

    /// The snapshot of a book without levels names its instrument in the filter alone.
    private func addEmptyBook(
        _ fields: Fields,
        _ action: Action,
        _ text: UnsafeRawBufferPointer,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        guard action == .partial, fields.filter.isPresent else {
            frame.messages.append(.other)
            return
        }
        var scanner = JSONScanner(text, at: fields.filter)
        var symbol = FrameValue.none
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            let value = try scanner.value()
            if key.equals("symbol", in: text) { symbol = value }
            isMore = try scanner.nextMember()
        }
        guard symbol.isString(in: text) else {
            frame.messages.append(.other)
            return
        }
        let levels = frame.levels.count..<frame.levels.count
        var book = VenueBook(symbol: symbol, isSnapshot: true, levels: levels)
        book.areLevelsNamed = true
        frame.messages.append(.book(book))
    }

    /// `{"symbol":"XBTUSD","id":8796766500,"side":"Sell","size":100,"price":32335}`.
    private func addLevel(
        _ scanner: inout JSONScanner,
        _ action: Action,
        _ frame: inout VenueFrame
    ) throws(FrameFault) -> (symbol: FrameValue, eventNs: Int64) {
        let (text, none) = (scanner.text, FrameValue.none)
        var (symbol, id, side, size, price, time) = (none, none, none, none, none, none)
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            let value = try scanner.value()
            switch key.end - key.start - 2 {
            case 2 where key.equals("id", in: text): id = value
            case 4 where key.equals("side", in: text): side = value
            case 4 where key.equals("size", in: text): size = value
            case 5 where key.equals("price", in: text): price = value
            case 6 where key.equals("symbol", in: text): symbol = value
            case 9 where key.equals("timestamp", in: text): time = value
            default: break
            }
            isMore = try scanner.nextMember()
        }
        guard symbol.isString(in: text) else { throw .missing(field: "symbol") }
        let isSell = side.equals("Sell", in: text)
        guard isSell || side.equals("Buy", in: text) else { throw .wrong(field: "side") }
        let number = try scanner.unsigned(in: id, named: "id")
        guard number < 1 << 62 else { throw .wrong(field: "id") }
        let isPriceNeeded = action == .partial || action == .insert
        let level = VenueLevel(
            isSell ? .ask : .bid,
            price: isPriceNeeded || price.isPresent ? try scanner.number(in: price, named: "price") : .absent,
            quantity: action == .delete
                ? VenueNumber(digits: 0, scale: 0, written: 0) : try scanner.quantity(in: size, named: "size")
        )
        frame.levels.append(level)
        // Rows are keyed by side too.
        frame.levelNames.append(number << 1 | (isSell ? 1 : 0))
        return (symbol, time.isPresent ? try JSONScanner.isoTimeNs(time, in: text) : 0)
    }

    // MARK: Trades and quotes

    private func addTrade(
        _ scanner: inout JSONScanner,
        isHistoric: Bool,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        let (text, none) = (scanner.text, FrameValue.none)
        var (symbol, side, size, price, time, id) = (none, none, none, none, none, none)
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            let value = try scanner.value()
            switch key.end - key.start - 2 {
            case 4 where key.equals("side", in: text): side = value
            case 4 where key.equals("size", in: text): size = value
            case 5 where key.equals("price", in: text): price = value
            case 6 where key.equals("symbol", in: text): symbol = value
            case 9 where key.equals("timestamp", in: text): time = value
            case 10 where key.equals("trdMatchID", in: text): id = value
            default: break
            }
            isMore = try scanner.nextMember()
        }
        guard symbol.isString(in: text) else { throw .missing(field: "symbol") }
        let aggressor: Aggressor
        if side.equals("Buy", in: text) {
            aggressor = .buyer
        } else if side.equals("Sell", in: text) {
            aggressor = .seller
        } else {
            // What an index or a settlement reports has no side.
            guard !side.isPresent || side.equals("", in: text) || side.isWord("null", in: text) else {
                throw .wrong(field: "side")
            }
            aggressor = .unknown
        }
        guard time.isPresent else { throw .missing(field: "timestamp") }
        frame.messages.append(
            .trade(
                VenueTrade(
                    symbol: symbol,
                    price: try scanner.number(in: price, named: "price"),
                    quantity: try scanner.quantity(in: size, named: "size"),
                    aggressor: aggressor,
                    id: id.isString(in: text) ? id : .none,
                    eventNs: try JSONScanner.isoTimeNs(time, in: text),
                    sequence: 0,
                    isHistoric: isHistoric
                )
            )
        )
    }

    private func addQuote(_ scanner: inout JSONScanner, _ frame: inout VenueFrame) throws(FrameFault) {
        let (text, none) = (scanner.text, FrameValue.none)
        var (symbol, bid, bidSize, ask, askSize, time) = (none, none, none, none, none, none)
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            let value = try scanner.value()
            switch key.end - key.start - 2 {
            case 6 where key.equals("symbol", in: text): symbol = value
            case 7 where key.equals("bidSize", in: text): bidSize = value
            case 7 where key.equals("askSize", in: text): askSize = value
            case 8 where key.equals("bidPrice", in: text): bid = value
            case 8 where key.equals("askPrice", in: text): ask = value
            case 9 where key.equals("timestamp", in: text): time = value
            default: break
            }
            isMore = try scanner.nextMember()
        }
        guard symbol.isString(in: text) else { throw .missing(field: "symbol") }
        guard time.isPresent else { throw .missing(field: "timestamp") }
        let sizes = VenueQuote.Sizes(
            bid: try numberOrNone(bidSize, scanner, named: "bidSize"),
            ask: try numberOrNone(askSize, scanner, named: "askSize")
        )
        frame.messages.append(
            .quote(
                VenueQuote(
                    symbol: symbol,
                    bid: try numberOrNone(bid, scanner, named: "bidPrice"),
                    ask: try numberOrNone(ask, scanner, named: "askPrice"),
                    sizes: sizes,
                    eventNs: try JSONScanner.isoTimeNs(time, in: text),
                    sequence: 0
                )
            )
        )
    }

    /// Zero where the venue says null: a side of the book is empty.
    private func numberOrNone(
        _ value: FrameValue,
        _ scanner: JSONScanner,
        named field: FrameFault.FieldName
    ) throws(FrameFault) -> VenueNumber {
        value.isWord("null", in: scanner.text)
            ? VenueNumber(digits: 0, scale: 0, written: 0) : try scanner.quantity(in: value, named: field)
    }

    // MARK: What we send

    public func url(for subscription: VenueSubscription) -> String { "wss://ws.bitmex.com/realtime" }

    public func subscribeFrames(for subscription: VenueSubscription) -> [String] {
        let tables: [String] = subscription.channels.compactMap { channel in
            switch channel {
            case .book: "orderBookL2"
            case .quotes: "quote"
            case .trades: "trade"
            case .candles: nil
            }
        }
        return (tables + subscription.ownChannels).map { frame("subscribe", $0, subscription.rawSymbols) }
    }

    public func resubscribeFrames(rawSymbol: String) -> [String] {
        [frame("unsubscribe", "orderBookL2", [rawSymbol]), frame("subscribe", "orderBookL2", [rawSymbol])]
    }

    private func frame(_ verb: String, _ table: String, _ rawSymbols: [String]) -> String {
        "{\"op\":\"\(verb)\",\"args\":\(quotedList(rawSymbols.map { table + ":" + $0 }))}"
    }
}
