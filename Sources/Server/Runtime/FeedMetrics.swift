import Feeds
import Market

/// What the feed thread counts, and what operators may know of its sources.
package final class FeedMetrics {
    private let registry: MetricRegistry
    private let block: MetricBlock
    private let ringDrops: CounterSlot
    private var ringDropsSeen = 0
    private let lateTrades: CounterSlot
    private let disbelievedTimes: CounterSlot
    private var candleFaultsSeen = (late: 0, disbelieved: 0)
    private let heartbeat: Heartbeat
    private let health: HealthState

    package init(registry: MetricRegistry, heartbeat: Heartbeat, health: HealthState) {
        self.registry = registry
        self.heartbeat = heartbeat
        self.health = health
        block = registry.makeBlock()
        ringDrops = registry.counter(.ringDrops, "feed")
        lateTrades = registry.counter(.candleLateTrades)
        disbelievedTimes = registry.counter(.candleDisbelievedTimes)
    }

    func beat(atNs now: Int64) { heartbeat.beat(atNs: now) }

    func show(_ source: any MarketSource) { health.setSource(source.name, source.state) }

    func count(ringDropsInAll total: Int) {
        block.add(total - ringDropsSeen, to: ringDrops)
        ringDropsSeen = total
    }

    func count(candleFaults total: (late: Int, disbelieved: Int)) {
        block.add(total.late - candleFaultsSeen.late, to: lateTrades)
        block.add(total.disbelieved - candleFaultsSeen.disbelieved, to: disbelievedTimes)
        candleFaultsSeen = total
    }

    func count(badLines: Int, venue: String) {
        guard badLines > 0 else { return }
        block.add(badLines, to: registry.counter(.feedBadLines, venue))
    }

    /// Adds what a feed counted since it was last looked at.
    func count(_ now: VenueFeed.Counters, since before: VenueFeed.Counters, venue: String) {
        count(badLines: now.badFrames - before.badFrames, venue: venue)
        block.add(
            now.gaps - before.gaps + now.checksumsWrong - before.checksumsWrong,
            to: registry.counter(.feedGaps, venue)
        )
        block.add(now.resyncs - before.resyncs, to: registry.counter(.feedResyncs, venue))
        add(now.checksumsRight - before.checksumsRight, .feedChecksums, venue, "right")
        add(now.checksumsWrong - before.checksumsWrong, .feedChecksums, venue, "wrong")
        add(now.repeatedTrades - before.repeatedTrades, .feedRepeats, venue, "trade")
        add(now.repeatedUpdates - before.repeatedUpdates, .feedRepeats, venue, "book")
        add(now.repeatedFrames - before.repeatedFrames, .feedRepeats, venue, "frame")
        add(now.missedTrades - before.missedTrades, .feedMissedTrades, venue)
        add(now.staleBooks - before.staleBooks, .feedStaleBooks, venue)
    }

    /// Adds what the lines of a venue were counted for.
    func count(_ now: LineArbiter.Counters, since before: LineArbiter.Counters, venue: String) {
        for line in 0..<LineArbiter.linesMost {
            add(now.first[line] - before.first[line], .feedLineEvents, venue, "\(line + 1)", "first")
            add(now.late[line] - before.late[line], .feedLineEvents, venue, "\(line + 1)", "late")
        }
        add(now.takeovers - before.takeovers, .feedTakeovers, venue)
    }

    func show(books: Int, ofLine line: Int, venue: String) {
        block.set(books, in: registry.gauge(.feedLineBooks, venue, "\(line + 1)"))
    }

    func count(breakerOpenings: Int, venue: String) { add(breakerOpenings, .feedBreakerOpenings, venue) }

    /// Makes no series for what never happened.
    private func add(_ amount: Int, _ family: MetricFamily, _ venue: String) {
        if amount != 0 { block.add(amount, to: registry.counter(family, venue)) }
    }

    private func add(_ amount: Int, _ family: MetricFamily, _ venue: String, _ second: String) {
        if amount != 0 { block.add(amount, to: registry.counter(family, venue, second)) }
    }

    private func add(_ amount: Int, _ family: MetricFamily, _ venue: String, _ second: String, _ third: String) {
        if amount != 0 { block.add(amount, to: registry.counter(family, venue, second, third)) }
    }

    /// Shows how many instruments of each venue are in which state.
    func show(_ states: [String: [MarketStatus.State: Int]]) {
        for (venue, counts) in states {
            for state in MarketStatus.State.allCases {
                block.set(counts[state] ?? 0, in: registry.gauge(.feedInstruments, venue, state.name))
            }
        }
    }

    func countReconnect(venue: String) { block.add(to: registry.counter(.feedReconnects, venue)) }

    /// The slots of one venue's events, looked up once.
    func venue(_ name: String) -> Venue { Venue(name, registry, block) }

    /// Counts one venue's events: two additions an event.
    struct Venue {
        private let trades: CounterSlot
        private let quotes: CounterSlot
        private let books: CounterSlot
        private let others: CounterSlot
        private let lag: HistogramSlot
        private let lastEvent: GaugeSlot
        private let clockAhead: CounterSlot
        private let block: MetricBlock

        fileprivate init(_ name: String, _ registry: MetricRegistry, _ block: MetricBlock) {
            self.block = block
            trades = registry.counter(.feedEvents, name, "trade")
            quotes = registry.counter(.feedEvents, name, "quote")
            books = registry.counter(.feedEvents, name, "book")
            others = registry.counter(.feedEvents, name, "other")
            lag = registry.histogram(.feedLag, name)
            lastEvent = registry.gauge(.feedLastEvent, name)
            clockAhead = registry.counter(.feedClockAhead, name)
        }

        func count(_ event: MarketEvent) {
            switch event.payload {
            case .trade: block.add(to: trades)
            case .quote: block.add(to: quotes)
            case .bookSnapshot, .bookDelta: block.add(to: books)
            case .ticker, .candle, .status, .order: block.add(to: others)
            }
            block.set(Int(event.receivedNs / 1_000_000_000), in: lastEvent)
            guard event.eventNs > 0, !event.flags.contains(.historic) else { return }
            if event.eventNs > event.receivedNs { block.add(to: clockAhead) }
            block.observe(ns: event.receivedNs - event.eventNs, in: lag)
        }
    }
}
