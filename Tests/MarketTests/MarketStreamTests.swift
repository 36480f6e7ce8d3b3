import Market
import Testing

@Suite("A market stream")
struct MarketStreamTests {
    private static let start: Int64 = 1_767_225_600_000_000_000
    private static let second: Int64 = 1_000_000_000

    private var stream = MarketStream(instrument: InstrumentID(7))
    private var heard = Heard()

    @Test("passes a trade on, then its ticker, then a candle of each interval")
    mutating func order() {
        trade(100, lots: 2, atNs: Self.start)
        #expect(heard.kinds == ["trade", "ticker"] + CandleInterval.allCases.map { "candle \($0.name)" })
        #expect(heard.events.allSatisfy { $0.sequence == 1 && $0.instrument == InstrumentID(7) })
        #expect(heard.events.allSatisfy { $0.eventNs == Self.start && $0.receivedNs == Self.start + 5 })
        #expect(heard.tickers.last?.last == Level(price: Price(ticks: 100), quantity: Quantity(lots: 2)))
        #expect(heard.tickers.last?.day?.volume == Quantity(lots: 2))
        #expect(heard.events[0].flags == .last && heard.events[2].flags == .synthetic)
    }

    @Test("numbers each source from 1 without gaps, by itself")
    mutating func numbers() {
        for index in 0..<200 as Range<Int64> {
            trade(100 + index % 3, atNs: Self.start + index * 700_000_000)
            book(.bookDelta(top: quote(100 + index % 2, 110)))
            apply(.status(MarketStatus(.live, .none)))
            stream.advance(toNs: Self.start + index * 700_000_000, into: &heard)
        }
        var last: [String: UInt64] = [:]
        for (event, kind) in zip(heard.events, heard.kinds) {
            let source = kind.hasPrefix("book") ? "book" : kind
            #expect(event.sequence == (last[source] ?? 0) + 1)
            last[source] = event.sequence
        }
        #expect(last["trade"] == 200 && last["book"] == 200 && last["status"] == 200 && last["ticker"] == 400)
        #expect(stream.bookSequence == 200 && stream.tickerSequence == 400)
        #expect((last["candle 1s"] ?? 0) > 300)
    }

    @Test("makes a ticker of a changed top of the book, and none of an equal one")
    mutating func booksMakeTickers() {
        book(.bookSnapshot(top: quote(10, 11)), flags: [.snapshot, .last, .checksumOK])
        book(.bookDelta(top: quote(10, 11)))
        book(.bookDelta(top: quote(9, 11)))
        #expect(heard.kinds == ["book snapshot", "ticker", "book delta", "book delta", "ticker"])
        #expect(heard.tickers.map(\.quote) == [quote(10, 11), quote(9, 11)])
        #expect(heard.events[1].flags == [.last, .synthetic], "derived, and no snapshot itself")
        #expect(heard.levelCounts == [1, 0, 1, 1, 0])
    }

    @Test("uses the venue's quotes from the first one on, not the book's top")
    mutating func venueQuotes() {
        book(.bookDelta(top: quote(10, 11)))
        apply(.quote(quote(20, 21)))
        apply(.quote(quote(20, 21)))
        book(.bookDelta(top: quote(10, 12)))
        apply(.quote(quote(20, 22)))
        #expect(heard.kinds == ["book delta", "ticker", "ticker", "book delta", "ticker"])
        #expect(heard.tickers.map(\.quote) == [quote(10, 11), quote(20, 21), quote(20, 22)])
        #expect(heard.events[2].flags == .last)
    }

    @Test("closes a candle at the first trade of a later interval, before that trade's own")
    mutating func tradesClose() {
        trade(100, atNs: Self.start)
        trade(105, atNs: Self.start + Self.second - 1)
        trade(90, atNs: Self.start + Self.second)
        let seconds = heard.candles.filter { $0.interval == .second }
        #expect(seconds.map(\.isClosed) == [false, false, true, false])
        #expect(seconds[2].close.ticks == 105 && seconds[2].tradeCount == 2)
        #expect(seconds[3].openNs == Self.start + Self.second && seconds[3].open.ticks == 90)
        #expect(heard.candles.filter { $0.interval == .minute }.map(\.tradeCount) == [1, 2, 3])
        let closing = heard.events.first { if case .candle(let candle) = $0.payload { candle.isClosed } else { false } }
        #expect(closing?.eventNs == Self.start + Self.second)
    }

