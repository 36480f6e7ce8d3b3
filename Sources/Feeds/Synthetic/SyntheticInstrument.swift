public import Market

/// One instrument of the synthetic exchange: its units, where its price starts, and how it moves beside the others.
public struct SyntheticInstrument: Hashable, Sendable {
    public var symbol: String
    public var priceScale: UInt8
    public var quantityScale: UInt8
    /// The smallest price step, in price units.
    public var tick: Int64
    /// The smallest quantity step, in quantity units.
    public var lot: Int64
    /// In price units, a multiple of ``tick`` and at least 1,000 of them.
    public var startPrice: Int64
    /// The size of an ordinary order, in quantity units and at least one ``lot``.
    public var ordinaryQuantity: Int64
    /// How many orders arrive here, measured against the other instruments.
    public var activity: Double
    /// How far the whole market's moves carry this one along: 1 for all the way, 0 for not at all.
    public var loading: Double

    public init(
        symbol: String,
        priceScale: UInt8,
        quantityScale: UInt8,
        tick: Int64,
        lot: Int64,
        startPrice: Int64,
        ordinaryQuantity: Int64,
        activity: Double,
        loading: Double
    ) {
        precondition(tick > 0 && lot > 0, "steps are positive")
        precondition(startPrice % tick == 0 && startPrice / tick >= 1_000, "a start price is at least 1,000 ticks")
        precondition(ordinaryQuantity >= lot, "an ordinary order is at least one lot")
        precondition(activity > 0, "every instrument is active")
        self.symbol = symbol
        self.priceScale = priceScale
        self.quantityScale = quantityScale
        self.tick = tick
        self.lot = lot
        self.startPrice = startPrice
        self.ordinaryQuantity = ordinaryQuantity
        self.activity = activity
        self.loading = loading
    }

    /// For ``InstrumentTable/add(_:)``, which gives the id.
    public var instrument: Instrument {
        Instrument(
            id: InstrumentID(0),
            venue: SyntheticExchange.venue,
            symbol: symbol,
            rawSymbol: symbol,
            priceScale: priceScale,
            quantityScale: quantityScale,
            tick: tick,
            lot: lot
        )
    }

    /// The ten instruments that the hub starts with; a tick is about a fifteenth of a basis point to a quarter of one.
    public static let standard: [SyntheticInstrument] = [
        row("BTC-USD", 1, 4, tick: 5, start: 672_500, ordinary: 2_500, activity: 2.0, loading: 1.0),
        row("ETH-USD", 2, 3, tick: 5, start: 345_020, ordinary: 4_000, activity: 1.6, loading: 0.95),
        row("SOL-USD", 3, 2, tick: 2, start: 148_350, ordinary: 2_500, activity: 1.3, loading: 0.9),
        row("XRP-USD", 5, 0, tick: 1, start: 52_410, ordinary: 1_800, activity: 1.0, loading: 0.75),
        row("ADA-USD", 5, 0, tick: 1, start: 38_520, ordinary: 2_200, activity: 0.8, loading: 0.8),
        row("DOGE-USD", 6, 0, tick: 2, start: 123_450, ordinary: 6_000, activity: 0.9, loading: 0.7),
        row("LTC-USD", 3, 3, tick: 1, start: 72_450, ordinary: 9_000, activity: 0.6, loading: 0.75),
        row("LINK-USD", 4, 2, tick: 2, start: 138_650, ordinary: 6_500, activity: 0.6, loading: 0.85),
        row("AVAX-USD", 4, 2, tick: 5, start: 264_300, ordinary: 3_500, activity: 0.6, loading: 0.85),
        row("DOT-USD", 4, 2, tick: 1, start: 58_420, ordinary: 15_000, activity: 0.6, loading: 0.8),
    ]

    /// As many instruments as wanted: the standard ten, then more like them under numbered names.
    public static func first(_ count: Int) -> [SyntheticInstrument] {
        (0..<count).map { index in
            var one = standard[index % standard.count]
            if index >= standard.count { one.symbol = "SYN\(index + 1)-USD" }
            return one
        }
    }

    private static func row(
        _ symbol: String,
        _ priceScale: UInt8,
        _ quantityScale: UInt8,
        tick: Int64,
        start: Int64,
        ordinary: Int64,
        activity: Double,
        loading: Double
    ) -> SyntheticInstrument {
        SyntheticInstrument(
            symbol: symbol,
            priceScale: priceScale,
            quantityScale: quantityScale,
            tick: tick,
            lot: 1,
            startPrice: start,
            ordinaryQuantity: ordinary,
            activity: activity,
            loading: loading
        )
    }
}
