import Feeds
import Market
import Transport

/// One connection to a live venue: a WebSocket and the REST requests it needs, done as ``VenueClient`` says.
///
/// What it brings is read by the source.
final class VenueLine: WebSocketClientHandler {
    /// Which of the source's lines it is, below ``LineArbiter/linesMost``.
    let number: Int
    private(set) var state = HealthState.SourceState.connecting
    private(set) var client: VenueClient
    /// Whether the venue will close this connection soon, so that another should take its place.
    private(set) var wantsSuccessor = false
    private(set) var startedNs: Int64 = 0

    private let name: String
    private let configuration: VenueConfiguration
    private unowned let source: VenueSource
    private weak var feedLoop: FeedLoop?
    private let tap: RecordingTap
    /// What recordings call the connection.
    let connection: UInt32
    /// The venue's own address of the connection, as recordings name it.
    private var url = ""
    private var socket: ClientID?
    private var timer: LoopTimer?
    /// Connections tried so far.
    private var attempts = 0
    /// Books asked for so far.
    private var fetches = 0
    /// How often a lookup under way is looked at.
    private static let lookupPauseNs: UInt64 = 5_000_000
    private var random = SystemRandomNumberGenerator()
    /// For the next event that wants it.
    private var chance = UInt64.random(in: 0...UInt64.max)
    private var budget = FaultBudget()
    /// Texts that wait until the socket takes more.
    private var unsent: [String] = []

    init(_ number: Int, of source: VenueSource, _ client: VenueClient, on feedLoop: FeedLoop) {
        self.number = number
        self.source = source
        self.client = client
        self.feedLoop = feedLoop
        configuration = source.configuration
        name = source.lineName(number)
        tap = source.tap
        connection = VenueSource.connection(ofLine: number)
    }

    func start() {
        startedNs = HubClock.monotonicNs
        handle(.start)
    }

    /// Leaves the venue for good; the books of this line are told lost.
    func stop() { handle(.stop) }

    // MARK: The socket

    func opened(_ socket: ClientID, on loop: IOLoop) {
        guard socket == self.socket else { return }
        if let feedLoop { tap.opened(url, connection: connection, atNs: feedLoop.clock.nowNs) }
        feedLoop?.log.info("venue-connected", ["venue": .text(name)])
        handle(.connected)
    }

    func received(
        _ message: UnsafeRawBufferPointer,
        isText: Bool,
        from socket: ClientID,
        on loop: IOLoop
    ) {
        guard socket == self.socket, let feedLoop else { return }
        handle(.heard)
        // It may have been the moment to leave this connection.
        guard socket == self.socket else { return }
        let now = feedLoop.clock.nowNs
        tap.received(message, isText: isText, connection: connection, atNs: now)
        var actions: [FeedAction] = []
        do throws(FrameFault) {
            try source.receive(message, line: number, atNs: now, actions: &actions, on: feedLoop)
        } catch {
            guard isTolerable(error, on: feedLoop) else {
                // What this connection was to do is done with; others are not.
                return source.take(actions.filter { $0.connection != connection })
            }
        }
        state = client.state == .live ? .live : .connecting
        source.take(actions)
    }

    /// Reports a frame that was not understood; leaves a venue that sends too many of them.
    private func isTolerable(_ fault: FrameFault, on feedLoop: FeedLoop) -> Bool {
        if feedLoop.tolerates(fault, &budget, of: name, event: "venue-bad-frame") { return true }
        feedLoop.log.error("venue-cut-off", ["venue": .text(name), "problem": .text(fault.description)])
        source.withGate { $0.cutOff(atNs: HubClock.monotonicNs) }
        handle(.demanded(.reconnect(.bufferOverflow)))
        return false
    }

    func ponged(_ payload: UnsafeRawBufferPointer, from socket: ClientID, on loop: IOLoop) {
        guard socket == self.socket else { return }
        handle(.heard)
    }

    func writable(_ socket: ClientID, on loop: IOLoop) {
        guard socket == self.socket, let feedLoop else { return }
        sendUnsent(on: feedLoop)
    }

