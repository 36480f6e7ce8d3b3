/// A key of the line feed that has a meaning.
public enum LineFeedKey: UInt8, Hashable, Sendable, CaseIterable {
    case type
    case symbol
    case price
    case quantity
    case side
    case id
    case time
    case bid
    case bidQuantity
    case ask
    case askQuantity

    /// As a line spells it.
    public var name: String {
        switch self {
        case .type: "type"
        case .symbol: "symbol"
        case .price: "price"
        case .quantity: "quantity"
        case .side: "side"
        case .id: "id"
        case .time: "time_ns"
        case .bid: "bid"
        case .bidQuantity: "bid_quantity"
        case .ask: "ask"
        case .askQuantity: "ask_quantity"
        }
    }
}

/// Why a line of the line feed was left out; nothing of the line has any effect.
public enum LineFeedError: Error, Hashable, Sendable {
    /// The line has more bytes than ``LineFeed/lineBytesMost``.
    case tooLong
    /// The line is not one JSON object in UTF-8; counts bytes from the line's start.
    case notJSON(offset: Int)
    /// Objects and arrays within one another, more than ``LineFeed/nestingMost``.
    case nestedTooDeeply
    case repeatedKey(LineFeedKey)
    case missing(LineFeedKey)
    /// The value is of another kind than the key's, or cannot be read as that: see Docs/feeds/tcp.md.
    case malformed(LineFeedKey)
    /// Prices and a trade's quantity are above zero, a quote's quantity is not below.
    case notPositive(LineFeedKey)
    /// The number does not fit 64 bits in the instrument's units.
    case tooLarge(LineFeedKey)
    /// More decimals than ``LineFeed/scaleMost``, or so many that numbers a thousand times as large would not fit.
    case tooManyDecimals(LineFeedKey)
    /// More than a day after the hub's clock.
    case fromTheFuture
    /// The instrument would be one more than ``LineFeed/Settings/instrumentsMost``.
    case tooManyInstruments(most: Int)

    /// Short and stable, for logs and as a metric's label.
    public var reason: String {
        switch self {
        case .tooLong: "too_long"
        case .notJSON: "not_json"
        case .nestedTooDeeply: "nested_too_deeply"
        case .repeatedKey: "repeated_key"
        case .missing: "missing"
        case .malformed: "malformed"
        case .notPositive: "not_positive"
        case .tooLarge: "too_large"
        case .tooManyDecimals: "too_many_decimals"
        case .fromTheFuture: "from_the_future"
        case .tooManyInstruments: "too_many_instruments"
        }
    }
}

extension LineFeedError: CustomStringConvertible {
    /// What the sender can do about it.
    public var description: String {
        switch self {
        case .tooLong: "a line has at most \(LineFeed.lineBytesMost) bytes"
        case .notJSON(let offset): "a line is one JSON object in UTF-8; this one is not from byte \(offset) on"
        case .nestedTooDeeply: "objects and arrays nest at most \(LineFeed.nestingMost) deep"
        case .repeatedKey(let key): "\"\(key.name)\" stands twice"
        case .missing(let key): "\"\(key.name)\" is missing"
        case .malformed(let key): "the value of \"\(key.name)\" is not one that it can have"
        case .notPositive(let key): "\"\(key.name)\" is too small"
        case .tooLarge(let key): "\"\(key.name)\" does not fit 64 bits in the instrument's units"
        case .tooManyDecimals(let key): "\"\(key.name)\" has too many decimals"
        case .fromTheFuture: "\"time_ns\" is more than a day after the hub's clock"
        case .tooManyInstruments(let most): "the feed has its \(most) instruments already"
        }
    }
}
