import Feeds
package import Market
package import Transport

/// The listener for a feed of our own in the LAN: newline JSON, see Docs/feeds/tcp.md.
package final class TCPSource: MarketSource {
    package let name = "tcp"
    /// Waiting for whoever wants to publish is all that a listener has to do.
    package var state: HealthState.SourceState { .live }

    private let configuration: TCPSourceConfiguration
    private let allowed: [AddressRange]
    private var feeds: [ConnectionID: LineFeed] = [:]
    private var known: Set<InstrumentID> = []
    /// Connections that are not read from, because the loops have enough to do.
    private var paused: [ConnectionID] = []
    private static let pauseNs: UInt64 = 1_000_000

    package init(_ configuration: TCPSourceConfiguration) {
        self.configuration = configuration
        // This machine is always allowed.
        allowed = (configuration.allowed + ["127.0.0.0/8", "::1"]).compactMap(AddressRange.init)
    }

    package func start(on feed: FeedLoop) {}

    /// Of publishers that have gone as well: their last candles are to be closed.
    package var instruments: [InstrumentID] { Array(known) }

    /// Lines say nothing of resting orders beyond the best, so there is no book.
    package func book(of id: InstrumentID) -> OrderBook? { nil }

    package func rawOpened(_ connection: ConnectionID, peerAddress: String, on feed: FeedLoop) {
        guard allowed.contains(where: { $0.contains(address: peerAddress) }) else {
            feed.log.warning(
                "tcp-feed-refused",
                ["peer": .text(peerAddress), "remedy": "add the address to sources.tcp.allowed"]
            )
            feed.loop?.abort(connection)
            return
        }
        guard feeds.count < configuration.connectionsMost else {
            feed.log.warning(
                "tcp-feed-refused",
                ["peer": .text(peerAddress), "remedy": "raise sources.tcp.connectionsMost"]
            )
            feed.loop?.abort(connection)
            return
        }
        feeds[connection] = LineFeed(LineFeed.Settings(instrumentsMost: configuration.instrumentsMost))
        feed.log.info("tcp-feed-opened", ["peer": .text(peerAddress)])
    }

    package func rawReceived(_ bytes: UnsafeRawBufferPointer, from connection: ConnectionID, on feed: FeedLoop) {
        guard feeds[connection] != nil else { return }
        let before = feeds[connection]?.instruments.count
        var table = feed.publisher.table
        let verdict = feeds[connection]?.receive(
            bytes,
            receivedNs: feed.clock.nowNs,
            table: &table,
            into: &feed.publisher
        )
        if let now = feeds[connection]?.instruments, now.count != before { known.formUnion(now) }
        guard let verdict else { return }
        feed.metrics.count(badLines: verdict.refusals.count, venue: name)
        for refusal in verdict.refusals {
            feed.log.warning("tcp-feed-bad-line", ["line": .count(refusal.line), "problem": "\(refusal.error)"])
        }
        if feed.publisher.isCrowded { pause(connection, on: feed) }
        guard verdict.isCut else { return }
        feed.log.warning("tcp-feed-cut", ["badLinesPerMinuteMost": .count(LineFeed.badLinesMost)])
        feed.loop?.abort(connection)
    }

    /// Lets the sender wait rather than lose what it sends: nothing of a feed in the LAN needs to be dropped.
    private func pause(_ connection: ConnectionID, on feed: FeedLoop) {
        guard !paused.contains(connection) else { return }
        feed.loop?.setReading(false, from: connection)
        paused.append(connection)
        if paused.count == 1 { resumeLater(on: feed) }
    }

    private func resumeLater(on feed: FeedLoop) {
        _ = feed.loop?.after(Self.pauseNs) { [weak self, weak feed] in
            guard let self, let feed else { return }
            guard !feed.publisher.isCrowded else { return resumeLater(on: feed) }
            for connection in paused { feed.loop?.setReading(true, from: connection) }
            paused = []
        }
    }

    package func rawClosed(_ connection: ConnectionID, on feed: FeedLoop) {
        guard let closed = feeds.removeValue(forKey: connection) else { return }
        let now = feed.clock.nowNs
        let fedByOthers = Set(feeds.values.flatMap(\.instruments))
        for id in closed.instruments where !fedByOthers.contains(id) {
            let event = MarketEvent(
                instrument: id,
                flags: .synthetic,
                eventNs: 0,
                receivedNs: now,
                payload: .status(MarketStatus(.disconnected, .connectionLost))
            )
            feed.publisher.receive(event, levels: Span())
        }
        feed.log.info("tcp-feed-closed", ["lines": .count(closed.lineCount)])
    }
}
