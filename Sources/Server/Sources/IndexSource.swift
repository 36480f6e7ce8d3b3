import Feeds
package import Market
import Transport

/// Prices over several venues, made from what the other sources say; each value is a trade of the instrument `SYMBOL@index`.
package final class IndexSource: MarketSource {
    package static let venue = "index"

    private struct Followed {
        var id: InstrumentID
        var index: CompositeIndex
        var names: [String]
        var intervalNs: UInt64
        var last: Price?
        var state: MarketStatus.State?
    }

    package let name = "index"
    package private(set) var state = HealthState.SourceState.connecting

    private let configurations: [IndexConfiguration]
    private let board: IndexBoard
    private let registry: MetricRegistry?
    private var followed: [Followed] = []

    package init(_ configurations: [IndexConfiguration], board: IndexBoard, registry: MetricRegistry? = nil) {
        self.configurations = configurations
        self.board = board
        self.registry = registry
    }

    package var instruments: [InstrumentID] { followed.map(\.id) }

    /// An index has a price and no book.
    package func book(of id: InstrumentID) -> OrderBook? { nil }

    package func start(on feed: FeedLoop) {
        for configuration in configurations {
            var table = feed.publisher.table
            let instrument = Instrument(
                id: InstrumentID(0),
                venue: Self.venue,
                symbol: configuration.symbol,
                rawSymbol: configuration.symbol,
                kind: .index,
                priceScale: UInt8(configuration.decimals),
                quantityScale: 0
            )
            do throws(InstrumentTable.Refusal) {
                let id = try table.add(instrument)
                feed.publisher.learn(table[id])
                follow(id, configuration, on: feed)
            } catch {
                state = .failed(reason: "cannot add \(configuration.symbol)@index: \(error)")
                return
            }
        }
        state = .live
    }

    private func follow(_ id: InstrumentID, _ configuration: IndexConfiguration, on feed: FeedLoop) {
        let settings = CompositeIndex.Settings(
            staleNs: Int64(configuration.staleMs) * 1_000_000,
            leastSources: configuration.leastSources,
            outlierBasisPoints: configuration.outlierBasisPoints,
            priceScale: UInt8(configuration.decimals)
        )
        followed.append(
            Followed(
                id: id,
                index: CompositeIndex(settings),
                names: configuration.sourceNames,
                intervalNs: UInt64(configuration.intervalMs) * 1_000_000
            )
        )
        let symbol = configuration.symbol
        registry?.read(.indexSources, symbol) { [board] in Double(board.countingCount(of: id)) }
        compute(followed.count - 1, on: feed)
    }

    private func compute(_ place: Int, on feed: FeedLoop) {
        update(place, &feed.publisher, atNs: feed.clock.nowNs)
        _ = feed.loop?.after(followed[place].intervalNs) { [weak feed] in
            if let feed { self.compute(place, on: feed) }
        }
    }

    /// Computes an index and publishes what changed: the status when enough sources count or no longer do, the value as a trade.
    private func update(_ place: Int, _ publisher: inout FeedPublisher, atNs nowNs: Int64) {
        let (id, names) = (followed[place].id, followed[place].names)
        let sources = names.map { Self.source(named: $0, publisher) }
        let reading = followed[place].index.reading(of: sources, atNs: nowNs)
        let settings = followed[place].index.settings
        board.show(IndexBoard.Report(timeNs: nowNs, settings: settings, names: names, reading: reading), of: id)
        var event = MarketEvent(
            instrument: id,
            flags: .synthetic,
            eventNs: nowNs,
            receivedNs: nowNs,
            payload: .status(
                MarketStatus(reading.value == nil ? .stale : .live, reading.value == nil ? .silence : .none)
            )
        )
        let state: MarketStatus.State = reading.value == nil ? .stale : .live
        if followed[place].state != state {
            followed[place].state = state
            publisher.receive(event, levels: Span())
            // What is shown after a pause is told again, changed or not.
            followed[place].last = nil
        }
        guard let value = reading.value, value != followed[place].last else { return }
        followed[place].last = value
        event.payload = .trade(
            Trade(price: value, quantity: Quantity(lots: 1), aggressor: .unknown, id: TradeID())
        )
        publisher.receive(event, levels: Span())
    }

    private static func source(named name: String, _ publisher: borrowing FeedPublisher) -> CompositeIndex.Source {
        guard let id = publisher.table.id(named: name), id.index < publisher.streams.count else {
            return CompositeIndex.Source(quote: .none, priceScale: 0, state: .disconnected, receivedNs: nil)
        }
        let stream = publisher.streams[id.index]
        return CompositeIndex.Source(
            quote: stream.ticker.quote,
            priceScale: publisher.table[id].priceScale,
            state: stream.status.state,
            receivedNs: stream.quoteReceivedNs
        )
    }
}
