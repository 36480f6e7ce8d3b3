/// A venue's own name of a trade, at most 64 bytes, kept verbatim and without allocation.
public struct TradeID: Sendable, BitwiseCopyable {
    public static let byteCountMost = 64

    @usableFromInline var bytes = InlineArray<64, UInt8>(repeating: 0)
    public private(set) var count: UInt8 = 0

    /// No name.
    public init() {}

    /// Nil when there are more than ``byteCountMost`` bytes.
    public init?(_ text: UnsafeRawBufferPointer) {
        guard text.count <= Self.byteCountMost else { return nil }
        count = UInt8(text.count)
        for index in 0..<text.count { bytes[index] = text[index] }
    }

    public init?(_ text: String) {
        var copy = text
        let made = copy.withUTF8 { TradeID(UnsafeRawBufferPointer($0)) }
        guard let made else { return nil }
        self = made
    }

    public init(_ number: UInt64) {
        var left = number
        var digits = InlineArray<20, UInt8>(repeating: 0)
        var length = 0
        repeat {
            digits[length] = UInt8(ascii: "0") + UInt8(left % 10)
            left /= 10
            length += 1
        } while left > 0
        for index in 0..<length { bytes[index] = digits[length - 1 - index] }
        count = UInt8(length)
    }

    public var isEmpty: Bool { count == 0 }

    @inlinable
    public func withBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        withUnsafeBytes(of: bytes) { body(UnsafeRawBufferPointer(rebasing: $0[..<Int(count)])) }
    }

    public var text: String { withBytes { String(decoding: $0, as: UTF8.self) } }
}

extension TradeID: Hashable {
    public static func == (left: TradeID, right: TradeID) -> Bool {
        left.withBytes { left in right.withBytes { left.elementsEqual($0) } }
    }

    public func hash(into hasher: inout Hasher) { withBytes { hasher.combine(bytes: $0) } }
}

/// One exchange of the instrument for money.
public struct Trade: Hashable, Sendable, BitwiseCopyable {
    public var price: Price
    public var quantity: Quantity
    public var aggressor: Aggressor
    public var id: TradeID

    public init(price: Price, quantity: Quantity, aggressor: Aggressor, id: TradeID) {
        self.price = price
        self.quantity = quantity
        self.aggressor = aggressor
        self.id = id
    }
}

/// The best prices and what rests there; a quantity of zero says that the side is empty.
public struct Quote: Hashable, Sendable, BitwiseCopyable {
    public var bid: Level
    public var ask: Level

    public init(bid: Level, ask: Level) {
        self.bid = bid
        self.ask = ask
    }

    public static let none = Quote(
        bid: Level(price: .zero, quantity: .zero),
        ask: Level(price: .zero, quantity: .zero)
    )

    /// The top of a book.
    // Inlined it reads the book where it stands; called it would be given a copy, two counted references with it.
    @inlinable @inline(__always)
    public init(of book: OrderBook) {
        bid = book.bestBid ?? Self.none.bid
        ask = book.bestAsk ?? Self.none.ask
    }
}

/// What a price list shows of one instrument: best prices, last trade, figures of the last 24 hours.
public struct Ticker: Hashable, Sendable, BitwiseCopyable {
    public var quote: Quote
    /// The last trade; a quantity of zero says that there was none yet.
    public var last: Level
    /// The first price, highest, lowest and volume of the last 24 hours, by whole minutes; nil before the first trade.
    public var day: Day?

    public struct Day: Hashable, Sendable, BitwiseCopyable {
        public var open: Price
        public var high: Price
        public var low: Price
        public var volume: Quantity

        public init(open: Price, high: Price, low: Price, volume: Quantity) {
            self.open = open
            self.high = high
            self.low = low
            self.volume = volume
        }
    }

    public init(quote: Quote = .none, last: Level = Quote.none.bid, day: Day? = nil) {
        self.quote = quote
        self.last = last
        self.day = day
    }
}

/// How far an instrument's data can be trusted now.
public struct MarketStatus: Hashable, Sendable, BitwiseCopyable {
    public enum State: UInt8, Hashable, Sendable, CaseIterable, BitwiseCopyable {
        /// Nothing was heard from the venue yet, or the connection is gone.
        case disconnected = 1
        /// The venue is connected; the book is not complete yet.
        case connected = 2
        /// The book is complete and follows the venue.
        case live = 3
        /// The book is known to be wrong; a new snapshot is on its way.
        case resyncing = 4
        /// Nothing new for too long.
        case stale = 5
        /// The venue stopped trading.
        case halted = 6

        /// As clients, logs and metrics read it.
        public var name: String {
            switch self {
            case .disconnected: "disconnected"
            case .connected: "connected"
            case .live: "live"
            case .resyncing: "resyncing"
            case .stale: "stale"
            case .halted: "halted"
            }
        }
    }

