import Market

/// Kraken Futures (Derivatives), WebSocket version 1: `book`, `trade`, `ticker_lite` and `ticker`.
///
/// Every frame is one flat object. Books and trades are numbered per product, each +1, so a loss of either shows. `ticker_lite`
/// tells prices without quantities.
public struct KrakenFuturesDialect: VenueDialect {
    public let venue = "kraken-futures"
    public let rules: VenueRules

    public init() {
        var rules = VenueRules(book: .inStreamContiguous, silenceMostNs: 30_000_000_000)
        // The venue wants one at least every minute; the pong also tells that a quiet connection lives.
        rules.pingEveryNs = 10_000_000_000
        rules.tradesAreNumbered = true
        self.rules = rules
    }

    private struct Fields {
        var (event, feed, product, products, message) = (none, none, none, none, none)
        var (side, price, quantity, sequence, time, id) = (none, none, none, none, none, none)
        var (bid, ask, bidSize, askSize, suspended, trades) = (none, none, none, none, none, none)
        var hasBids = false
        var hasAsks = false
        private static let none = FrameValue.none
    }

    public func parse(_ text: UnsafeRawBufferPointer, into frame: inout VenueFrame) throws(FrameFault) {
        var scanner = JSONScanner(text)
        let firstLevel = frame.levels.count
        let fields = try read(&scanner, &frame.levels)
        try scanner.finish()
        if fields.event.isPresent { return try addEvent(fields, text, &frame) }
        let feed = fields.feed
        guard feed.isPresent else { throw .missing(field: "feed") }
        if feed.equals("book", in: text) {
            try addUpdate(fields, scanner, &frame)
        } else if feed.equals("trade", in: text) {
            try addTrade(fields, scanner, isHistoric: false, &frame)
        } else if feed.equals("ticker_lite", in: text) || feed.equals("ticker", in: text) {
            try addQuote(fields, scanner, &frame)
        } else if feed.equals("book_snapshot", in: text) {
            guard fields.hasBids else { throw .missing(field: "bids") }
            guard fields.hasAsks else { throw .missing(field: "asks") }
            try addBook(fields, firstLevel, isSnapshot: true, scanner, &frame)
        } else if feed.equals("trade_snapshot", in: text) {
            try addPastTrades(fields.trades, text, &frame)
        } else if feed.equals("heartbeat", in: text) {
            frame.messages.append(.heartbeat)
        } else {
            throw .unknownMessage
        }
    }

