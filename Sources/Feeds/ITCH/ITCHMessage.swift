/// Up to eight characters as ITCH sends them: left justified and filled with spaces.
public struct ITCHText: Hashable, Sendable, BitwiseCopyable {
    /// The characters, the first in the highest byte.
    public var bits: UInt64
    /// With the filling.
    public var length: UInt8

    /// Without the filling.
    public var text: String {
        var bytes = (0..<Int(length)).map { UInt8(truncatingIfNeeded: bits >> (56 - 8 * UInt64($0))) }
        while bytes.last == UInt8(ascii: " ") { bytes.removeLast() }
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// One message of Nasdaq TotalView-ITCH 5.0, all of its fields.
///
/// Prices are whole numbers of 10^-4, those of the market-wide circuit breaker of 10^-8. One-letter codes are kept as their
/// byte: what they mean stands in the specification, and only a few of them matter to the hub.
public struct ITCHMessage: Sendable, BitwiseCopyable {
    public var locate: UInt16
    public var tracking: UInt16
    /// Nanoseconds since midnight, US Eastern time.
    public var timeNs: Int64
    public var body: Body

    public enum Body: Sendable, BitwiseCopyable {
        case systemEvent(code: UInt8)
        case directory(Directory)
        case tradingAction(TradingAction)
        case regSHO(stock: ITCHText, action: UInt8)
        case participantPosition(ParticipantPosition)
        case circuitBreakerLevels(level1: UInt64, level2: UInt64, level3: UInt64)
        case circuitBreakerBreach(level: UInt8)
        case quotingPeriod(QuotingPeriod)
        case auctionCollar(AuctionCollar)
        case operationalHalt(stock: ITCHText, market: UInt8, action: UInt8)
        case add(Add)
        case executed(order: UInt64, shares: UInt32, match: UInt64)
        case executedWithPrice(ExecutedWithPrice)
        case cancelled(order: UInt64, shares: UInt32)
        case deleted(order: UInt64)
        case replaced(Replaced)
        case trade(HiddenTrade)
        case crossTrade(CrossTrade)
        case brokenTrade(match: UInt64)
        case imbalance(Imbalance)
        case retailInterest(stock: ITCHText, flag: UInt8)
        case directListing(DirectListing)
    }

    public struct Directory: Sendable, BitwiseCopyable {
        public var stock: ITCHText
        public var marketCategory: UInt8
        public var financialStatus: UInt8
        public var roundLotSize: UInt32
        public var roundLotsOnly: UInt8
        public var classification: UInt8
        public var subType: ITCHText
        public var authenticity: UInt8
        public var shortSaleThreshold: UInt8
        public var isIPO: UInt8
        public var priceTier: UInt8
        public var isETP: UInt8
        public var leverageFactor: UInt32
        public var isInverse: UInt8
    }

    public struct TradingAction: Sendable, BitwiseCopyable {
        public var stock: ITCHText
        /// `H` halted, `P` paused, `Q` quotation only, `T` trading.
        public var state: UInt8
        public var reserved: UInt8
        public var reason: ITCHText
    }

    public struct ParticipantPosition: Sendable, BitwiseCopyable {
        public var participant: ITCHText
        public var stock: ITCHText
        public var isPrimary: UInt8
        public var mode: UInt8
        public var state: UInt8
    }

    public struct QuotingPeriod: Sendable, BitwiseCopyable {
        public var stock: ITCHText
        /// Seconds since midnight.
        public var releaseSeconds: UInt32
        public var qualifier: UInt8
        public var price: UInt32
    }

    public struct AuctionCollar: Sendable, BitwiseCopyable {
        public var stock: ITCHText
        public var reference: UInt32
        public var upper: UInt32
        public var lower: UInt32
        public var extensions: UInt32
    }

    public struct Add: Sendable, BitwiseCopyable {
        public var order: UInt64
        /// `B` or `S`.
        public var side: UInt8
        public var shares: UInt32
        public var stock: ITCHText
        public var price: UInt32
        /// The market participant; without length where the message names none.
        public var attribution: ITCHText
    }

    public struct ExecutedWithPrice: Sendable, BitwiseCopyable {
        public var order: UInt64
        public var shares: UInt32
        public var match: UInt64
        /// `N` when the shares are told again in a cross.
        public var printable: UInt8
        public var price: UInt32
    }

    public struct Replaced: Sendable, BitwiseCopyable {
        public var order: UInt64
        public var newOrder: UInt64
        public var shares: UInt32
        public var price: UInt32
    }

    public struct HiddenTrade: Sendable, BitwiseCopyable {
        public var order: UInt64
        public var side: UInt8
        public var shares: UInt32
        public var stock: ITCHText
        public var price: UInt32
        public var match: UInt64
    }

    public struct CrossTrade: Sendable, BitwiseCopyable {
        public var shares: UInt64
        public var stock: ITCHText
        public var price: UInt32
        public var match: UInt64
        public var kind: UInt8
    }

    public struct Imbalance: Sendable, BitwiseCopyable {
        public var pairedShares: UInt64
        public var imbalanceShares: UInt64
        public var direction: UInt8
        public var stock: ITCHText
        public var farPrice: UInt32
        public var nearPrice: UInt32
        public var referencePrice: UInt32
        public var crossKind: UInt8
        public var variation: UInt8
    }

    public struct DirectListing: Sendable, BitwiseCopyable {
        public var stock: ITCHText
        public var eligibility: UInt8
        public var priceLeast: UInt32
        public var priceMost: UInt32
        public var nearPrice: UInt32
        public var nearTimeNs: UInt64
        public var collarLower: UInt32
        public var collarUpper: UInt32
    }
}

/// Why a message of ITCH was not understood.
public enum ITCHFault: Error, Hashable, Sendable {
    case empty
    /// A kind that version 5.0 does not have; to be skipped.
    case unknownKind(UInt8)
    case wrongLength(kind: UInt8, length: Int, expected: Int)
    /// A day has 24 hours.
    case badTime(kind: UInt8)
    case badSide(kind: UInt8)
    /// A number that does not fit.
    case outOfRange(kind: UInt8)

    /// One word for counters and reports.
    public var name: String {
        switch self {
        case .empty: "empty"
        case .unknownKind: "unknown_kind"
        case .wrongLength: "wrong_length"
        case .badTime: "bad_time"
        case .badSide: "bad_side"
        case .outOfRange: "out_of_range"
        }
    }
}

extension ITCHFault: CustomStringConvertible {
    public var description: String {
        func letter(_ byte: UInt8) -> String {
            (0x21...0x7E).contains(byte) ? String(UnicodeScalar(byte)) : "0x\(String(byte, radix: 16))"
        }
        return switch self {
        case .empty: "a message without bytes"
        case .unknownKind(let kind): "an unknown kind \(letter(kind))"
        case .wrongLength(let kind, let length, let expected):
            "a message \(letter(kind)) of \(length) bytes instead of \(expected)"
        case .badTime(let kind): "a message \(letter(kind)) later than a day has hours"
        case .badSide(let kind): "a message \(letter(kind)) that is neither to buy nor to sell"
        case .outOfRange(let kind): "a message \(letter(kind)) with a number that does not fit"
        }
    }
}
