import Market
import Testing

@Suite("A candle")
struct CandleTests {
    @Test("has a length and a name that means it", arguments: CandleInterval.allCases)
    func names(interval: CandleInterval) {
        #expect(CandleInterval(name: interval.name) == interval)
        #expect(interval.lengthNs % 1_000_000_000 == 0)
    }

    @Test("knows no other names", arguments: ["", "2m", "1M", "60s", " 1m"])
    func unknownNames(name: String) {
        #expect(CandleInterval(name: name) == nil)
    }

    @Test(
        "opens at the start of its interval, before 1970 too",
        arguments: [
            (.second, 0, 0), (.second, 999_999_999, 0), (.second, 1_000_000_000, 1_000_000_000),
            (.second, -1, -1_000_000_000),
            (.second, -1_000_000_000, -1_000_000_000), (.second, -1_000_000_001, -2_000_000_000),
            (.minute, 119_999_999_999, 60_000_000_000), (.day, 1_767_225_600_000_000_000, 1_767_225_600_000_000_000),
            (.day, 1_767_311_999_999_999_999, 1_767_225_600_000_000_000), (.day, -1, -86_400_000_000_000),
            (.fifteenMinutes, 1_767_226_499_999_999_999, 1_767_225_600_000_000_000),
        ] as [(CandleInterval, Int64, Int64)]
    )
    func opens(interval: CandleInterval, timeNs: Int64, openNs: Int64) {
        #expect(interval.openNs(of: timeNs) == openNs)
    }

    @Test(
        "does not trap at the ends of time",
        arguments: CandleInterval.allCases,
        [Int64.min, .min + 1, .max - 1, .max]
    )
    func endsOfTime(interval: CandleInterval, timeNs: Int64) {
        let openNs = interval.openNs(of: timeNs)
        #expect(openNs % interval.lengthNs == 0)
        #expect(timeNs < 0 || openNs <= timeNs)
    }

    @Test("keeps first, highest, lowest and last price, volume and count")
    func adds() {
        var candle = Candle(interval: .minute, openNs: 60, first: Price(ticks: 10), quantity: Quantity(lots: 1))
        for ticks: Int64 in [12, 7, 9] { candle.add(Price(ticks: ticks), Quantity(lots: 2)) }
        #expect(candle.open.ticks == 10 && candle.high.ticks == 12 && candle.low.ticks == 7 && candle.close.ticks == 9)
        #expect(candle.volume.lots == 7 && candle.tradeCount == 4 && !candle.isClosed && candle.openNs == 60)
        candle.add(Price(ticks: 9), Quantity(lots: .max))
        #expect(candle.volume.lots == .max, "a volume that does not fit stays at the most there is")
    }
}
