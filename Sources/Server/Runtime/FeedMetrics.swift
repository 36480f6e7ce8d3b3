import Feeds
import Market

/// What the feed thread counts, and what operators may know of its sources.
package final class FeedMetrics {
    private let registry: MetricRegistry
    private let block: MetricBlock
    private let ringDrops: CounterSlot
    private var ringDropsSeen = 0
    private let heartbeat: Heartbeat
    private let health: HealthState

    package init(registry: MetricRegistry, heartbeat: Heartbeat, health: HealthState) {
        self.registry = registry
        self.heartbeat = heartbeat
        self.health = health
        block = registry.makeBlock()
        ringDrops = registry.counter(.ringDrops, "feed")
    }

    func beat(atNs now: Int64) { heartbeat.beat(atNs: now) }

    func show(_ source: any MarketSource) { health.setSource(source.name, source.state) }

    func count(ringDropsInAll total: Int) {
        block.add(total - ringDropsSeen, to: ringDrops)
        ringDropsSeen = total
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
        private let block: MetricBlock

        fileprivate init(_ name: String, _ registry: MetricRegistry, _ block: MetricBlock) {
            self.block = block
            trades = registry.counter(.feedEvents, name, "trade")
            quotes = registry.counter(.feedEvents, name, "quote")
            books = registry.counter(.feedEvents, name, "book")
            others = registry.counter(.feedEvents, name, "other")
            lag = registry.histogram(.feedLag, name)
        }

        func count(_ event: MarketEvent) {
            switch event.payload {
            case .trade: block.add(to: trades)
            case .quote: block.add(to: quotes)
            case .bookSnapshot, .bookDelta: block.add(to: books)
            case .ticker, .candle, .status, .order: block.add(to: others)
            }
            guard event.eventNs > 0, !event.flags.contains(.historic) else { return }
            block.observe(ns: event.receivedNs - event.eventNs, in: lag)
        }
    }
}
