import Market
import Testing

@Suite("A maker of candles")
struct CandleMakerTests {
    private static let start: Int64 = 1_767_225_600_000_000_000
    private static let second: Int64 = 1_000_000_000

    private var stream = MarketStream(instrument: InstrumentID(3))
    private var told = Told()

    // MARK: Late trades

    @Test("lets a late trade amend the candle before the newest, closed, and tells both again")
    mutating func lateTradeAmends() {
        trade(100, lots: 1, atMs: 100)
        trade(110, lots: 1, atMs: 900)
        trade(90, lots: 1, atMs: 1_050)
        told = Told()
        trade(120, lots: 5, atMs: 950)
        let seconds = told[.second]
        #expect(seconds.map(\.openNs) == [Self.start, Self.start + Self.second])
        #expect(
            seconds == [
                candle(.second, 0, 100, 120, 100, 120, 7, 3, isClosed: true),
                candle(.second, 1, 90, 90, 90, 90, 1, 1, missing: []),
            ]
        )
        #expect(told[.minute].map(\.close.ticks) == [90], "the minute's last trade is the later one")
        #expect(stream.candles.tooLateCount == 0)
    }

    @Test("gives open and close by the trades' times, whatever the order of arrival", arguments: permutations)
    mutating func ordersByTime(order: [Int]) {
        // Time, price; the first and last by time are 5 and 9.
        let trades: [(Int64, Int64)] = [(10, 5), (20, 7), (30, 3), (40, 9)]
        for place in order { trade(trades[place].1, lots: 1, atMs: trades[place].0) }
        let last = told[.second].last
        #expect(last == candle(.second, 0, 5, 9, 3, 9, 4, 4, missing: last?.missing ?? []))
    }

    static let permutations = [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1]]

    @Test("takes trades across an interval's border in any order, and the candles are those of the right order")
    mutating func orderDoesNotMatter() {
        var times = (0..<200).map { Int64($0) * 50 }
        var expected: [Int64: Candle] = [:]
        for time in times {
            let (price, openNs) = (1_000 + time % 70, CandleInterval.second.openNs(of: Self.start + time * 1_000_000))
            if expected[openNs] == nil {
                expected[openNs] = Candle(
                    interval: .second,
                    openNs: openNs,
                    first: Price(ticks: price),
                    quantity: Quantity(lots: 1)
                )
            } else {
                expected[openNs]?.add(Price(ticks: price), Quantity(lots: 1))
            }
        }
        var state: UInt64 = 42
        // Within 18 places of 50 ms each, so that none is further behind than the candle before the newest.
        for block in stride(from: 0, to: times.count - 18, by: 18) {
            for place in block..<(block + 17) {
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                times.swapAt(place, place + Int(state >> 33) % (block + 18 - place))
            }
        }
        #expect(times != times.sorted())
        for time in times { trade(1_000 + time % 70, lots: 1, atMs: time, delayMs: 2_000) }
        #expect(stream.candles.tooLateCount == 0)
        var last: [Int64: Candle] = [:]
        for candle in told[.second] { last[candle.openNs] = candle }
        #expect(last.count == expected.count)
        for (openNs, candle) in expected where openNs > Self.start {
            #expect(last[openNs].map(\.figures) == candle.figures)
        }
    }

    @Test("counts a trade that is too late even for that, and leaves the candle of that length as it is")
    mutating func tooLate() {
        trade(100, lots: 1, atMs: 1_000)
        trade(100, lots: 1, atMs: 3_000)
        told = Told()
        trade(500, lots: 1, atMs: 1_500)
        #expect(told[.second].isEmpty && told[.minute].map(\.high.ticks) == [500])
        #expect(stream.candles.tooLateCount == 1)
    }

    @Test("keeps a candle closed by the clock amendable, and tells it closed again")
    mutating func amendsAfterTheClock() {
        trade(100, lots: 1, atMs: 500)
        advance(toMs: 3_100)
        told = Told()
        trade(105, lots: 2, atMs: 700)
        #expect(told[.second].map(\.isClosed) == [true] && told[.second].map(\.volume.lots) == [3])
    }

    @Test("changes empty candles behind a late trade with it")
    mutating func emptyCandlesFollow() {
        trade(100, lots: 1, atMs: 500)
        advance(toMs: 4_000)
        #expect(told[.second].last?.isEmpty == true)
        told = Told()
        trade(130, lots: 1, atMs: 600)
        #expect(told[.second].map(\.close.ticks) == [130, 130] && told[.second].map(\.tradeCount) == [2, 0])
    }

    // MARK: Intervals without trades

    @Test("states intervals without trades, by the clock and by the next trade")
    mutating func statesEmpty() {
        trade(100, lots: 1, atMs: 500)
        advance(toMs: 5_000)
        trade(90, lots: 1, atMs: 7_500)
        let closed = told[.second].filter(\.isClosed)
        #expect(closed.map(\.openNs) == (0..<7).map { Self.start + $0 * Self.second })
        #expect(closed.map(\.tradeCount) == [1, 0, 0, 0, 0, 0, 0])
        #expect(
            closed.dropFirst().allSatisfy {
                $0.open.ticks == 100 && $0.high == $0.open && $0.low == $0.open && $0.close == $0.open
                    && $0.volume.isZero && !$0.isPartial
            }
        )
    }

    @Test("falls silent after 60 empty candles in a row, and costs nothing then")
    mutating func fallsSilent() {
        trade(100, lots: 1, atMs: 500)
        for second in 1...300 as ClosedRange<Int64> { advance(toMs: second * 1_000) }
        #expect(told[.second].filter(\.isEmpty).count == CandleMaker.emptyMost)
        told = Told()
        trade(90, lots: 1, atMs: 300_500)
        #expect(told[.second].map(\.openNs) == [Self.start + 300 * Self.second])
        // The interval before it is amendable all the same.
        told = Told()
        trade(95, lots: 1, atMs: 299_900)
        #expect(told[.second].map(\.openNs) == [299, 300].map { Self.start + $0 * Self.second })
        #expect(told[.second].first == candle(.second, 299, 95, 95, 95, 95, 1, 1, isClosed: true))
        advance(toMs: 310_000)
        #expect(told[.second].filter(\.isEmpty).count == 7)
    }

    @Test("says where the hub did not listen")
    mutating func saysWhatIsMissing() {
        trade(100, lots: 1, atMs: 500)
        trade(100, lots: 1, atMs: 1_500)
        #expect(told[.second].last?.missing == [] && told[.minute].last?.missing == .start)
        status(.disconnected, atMs: 1_600)
        advance(toMs: 6_000)
        status(.live, atMs: 6_500)
        advance(toMs: 10_000)
        let closed = told[.second].filter(\.isClosed)
        #expect(closed.map(\.missing) == [.start, .end, .all, .all, .start, .start, .start, []])
        #expect(told[.minute].last?.missing == .start)
        trade(100, lots: 1, atMs: 10_100)
        #expect(told[.minute].last?.missing == .all)
    }

    // MARK: Clocks

    @Test("is not led astray by a time far in the future")
    mutating func farFuture() {
        trade(100, lots: 1, atMs: 500)
        trade(200, lots: 1, atMs: 3_600_000, receivedMs: 800)
        #expect(told[.second].allSatisfy { $0.openNs == Self.start } && told[.second].last?.high.ticks == 200)
        #expect(stream.candles.venueClock.disbelievedCount == 1)
        trade(110, lots: 1, atMs: 900)
        #expect(told[.day].last?.tradeCount == 3 && told[.day].last?.close.ticks == 110)
    }

    @Test("follows a venue's clock that is ahead or behind", arguments: [-3_600_000, -60_000, -1_270, 0, 1_270, 5_000])
    mutating func followsVenueClock(offsetMs: Int64) {
        for tenth in 0..<100 as Range<Int64> {
            trade(100 + tenth, lots: 1, atMs: tenth * 100 + offsetMs, receivedMs: tenth * 100 + 20)
            if tenth % 10 == 0 { advance(toMs: tenth * 100 + 20) }
        }
        #expect(stream.candles.tooLateCount == 0)
        let closed = told[.second].filter(\.isClosed)
        #expect(closed.count >= 8 && closed.dropFirst().allSatisfy { $0.tradeCount == 10 })
        #expect(Set(closed.map(\.openNs)).count == closed.count, "none closed twice")
    }

    @Test("closes in the venue's time, so that a clock behind does not lose trades")
    mutating func closesInVenueTime() {
        trade(100, lots: 1, atMs: 0, receivedMs: 30_000)
        advance(toMs: 32_900)
        #expect(told[.second].allSatisfy { !$0.isClosed })
        advance(toMs: 33_000)
        #expect(told[.second].last?.isClosed == true)
    }

    // MARK: Another run

    @Test("goes on with what an earlier run left, and says that something is missing in it")
    mutating func resumes() {
        trade(100, lots: 1, atMs: 500)
        trade(105, lots: 2, atMs: 61_500)
        let kept = stream.candles.slots
        var later = MarketStream(instrument: InstrumentID(3))
        later.resume(kept, minutes: kept.map(\.candle).filter { $0.interval == .minute })
        stream = later
        told = Told()
        trade(95, lots: 4, atMs: 70_000)
        #expect(told[.minute].last == candle(.minute, 60, 105, 105, 95, 95, 6, 2, missing: .end))
        #expect(told[.hour].last == candle(.hour, 0, 100, 105, 95, 95, 7, 3, missing: .all))
        #expect(told.tickers.last?.day?.volume.lots == 7 && told.tickers.last?.day?.open.ticks == 100)
        let seconds = told[.second].filter(\.isClosed)
        #expect(seconds.first?.volume.lots == 2 && seconds.first?.missing == .end)
        #expect(seconds.dropFirst().allSatisfy { $0.isEmpty && $0.isPartial })
    }

    @Test("makes one candle of two halves when it learns late what an earlier run left")
    mutating func resumesLate() {
        trade(100, lots: 1, atMs: 500)
        let kept = stream.candles.slots
        stream = MarketStream(instrument: InstrumentID(3))
        trade(90, lots: 1, atMs: 20_000)
        stream.resume(kept, minutes: kept.map(\.candle).filter { $0.interval == .minute })
        told = Told()
        trade(95, lots: 1, atMs: 21_000)
        #expect(told[.minute].last == candle(.minute, 0, 100, 100, 90, 95, 3, 3, missing: .all))
        #expect(told.tickers.last?.day?.volume.lots == 3)
    }

    // MARK: What is said

    private mutating func trade(
        _ ticks: Int64,
        lots: Int64,
        atMs timeMs: Int64,
        receivedMs: Int64? = nil,
        delayMs: Int64 = 0
    ) {
        let trade = Trade(price: Price(ticks: ticks), quantity: Quantity(lots: lots), aggressor: .buyer, id: TradeID())
        let event = MarketEvent(
            instrument: InstrumentID(3),
            eventNs: Self.start + timeMs * 1_000_000,
            receivedNs: Self.start + ((receivedMs ?? timeMs) + delayMs) * 1_000_000,
            payload: .trade(trade)
        )
        stream.apply(event, levels: Span(), into: &told)
    }

    private mutating func status(_ state: MarketStatus.State, atMs timeMs: Int64) {
        let nowNs = Self.start + timeMs * 1_000_000
        let payload = MarketEvent.Payload.status(MarketStatus(state, .connectionLost))
        let event = MarketEvent(instrument: InstrumentID(3), eventNs: nowNs, receivedNs: nowNs, payload: payload)
        stream.apply(event, levels: Span(), into: &told)
    }

    private mutating func advance(toMs timeMs: Int64) {
        stream.advance(toNs: Self.start + timeMs * 1_000_000, into: &told)
    }

    private func candle(
        _ interval: CandleInterval,
        _ openSecond: Int64,
        _ open: Int64,
        _ high: Int64,
        _ low: Int64,
        _ close: Int64,
        _ volume: Int64,
        _ count: UInt32,
        isClosed: Bool = false,
        missing: Candle.Missing? = nil
    ) -> Candle {
        Candle(
            interval: interval,
            openNs: Self.start + openSecond * Self.second,
            open: Price(ticks: open),
            high: Price(ticks: high),
            low: Price(ticks: low),
            close: Price(ticks: close),
            volume: Quantity(lots: volume),
            tradeCount: count,
            isClosed: isClosed,
            missing: missing ?? (openSecond == 0 ? .start : [])
        )
    }
}

extension Candle {
    fileprivate var figures: [Int64] {
        [open.ticks, high.ticks, low.ticks, close.ticks, volume.lots, Int64(tradeCount)]
    }
}

private struct Told: MarketEventSink {
    var candles: [Candle] = []
    var tickers: [Ticker] = []

    subscript(interval: CandleInterval) -> [Candle] { candles.filter { $0.interval == interval } }

    mutating func receive(_ event: MarketEvent, levels: Span<LevelChange>) {
        switch event.payload {
        case .candle(let candle): candles.append(candle)
        case .ticker(let ticker): tickers.append(ticker)
        default: break
        }
    }
}
