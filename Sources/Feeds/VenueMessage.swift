public import Market

/// One side, price and total of a venue's book message; a quantity of zero removes the level.
public struct VenueLevel: Hashable, Sendable, BitwiseCopyable {
    public var price: VenueNumber
    public var quantity: VenueNumber
    public var side: Side

    @inline(always)
    init(_ side: Side, price: VenueNumber, quantity: VenueNumber) {
        self.side = side
        self.price = price
        self.quantity = quantity
    }
}

/// What a venue said, in its own numbers and names.
///
/// Names are places in the frame. A time of 0 says that the venue gave none.
public enum VenueMessage: Sendable {
    case trade(VenueTrade)
    case quote(VenueQuote)
    case book(VenueBook)
    case candle(VenueCandle)
    /// The venue stopped trading in an instrument, or goes on.
    case trading(FrameValue, isHalted: Bool)
    /// The decimals that the venue writes an instrument's checksum with.
    case units(VenueUnits)
    /// The venue wants this text back at once.
    case answer(StaticString)
    /// Data of this instrument will follow.
    case subscribed(FrameValue)
    /// The connection lives.
    case heartbeat
    /// The venue refused something we sent; the value tells why.
    case refusal(FrameValue)
    /// The venue is about to close this connection.
    case reconnectRequest
    /// Something documented that the hub has no use for.
    case other
}

public struct VenueUnits: Sendable, BitwiseCopyable {
    public var symbol: FrameValue
    public var priceScale: UInt8
    public var quantityScale: UInt8
}

public struct VenueTrade: Sendable, BitwiseCopyable {
    public var symbol: FrameValue
    public var price: VenueNumber
    public var quantity: VenueNumber
    public var aggressor: Aggressor
    public var id: FrameValue
    public var eventNs: Int64
    public var sequence: UInt64
    /// From before the subscription.
    public var isHistoric: Bool
    /// No exchange of anything but a value that the venue computed, such as an index's; its instrument is an index.
    public var isDerived = false
}

public struct VenueQuote: Sendable, BitwiseCopyable {
    public var symbol: FrameValue
    public var bid: VenueNumber
    public var ask: VenueNumber
    /// Bid's and ask's quantities; nil where the venue tells prices only.
    public var sizes: Sizes?
    public var eventNs: Int64
    public var sequence: UInt64

    public struct Sizes: Sendable, BitwiseCopyable {
        public var bid: VenueNumber
        public var ask: VenueNumber
    }
}

/// A book message; its levels are ``VenueFrame/levels`` at ``levels``.
public struct VenueBook: Sendable {
    /// Absent in the answer to a snapshot request: whoever asked knows.
    public var symbol: FrameValue
    public var isSnapshot: Bool
    public var levels: Range<Int>
    /// The venue's numbers of the first and last change in this message and of the last change before it; 0 for none.
    public var firstID: UInt64 = 0
    public var lastID: UInt64 = 0
    public var previousID: UInt64 = 0
    /// By the venue's rule, over the book after this message.
    public var checksum: UInt32?
    /// The depth subscribed to: what lies deeper is no longer told.
    public var depth: Int?
    /// Levels are known by ``VenueFrame/levelNames`` at the same places; a level of an update may have no price.
    public var areLevelsNamed = false
    /// What the levels are: totals of prices, or what totals are made of.
    public var keying = LevelKeying.price
    /// The venue says itself that the book may be wrong.
    public var isDoubtful = false
    public var eventNs: Int64 = 0
}

/// What a level of a book message stands for; all but prices are told by ``VenueFrame/levelNames`` at the same places.
public enum LevelKeying: Sendable, BitwiseCopyable {
    /// The total at a price.
    case price
    /// One of the entries that make up the total at a price, known by its name.
    case entry
    /// What goes from such an entry; the price is of no account.
    case reduction
    /// What stands at a place of its side, counted from the best; see ``PositionedLevel``.
    case position
}

