import Feeds
package import Market
import Transport

/// The seeded exchange, driven by the clock.
package final class SyntheticSource: MarketSource {
    package let name = "synthetic"
    package private(set) var state = HealthState.SourceState.connecting

    private let configuration: SyntheticConfiguration
    private var exchange: SyntheticExchange?
    private var ids: Set<InstrumentID> = []
    private var timer: LoopTimer?
    /// Orders made before other work gets its turn.
    private static let ordersMost = 2000

    package init(_ configuration: SyntheticConfiguration) { self.configuration = configuration }

    package func start(on feed: FeedLoop) {
        let traits = SyntheticInstrument.first(configuration.instruments)
        var table = feed.publisher.table
        var added: [InstrumentID] = []
        for one in traits {
            do throws(InstrumentTable.Refusal) {
                let id = try table.add(one.instrument)
                feed.publisher.learn(table[id])
                added.append(id)
            } catch {
                state = .failed(reason: "cannot add \(one.symbol): \(error)")
                return
            }
        }
        ids = Set(added)
        let settings = SyntheticExchange.Settings(
            seed: UInt64(configuration.seed),
            eventsPerSecond: Double(configuration.eventsPerSecond),
            instruments: traits
        )
        exchange = SyntheticExchange(settings, ids: added, startNs: feed.clock.nowNs)
        state = .live
        advance(feed)
    }

    package var instruments: [InstrumentID] { Array(ids) }

    package func book(of id: InstrumentID) -> OrderBook? { ids.contains(id) ? exchange?.book(of: id) : nil }

    private func advance(_ feed: FeedLoop) {
        let now = feed.clock.nowNs
        let isMoreDue = exchange?.advance(toNs: now, most: Self.ordersMost, into: &feed.publisher) ?? false
        let waitNs = isMoreDue ? 0 : max(1_000_000, (exchange?.nextDueNs ?? now) - now)
        timer = feed.loop?.after(UInt64(waitNs)) { [weak feed] in
            if let feed { self.advance(feed) }
        }
    }
}
