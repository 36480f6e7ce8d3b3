import Feeds
package import Market
package import Transport

/// The listener for feeds of our own: lines of JSON or messages of protobuf, see Docs/feeds/tcp.md.
package final class TCPSource: MarketSource {
    package let name = "tcp"
    /// Waiting for whoever wants to publish is all that a listener has to do.
    package var state: HealthState.SourceState { .live }

    private let configuration: TCPSourceConfiguration
    private let allowed: [AddressRange]
    private let room = FeedRoom(name: "tcp")
    private var peers: [ConnectionID: FeedPeer] = [:]
    private var peerCount: UInt32 = 0
    private let tap: RecordingTap
    /// Connections that are not read from, because the loops have enough to do.
    private var paused: [ConnectionID] = []
    private static let pauseNs: UInt64 = 1_000_000
    /// How often whoever introduced itself hears from us.
    private static let heartbeatMs: UInt64 = 5_000

    package init(_ configuration: TCPSourceConfiguration, tap: RecordingTap = .none) {
        self.configuration = configuration
        self.tap = tap
        // This machine is always allowed.
        allowed = (configuration.allowed + ["127.0.0.0/8", "::1"]).compactMap(AddressRange.init)
    }

    package func start(on feed: FeedLoop) {}

    /// Of publishers that have gone as well: their last candles are to be closed.
    package var instruments: [InstrumentID] { room.desk.instruments }

    package func book(of id: InstrumentID) -> OrderBook? { room.desk.book(of: id) }

    package func rawOpened(_ connection: ConnectionID, peerAddress: String, on feed: FeedLoop) {
        let remedy: String? =
            !allowed.contains { $0.contains(address: peerAddress) }
            ? "add the address to sources.tcp.allowed"
            : peers.count >= configuration.connectionsMost ? "raise sources.tcp.connectionsMost" : nil
        if let remedy {
            feed.log.warning("tcp-feed-refused", ["peer": .text(peerAddress), "remedy": .text(remedy)])
            feed.loop?.abort(connection)
            return
        }
        var settings = LineFeed.Settings(instrumentsMost: configuration.instrumentsMost)
        settings.messageBytesMost = configuration.messageBytesMost
        peerCount += 1
        peers[connection] = FeedPeer(
            number: peerCount,
            address: peerAddress,
            form: FeedForm(rawValue: configuration.format),
            settings: settings,
            messagesPerSecondMost: configuration.messagesPerSecondMost
        )
        tap.opened("tcp://\(peerAddress)", connection: peerCount, atNs: feed.clock.nowNs)
        feed.log.info("tcp-feed-opened", ["peer": .text(peerAddress)])
    }

    package func rawReceived(_ bytes: UnsafeRawBufferPointer, from connection: ConnectionID, on feed: FeedLoop) {
        guard let peer = peers[connection] else { return }
        var table = feed.publisher.table
        var seat = room.seat(of: peer.number, on: feed)
        let now = feed.clock.nowNs
        tap.received(bytes, isText: false, connection: peer.number, atNs: now)
        let verdict = peer.receive(bytes, atNs: now, table: &table, into: &seat)
        feed.metrics.count(badLines: verdict.refusals.count, venue: name)
        for refusal in verdict.refusals {
            feed.log.warning(
                "tcp-feed-bad-line",
                [
                    "peer": .text(peer.address), "line": .count(refusal.line), "code": .count(Int(refusal.error.code)),
                    "problem": "\(refusal.error)",
                ]
            )
        }
        if let gap = verdict.gap { feed.log.warning("tcp-feed-gap", ["peer": .text(peer.address), "gap": "\(gap)"]) }
        let greeting = FeedHello(name: "market-hub \(marketHubVersion)", heartbeatMs: Self.heartbeatMs)
        say(peer.answer(to: verdict, greeting), to: connection, on: feed)
        guard !verdict.isCut else {
            feed.log.warning(
                "tcp-feed-cut",
                ["peer": .text(peer.address), "badLinesPerMinuteMost": .count(LineFeed.badLinesMost)]
            )
            // After what it was answered, and without reading more.
            feed.loop?.close(connection, code: 0)
            return
        }
        let waitNs = peer.charge(verdict.messageCount)
        if waitNs > 0 || feed.publisher.isCrowded { pause(connection, max(waitNs, Self.pauseNs), on: feed) }
    }

    package func rawClosed(_ connection: ConnectionID, on feed: FeedLoop) {
        guard let peer = peers.removeValue(forKey: connection) else { return }
        paused.removeAll { $0 == connection }
        // One time for both, because a replay tells it as it was recorded.
        let now = feed.clock.nowNs
        tap.lost(.connectionLost, connection: peer.number, atNs: now)
        room.closed(peer.number, reason: .connectionLost, atNs: now, on: feed)
        feed.log.info("tcp-feed-closed", ["peer": .text(peer.address), "lines": .count(peer.messageCount)])
    }

    /// Ends who is silent, and lets who reads hear from us.
    package func sweep(on feed: FeedLoop) {
        let now = HubClock.monotonicNs
        for (connection, peer) in peers where !paused.contains(connection) {
            if configuration.silenceMs > 0, now - peer.heardNs >= Int64(configuration.silenceMs) * 1_000_000 {
                feed.log.warning("tcp-feed-silent", ["peer": .text(peer.address), "remedy": "send heartbeats"])
                say(peer.words { $0.write(.silence, message: 0) }, to: connection, on: feed)
                feed.loop?.close(connection, code: 0)
            } else if peer.hello != nil, now - peer.saidNs >= Int64(Self.heartbeatMs) * 1_000_000 {
                say(peer.words { $0.writeHeartbeat() }, to: connection, on: feed)
            }
        }
    }

    /// What a publisher does not read is left out: the log has it.
    private func say(_ bytes: [UInt8], to connection: ConnectionID, on feed: FeedLoop) {
        guard !bytes.isEmpty else { return }
        _ = bytes.withUnsafeBytes { feed.loop?.write($0, to: connection) }
    }

    /// Lets the sender wait rather than lose what it sends: nothing of a feed in the LAN needs to be dropped.
    private func pause(_ connection: ConnectionID, _ waitNs: UInt64, on feed: FeedLoop) {
        guard !paused.contains(connection) else { return }
        feed.loop?.setReading(false, from: connection)
        paused.append(connection)
        resume(connection, afterNs: waitNs, on: feed)
    }

    private func resume(_ connection: ConnectionID, afterNs waitNs: UInt64, on feed: FeedLoop) {
        _ = feed.loop?.after(waitNs) { [weak self, weak feed] in
            guard let self, let feed, peers[connection] != nil else { return }
            guard !feed.publisher.isCrowded else { return resume(connection, afterNs: Self.pauseNs, on: feed) }
            paused.removeAll { $0 == connection }
            feed.loop?.setReading(true, from: connection)
        }
    }
}