    public enum Reason: UInt8, Hashable, Sendable, CaseIterable, BitwiseCopyable {
        case none = 0
        case started = 1
        case gap = 2
        case checksum = 3
        case crossed = 4
        case silence = 5
        case connectionLost = 6
        case venueRequest = 7
        case bufferOverflow = 8
        case ringOverflow = 9
        case unitsChanged = 10
        case replayEnded = 11

        /// As clients, logs and metrics read it.
        public var name: String {
            switch self {
            case .none: "none"
            case .started: "started"
            case .gap: "gap"
            case .checksum: "checksum"
            case .crossed: "crossed"
            case .silence: "silence"
            case .connectionLost: "connection_lost"
            case .venueRequest: "venue_request"
            case .bufferOverflow: "buffer_overflow"
            case .ringOverflow: "ring_overflow"
            case .unitsChanged: "units_changed"
            case .replayEnded: "replay_ended"
            }
        }
    }

    public var state: State
    public var reason: Reason

    public init(_ state: State, _ reason: Reason) {
        self.state = state
        self.reason = reason
    }
}

/// What is special about an event.
public struct EventFlags: OptionSet, Hashable, Sendable, BitwiseCopyable {
    public var rawValue: UInt16

    @inlinable
    public init(rawValue: UInt16) { self.rawValue = rawValue }

    public static let snapshot = EventFlags(rawValue: 1 << 0)
    public static let last = EventFlags(rawValue: 1 << 1)
    public static let gapBefore = EventFlags(rawValue: 1 << 2)
    public static let maybeBadBook = EventFlags(rawValue: 1 << 3)
    public static let stale = EventFlags(rawValue: 1 << 4)
    public static let eventTimeMissing = EventFlags(rawValue: 1 << 5)
    /// A trade from before the subscription.
    public static let historic = EventFlags(rawValue: 1 << 6)
    /// Derived by the hub, not sent by the venue.
    public static let synthetic = EventFlags(rawValue: 1 << 7)
    /// The venue's checksum was compared and fits.
    public static let checksumOK = EventFlags(rawValue: 1 << 8)

    /// The names that the normalized stream and the documentation use, in bit order.
    public static let names = [
        "SNAPSHOT", "LAST", "GAP_BEFORE", "MAYBE_BAD_BOOK", "STALE", "TS_EVENT_MISSING", "HISTORIC", "SYNTHETIC",
        "CHECKSUM_OK",
    ]
}

/// Something that happened to one instrument, in the hub's own terms.
///
/// Plain memory without references, so that it can cross a ring between threads by copying bytes. The levels of a book event
/// travel beside it.
public struct MarketEvent: Sendable, BitwiseCopyable {
    public enum Payload: Sendable, BitwiseCopyable {
        case trade(Trade)
        /// The venue's best prices; becomes part of a ticker.
        case quote(Quote)
        case ticker(Ticker)
        case candle(Candle)
        /// The book is what the levels beside the event say, nothing else; the quote is its top.
        case bookSnapshot(top: Quote)
        /// The levels beside the event have these new totals; the quote is the book's top afterwards.
        case bookDelta(top: Quote)
        case status(MarketStatus)
        /// A change of a single resting order; its effect on the book is a book event of its own.
        case order(OrderChange)
    }

    public var instrument: InstrumentID
    public var flags: EventFlags
    /// When it happened by the venue's clock, nanoseconds since 1970 UTC; 0 when the venue does not say.
    public var eventNs: Int64
    /// When the hub read it, nanoseconds since 1970 UTC.
    public var receivedNs: Int64
    /// The venue's own number; 0 where there is none.
    public var venueSequence: UInt64
    /// The number in its source, one more than the source's event before; 0 until ``MarketStream`` gives it.
    public var sequence: UInt64
    public var payload: Payload

    public init(
        instrument: InstrumentID,
        flags: EventFlags = [],
        eventNs: Int64,
        receivedNs: Int64,
        venueSequence: UInt64 = 0,
        sequence: UInt64 = 0,
        payload: Payload
    ) {
        self.instrument = instrument
        self.flags = flags
        self.eventNs = eventNs
        self.receivedNs = receivedNs
        self.venueSequence = venueSequence
        self.sequence = sequence
        self.payload = payload
    }
}

/// Whoever is told of market events.
public protocol MarketEventSink {
    /// - Parameters:
    ///   - event: what happened.
    ///   - levels: the levels of a book event, empty for every other; valid during the call only.
    mutating func receive(_ event: MarketEvent, levels: Span<LevelChange>)

    /// Hears of an instrument before its first event, and again before its first event in new units.
    mutating func learn(_ instrument: Instrument)
}

extension MarketEventSink {
    public mutating func learn(_ instrument: Instrument) {}
}
