public import Market

/// Records of Databento's binary encoding, versions 1, 2 and 3.
///
/// A frame is what ``frame(of:symbol:version:)`` makes of one record: names of instruments stand in the metadata, not in
/// records. Books of `mbp` records are snapshots, one a record; those of `mbo` begin with a record that clears the book.
public struct DBNDialect: VenueDialect {
    public let venue: String
    public let rules: VenueRules

    public init(venue: String = "dbn") {
        self.venue = venue
        // Files fall silent for nobody.
        var rules = VenueRules(book: .inStream, silenceMostNs: .max)
        rules.namesAreBare = true
        rules.haltsIntroduce = true
        self.rules = rules
    }

    /// Bytes of a frame ahead of the symbol.
    private static let headBytes = 3

    /// Puts a record's symbol and the version of its stream in front of it.
    static func frame(of record: UnsafeRawBufferPointer, symbol: String, version: UInt8, into frame: inout [UInt8]) {
        frame.removeAll(keepingCapacity: true)
        let name = symbol.utf8.prefix(255)
        frame += [version, 0, UInt8(name.count)]
        frame += name
        frame.append(contentsOf: record)
    }

    public func parse(_ text: UnsafeRawBufferPointer, into frame: inout VenueFrame) throws(FrameFault) {
        guard text.count > Self.headBytes else { throw .truncated }
        let nameEnd = Self.headBytes + Int(text[2])
        guard text.count >= nameEnd + DBNFraming.headerBytes else { throw .truncated }
        let record = DBNRecord(bytes: UnsafeRawBufferPointer(rebasing: text[nameEnd...]))
        let symbol = FrameValue(start: Self.headBytes, end: nameEnd)
        guard 4 * Int(record.bytes[0]) == record.bytes.count else { throw .wrong(field: "length") }
        guard let kind = record.kind else { return try addUnknown(record, &frame) }
        guard record.bytes.count >= kind.bytesLeast else { throw .truncated }
        switch kind {
        case .trade: try addTrade(record, symbol, &frame)
        case .tradeWithTop:
            try addTrade(record, symbol, &frame)
            try addQuote(record, symbol, &frame)
        case .depth1:
            if record.bytes[28] == UInt8(ascii: "T") { try addTrade(record, symbol, &frame) }
            try addQuote(record, symbol, &frame)
        case .top1, .top1Minute: try addQuote(record, symbol, &frame)
        case .depth10:
            if record.bytes[28] == UInt8(ascii: "T") { try addTrade(record, symbol, &frame) }
            try addDepth(record, symbol, &frame)
        case .order: try addOrder(record, symbol, &frame)
        case .candleSecond: try addCandle(record, symbol, .second, &frame)
        case .candleMinute: try addCandle(record, symbol, .minute, &frame)
        case .candleHour: try addCandle(record, symbol, .hour, &frame)
        case .candleDay: try addCandle(record, symbol, .day, &frame)
        case .status: addStatus(record, symbol, &frame)
        case .definition, .symbolMapping: frame.messages.append(.other)
        case .error:
            let text = record.bytes[DBNFraming.headerBytes...].prefix { $0 != 0 }
            let start = nameEnd + DBNFraming.headerBytes
            frame.messages.append(.refusal(FrameValue(start: start, end: start + text.count)))
        }
    }

    /// Statistics, imbalances, messages of the system and consolidated books have no place in the hub's model.
    private func addUnknown(_ record: DBNRecord, _ frame: inout VenueFrame) throws(FrameFault) {
        switch record.kindNumber {
        case 0x11, 0x14, 0x17, 0x18, 0x24, 0xB1, 0xC0, 0xC1, 0xC2: frame.messages.append(.other)
        default: throw .unknownMessage
        }
    }

    // MARK: Trades and quotes

    /// Places are those of all `mbp` records, trades among them.
    private func addTrade(_ record: DBNRecord, _ symbol: FrameValue, _ frame: inout VenueFrame) throws(FrameFault) {
        try addTrade(record, symbol, priceAt: 16, sizeAt: 24, sideAt: 29, sequenceAt: 44, &frame)
    }

    private func addTrade(
        _ record: DBNRecord,
        _ symbol: FrameValue,
        priceAt: Int,
        sizeAt: Int,
        sideAt: Int,
        sequenceAt: Int,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        guard let price = record.price(priceAt) else { throw .missing(field: "price") }
        let trade = VenueTrade(
            symbol: symbol,
            price: price,
            quantity: record.quantity(sizeAt),
            aggressor: try aggressor(record.bytes[sideAt]),
            id: .none,
            eventNs: record.eventNs,
            sequence: UInt64(record.number(sequenceAt, as: UInt32.self)),
            isHistoric: false
        )
        frame.messages.append(.trade(trade))
    }

    /// `A` is a seller who took, `B` a buyer.
    private func aggressor(_ side: UInt8) throws(FrameFault) -> Aggressor {
        switch side {
        case UInt8(ascii: "A"): return .seller
        case UInt8(ascii: "B"): return .buyer
        case UInt8(ascii: "N"): return .unknown
        default: throw .wrong(field: "side")
        }
    }

