import Market

/// Deribit: `book`, `trades` and `ticker` by JSON-RPC over a WebSocket.
///
/// A change of a book names the number of the one before, trades of an instrument are numbered without holes. Numbers are
/// JSON numbers. The connection is kept by heartbeats: what the venue wants answered is answered.
public struct DeribitDialect: VenueDialect {
    public let venue = "deribit"
    public let rules: VenueRules

    /// What a heartbeat that wants an answer is answered with.
    private static let answer: StaticString = #"{"jsonrpc":"2.0","id":2,"method":"public/test","params":{}}"#

    public init() {
        // Heartbeats come every ten seconds, the least that the venue offers.
        var rules = VenueRules(book: .inStreamChained, silenceMostNs: 25_000_000_000)
        rules.tradesAreNumbered = true
        rules.numbersAreShared = true
        // A request to subscribe costs 3,000 of 10,000 credits a second.
        rules.sendEveryNs = 350_000_000
        self.rules = rules
    }

    /// The values of a frame, of its `params` too.
    private struct Fields {
        var (method, type, channel, data, result, message) = (none, none, none, none, none, none)
        var hasID = false
        private static let none = FrameValue.none
    }

    /// What a channel's data are.
    private enum Channel {
        case book
        case trades
        case ticker
        case other
    }

