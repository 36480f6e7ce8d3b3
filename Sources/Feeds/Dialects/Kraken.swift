public import Market

/// Kraken's WebSocket API version 1: `book-<depth>` with CRC32, `trade` and `ticker`.
///
/// Data frames are arrays `[channelID, payload(, payload), "name", "PAIR"]`. There are no numbers: the checksum over the best
/// ten levels is the only sign of a loss. It is made of the digits as written, so prices keep all decimals of the feed.
public struct KrakenDialect: VenueDialect {
    public let venue = "kraken"
    public let rules: VenueRules
    private let depth: Int

    public init(depth: Int = 1_000) {
        self.depth = depth
        // A heartbeat comes about once a second.
        var rules = VenueRules(book: .inStream, silenceMostNs: 10_000_000_000)
        rules.decimals = .written
        self.rules = rules
    }

    public func parse(_ text: UnsafeRawBufferPointer, into frame: inout VenueFrame) throws(FrameFault) {
        var scanner = JSONScanner(text)
        scanner.skipSpace()
        if scanner.isAtObject {
            try parseEvent(&scanner, &frame)
        } else {
            try parseData(&scanner, &frame)
        }
    }

    // MARK: Data

    private func parseData(_ scanner: inout JSONScanner, _ frame: inout VenueFrame) throws(FrameFault) {
        let text = scanner.text
        // Channel, one or two payloads, name, pair: name and pair come last but say what the payloads are.
        var values = InlineArray<5, FrameValue>(repeating: .none)
        var count = 0
        var isMore = try scanner.beginArray()
        while isMore {
            guard count < 5 else { throw .wrong(field: "payload") }
            values[count] = try scanner.value()
            count += 1
            isMore = try scanner.nextElement()
        }
        try scanner.finish()
        guard count >= 4 else { throw .missing(field: "payload") }
        let (name, pair) = (values[count - 2], values[count - 1])
        guard pair.isString(in: text), name.isString(in: text) else { throw .missing(field: "pair") }
        if name.equals("trade", in: text) {
            for index in 1..<(count - 2) { try addTrades(JSONScanner(text, at: values[index]), pair, &frame) }
        } else if name.equals("ticker", in: text) {
            for index in 1..<(count - 2) { try addQuote(JSONScanner(text, at: values[index]), pair, &frame) }
        } else if name.bytes(in: text).starts(with: "book-".utf8) {
            var book = VenueBook(symbol: pair, isSnapshot: false, levels: frame.levels.count..<frame.levels.count)
            book.depth = try depth(ofName: name, text)
            for index in 1..<(count - 2) {
                var payload = JSONScanner(text, at: values[index])
                try read(&payload, &book, &frame)
            }
            book.levels = book.levels.lowerBound..<frame.levels.count
            frame.messages.append(.book(book))
        } else if name.bytes(in: text).starts(with: "ohlc".utf8) || name.equals("spread", in: text) {
            frame.messages.append(.other)
        } else {
            throw .unknownMessage
        }
    }

    private func depth(ofName name: FrameValue, _ text: UnsafeRawBufferPointer) throws(FrameFault) -> Int {
        let start = name.start + "\"book-".utf8.count
        var scanner = JSONScanner(text, at: FrameValue(start: start, end: name.end))
        let depth = try scanner.unsigned()
        // Behind the digits comes the closing quote.
        guard (1...100_000).contains(depth), scanner.at == name.end - 1 else { throw .wrong(field: "depth") }
        return Int(depth)
    }