    /// The level at index 0; a side without price is empty.
    private func addQuote(_ record: DBNRecord, _ symbol: FrameValue, _ frame: inout VenueFrame) throws(FrameFault) {
        let none = VenueNumber(digits: 0, scale: 0, written: 0)
        let (bid, ask) = (record.price(48), record.price(56))
        let sizes = VenueQuote.Sizes(
            bid: bid == nil ? none : record.quantity(64),
            ask: ask == nil ? none : record.quantity(68)
        )
        let quote = VenueQuote(
            symbol: symbol,
            bid: bid ?? none,
            ask: ask ?? none,
            sizes: sizes,
            eventNs: record.eventNs,
            sequence: UInt64(record.number(44, as: UInt32.self))
        )
        frame.messages.append(.quote(quote))
    }

    // MARK: Books

    private func addDepth(_ record: DBNRecord, _ symbol: FrameValue, _ frame: inout VenueFrame) throws(FrameFault) {
        let first = frame.levels.count
        for level in 0..<10 {
            let place = 48 + 32 * level
            if let bid = record.price(place) {
                frame.levels.append(VenueLevel(.bid, price: bid, quantity: record.quantity(place + 16)))
            }
            if let ask = record.price(place + 8) {
                frame.levels.append(VenueLevel(.ask, price: ask, quantity: record.quantity(place + 20)))
            }
        }
        var book = VenueBook(symbol: symbol, isSnapshot: true, levels: first..<frame.levels.count)
        book.eventNs = record.eventNs
        book.lastID = UInt64(record.number(44, as: UInt32.self))
        book.isDoubtful = isDoubtful(record.bytes[30])
        frame.messages.append(.book(book))
    }

    private func isDoubtful(_ flags: UInt8) -> Bool { flags & 0x04 != 0 }

    /// One thing that happened to an order.
    private func addOrder(_ record: DBNRecord, _ symbol: FrameValue, _ frame: inout VenueFrame) throws(FrameFault) {
        let action = record.bytes[38]
        switch action {
        case UInt8(ascii: "T"):
            return try addTrade(record, symbol, priceAt: 24, sizeAt: 32, sideAt: 39, sequenceAt: 52, &frame)
        // A fill of a resting order: the record that takes it from the book follows.
        case UInt8(ascii: "F"), UInt8(ascii: "N"): return frame.messages.append(.other)
        case UInt8(ascii: "A"), UInt8(ascii: "M"), UInt8(ascii: "C"), UInt8(ascii: "R"): break
        default: throw .wrong(field: "action")
        }
        let isClear = action == UInt8(ascii: "R")
        let first = frame.levels.count
        if !isClear {
            let isCancel = action == UInt8(ascii: "C")
            let side: Side
            switch record.bytes[39] {
            case UInt8(ascii: "A"): side = .ask
            case UInt8(ascii: "B"): side = .bid
            // The order that something is taken from has its side.
            default:
                guard isCancel else { throw .wrong(field: "side") }
                side = .bid
            }
            guard let price = isCancel ? .absent : record.price(24) else { throw .missing(field: "price") }
            frame.levels.append(VenueLevel(side, price: price, quantity: record.quantity(32)))
            frame.levelNames.append(record.number(16))
        }
        var book = VenueBook(symbol: symbol, isSnapshot: isClear, levels: first..<frame.levels.count)
        book.keying = action == UInt8(ascii: "C") ? .reduction : .entry
        book.eventNs = record.eventNs
        book.lastID = UInt64(record.number(52, as: UInt32.self))
        book.isDoubtful = isDoubtful(record.bytes[36])
        frame.messages.append(.book(book))
    }

    // MARK: Candles and status

    private func addCandle(
        _ record: DBNRecord,
        _ symbol: FrameValue,
        _ interval: CandleInterval,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        guard let open = record.price(16), let high = record.price(24), let low = record.price(32),
            let close = record.price(40)
        else { throw .missing(field: "price") }
        guard let volume = Int64(exactly: record.number(48, as: UInt64.self)) else { throw .wrong(field: "volume") }
        let openNs = record.eventNs
        guard openNs <= .max - interval.lengthNs else { throw .badTime(offset: 8) }
        let candle = VenueCandle(
            symbol: symbol,
            openNs: openNs,
            open: open,
            high: high,
            low: low,
            close: close,
            volume: VenueNumber(digits: volume, scale: 0, written: 0),
            interval: interval,
            isClosed: true,
            tradeCount: 0,
            // It is known when it is over.
            eventNs: openNs + interval.lengthNs
        )
        frame.messages.append(.candle(candle))
    }

    /// `is_trading` tells where it is told; otherwise what happened does.
    private func addStatus(_ record: DBNRecord, _ symbol: FrameValue, _ frame: inout VenueFrame) {
        switch (record.bytes[30], record.number(24, as: UInt16.self)) {
        case (UInt8(ascii: "Y"), _): frame.messages.append(.trading(symbol, isHalted: false))
        case (UInt8(ascii: "N"), _): frame.messages.append(.trading(symbol, isHalted: true))
        case (_, 7): frame.messages.append(.trading(symbol, isHalted: false))
        // Halt, pause, suspension, close, post-close, not available.
        case (_, 8), (_, 9), (_, 10), (_, 12), (_, 13), (_, 15):
            frame.messages.append(.trading(symbol, isHalted: true))
        default: frame.messages.append(.other)
        }
    }

    // MARK: Files only

    public func symbol(ofRaw rawSymbol: String) -> VenueSymbol { VenueSymbol(rawSymbol) }

    public func url(for subscription: VenueSubscription) -> String { "" }

    public func subscribeFrames(for subscription: VenueSubscription) -> [String] { [] }

    public func listing(_ scanner: inout JSONScanner) throws(FrameFault) -> Instrument? {
        try scanner.skip()
        return nil
    }
}
