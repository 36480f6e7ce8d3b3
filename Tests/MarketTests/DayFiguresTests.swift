import Market
import Testing

@Suite("The day's figures")
struct DayFiguresTests {
    private static let minute: Int64 = 60_000_000_000
    private static let day: Int64 = 86_400_000_000_000
    private static let start: Int64 = 1_767_225_600_000_000_000

    private var figures = DayFigures()

    private mutating func add(_ ticks: Int64, lots: Int64 = 1, atNs now: Int64) {
        figures.add(Price(ticks: ticks), Quantity(lots: lots), atNs: now)
    }

    @Test("are nothing before the first trade")
    func empty() {
        #expect(figures.day == nil)
    }

    @Test("are first, highest, lowest price and volume")
    mutating func adds() {
        add(10, atNs: Self.start)
        add(14, lots: 2, atNs: Self.start + 1)
        add(7, lots: 3, atNs: Self.start + Self.minute)
        add(9, lots: 4, atNs: Self.start + 5 * Self.minute)
        #expect(figures.day == day(open: 10, high: 14, low: 7, volume: 10))
    }

    @Test("forget a minute when its start is 24 hours before the newest one's")
    mutating func forgets() {
        add(10, atNs: Self.start + 59_999_999_999)
        add(20, atNs: Self.start + Self.minute)
        add(30, atNs: Self.start + Self.day - 1)
        #expect(figures.day == day(open: 10, high: 30, low: 10, volume: 3))
        add(25, atNs: Self.start + Self.day)
        #expect(figures.day == day(open: 20, high: 30, low: 20, volume: 3))
        add(5, atNs: Self.start + 10 * Self.day)
        #expect(figures.day == day(open: 5, high: 5, low: 5, volume: 1))
    }

    @Test("count a late trade into the newest minute")
    mutating func countsLate() {
        add(10, atNs: Self.start + Self.minute)
        add(12, atNs: Self.start)
        add(8, atNs: Self.start - 3 * Self.day)
        #expect(figures.day == day(open: 10, high: 12, low: 8, volume: 3))
        add(9, atNs: Self.start + Self.minute + Self.day)
        #expect(figures.day == day(open: 9, high: 9, low: 9, volume: 1))
    }

    @Test("equal a sum over all trades of the last 1,440 minutes", arguments: 1...5 as ClosedRange<UInt64>)
    mutating func equalPlainSum(seed: UInt64) {
        var state = seed &* 0x9E37_79B9_7F4A_7C15
        var trades: [(minute: Int64, ticks: Int64)] = []
        var now = -2 * Self.day
        var compared = 0
        for index in 0..<3_000 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            now += Int64(state >> 40) * 20_000
            let ticks = Int64(state >> 33 & 0xFFFF)
            add(ticks, atNs: now)
            let minute = CandleInterval.minute.openNs(of: now) / Self.minute
            trades.append((minute, ticks))
            trades.removeAll { $0.minute <= minute - 1_440 }
            guard index % 50 == 0, let day = figures.day else { continue }
            let prices = trades.map(\.ticks)
            #expect(day.open.ticks == prices.first && day.high.ticks == prices.max())
            #expect(day.low.ticks == prices.min() && day.volume.lots == Int64(prices.count))
            compared += 1
        }
        #expect(compared == 60 && now > 3 * Self.day)
    }

    @Test("stand times at the ends and volumes that do not fit")
    mutating func stands() {
        add(1, lots: .max, atNs: .min)
        add(2, lots: .max, atNs: .min + 1)
        #expect(figures.day == day(open: 1, high: 2, low: 1, volume: .max))
        add(3, atNs: .max)
        #expect(figures.day == day(open: 3, high: 3, low: 3, volume: 1))
        add(4, atNs: .min)
        #expect(figures.day?.volume.lots == 2)
    }

    private func day(open: Int64, high: Int64, low: Int64, volume: Int64) -> Ticker.Day {
        Ticker.Day(
            open: Price(ticks: open),
            high: Price(ticks: high),
            low: Price(ticks: low),
            volume: Quantity(lots: volume)
        )
    }
}
