public import Market

/// Coinbase Exchange: `level2`, `matches` and `ticker`.
///
/// The book has neither numbers nor a checksum, so a lost update cannot be seen. `sequence` counts all events of the
/// engine: holes in it are normal here. `side` is the maker's in a match and the taker's in a ticker.
public struct CoinbaseDialect: VenueDialect {
    public let venue = "coinbase"
    public let rules: VenueRules

    public init() {
        var rules = VenueRules(book: .inStream, silenceMostNs: 15_000_000_000)
        // Eight messages a second are allowed.
        rules.sendEveryNs = 130_000_000
        self.rules = rules
    }

    private struct Fields {
        var (type, product, price, size, side, time) = (none, none, none, none, none, none)
        var (tradeID, sequence, bestBid, bestAsk, bidSize, askSize) = (none, none, none, none, none, none)
        var (message, channels) = (none, none)
        var hasLevels = false
        private static let none = FrameValue.none
    }

    public func parse(_ text: UnsafeRawBufferPointer, into frame: inout VenueFrame) throws(FrameFault) {
        var scanner = JSONScanner(text)
        var fields = Fields()
        let firstLevel = frame.levels.count
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            try read(key, &fields, &scanner, &frame.levels)
            isMore = try scanner.nextMember()
        }
        try scanner.finish()
        let type = fields.type
        guard type.isPresent else { throw .missing(field: "type") }
        if type.equals("l2update", in: text) || type.equals("snapshot", in: text) {
            try addBook(fields, firstLevel, scanner, &frame)
        } else if type.equals("match", in: text) || type.equals("last_match", in: text) {
            try addTrade(fields, scanner, &frame)
        } else if type.equals("ticker", in: text) {
            try addQuote(fields, scanner, &frame)
        } else if type.equals("subscriptions", in: text) {
            try addSubscriptions(fields.channels, text, &frame)
        } else if type.equals("heartbeat", in: text) {
            frame.messages.append(.heartbeat)
        } else if type.equals("error", in: text) {
            frame.messages.append(.refusal(fields.message))
        } else if Self.others.contains(type.string(in: text)) {
            frame.messages.append(.other)
        } else {
            throw .unknownMessage
        }
    }

    /// Types of the full and status channels.
    private static let others: Set = ["status", "received", "open", "done", "change", "activate", "auction"]

    @inline(__always)
    private func read(
        _ key: FrameValue,
        _ fields: inout Fields,
        _ scanner: inout JSONScanner,
        _ levels: inout [VenueLevel]
    ) throws(FrameFault) {
        let text = scanner.text
        let length = key.end &- key.start &- 2
        if scanner.isAtArray {
            switch length {
            case 7 where key.equals("changes", in: text):
                fields.hasLevels = true
                return try readChanges(&scanner, &levels)
            case 4 where key.equals("asks", in: text):
                fields.hasLevels = true
                return try scanner.levels(.ask, into: &levels)
            case 4 where key.equals("bids", in: text):
                fields.hasLevels = true
                return try scanner.levels(.bid, into: &levels)
            default: break
            }
        }
        // At one place for all keys: one for each would leave the optimizer nothing to inline the comparisons with.
        let value = try scanner.value()
        switch length {
        case 4 where key.equals("type", in: text): fields.type = value
        case 4 where key.equals("time", in: text): fields.time = value
        case 4 where key.equals("side", in: text): fields.side = value
        case 4 where key.equals("size", in: text): fields.size = value
        case 10 where key.equals("product_id", in: text): fields.product = value
        case 5 where key.equals("price", in: text): fields.price = value
        case 8 where key.equals("trade_id", in: text): fields.tradeID = value
        case 8 where key.equals("sequence", in: text): fields.sequence = value
        case 8 where key.equals("best_bid", in: text): fields.bestBid = value
        case 8 where key.equals("best_ask", in: text): fields.bestAsk = value
        case 8 where key.equals("channels", in: text): fields.channels = value
        case 13 where key.equals("best_bid_size", in: text): fields.bidSize = value
        case 13 where key.equals("best_ask_size", in: text): fields.askSize = value
        case 6 where key.equals("reason", in: text): fields.message = value
        case 7 where key.equals("message", in: text) && !fields.message.isPresent: fields.message = value
        default: break
        }
    }

    /// `[["buy","1.5","0.2"],...]`: buy is the bid side.
    private func readChanges(_ scanner: inout JSONScanner, _ levels: inout [VenueLevel]) throws(FrameFault) {
        var isMore = try scanner.beginArray()
        while isMore {
            guard try scanner.beginArray() else { throw .missing(field: "side") }
            let side = try side(try scanner.value(), scanner.text)
            guard try scanner.nextElement() else { throw .missing(field: "price") }
            let price = try scanner.number()
            guard try scanner.nextElement() else { throw .missing(field: "size") }
            let quantity = try scanner.number()
            guard quantity.digits >= 0 else { throw .negativeQuantity }
            while try scanner.nextElement() { try scanner.skip() }
            levels.append(VenueLevel(side, price: price, quantity: quantity))
            isMore = try scanner.nextElement()
        }
    }

    @inline(always)
    private func side(_ value: FrameValue, _ text: UnsafeRawBufferPointer) throws(FrameFault) -> Side {
        if value.equals("buy", in: text) { return .bid }
        guard value.equals("sell", in: text) else { throw .wrong(field: "side") }
        return .ask
    }

    private func addBook(
        _ fields: Fields,
        _ firstLevel: Int,
        _ scanner: JSONScanner,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        guard fields.product.isPresent else { throw .missing(field: "product_id") }
        guard fields.hasLevels else { throw .missing(field: "levels") }
        frame.messages.append(
            .book(
                VenueBook(
                    symbol: fields.product,
                    isSnapshot: fields.type.equals("snapshot", in: scanner.text),
                    levels: firstLevel..<frame.levels.count,
                    eventNs: try timeNs(fields, scanner)
                )
            )
        )
    }

    private func addTrade(
        _ fields: Fields,
        _ scanner: JSONScanner,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        guard fields.product.isPresent else { throw .missing(field: "product_id") }
        let maker = try side(fields.side, scanner.text)
        frame.messages.append(
            .trade(
                VenueTrade(
                    symbol: fields.product,
                    price: try scanner.number(in: fields.price, named: "price"),
                    quantity: try scanner.quantity(in: fields.size, named: "size"),
                    aggressor: maker == .bid ? .seller : .buyer,
                    id: fields.tradeID,
                    eventNs: try timeNs(fields, scanner),
                    sequence: fields.sequence.isPresent
                        ? try scanner.unsigned(in: fields.sequence, named: "sequence") : 0,
                    isHistoric: fields.type.equals("last_match", in: scanner.text)
                )
            )
        )
    }

    private func addQuote(
        _ fields: Fields,
        _ scanner: JSONScanner,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        guard fields.product.isPresent else { throw .missing(field: "product_id") }
        var sizes: VenueQuote.Sizes?
        if fields.bidSize.isPresent, fields.askSize.isPresent {
            sizes = VenueQuote.Sizes(
                bid: try scanner.quantity(in: fields.bidSize, named: "best_bid_size"),
                ask: try scanner.quantity(in: fields.askSize, named: "best_ask_size")
            )
        }
        frame.messages.append(
            .quote(
                VenueQuote(
                    symbol: fields.product,
                    bid: try scanner.number(in: fields.bestBid, named: "best_bid"),
                    ask: try scanner.number(in: fields.bestAsk, named: "best_ask"),
                    sizes: sizes,
                    eventNs: try timeNs(fields, scanner),
                    sequence: fields.sequence.isPresent
                        ? try scanner.unsigned(in: fields.sequence, named: "sequence") : 0
                )
            )
        )
    }

    private func timeNs(_ fields: Fields, _ scanner: JSONScanner) throws(FrameFault) -> Int64 {
        fields.time.isPresent ? try JSONScanner.isoTimeNs(fields.time, in: scanner.text) : 0
    }

    /// `[{"name":"level2","product_ids":["A-B",...]},...]`.
    private func addSubscriptions(
        _ channels: FrameValue,
        _ text: UnsafeRawBufferPointer,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        guard channels.isPresent else { throw .missing(field: "channels") }
        var scanner = JSONScanner(text, at: channels)
        var isMoreChannels = try scanner.beginArray()
        while isMoreChannels {
            var isMore = try scanner.beginObject()
            while isMore {
                let key = try scanner.key()
                if key.equals("product_ids", in: text) {
                    var isMoreNames = try scanner.beginArray()
                    while isMoreNames {
                        frame.messages.append(.subscribed(try scanner.string()))
                        isMoreNames = try scanner.nextElement()
                    }
                } else {
                    try scanner.skip()
                }
                isMore = try scanner.nextMember()
            }
            isMoreChannels = try scanner.nextElement()
        }
    }

    // MARK: What we send

    public func symbol(ofRaw rawSymbol: String) -> VenueSymbol { VenueSymbol(rawSymbol) }

    public func url(for subscription: VenueSubscription) -> String { "wss://ws-feed.exchange.coinbase.com" }

    public func subscribeFrames(for subscription: VenueSubscription) -> [String] {
        let names: [String] = subscription.channels.compactMap { channel in
            switch channel {
            case .book: "level2"
            case .quotes: "ticker"
            case .trades: "matches"
            case .candles: nil
            }
        }
        return (names + subscription.ownChannels).map { frame("subscribe", subscription.rawSymbols, $0) }
    }

    public func resubscribeFrames(rawSymbol: String) -> [String] {
        [frame("unsubscribe", [rawSymbol], "level2"), frame("subscribe", [rawSymbol], "level2")]
    }

    private func frame(_ type: String, _ rawSymbols: [String], _ channel: String) -> String {
        "{\"type\":\"\(type)\",\"product_ids\":\(quotedList(rawSymbols)),\"channels\":[\"\(channel)\"]}"
    }

    // MARK: Instruments

    public func listing(_ scanner: inout JSONScanner) throws(FrameFault) -> Instrument? {
        let text = scanner.text
        var (id, price, quantity) = (FrameValue.none, FrameValue.none, FrameValue.none)
        var (base, quote) = (FrameValue.none, FrameValue.none)
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            let value = try scanner.value()
            if key.equals("id", in: text) { id = value }
            if key.equals("quote_increment", in: text) { price = value }
            if key.equals("base_increment", in: text) { quantity = value }
            if key.equals("base_currency", in: text) { base = value }
            if key.equals("quote_currency", in: text) { quote = value }
            isMore = try scanner.nextMember()
        }
        guard id.isString(in: text), price.isPresent, quantity.isPresent else { return nil }
        let rawSymbol = id.string(in: text)
        var instrument = Instrument(
            venue: venue,
            rawSymbol: rawSymbol,
            symbol: symbol(ofRaw: rawSymbol),
            tick: try scanner.number(in: price, named: "quote_increment"),
            lot: try scanner.number(in: quantity, named: "base_increment")
        )
        // The name stays the venue's, which tells an auction's book from the pair's.
        instrument.terms.base = base.string(in: text)
        instrument.terms.quote = quote.string(in: text)
        instrument.terms.settle = instrument.terms.quote
        return instrument
    }
}
