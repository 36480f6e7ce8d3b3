public import Market

/// Bitstamp, WebSocket version 2: `diff_order_book` and `live_trades`, and order books by REST.
///
/// A book is asked for; changes not newer than it are dropped by their time in microseconds, the others apply. Neither numbers
/// nor a checksum show a loss: a book that stays crossed does, and an audit against the venue's own book each minute.
public struct BitstampDialect: VenueDialect {
    public let venue = "bitstamp"
    public let rules: VenueRules

    public init() {
        var rules = VenueRules(book: .requestedThenNewer, silenceMostNs: 30_000_000_000)
        // The instrument is the end of the channel's name.
        rules.namesAreBare = true
        rules.pingEveryNs = 12_000_000_000
        rules.pingText = #"{"event":"bts:heartbeat"}"#
        // 10,000 requests are allowed in ten minutes.
        rules.snapshotEveryNs = 100_000_000
        rules.auditEveryNs = 60_000_000_000
        self.rules = rules
    }

    /// The values of a frame, of its `data` too, which come first.
    private struct Fields {
        var (event, channel, time, message) = (none, none, none, none)
        var (id, price, amount, type) = (none, none, none, none)
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
            if key.equals("event", in: text) {
                fields.event = try scanner.value()
            } else if key.equals("channel", in: text) {
                fields.channel = try scanner.value()
            } else if key.equals("data", in: text), scanner.isAtObject {
                try readData(&scanner, &fields, &frame.levels)
            } else {
                try scanner.skip()
            }
            isMore = try scanner.nextMember()
        }
        try scanner.finish()
        let event = fields.event
        if event.equals("data", in: text) {
            try addBook(fields, firstLevel, scanner, &frame)
        } else if event.equals("trade", in: text) {
            try addTrade(fields, scanner, &frame)
        } else if event.equals("bts:subscription_succeeded", in: text) {
            let pair = try? pair(of: fields.channel, behind: "diff_order_book_", text)
            frame.messages.append(pair.map { .subscribed($0) } ?? .other)
        } else if event.equals("bts:heartbeat", in: text) {
            frame.messages.append(.heartbeat)
        } else if event.equals("bts:request_reconnect", in: text) {
            frame.messages.append(.reconnectRequest)
        } else if event.equals("bts:error", in: text) {
            frame.messages.append(.refusal(fields.message))
        } else if isOther(event, text) {
            frame.messages.append(.other)
        } else {
            throw event.isPresent ? .unknownMessage : .missing(field: "event")
        }
    }

    /// Acknowledgements, and events of channels that are not used.
    private func isOther(_ event: FrameValue, _ text: UnsafeRawBufferPointer) -> Bool {
        event.equals("bts:unsubscription_succeeded", in: text) || event.equals("order_created", in: text)
            || event.equals("order_changed", in: text) || event.equals("order_deleted", in: text)
            || event.equals("funding_rate_saved", in: text)
    }

    @inline(__always)
    private func readData(
        _ scanner: inout JSONScanner,
        _ fields: inout Fields,
        _ levels: inout [VenueLevel]
    ) throws(FrameFault) {
        let text = scanner.text
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            if key.equals("bids", in: text), scanner.isAtArray {
                fields.hasBids = true
                try scanner.levels(.bid, into: &levels)
            } else if key.equals("asks", in: text), scanner.isAtArray {
                fields.hasAsks = true
                try scanner.levels(.ask, into: &levels)
            } else {
                let value = try scanner.value()
                if key.equals("microtimestamp", in: text) { fields.time = value }
                if key.equals("id", in: text) { fields.id = value }
                // `price` and `amount` are the same as floating point made them.
                if key.equals("price_str", in: text) { fields.price = value }
                if key.equals("amount_str", in: text) { fields.amount = value }
                if key.equals("type", in: text) { fields.type = value }
                if key.equals("message", in: text) { fields.message = value }
            }
            isMore = try scanner.nextMember()
        }
    }

    /// The end of a channel's name, which must be a name as the venue gives them.
    private func pair(
        of channel: FrameValue,
        behind prefix: StaticString,
        _ text: UnsafeRawBufferPointer
    ) throws(FrameFault) -> FrameValue {
        guard channel.isString(in: text) else { throw .missing(field: "channel") }
        let count = prefix.utf8CodeUnitCount
        let bytes = channel.bytes(in: text)
        guard bytes.count > count, prefix.withUTF8Buffer({ bytes.starts(with: $0) }),
            bytes[count...].allSatisfy(Self.isNameByte)
        else { throw .wrong(field: "channel") }
        return FrameValue(start: channel.start + 1 + count, end: channel.end - 1)
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"): true
        default: false
        }
    }

    private func addBook(
        _ fields: Fields,
        _ firstLevel: Int,
        _ scanner: JSONScanner,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        let text = scanner.text
        // The best hundred levels, with orders or without: another thing under the same event.
        guard !isTop(fields.channel, text) else {
            frame.messages.append(.other)
            return
        }
        let pair = try pair(of: fields.channel, behind: "diff_order_book_", text)
        guard fields.hasBids, fields.hasAsks else { throw .missing(field: "levels") }
        var book = VenueBook(symbol: pair, isSnapshot: false, levels: firstLevel..<frame.levels.count)
        try setTime(fields.time, scanner, &book)
        frame.messages.append(.book(book))
    }

    private func isTop(_ channel: FrameValue, _ text: UnsafeRawBufferPointer) -> Bool {
        let bytes = channel.bytes(in: text)
        return channel.isString(in: text)
            && (bytes.starts(with: "order_book_".utf8) || bytes.starts(with: "detail_order_book_".utf8))
    }

    /// The time in microseconds is what orders a book's messages.
    private func setTime(
        _ time: FrameValue,
        _ scanner: JSONScanner,
        _ book: inout VenueBook
    ) throws(FrameFault) {
        book.lastID = try scanner.unsigned(in: time, named: "microtimestamp")
        book.eventNs = try scanner.microsecondsNs(in: time)
    }

    private func addTrade(
        _ fields: Fields,
        _ scanner: JSONScanner,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        let text = scanner.text
        let isBuy = fields.type.isWord("0", in: text)
        guard isBuy || fields.type.isWord("1", in: text) else { throw .wrong(field: "type") }
        guard fields.id.isPresent else { throw .missing(field: "id") }
        frame.messages.append(
            .trade(
                VenueTrade(
                    symbol: try pair(of: fields.channel, behind: "live_trades_", text),
                    price: try scanner.number(in: fields.price, named: "price_str"),
                    quantity: try scanner.quantity(in: fields.amount, named: "amount_str"),
                    aggressor: isBuy ? .buyer : .seller,
                    id: fields.id,
                    eventNs: try scanner.microsecondsNs(in: fields.time),
                    sequence: 0,
                    isHistoric: false
                )
            )
        )
    }

    // MARK: Snapshots

    private static let snapshotBase = "https://www.bitstamp.net/api/v2/order_book/"

    public func snapshotURL(rawSymbol: String) -> String? { Self.snapshotBase + percentEncoded(rawSymbol) }

    /// By the last part of the path.
    public func rawSymbol(ofSnapshotURL url: String) -> String? {
        let path = url.prefix { $0 != "?" }
        guard let name = path.split(separator: "/order_book/", maxSplits: 1).dropFirst().first else { return nil }
        return percentDecoded(name.hasSuffix("/") ? name.dropLast() : name)
    }

    public func parseSnapshot(_ body: UnsafeRawBufferPointer, into frame: inout VenueFrame) throws(FrameFault) {
        var scanner = JSONScanner(body)
        var fields = Fields()
        let firstLevel = frame.levels.count
        scanner.skipSpace()
        try readData(&scanner, &fields, &frame.levels)
        try scanner.finish()
        guard fields.hasBids, fields.hasAsks else { throw .missing(field: "levels") }
        var book = VenueBook(symbol: .none, isSnapshot: true, levels: firstLevel..<frame.levels.count)
        try setTime(fields.time, scanner, &book)
        frame.messages.append(.book(book))
    }

    // MARK: What we send

    public func url(for subscription: VenueSubscription) -> String { "wss://ws.bitstamp.net/" }

    /// One frame for each channel and instrument.
    public func subscribeFrames(for subscription: VenueSubscription) -> [String] {
        let named: [String] = subscription.channels.compactMap { channel in
            switch channel {
            case .book: "diff_order_book"
            case .trades: "live_trades"
            case .quotes, .candles: nil
            }
        }
        return (named + subscription.ownChannels).flatMap { channel in
            subscription.rawSymbols.map {
                "{\"event\":\"bts:subscribe\",\"data\":{\"channel\":\(quoted("\(channel)_\($0)"))}}"
            }
        }
    }

    // MARK: Names

    /// Quote currencies, longer ones first where one ends with another.
    private static let quotes = ["usdt", "usdc", "pyusd", "usd", "eurc", "eur", "gbp", "btc", "eth", "pax", "chf"]

    /// `ethusd`, and `btcusd-perp` for a perpetual.
    public func symbol(ofRaw rawSymbol: String) -> VenueSymbol {
        let isPerpetual = rawSymbol.hasSuffix("-perp")
        let pair = isPerpetual ? rawSymbol.dropLast("-perp".count) : rawSymbol[...]
        guard let quote = Self.quotes.first(where: { pair.hasSuffix($0) && pair.count > $0.count }) else {
            return VenueSymbol(rawSymbol.uppercased())
        }
        var terms = Instrument.Terms()
        terms.base = VenueSymbol.commonAsset(pair.dropLast(quote.count))
        terms.quote = VenueSymbol.commonAsset(quote)
        return VenueSymbol(terms, isPerpetual ? .perpetual : .spot)
    }

    /// An entry of `trading-pairs-info`, as recorded, or of `markets`, which came after it.
    public func listing(_ scanner: inout JSONScanner) throws(FrameFault) -> Instrument? {
        let (text, none) = (scanner.text, FrameValue.none)
        var (id, name, base, counter, type) = (none, none, none, none, none)
        var (baseDecimals, counterDecimals) = (none, none)
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            let value = try scanner.value()
            if key.equals("url_symbol", in: text) || key.equals("market_symbol", in: text) { id = value }
            if key.equals("name", in: text) { name = value }
            if key.equals("base_currency", in: text) { base = value }
            if key.equals("counter_currency", in: text) { counter = value }
            if key.equals("market_type", in: text) { type = value }
            if key.equals("base_decimals", in: text) { baseDecimals = value }
            if key.equals("counter_decimals", in: text) { counterDecimals = value }
            isMore = try scanner.nextMember()
        }
        guard id.isString(in: text), baseDecimals.isPresent, counterDecimals.isPresent else { return nil }
        let pair = name.string(in: text).split(separator: "/").map(VenueSymbol.commonAsset)
        var terms = Instrument.Terms()
        terms.base = base.isPresent ? VenueSymbol.commonAsset(base.string(in: text)) : pair.first ?? ""
        terms.quote = counter.isPresent ? VenueSymbol.commonAsset(counter.string(in: text)) : pair.last ?? ""
        guard !terms.base.isEmpty, !terms.quote.isEmpty else { throw .wrong(field: "name") }
        terms.settle = terms.quote
        return Instrument(
            venue: venue,
            rawSymbol: id.string(in: text),
            kind: type.equals("PERPETUAL", in: text) ? .perpetual : .spot,
            terms: terms,
            tick: try step(counterDecimals, "counter_decimals", scanner),
            lot: try step(baseDecimals, "base_decimals", scanner)
        )
    }

    /// One unit of so many decimals.
    private func step(
        _ decimals: FrameValue,
        _ field: FrameFault.FieldName,
        _ scanner: JSONScanner
    ) throws(FrameFault) -> VenueNumber {
        let scale = try scanner.unsigned(in: decimals, named: field)
        guard scale <= 18 else { throw .wrong(field: field) }
        return VenueNumber(digits: 1, scale: UInt8(scale), written: UInt8(scale))
    }
}
