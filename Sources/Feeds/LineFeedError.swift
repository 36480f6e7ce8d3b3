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
    case sequence
    case flags
    case venueSequence
    case bids
    case asks
    case name
    case rawSymbol
    case venue
    case instrumentKind
    case priceScale
    case quantityScale
    case state
    case reason
    case version
    case heartbeat
    case code
    case message

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
        case .sequence: "seq"
        case .flags: "flags"
        case .venueSequence: "venue_seq"
        case .bids: "bids"
        case .asks: "asks"
        case .name: "name"
        case .rawSymbol: "raw_symbol"
        case .venue: "venue"
        case .instrumentKind: "kind"
        case .priceScale: "price_scale"
        case .quantityScale: "quantity_scale"
        case .state: "state"
        case .reason: "reason"
        case .version: "version"
        case .heartbeat: "heartbeat_ms"
        case .code: "code"
        case .message: "message"
        }
    }
}

/// Why a message of the hub's own feed was left out; nothing of it has any effect.
///
/// A message is a line of JSON, or an event of a protobuf message; keys are named as JSON spells them.
public enum LineFeedError: Error, Hashable, Sendable {
    /// The message has more bytes than it may.
    case tooLong(most: Int)
    /// The line is not one JSON object in UTF-8; counts bytes from the line's start.
    case notJSON(offset: Int)
    /// The message is no protobuf, or a text in it is not UTF-8; counts bytes from the message's start.
    case notProtobuf(offset: Int)
    /// The first byte begins neither form.
    case unknownForm
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
    /// Another instrument has the name already.
    case symbolTaken
    /// No declaration on this connection gave the instrument's number a meaning.
    case unknownInstrument(number: UInt64)
    /// Changes of a book of which no snapshot was heard, or none since the gap.
    case noSnapshot
    /// The number was there already.
    case repeatedSequence(expected: UInt64, received: UInt64)
    /// Messages are missing before this one, which counts itself; the connection's books wait for snapshots.
    case gap(expected: UInt64, received: UInt64)
    /// Another version of the feed than ours.
    case unknownVersion
    /// Half a message, or nothing at all, for too long.
    case silence
    /// More events or levels than ``MessageFeed/eventsMost`` or ``MessageFeed/levelsMost`` in one message.
    case tooMany(most: Int)
    /// A reader let more bytes wait than it may: its last word.
    case tooSlow(bytesMost: Int)

    /// Stable, for programs; see Docs/feeds/tcp.md.
    public var code: UInt32 {
        switch self {
        case .tooLong: 201
        case .notJSON: 202
        case .nestedTooDeeply: 203
        case .repeatedKey: 204
        case .missing: 205
        case .malformed: 206
        case .notPositive: 207
        case .tooLarge: 208
        case .tooManyDecimals: 209
        case .fromTheFuture: 210
        case .tooManyInstruments: 211
        case .notProtobuf: 212
        case .unknownForm: 213
        case .symbolTaken: 214
        case .unknownInstrument: 215
        case .noSnapshot: 216
        case .repeatedSequence: 217
        case .gap: 218
        case .unknownVersion: 219
        case .silence: 220
        case .tooMany: 221
        case .tooSlow: 222
        }
    }

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
        case .notProtobuf: "not_protobuf"
        case .unknownForm: "unknown_form"
        case .symbolTaken: "symbol_taken"
        case .unknownInstrument: "unknown_instrument"
        case .noSnapshot: "no_snapshot"
        case .repeatedSequence: "repeated_sequence"
        case .gap: "gap"
        case .unknownVersion: "unknown_version"
        case .silence: "silence"
        case .tooMany: "too_many"
        case .tooSlow: "too_slow"
        }
    }
}

extension LineFeedError: CustomStringConvertible {
    /// What the sender can do about it.
    public var description: String {
        switch self {
        case .tooLong(let most): "a message has at most \(most) bytes"
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
        case .notProtobuf(let offset): "the message is no protobuf at byte \(offset)"
        case .unknownForm: "a connection begins with a line of JSON or with a length below 2^24"
        case .symbolTaken: "another instrument has this name; give this one a name of its own"
        case .unknownInstrument(let number): "declare instrument \(number) before its first event"
        case .noSnapshot: "send a snapshot of the book before its changes"
        case .repeatedSequence(let expected, let received): "message \(received) was there; \(expected) comes next"
        case .gap(let expected, let received):
            "messages \(expected) to \(received - 1) are missing; send snapshots of the books"
        case .unknownVersion: "this side speaks version \(FeedHello.versionSpoken)"
        case .silence: "nothing complete came for too long; send heartbeats"
        case .tooMany(let most): "a message has at most \(most) of these; send several"
        case .tooSlow(let most): "more than \(most) bytes waited; read faster, and come again for fresh snapshots"
        }
    }
}
