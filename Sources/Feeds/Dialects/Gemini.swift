public import Market

/// Gemini's market data version 2: `l2` (book and trades in one subscription) and candles.
///
/// The first `l2_updates` of a subscription holds the whole book and the last 50 trades, under `trades`; later ones hold changes
/// alone. There are no numbers and no checksum, so a lost update cannot be seen.
public struct GeminiDialect: VenueDialect {
    public let venue = "gemini"
    public let rules: VenueRules

    public init() {
        var rules = VenueRules(book: .inStream, silenceMostNs: 30_000_000_000)
        // The pong tells that a quiet connection lives.
        rules.pingEveryNs = 10_000_000_000
        self.rules = rules
    }

    private struct Fields {
        var (type, symbol, changes, trades, time) = (none, none, none, none, none)
        var (price, quantity, side, id, event, reason, message) = (none, none, none, none, none, none, none)
        private static let none = FrameValue.none
    }

    public func parse(_ text: UnsafeRawBufferPointer, into frame: inout VenueFrame) throws(FrameFault) {
        var scanner = JSONScanner(text)
        let fields = try read(&scanner)
        try scanner.finish()
        let type = fields.type
        if type.equals("l2_updates", in: text) {
            try addBook(fields, text, &frame)
        } else if type.equals("trade", in: text) {
            try addTrade(fields, scanner, isHistoric: false, &frame)
        } else if type.equals("heartbeat", in: text) {
            frame.messages.append(.heartbeat)
        } else if type.bytes(in: text).starts(with: "candles_".utf8) {
            try addCandles(fields, text, &frame)
        } else if Self.others.contains(type.string(in: text)) {
            frame.messages.append(.other)
        } else if type.equals("error", in: text) || fields.reason.isPresent {
            // A refusal is `{"result":"error","reason":"...","message":"..."}`.
            frame.messages.append(.refusal(fields.message.isPresent ? fields.message : fields.reason))
        } else {
            throw type.isPresent ? .unknownMessage : .missing(field: "type")
        }
    }

    /// What comes with `l2` beside the book, and what other subscriptions bring.
    private static let others: Set = [
        "auction_open", "auction_indicative", "auction_result", "block_trade", "mark_price_updates",
        "funding_amount_updates", "open_interest_updates", "subscription_ack",
    ]