    @Test("closes candles by the clock two seconds after their end, once")
    mutating func clockCloses() {
        trade(100, atNs: Self.start)
        heard = Heard()
        // Five nanoseconds behind ours is the venue's clock, by that trade.
        stream.advance(toNs: Self.start + 3 * Self.second + 4, into: &heard)
        #expect(heard.events.isEmpty)
        stream.advance(toNs: Self.start + 3 * Self.second + 5, into: &heard)
        stream.advance(toNs: Self.start + 3 * Self.second + 6, into: &heard)
        #expect(heard.kinds == ["candle 1s"] && heard.candles[0].isClosed)
        stream.advance(toNs: Self.start + 62 * Self.second + 5, into: &heard)
        #expect(heard.kinds.filter { $0 == "candle 1m" }.count == 1)
    }

    @Test("forgets the day's figures by the clock, without a trade")
    mutating func expires() {
        trade(100, atNs: Self.start)
        heard = Heard()
        stream.advance(toNs: Self.start + 86_399 * Self.second, into: &heard)
        #expect(heard.tickers.isEmpty)
        stream.advance(toNs: Self.start + 86_401 * Self.second, into: &heard)
        stream.advance(toNs: Self.start + 86_402 * Self.second, into: &heard)
        #expect(heard.tickers.count == 1 && heard.tickers[0].day == nil)
        #expect(heard.tickers[0].last.price.ticks == 100, "the last trade stays the last")
    }

    @Test("goes on in new units when it is told how many times finer they are")
    mutating func rescales() {
        trade(10, lots: 3, atNs: Self.start)
        stream.changeUnits(price: 100, quantity: 10)
        apply(.status(MarketStatus(.live, .unitsChanged)))
        heard = Heard()
        trade(1_005, lots: 1, atNs: Self.start + 1)
        #expect(heard.tickers[0].day?.open.ticks == 1_000 && heard.tickers[0].day?.volume.lots == 31)
        #expect(heard.candles.allSatisfy { $0.open.ticks == 1_000 && $0.close.ticks == 1_005 && $0.volume.lots == 31 })
        #expect(heard.candles.count == 6)
    }

    @Test("lets a historic trade change the last price alone")
    mutating func historic() {
        trade(100, atNs: Self.start, flags: .historic)
        #expect(heard.kinds == ["trade", "ticker"])
        #expect(heard.tickers[0].last.price.ticks == 100 && heard.tickers[0].day == nil)
        #expect(heard.events[1].flags == .historic)
    }

    @Test("counts by the time of receipt where the venue gives none")
    mutating func withoutTime() {
        trade(100, atNs: 0, receivedNs: Self.start + 65 * Self.second, flags: .eventTimeMissing)
        #expect(heard.candles.first { $0.interval == .minute }?.openNs == Self.start + 60 * Self.second)
        #expect(heard.events.allSatisfy { $0.eventNs == 0 })
    }

    @Test("leaves a venue's own candles and foreign tickers out")
    mutating func leavesOut() {
        let candle = Candle(interval: .second, openNs: 0, first: Price(ticks: 1), quantity: Quantity(lots: 1))
        apply(.candle(candle))
        apply(.ticker(Ticker()))
        #expect(heard.events.isEmpty)
    }

    @Test("keeps the newest status and numbers each")
    mutating func statuses() {
        #expect(stream.status == MarketStatus(.disconnected, .started))
        apply(.status(MarketStatus(.live, .none)))
        apply(.status(MarketStatus(.stale, .silence)))
        #expect(stream.status == MarketStatus(.stale, .silence))
        #expect(heard.events.map(\.sequence) == [1, 2])
    }

