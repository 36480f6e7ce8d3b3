public import Market

/// What a client can listen to.
public enum Channel: UInt8, Hashable, Sendable, CaseIterable {
    case ticker = 1
    case trades = 2
    case book = 3
    case candles = 4
    case status = 5
    /// The single orders that a book adds up to; on the enhanced channel only.
    case orders = 6
    /// The latest trade's price and volume; on the legacy channel only, so that its number stands nowhere.
    case marketData = 255

    /// As clients write it.
    public var name: String {
        switch self {
        case .ticker: "ticker"
        case .trades: "trades"
        case .book: "book"
        case .candles: "candles"
        case .status: "status"
        case .orders: "bookOrders"
        case .marketData: "marketData"
        }
    }

    public init?(name: String) {
        guard let match = Self.allCases.first(where: { $0.name == name }) else { return nil }
        self = match
    }

    /// The mode of a subscription that names none.
    var usualDelivery: Delivery {
        switch self {
        case .trades, .status, .orders: .every
        case .ticker, .book, .candles, .marketData: .conflate
        }
    }
}

/// How changes reach a client.
public enum Delivery: UInt8, Hashable, Sendable, CaseIterable {
    /// All events, in order; a client that falls too far behind is closed.
    case every = 1
    /// Every change while the client keeps up, merged when it is behind.
    case conflate = 2
    /// The whole value at most once an interval, only when it changed.
    case latest = 3
}

/// Which of the hub's languages a client speaks.
public enum Format: UInt8, Hashable, Sendable, CaseIterable {
    case legacy = 0
    case enhanced = 1
}

/// A way of looking at an instrument: a channel with all its settings.
public struct View: Hashable, Sendable {
    public var channel: Channel
    public var delivery: Delivery
    /// Levels a side of a book, 0 for all; always 0 on other channels.
    public var depth: UInt32
    /// How many of the instrument's smallest price steps (``Instrument/tick``) one level of a book gathers, 1 for none; always 1 on other channels.
    public var group: Int64
    /// At most one push per so many milliseconds; 0 pushes every change.
    public var intervalMs: UInt32
    /// Nil on channels other than candles.
    public var candleInterval: CandleInterval?
    /// Which fields of a datum are wanted, one bit for each of ``Channel/fieldNames``; 0 for all, and always 0 on the enhanced channel.
    public var fields: UInt32

    public init(
        channel: Channel,
        delivery: Delivery,
        depth: UInt32 = 0,
        group: Int64 = 1,
        intervalMs: UInt32 = 0,
        candleInterval: CandleInterval? = nil,
        fields: UInt32 = 0
    ) {
        self.fields = fields
        self.channel = channel
        self.delivery = delivery
        self.depth = depth
        self.group = group
        self.intervalMs = intervalMs
        self.candleInterval = candleInterval
    }

    /// The depths a client may ask for, besides 0 for all.
    public static let depths: [UInt32] = [10, 25, 100, 1000]
    /// The intervals that are served, in milliseconds; a wish in between is rounded up, so that clients share the work.
    public static let intervalsMs: [UInt32] = [
        0, 20, 25, 50, 100, 200, 250, 500, 1000, 2000, 5000, 10_000, 30_000, 60_000,
    ]
}

extension Channel {
    /// The fields of a datum, as the legacy channel writes them and a client may pick from them.
    public var fieldNames: [String] {
        switch self {
        case .marketData: ["price", "volume"]
        case .ticker:
            [
                "time", "sequence", "bid", "bidQuantity", "ask", "askQuantity", "last", "lastQuantity", "open", "high",
                "low",
                "volume",
            ]
        case .trades: ["time", "sequence", "price", "quantity", "side", "id", "high", "low", "count"]
        case .book: ["time", "sequence", "previous", "kind", "bids", "asks", "checksum"]
        case .candles:
            [
                "time", "sequence", "interval", "start", "open", "high", "low", "close", "volume", "count", "closed",
                "partial",
            ]
        case .status: ["time", "sequence", "state", "reason", "instrument"]
        case .orders: []
        }
    }
}
