import Market

/// Coinbase Advanced Trade: `level2` (whose frames say `l2_data`), `market_trades`, `ticker` and `heartbeats`.
///
/// `sequence_num` counts all frames of the connection, so a hole makes all of its books begin anew. `side` of a trade is the
/// maker's.
public struct CoinbaseAdvancedDialect: VenueDialect {
    public let venue = "coinbase-advanced"
    public let rules: VenueRules

    public init() {
        // A heartbeat comes every second.
        var rules = VenueRules(book: .inStream, silenceMostNs: 10_000_000_000)
        // Eight messages a second are allowed.
        rules.sendEveryNs = 130_000_000
        self.rules = rules
    }

    public func parse(_ text: UnsafeRawBufferPointer, into frame: inout VenueFrame) throws(FrameFault) {
        var scanner = JSONScanner(text)
        let none = FrameValue.none
        var (channel, type, time, number, events, message) = (none, none, none, none, none, none)
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            let value = try scanner.value()
            if key.equals("channel", in: text) { channel = value }
            if key.equals("type", in: text) { type = value }
            if key.equals("timestamp", in: text) { time = value }
            if key.equals("sequence_num", in: text) { number = value }
            if key.equals("events", in: text) { events = value }
            if key.equals("message", in: text) { message = value }
            isMore = try scanner.nextMember()
        }
        try scanner.finish()
        guard channel.isPresent else {
            guard type.equals("error", in: text) else { throw .missing(field: "channel") }
            return frame.messages.append(.refusal(message))
        }
        let sequence = try scanner.unsigned(in: number, named: "sequence_num")
        if channel.equals("l2_data", in: text) {
            let timeNs = try timeNs(time, text)
            try each(events, "events", text) { event throws(FrameFault) in
                try addBook(&event, timeNs, sequence, &frame)
            }
        } else if channel.equals("market_trades", in: text) {
            try each(events, "events", text) { event throws(FrameFault) in try addTrades(&event, sequence, &frame) }
        } else if channel.equals("ticker", in: text) || channel.equals("ticker_batch", in: text) {
            let timeNs = try timeNs(time, text)
            try each(events, "events", text) { event throws(FrameFault) in
                try addQuotes(&event, timeNs, sequence, &frame)
            }
        } else if channel.equals("heartbeats", in: text) {
            frame.messages.append(.heartbeat)
        } else if channel.equals("subscriptions", in: text) {
            try each(events, "events", text) { event throws(FrameFault) in try addSubscriptions(&event, &frame) }
        } else if channel.equals("candles", in: text) || channel.equals("status", in: text) {
            frame.messages.append(.other)
        } else {
            throw .unknownMessage
        }
        // Last: a frame that is not understood counts as one that did not come.
        frame.number = sequence
    }

    private func timeNs(_ time: FrameValue, _ text: UnsafeRawBufferPointer) throws(FrameFault) -> Int64 {
        time.isPresent ? try JSONScanner.isoTimeNs(time, in: text) : 0
    }

    /// Reads the entries of an array, the scanner standing before each.
    @inline(__always)
    private func each(
        _ array: FrameValue,
        _ name: FrameFault.FieldName,
        _ text: UnsafeRawBufferPointer,
        _ read: (inout JSONScanner) throws(FrameFault) -> Void
    ) throws(FrameFault) {
        guard array.isPresent else { throw .missing(field: name) }
        var scanner = JSONScanner(text, at: array)
        var isMore = try scanner.beginArray()
        while isMore {
            try read(&scanner)
            isMore = try scanner.nextElement()
        }
    }

    private func isSnapshot(_ type: FrameValue, _ text: UnsafeRawBufferPointer) throws(FrameFault) -> Bool {
        if type.equals("snapshot", in: text) { return true }
        guard type.equals("update", in: text) else { throw .wrong(field: "type") }
        return false
    }

    // MARK: Books

    private func addBook(
        _ scanner: inout JSONScanner,
        _ frameNs: Int64,
        _ sequence: UInt64,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        let (text, none) = (scanner.text, FrameValue.none)
        let firstLevel = frame.levels.count
        var (type, product) = (none, none)
        var (hasUpdates, eventNs) = (false, Int64(0))
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            if key.equals("updates", in: text) {
                hasUpdates = true
                var isMoreUpdates = try scanner.beginArray()
                while isMoreUpdates {
                    eventNs = max(eventNs, try addLevel(&scanner, &frame.levels))
                    isMoreUpdates = try scanner.nextElement()
                }
            } else {
                let value = try scanner.value()
                if key.equals("type", in: text) { type = value }
                if key.equals("product_id", in: text) { product = value }
            }
            isMore = try scanner.nextMember()
        }
        guard product.isPresent else { throw .missing(field: "product_id") }
        guard hasUpdates else { throw .missing(field: "updates") }
        var book = VenueBook(
            symbol: product,
            isSnapshot: try isSnapshot(type, text),
            levels: firstLevel..<frame.levels.count
        )
        (book.firstID, book.lastID) = (sequence, sequence)
        // Levels of a snapshot may bear the time zero.
        book.eventNs = eventNs > 0 ? eventNs : frameNs
        frame.messages.append(.book(book))
    }

    /// `{"side":"bid","event_time":"...","price_level":"21921.73","new_quantity":"0.06"}`; asks are called `offer`.
    ///
    /// - Returns: the level's time.
    private func addLevel(
        _ scanner: inout JSONScanner,
        _ levels: inout [VenueLevel]
    ) throws(FrameFault) -> Int64 {
        let (text, none) = (scanner.text, FrameValue.none)
        var (side, time) = (none, none)
        var (price, quantity): (VenueNumber?, VenueNumber?)
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            if key.equals("price_level", in: text) {
                price = try scanner.number()
            } else if key.equals("new_quantity", in: text) {
                quantity = try scanner.number()
            } else {
                let value = try scanner.value()
                if key.equals("side", in: text) { side = value }
                if key.equals("event_time", in: text) { time = value }
            }
            isMore = try scanner.nextMember()
        }
        guard let price else { throw .missing(field: "price_level") }
        guard let quantity else { throw .missing(field: "new_quantity") }
        guard quantity.digits >= 0 else { throw .negativeQuantity }
        let isBid = side.equals("bid", in: text)
        guard isBid || side.equals("offer", in: text) || side.equals("ask", in: text) else {
            throw .wrong(field: "side")
        }
        levels.append(VenueLevel(isBid ? .bid : .ask, price: price, quantity: quantity))
        return try timeNs(time, text)
    }

    // MARK: Trades and quotes

    /// Trades come newest first; they are told in the order in which they happened.
    private func addTrades(
        _ scanner: inout JSONScanner,
        _ sequence: UInt64,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        let text = scanner.text
        var (type, trades) = (FrameValue.none, FrameValue.none)
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            let value = try scanner.value()
            if key.equals("type", in: text) { type = value }
            if key.equals("trades", in: text) { trades = value }
            isMore = try scanner.nextMember()
        }
        let isHistoric = try isSnapshot(type, text)
        let first = frame.messages.count
        try each(trades, "trades", text) { trade throws(FrameFault) in
            try addTrade(&trade, isHistoric, sequence, &frame)
        }
        frame.messages[first...].reverse()
    }

    private func addTrade(
        _ scanner: inout JSONScanner,
        _ isHistoric: Bool,
        _ sequence: UInt64,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        let (text, none) = (scanner.text, FrameValue.none)
        var (product, id, price, size, time, side) = (none, none, none, none, none, none)
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            let value = try scanner.value()
            if key.equals("product_id", in: text) { product = value }
            if key.equals("trade_id", in: text) { id = value }
            if key.equals("price", in: text) { price = value }
            if key.equals("size", in: text) { size = value }
            if key.equals("time", in: text) { time = value }
            if key.equals("side", in: text) { side = value }
            isMore = try scanner.nextMember()
        }
        guard product.isPresent else { throw .missing(field: "product_id") }
        let isMakerBuyer = side.equals("BUY", in: text)
        guard isMakerBuyer || side.equals("SELL", in: text) else { throw .wrong(field: "side") }
        frame.messages.append(
            .trade(
                VenueTrade(
                    symbol: product,
                    price: try scanner.number(in: price, named: "price"),
                    quantity: try scanner.quantity(in: size, named: "size"),
                    aggressor: isMakerBuyer ? .seller : .buyer,
                    id: id,
                    eventNs: try timeNs(time, text),
                    sequence: sequence,
                    isHistoric: isHistoric
                )
            )
        )
    }

    private func addQuotes(
        _ scanner: inout JSONScanner,
        _ timeNs: Int64,
        _ sequence: UInt64,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        var tickers = FrameValue.none
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            let value = try scanner.value()
            if key.equals("tickers", in: scanner.text) { tickers = value }
            isMore = try scanner.nextMember()
        }
        try each(tickers, "tickers", scanner.text) { ticker throws(FrameFault) in
            try addQuote(&ticker, timeNs, sequence, &frame)
        }
    }

    private func addQuote(
        _ scanner: inout JSONScanner,
        _ timeNs: Int64,
        _ sequence: UInt64,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        let (text, none) = (scanner.text, FrameValue.none)
        var (product, bid, ask, bidSize, askSize) = (none, none, none, none, none)
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            let value = try scanner.value()
            if key.equals("product_id", in: text) { product = value }
            if key.equals("best_bid", in: text) { bid = value }
            if key.equals("best_ask", in: text) { ask = value }
            if key.equals("best_bid_quantity", in: text) { bidSize = value }
            if key.equals("best_ask_quantity", in: text) { askSize = value }
            isMore = try scanner.nextMember()
        }
        guard product.isPresent else { throw .missing(field: "product_id") }
        // `ticker_batch` leaves the best prices out.
        guard bid.isPresent, ask.isPresent else { return frame.messages.append(.other) }
        var sizes: VenueQuote.Sizes?
        if bidSize.isPresent, askSize.isPresent {
            sizes = VenueQuote.Sizes(
                bid: try scanner.quantity(in: bidSize, named: "best_bid_quantity"),
                ask: try scanner.quantity(in: askSize, named: "best_ask_quantity")
            )
        }
        frame.messages.append(
            .quote(
                VenueQuote(
                    symbol: product,
                    bid: try scanner.number(in: bid, named: "best_bid"),
                    ask: try scanner.number(in: ask, named: "best_ask"),
                    sizes: sizes,
                    eventNs: timeNs,
                    sequence: sequence
                )
            )
        )
    }

    /// `{"subscriptions":{"level2":["BTC-USD",...],...}}`.
    private func addSubscriptions(
        _ scanner: inout JSONScanner,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        var isMore = try scanner.beginObject()
        while isMore {
            let isList = try scanner.key().equals("subscriptions", in: scanner.text)
            if isList {
                var isMoreChannels = try scanner.beginObject()
                while isMoreChannels {
                    _ = try scanner.key()
                    var isMoreNames = try scanner.beginArray()
                    while isMoreNames {
                        frame.messages.append(.subscribed(try scanner.string()))
                        isMoreNames = try scanner.nextElement()
                    }
                    isMoreChannels = try scanner.nextMember()
                }
            } else {
                try scanner.skip()
            }
            isMore = try scanner.nextMember()
        }
    }

    // MARK: What we send

    public func url(for subscription: VenueSubscription) -> String { "wss://advanced-trade-ws.coinbase.com" }

    /// Heartbeats come first: without them the venue closes quiet channels.
    public func subscribeFrames(for subscription: VenueSubscription) -> [String] {
        let names: [String] = subscription.channels.compactMap { channel in
            switch channel {
            case .book: "level2"
            case .quotes: "ticker"
            case .trades: "market_trades"
            case .candles: nil
            }
        }
        return ["{\"type\":\"subscribe\",\"channel\":\"heartbeats\"}"]
            + (names + subscription.ownChannels).map { frame("subscribe", subscription.rawSymbols, $0) }
    }

    public func resubscribeFrames(rawSymbol: String) -> [String] {
        [frame("unsubscribe", [rawSymbol], "level2"), frame("subscribe", [rawSymbol], "level2")]
    }

    private func frame(_ type: String, _ rawSymbols: [String], _ channel: String) -> String {
        "{\"type\":\"\(type)\",\"product_ids\":\(quotedList(rawSymbols)),\"channel\":\(quoted(channel))}"
    }
}
