import Hub
import Market
import Testing

/// Instruments, pushes and frames that the suites share.
enum Samples {
    /// Bitcoin at Coinbase (the primary), the same at Kraken, and one whose name needs care.
    static let table: InstrumentTable = {
        var table = InstrumentTable()
        var all = [
            Instrument(
                id: InstrumentID(0),
                venue: "coinbase",
                symbol: "BTC-USD",
                rawSymbol: "BTC-USD",
                priceScale: 2,
                quantityScale: 8,
                tick: 1,
                lot: 1
            ),
            Instrument(
                id: InstrumentID(0),
                venue: "kraken",
                symbol: "BTC-USD",
                rawSymbol: "XBT/USD",
                priceScale: 1,
                quantityScale: 8
            ),
            Instrument(
                id: InstrumentID(0),
                venue: "lan",
                symbol: "A\"\\\u{7}é",
                rawSymbol: "a",
                kind: .future,
                priceScale: 18,
                quantityScale: 0,
                tick: 25,
                lot: 10
            ),
        ]
        all[0].terms.base = "BTC"
        all[0].terms.quote = "USD"
        all[2].terms.base = "A\"\u{7}"
        all[2].terms.quote = "USD"
        all[2].terms.settle = "BTC"
        all[2].terms.contractSize = Decimal(digits: 1, scale: 3)
        all[2].terms.isInverse = true
        all[2].terms.expiryNs = 1_632_470_400_000_000_000
        all[2].terms.strike = Decimal(digits: 24_000, scale: 0)
        all[2].terms.right = .put
        for instrument in all {
            do { _ = try table.add(instrument) } catch { Issue.record("\(error)") }
        }
        return table
    }()

    static let eventNs: Int64 = 1_767_323_045_123_456_789  // 2026-01-02T03:04:05.123456789Z

    static func push(
        _ payload: Push.Payload,
        _ channel: Channel,
        instrument: UInt32 = 0,
        flags: EventFlags = [],
        skipped: UInt64 = 0
    ) -> Push {
        Push(
            topic: TopicID(7),
            channel: channel,
            instrument: InstrumentID(instrument),
            sequence: 1_000 + skipped,
            previous: 999,
            skipped: skipped,
            eventNs: eventNs,
            receivedNs: eventNs + 1_500_000,
            flags: flags,
            payload: payload
        )
    }

    static func price(_ ticks: Int64) -> Price { Price(ticks: ticks) }
    static func level(_ ticks: Int64, _ lots: Int64) -> Level {
        Level(price: Price(ticks: ticks), quantity: Quantity(lots: lots))
    }

    static let trade = Trade(
        price: Price(ticks: 5_000_000),
        quantity: Quantity(lots: 150_000_000),
        aggressor: .buyer,
        id: TradeID(123_456_789)
    )
    static let aggregate: TradeAggregate = {
        var sum = TradeAggregate(trade)
        sum.add(
            Trade(price: Price(ticks: 4_999_950), quantity: Quantity(lots: 1), aggressor: .seller, id: TradeID())
        )
        return sum
    }()
    static let ticker = Ticker(
        quote: Quote(bid: level(4_999_999, 25_000_000), ask: level(5_000_001, 100_000_000)),
        last: level(5_000_000, 150_000_000),
        day: Ticker.Day(
            open: Price(ticks: 4_900_000),
            high: Price(ticks: 5_010_050),
            low: Price(ticks: 4_888_888),
            volume: Quantity(lots: 123_456_789_012)
        )
    )
    static let candle = Candle(
        interval: .minute,
        openNs: 1_767_323_040_000_000_000,
        open: Price(ticks: 5_000_000),
        high: Price(ticks: 5_000_100),
        low: Price(ticks: 4_999_900),
        close: Price(ticks: 5_000_050),
        volume: Quantity(lots: 250_000_000),
        tradeCount: 12,
        isClosed: true
    )
    /// Without a trade, in a time for which the hub did not listen throughout.
    static let partialCandle = Candle(
        interval: .minute,
        openNs: 1_767_323_100_000_000_000,
        emptyAt: Price(ticks: 5_000_050),
        missing: .start
    )
    static let history = PastCandles([candle, partialCandle], priceScale: 2, quantityScale: 8)
    /// Bids and asks of the worked example in Docs/PROTOCOL.md.
    static let levels = [
        LevelChange(.bid, price: Price(ticks: 4_999_999), quantity: Quantity(lots: 25_000_000)),
        LevelChange(.bid, price: Price(ticks: 4_999_900), quantity: Quantity(lots: 300_000_000)),
        LevelChange(.ask, price: Price(ticks: 5_000_001), quantity: Quantity(lots: 100_000_000)),
    ]

    /// The checksum of a book with these levels and no others.
    static func checksum(_ levels: [LevelChange]) -> UInt32 {
        var book = OrderBook()
        for level in levels { book.apply(level) }
        return book.checksum
    }
}

/// Numbers that are the same for the same seed (SplitMix64).
struct SeededRandom: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    /// A number whose length in bits is any with equal chance, so that small and huge ones, and zero, all occur.
    mutating func anyLength() -> UInt64 {
        let bits = Int.random(in: 0...64, using: &self)
        return bits == 0 ? 0 : next() >> (64 - UInt64(bits))
    }

    mutating func price() -> Price { Price(ticks: Int64(bitPattern: anyLength())) }
    mutating func quantity() -> Quantity { Quantity(lots: Int64(anyLength() >> 1)) }
    mutating func bytes(most: Int) -> [UInt8] {
        (0..<Int.random(in: 0...most, using: &self)).map { _ in UInt8(next() & 255) }
    }
}
