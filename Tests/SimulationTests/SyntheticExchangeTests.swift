import Feeds
import Market
import Testing

@Suite("The synthetic exchange")
struct SyntheticExchangeTests {
    static let seeds: [UInt64] = [1, 2, 3, 5, 8, 13, 21, 34, 0, .max]
    private static let ids = SyntheticInstrument.standard.indices.map { InstrumentID(UInt32($0)) }

    private static func exchange(seed: UInt64, rate: Double = 200, startNs: Int64 = start) -> SyntheticExchange {
        SyntheticExchange(.init(seed: seed, eventsPerSecond: rate), ids: ids, startNs: startNs)
    }

    /// 2026-01-01 00:00 UTC.
    private static let start: Int64 = 1_767_225_600_000_000_000
    private static let second: Int64 = 1_000_000_000

    @Test("has ten instruments that the table takes")
    func instruments() throws {
        var table = InstrumentTable()
        for traits in SyntheticInstrument.standard { _ = try table.add(traits.instrument) }
        #expect(table.ids(matching: "*@synthetic").count == 10)
        #expect(table.id(named: "BTC-USD") == InstrumentID(0))
    }

    @Test("trades at the then best price only, and its deltas rebuild its books", arguments: seeds)
    func booksAreRight(seed: UInt64) {
        var exchange = Self.exchange(seed: seed)
        var listener = BookListener(count: Self.ids.count)
        for step in 1...60 {
            _ = exchange.advance(toNs: Self.start + Int64(step) * Self.second / 2, most: .max, into: &listener)
            for id in Self.ids {
                let book = exchange.book(of: id)
                #expect(listener.books[id.index].bids == book.bids)
                #expect(listener.books[id.index].asks == book.asks)
            }
            #expect(exchange.isConsistent)
        }
        #expect(listener.faults.isEmpty, "\(listener.faults.prefix(3))")
        #expect(listener.tradeCounts.allSatisfy { $0 > 10 })
        #expect(listener.sweepCount > 10 && listener.multipleFillCount > 100, "large orders meet several")
        for id in Self.ids { exchange.snapshot(of: id, atNs: exchange.nextDueNs, into: &listener) }
        #expect(listener.snapshotCount == 20)
        #expect(listener.faults.isEmpty, "a snapshot differs from what the deltas made")
    }

    @Test("lets ticker, trades, book and candles agree at each sequence", arguments: seeds)
    func sourcesAgree(seed: UInt64) {
        var exchange = Self.exchange(seed: seed)
        var listener = NumberedListener(ids: Self.ids)
        _ = exchange.advance(toNs: Self.start + 90 * Self.second, most: .max, into: &listener)
        #expect(listener.check.faults.isEmpty, "\(listener.check.faults.prefix(3))")
        #expect(listener.check.sources.allSatisfy { $0.trades > 60 && $0.ticker > $0.trades && $0.book > $0.trades })
        #expect(listener.check.sources.allSatisfy { $0.closedSeconds > 60 && $0.closedMinutes == 1 })
        #expect(listener.streams.allSatisfy { $0.status == MarketStatus(.live, .started) })
    }

    @Test("trades each instrument at least once a second", arguments: seeds)
    func tradesEverySecond(seed: UInt64) {
        var exchange = Self.exchange(seed: seed)
        var listener = TradeTimes(count: Self.ids.count, startNs: Self.start)
        _ = exchange.advance(toNs: Self.start + 120 * Self.second, most: .max, into: &listener)
        #expect(listener.longestPauseNs <= Self.second)
        #expect(listener.lastNs.allSatisfy { $0 > Self.start + 119 * Self.second })
    }

    @Test(
        "keeps to its rate",
        arguments: [(1.0, 2_000), (10.0, 600), (200.0, 300), (5_000.0, 4), (100_000.0, 1)] as [(Double, Int64)]
    )
    func rate(rate: Double, seconds: Int64) {
        var exchange = Self.exchange(seed: 4, rate: rate)
        var listener = DeltaCounts()
        _ = exchange.advance(toNs: Self.start + seconds * Self.second, most: .max, into: &listener)
        let mean = Double(listener.total) / Double(seconds)
        #expect(mean > rate * 0.8 && mean < rate * 1.25, "\(mean)")
        #expect(exchange.isConsistent)
    }

