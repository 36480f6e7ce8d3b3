public import Market

/// Bybit v2 as it was until 2023: `orderBookL2_25` and `trade`, on one socket for linear and another for inverse contracts.
///
/// The two write the same in other forms: the linear snapshot stands under `order_book`, the inverse one is the bare list;
/// prices, times and numbers are texts here and numbers there. `cross_seq` rises with holes, so nothing shows a loss.
public struct BybitV2Dialect: VenueDialect {
    public let venue = "bybit-v2"
    public let rules: VenueRules

    public init() {
        var rules = VenueRules(book: .inStream, silenceMostNs: 45_000_000_000)
        rules.pingEveryNs = 30_000_000_000
        rules.pingText = "{\"op\":\"ping\"}"
        // The instrument of a book is the topic's.
        rules.namesAreBare = true
        self.rules = rules
    }

    public func parse(_ text: UnsafeRawBufferPointer, into frame: inout VenueFrame) throws(FrameFault) {
        var scanner = JSONScanner(text)
        let none = FrameValue.none
        var (topic, type, data, time, number) = (none, none, none, none, none)
        var (success, message, request) = (none, none, none)
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            let value = try scanner.value()
            if key.equals("topic", in: text) { topic = value }
            if key.equals("type", in: text) { type = value }
            if key.equals("data", in: text) { data = value }
            if key.equals("timestamp_e6", in: text) { time = value }
            if key.equals("cross_seq", in: text) { number = value }
            if key.equals("success", in: text) { success = value }
            if key.equals("ret_msg", in: text) { message = value }
            if key.equals("request", in: text) { request = value }
            isMore = try scanner.nextMember()
        }
        try scanner.finish()
        guard topic.isPresent else {
            guard success.isWord("true", in: text) || success.isWord("false", in: text) else {
                throw success.isPresent ? .wrong(field: "success") : .missing(field: "topic")
            }
            if success.isWord("false", in: text) {
                frame.messages.append(.refusal(message))
            } else if message.equals("pong", in: text) {
                frame.messages.append(.heartbeat)
            } else {
                try addAcknowledgement(request, text, &frame)
            }
            return
        }
        let about = BybitTopic(topic, text)
        guard data.isPresent else { throw .missing(field: "data") }
        switch about.kind {
        case .book:
            guard let depth = about.depth else { throw .unknownMessage }
            let isSnapshot = type.equals("snapshot", in: text)
            guard isSnapshot || type.equals("delta", in: text) else { throw .wrong(field: "type") }
            let first = frame.levels.count
            if isSnapshot {
                try readSnapshot(JSONScanner(text, at: data), &frame)
            } else {
                try readChanges(JSONScanner(text, at: data), &frame)
            }
            var book = VenueBook(symbol: about.symbol, isSnapshot: isSnapshot, levels: first..<frame.levels.count)
            book.depth = depth
            book.lastID = number.isPresent ? try scanner.unsigned(in: number, named: "cross_seq") : 0
            book.eventNs = try scanner.microsecondsNs(in: time)
            frame.messages.append(.book(book))
        case .trades:
            var rows = JSONScanner(text, at: data)
            var isMore = try rows.beginArray()
            if !isMore { frame.messages.append(.other) }
            while isMore {
                try addTrade(&rows, &frame)
                isMore = try rows.nextElement()
            }
        case .candles, .ticker, .other: frame.messages.append(.other)
        case nil: throw .unknownMessage
        }
    }

    /// `{"op":"subscribe","args":["trade.BTCUSD"]}`.
    private func addAcknowledgement(
        _ request: FrameValue,
        _ text: UnsafeRawBufferPointer,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        frame.messages.append(.other)
        guard request.isPresent else { return }
        var scanner = JSONScanner(text, at: request)
        var (verb, args) = (FrameValue.none, FrameValue.none)
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            let value = try scanner.value()
            if key.equals("op", in: text) { verb = value }
            if key.equals("args", in: text) { args = value }
            isMore = try scanner.nextMember()
        }
        guard verb.equals("subscribe", in: text), args.isPresent else { return }
        var topics = JSONScanner(text, at: args)
        var isMoreTopics = try topics.beginArray()
        while isMoreTopics {
            frame.messages.append(.subscribed(BybitTopic(try topics.string(), text).symbol))
            isMoreTopics = try topics.nextElement()
        }
    }

    // MARK: Books

    /// `{"order_book":[row,...]}` or `[row,...]`.
    private func readSnapshot(_ data: JSONScanner, _ frame: inout VenueFrame) throws(FrameFault) {
        var scanner = data
        guard scanner.isAtObject else { return try readRows(&scanner, isRemoval: false, &frame) }
        var hasRows = false
        var isMore = try scanner.beginObject()
        while isMore {
            if try scanner.key().equals("order_book", in: scanner.text) {
                hasRows = true
                try readRows(&scanner, isRemoval: false, &frame)
            } else {
                try scanner.skip()
            }
            isMore = try scanner.nextMember()
        }
        guard hasRows else { throw .missing(field: "order_book") }
    }

    /// `{"delete":[row,...],"update":[...],"insert":[...]}`, to be applied in this order, however they stand.
    private func readChanges(_ data: JSONScanner, _ frame: inout VenueFrame) throws(FrameFault) {
        var scanner = data
        let (text, none) = (scanner.text, FrameValue.none)
        var (deleted, updated, inserted) = (none, none, none)
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            let value = try scanner.value()
            if key.equals("delete", in: text) { deleted = value }
            if key.equals("update", in: text) { updated = value }
            if key.equals("insert", in: text) { inserted = value }
            isMore = try scanner.nextMember()
        }
        guard deleted.isPresent, updated.isPresent, inserted.isPresent else { throw .missing(field: "delete") }
        var rows = JSONScanner(text, at: deleted)
        try readRows(&rows, isRemoval: true, &frame)
        rows = JSONScanner(text, at: updated)
        try readRows(&rows, isRemoval: false, &frame)
        rows = JSONScanner(text, at: inserted)
        try readRows(&rows, isRemoval: false, &frame)
    }

    /// `[{"price":"7.183","symbol":"XTZUSDT","id":"71830","side":"Buy","size":1145},...]`.
    private func readRows(
        _ scanner: inout JSONScanner,
        isRemoval: Bool,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        let (text, none) = (scanner.text, FrameValue.none)
        var isMoreRows = try scanner.beginArray()
        while isMoreRows {
            var (price, side, size) = (none, none, none)
            var isMore = try scanner.beginObject()
            while isMore {
                let key = try scanner.key()
                let value = try scanner.value()
                if key.equals("price", in: text) { price = value }
                if key.equals("side", in: text) { side = value }
                if key.equals("size", in: text) { size = value }
                isMore = try scanner.nextMember()
            }
            let isSell = side.equals("Sell", in: text)
            guard isSell || side.equals("Buy", in: text) else { throw .wrong(field: "side") }
            frame.levels.append(
                VenueLevel(
                    isSell ? .ask : .bid,
                    price: try scanner.number(in: price, named: "price"),
                    quantity: isRemoval
                        ? VenueNumber(digits: 0, scale: 0, written: 0) : try scanner.quantity(in: size, named: "size")
                )
            )
            isMoreRows = try scanner.nextElement()
        }
    }

    // MARK: Trades

    private func addTrade(_ scanner: inout JSONScanner, _ frame: inout VenueFrame) throws(FrameFault) {
        let (text, none) = (scanner.text, FrameValue.none)
        var (symbol, side, size, price, time, id, number) = (none, none, none, none, none, none, none)
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            let value = try scanner.value()
            if key.equals("symbol", in: text) { symbol = value }
            if key.equals("side", in: text) { side = value }
            if key.equals("size", in: text) { size = value }
            if key.equals("price", in: text) { price = value }
            if key.equals("trade_time_ms", in: text) { time = value }
            if key.equals("trade_id", in: text) { id = value }
            if key.equals("cross_seq", in: text) { number = value }
            isMore = try scanner.nextMember()
        }
        guard symbol.isString(in: text) else { throw .missing(field: "symbol") }
        guard time.isPresent else { throw .missing(field: "trade_time_ms") }
        let isBuy = side.equals("Buy", in: text)
        guard isBuy || side.equals("Sell", in: text) else { throw .wrong(field: "side") }
        frame.messages.append(
            .trade(
                VenueTrade(
                    symbol: symbol,
                    price: try scanner.number(in: price, named: "price"),
                    quantity: try scanner.quantity(in: size, named: "size"),
                    aggressor: isBuy ? .buyer : .seller,
                    id: id,
                    eventNs: try scanner.millisecondsNs(in: time),
                    sequence: number.isPresent ? try scanner.unsigned(in: number, named: "cross_seq") : 0,
                    isHistoric: false
                )
            )
        )
    }

    // MARK: What we send

    /// Inverse contracts have a socket of their own: those of one connection are all inverse or all linear.
    public func url(for subscription: VenueSubscription) -> String {
        let isInverse = subscription.rawSymbols.allSatisfy { !$0.hasSuffix("USDT") }
        return "wss://stream.bybit.com/realtime" + (isInverse ? "" : "_public")
    }

    /// A frame for each topic.
    public func subscribeFrames(for subscription: VenueSubscription) -> [String] {
        let names: [String] = subscription.channels.compactMap { channel in
            switch channel {
            case .book: "orderBookL2_25"
            case .trades: "trade"
            case .quotes, .candles: nil
            }
        }
        return (names + subscription.ownChannels).flatMap { name in
            subscription.rawSymbols.map { frame("subscribe", name + "." + $0) }
        }
    }

    public func resubscribeFrames(rawSymbol: String) -> [String] {
        let topic = "orderBookL2_25." + rawSymbol
        return [frame("unsubscribe", topic), frame("subscribe", topic)]
    }

    private func frame(_ verb: String, _ topic: String) -> String {
        "{\"op\":\"\(verb)\",\"args\":\(quotedList([topic]))}"
    }

    // MARK: Names

    public func symbol(ofRaw rawSymbol: String) -> VenueSymbol {
        rawSymbol.hasSuffix("USDT") ? BybitName.linear(rawSymbol) : BybitName.inverse(rawSymbol)
    }

    /// An entry of `GET /v2/public/symbols`, which tells no day of a dated contract: its code does.
    public func listing(_ scanner: inout JSONScanner) throws(FrameFault) -> Instrument? {
        let (text, none) = (scanner.text, FrameValue.none)
        var (name, base, quote, prices, lots) = (none, none, none, none, none)
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            let value = try scanner.value()
            if key.equals("name", in: text) { name = value }
            if key.equals("base_currency", in: text) { base = value }
            if key.equals("quote_currency", in: text) { quote = value }
            if key.equals("price_filter", in: text) { prices = value }
            if key.equals("lot_size_filter", in: text) { lots = value }
            isMore = try scanner.nextMember()
        }
        guard name.isString(in: text), base.isString(in: text), quote.isString(in: text),
            let tick = try scanner.number("tick_size", inObject: prices),
            let lot = try scanner.number("qty_step", inObject: lots)
        else { return nil }
        var terms = Instrument.Terms()
        (terms.base, terms.quote) = (base.string(in: text), quote.string(in: text))
        guard !terms.base.isEmpty, !terms.quote.isEmpty else { return nil }
        let rawSymbol = name.string(in: text)
        var kind = Instrument.Kind.perpetual
        if terms.quote == "USD" {
            terms.isInverse = true
            terms.contractSize = Decimal(digits: 1, scale: 0)
            terms.settle = terms.base
            if let ending = BybitName.ending(rawSymbol) {
                kind = .future
                // At 08:00 UTC, as all of them end.
                terms.expiryNs = ending.date.startNs + 8 * 3_600_000_000_000
            }
        } else {
            terms.settle = terms.quote
        }
        return Instrument(venue: venue, rawSymbol: rawSymbol, kind: kind, terms: terms, tick: tick, lot: lot)
    }
}
