public import Market

/// How one venue speaks: the only thing that differs between venues.
///
/// A new venue is one file with a type of this protocol, and one line in ``Venues``.
public protocol VenueDialect: Sendable {
    /// The venue's name in configuration and on the command line.
    var venue: String { get }
    var rules: VenueRules { get }

    /// Understands one frame, adding what it says to `frame`; a frame that is not understood may leave half of it there.
    func parse(_ text: UnsafeRawBufferPointer, into frame: inout VenueFrame) throws(FrameFault)

    /// Understands the answer to a request for a book.
    func parseSnapshot(_ body: UnsafeRawBufferPointer, into frame: inout VenueFrame) throws(FrameFault)

    /// The hub's name for the venue's, and what is traded under it, when no list of instruments says so.
    func symbol(ofRaw rawSymbol: String) -> VenueSymbol

    /// Where to connect to for a subscription.
    func url(for subscription: VenueSubscription) -> String

    /// What to send once connected; empty where the URL says it all.
    func subscribeFrames(for subscription: VenueSubscription) -> [String]

    /// What to send for an instrument's book to begin anew; empty when only a new connection or a request does that.
    func resubscribeFrames(rawSymbol: String) -> [String]

    /// The same on a connection with channels of its own; nil where they make no difference.
    func resubscribeFrames(rawSymbol: String, in subscription: VenueSubscription) -> [String]?

    /// Where an instrument's book can be asked for; nil where the stream brings it.
    func snapshotURL(rawSymbol: String) -> String?

    /// The instrument whose book a URL of ``snapshotURL(rawSymbol:)`` asks for.
    func rawSymbol(ofSnapshotURL url: String) -> String?

    /// Reads one entry of the venue's list of instruments, the scanner standing before it; nil for what is no entry.
    func listing(_ scanner: inout JSONScanner) throws(FrameFault) -> Instrument?
}

extension VenueDialect {
    public func parseSnapshot(_ body: UnsafeRawBufferPointer, into frame: inout VenueFrame) throws(FrameFault) {
        throw .unknownMessage
    }

    public func resubscribeFrames(rawSymbol: String) -> [String] { [] }

    public func resubscribeFrames(rawSymbol: String, in subscription: VenueSubscription) -> [String]? { nil }

    public func snapshotURL(rawSymbol: String) -> String? { nil }

    /// By the parameter `symbol` of the URL.
    public func rawSymbol(ofSnapshotURL url: String) -> String? {
        guard let query = url.split(separator: "?").dropFirst().first else { return nil }
        let item = query.split(separator: "&").first { $0.hasPrefix("symbol=") }
        return item.flatMap { percentDecoded($0.dropFirst("symbol=".count)) }
    }
}

/// The facts of a venue that the feed goes by.
public struct VenueRules: Sendable {
    /// How a book becomes complete and how a loss shows.
    public var book: BookRule
    /// Which decimals an instrument's units need.
    public var decimals: DecimalRule = .significant
    /// Whether a checksum that does not fit makes the book begin anew.
    public var checksum: ChecksumRule = .resync
    /// What the venue makes its checksum of.
    public var checksumMethod: ChecksumMethod = .tenLevels
    /// Names of instruments stand in the frame without quotes, or are part of a longer text; the dialect has looked at them.
    public var namesAreBare = false
    /// The venue numbers an instrument's trades without holes: ``VenueTrade/sequence`` shows a loss.
    public var tradesAreNumbered = false
    /// An instrument may be heard of first by a halt or its end.
    public var haltsIntroduce = false
    /// The numbers of books mean the same on every connection, so that what comes first on any of them counts.
    public var numbersAreShared = false
    /// The connection is dead after this time without any frame.
    public var silenceMostNs: Int64
    /// How often to send ``pingText``, or a WebSocket ping where there is none; 0 for never.
    public var pingEveryNs: Int64 = 0
    public var pingText: String?
    /// The least time between two requests for a book.
    public var snapshotEveryNs: Int64 = 0
    /// A live book that is asked for is compared with the venue's own this often, as if that were a checksum; 0 for never.
    public var auditEveryNs: Int64 = 0
    /// The least time between two frames that we send.
    public var sendEveryNs: Int64 = 0
    /// The client leaves a connection after this time, before the venue closes it; 0 for never.
    public var connectionLifeNs: Int64 = 0

    public init(book: BookRule, silenceMostNs: Int64) {
        self.book = book
        self.silenceMostNs = silenceMostNs
    }

    public enum BookRule: Sendable, BitwiseCopyable {
        /// Snapshots come in the stream and updates bear no numbers.
        case inStream
        /// Snapshots come in the stream with a number, and each update's is the last one plus one.
        case inStreamContiguous
        /// Snapshots come in the stream with a number, and each update names the last one as its previous; a message without
        /// numbers follows whatever was before it.
        case inStreamChained
        /// The snapshot is asked for. Updates up to its number L are dropped, the first kept has U <= L + 1 <= u, and each
        /// later one begins at the last number + 1.
        case requestedThenContiguous
        /// The snapshot is asked for. Updates below its number L are dropped, the first kept has U <= L <= u, and each later
        /// one names the last number as its previous.
        case requestedThenChained
        /// The snapshot is asked for. It must not be older than the first update that waits; updates up to its number are
        /// dropped, all later ones apply: nothing shows a loss.
        case requestedThenNewer