    @Test("gives the same events to the byte for a seed, however the calls are cut", arguments: [1, 7, 1_000])
    func isDeterministic(most: Int) {
        let end = Self.start + 20 * Self.second
        var whole = Digest()
        var exchange = Self.exchange(seed: 11)
        #expect(!exchange.advance(toNs: end, most: .max, into: &whole))
        var cut = Digest()
        var other = Self.exchange(seed: 11)
        var until = Self.start
        while until < end {
            until = min(until + 333_333_333, end)
            while other.advance(toNs: until, most: most, into: &cut) {}
        }
        #expect(whole.count > 4_000)
        #expect(whole == cut)
        #expect(exchange.nextDueNs == other.nextDueNs)
        var foreign = Digest()
        var third = Self.exchange(seed: 12)
        _ = third.advance(toNs: end, most: .max, into: &foreign)
        #expect(whole != foreign)
    }

    @Test("does not say that more is due when nothing is")
    func saysWhetherMoreIsDue() {
        var exchange = Self.exchange(seed: 3)
        var listener = DeltaCounts()
        #expect(!exchange.advance(toNs: Self.start - 1, most: 10, into: &listener))
        #expect(exchange.nextDueNs == Self.start)
        #expect(exchange.advance(toNs: Self.start, most: 9, into: &listener))
        #expect(!exchange.advance(toNs: Self.start, most: 1, into: &listener))
        #expect(exchange.nextDueNs > Self.start)
    }

    @Test("clusters its arrivals", arguments: seeds)
    func clusters(seed: UInt64) {
        var exchange = Self.exchange(seed: seed)
        var counts: [Double] = []
        for step in 1...3_000 {
            var listener = DeltaCounts()
            _ = exchange.advance(toNs: Self.start + Int64(step) * Self.second / 10, most: .max, into: &listener)
            counts.append(Double(listener.total))
        }
        let mean = counts.mean
        let variance = counts.map { ($0 - mean) * ($0 - mean) }.mean
        // 1 for independent arrivals; for clusters of 2.5 in a window of two cluster lives about 3.
        #expect(variance / mean > 2 && variance / mean < 6)
    }

    /// The ranges that the documentation states, on mid prices of each second at the default rate.
    @Test("has the spreads, tails and correlations of a market", arguments: [1, 2, 3, 7])
    func statistics(seed: UInt64) {
        var exchange = Self.exchange(seed: seed)
        var listener = DeltaCounts()
        var mids = [[Double]](repeating: [], count: Self.ids.count)
        var spreads = mids
        for step in 1...1_500 {
            _ = exchange.advance(toNs: Self.start + Int64(step) * Self.second, most: .max, into: &listener)
            for (id, traits) in zip(Self.ids, SyntheticInstrument.standard) {
                let book = exchange.book(of: id)
                guard let bid = book.bestBid, let ask = book.bestAsk else { continue }
                mids[id.index].append(Double(bid.price.ticks + ask.price.ticks) / 2 / Double(traits.tick))
                spreads[id.index].append(Double(ask.price.ticks - bid.price.ticks) / Double(traits.tick))
            }
        }
        let returns = mids.map { zip($0, $0.dropFirst()).map { $1 - $0 } }
        for index in Self.ids.indices {
            #expect(returns[index].count == 1_499)
            #expect((1.5...4).contains(spreads[index].mean), "mean spread \(spreads[index].mean) of \(index)")
            #expect(spreads[index].allSatisfy { $0 >= 1 && $0 <= 100 })
            let echo = correlation(Array(returns[index].dropLast()), Array(returns[index].dropFirst()))
            #expect((-0.15...0.35).contains(echo), "autocorrelation \(echo) of \(index)")
            #expect(kurtosis(returns[index]) > 4, "a bell has 3")
        }
        for first in Self.ids.indices {
            for second in 0..<first {
                let shared = correlation(returns[first], returns[second])
                #expect((0.15...0.95).contains(shared), "correlation \(shared) of \(first) and \(second)")
            }
        }
    }
}

/// Rebuilds books from events, and lets trades take from them.
private struct BookListener: MarketEventSink {
    var books: [OrderBook]
    var tradeCounts: [UInt64]
    var faults: [String] = []
    var snapshotCount = 0
    /// Deltas of several levels.
    var sweepCount = 0
    /// Trades that are not their order's first.
    var multipleFillCount = 0
    private var lastNs = Int64.min
    /// Whether the instrument's trades wait for their delta.
    private var isTrading: [Bool]

    init(count: Int) {
        books = .init(repeating: OrderBook(), count: count)
        tradeCounts = .init(repeating: 0, count: count)
        isTrading = .init(repeating: false, count: count)
    }

