import Feeds
package import Market
package import Transport

/// A live venue: one WebSocket and the REST requests it needs, done as ``VenueClient`` says.
package final class VenueSource: MarketSource, WebSocketClientHandler {
    package let name: String
    package private(set) var state = HealthState.SourceState.connecting

    private let configuration: VenueConfiguration
    private var feed: VenueFeed
    private var client: VenueClient
    private weak var feedLoop: FeedLoop?
    private var socket: ClientID?
    private var timer: LoopTimer?
    /// Connections tried so far.
    private var attempts = 0
    /// Books asked for so far.
    private var fetches = 0
    /// How often a lookup under way is looked at.
    private static let lookupPauseNs: UInt64 = 5_000_000
    private var random = SystemRandomNumberGenerator()
    private var counted = VenueFeed.Counters()
    /// Texts that wait until the socket takes more.
    private var unsent: [String] = []
    /// The name of the one connection in the feed.
    private static let connection: UInt32 = 1

    /// Nil when the venue is not known.
    package init?(_ configuration: VenueConfiguration) {
        guard let dialect = Venues.dialect(of: configuration.venue) else { return nil }
        self.configuration = configuration
        name = "venue \(configuration.venue)"
        feed = VenueFeed(dialect)
        let named = configuration.channels.compactMap(VenueChannel.init(rawValue:))
        let isDefault = named.isEmpty && configuration.ownChannels.isEmpty
        let subscription = VenueSubscription(
            rawSymbols: configuration.symbols,
            channels: isDefault ? [.trades, .quotes, .book] : named,
            ownChannels: configuration.ownChannels
        )
        var limits = VenueClient.Limits()
        limits.silenceMostNs = Int64(configuration.silenceMs) * 1_000_000
        client = VenueClient(dialect, subscription: subscription, limits: limits)
    }

    package var instruments: [InstrumentID] { feed.instruments }

    package func start(on feedLoop: FeedLoop) {
        self.feedLoop = feedLoop
        if !configuration.instrumentsFile.isEmpty {
            let problem = feedLoop.addInstruments(
                listedIn: configuration.instrumentsFile,
                of: feed.dialect,
                only: Set(configuration.symbols)
            )
            if let problem {
                state = .failed(reason: problem)
                feedLoop.log.error("venue-instruments-unusable", ["venue": .text(name), "problem": .text(problem)])
                return
            }
        }
        handle(.start)
    }

    package func book(of id: InstrumentID) -> OrderBook? { feed.book(of: id) }

    package func sweep(on feedLoop: FeedLoop) {
        var actions: [FeedAction] = []
        feed.advance(toNs: feedLoop.clock.nowNs, actions: &actions, into: &feedLoop.publisher)
        take(actions)
        count(on: feedLoop)
    }

    // MARK: The socket

    package func opened(_ socket: ClientID, on loop: IOLoop) {
        guard socket == self.socket else { return }
        feedLoop?.log.info("venue-connected", ["venue": .text(name)])
        handle(.connected)
    }

    package func received(
        _ message: UnsafeRawBufferPointer,
        isText: Bool,
        from socket: ClientID,
        on loop: IOLoop
    ) {
        guard socket == self.socket, let feedLoop else { return }
        handle(.heard)
        // It may have been the moment to leave this connection.
        guard socket == self.socket else { return }
        var table = feedLoop.publisher.table
        var actions: [FeedAction] = []
        do throws(FrameFault) {
            try feed.receive(
                message,
                connection: Self.connection,
                atNs: feedLoop.clock.nowNs,
                instruments: &table,
                actions: &actions,
                into: &feedLoop.publisher
            )
        } catch {
            feedLoop.log.warning("venue-bad-frame", ["venue": .text(name), "problem": .text(error.description)])
        }
        state = client.state == .live ? .live : .connecting
        take(actions)
    }

    package func ponged(_ payload: UnsafeRawBufferPointer, from socket: ClientID, on loop: IOLoop) {
        guard socket == self.socket else { return }
        handle(.heard)
    }

    package func writable(_ socket: ClientID, on loop: IOLoop) {
        guard socket == self.socket, let feedLoop else { return }
        sendUnsent(on: feedLoop)
    }

    package func closed(_ socket: ClientID, reason: String, on loop: IOLoop) {
        guard socket == self.socket else { return }
        self.socket = nil
        unsent = []
        state = .failed(reason: reason)
        feedLoop?.log.warning("venue-connection-lost", ["venue": .text(name), "reason": .text(reason)])
        feedLoop?.metrics.countReconnect(venue: configuration.venue)
        handle(.closed)
    }

    // MARK: What the client wants done

    private func handle(_ event: VenueClient.Event) {
        guard let feedLoop else { return }
        var effects: [VenueClient.Effect] = []
        client.handle(event, atNs: HubClock.monotonicNs, random: random.next(), into: &effects)
        for effect in effects { perform(effect, on: feedLoop) }
    }

    private func take(_ actions: [FeedAction]) {
        for action in actions {
            if case .report(let refusal) = action.demand {
                feedLoop?.log.warning("venue-refused", ["venue": .text(name), "refusal": .text(refusal)])
            }
            handle(.demanded(action.demand))
        }
    }

    private func perform(_ effect: VenueClient.Effect, on feedLoop: FeedLoop) {
        switch effect {
        case .connect(let url): connect(url, on: feedLoop)
        case .send(let text):
            unsent.append(text)
            sendUnsent(on: feedLoop)
        case .ping:
            if let socket { _ = feedLoop.loop?.ping(socket, payload: []) }
        case .fetch(let url, let rawSymbol): fetch(url, rawSymbol, on: feedLoop)
        case .close:
            state = .connecting
            if let socket {
                feedLoop.loop?.close(socket)
                feedLoop.metrics.countReconnect(venue: configuration.venue)
            }
            socket = nil
            unsent = []
        case .lost(let reason):
            feedLoop.log.warning("venue-books-lost", ["venue": .text(name), "reason": "\(reason)"])
            feed.disconnected(
                Self.connection,
                reason: reason,
                atNs: feedLoop.clock.nowNs,
                into: &feedLoop.publisher
            )
        case .wait(let untilNs):
            timer?.cancel()
            let delay = UInt64(max(0, untilNs - HubClock.monotonicNs))
            timer = feedLoop.loop?.after(delay) { [weak self] in self?.handle(.timer) }
        }
    }

    /// Hands texts over in order until the socket takes no more.
    private func sendUnsent(on feedLoop: FeedLoop) {
        guard let socket, let loop = feedLoop.loop else { return }
        while let text = unsent.first, loop.send(text: text, to: socket) != .refused { unsent.removeFirst() }
    }

    private func connect(_ url: String, on feedLoop: FeedLoop) {
        state = .connecting
        guard let address = WebAddress(url)?.moved(to: WebAddress(configuration.url)) else {
            state = .failed(reason: "\(url) is no address")
            return
        }
        feedLoop.log.info("venue-connecting", ["venue": .text(name), "host": .text(address.host)])
        attempts += 1
        let attempt = attempts
        lookUp(address, turn: attempts, on: feedLoop) { [weak self, weak feedLoop] found in
            // Given up meanwhile, or tried again.
            guard let self, let feedLoop, attempt == attempts, socket == nil, client.state == .connecting else {
                return
            }
            switch found {
            case .success(let server): open(server, on: feedLoop)
            case .failure(let failure):
                state = .failed(reason: failure.reason)
                feedLoop.log.warning("venue-not-found", ["venue": .text(name), "reason": .text(failure.reason)])
                handle(.closed)
            }
        }
    }

    private func open(_ server: ServerAddress, on feedLoop: FeedLoop) {
        var settings = WebSocketClientSettings(server: server)
        if !configuration.caFile.isEmpty { settings.authoritiesPath = configuration.caFile }
        socket = feedLoop.loop?.connect(settings, handler: self)
    }

    private struct LookupFailure: Error {
        var reason: String
    }

    /// Finds the address of a server without holding up the feed thread; `done` may be called at once.
    ///
    /// Of several addresses each turn takes the next.
    private func lookUp(
        _ address: WebAddress,
        turn: Int,
        on feedLoop: FeedLoop,
        done: @escaping (Result<ServerAddress, LookupFailure>) -> Void
    ) {
        guard !NameLookup.isAddress(address.host) else { return done(.success(address.server)) }
        look(at: NameLookup(host: address.host), of: address, turn: turn, on: feedLoop, done: done)
    }

    private func look(
        at lookup: NameLookup,
        of address: WebAddress,
        turn: Int,
        on feedLoop: FeedLoop,
        done: @escaping (Result<ServerAddress, LookupFailure>) -> Void
    ) {
        switch lookup.answer {
        case .addresses(let addresses):
            var server = address.server
            server.address = addresses[turn % addresses.count]
            done(.success(server))
        case .failed(let reason):
            done(.failure(LookupFailure(reason: "\(address.host): \(reason)")))
        case nil:
            feedLoop.loop?.after(Self.lookupPauseNs) { [weak self, weak feedLoop] in
                if let self, let feedLoop { look(at: lookup, of: address, turn: turn, on: feedLoop, done: done) }
            }
        }
    }

    private func fetch(_ url: String, _ rawSymbol: String, on feedLoop: FeedLoop) {
        guard let address = WebAddress(url)?.moved(to: WebAddress(configuration.restUrl)) else {
            return handle(.fetchFailed(rawSymbol: rawSymbol))
        }
        let asked = socket
        fetches += 1
        lookUp(address, turn: fetches, on: feedLoop) { [weak self, weak feedLoop] found in
            guard let self, let feedLoop, socket == asked else { return }
            guard case .success(let server) = found else { return handle(.fetchFailed(rawSymbol: rawSymbol)) }
            var fetch = HTTPFetch(server: server)
            if !configuration.caFile.isEmpty { fetch.authoritiesPath = configuration.caFile }
            feedLoop.loop?.fetch(fetch) { [weak self] result in
                // An answer for a connection that is gone would not fit the new one's updates.
                guard let self, socket == asked else { return }
                fetched(result, rawSymbol)
            }
        }
    }

    private func fetched(_ result: Result<HTTPFetchReply, ClientFailure>, _ rawSymbol: String) {
        guard let feedLoop else { return }
        guard case .success(let reply) = result, reply.status == 200 else {
            feedLoop.log.warning(
                "venue-snapshot-failed",
                ["venue": .text(name), "symbol": .text(rawSymbol), "problem": "\(result)"]
            )
            return handle(.fetchFailed(rawSymbol: rawSymbol))
        }
        var table = feedLoop.publisher.table
        var actions: [FeedAction] = []
        var isUsed = true
        do throws(FrameFault) {
            try reply.body.withUnsafeBytes { body in
                Result { () throws(FrameFault) in
                    try feed.receiveSnapshot(
                        body,
                        rawSymbol: rawSymbol,
                        connection: Self.connection,
                        atNs: feedLoop.clock.nowNs,
                        instruments: &table,
                        actions: &actions,
                        into: &feedLoop.publisher
                    )
                }
            }.get()
        } catch {
            isUsed = false
            feedLoop.log.warning("venue-bad-snapshot", ["venue": .text(name), "problem": .text(error.description)])
        }
        handle(isUsed ? .fetched(rawSymbol: rawSymbol) : .fetchFailed(rawSymbol: rawSymbol))
        take(actions)
    }

    private func count(on feedLoop: FeedLoop) {
        feedLoop.metrics.count(feed.counters, since: counted, venue: configuration.venue)
        counted = feed.counters
    }
}
