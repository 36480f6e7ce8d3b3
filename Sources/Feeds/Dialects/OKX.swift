import Market

/// OKX, version 5: `books`, `trades` and `tickers` of the public WebSocket.
///
/// Updates of a book name the number of the one before. Recordings from before those numbers bear a checksum over 25 levels
/// instead, which the venue has sent as 0 for "none" since 2026. Quantities of derivatives are contracts.
public struct OKXDialect: VenueDialect {
    public let venue = "okx"
    public let rules: VenueRules

    public init() {
        // The venue closes a connection that was silent for 30 s both ways; a ping is answered at once.
        var rules = VenueRules(book: .inStreamChained, silenceMostNs: 30_000_000_000)
        rules.pingEveryNs = 15_000_000_000
        rules.pingText = "ping"
        rules.checksumMethod = .twentyFiveLevels
        // Three requests a second are allowed.
        rules.sendEveryNs = 350_000_000
        self.rules = rules
    }

    /// What a frame's data are; known by the name of the channel.
    private enum Channel {
        case book
        case trades
        case ticker
        case top
        case other
    }

    /// Everything of a frame but its data.
    private struct Head {
        var (channel, symbol, action, event, code, message) = (none, none, none, none, none, none)
        private static let none = FrameValue.none
    }

    public func parse(_ text: UnsafeRawBufferPointer, into frame: inout VenueFrame) throws(FrameFault) {
        // The answer to a ping is no JSON.
        guard !text.elementsEqual("pong".utf8) else {
            frame.messages.append(.heartbeat)
            return
        }
        var scanner = JSONScanner(text)
        var head = Head()
        var data = FrameValue.none
        var hasData = false
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            if key.equals("arg", in: text), scanner.isAtObject {
                try readArgument(&scanner, &head)
            } else if key.equals("action", in: text) {
                head.action = try scanner.value()
            } else if key.equals("event", in: text) {
                head.event = try scanner.value()
            } else if key.equals("code", in: text) {
                head.code = try scanner.value()
            } else if key.equals("msg", in: text) {
                head.message = try scanner.value()
            } else if key.equals("data", in: text) {
                guard !hasData else { throw .wrong(field: "data") }
                hasData = true
                // The head tells what it is made of, and comes first unless the venue changes its mind.
                if head.action.isPresent, head.channel.isPresent, try channel(head, text) == .book {
                    try addData(&scanner, head, .book, &frame)
                } else {
                    data = try scanner.value()
                }
            } else {
                try scanner.skip()
            }
            isMore = try scanner.nextMember()
        }
        try scanner.finish()
        if data.isPresent {
            var scanner = JSONScanner(text, at: data)
            try addData(&scanner, head, try channel(head, text), &frame)
        } else if !hasData {
            try addEvent(head, text, &frame)
        }
    }

    /// `{"channel":"books","instId":"BTC-USDT"}`.
    private func readArgument(_ scanner: inout JSONScanner, _ head: inout Head) throws(FrameFault) {
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            if key.equals("channel", in: scanner.text) {
                head.channel = try scanner.value()
            } else if key.equals("instId", in: scanner.text) {
                head.symbol = try scanner.value()
            } else {
                try scanner.skip()
            }
            isMore = try scanner.nextMember()
        }
    }

    private func channel(_ head: Head, _ text: UnsafeRawBufferPointer) throws(FrameFault) -> Channel {
        let name = head.channel
        guard name.isString(in: text) else { throw .missing(field: "channel") }
        if name.equals("books", in: text) || name.equals("books-l2-tbt", in: text)
            || name.equals("books50-l2-tbt", in: text)
        {
            return .book
        }
        if name.equals("trades", in: text) { return .trades }
        if name.equals("tickers", in: text) { return .ticker }
        return name.equals("bbo-tbt", in: text) ? .top : .other
    }

    // MARK: Data

    private func addData(
        _ scanner: inout JSONScanner,
        _ head: Head,
        _ channel: Channel,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        guard channel != .other else {
            try scanner.skip()
            frame.messages.append(.other)
            return
        }
        var isMore = try scanner.beginArray()
        while isMore {
            switch channel {
            case .book: try addBook(&scanner, head, &frame)
            case .trades: try addTrade(&scanner, &frame)
            case .ticker: try addTicker(&scanner, &frame)
            case .top: try addTop(&scanner, head, &frame)
            case .other: try scanner.skip()
            }
            isMore = try scanner.nextElement()
        }
    }

    /// `{"asks":[["price","quantity","0","orders"],...],"bids":[...],"ts":"...","checksum":-1,"seqId":2,"prevSeqId":1}`.
    private func addBook(
        _ scanner: inout JSONScanner,
        _ head: Head,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        let text = scanner.text
        guard head.symbol.isString(in: text) else { throw .missing(field: "instId") }
        let isSnapshot = head.action.equals("snapshot", in: text)
        guard isSnapshot || head.action.equals("update", in: text) else { throw .wrong(field: "action") }
        let none = FrameValue.none
        var (time, checksum, number, previous) = (none, none, none, none)
        var (hasAsks, hasBids) = (false, false)
        let firstLevel = frame.levels.count
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            if key.equals("asks", in: text) {
                hasAsks = true
                try scanner.levels(.ask, into: &frame.levels)
            } else if key.equals("bids", in: text) {
                hasBids = true
                try scanner.levels(.bid, into: &frame.levels)
            } else if key.equals("ts", in: text) {
                time = try scanner.value()
            } else if key.equals("checksum", in: text) {
                checksum = try scanner.value()
            } else if key.equals("seqId", in: text) {
                number = try scanner.value()
            } else if key.equals("prevSeqId", in: text) {
                previous = try scanner.value()
            } else {
                try scanner.skip()
            }
            isMore = try scanner.nextMember()
        }
        guard hasAsks, hasBids else { throw .missing(field: "levels") }
        var book = VenueBook(symbol: head.symbol, isSnapshot: isSnapshot, levels: firstLevel..<frame.levels.count)
        if number.isPresent || previous.isPresent {
            book.lastID = try scanner.unsigned(in: number, named: "seqId")
            // A snapshot has nothing before it and says -1.
            if !isSnapshot { book.previousID = try scanner.unsigned(in: previous, named: "prevSeqId") }
        }
        book.checksum = try self.checksum(checksum, scanner)
        book.eventNs = try scanner.millisecondsNs(in: time)
        frame.messages.append(.book(book))
    }

    /// A signed number of 32 bits; 0 says that there is none.
    private func checksum(_ value: FrameValue, _ scanner: JSONScanner) throws(FrameFault) -> UInt32? {
        guard value.isPresent else { return nil }
        let number = try scanner.number(in: value, named: "checksum")
        guard let digits = number.units(atScale: 0), let signed = Int32(exactly: digits) else {
            throw .wrong(field: "checksum")
        }
        return signed == 0 ? nil : UInt32(bitPattern: signed)
    }

    /// `{"instId":"...","tradeId":"...","px":"...","sz":"...","side":"buy","ts":"..."}`; the side is the taker's.
    private func addTrade(_ scanner: inout JSONScanner, _ frame: inout VenueFrame) throws(FrameFault) {
        let (text, none) = (scanner.text, FrameValue.none)
        var (symbol, id, price, quantity, side, time) = (none, none, none, none, none, none)
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            let value = try scanner.value()
            if key.equals("instId", in: text) { symbol = value }
            if key.equals("tradeId", in: text) { id = value }
            if key.equals("px", in: text) { price = value }
            if key.equals("sz", in: text) { quantity = value }
            if key.equals("side", in: text) { side = value }
            if key.equals("ts", in: text) { time = value }
            isMore = try scanner.nextMember()
        }
        guard symbol.isString(in: text) else { throw .missing(field: "instId") }
        let isBuy = side.equals("buy", in: text)
        guard isBuy || side.equals("sell", in: text) else { throw .wrong(field: "side") }
        frame.messages.append(
            .trade(
                VenueTrade(
                    symbol: symbol,
                    price: try scanner.number(in: price, named: "px"),
                    quantity: try scanner.quantity(in: quantity, named: "sz"),
                    aggressor: isBuy ? .buyer : .seller,
                    id: id,
                    eventNs: try scanner.millisecondsNs(in: time),
                    sequence: 0,
                    isHistoric: false
                )
            )
        )
    }

    /// `{"instId":"...","bidPx":"...","bidSz":"...","askPx":"...","askSz":"...","ts":"..."}`; an empty side is empty text.
    private func addTicker(_ scanner: inout JSONScanner, _ frame: inout VenueFrame) throws(FrameFault) {
        let (text, none) = (scanner.text, FrameValue.none)
        var (symbol, bid, bidSize, ask, askSize, time) = (none, none, none, none, none, none)
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            let value = try scanner.value()
            if key.equals("instId", in: text) { symbol = value }
            if key.equals("bidPx", in: text) { bid = value }
            if key.equals("bidSz", in: text) { bidSize = value }
            if key.equals("askPx", in: text) { ask = value }
            if key.equals("askSz", in: text) { askSize = value }
            if key.equals("ts", in: text) { time = value }
            isMore = try scanner.nextMember()
        }
        guard symbol.isString(in: text) else { throw .missing(field: "instId") }
        frame.messages.append(
            .quote(
                VenueQuote(
                    symbol: symbol,
                    bid: try numberOrNothing(bid, scanner, "bidPx"),
                    ask: try numberOrNothing(ask, scanner, "askPx"),
                    sizes: VenueQuote.Sizes(
                        bid: try numberOrNothing(bidSize, scanner, "bidSz"),
                        ask: try numberOrNothing(askSize, scanner, "askSz")
                    ),
                    eventNs: try scanner.millisecondsNs(in: time),
                    sequence: 0
                )
            )
        )
    }

    private func numberOrNothing(
        _ value: FrameValue,
        _ scanner: JSONScanner,
        _ field: FrameFault.FieldName
    ) throws(FrameFault) -> VenueNumber {
        guard !value.equals("", in: scanner.text) else { return VenueNumber(digits: 0, scale: 0, written: 0) }
        return try scanner.quantity(in: value, named: field)
    }

    /// The best level of each side: `{"asks":[["price","quantity","0","orders"]],"bids":[...],"ts":"...","seqId":1}`.
    private func addTop(
        _ scanner: inout JSONScanner,
        _ head: Head,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        let text = scanner.text
        guard head.symbol.isString(in: text) else { throw .missing(field: "instId") }
        let firstLevel = frame.levels.count
        defer { frame.levels.removeLast(frame.levels.count - firstLevel) }
        var (time, number) = (FrameValue.none, FrameValue.none)
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            if key.equals("asks", in: text) {
                try scanner.levels(.ask, into: &frame.levels)
            } else if key.equals("bids", in: text) {
                try scanner.levels(.bid, into: &frame.levels)
            } else if key.equals("ts", in: text) {
                time = try scanner.value()
            } else if key.equals("seqId", in: text) {
                number = try scanner.value()
            } else {
                try scanner.skip()
            }
            isMore = try scanner.nextMember()
        }
        let none = VenueNumber(digits: 0, scale: 0, written: 0)
        var (bid, ask): (VenueLevel?, VenueLevel?)
        for index in firstLevel..<frame.levels.count {
            let level = frame.levels[index]
            if level.side == .bid { bid = bid ?? level } else { ask = ask ?? level }
        }
        frame.messages.append(
            .quote(
                VenueQuote(
                    symbol: head.symbol,
                    bid: bid?.price ?? none,
                    ask: ask?.price ?? none,
                    sizes: VenueQuote.Sizes(bid: bid?.quantity ?? none, ask: ask?.quantity ?? none),
                    eventNs: try scanner.millisecondsNs(in: time),
                    sequence: number.isPresent ? try scanner.unsigned(in: number, named: "seqId") : 0
                )
            )
        )
    }

    // MARK: Events

    private func addEvent(
        _ head: Head,
        _ text: UnsafeRawBufferPointer,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        let event = head.event
        if event.equals("subscribe", in: text) {
            frame.messages.append(.subscribed(head.symbol))
        } else if event.equals("error", in: text) {
            frame.messages.append(.refusal(head.message.isPresent ? head.message : head.code))
        } else if event.equals("notice", in: text) {
            // 64008: the connection will be closed for an upgrade of the service, in about a minute.
            frame.messages.append(head.code.equals("64008", in: text) ? .reconnectRequest : .other)
        } else if event.equals("unsubscribe", in: text) || event.equals("channel-conn-count", in: text) {
            frame.messages.append(.other)
        } else if event.equals("channel-conn-count-error", in: text) {
            frame.messages.append(.refusal(head.channel))
        } else {
            throw event.isPresent ? .unknownMessage : .missing(field: "event")
        }
    }

    // MARK: What we send

    /// A request may have 64 KB: so many arguments have room even with the longest names.
    private static let argumentsMost = 400

    public func url(for subscription: VenueSubscription) -> String { "wss://ws.okx.com:8443/ws/v5/public" }

    public func subscribeFrames(for subscription: VenueSubscription) -> [String] {
        let named: [String] = subscription.channels.compactMap { channel in
            switch channel {
            case .book: "books"
            case .quotes: "tickers"
            case .trades: "trades"
            case .candles: nil
            }
        }
        return (named + subscription.ownChannels).flatMap { channel in
            let symbols = subscription.rawSymbols
            return stride(from: 0, to: symbols.count, by: Self.argumentsMost).map { first in
                frame("subscribe", channel, symbols[first..<min(first + Self.argumentsMost, symbols.count)])
            }
        }
    }

    public func resubscribeFrames(rawSymbol: String) -> [String] { resubscribeFrames("books", rawSymbol) }

    public func resubscribeFrames(rawSymbol: String, in subscription: VenueSubscription) -> [String]? {
        guard !subscription.channels.contains(.book) else { return nil }
        return subscription.ownChannels.first { $0.hasPrefix("books") }.map { resubscribeFrames($0, rawSymbol) }
    }

    private func resubscribeFrames(_ channel: String, _ rawSymbol: String) -> [String] {
        [frame("unsubscribe", channel, [rawSymbol]), frame("subscribe", channel, [rawSymbol])]
    }

    private func frame(_ operation: String, _ channel: String, _ rawSymbols: ArraySlice<String>) -> String {
        let arguments = rawSymbols.map { "{\"channel\":\(quoted(channel)),\"instId\":\(quoted($0))}" }
        return "{\"op\":\"\(operation)\",\"args\":[\(arguments.joined(separator: ","))]}"
    }

    // MARK: Names

    /// `BTC-USDT`, `BTC-USD-SWAP`, `BTC-USD-220527`, `BTC-USD-220527-30000-C`.
    public func symbol(ofRaw rawSymbol: String) -> VenueSymbol {
        let parts = rawSymbol.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count >= 2, parts.allSatisfy({ !$0.isEmpty }) else { return VenueSymbol(rawSymbol) }
        var terms = Instrument.Terms()
        (terms.base, terms.quote) = (VenueSymbol.commonAsset(parts[0]), VenueSymbol.commonAsset(parts[1]))
        switch parts.count {
        case 2: return VenueSymbol(terms, .spot)
        case 3 where parts[2] == "SWAP": return VenueSymbol(terms, .perpetual)
        case 3:
            guard let date = CalendarDate(digits: parts[2]) else { return VenueSymbol(rawSymbol) }
            terms.expiryNs = date.startNs
            return VenueSymbol(terms, .future)
        case 5 where parts[4] == "C" || parts[4] == "P":
            guard let date = CalendarDate(digits: parts[2]), let strike = Decimal(String(parts[3])) else {
                return VenueSymbol(rawSymbol)
            }
            terms.expiryNs = date.startNs
            terms.strike = strike
            terms.right = parts[4] == "C" ? .call : .put
            return VenueSymbol(terms, .option)
        default: return VenueSymbol(rawSymbol)
        }
    }
}