public struct VenueCandle: Sendable, BitwiseCopyable {
    public var symbol: FrameValue
    public var openNs: Int64
    public var open: VenueNumber
    public var high: VenueNumber
    public var low: VenueNumber
    public var close: VenueNumber
    public var volume: VenueNumber
    // They fill what the number leaves of its words: this is the longest message, and each is copied at its length.
    public var interval: CandleInterval
    public var isClosed: Bool
    public var tradeCount: UInt64
    public var eventNs: Int64
}

/// What one frame says; kept and filled again for the next frame so that nothing is allocated.
public struct VenueFrame: Sendable {
    public internal(set) var messages: [VenueMessage] = []
    public internal(set) var levels: [VenueLevel] = []
    /// The venue's names of ``levels``, place by place, where it has such; empty otherwise.
    public internal(set) var levelNames: [UInt64] = []
    /// The frame's number among all frames of its connection, or of the part of it that ``numbered`` names; nil where frames
    /// have none.
    public internal(set) var number: UInt64?
    /// What ``number`` counts, where a connection has several counts.
    public internal(set) var numbered = FrameValue.none

    /// Memory for this many levels is kept between frames.
    private static let levelsKeptMost = 65_536

    public init() {}

    /// Empties the frame for the next message.
    public mutating func clear() {
        messages.empty()
        levels.empty(keepingMost: Self.levelsKeptMost)
        levelNames.empty(keepingMost: Self.levelsKeptMost)
        if number != nil { (number, numbered) = (nil, .none) }
    }
}

extension Array {
    /// Removes all elements, keeping memory for up to `most` of them.
    ///
    /// A single one, the usual number, is taken off the end, for half of what it costs to remove a range.
    @inline(always)
    mutating func empty(keepingMost most: Int = .max) {
        if count == 1 { removeLast() }
        if !isEmpty { removeAll(keepingCapacity: capacity <= most) }
    }
}

extension JSONScanner {
    /// Reads `[["price","quantity",...],...]`, skipping what stands behind the quantity.
    mutating func levels(_ side: Side, into levels: inout [VenueLevel]) throws(FrameFault) {
        var isMore = try beginArray()
        while isMore {
            try expect(UInt8(ascii: "["))
            skipSpace()
            let price = try number()
            skipSpace()
            try expect(UInt8(ascii: ","))
            skipSpace()
            let quantity = try number()
            guard quantity.digits >= 0 else { throw .negativeQuantity }
            while try nextElement() { try skip() }
            levels.append(VenueLevel(side, price: price, quantity: quantity))
            isMore = try nextElement()
        }
    }

    /// The number that a kept value is.
    func number(in value: FrameValue, named field: FrameFault.FieldName) throws(FrameFault) -> VenueNumber {
        guard value.isPresent else { throw .missing(field: field) }
        var scanner = JSONScanner(text, at: value)
        return try scanner.number()
    }

    /// The quantity that a kept value is.
    func quantity(in value: FrameValue, named field: FrameFault.FieldName) throws(FrameFault) -> VenueNumber {
        let number = try number(in: value, named: field)
        guard number.digits >= 0 else { throw .negativeQuantity }
        return number
    }

    func unsigned(in value: FrameValue, named field: FrameFault.FieldName) throws(FrameFault) -> UInt64 {
        guard value.isPresent else { throw .missing(field: field) }
        var scanner = JSONScanner(text, at: value)
        return try scanner.unsigned()
    }

    /// The time that a kept value is, given in microseconds; 0 when it is absent.
    func microsecondsNs(in value: FrameValue) throws(FrameFault) -> Int64 {
        guard value.isPresent else { return 0 }
        let microseconds = try unsigned(in: value, named: "time")
        guard microseconds <= 9_223_372_036_854_775 else { throw .badTime(offset: value.start) }
        return Int64(microseconds) * 1_000
    }

    /// The time that a kept value is, given in milliseconds; 0 when it is absent.
    func millisecondsNs(in value: FrameValue) throws(FrameFault) -> Int64 {
        guard value.isPresent else { return 0 }
        var scanner = JSONScanner(text, at: value)
        return try scanner.millisecondsNs()
    }
}
