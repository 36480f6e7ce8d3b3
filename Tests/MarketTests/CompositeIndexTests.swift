import Market
import Testing

@Suite("An index over venues")
struct CompositeIndexTests {
    private static let now: Int64 = 1_767_225_600_000_000_000

    private func index(_ least: Int = 1, outlier: Int = 0, decimals: UInt8 = 8) -> CompositeIndex {
        CompositeIndex(
            CompositeIndex.Settings(
                staleNs: 1_000_000_000,
                leastSources: least,
                outlierBasisPoints: outlier,
                priceScale: decimals
            )
        )
    }

    private func source(
        _ bid: Int64,
        _ ask: Int64,
        scale: UInt8 = 2,
        state: MarketStatus.State = .live,
        ageNs: Int64? = 0
    ) -> CompositeIndex.Source {
        let quote = Quote(
            bid: Level(price: Price(ticks: bid), quantity: Quantity(lots: 1)),
            ask: Level(price: Price(ticks: ask), quantity: Quantity(lots: 1))
        )
        return CompositeIndex.Source(
            quote: quote,
            priceScale: scale,
            state: state,
            receivedNs: ageNs.map { Self.now - $0 }
        )
    }

    private func value(_ index: CompositeIndex, _ sources: CompositeIndex.Source...) -> Int64? {
        index.reading(of: sources, atNs: Self.now).value?.ticks
    }

    @Test("is the mid price of one source, the mean of two, the middle of three")
    func median() {
        #expect(value(index(decimals: 3), source(100, 101)) == 1_005)
        #expect(value(index(decimals: 4), source(100, 101), source(102, 104)) == 10_175)
        #expect(value(index(decimals: 3), source(100, 102), source(900, 902), source(104, 106)) == 1_050)
        #expect(value(index(2), source(100, 102)) == nil, "too few")
        #expect(value(index()) == nil)
    }

    @Test("compares venues of different decimals exactly")
    func scales() {
        // 1.00 and 1.02, 1.011 and 1.013, 1.0100 and 1.0102.
        let sources = [source(100, 102), source(1_011, 1_013, scale: 3), source(10_100, 10_102, scale: 4)]
        let reading = index(decimals: 8).reading(of: sources, atNs: Self.now)
        #expect(reading.sources.map { $0.mid?.text } == ["1.01", "1.012", "1.0101"])
        #expect(reading.value?.ticks == 101_010_000)
    }

    @Test(
        "rounds once, half to even",
        arguments: [(1, 2, 2), (3, 4, 4), (5, 6, 6), (-3, -2, -2), (-5, -4, -4), (7, 7 + 2, 8)]
    )
    func rounds(bid: Int64, ask: Int64, rounded: Int64) {
        let mid = CompositeIndex.Mid(Price(ticks: bid), Price(ticks: ask), priceScale: 2)
        #expect(mid.rounded(toScale: 2)?.ticks == rounded)
    }

    @Test("stands the ends of 64 bits", arguments: [UInt8(0), 2, 18])
    func ends(scale: UInt8) {
        let most = source(.max - 1, .max, scale: scale)
        let least = source(.min, .min + 1, scale: scale)
        let reading = index().reading(of: [most, least, most], atNs: Self.now)
        #expect(reading.countingCount == 3)
        #expect((reading.value == nil) == (scale < 8))
    }

    @Test(
        "says of each source whether it counts, and why not",
        arguments: [
            (0, .counts), (1, .notLive), (2, .counts), (3, .stale), (4, .unknown), (5, .oneSided), (6, .crossed),
            (7, .crossed),
        ] as [(Int, CompositeIndex.Verdict)]
    )
    func verdicts(place: Int, verdict: CompositeIndex.Verdict) {
        var oneSided = source(100, 101)
        oneSided.quote.ask = Quote.none.ask
        let unknown = CompositeIndex.Source(quote: .none, priceScale: 0, state: .disconnected, receivedNs: nil)
        let sources = [
            source(100, 101), source(100, 101, state: .resyncing), source(100, 101, ageNs: 1_000_000_000),
            source(100, 101, ageNs: 1_000_000_001), unknown, oneSided, source(101, 100), source(100, 100),
        ]
        let reading = index().reading(of: sources, atNs: Self.now)
        #expect(reading.sources[place].verdict == verdict)
        #expect(reading.countingCount == 2)
    }

    @Test("leaves outliers out of three and more, where the rule is set")
    func outliers() {
        let sources = [source(10_000, 10_000 + 2), source(10_010, 10_012), source(11_000, 11_002)]
        let strict = index(outlier: 100).reading(of: sources, atNs: Self.now)
        #expect(strict.sources.map(\.verdict) == [.counts, .counts, .outlier])
        #expect(strict.value?.ticks == 10_006_000_000)
        #expect(index(outlier: 2_000).reading(of: sources, atNs: Self.now).countingCount == 3)
        #expect(index().reading(of: sources, atNs: Self.now).value?.ticks == 10_011_000_000)
        let two = index(outlier: 1).reading(of: Array(sources.suffix(2)), atNs: Self.now)
        #expect(two.countingCount == 2, "two do not say which of them is wrong")
    }
}
