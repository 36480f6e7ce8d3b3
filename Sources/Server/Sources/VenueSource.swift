import Feeds
package import Market
import Transport

/// A live venue: one connection, or two that bring the same, and a successor of each while it is renewed.
///
/// Every line follows the books by itself; ``LineArbiter`` makes one stream of them.
package final class VenueSource: MarketSource {
    package let name: String
    let configuration: VenueConfiguration
    let tap: RecordingTap

    private let dialect: any VenueDialect
    private let subscription: VenueSubscription
    private var problem: String?
    /// By their numbers.
    private var lines = [VenueLine?](repeating: nil, count: LineArbiter.linesMost)
    /// Which line each successor is to replace, by the successor's number.
    private var replaced: [Int: Int] = [:]
    private var arbiter: LineArbiter
    private var gate: VenueGate
    private weak var feedLoop: FeedLoop?
    private var takeovers: [(instrument: InstrumentID, line: Int)] = []
    private var renewedUnits: [Instrument] = []
    private var counted = LineArbiter.Counters()
    private var openingsCounted = 0
    private var booksShown = [Int](repeating: 0, count: LineArbiter.linesMost)
    /// A successor that is not complete after this time leaves its place to another.
    private static let successorMostNs: Int64 = 120_000_000_000

    /// Nil when the venue is not known.
    package init?(_ configuration: VenueConfiguration, tap: RecordingTap = .none) {
        guard let dialect = Venues.dialect(of: configuration.venue) else { return nil }
        self.configuration = configuration
        self.tap = tap
        self.dialect = dialect
        name = "venue \(configuration.venue)"
        let named = configuration.channels.compactMap(VenueChannel.init(rawValue:))
        let isDefault = named.isEmpty && configuration.ownChannels.isEmpty
        subscription = VenueSubscription(
            rawSymbols: configuration.symbols,
            channels: isDefault ? [.trades, .quotes, .book] : named,
            ownChannels: configuration.ownChannels
        )
        arbiter = LineArbiter(numbersAreShared: dialect.rules.numbersAreShared)
        var limits = VenueGate.Limits()
        limits.fetchEveryNs = dialect.rules.snapshotEveryNs
        gate = VenueGate(limits)
    }

    package var state: HealthState.SourceState {
        if let problem { return .failed(reason: problem) }
        let states = lines.compactMap { $0?.state }
        return states.first { $0 == .live } ?? states.first ?? .connecting
    }

    package var instruments: [InstrumentID] {
        var seen: Set<InstrumentID> = []
        return lines.flatMap { $0?.feed.instruments ?? [] }.filter { seen.insert($0).inserted }
    }

    package func book(of id: InstrumentID) -> OrderBook? {
        arbiter.leader(of: id).flatMap { lines[$0]?.feed.book(of: id) }
    }

    package func start(on feedLoop: FeedLoop) {
        self.feedLoop = feedLoop
        if !configuration.instrumentsFile.isEmpty {
            problem = feedLoop.addInstruments(
                listedIn: configuration.instrumentsFile,
                of: dialect,
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
        for line in lines { line?.sweep(on: feedLoop) }
        renew(on: feedLoop)
        count(on: feedLoop)
    }

    /// As the log calls a line; a single one needs no number.
    func lineName(_ line: Int) -> String { line == 0 ? name : "\(name) line \(line + 1)" }

    // MARK: Lines

    /// - Returns: the line's number; nil when all are taken.
    private func startLine(on feedLoop: FeedLoop) -> Int? {
        guard let number = lines.firstIndex(where: { $0 == nil }) else { return nil }
        var limits = VenueFeed.Limits()
        limits.quietMostNs = Int64(configuration.quietMs) * 1_000_000
        var feed = VenueFeed(dialect, limits: limits)
        switch configuration.checksum {
        case "off": feed.checksumRule = .ignore
        case "count": feed.checksumRule = .count
        case "resync": feed.checksumRule = .resync
        default: break
        }
        var clientLimits = VenueClient.Limits()
        clientLimits.silenceMostNs = Int64(configuration.silenceMs) * 1_000_000
        clientLimits.lifeMostNs = Int64(configuration.connectionLifeSeconds) * 1_000_000_000
        let client = VenueClient(dialect, subscription: subscription, limits: clientLimits)
        let line = VenueLine(number, of: self, feed, client, on: feedLoop)
        lines[number] = line
        line.start()
        return number
    }

    /// Ends a line; what it alone had is told lost.
    private func end(_ number: Int) {
        guard let line = lines[number] else { return }
        line.stop()
        arbiter.end(number)
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
            guard let line = lines[successor], let oldLine = lines[old] else {
                replaced[successor] = nil
                continue
            }
            if line.client.state == .live, isComplete(successor, like: oldLine) {
                feedLoop.log.info("venue-renewed", ["venue": .text(name), "line": "\(successor + 1)"])
                replaced[successor] = nil
                end(old)
            } else if HubClock.monotonicNs - line.startedNs > Self.successorMostNs {
                feedLoop.log.warning("venue-renewal-late", ["venue": .text(name), "line": "\(successor + 1)"])
                end(successor)
            }
        }
    }

    private func isComplete(_ line: Int, like old: VenueLine) -> Bool {
        old.feed.instruments.allSatisfy { !arbiter.hasBook(old.number, of: $0) || arbiter.hasBook(line, of: $0) }
    }

    /// A line's connection is gone; with a successor under way it need not come back.
    func lost(_ number: Int) {
        guard let successor = replaced.first(where: { $0.value == number })?.key else { return }
        replaced[successor] = nil
        // Not within the line's own work.
        feedLoop?.loop?.after(0) { [weak self] in self?.end(number) }
    }

    func withGate(_ body: (inout VenueGate) -> Void) { body(&gate) }

    // MARK: Events of lines

    /// Judges an event of a line and passes it on, or not.
    func receive(_ event: MarketEvent, levels: Span<LevelChange>, from line: Int, on feedLoop: FeedLoop) {
        var event = event
        switch arbiter.judge(&event, from: line) {
        case .pass: feedLoop.publisher.receive(event, levels: levels)
        case .drop: break
        case .takeOver(let other): takeovers.append((event.instrument, other))
        }
    }

    func learn(_ instrument: Instrument, on feedLoop: FeedLoop) {
        if instrument.id.index < feedLoop.publisher.table.all.count {
            let known = feedLoop.publisher.table[instrument.id]
            if known.priceScale != instrument.priceScale || known.quantityScale != instrument.quantityScale {
                renewedUnits.append(instrument)
            }
        }
        feedLoop.publisher.learn(instrument)
    }

    /// Does what a line's work has left to do: books of lines that took over, units for the others.
    ///
    /// All bears the time of that work, so that a recording of the lines says the same.
    func settle(after line: Int, atNs now: Int64) {
        guard !takeovers.isEmpty || !renewedUnits.isEmpty, let feedLoop else { return }
        let (instruments, moved) = (renewedUnits, takeovers)
        (renewedUnits, takeovers) = ([], [])
        for instrument in instruments {
            for other in lines where other?.number != line { other?.adopt(instrument, atNs: now, on: feedLoop) }
            // Clients have heard of new units, and need the book in them from whoever leads now; a single line has told it.
            if let leader = arbiter.leader(of: instrument.id), lines.count(where: { $0 != nil }) > 1 {
                lines[leader]?.restate(instrument.id, atNs: now, on: feedLoop)
            }
        }
        for (instrument, leader) in moved {
            feedLoop.log.info("venue-line-took-over", ["venue": .text(name), "line": "\(leader + 1)"])
            lines[leader]?.restate(instrument, atNs: now, on: feedLoop)
        }
    }

    // MARK: Figures

    private func count(on feedLoop: FeedLoop) {
        for (number, line) in lines.enumerated() where line != nil || booksShown[number] > 0 {
            booksShown[number] = line?.feed.instruments.count { arbiter.hasBook(number, of: $0) } ?? 0
            feedLoop.metrics.show(books: booksShown[number], ofLine: number, venue: configuration.venue)
        }
        let now = arbiter.counters
        feedLoop.metrics.count(now, since: counted, venue: configuration.venue)
        counted = now
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

/// Where a line's feed sends its events.
struct LineSink: MarketEventSink {
    private let line: Int
    private unowned let source: VenueSource
    private unowned let feedLoop: FeedLoop

    init(_ line: Int, _ source: VenueSource, _ feedLoop: FeedLoop) {
        (self.line, self.source, self.feedLoop) = (line, source, feedLoop)
    }

    mutating func receive(_ event: MarketEvent, levels: Span<LevelChange>) {
        source.receive(event, levels: levels, from: line, on: feedLoop)
    }

    mutating func learn(_ instrument: Instrument) { source.learn(instrument, on: feedLoop) }
}