    mutating func receive(_ event: MarketEvent, levels: Span<LevelChange>) {
        let index = event.instrument.index
        if event.eventNs < lastNs || event.receivedNs != event.eventNs { faults.append("time at \(event.eventNs)") }
        if event.sequence != 0 { faults.append("a number") }
        lastNs = event.eventNs
        switch event.payload {
        case .trade(let trade):
            tradeCounts[index] += 1
            if isTrading[index] { multipleFillCount += 1 }
            isTrading[index] = true
            let side: Side = trade.aggressor == .buyer ? .ask : .bid
            guard let best = side == .ask ? books[index].bestAsk : books[index].bestBid, best.price == trade.price,
                !trade.quantity.isZero, trade.quantity <= best.quantity, trade.aggressor != .unknown,
                trade.id == TradeID(tradeCounts[index])
            else { return faults.append("\(trade) against \(Quote(of: books[index]))") }
            let left = Quantity(lots: best.quantity.lots - trade.quantity.lots)
            books[index].set(left, at: best.price, of: side)
        case .bookDelta(let top):
            var hasChanged = false
            for place in levels.indices where books[index].apply(levels[place]) { hasChanged = true }
            // The trades said it all already; anything else changes one level.
            if levels.count > 1 { sweepCount += 1 }
            if hasChanged == isTrading[index] { faults.append("a delta that its trades do not explain") }
            if !isTrading[index], levels.count != 1 { faults.append("\(levels.count) levels for one order") }
            isTrading[index] = false
            check(top, index)
        case .bookSnapshot(let top):
            let old = books[index]
            books[index].removeAll()
            for place in levels.indices { books[index].apply(levels[place]) }
            if !old.isEmpty, old.bids != books[index].bids || old.asks != books[index].asks {
                faults.append("snapshot")
            }
            snapshotCount += 1
            check(top, index)
        case .status:
            break
        case .quote, .ticker, .candle, .order:
            faults.append("an event that a venue's book does not make")
        }
    }

    private mutating func check(_ top: Quote, _ index: Int) {
        if top != Quote(of: books[index]) { faults.append("top \(top)") }
        if books[index].isCrossed { faults.append("crossed") }
        if max(books[index].bids.count, books[index].asks.count) > 400 { faults.append("too deep") }
        if books[index].bids.isEmpty || books[index].asks.isEmpty { faults.append("one side is empty") }
    }
}

/// Numbers events by market streams and compares the sources with each other.
private struct NumberedListener: MarketEventSink {
    var streams: [MarketStream]
    var check: Agreement

    init(ids: [InstrumentID]) {
        streams = ids.map { MarketStream(instrument: $0) }
        check = Agreement(count: ids.count)
    }

    mutating func receive(_ event: MarketEvent, levels: Span<LevelChange>) {
        streams[event.instrument.index].apply(event, levels: levels, into: &check)
    }
}

private struct Agreement: MarketEventSink {
    struct Source {
        var trades: UInt64 = 0
        var ticker: UInt64 = 0
        var book: UInt64 = 0
        var candles = [UInt64](repeating: 0, count: 6)
        var closedSeconds = 0
        var closedMinutes = 0
        var lastTrade: Trade?
        var top = Quote.none
        /// Made here from the trades alone.
        var expected = [Candle?](repeating: nil, count: 6)
        var closing = [Candle?](repeating: nil, count: 6)
        var volume: Int64 = 0
    }

    var sources: [Source]
    var faults: [String] = []

    init(count: Int) { sources = .init(repeating: Source(), count: count) }

    mutating func receive(_ event: MarketEvent, levels: Span<LevelChange>) {
        let index = event.instrument.index
        switch event.payload {
        case .trade(let trade):
            sources[index].trades += 1
            if event.sequence != sources[index].trades { faults.append("trade number \(event.sequence)") }
            if trade.id != TradeID(event.sequence) { faults.append("trade \(trade.id.text) has another number") }
            sources[index].lastTrade = trade
            sources[index].volume += trade.quantity.lots
            count(trade, atNs: event.eventNs, index)
        case .bookDelta(let top), .bookSnapshot(let top):
            sources[index].book += 1
            if event.sequence != sources[index].book { faults.append("book number \(event.sequence)") }
            sources[index].top = top
        case .ticker(let ticker):
            sources[index].ticker += 1
            if event.sequence != sources[index].ticker { faults.append("ticker number \(event.sequence)") }
            if ticker.quote != sources[index].top { faults.append("the ticker's quote is not the book's") }
            guard let trade = sources[index].lastTrade else { break }
            if ticker.last != Level(price: trade.price, quantity: trade.quantity) { faults.append("last") }
            if ticker.day?.volume.lots != sources[index].volume { faults.append("day volume") }
        case .candle(let candle):
            let interval = Int(candle.interval.rawValue)
            sources[index].candles[interval] += 1
            if event.sequence != sources[index].candles[interval] { faults.append("candle number \(event.sequence)") }
            compare(candle, interval, index)
        case .status, .quote, .order:
            break
        }
    }

