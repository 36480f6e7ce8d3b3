extension ITCHMessage {
    /// The bytes of a message of a kind; nil for a kind that there is not.
    static func length(of kind: UInt8) -> Int? {
        let length = lengths[Int(kind)]
        return length == 0 ? nil : Int(length)
    }

    /// The time of a message, without reading more of it; nil when it is too short to have one.
    public static func timeNs(of bytes: UnsafeRawBufferPointer) -> Int64? {
        guard bytes.count >= 11 else { return nil }
        let timeNs = Int64(ITCHFields(bytes: bytes).u48(5))
        return timeNs < 86_400_000_000_000 ? timeNs : nil
    }

    private static let lengths: InlineArray<256, UInt8> = {
        var lengths = InlineArray<256, UInt8>(repeating: 0)
        let known: [(UnicodeScalar, UInt8)] = [
            ("S", 12), ("R", 39), ("H", 25), ("Y", 20), ("L", 26), ("V", 35), ("W", 12), ("K", 28), ("J", 35),
            ("h", 21), ("A", 36), ("F", 40), ("E", 31), ("C", 36), ("X", 23), ("D", 19), ("U", 35), ("P", 44),
            ("Q", 40), ("B", 19), ("I", 50), ("N", 20), ("O", 48),
        ]
        for (kind, length) in known { lengths[Int(kind.value)] = length }
        return lengths
    }()

    /// Reads one message without its framing.
    ///
    /// The layout: Nasdaq TotalView-ITCH 5.0, sections 1.1 to 1.8 (big endian, no alignment).
    public init(_ bytes: UnsafeRawBufferPointer) throws(ITCHFault) {
        guard let kind = bytes.first else { throw .empty }
        guard let expected = Self.length(of: kind) else { throw .unknownKind(kind) }
        guard bytes.count == expected else {
            throw .wrongLength(kind: kind, length: bytes.count, expected: expected)
        }
        // From here on every field lies within the bytes.
        let fields = ITCHFields(bytes: bytes)
        locate = fields.u16(1)
        tracking = fields.u16(3)
        timeNs = Int64(fields.u48(5))
        guard timeNs < 86_400_000_000_000 else { throw .badTime(kind: kind) }
        if let order = try Self.orderBody(kind, fields) {
            body = order
        } else {
            body = try Self.marketBody(kind, fields)
        }
    }

    /// What changes books or tells trades: nearly all of a day.
    @inline(__always)
    private static func orderBody(_ kind: UInt8, _ fields: ITCHFields) throws(ITCHFault) -> Body? {
        switch kind {
        case UInt8(ascii: "A"), UInt8(ascii: "F"):
            let side = fields.u8(19)
            guard side == UInt8(ascii: "B") || side == UInt8(ascii: "S") else { throw .badSide(kind: kind) }
            return .add(
                Add(
                    order: fields.u64(11),
                    side: side,
                    shares: fields.u32(20),
                    stock: fields.text(24, 8),
                    price: fields.u32(32),
                    attribution: kind == UInt8(ascii: "F") ? fields.text(36, 4) : ITCHText(bits: 0, length: 0)
                )
            )
        case UInt8(ascii: "E"):
            return .executed(order: fields.u64(11), shares: fields.u32(19), match: fields.u64(23))
        case UInt8(ascii: "C"):
            return .executedWithPrice(
                ExecutedWithPrice(
                    order: fields.u64(11),
                    shares: fields.u32(19),
                    match: fields.u64(23),
                    printable: fields.u8(31),
                    price: fields.u32(32)
                )
            )
        case UInt8(ascii: "X"): return .cancelled(order: fields.u64(11), shares: fields.u32(19))
        case UInt8(ascii: "D"): return .deleted(order: fields.u64(11))
        case UInt8(ascii: "U"):
            return .replaced(
                Replaced(
                    order: fields.u64(11),
                    newOrder: fields.u64(19),
                    shares: fields.u32(27),
                    price: fields.u32(31)
                )
            )
        case UInt8(ascii: "P"):
            return .trade(
                HiddenTrade(
                    order: fields.u64(11),
                    side: fields.u8(19),
                    shares: fields.u32(20),
                    stock: fields.text(24, 8),
                    price: fields.u32(32),
                    match: fields.u64(36)
                )
            )
        case UInt8(ascii: "Q"):
            return .crossTrade(
                CrossTrade(
                    shares: fields.u64(11),
                    stock: fields.text(19, 8),
                    price: fields.u32(27),
                    match: fields.u64(31),
                    kind: fields.u8(39)
                )
            )
        case UInt8(ascii: "B"): return .brokenTrade(match: fields.u64(11))
        default: return nil
        }
    }

    private static func marketBody(_ kind: UInt8, _ fields: ITCHFields) throws(ITCHFault) -> Body {
        switch kind {
        case UInt8(ascii: "S"): return .systemEvent(code: fields.u8(11))
        case UInt8(ascii: "R"): return .directory(directory(fields))
        case UInt8(ascii: "H"):
            return .tradingAction(
                TradingAction(
                    stock: fields.text(11, 8),
                    state: fields.u8(19),
                    reserved: fields.u8(20),
                    reason: fields.text(21, 4)
                )
            )
        case UInt8(ascii: "Y"): return .regSHO(stock: fields.text(11, 8), action: fields.u8(19))
        case UInt8(ascii: "L"):
            return .participantPosition(
                ParticipantPosition(
                    participant: fields.text(11, 4),
                    stock: fields.text(15, 8),
                    isPrimary: fields.u8(23),
                    mode: fields.u8(24),
                    state: fields.u8(25)
                )
            )
        case UInt8(ascii: "V"):
            return .circuitBreakerLevels(level1: fields.u64(11), level2: fields.u64(19), level3: fields.u64(27))
        case UInt8(ascii: "W"): return .circuitBreakerBreach(level: fields.u8(11))
        case UInt8(ascii: "h"):
            return .operationalHalt(stock: fields.text(11, 8), market: fields.u8(19), action: fields.u8(20))
        case UInt8(ascii: "N"): return .retailInterest(stock: fields.text(11, 8), flag: fields.u8(19))
        default: return try auctionBody(kind, fields)
        }
    }

    private static func directory(_ fields: ITCHFields) -> Directory {
        Directory(
            stock: fields.text(11, 8),
            marketCategory: fields.u8(19),
            financialStatus: fields.u8(20),
            roundLotSize: fields.u32(21),
            roundLotsOnly: fields.u8(25),
            classification: fields.u8(26),
            subType: fields.text(27, 2),
            authenticity: fields.u8(29),
            shortSaleThreshold: fields.u8(30),
            isIPO: fields.u8(31),
            priceTier: fields.u8(32),
            isETP: fields.u8(33),
            leverageFactor: fields.u32(34),
            isInverse: fields.u8(38)
        )
    }

    private static func auctionBody(_ kind: UInt8, _ fields: ITCHFields) throws(ITCHFault) -> Body {
        switch kind {
        case UInt8(ascii: "K"):
            return .quotingPeriod(
                QuotingPeriod(
                    stock: fields.text(11, 8),
                    releaseSeconds: fields.u32(19),
                    qualifier: fields.u8(23),
                    price: fields.u32(24)
                )
            )
        case UInt8(ascii: "J"):
            return .auctionCollar(
                AuctionCollar(
                    stock: fields.text(11, 8),
                    reference: fields.u32(19),
                    upper: fields.u32(23),
                    lower: fields.u32(27),
                    extensions: fields.u32(31)
                )
            )
        case UInt8(ascii: "I"):
            return .imbalance(
                Imbalance(
                    pairedShares: fields.u64(11),
                    imbalanceShares: fields.u64(19),
                    direction: fields.u8(27),
                    stock: fields.text(28, 8),
                    farPrice: fields.u32(36),
                    nearPrice: fields.u32(40),
                    referencePrice: fields.u32(44),
                    crossKind: fields.u8(48),
                    variation: fields.u8(49)
                )
            )
        case UInt8(ascii: "O"):
            return .directListing(
                DirectListing(
                    stock: fields.text(11, 8),
                    eligibility: fields.u8(19),
                    priceLeast: fields.u32(20),
                    priceMost: fields.u32(24),
                    nearPrice: fields.u32(28),
                    nearTimeNs: fields.u64(32),
                    collarLower: fields.u32(40),
                    collarUpper: fields.u32(44)
                )
            )
        default: throw .unknownKind(kind)
        }
    }
}

/// Big-endian numbers at given places of a message whose length was checked.
struct ITCHFields {
    let bytes: UnsafeRawBufferPointer

    @inline(__always)
    func u8(_ offset: Int) -> UInt8 { bytes[offset] }

    @inline(__always)
    func u16(_ offset: Int) -> UInt16 {
        UInt16(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
    }

    @inline(__always)
    func u32(_ offset: Int) -> UInt32 {
        UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
    }

    @inline(__always)
    func u48(_ offset: Int) -> UInt64 { UInt64(u16(offset)) << 32 | UInt64(u32(offset + 2)) }

    @inline(__always)
    func u64(_ offset: Int) -> UInt64 {
        UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }

    @inline(__always)
    func text(_ offset: Int, _ length: Int) -> ITCHText {
        switch length {
        case 8: return ITCHText(bits: u64(offset), length: 8)
        case 4: return ITCHText(bits: UInt64(u32(offset)) << 32, length: 4)
        default: return ITCHText(bits: UInt64(u16(offset)) << 48, length: 2)
        }
    }
}
