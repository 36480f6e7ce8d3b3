import Feeds
package import Market
package import Transport

/// A feed of our own, or another hub, that this hub connects to and comes back to, done as ``VenueClient`` says.
package final class FeedClientSource: MarketSource, RawClientHandler {
    package let name: String
    package private(set) var state = HealthState.SourceState.connecting

    private let configuration: FeedClientConfiguration
    private let addresses: [FeedAddress]
    private let room: FeedRoom
    private var client: VenueClient
    /// Open: a feed of one's own is no venue that bans who comes too often, and its pauses grow to a minute.
    private var gate = VenueGate(VenueGate.Limits(failuresMost: .max, connectsMost: 1_000))
    private weak var feedLoop: FeedLoop?
    private var socket: RawClient?
    private var peer: FeedPeer?
    private var peerCount: UInt32 = 0
    private var timer: LoopTimer?
    /// Connections tried so far.
    private var attempts = 0
    private var isPaused = false
    private var random = SystemRandomNumberGenerator()
    private static let lookupPauseNs: UInt64 = 5_000_000
    private static let pauseNs: UInt64 = 1_000_000

    /// Nil without an address.
    package init?(_ configuration: FeedClientConfiguration) {
        self.configuration = configuration
        addresses = configuration.urls.compactMap(FeedAddress.init)
        guard let first = configuration.urls.first, addresses.count == configuration.urls.count else { return nil }
        name = "feed \(first)"
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
        let address = addresses[attempts % addresses.count]
        let peer = FeedPeer(
            number: peerCount,
            address: "\(address.host):\(address.port)",
            form: FeedForm(rawValue: configuration.format),
            settings: settings,
            messagesPerSecondMost: 10_000_000
        )
        self.peer = peer
        isPaused = false
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
        feedLoop.metrics.count(badLines: verdict.refusals.count, venue: LineFeed.venue)
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
        } else if feedLoop.publisher.isCrowded {
            pause(on: feedLoop)
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
        feedLoop?.metrics.countReconnect(venue: LineFeed.venue)
    }

    private func pause(on feedLoop: FeedLoop) {
        guard !isPaused else { return }
        isPaused = true
        socket?.setReading(false)
        resumeLater(on: feedLoop)
    }

    private func resumeLater(on feedLoop: FeedLoop) {
        _ = feedLoop.loop?.after(Self.pauseNs) { [weak self, weak feedLoop] in
            guard let self, let feedLoop, isPaused else { return }
            guard !feedLoop.publisher.isCrowded else { return resumeLater(on: feedLoop) }
            isPaused = false
            socket?.setReading(true)
        }
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
            socket?.close()
            if socket != nil { lost("given up") }
            socket = nil
        case .lost(let reason):
            if let peer { room.closed(peer.number, reason: reason, on: feedLoop) }
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
        attempts += 1
        let address = addresses[attempts % addresses.count]
        feedLoop.log.info("feed-connecting", ["feed": .text(name), "host": .text(address.host)])
        guard !NameLookup.isAddress(address.host) else { return open(address.server, on: feedLoop) }
        look(at: NameLookup(host: address.host), of: address, attempt: attempts, on: feedLoop)
    }

    private func look(at lookup: NameLookup, of address: FeedAddress, attempt: Int, on feedLoop: FeedLoop) {
        guard attempt == attempts, socket == nil, client.state == .connecting else { return }
        switch lookup.answer {
        case .addresses(let found):
            var server = address.server
            server.address = found[attempt / addresses.count % found.count]
            open(server, on: feedLoop)
        case .failed(let reason): failed("\(address.host): \(reason)", on: feedLoop)
        case nil:
            feedLoop.loop?.after(Self.lookupPauseNs) { [weak self, weak feedLoop] in
                if let self, let feedLoop { look(at: lookup, of: address, attempt: attempt, on: feedLoop) }
            }
        }
    }

    private func open(_ server: ServerAddress, on feedLoop: FeedLoop) {
        var settings = RawClientSettings(server: server)
        if !configuration.caFile.isEmpty { settings.authoritiesPath = configuration.caFile }
        if !configuration.certificateFile.isEmpty {
            settings.certificate = TLSSettings(
                certificatePath: configuration.certificateFile,
                keyPath: configuration.keyFile
            )
        }
        do throws(TransportError) {
            socket = try feedLoop.loop?.connectRaw(settings, handler: self)
        } catch {
            failed("\(error)", on: feedLoop)
        }
    }

    /// An attempt that came to nothing before there was a socket; told later, because it may be within an effect.
    private func failed(_ reason: String, on feedLoop: FeedLoop) {
        lost(reason)
        _ = feedLoop.loop?.after(0) { [weak self] in self?.handle(.closed) }
    }
}