    @inline(__always)
    private func read(
        _ scanner: inout JSONScanner,
        _ levels: inout [VenueLevel]
    ) throws(FrameFault) -> Fields {
        let text = scanner.text
        var fields = Fields()
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            switch key.end - key.start - 2 {
            case 3 where key.equals("seq", in: text): fields.sequence = try scanner.value()
            case 3 where key.equals("qty", in: text): fields.quantity = try scanner.value()
            case 3 where key.equals("uid", in: text): fields.id = try scanner.value()
            case 3 where key.equals("bid", in: text): fields.bid = try scanner.value()
            case 3 where key.equals("ask", in: text): fields.ask = try scanner.value()
            case 4 where key.equals("feed", in: text): fields.feed = try scanner.value()
            case 4 where key.equals("side", in: text): fields.side = try scanner.value()
            case 4 where key.equals("time", in: text): fields.time = try scanner.value()
            case 4 where key.equals("bids", in: text):
                fields.hasBids = true
                try scanner.krakenLevels(.bid, into: &levels)
            case 4 where key.equals("asks", in: text):
                fields.hasAsks = true
                try scanner.krakenLevels(.ask, into: &levels)
            case 5 where key.equals("price", in: text): fields.price = try scanner.value()
            case 5 where key.equals("event", in: text): fields.event = try scanner.value()
            case 6 where key.equals("trades", in: text): fields.trades = try scanner.value()
            case 7 where key.equals("message", in: text): fields.message = try scanner.value()
            case 8 where key.equals("bid_size", in: text): fields.bidSize = try scanner.value()
            case 8 where key.equals("ask_size", in: text): fields.askSize = try scanner.value()
            case 9 where key.equals("timestamp", in: text): fields.time = try scanner.value()
            case 9 where key.equals("suspended", in: text): fields.suspended = try scanner.value()
            case 10 where key.equals("product_id", in: text): fields.product = try scanner.value()
            case 11 where key.equals("product_ids", in: text): fields.products = try scanner.value()
            default: try scanner.skip()
            }
            isMore = try scanner.nextMember()
        }
        return fields
    }

    // MARK: Data

    private func addUpdate(
        _ fields: Fields,
        _ scanner: JSONScanner,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        guard !fields.hasBids, !fields.hasAsks else { throw .wrong(field: "feed") }
        let isBid = fields.side.equals("buy", in: scanner.text)
        guard isBid || fields.side.equals("sell", in: scanner.text) else { throw .wrong(field: "side") }
        let price = try scanner.number(in: fields.price, named: "price")
        let quantity = try scanner.quantity(in: fields.quantity, named: "qty")
        let firstLevel = frame.levels.count
        frame.levels.append(VenueLevel(isBid ? .bid : .ask, price: price, quantity: quantity))
        try addBook(fields, firstLevel, isSnapshot: false, scanner, &frame)
    }

    private func addBook(
        _ fields: Fields,
        _ firstLevel: Int,
        isSnapshot: Bool,
        _ scanner: JSONScanner,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        guard fields.product.isPresent else { throw .missing(field: "product_id") }
        let sequence = try scanner.unsigned(in: fields.sequence, named: "seq")
        var book = VenueBook(
            symbol: fields.product,
            isSnapshot: isSnapshot,
            levels: firstLevel..<frame.levels.count
        )
        (book.firstID, book.lastID) = (sequence, sequence)
        book.eventNs = try scanner.millisecondsNs(in: fields.time)
        frame.messages.append(.book(book))
    }

    private func addTrade(
        _ fields: Fields,
        _ scanner: JSONScanner,
        isHistoric: Bool,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        guard fields.product.isPresent else { throw .missing(field: "product_id") }
        let isBuy = fields.side.equals("buy", in: scanner.text)
        guard isBuy || fields.side.equals("sell", in: scanner.text) else { throw .wrong(field: "side") }
        frame.messages.append(
            .trade(
                VenueTrade(
                    symbol: fields.product,
                    price: try scanner.number(in: fields.price, named: "price"),
                    quantity: try scanner.quantity(in: fields.quantity, named: "qty"),
                    aggressor: isBuy ? .buyer : .seller,
                    id: fields.id,
                    eventNs: try scanner.millisecondsNs(in: fields.time),
                    sequence: try scanner.unsigned(in: fields.sequence, named: "seq"),
                    isHistoric: isHistoric
                )
            )
        )
    }

    /// The last trades before the subscription come newest first; they are told in the order in which they happened.
    private func addPastTrades(
        _ trades: FrameValue,
        _ text: UnsafeRawBufferPointer,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        guard trades.isPresent else { throw .missing(field: "trades") }
        var scanner = JSONScanner(text, at: trades)
        let first = frame.messages.count
        var isMore = try scanner.beginArray()
        while isMore {
            let fields = try read(&scanner, &frame.levels)
            guard !fields.hasBids, !fields.hasAsks else { throw .wrong(field: "trades") }
            try addTrade(fields, scanner, isHistoric: true, &frame)
            isMore = try scanner.nextElement()
        }
        frame.messages[first...].reverse()
    }

    private func addQuote(
        _ fields: Fields,
        _ scanner: JSONScanner,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        let text = scanner.text
        guard fields.product.isPresent else { throw .missing(field: "product_id") }
        if fields.suspended.isPresent {
            let isHalted = fields.suspended.isWord("true", in: text)
            guard isHalted || fields.suspended.isWord("false", in: text) else { throw .wrong(field: "suspended") }
            frame.messages.append(.trading(fields.product, isHalted: isHalted))
        }
        // A side without orders has no price.
        guard fields.bid.isPresent, fields.ask.isPresent, !fields.bid.isWord("null", in: text),
            !fields.ask.isWord("null", in: text)
        else { return frame.messages.append(.other) }
        var sizes: VenueQuote.Sizes?
        if fields.bidSize.isPresent, fields.askSize.isPresent {
            sizes = VenueQuote.Sizes(
                bid: try scanner.quantity(in: fields.bidSize, named: "bid_size"),
                ask: try scanner.quantity(in: fields.askSize, named: "ask_size")
            )
        }
        frame.messages.append(
            .quote(
                VenueQuote(
                    symbol: fields.product,
                    bid: try scanner.number(in: fields.bid, named: "bid"),
                    ask: try scanner.number(in: fields.ask, named: "ask"),
                    sizes: sizes,
                    eventNs: try scanner.millisecondsNs(in: fields.time),
                    sequence: 0
                )
            )
        )
    }

    // MARK: Events

    private func addEvent(
        _ fields: Fields,
        _ text: UnsafeRawBufferPointer,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        let event = fields.event
        if event.equals("subscribed", in: text) {
            guard fields.products.isPresent else { return frame.messages.append(.other) }
            var scanner = JSONScanner(text, at: fields.products)
            var isMore = try scanner.beginArray()
            while isMore {
                frame.messages.append(.subscribed(try scanner.string()))
                isMore = try scanner.nextElement()
            }
        } else if event.equals("info", in: text) || event.equals("unsubscribed", in: text) {
            frame.messages.append(.other)
        } else if event.equals("error", in: text) || event.equals("alert", in: text) {
            frame.messages.append(.refusal(fields.message))
        } else if event.equals("subscribed_failed", in: text) || event.equals("unsubscribed_failed", in: text) {
            frame.messages.append(.refusal(fields.message.isPresent ? fields.message : fields.products))
        } else {
            throw .unknownMessage
        }
    }

    // MARK: What we send

    public func url(for subscription: VenueSubscription) -> String { "wss://futures.kraken.com/ws/v1" }

    public func subscribeFrames(for subscription: VenueSubscription) -> [String] {
        let feeds: [String] = subscription.channels.compactMap { channel in
            switch channel {
            case .book: "book"
            case .trades: "trade"
            case .quotes: "ticker_lite"
            case .candles: nil
            }
        }
        return (feeds + subscription.ownChannels).map { frame("subscribe", $0, subscription.rawSymbols) }
    }

    public func resubscribeFrames(rawSymbol: String) -> [String] {
        [frame("unsubscribe", "book", [rawSymbol]), frame("subscribe", "book", [rawSymbol])]
    }

    private func frame(_ event: String, _ feed: String, _ products: [String]) -> String {
        "{\"event\":\"\(event)\",\"feed\":\(quoted(feed)),\"product_ids\":\(quotedList(products))}"
    }
}
