import Market
import Testing

@testable import Feeds

@Suite("The names of recent trades")
struct RecentTradesTests {
    @Test("a name is new once and known after that, also behind many others")
    func repeats() {
        var recent = RecentTrades()
        let news = (0..<1_000 as Range<UInt64>).map { recent.holds(TradeID($0)) }
        #expect(!news.contains(true))
        // Eight of a row push out the oldest: of the last hundred hardly one is gone.
        let known = (900..<1_000 as Range<UInt64>).map { recent.holds(TradeID($0)) }
        #expect(known.count { $0 } >= 98)
    }
}

@Suite("Counts of numbered frames")
struct FrameCountsTests {
    private func take(
        _ counts: inout FrameCounts,
        _ number: UInt64,
        _ name: String = "",
        on connection: UInt32 = 1
    )
        -> FrameCounts.Place
    {
        var name = name
        return name.withUTF8 { counts.take(number, of: UnsafeRawBufferPointer($0), on: connection) }
    }

    @Test("a hole is seen once, a repeat is known, and each name and connection counts for itself")
    func places() {
        var counts = FrameCounts()
        #expect(take(&counts, 7) == .isNext)
        #expect(take(&counts, 8) == .isNext)
        #expect(take(&counts, 8) == .isKnown)
        #expect(take(&counts, 10) == .isBehindGap)
        #expect(take(&counts, 11) == .isNext)
        #expect(take(&counts, 3, "B") == .isNext)
        #expect(take(&counts, 5, on: 2) == .isNext)
        #expect(take(&counts, 12) == .isNext)
        #expect(take(&counts, 4, "B") == .isNext)
    }

    @Test("a connection that comes back counts anew")
    func reconnect() {
        var counts = FrameCounts()
        #expect(take(&counts, 40) == .isNext)
        counts.forget(1)
        #expect(take(&counts, 0) == .isNext)
        #expect(take(&counts, 2) == .isBehindGap)
    }
}