        var isRequested: Bool {
            switch self {
            case .inStream, .inStreamContiguous, .inStreamChained: false
            case .requestedThenContiguous, .requestedThenChained, .requestedThenNewer: true
            }
        }
    }

    public enum ChecksumMethod: Sendable, BitwiseCopyable {
        /// CRC32 of ten levels a side, asks first, digits without point: Kraken's, see ``OrderBook/checksum``.
        case tenLevels
        /// CRC32 of `price:quantity` of 25 levels, bid and ask in turn, joined by colons, trailing zeros left out: OKX's.
        case twentyFiveLevels
    }

    public enum DecimalRule: Sendable, BitwiseCopyable {
        /// Those up to the last that is not zero: the venue pads all numbers alike.
        case significant
        /// All that the venue writes: its checksum is made of them.
        case written
        /// Those of the list of instruments or of a ``VenueMessage/units(_:)``: the checksum is made of them, and the venue
        /// writes only those that count. Where nobody told, no checksum is compared.
        case told
    }

    public enum ChecksumRule: Sendable, BitwiseCopyable {
        case ignore
        case count
        case resync
    }
}

/// An instrument's name in the hub's own terms.
public struct VenueSymbol: Hashable, Sendable {
    public var symbol: String
    public var kind: Instrument.Kind

    public init(_ symbol: String, _ kind: Instrument.Kind = .spot) {
        self.symbol = symbol
        self.kind = kind
    }
}

/// A kind of data that a venue can be asked for.
public enum VenueChannel: String, Hashable, Sendable, CaseIterable {
    case trades
    case quotes
    case book
    case candles
}

/// What a connection is for.
public struct VenueSubscription: Hashable, Sendable {
    public var rawSymbols: [String]
    public var channels: [VenueChannel]
    /// More channels in the venue's own words, such as `aggTrade` or `depth@0ms` at Binance.
    public var ownChannels: [String]

    public init(rawSymbols: [String], channels: [VenueChannel], ownChannels: [String] = []) {
        self.rawSymbols = rawSymbols
        self.channels = channels
        self.ownChannels = ownChannels
    }
}

/// All dialects the hub speaks.
public enum Venues {
    public static let all: [any VenueDialect] = [
        CoinbaseDialect(),
        BinanceDialect(market: .spot),
        BinanceDialect(market: .perpetual),
        BinanceDialect(market: .coinMargined),
        KrakenDialect(),
        OKXDialect(),
        DeribitDialect(),
        BitstampDialect(),
        BitMEXDialect(),
        BybitDialect(market: .spot),
        BybitDialect(market: .linear),
        BybitDialect(market: .inverse),
        BybitV2Dialect(),
        KrakenFuturesDialect(),
        KrakenV2Dialect(),
        CoinbaseAdvancedDialect(),
        GeminiDialect(),
    ]

    /// The dialect of a venue by its name in configuration.
    public static func dialect(of venue: String) -> (any VenueDialect)? { all.first { $0.venue == venue } }
}

extension VenueSymbol {
    /// Whether the hub follows an instrument that the venue calls so: 1 to 64 printable ASCII characters without space.
    static func isName(_ rawSymbol: String) -> Bool {
        (1...64).contains(rawSymbol.utf8.count) && rawSymbol.utf8.allSatisfy { (0x21...0x7E).contains($0) }
    }
}

/// Text of a URL's query as RFC 3986 wants it: a name of a venue may hold what means something there.
func percentEncoded(_ text: String) -> String {
    var bytes: [UInt8] = []
    let digits = Array("0123456789ABCDEF".utf8)
    for byte in text.utf8 {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
            UInt8(ascii: "~"):
            bytes.append(byte)
        default: bytes += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
        }
    }
    return String(decoding: bytes, as: UTF8.self)
}

/// The text that ``percentEncoded(_:)`` was given; nil when a percent sign is without its two digits.
func percentDecoded(_ text: Substring) -> String? {
    var bytes: [UInt8] = []
    var rest = text.utf8[...]
    while let byte = rest.popFirst() {
        guard byte == UInt8(ascii: "%") else {
            bytes.append(byte)
            continue
        }
        let pair = rest.prefix(2)
        guard pair.count == 2, pair.first != UInt8(ascii: "+"), let value = UInt8(Substring(pair), radix: 16)
        else { return nil }
        bytes.append(value)
        rest = rest.dropFirst(2)
    }
    return String(decoding: bytes, as: UTF8.self)
}

/// Text of JSON strings that we send.
func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
        switch scalar {
        case "\"": result += "\\\""
        case "\\": result += "\\\\"
        case "\u{0}"..<"\u{20}": result += " "
        default: result.unicodeScalars.append(scalar)
        }
    }
    return result + "\""
}

func quotedList(_ texts: [String]) -> String { "[" + texts.map(quoted).joined(separator: ",") + "]" }