    @Test("starts its figures anew when the units change, and numbers on")
    mutating func unitsChange() {
        apply(.quote(quote(10, 11)))
        trade(10, atNs: Self.start)
        apply(.status(MarketStatus(.live, .unitsChanged)))
        #expect(stream.ticker == Ticker())
        heard = Heard()
        trade(1_000, atNs: Self.start + 1)
        #expect(heard.tickers[0].day?.low.ticks == 1_000 && heard.tickers[0].quote == .none)
        #expect(heard.candles.allSatisfy { $0.open.ticks == 1_000 && $0.tradeCount == 1 })
        #expect(heard.kinds.count == 8 && heard.events[0].sequence == 2 && heard.events[1].sequence == 3)
        #expect(heard.events.dropFirst(2).allSatisfy { $0.sequence == 2 })
    }

    @Test("stands times at the ends of 64 bits", arguments: [Int64.min, .min + 1, -1, .max - 1, .max])
    mutating func endsOfTime(timeNs: Int64) {
        trade(1, atNs: timeNs, receivedNs: Self.start)
        trade(2, atNs: .max, receivedNs: Self.start)
        trade(3, atNs: .min, receivedNs: Self.start)
        stream.advance(toNs: Self.start, into: &heard)
        #expect(heard.kinds.filter { $0 == "trade" }.count == 3)
    }

    // MARK: What is applied

    private mutating func trade(
        _ ticks: Int64,
        lots: Int64 = 1,
        atNs eventNs: Int64,
        receivedNs: Int64? = nil,
        flags: EventFlags = .last
    ) {
        let trade = Trade(
            price: Price(ticks: ticks),
            quantity: Quantity(lots: lots),
            aggressor: .buyer,
            id: TradeID(UInt64(lots))
        )
        let event = MarketEvent(
            instrument: stream.instrument,
            flags: flags,
            eventNs: eventNs,
            receivedNs: receivedNs ?? eventNs &+ 5,
            payload: .trade(trade)
        )
        stream.apply(event, levels: Span(), into: &heard)
    }

    private mutating func book(_ payload: MarketEvent.Payload, flags: EventFlags = .last) {
        let changes = [LevelChange(.bid, price: Price(ticks: 1), quantity: Quantity(lots: 1))]
        stream.apply(event(payload, flags), levels: changes.span, into: &heard)
    }

    private mutating func apply(_ payload: MarketEvent.Payload) {
        stream.apply(event(payload, .last), levels: Span(), into: &heard)
    }

    private func event(_ payload: MarketEvent.Payload, _ flags: EventFlags) -> MarketEvent {
        MarketEvent(
            instrument: stream.instrument,
            flags: flags,
            eventNs: Self.start,
            receivedNs: Self.start + 5,
            payload: payload
        )
    }

    private func quote(_ bid: Int64, _ ask: Int64) -> Quote {
        Quote(
            bid: Level(price: Price(ticks: bid), quantity: Quantity(lots: 1)),
            ask: Level(price: Price(ticks: ask), quantity: Quantity(lots: 1))
        )
    }
}

private struct Heard: MarketEventSink {
    var events: [MarketEvent] = []
    var kinds: [String] = []
    var levelCounts: [Int] = []
    var tickers: [Ticker] = []
    var candles: [Candle] = []

    mutating func receive(_ event: MarketEvent, levels: Span<LevelChange>) {
        events.append(event)
        levelCounts.append(levels.count)
        switch event.payload {
        case .trade: kinds.append("trade")
        case .quote: kinds.append("quote")
        case .ticker(let ticker):
            kinds.append("ticker")
            tickers.append(ticker)
        case .candle(let candle):
            kinds.append("candle \(candle.interval.name)")
            candles.append(candle)
        case .bookSnapshot: kinds.append("book snapshot")
        case .bookDelta: kinds.append("book delta")
        case .status: kinds.append("status")
        case .order: kinds.append("order")
        }
    }
}