    /// One payload of a book frame: `as` and `bs` are a snapshot, `a` and `b` an update, `c` the checksum.
    private func read(
        _ scanner: inout JSONScanner,
        _ book: inout VenueBook,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        let text = scanner.text
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            if key.equals("a", in: text) {
                try readLevels(.ask, &scanner, &book, &frame)
            } else if key.equals("b", in: text) {
                try readLevels(.bid, &scanner, &book, &frame)
            } else if key.equals("as", in: text) {
                book.isSnapshot = true
                try readLevels(.ask, &scanner, &book, &frame)
            } else if key.equals("bs", in: text) {
                book.isSnapshot = true
                try readLevels(.bid, &scanner, &book, &frame)
            } else if key.equals("c", in: text) {
                guard let checksum = UInt32(exactly: try scanner.unsigned()) else { throw .wrong(field: "c") }
                book.checksum = checksum
            } else {
                try scanner.skip()
            }
            isMore = try scanner.nextMember()
        }
    }

    /// `[["price","volume","seconds"(,"r")],...]`; a level marked `r` comes back into the depth subscribed to.
    private func readLevels(
        _ side: Side,
        _ scanner: inout JSONScanner,
        _ book: inout VenueBook,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        var isMore = try scanner.beginArray()
        while isMore {
            guard try scanner.beginArray() else { throw .missing(field: "price") }
            let price = try scanner.number()
            guard try scanner.nextElement() else { throw .missing(field: "volume") }
            let quantity = try scanner.number()
            guard quantity.digits >= 0 else { throw .negativeQuantity }
            guard try scanner.nextElement() else { throw .missing(field: "timestamp") }
            book.eventNs = max(book.eventNs, try scanner.secondsNs())
            while try scanner.nextElement() { try scanner.skip() }
            frame.levels.append(VenueLevel(side, price: price, quantity: quantity))
            isMore = try scanner.nextElement()
        }
    }

    /// `[["price","volume","seconds","b"|"s","l"|"m","misc"],...]`.
    private func addTrades(
        _ payload: JSONScanner,
        _ pair: FrameValue,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        var scanner = payload
        var isMore = try scanner.beginArray()
        while isMore {
            guard try scanner.beginArray() else { throw .missing(field: "price") }
            let price = try scanner.number()
            guard try scanner.nextElement() else { throw .missing(field: "volume") }
            let quantity = try scanner.number()
            guard quantity.digits >= 0 else { throw .negativeQuantity }
            guard try scanner.nextElement() else { throw .missing(field: "time") }
            let eventNs = try scanner.secondsNs()
            guard try scanner.nextElement() else { throw .missing(field: "side") }
            let side = try scanner.value()
            let isBuy = side.equals("b", in: scanner.text)
            guard isBuy || side.equals("s", in: scanner.text) else { throw .wrong(field: "side") }
            while try scanner.nextElement() { try scanner.skip() }
            frame.messages.append(
                .trade(
                    VenueTrade(
                        symbol: pair,
                        price: price,
                        quantity: quantity,
                        aggressor: isBuy ? .buyer : .seller,
                        id: .none,
                        eventNs: eventNs,
                        sequence: 0,
                        isHistoric: false
                    )
                )
            )
            isMore = try scanner.nextElement()
        }
    }

    /// `{"a":["price",whole lots,"quantity"],"b":[...],...}`.
    private func addQuote(
        _ payload: JSONScanner,
        _ pair: FrameValue,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        var scanner = payload
        var (bid, ask): (VenueLevel?, VenueLevel?)
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            if key.equals("a", in: scanner.text) {
                ask = try top(.ask, &scanner)
            } else if key.equals("b", in: scanner.text) {
                bid = try top(.bid, &scanner)
            } else {
                try scanner.skip()
            }
            isMore = try scanner.nextMember()
        }
        guard let bid, let ask else { throw .missing(field: "a") }
        frame.messages.append(
            .quote(
                VenueQuote(
                    symbol: pair,
                    bid: bid.price,
                    ask: ask.price,
                    sizes: VenueQuote.Sizes(bid: bid.quantity, ask: ask.quantity),
                    eventNs: 0,
                    sequence: 0
                )
            )
        )
    }

    private func top(_ side: Side, _ scanner: inout JSONScanner) throws(FrameFault) -> VenueLevel {
        guard try scanner.beginArray() else { throw .missing(field: "price") }
        let price = try scanner.number()
        guard try scanner.nextElement() else { throw .missing(field: "lots") }
        try scanner.skip()
        guard try scanner.nextElement() else { throw .missing(field: "volume") }
        let quantity = try scanner.number()
        guard quantity.digits >= 0 else { throw .negativeQuantity }
        while try scanner.nextElement() { try scanner.skip() }
        return VenueLevel(side, price: price, quantity: quantity)
    }

    // MARK: Events

    private func parseEvent(_ scanner: inout JSONScanner, _ frame: inout VenueFrame) throws(FrameFault) {
        let (text, none) = (scanner.text, FrameValue.none)
        var (event, status, pair, message) = (none, none, none, none)
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            let value = try scanner.value()
            if key.equals("event", in: text) { event = value }
            if key.equals("status", in: text) { status = value }
            if key.equals("pair", in: text) { pair = value }
            if key.equals("errorMessage", in: text) { message = value }
            isMore = try scanner.nextMember()
        }
        try scanner.finish()
        if event.equals("heartbeat", in: text) || event.equals("pong", in: text) {
            frame.messages.append(.heartbeat)
        } else if event.equals("systemStatus", in: text) {
            frame.messages.append(.other)
        } else if event.equals("subscriptionStatus", in: text) {
            if status.equals("error", in: text) {
                frame.messages.append(.refusal(message))
            } else {
                frame.messages.append(status.equals("subscribed", in: text) ? .subscribed(pair) : .other)
            }
        } else if event.equals("error", in: text) {
            frame.messages.append(.refusal(message))
        } else {
            throw event.isPresent ? .unknownMessage : .missing(field: "event")
        }
    }

    // MARK: What we send

    public func url(for subscription: VenueSubscription) -> String { "wss://ws.kraken.com" }

    public func subscribeFrames(for subscription: VenueSubscription) -> [String] {
        let named: [String] = subscription.channels.compactMap { channel in
            switch channel {
            case .book: bookFrame("subscribe", subscription.rawSymbols)
            case .quotes: frame("subscribe", subscription.rawSymbols, "{\"name\":\"ticker\"}")
            case .trades: frame("subscribe", subscription.rawSymbols, "{\"name\":\"trade\"}")
            case .candles: nil
            }
        }
        let own = subscription.ownChannels.map {
            frame("subscribe", subscription.rawSymbols, "{\"name\":\(quoted($0))}")
        }
        return named + own
    }

    public func resubscribeFrames(rawSymbol: String) -> [String] {
        [bookFrame("unsubscribe", [rawSymbol]), bookFrame("subscribe", [rawSymbol])]
    }

    private func bookFrame(_ event: String, _ pairs: [String]) -> String {
        frame(event, pairs, "{\"name\":\"book\",\"depth\":\(depth)}")
    }

    private func frame(_ event: String, _ pairs: [String], _ subscription: String) -> String {
        "{\"event\":\"\(event)\",\"pair\":\(quotedList(pairs)),\"subscription\":\(subscription)}"
    }

    // MARK: Names

    public func symbol(ofRaw rawSymbol: String) -> VenueSymbol {
        let name = rawSymbol.split(separator: "/").map(VenueSymbol.commonAsset).joined(separator: "-")
        return VenueSymbol(name.isEmpty ? rawSymbol : name)
    }

    public func listing(_ scanner: inout JSONScanner) throws(FrameFault) -> Instrument? {
        let (text, none) = (scanner.text, FrameValue.none)
        var (name, price, quantity, tick) = (none, none, none, none)
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            let value = try scanner.value()
            if key.equals("wsname", in: text) { name = value }
            if key.equals("pair_decimals", in: text) { price = value }
            if key.equals("lot_decimals", in: text) { quantity = value }
            if key.equals("tick_size", in: text) { tick = value }
            isMore = try scanner.nextMember()
        }
        guard name.isString(in: text) else { return nil }
        let rawSymbol = name.string(in: text)
        let priceScale = try scanner.unsigned(in: price, named: "pair_decimals")
        let quantityScale = try scanner.unsigned(in: quantity, named: "lot_decimals")
        guard priceScale <= 18, quantityScale <= 18 else { throw .wrong(field: "pair_decimals") }
        var instrument = Instrument(
            id: InstrumentID(0),
            venue: venue,
            symbol: symbol(ofRaw: rawSymbol).symbol,
            rawSymbol: rawSymbol,
            priceScale: UInt8(priceScale),
            quantityScale: UInt8(quantityScale)
        )
        if tick.isPresent, let step = try scanner.number(in: tick, named: "tick_size").units(atScale: UInt8(priceScale))
        {
            instrument.tick = max(1, step)
        }
        // Its fields `base` and `quote` are names of the books, as in XXBT.
        let parts = rawSymbol.split(separator: "/")
        if parts.count == 2 {
            instrument.terms.base = VenueSymbol.commonAsset(parts[0])
            instrument.terms.quote = VenueSymbol.commonAsset(parts[1])
            instrument.terms.settle = instrument.terms.quote
        }
        return instrument
    }
}