    private mutating func count(_ trade: Trade, atNs timeNs: Int64, _ index: Int) {
        for interval in CandleInterval.allCases {
            let place = Int(interval.rawValue)
            let openNs = timeNs / interval.lengthNs * interval.lengthNs
            if sources[index].expected[place]?.openNs == openNs {
                sources[index].expected[place]?.add(trade.price, trade.quantity)
            } else {
                if let old = sources[index].expected[place] { sources[index].closing[place] = old }
                sources[index].expected[place] =
                    Candle(interval: interval, openNs: openNs, first: trade.price, quantity: trade.quantity)
            }
        }
    }

    private mutating func compare(_ candle: Candle, _ interval: Int, _ index: Int) {
        guard !candle.isEmpty else {
            let last = sources[index].closing[interval] ?? sources[index].expected[interval]
            let before = candle.openNs - candle.interval.lengthNs
            if candle.close != last?.close && last?.openNs == before { faults.append("an empty candle's close") }
            return
        }
        var open = candle
        open.isClosed = false
        open.missing = []
        let expected = candle.isClosed ? sources[index].closing[interval] : sources[index].expected[interval]
        if open != expected { faults.append("\(candle) is not \(String(describing: expected))") }
        guard candle.isClosed else { return }
        if candle.interval == .second { sources[index].closedSeconds += 1 }
        if candle.interval == .minute { sources[index].closedMinutes += 1 }
    }
}

private struct TradeTimes: MarketEventSink {
    var lastNs: [Int64]
    var longestPauseNs: Int64 = 0

    init(count: Int, startNs: Int64) { lastNs = .init(repeating: startNs, count: count) }

    mutating func receive(_ event: MarketEvent, levels: Span<LevelChange>) {
        guard case .trade = event.payload else { return }
        longestPauseNs = max(longestPauseNs, event.eventNs - lastNs[event.instrument.index])
        lastNs[event.instrument.index] = event.eventNs
    }
}

private struct DeltaCounts: MarketEventSink {
    var total = 0

    mutating func receive(_ event: MarketEvent, levels: Span<LevelChange>) {
        if case .bookDelta = event.payload { total += 1 }
    }
}

/// A fingerprint of everything that is told.
private struct Digest: MarketEventSink, Equatable {
    var value: UInt64 = 0xCBF2_9CE4_8422_2325
    var count = 0

    mutating func receive(_ event: MarketEvent, levels: Span<LevelChange>) {
        count += 1
        mix(UInt64(event.instrument.rawValue))
        mix(UInt64(event.flags.rawValue))
        mix(UInt64(bitPattern: event.eventNs))
        if case .trade(let trade) = event.payload {
            mix(UInt64(bitPattern: trade.price.ticks))
            mix(UInt64(bitPattern: trade.quantity.lots))
            mix(UInt64(trade.aggressor.rawValue))
        }
        for index in levels.indices {
            mix(UInt64(bitPattern: levels[index].price.ticks))
            mix(UInt64(bitPattern: levels[index].quantity.lots))
            mix(UInt64(levels[index].side.rawValue))
        }
    }

    private mutating func mix(_ word: UInt64) { value = (value ^ word) &* 0x100_0000_01B3 }
}

extension [Double] {
    fileprivate var mean: Double { reduce(0, +) / Double(count) }
}

private func correlation(_ first: [Double], _ second: [Double]) -> Double {
    let (left, right) = (first.mean, second.mean)
    let shared = zip(first, second).map { ($0 - left) * ($1 - right) }.mean
    let spread = first.map { ($0 - left) * ($0 - left) }.mean * second.map { ($0 - right) * ($0 - right) }.mean
    return shared / spread.squareRoot()
}

private func kurtosis(_ values: [Double]) -> Double {
    let mean = values.mean
    let square = values.map { ($0 - mean) * ($0 - mean) }.mean
    return values.map { ($0 - mean) * ($0 - mean) * ($0 - mean) * ($0 - mean) }.mean / (square * square)
}
