import Feeds
package import Market
package import Transport

/// A feed of our own, or another hub, that this hub connects to and comes back to, done as ``VenueClient`` says.
package final class FeedClientSource: MarketSource, RawClientHandler {
    package let name: String
    package private(set) var state = HealthState.SourceState.connecting

    private let configuration: FeedClientConfiguration
    /// What metrics call it: the venue of all its instruments, or its own name where each is of the one it was declared with.
    private let label: String
    private let dialer: RawDialer
    private let room: FeedRoom
    private var client: VenueClient
    /// Open: a feed of one's own is no venue that bans who comes too often, and its pauses grow to a minute.
    private var gate = VenueGate(VenueGate.Limits(failuresMost: .max, connectsMost: 1_000))
    private weak var feedLoop: FeedLoop?
    private var socket: RawClient?
    private var peer: FeedPeer?
    private var peerCount: UInt32 = 0
    private var timer: LoopTimer?
    private var random = SystemRandomNumberGenerator()

    /// Nil without an address.
    package init?(_ configuration: FeedClientConfiguration) {
        let files = RawDialer.Files(
            authorities: configuration.caFile,
            certificate: configuration.certificateFile,
            key: configuration.keyFile
        )
        guard let first = configuration.urls.first, let dialer = RawDialer(configuration.urls, files) else {
            return nil
        }
        self.configuration = configuration
        self.dialer = dialer
        name = "feed \(first)"
        label = configuration.venue.isEmpty ? name : configuration.venue
        room = FeedRoom(name: name)
        let dialect = FeedClientDialect(
            silenceMostNs: Int64(configuration.silenceMs) * 1_000_000,
            heartbeatNs: Int64(configuration.heartbeatMs) * 1_000_000
        )
        client = VenueClient(dialect, subscription: VenueSubscription(rawSymbols: [], channels: []))
    }

    package var instruments: [InstrumentID] { room.desk.instruments }
    package func book(of id: InstrumentID) -> OrderBook? { room.desk.book(of: id) }

    package func start(on feedLoop: FeedLoop) {
        self.feedLoop = feedLoop
        handle(.start)
    }

    // MARK: The socket

    package func opened(_ socket: RawClient, on loop: IOLoop) {
        guard socket === self.socket, let feedLoop else { return }
        var settings = LineFeed.Settings(instrumentsMost: configuration.instrumentsMost)
        settings.messageBytesMost = configuration.messageBytesMost
        settings.venue = configuration.venue.isEmpty ? nil : configuration.venue
        peerCount += 1
        let address = dialer.address
        let peer = FeedPeer(
            number: peerCount,
            address: "\(address.host):\(address.port)",
            form: FeedForm(rawValue: configuration.format),
            settings: settings,
            messagesPerSecondMost: 10_000_000
        )
        self.peer = peer
        feedLoop.log.info("feed-connected", ["feed": .text(name), "peer": .text(peer.address)])
        let hello = FeedHello(
            name: "market-hub \(marketHubVersion)",
            heartbeatMs: UInt64(configuration.heartbeatMs)
        )
        socket.send(peer.words { $0.write(hello) })
        handle(.connected)
    }

    package func received(_ bytes: UnsafeRawBufferPointer, from socket: RawClient, on loop: IOLoop) {
        guard socket === self.socket, let feedLoop, let peer else { return }
        var table = feedLoop.publisher.table
        var seat = room.seat(of: peer.number, on: feedLoop)
        let verdict = peer.receive(bytes, atNs: feedLoop.clock.nowNs, table: &table, into: &seat)
        // Half a message is no sign of life: who sends no more than that is silent.
        if verdict.messageCount > 0 { handle(.heard) }
        guard socket === self.socket else { return }
        if verdict.hello != nil || verdict.messageCount > verdict.refusals.count { state = .live }
        feedLoop.metrics.count(badLines: verdict.refusals.count, venue: label)
        for refusal in verdict.refusals {
            feedLoop.log.warning(
                "feed-bad-message",
                [
                    "feed": .text(name), "message": .count(refusal.line), "code": .count(Int(refusal.error.code)),
                    "problem": "\(refusal.error)",
                ]
            )
        }
        if let problem = verdict.problem {
            feedLoop.log.warning(
                "feed-refused",
                ["feed": .text(name), "code": .count(problem.code), "problem": .text(problem.text)]
            )
        }
        socket.send(peer.answer(to: withoutHello(verdict), FeedHello(name: "", heartbeatMs: 0)))
        if let gap = verdict.gap {
            // A new connection begins with snapshots.
            feedLoop.log.warning("feed-gap", ["feed": .text(name), "gap": "\(gap)"])
            handle(.demanded(.reconnect(.gap)))
        } else if verdict.isCut {
            feedLoop.log.warning("feed-cut", ["feed": .text(name)])
            handle(.demanded(.reconnect(.connectionLost)))
        } else {
            feedLoop.holdBack(socket)
        }
    }

    /// A greeting that answers ours is not answered again.
    private func withoutHello(_ verdict: LineFeed.Verdict) -> LineFeed.Verdict {
        var answered = verdict
        answered.hello = nil
        return answered
    }

    package func closed(_ socket: RawClient, reason: String, on loop: IOLoop) {
        guard socket === self.socket else { return }
        self.socket = nil
        lost(reason)
        handle(.closed)
    }

    private func lost(_ reason: String) {
        state = .failed(reason: reason)
        feedLoop?.log.warning("feed-connection-lost", ["feed": .text(name), "reason": .text(reason)])
        feedLoop?.metrics.countReconnect(venue: label)
    }

    // MARK: What the client wants done

    private func handle(_ event: VenueClient.Event) {
        guard let feedLoop else { return }
        var effects: [VenueClient.Effect] = []
        client.handle(event, atNs: HubClock.monotonicNs, random: random.next(), gate: &gate, into: &effects)
        for effect in effects { perform(effect, on: feedLoop) }
    }

    private func perform(_ effect: VenueClient.Effect, on feedLoop: FeedLoop) {
        switch effect {
        case .connect: connect(on: feedLoop)
        case .ping:
            if let peer { socket?.send(peer.words { $0.writeHeartbeat() }) }
        case .close:
            state = .connecting
            dialer.cancel()
            socket?.close()
            if socket != nil { lost("given up") }
            socket = nil
        case .lost(let reason):
            if let peer { room.closed(peer.number, reason: reason, atNs: feedLoop.clock.nowNs, on: feedLoop) }
            peer = nil
        case .wait(let untilNs):
            timer?.cancel()
            let delay = UInt64(max(0, untilNs - HubClock.monotonicNs))
            timer = feedLoop.loop?.after(delay) { [weak self] in self?.handle(.timer) }
        case .send, .fetch, .renew:
            // The dialect asks for none of these.
            return
        }
    }

    private func connect(on feedLoop: FeedLoop) {
        state = .connecting
        dialer.dial(on: feedLoop, handler: self) { [weak self] result in
            guard let self else { return }
            switch result {
            case .success(let client): socket = client
            case .failure(let failure):
                lost(failure.reason)
                handle(.closed)
            }
        }
        feedLoop.log.info("feed-connecting", ["feed": .text(name), "host": .text(dialer.address.host)])
    }
}
