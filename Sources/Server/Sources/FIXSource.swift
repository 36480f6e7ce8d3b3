import Feeds
package import Market
package import Transport

/// Market data of a live FIX server: the connection that ``FIXSession`` wants, and the books that its messages make; see
/// Docs/feeds/fix.md.
package final class FIXSource: MarketSource, RawClientHandler {
    package let name: String
    package private(set) var state = HealthState.SourceState.connecting

    private let configuration: FIXConfiguration
    private let tap: RecordingTap
    private let dialer: RawDialer
    private let dialect: FIXMarketDataDialect
    private var session: FIXSession
    private var feed: VenueFeed
    private var framing = FIXFraming()
    private weak var feedLoop: FeedLoop?
    private var socket: RawClient?
    private var timer: LoopTimer?
    private var budget = FaultBudget()
    /// Bytes of this connection that belong to no message and were told.
    private var skippedTold = 0
    private var random = SystemRandomNumberGenerator()
    /// For the next event that wants it.
    private var chance = UInt64.random(in: 0...UInt64.max)
    private var counted = VenueFeed.Counters()
    private var openingsCounted = 0
    /// More bytes of one connection that belong to no message end it; an endless message is among them.
    private static let skippedBytesMost = FIXFraming.messageBytesMost
    /// The name of the one connection in the feed, and in recordings.
    private static let connection: UInt32 = 1

    /// Nil without an address.
    package init?(_ configuration: FIXConfiguration, tap: RecordingTap = .none) {
        let files = RawDialer.Files(
            authorities: configuration.caFile,
            certificate: configuration.certificateFile,
            key: configuration.keyFile
        )
        guard let dialer = RawDialer(configuration.urls, files) else { return nil }
        self.configuration = configuration
        self.tap = tap
        self.dialer = dialer
        name = configuration.venue
        dialect = FIXMarketDataDialect(configuration)
        feed = VenueReading(configuration).feed(dialect)
        var settings = FIXSession.Settings(sender: configuration.senderCompId, target: configuration.targetCompId)
        settings.version = configuration.beginString
        if configuration.beginString == "FIXT.1.1" { settings.applicationVersion = configuration.applicationVersion }
        if !configuration.user.isEmpty { settings.username = configuration.user }
        settings.heartbeatSeconds = configuration.heartbeatSeconds
        if !configuration.passwordFile.isEmpty {
            do throws(FileError) {
                let password = try FileError.readSecret(configuration.passwordFile)
                // A control byte would end the field, and what follows would be read as others.
                if password.utf8.contains(where: { $0 < 0x20 }) {
                    state = .failed(reason: "\(configuration.passwordFile) holds a control byte in its first line")
                }
                settings.password = password
            } catch {
                state = .failed(reason: error.message)
            }
        }
        let channels = configuration.channels.compactMap(VenueChannel.init(rawValue:))
        let subscription = VenueSubscription(
            rawSymbols: configuration.symbols,
            channels: channels.isEmpty ? [.trades, .book] : channels
        )
        session = FIXSession(dialect, subscription: subscription, settings: settings)
    }

    package var instruments: [InstrumentID] { feed.instruments }
    package func book(of id: InstrumentID) -> OrderBook? { feed.book(of: id) }

    package func start(on feedLoop: FeedLoop) {
        self.feedLoop = feedLoop
        if case .failed(let reason) = state {
            return feedLoop.log.error("fix-password-unusable", ["venue": .text(name), "problem": .text(reason)])
        }
        handle(.start)
    }

    /// Logs out.
    package func stop(on feedLoop: FeedLoop) { handle(.stop) }

    package func sweep(on feedLoop: FeedLoop) {
        var actions: [FeedAction] = []
        let now = feedLoop.clock.nowNs
        if feed.advance(toNs: now, actions: &actions, into: &feedLoop.publisher) {
            tap.watched(connection: Self.connection, atNs: now)
        }
        for action in actions { handle(.demanded(action.demand)) }
        tellOfSkipped(on: feedLoop)
        feedLoop.metrics.count(feed.counters, since: counted, venue: name)
        counted = feed.counters
        let openings = session.gate.openings
        feedLoop.metrics.count(breakerOpenings: openings - openingsCounted, venue: name)
        if openings > openingsCounted, case .open(let untilNs) = session.gate.breaker {
            let seconds = (untilNs - feedLoop.clock.nowNs) / 1_000_000_000
            feedLoop.log.warning("fix-left-alone", ["venue": .text(name), "seconds": .count(seconds)])
        }
        openingsCounted = openings
    }

    // MARK: The socket

    package func opened(_ socket: RawClient, on loop: IOLoop) {
        guard socket === self.socket, let feedLoop else { return }
        framing = FIXFraming()
        skippedTold = 0
        recordOpening(atNs: feedLoop.clock.nowNs)
        feedLoop.log.info("fix-connected", ["venue": .text(name), "host": .text(dialer.address.host)])
        handle(.connected)
    }

    private func recordOpening(atNs now: Int64) {
        let (host, port) = (dialer.address.host, dialer.address.port)
        tap.opened(
            RecordedAddress.fix(host: host, port: port, dialect),
            connection: Self.connection,
            atNs: now
        )
    }

    package func received(_ bytes: UnsafeRawBufferPointer, from socket: RawClient, on loop: IOLoop) {
        guard socket === self.socket, let feedLoop else { return }
        let now = feedLoop.clock.nowNs
        // Out of self while it cuts, because messages may end the connection.
        var framing = FIXFraming()
        swap(&framing, &self.framing)
        framing.receive(bytes) { message in
            // What follows the end of a connection is nobody's.
            if socket === self.socket { take(message, atNs: now, on: feedLoop) }
        }
        guard socket === self.socket else { return }
        swap(&framing, &self.framing)
        if self.framing.skippedBytes > Self.skippedBytesMost {
            cutOff("over \(Self.skippedBytesMost) bytes that are no FIX message, or of a longer one", on: feedLoop)
        } else {
            feedLoop.holdBack(socket)
        }
    }

    package func closed(_ socket: RawClient, reason: String, on loop: IOLoop) {
        guard socket === self.socket else { return }
        self.socket = nil
        lost(session.state == .loggingOn ? "\(reason), instead of an answer to our logon" : reason)
        handle(.closed)
    }

    private func lost(_ reason: String) {
        state = .failed(reason: reason)
        feedLoop?.log.warning("fix-connection-lost", ["venue": .text(name), "reason": .text(reason)])
        feedLoop?.metrics.countReconnect(venue: name)
    }

    // MARK: Messages

    private func take(_ message: UnsafeRawBufferPointer, atNs now: Int64, on feedLoop: FeedLoop) {
        let wasLive = session.state == .live
        var effects: [FIXSession.Effect] = []
        let isForFeed = session.receive(message, atNs: now, random: chance, into: &effects)
        if !wasLive, session.state == .live {
            state = .live
            feedLoop.log.info("fix-logged-on", ["venue": .text(name)])
        }
        perform(effects, on: feedLoop)
        // It may have been the moment to leave this connection.
        guard isForFeed, session.state == .live else {
            return tap.kept(message, connection: Self.connection, atNs: now)
        }
        tap.received(message, isText: true, connection: Self.connection, atNs: now)
        read(message, atNs: now, on: feedLoop)
    }

    /// Lets the feed read a message, and does what it wants then.
    private func read(_ message: UnsafeRawBufferPointer, atNs now: Int64, on feedLoop: FeedLoop) {
        var table = feedLoop.publisher.table
        var actions: [FeedAction] = []
        do throws(FrameFault) {
            try feed.receive(
                message,
                connection: Self.connection,
                atNs: now,
                instruments: &table,
                actions: &actions,
                into: &feedLoop.publisher
            )
        } catch {
            guard feedLoop.tolerates(error, &budget, of: name, event: "fix-bad-message") else {
                return cutOff(error.description, on: feedLoop)
            }
        }
        for action in actions { handle(.demanded(action.demand)) }
    }

    /// Leaves a server that sends what nobody can use, for a while.
    private func cutOff(_ problem: String, on feedLoop: FeedLoop) {
        feedLoop.log.error("fix-cut-off", ["venue": .text(name), "problem": .text(problem)])
        feedLoop.metrics.count(badLines: 1, venue: name)
        session.gate.cutOff(atNs: feedLoop.clock.nowNs)
        handle(.demanded(.reconnect(.bufferOverflow)))
    }

    private func tellOfSkipped(on feedLoop: FeedLoop) {
        let skipped = framing.skippedBytes
        guard skipped > skippedTold else { return }
        feedLoop.log.warning("fix-bytes-skipped", ["venue": .text(name), "bytes": .count(skipped - skippedTold)])
        skippedTold = skipped
    }

    // MARK: What the session wants done

    private func handle(_ event: FIXSession.Event) {
        guard let feedLoop else { return }
        var effects: [FIXSession.Effect] = []
        session.handle(event, atNs: feedLoop.clock.nowNs, random: chance, into: &effects)
        perform(effects, on: feedLoop)
    }

    private func perform(_ effects: [FIXSession.Effect], on feedLoop: FeedLoop) {
        // A system call, and most messages do nothing that chance has a part in.
        if !effects.isEmpty { chance = random.next() }
        // Why a connection is closed stands beside it.
        var why: String?
        for case .lost(let reason) in effects { why = "given up: \(reason.name)" }
        for case .report(let text) in effects { why = text }
        for effect in effects {
            switch effect {
            case .connect: connect(on: feedLoop)
            case .send(let bytes):
                guard let socket else { continue }
                let said = Self.withoutPassword(bytes)
                tap.sent(said, connection: Self.connection, atNs: feedLoop.clock.nowNs)
                socket.send(bytes)
            case .close:
                dialer.cancel()
                guard let socket else { continue }
                self.socket = nil
                socket.close()
                lost(why ?? "given up: no answer")
            case .lost(let reason):
                let now = feedLoop.clock.nowNs
                feedLoop.log.warning("fix-books-lost", ["venue": .text(name), "reason": .text(reason.name)])
                tap.lost(reason, connection: Self.connection, atNs: now)
                feed.disconnected(Self.connection, reason: reason, atNs: now, into: &feedLoop.publisher)
                // Books that begin anew within a session.
                if session.state == .live { recordOpening(atNs: now) }
            case .report(let text):
                feedLoop.log.warning("fix-complaint", ["venue": .text(name), "problem": .text(text)])
            case .wait(let untilNs):
                timer?.cancel()
                let delay = UInt64(max(0, untilNs - feedLoop.clock.nowNs))
                timer = feedLoop.loop?.after(delay) { [weak self] in self?.handle(.timer) }
            }
        }
    }

    /// A message of ours as it may be recorded.
    private static func withoutPassword(_ message: [UInt8]) -> String {
        let fields = message.split(separator: 1, omittingEmptySubsequences: false).map { field in
            field.starts(with: "554=".utf8) ? "554=*" : String(decoding: field, as: UTF8.self)
        }
        return fields.joined(separator: "\u{1}")
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
        feedLoop.log.info("fix-connecting", ["venue": .text(name), "host": .text(dialer.address.host)])
    }
}

extension FIXMarketDataDialect {
    init(_ configuration: FIXConfiguration) {
        self.init(
            venue: configuration.venue,
            keying: Keying(rawValue: configuration.keying) ?? .automatic,
            depth: configuration.depth > 0 ? configuration.depth : nil
        )
        takesRequests = !configuration.symbols.isEmpty
    }
}
