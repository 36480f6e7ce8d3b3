import Market
import Testing

@Suite("A history of candles")
struct CandleHistoryTests {
    private var history = CandleHistory(priceScale: 2, quantityScale: 0)
    private static let plenty = 1 << 30

    @Test("gives the newest candles, oldest first", arguments: [1, 7, 999, 1_000, 1_001, 5_000])
    mutating func newest(limit: Int) {
        for second in 0..<2_500 as Range<Int64> { put(second, close: second + 1) }
        let past = history.past(.second, limit: limit)
        #expect(past.count == min(limit, 1_000) && past.last?.close.ticks == 2_500)
        #expect(past.map(\.openNs) == (0..<past.count).map { Int64(2_500 - past.count + $0) * 1_000_000_000 })
        let before = history.past(.second, limit: limit, endNs: 2_000_000_000_000)
        #expect(before.last?.openNs == 1_999_000_000_000)
        #expect(history.past(.second, limit: 0).isEmpty && history.past(.minute, limit: 5).isEmpty)
    }

    @Test("makes empty candles again that it did not keep")
    mutating func quiet() {
        put(0, close: 10)
        for second in 1..<500 as Range<Int64> { putEmpty(second, close: 10) }
        let bytes = history.byteCount
        for second in 500..<100_000 as Range<Int64> { putEmpty(second, close: 10) }
        #expect(history.byteCount == bytes, "quiet stretches cost nothing")
        put(100_000, close: 12)
        let past = history.past(.second, limit: 4)
        #expect(past.map(\.close.ticks) == [10, 10, 10, 12] && past.map(\.tradeCount) == [0, 0, 0, 1])
        #expect(history.past(.second, limit: 1_000, endNs: 3_000_000_000).map(\.tradeCount) == [1, 0, 0])
        #expect(history.past(.second, limit: 3, endNs: 200_000_000_000_000).map(\.close.ticks) == [12, 12, 12])
    }

    @Test("tells the empty candles of a time in which nobody listened from those of a quiet one")
    mutating func deaf() {
        put(0, close: 10)
        put(3, close: 11, missing: .end)
        putEmpty(4, close: 11, missing: .all)
        putEmpty(5, close: 11, missing: .start)
        putEmpty(6, close: 11)
        put(8, close: 12)
        let past = history.past(.second, limit: 100)
        #expect(past.map(\.missing) == [[], [], [], .end, .all, .start, [], [], []])
        #expect(history.kept(.second).map(\.openNs) == [0, 3, 5, 8].map { $0 * 1_000_000_000 })
    }

    @Test("takes a candle again that a late trade changed, and one that it made of an empty interval")
    mutating func amends() {
        put(0, close: 10)
        put(2, close: 12)
        put(2, close: 13)
        put(1, close: 11)
        #expect(history.past(.second, limit: 10).map(\.close.ticks) == [10, 11, 13])
        for second in 3..<2_000 as Range<Int64> { put(second, close: second) }
        putEmpty(2_000, close: 1_999)
        put(2_001, close: 5)
        put(2_000, close: 4)
        let past = history.past(.second, limit: 1_000)
        #expect(past.suffix(3).map(\.close.ticks) == [1_999, 4, 5] && past.count == 1_000)
        #expect(zip(past, past.dropFirst()).allSatisfy { $0.openNs + 1_000_000_000 == $1.openNs })
    }

    @Test("lets the oldest go where there is no memory, and says so")
    mutating func bounded() {
        var isKept = true
        for second in 0..<100 as Range<Int64> {
            let left = max(0, 2_000 - history.byteCount)
            isKept = history.put(candle(second, close: second), bytesMost: left) && isKept
        }
        #expect(!isKept && history.byteCount <= 2_000)
        let past = history.past(.second, limit: 100)
        #expect(past.count == 32 && past.last?.close.ticks == 99)
        var none = CandleHistory(priceScale: 0, quantityScale: 0)
        let isTaken = none.put(candle(0, close: 1), bytesMost: 0)
        #expect(!isTaken && none.past(.second, limit: 5).isEmpty)
    }

    @Test("takes over finer units, and none in which a number does not fit")
    mutating func rescales() {
        put(0, close: 10)
        let isScaled = history.rescale(priceScale: 4, quantityScale: 3)
        #expect(isScaled)
        #expect(history.past(.second, limit: 1)[0].close.ticks == 1_000)
        #expect(history.past(.second, limit: 1)[0].volume.lots == 1_000)
        let isCoarser = history.rescale(priceScale: 3, quantityScale: 3)
        #expect(!isCoarser)
        put(1, close: .max / 2)
        let isFitting = history.rescale(priceScale: 5, quantityScale: 3)
        #expect(!isFitting && history.priceScale == 4)
    }

    private func candle(_ second: Int64, close: Int64, missing: Candle.Missing = []) -> Candle {
        var candle = Candle(
            interval: .second,
            openNs: second * 1_000_000_000,
            first: Price(ticks: close),
            quantity: Quantity(lots: 1)
        )
        (candle.isClosed, candle.missing) = (true, missing)
        return candle
    }

    private mutating func put(_ second: Int64, close: Int64, missing: Candle.Missing = []) {
        let isKept = history.put(candle(second, close: close, missing: missing), bytesMost: Self.plenty)
        #expect(isKept)
    }

    private mutating func putEmpty(_ second: Int64, close: Int64, missing: Candle.Missing = []) {
        let openNs = second * 1_000_000_000
        let candle = Candle(interval: .second, openNs: openNs, emptyAt: Price(ticks: close), missing: missing)
        let isKept = history.put(candle, bytesMost: Self.plenty)
        #expect(isKept)
    }
}