    public func parse(_ text: UnsafeRawBufferPointer, into frame: inout VenueFrame) throws(FrameFault) {
        var scanner = JSONScanner(text)
        var fields = Fields()
        var isDone = false
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            if key.equals("method", in: text) {
                fields.method = try scanner.value()
            } else if key.equals("params", in: text), scanner.isAtObject {
                guard !isDone else { throw .wrong(field: "params") }
                try readParameters(&scanner, &fields, &isDone, &frame)
            } else if key.equals("result", in: text) {
                fields.result = try scanner.value()
            } else if key.equals("error", in: text), scanner.isAtObject {
                try readError(&scanner, &fields)
            } else if key.equals("id", in: text) {
                fields.hasID = true
                try scanner.skip()
            } else {
                try scanner.skip()
            }
            isMore = try scanner.nextMember()
        }
        try scanner.finish()
        if fields.method.equals("subscription", in: text) {
            guard !isDone else { return }
            guard fields.data.isPresent else { throw .missing(field: "data") }
            var scanner = JSONScanner(text, at: fields.data)
            try addData(&scanner, fields.channel, &frame)
        } else {
            guard !isDone else { throw .wrong(field: "method") }
            try addOther(fields, text, &frame)
        }
    }

    /// `{"channel":"book.BTC-PERPETUAL.100ms","data":{...}}`, or `{"type":"test_request"}` of a heartbeat.
    ///
    /// Data are read at once where the channel was told before, as the venue does.
    private func readParameters(
        _ scanner: inout JSONScanner,
        _ fields: inout Fields,
        _ isDone: inout Bool,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        let text = scanner.text
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            if key.equals("channel", in: text) {
                fields.channel = try scanner.value()
            } else if key.equals("type", in: text) {
                fields.type = try scanner.value()
            } else if key.equals("data", in: text) {
                guard !isDone, !fields.data.isPresent else { throw .wrong(field: "data") }
                if fields.channel.isPresent {
                    try addData(&scanner, fields.channel, &frame)
                    isDone = true
                } else {
                    fields.data = try scanner.value()
                }
            } else {
                try scanner.skip()
            }
            isMore = try scanner.nextMember()
        }
    }

    private func readError(_ scanner: inout JSONScanner, _ fields: inout Fields) throws(FrameFault) {
        let error = scanner.at
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            if key.equals("message", in: scanner.text) {
                fields.message = try scanner.value()
            } else {
                try scanner.skip()
            }
            isMore = try scanner.nextMember()
        }
        if !fields.message.isPresent { fields.message = FrameValue(start: error, end: scanner.at) }
    }

    private func addOther(
        _ fields: Fields,
        _ text: UnsafeRawBufferPointer,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        if fields.method.equals("heartbeat", in: text) {
            let isTest = fields.type.equals("test_request", in: text)
            frame.messages.append(isTest ? .answer(Self.answer) : .heartbeat)
        } else if fields.message.isPresent {
            frame.messages.append(.refusal(fields.message))
        } else if fields.hasID, fields.result.isPresent {
            try addResult(fields.result, text, &frame)
        } else {
            throw fields.method.isPresent ? .unknownMessage : .missing(field: "method")
        }
    }

    /// The channels that were subscribed to, or whatever else was asked.
    private func addResult(
        _ result: FrameValue,
        _ text: UnsafeRawBufferPointer,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        var scanner = JSONScanner(text, at: result)
        frame.messages.append(.heartbeat)
        guard scanner.isAtArray else { return }
        var isMore = try scanner.beginArray()
        while isMore {
            let name = try scanner.value()
            if channel(name, text) == .book {
                // Between `"book.` and the dot before the interval.
                let bytes = name.bytes(in: text)
                let last = bytes.lastIndex(of: UInt8(ascii: ".")) ?? bytes.count
                frame.messages.append(
                    .subscribed(FrameValue(start: name.start + 1 + "book.".utf8.count, end: name.start + 1 + last))
                )
            }
            isMore = try scanner.nextElement()
        }
    }

    // MARK: Data

    private func channel(_ name: FrameValue, _ text: UnsafeRawBufferPointer) -> Channel {
        guard name.isString(in: text) else { return .other }
        let bytes = name.bytes(in: text)
        // A book in groups or of some levels only has more parts, and is another thing.
        if bytes.starts(with: "book.".utf8) { return bytes.count { $0 == UInt8(ascii: ".") } == 2 ? .book : .other }
        if bytes.starts(with: "trades.".utf8) { return .trades }
        return bytes.starts(with: "ticker.".utf8) ? .ticker : .other
    }

    private func addData(
        _ scanner: inout JSONScanner,
        _ name: FrameValue,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        guard name.isString(in: scanner.text) else { throw .missing(field: "channel") }
        switch channel(name, scanner.text) {
        case .book: try addBook(&scanner, &frame)
        case .ticker: try addTicker(&scanner, &frame)
        case .trades:
            var isMore = try scanner.beginArray()
            while isMore {
                try addTrade(&scanner, &frame)
                isMore = try scanner.nextElement()
            }
        case .other:
            try scanner.skip()
            frame.messages.append(.other)
        }
    }

    /// `{"type":"change","timestamp":1,"instrument_name":"...","prev_change_id":1,"change_id":2,"bids":[...],"asks":[...]}`.
    private func addBook(_ scanner: inout JSONScanner, _ frame: inout VenueFrame) throws(FrameFault) {
        let (text, none) = (scanner.text, FrameValue.none)
        var (type, symbol, time, number, previous) = (none, none, none, none, none)
        var (hasAsks, hasBids) = (false, false)
        let firstLevel = frame.levels.count
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            if key.equals("bids", in: text) {
                hasBids = true
                try readRows(.bid, &scanner, &frame.levels)
            } else if key.equals("asks", in: text) {
                hasAsks = true
                try readRows(.ask, &scanner, &frame.levels)
            } else {
                let value = try scanner.value()
                if key.equals("type", in: text) { type = value }
                if key.equals("instrument_name", in: text) { symbol = value }
                if key.equals("timestamp", in: text) { time = value }
                if key.equals("change_id", in: text) { number = value }
                if key.equals("prev_change_id", in: text) { previous = value }
            }
            isMore = try scanner.nextMember()
        }
        guard symbol.isString(in: text) else { throw .missing(field: "instrument_name") }
        let isSnapshot = type.equals("snapshot", in: text)
        guard isSnapshot || type.equals("change", in: text) else { throw .wrong(field: "type") }
        guard hasAsks, hasBids else { throw .missing(field: "levels") }
        var book = VenueBook(symbol: symbol, isSnapshot: isSnapshot, levels: firstLevel..<frame.levels.count)
        book.lastID = try scanner.unsigned(in: number, named: "change_id")
        if !isSnapshot { book.previousID = try scanner.unsigned(in: previous, named: "prev_change_id") }
        // Zero would stand for a book without numbers.
        guard book.lastID > 0 else { throw .wrong(field: "change_id") }
        book.eventNs = try scanner.millisecondsNs(in: time)
        frame.messages.append(.book(book))
    }

    /// `[["new"|"change"|"delete",price,amount],...]`.
    private func readRows(
        _ side: Side,
        _ scanner: inout JSONScanner,
        _ levels: inout [VenueLevel]
    ) throws(FrameFault) {
        var isMore = try scanner.beginArray()
        while isMore {
            guard try scanner.beginArray() else { throw .missing(field: "action") }
            let action = try scanner.value()
            let isDeletion = action.equals("delete", in: scanner.text)
            guard isDeletion || action.equals("new", in: scanner.text) || action.equals("change", in: scanner.text)
            else { throw .wrong(field: "action") }
            guard try scanner.nextElement() else { throw .missing(field: "price") }
            let price = try scanner.number()
            guard try scanner.nextElement() else { throw .missing(field: "amount") }
            let amount = try scanner.number()
            guard amount.digits >= 0 else { throw .negativeQuantity }
            while try scanner.nextElement() { try scanner.skip() }
            let none = VenueNumber(digits: 0, scale: 0, written: 0)
            levels.append(VenueLevel(side, price: price, quantity: isDeletion ? none : amount))
            isMore = try scanner.nextElement()
        }
    }

    /// `{"trade_seq":1,"trade_id":"2","timestamp":3,"price":4.5,"instrument_name":"...","direction":"buy","amount":6.0}`.
    private func addTrade(_ scanner: inout JSONScanner, _ frame: inout VenueFrame) throws(FrameFault) {
        let (text, none) = (scanner.text, FrameValue.none)
        var (symbol, id, sequence, time, price, amount, direction) = (none, none, none, none, none, none, none)
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            let value = try scanner.value()
            if key.equals("instrument_name", in: text) { symbol = value }
            if key.equals("trade_id", in: text) { id = value }
            if key.equals("trade_seq", in: text) { sequence = value }
            if key.equals("timestamp", in: text) { time = value }
            if key.equals("price", in: text) { price = value }
            if key.equals("amount", in: text) { amount = value }
            if key.equals("direction", in: text) { direction = value }
            isMore = try scanner.nextMember()
        }
        guard symbol.isString(in: text) else { throw .missing(field: "instrument_name") }
        let isBuy = direction.equals("buy", in: text)
        guard isBuy || direction.equals("sell", in: text) else { throw .wrong(field: "direction") }
        frame.messages.append(
            .trade(
                VenueTrade(
                    symbol: symbol,
                    price: try scanner.number(in: price, named: "price"),
                    quantity: try scanner.quantity(in: amount, named: "amount"),
                    aggressor: isBuy ? .buyer : .seller,
                    id: id,
                    eventNs: try scanner.millisecondsNs(in: time),
                    sequence: try scanner.unsigned(in: sequence, named: "trade_seq"),
                    isHistoric: false
                )
            )
        )
    }

    /// The best prices of a ticker, 0 or null where there are none, and whether the book is open.
    private func addTicker(_ scanner: inout JSONScanner, _ frame: inout VenueFrame) throws(FrameFault) {
        let (text, none) = (scanner.text, FrameValue.none)
        var (symbol, bid, bidSize, ask, askSize, time, state) = (none, none, none, none, none, none, none)
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            let value = try scanner.value()
            if key.equals("instrument_name", in: text) { symbol = value }
            if key.equals("best_bid_price", in: text) { bid = value }
            if key.equals("best_bid_amount", in: text) { bidSize = value }
            if key.equals("best_ask_price", in: text) { ask = value }
            if key.equals("best_ask_amount", in: text) { askSize = value }
            if key.equals("timestamp", in: text) { time = value }
            if key.equals("state", in: text) { state = value }
            isMore = try scanner.nextMember()
        }
        guard symbol.isString(in: text) else { throw .missing(field: "instrument_name") }
        frame.messages.append(
            .quote(
                VenueQuote(
                    symbol: symbol,
                    bid: try numberOrNothing(bid, scanner, "best_bid_price"),
                    ask: try numberOrNothing(ask, scanner, "best_ask_price"),
                    sizes: VenueQuote.Sizes(
                        bid: try numberOrNothing(bidSize, scanner, "best_bid_amount"),
                        ask: try numberOrNothing(askSize, scanner, "best_ask_amount")
                    ),
                    eventNs: try scanner.millisecondsNs(in: time),
                    sequence: 0
                )
            )
        )
        if state.isString(in: text) {
            frame.messages.append(.trading(symbol, isHalted: !state.equals("open", in: text)))
        }
    }

    private func numberOrNothing(
        _ value: FrameValue,
        _ scanner: JSONScanner,
        _ field: FrameFault.FieldName
    ) throws(FrameFault) -> VenueNumber {
        guard !value.isWord("null", in: scanner.text) else { return VenueNumber(digits: 0, scale: 0, written: 0) }
        return try scanner.quantity(in: value, named: field)
    }

    // MARK: What we send

    /// So many channels may be named in one request.
    private static let channelsMost = 500
    /// Stands for the instrument in a channel's name, as in the venue's own description.
    private static let placeholder = "{instrument_name}"

    public func url(for subscription: VenueSubscription) -> String { "wss://www.deribit.com/ws/api/v2" }

    public func subscribeFrames(for subscription: VenueSubscription) -> [String] {
        let templates = subscription.channels.compactMap(template) + subscription.ownChannels
        var names: [String] = []
        for template in templates {
            guard template.contains(Self.placeholder) else {
                names.append(template)
                continue
            }
            names += subscription.rawSymbols.map { template.replacing(Self.placeholder, with: $0) }
        }
        let heartbeat = #"{"jsonrpc":"2.0","id":1,"method":"public/set_heartbeat","params":{"interval":10}}"#
        return [heartbeat]
            + stride(from: 0, to: names.count, by: Self.channelsMost).map { first in
                frame("subscribe", Array(names[first..<min(first + Self.channelsMost, names.count)]))
            }
    }

    /// `raw` is for those who log in.
    private func template(_ channel: VenueChannel) -> String? {
        switch channel {
        case .book: "book.{instrument_name}.100ms"
        case .trades: "trades.{instrument_name}.100ms"
        case .quotes: "ticker.{instrument_name}.100ms"
        case .candles: nil
        }
    }

    public func resubscribeFrames(rawSymbol: String) -> [String] {
        resubscribeFrames("book.\(rawSymbol).100ms")
    }

    public func resubscribeFrames(rawSymbol: String, in subscription: VenueSubscription) -> [String]? {
        guard !subscription.channels.contains(.book) else { return nil }
        let own = subscription.ownChannels.first { $0.hasPrefix("book.\(Self.placeholder).") }
        return own.map { resubscribeFrames($0.replacing(Self.placeholder, with: rawSymbol)) }
    }

    private func resubscribeFrames(_ channel: String) -> [String] {
        [frame("unsubscribe", [channel]), frame("subscribe", [channel])]
    }

    private func frame(_ method: String, _ channels: [String]) -> String {
        #"{"jsonrpc":"2.0","id":0,"method":"public/\#(method)","params":{"channels":\#(quotedList(channels))}}"#
    }
}