    func closed(_ socket: ClientID, reason: String, on loop: IOLoop) {
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
        source.withGate { gate in
            client.handle(event, atNs: HubClock.monotonicNs, random: chance, gate: &gate, into: &effects)
        }
        // A system call, and most frames do nothing that chance has a part in.
        if !effects.isEmpty { chance = random.next() }
        for effect in effects { perform(effect, on: feedLoop) }
    }

    /// Does what the feed wants of this connection.
    func take(_ action: FeedAction) {
        if case .report(let refusal) = action.demand {
            feedLoop?.log.warning("venue-refused", ["venue": .text(name), "refusal": .text(refusal)])
        }
        handle(.demanded(action.demand))
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
        case .renew:
            wantsSuccessor = true
            feedLoop.log.info("venue-renewing", ["venue": .text(name)])
        case .lost(let reason):
            wantsSuccessor = false
            feedLoop.log.warning("venue-books-lost", ["venue": .text(name), "reason": "\(reason)"])
            let now = feedLoop.clock.nowNs
            tap.lost(reason, connection: connection, atNs: now)
            source.disconnected(number, reason, atNs: now, on: feedLoop)
            source.lost(number)
        case .wait(let untilNs):
            timer?.cancel()
            let delay = UInt64(max(0, untilNs - HubClock.monotonicNs))
            timer = feedLoop.loop?.after(delay) { [weak self] in self?.handle(.timer) }
        }
    }

    /// Hands texts over in order until the socket takes no more.
    private func sendUnsent(on feedLoop: FeedLoop) {
        guard let socket, let loop = feedLoop.loop else { return }
        while let text = unsent.first, loop.send(text: text, to: socket) != .refused {
            tap.sent(text, connection: connection, atNs: feedLoop.clock.nowNs)
            unsent.removeFirst()
        }
    }

    private func connect(_ url: String, on feedLoop: FeedLoop) {
        state = .connecting
        self.url = url
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
                fetched(result, url, rawSymbol)
            }
        }
    }

    private func fetched(_ result: Result<HTTPFetchReply, ClientFailure>, _ url: String, _ rawSymbol: String) {
        guard let feedLoop else { return }
        guard case .success(let reply) = result, reply.status == 200 else {
            feedLoop.log.warning(
                "venue-snapshot-failed",
                ["venue": .text(name), "symbol": .text(rawSymbol), "problem": "\(result)"]
            )
            return handle(Self.failure(result, rawSymbol))
        }
        let now = feedLoop.clock.nowNs
        reply.body.withUnsafeBytes { tap.answered(url, body: $0, connection: connection, atNs: now) }
        var actions: [FeedAction] = []
        var isUsed = true
        do throws(FrameFault) {
            try reply.body.withUnsafeBytes { body in
                Result { () throws(FrameFault) in
                    try source.receiveSnapshot(
                        body,
                        rawSymbol: rawSymbol,
                        line: number,
                        atNs: now,
                        actions: &actions,
                        on: feedLoop
                    )
                }
            }.get()
        } catch {
            isUsed = false
            feedLoop.log.warning("venue-bad-snapshot", ["venue": .text(name), "problem": .text(error.description)])
        }
        // First what the answer led to: who asks again while it is asked for waits a while.
        source.take(actions)
        handle(isUsed ? .fetched(rawSymbol: rawSymbol) : .fetchFailed(rawSymbol: rawSymbol))
    }

    /// What an unusable answer means: some tell to stay away for a while.
    private static func failure(
        _ result: Result<HTTPFetchReply, ClientFailure>,
        _ rawSymbol: String
    ) -> VenueClient.Event {
        guard case .success(let reply) = result, [403, 418, 429].contains(reply.status) else {
            return .fetchFailed(rawSymbol: rawSymbol)
        }
        let seconds = reply.retryAfter.flatMap { Int64($0) }.map { min(max($0, 0), 86_400) }
        return .fetchRefused(rawSymbol: rawSymbol, retryAfterNs: seconds.map { $0 * 1_000_000_000 })
    }
}
