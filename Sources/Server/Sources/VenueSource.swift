import Feeds
package import Market
import Transport

/// A live venue: one connection, or two that bring the same, and a successor of each while it is renewed.
///
/// What the lines bring is read and joined into one stream by a ``JoinedFeed``, as in recordings of it.
package final class VenueSource: MarketSource {
    package let name: String
    let configuration: VenueConfiguration
    let tap: RecordingTap

    /// Bears the number of a line and one as its connection.
    private var joined: JoinedFeed
    private let subscription: VenueSubscription
    private var problem: String?
    /// By their numbers.
    private var lines = [VenueLine?](repeating: nil, count: LineArbiter.linesMost)
    /// Which line each successor is to replace, by the successor's number.
    private var replaced: [Int: Int] = [:]
    private var gate: VenueGate
    private weak var feedLoop: FeedLoop?
    private var counted = VenueFeed.Counters()
    private var lineCounted = LineArbiter.Counters()
    private var takeoversTold = 0
    private var openingsCounted = 0
    private var booksShown = [Int](repeating: 0, count: LineArbiter.linesMost)
    /// A successor that is not complete after this time leaves its place to another.
    private static let successorMostNs: Int64 = 120_000_000_000

    /// Nil when the venue is not known.
    package init?(_ configuration: VenueConfiguration, tap: RecordingTap = .none) {
        guard let dialect = Venues.dialect(of: configuration.venue) else { return nil }
        self.configuration = configuration
        self.tap = tap
        joined = VenueReading(configuration).joined(dialect)
        name = "venue \(configuration.venue)"
        let named = configuration.channels.compactMap(VenueChannel.init(rawValue:))
        let isDefault = named.isEmpty && configuration.ownChannels.isEmpty
        subscription = VenueSubscription(
            rawSymbols: configuration.symbols,
            channels: isDefault ? [.trades, .quotes, .book] : named,
            ownChannels: configuration.ownChannels
        )
        var limits = VenueGate.Limits()
        limits.fetchEveryNs = dialect.rules.snapshotEveryNs
        gate = VenueGate(limits)
    }

    package var state: HealthState.SourceState {
        if let problem { return .failed(reason: problem) }
        let states = lines.compactMap { $0?.state }
        return states.first { $0 == .live } ?? states.first ?? .connecting
    }

    package var instruments: [InstrumentID] { joined.instruments }
    package func book(of id: InstrumentID) -> OrderBook? { joined.book(of: id) }

    package func start(on feedLoop: FeedLoop) {
        self.feedLoop = feedLoop
        if !configuration.instrumentsFile.isEmpty {
            problem = feedLoop.addInstruments(
                listedIn: configuration.instrumentsFile,
                of: joined.dialect,
                only: Set(configuration.symbols)
            )
            if let problem {
                feedLoop.log.error("venue-instruments-unusable", ["venue": .text(name), "problem": .text(problem)])
                return
            }
        }
        for _ in 0..<configuration.connections { _ = startLine(on: feedLoop) }
    }

    package func sweep(on feedLoop: FeedLoop) {
        for line in lines.indices where lines[line] != nil { watch(line, on: feedLoop) }
        renew(on: feedLoop)
        count(on: feedLoop)
    }

    /// As the log calls a line; a single one needs no number.
    func lineName(_ line: Int) -> String { line == 0 ? name : "\(name) line \(line + 1)" }

    // MARK: Lines

    /// - Returns: the line's number; nil when all are taken.
    private func startLine(on feedLoop: FeedLoop) -> Int? {
        guard let number = lines.firstIndex(where: { $0 == nil }) else { return nil }
        var limits = VenueClient.Limits()
        limits.silenceMostNs = Int64(configuration.silenceMs) * 1_000_000
        limits.lifeMostNs = Int64(configuration.connectionLifeSeconds) * 1_000_000_000
        let client = VenueClient(joined.dialect, subscription: subscription, limits: limits)
        let line = VenueLine(number, of: self, client, on: feedLoop)
        lines[number] = line
        line.start()
        return number
    }

    /// Ends a line; what it alone had is told lost.
    private func end(_ number: Int) {
        guard let line = lines[number] else { return }
        line.stop()
        if let feedLoop { tap.ended(connection: line.connection, atNs: feedLoop.clock.nowNs) }
        joined.end(number)
        lines[number] = nil
        replaced[number] = nil
    }

    /// Starts successors of lines that the venue will close, and ends lines whose successor is complete.
    private func renew(on feedLoop: FeedLoop) {
        for (number, line) in lines.enumerated() where line?.wantsSuccessor == true {
            guard !replaced.values.contains(number), let successor = startLine(on: feedLoop) else { continue }
            replaced[successor] = number
        }
        for (successor, old) in replaced {
            guard let line = lines[successor], lines[old] != nil else {
                replaced[successor] = nil
                continue
            }
            if line.client.state == .live, isComplete(successor, like: old) {
                feedLoop.log.info("venue-renewed", ["venue": .text(name), "line": "\(successor + 1)"])
                replaced[successor] = nil
                end(old)
            } else if HubClock.monotonicNs - line.startedNs > Self.successorMostNs {
                feedLoop.log.warning("venue-renewal-late", ["venue": .text(name), "line": "\(successor + 1)"])
                end(successor)
            }
        }
    }

    private func isComplete(_ line: Int, like old: Int) -> Bool {
        joined.instruments(ofLine: old).allSatisfy { !joined.hasBook(old, of: $0) || joined.hasBook(line, of: $0) }
    }

    /// A line's connection is gone; with a successor under way it need not come back.
    func lost(_ number: Int) {
        guard let successor = replaced.first(where: { $0.value == number })?.key else { return }
        replaced[successor] = nil
        // Not within the line's own work.
        feedLoop?.loop?.after(0) { [weak self] in self?.end(number) }
    }

    func withGate(_ body: (inout VenueGate) -> Void) { body(&gate) }

    // MARK: What lines bring

    /// Reads a frame that a line received; what the feed wants then is to be given to ``take(_:)``.
    func receive(
        _ message: UnsafeRawBufferPointer,
        line: Int,
        atNs now: Int64,
        actions: inout [FeedAction],
        on feedLoop: FeedLoop
    ) throws(FrameFault) {
        defer { tellOfTakeovers(on: feedLoop) }
        var table = feedLoop.publisher.table
        try joined.receive(
            message,
            line: line,
            connection: Self.connection(ofLine: line),
            atNs: now,
            instruments: &table,
            actions: &actions,
            into: &feedLoop.publisher
        )
    }

    /// Reads the answer to a line's request for a book; what the feed wants then is to be given to ``take(_:)``.
    func receiveSnapshot(
        _ body: UnsafeRawBufferPointer,
        rawSymbol: String,
        line: Int,
        atNs now: Int64,
        actions: inout [FeedAction],
        on feedLoop: FeedLoop
    ) throws(FrameFault) {
        defer { tellOfTakeovers(on: feedLoop) }
        var table = feedLoop.publisher.table
        try joined.receiveSnapshot(
            body,
            rawSymbol: rawSymbol,
            line: line,
            connection: Self.connection(ofLine: line),
            atNs: now,
            instruments: &table,
            actions: &actions,
            into: &feedLoop.publisher
        )
    }

    /// Forgets the books of a line whose connection is gone.
    func disconnected(_ line: Int, _ reason: MarketStatus.Reason, atNs now: Int64, on feedLoop: FeedLoop) {
        let connection = Self.connection(ofLine: line)
        joined.disconnected(connection, line: line, reason: reason, atNs: now, into: &feedLoop.publisher)
        tellOfTakeovers(on: feedLoop)
    }

    /// Looks for books of a line that stay crossed or quiet.
    private func watch(_ line: Int, on feedLoop: FeedLoop) {
        let now = feedLoop.clock.nowNs
        var actions: [FeedAction] = []
        guard joined.advance(line: line, toNs: now, actions: &actions, into: &feedLoop.publisher) else { return }
        tap.watched(connection: Self.connection(ofLine: line), atNs: now)
        tellOfTakeovers(on: feedLoop)
        take(actions)
    }

    /// Hands what the feed wants to the lines that it wants it of.
    func take(_ actions: [FeedAction]) {
        for action in actions { lines[Int(action.connection) - 1]?.take(action) }
    }

    /// What a line is called in recordings, and in what the feed wants.
    static func connection(ofLine line: Int) -> UInt32 { UInt32(line) + 1 }

    private func tellOfTakeovers(on feedLoop: FeedLoop) {
        let count = joined.lineCounters.takeovers
        guard count > takeoversTold, let line = joined.lastTakeover else { return }
        feedLoop.log.info(
            "venue-line-took-over",
            ["venue": .text(name), "line": "\(line + 1)", "instruments": .count(count - takeoversTold)]
        )
        takeoversTold = count
    }

    // MARK: Figures

    private func count(on feedLoop: FeedLoop) {
        for number in lines.indices where lines[number] != nil || booksShown[number] > 0 {
            booksShown[number] = joined.instruments(ofLine: number).count { joined.hasBook(number, of: $0) }
            feedLoop.metrics.show(books: booksShown[number], ofLine: number, venue: configuration.venue)
        }
        let (now, lineNow) = (joined.counters, joined.lineCounters)
        feedLoop.metrics.count(now, since: counted, venue: configuration.venue)
        feedLoop.metrics.count(lineNow, since: lineCounted, venue: configuration.venue)
        (counted, lineCounted) = (now, lineNow)
        feedLoop.metrics.count(breakerOpenings: gate.openings - openingsCounted, venue: configuration.venue)
        if gate.openings > openingsCounted {
            var values: KeyedLogValues = ["venue": .text(name)]
            if case .open(let untilNs) = gate.breaker {
                values.pairs.append(
                    .init(name: "seconds", value: .count((untilNs - HubClock.monotonicNs) / 1_000_000_000))
                )
            }
            feedLoop.log.warning("venue-left-alone", values)
        }
        openingsCounted = gate.openings
    }
}
