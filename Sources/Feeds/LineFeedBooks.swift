import Market

/// What the values of lines mean that are neither trade nor quote: books, declarations, statuses.
extension LineFeedSyntax {
    /// The levels of both sides, bids first: each a list of a price and a quantity.
    func levels(into levels: inout [FeedLevel]) throws(LineFeedError) {
        levels.removeAll(keepingCapacity: true)
        guard self[.bids].kind != .absent || self[.asks].kind != .absent else { throw .missing(.bids) }
        try read(.bids, .bid, into: &levels)
        try read(.asks, .ask, into: &levels)
    }

    private func read(_ key: LineFeedKey, _ side: Side, into levels: inout [FeedLevel]) throws(LineFeedError) {
        let value = self[key]
        guard value.kind != .absent else { return }
        guard value.kind == .list else { throw .malformed(key) }
        var walk = LevelWalk(text: bytes(of: value))
        guard walk.take(UInt8(ascii: "[")) else { throw .malformed(key) }
        if walk.take(UInt8(ascii: "]")) { return }
        repeat {
            guard walk.take(UInt8(ascii: "[")), let price = walk.number(), walk.take(UInt8(ascii: ",")),
                let quantity = walk.number(), walk.take(UInt8(ascii: "]"))
            else { throw .malformed(key) }
            guard price.digits > 0, quantity.digits >= 0 else { throw .notPositive(key) }
            guard levels.count < MessageFeed.levelsMost else { throw .tooMany(most: MessageFeed.levelsMost) }
            let amount = LineFeedAmount(price: price, quantity: quantity, priceKey: key, quantityKey: key)
            levels.append(FeedLevel(side: side, amount: amount))
        } while walk.take(UInt8(ascii: ","))
        // That the list ends here was checked when the line was read.
    }

    func status() throws(LineFeedError) -> MarketStatus {
        let state = try text(.state) { name in
            MarketStatus.State.allCases.first { name.elementsEqual($0.name.utf8) }
        }
        guard let state else { throw .missing(.state) }
        let reason = try text(.reason) { name in
            MarketStatus.Reason.allCases.first { name.elementsEqual($0.name.utf8) }
        }
        return MarketStatus(state, reason ?? .none)
    }

    /// The hub's name of an instrument.
    func name() throws(LineFeedError) -> String? {
        try text(.name) { bytes in
            guard (1...64).contains(bytes.count), bytes.allSatisfy(Self.isNameByte) else { return nil }
            return String(decoding: bytes, as: UTF8.self)
        }
    }

    func rawSymbol() throws(LineFeedError) -> String? {
        try text(.rawSymbol) { bytes in
            let name = String(decoding: bytes, as: UTF8.self)
            return VenueSymbol.isName(name) ? name : nil
        }
    }

    func venue() throws(LineFeedError) -> String? {
        try text(.venue) { bytes in
            let name = String(decoding: bytes, as: UTF8.self)
            return Self.isVenue(name) ? name : nil
        }
    }

    func instrumentKind() throws(LineFeedError) -> Instrument.Kind? {
        try text(.instrumentKind) { name in
            Instrument.Kind.allCases.first { name.elementsEqual($0.name.utf8) }
        }
    }

    static func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "-")...UInt8(ascii: ":"), UInt8(ascii: "_"):
            true
        default: false
        }
    }

    /// Venues are lower case letters, digits and `-`, at most 32 of them.
    static func isVenue(_ name: String) -> Bool {
        (1...32).contains(name.utf8.count)
            && name.utf8.allSatisfy { byte in
                (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
                    || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || byte == UInt8(ascii: "-")
            }
    }
}

/// Goes through a list of levels, which is known to be JSON.
private struct LevelWalk {
    let text: UnsafeRawBufferPointer
    private var at = 0

    init(text: UnsafeRawBufferPointer) { self.text = text }

    mutating func take(_ byte: UInt8) -> Bool {
        skipSpace()
        guard at < text.count, text[at] == byte else { return false }
        at += 1
        return true
    }

    /// A number, or one as text without escapes; nil for anything else.
    mutating func number() -> Decimal? {
        let isText = take(UInt8(ascii: "\""))
        let start = at
        while at < text.count, !isEnd(text[at]) { at += 1 }
        let number = Decimal(UnsafeRawBufferPointer(rebasing: text[start..<at]))
        if isText, !take(UInt8(ascii: "\"")) { return nil }
        return number
    }

    private func isEnd(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: ","), UInt8(ascii: "]"), 0x20, 0x09, 0x0D, 0x0A: true
        default: false
        }
    }

    private mutating func skipSpace() {
        while at < text.count, text[at] == 0x20 || text[at] == 0x09 || text[at] == 0x0D || text[at] == 0x0A { at += 1 }
    }
}