    private func read(_ scanner: inout JSONScanner) throws(FrameFault) -> Fields {
        let text = scanner.text
        var fields = Fields()
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            let value = try scanner.value()
            switch key.end - key.start - 2 {
            case 3 where key.equals("tid", in: text): fields.id = value
            case 4 where key.equals("type", in: text): fields.type = value
            case 4 where key.equals("side", in: text): fields.side = value
            case 5 where key.equals("price", in: text): fields.price = value
            case 6 where key.equals("symbol", in: text): fields.symbol = value
            case 6 where key.equals("trades", in: text): fields.trades = value
            case 6 where key.equals("reason", in: text): fields.reason = value
            // Spelled so in the first message, and otherwise in the later ones.
            case 7 where key.equals("eventid", in: text): fields.event = value
            case 8 where key.equals("event_id", in: text): fields.event = value
            case 7 where key.equals("changes", in: text): fields.changes = value
            case 7 where key.equals("message", in: text): fields.message = value
            case 8 where key.equals("quantity", in: text): fields.quantity = value
            case 9 where key.equals("timestamp", in: text): fields.time = value
            default: break
            }
            isMore = try scanner.nextMember()
        }
        return fields
    }

    // MARK: Books

    private func addBook(
        _ fields: Fields,
        _ text: UnsafeRawBufferPointer,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        guard fields.symbol.isPresent else { throw .missing(field: "symbol") }
        guard fields.changes.isPresent else { throw .missing(field: "changes") }
        let firstLevel = frame.levels.count
        var scanner = JSONScanner(text, at: fields.changes)
        var isMore = try scanner.beginArray()
        while isMore {
            try addChange(&scanner, &frame.levels)
            isMore = try scanner.nextElement()
        }
        frame.messages.append(
            .book(
                VenueBook(
                    symbol: fields.symbol,
                    isSnapshot: fields.trades.isPresent,
                    levels: firstLevel..<frame.levels.count
                )
            )
        )
        guard fields.trades.isPresent else { return }
        try addPastTrades(fields, text, &frame)
    }

    /// `["buy","9122.04","0.00121425"]`: buy is the bid side.
    private func addChange(_ scanner: inout JSONScanner, _ levels: inout [VenueLevel]) throws(FrameFault) {
        guard try scanner.beginArray() else { throw .missing(field: "side") }
        let side = try scanner.value()
        let isBid = side.equals("buy", in: scanner.text)
        guard isBid || side.equals("sell", in: scanner.text) else { throw .wrong(field: "side") }
        guard try scanner.nextElement() else { throw .missing(field: "price") }
        let price = try scanner.number()
        guard try scanner.nextElement() else { throw .missing(field: "quantity") }
        let quantity = try scanner.number()
        guard quantity.digits >= 0 else { throw .negativeQuantity }
        while try scanner.nextElement() { try scanner.skip() }
        levels.append(VenueLevel(isBid ? .bid : .ask, price: price, quantity: quantity))
    }

    // MARK: Trades

    /// The last trades come newest first; they are told in the order in which they happened.
    private func addPastTrades(
        _ fields: Fields,
        _ text: UnsafeRawBufferPointer,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        var scanner = JSONScanner(text, at: fields.trades)
        let first = frame.messages.count
        var isMore = try scanner.beginArray()
        while isMore {
            var trade = try read(&scanner)
            if !trade.symbol.isPresent { trade.symbol = fields.symbol }
            try addTrade(trade, scanner, isHistoric: true, &frame)
            isMore = try scanner.nextElement()
        }
        frame.messages[first...].reverse()
    }

    private func addTrade(
        _ fields: Fields,
        _ scanner: JSONScanner,
        isHistoric: Bool,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        guard fields.symbol.isPresent else { throw .missing(field: "symbol") }
        let isBuy = fields.side.equals("buy", in: scanner.text)
        guard isBuy || fields.side.equals("sell", in: scanner.text) else { throw .wrong(field: "side") }
        frame.messages.append(
            .trade(
                VenueTrade(
                    symbol: fields.symbol,
                    price: try scanner.number(in: fields.price, named: "price"),
                    quantity: try scanner.quantity(in: fields.quantity, named: "quantity"),
                    aggressor: isBuy ? .buyer : .seller,
                    id: fields.id,
                    eventNs: try scanner.millisecondsNs(in: fields.time),
                    sequence: fields.event.isPresent ? try scanner.unsigned(in: fields.event, named: "event_id") : 0,
                    isHistoric: isHistoric
                )
            )
        )
    }

    // MARK: Candles

    /// `[[ms, open, high, low, close, volume],...]`, newest first; the newest may still change.
    private func addCandles(
        _ fields: Fields,
        _ text: UnsafeRawBufferPointer,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        guard let interval = Self.interval(of: fields.type, text) else { return frame.messages.append(.other) }
        guard fields.symbol.isPresent else { throw .missing(field: "symbol") }
        guard fields.changes.isPresent else { throw .missing(field: "changes") }
        var scanner = JSONScanner(text, at: fields.changes)
        let first = frame.messages.count
        var isMore = try scanner.beginArray()
        while isMore {
            guard try scanner.beginArray() else { throw .missing(field: "time") }
            let openNs = try scanner.millisecondsNs()
            var numbers = InlineArray<5, VenueNumber>(repeating: .absent)
            for index in 0..<5 {
                guard try scanner.nextElement() else { throw .missing(field: "volume") }
                numbers[index] = try scanner.number()
            }
            guard numbers[4].digits >= 0 else { throw .negativeQuantity }
            while try scanner.nextElement() { try scanner.skip() }
            frame.messages.append(
                .candle(
                    VenueCandle(
                        symbol: fields.symbol,
                        openNs: openNs,
                        open: numbers[0],
                        high: numbers[1],
                        low: numbers[2],
                        close: numbers[3],
                        volume: numbers[4],
                        interval: interval,
                        isClosed: frame.messages.count > first,
                        tradeCount: 0,
                        eventNs: 0
                    )
                )
            )
            isMore = try scanner.nextElement()
        }
        frame.messages[first...].reverse()
    }

    /// Nil for lengths that the hub does not keep.
    private static func interval(of type: FrameValue, _ text: UnsafeRawBufferPointer) -> CandleInterval? {
        if type.equals("candles_1m_updates", in: text) { return .minute }
        if type.equals("candles_5m_updates", in: text) { return .fiveMinutes }
        if type.equals("candles_15m_updates", in: text) { return .fifteenMinutes }
        if type.equals("candles_1h_updates", in: text) { return .hour }
        if type.equals("candles_1d_updates", in: text) { return .day }
        return nil
    }

    // MARK: What we send

    public func url(for subscription: VenueSubscription) -> String { "wss://api.gemini.com/v2/marketdata" }

    /// Book and trades come together.
    public func subscribeFrames(for subscription: VenueSubscription) -> [String] {
        var names: [String] = []
        if subscription.channels.contains(.book) || subscription.channels.contains(.trades) { names.append("l2") }
        if subscription.channels.contains(.candles) { names.append("candles_1m") }
        return (names + subscription.ownChannels).map { frame("subscribe", $0, subscription.rawSymbols) }
    }

    public func resubscribeFrames(rawSymbol: String) -> [String] {
        [frame("unsubscribe", "l2", [rawSymbol]), frame("subscribe", "l2", [rawSymbol])]
    }

    private func frame(_ type: String, _ name: String, _ symbols: [String]) -> String {
        "{\"type\":\"\(type)\",\"subscriptions\":[{\"name\":\(quoted(name)),\"symbols\":\(quotedList(symbols))}]}"
    }

    // MARK: Names

    /// `BTCUSD` is BTC-USD and `BTCGUSDPERP` BTC-GUSD-PERP.
    public func symbol(ofRaw rawSymbol: String) -> VenueSymbol {
        var name = Substring(rawSymbol.uppercased())
        let isPerpetual = name.hasSuffix("PERP")
        if isPerpetual { name = name.dropLast(4) }
        // The longer ones first: GUSD ends in USD.
        for quote in [
            "GUSD", "USDT", "USDC", "RLUSD", "USD", "EUR", "GBP", "SGD", "BTC", "ETH", "LTC", "BCH", "FIL", "DAI",
        ]
        where name.hasSuffix(quote) && name.utf8.count > quote.utf8.count {
            var terms = Instrument.Terms()
            (terms.base, terms.quote) = (String(name.dropLast(quote.utf8.count)), quote)
            return VenueSymbol(terms, isPerpetual ? .perpetual : .spot)
        }
        return VenueSymbol(rawSymbol)
    }

    /// An answer of `/v1/symbols/details/SYMBOL`: `tick_size` is the step of quantities, `quote_increment` that of prices.
    public func listing(_ scanner: inout JSONScanner) throws(FrameFault) -> Instrument? {
        let (text, none) = (scanner.text, FrameValue.none)
        var (name, base, quote, tick, lot, product) = (none, none, none, none, none, none)
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            let value = try scanner.value()
            if key.equals("symbol", in: text) { name = value }
            if key.equals("base_currency", in: text) { base = value }
            if key.equals("quote_currency", in: text) { quote = value }
            if key.equals("quote_increment", in: text) { tick = value }
            if key.equals("tick_size", in: text) { lot = value }
            if key.equals("product_type", in: text) { product = value }
            isMore = try scanner.nextMember()
        }
        guard name.isString(in: text), base.isString(in: text), quote.isString(in: text), tick.isPresent, lot.isPresent
        else { return nil }
        var terms = Instrument.Terms()
        (terms.base, terms.quote) = (base.string(in: text).uppercased(), quote.string(in: text).uppercased())
        let isPerpetual = product.equals("swap", in: text)
        if isPerpetual { terms.settle = terms.quote }
        return Instrument(
            venue: venue,
            rawSymbol: name.string(in: text).uppercased(),
            kind: isPerpetual ? .perpetual : .spot,
            terms: terms,
            tick: try scanner.number(in: tick, named: "quote_increment"),
            lot: try scanner.number(in: lot, named: "tick_size")
        )
    }
}
