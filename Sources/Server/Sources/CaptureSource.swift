import Feeds
package import Market
import Transport

/// Recorded venue traffic, played through the same decoder that a live socket goes through.
///
/// Times are those of the recording, so that a replay says what was said then.
package final class CaptureSource: MarketSource {
    package let name: String
    package private(set) var state = HealthState.SourceState.connecting

    private let configuration: CaptureConfiguration
    private let clock: ReplayClock
    private var traffic: RecordedTraffic
    private let room = UnpackingRoom()
    private var reader: CaptureReader?
    private var fileIndex = 0
    private var phase = Phase.idle
    private var timer: LoopTimer?
    private var counted = VenueFeed.Counters()
    /// A line that is not due yet.
    private var waiting: (line: [UInt8], receivedNs: Int64)?
    /// The time of the record that is played next; the last of all times when none is.
    private(set) var nextNs = Int64.max
    private var linesPlayed = 0
    private var sweepsSinceTold = 0
    /// When this round's search for its beginning began, monotonic.
    private var seekBeganNs: Int64 = 0
    /// Lines played before other work gets its turn.
    private static let linesMost = 500
    /// Progress is told so often, counted in sweeps, of which there is one a second.
    private static let sweepsUntilTold = 10

    private enum Phase {
        case idle
        /// Before the point where playing begins; nobody hears of it.
        case seeking
        /// At that point, waiting for other sources.
        case arrived
        case playing
        case ended
    }

    /// Nil when the venue is not known.
    package init?(_ configuration: CaptureConfiguration, clock: ReplayClock) {
        guard let traffic = RecordedTraffic(venue: configuration.venue, endsWithFile: false, tellsOrders: true)
        else { return nil }
        self.configuration = configuration
        self.clock = clock
        self.traffic = traffic
        name = "capture \(configuration.venue)"
        clock.join(self)
    }

    package convenience init?(_ configuration: CaptureConfiguration) {
        let clock = ReplayClock(speedFactor: configuration.speedFactor, isLooping: configuration.loop)
        self.init(configuration, clock: clock)
    }

    package var instruments: [InstrumentID] { traffic.instruments }

    package func start(on feedLoop: FeedLoop) {
        if !configuration.instrumentsFile.isEmpty {
            let problem: String?
            if let dialect = Venues.dialect(of: configuration.venue) {
                problem = feedLoop.addInstruments(listedIn: configuration.instrumentsFile, of: dialect, only: nil)
            } else {
                problem = "\(configuration.venue) has no list of instruments"
            }
            if let problem { return fail(problem, on: feedLoop) }
        }
        beginRound(on: feedLoop)
    }

    package func book(of id: InstrumentID) -> OrderBook? { traffic.book(of: id) }

    package func orders(of id: InstrumentID) -> [RestingOrder]? { traffic.orders(of: id) }

    package func clockNs(_ nowNs: Int64) -> Int64 { traffic.receivedNs }

    package func sweep(on feedLoop: FeedLoop) {
        let now = traffic.counters
        feedLoop.metrics.count(now, since: counted, venue: configuration.venue)
        counted = now
        sweepsSinceTold += 1
        guard sweepsSinceTold >= Self.sweepsUntilTold, phase == .playing || phase == .seeking else { return }
        sweepsSinceTold = 0
        tell(phase == .seeking ? "replay-seeking" : "replay-progress", on: feedLoop)
    }

    private func tell(_ event: StaticString, on feedLoop: FeedLoop) {
        feedLoop.log.info(
            event,
            [
                "venue": .text(configuration.venue), "at": .text(TimeText.text(utcNs: traffic.receivedNs)),
                "file": .count(min(fileIndex + 1, configuration.files.count)),
                "files": .count(configuration.files.count), "lines": .count(linesPlayed),
            ]
        )
    }

    // MARK: Rounds and files

    /// Whether another round may succeed.
    var canBeginAgain: Bool {
        if case .failed = state { false } else { true }
    }

    func beginRound(on feedLoop: FeedLoop) {
        fileIndex = 0
        linesPlayed = 0
        waiting = nil
        phase = .seeking
        seekBeganNs = HubClock.monotonicNs
        if clock.seekNs != nil { feedLoop.publisher.mute() }
        guard openFile(on: feedLoop) else { return }
        // In a turn of its own: a round that ends at once must not begin the next one within itself.
        pause(ReplayClock.turnNs, on: feedLoop)
    }

    private func openFile(on feedLoop: FeedLoop) -> Bool {
        do throws(CaptureReader.Failure) {
            reader = try CaptureReader(path: configuration.files[fileIndex])
            traffic.beginFile()
            return true
        } catch {
            fail(NormalizeError(error).description, on: feedLoop)
            return false
        }
    }

    private func fail(_ problem: String, on feedLoop: FeedLoop) {
        let isSeeking = phase == .idle || phase == .seeking
        state = .failed(reason: problem)
        phase = .ended
        nextNs = .max
        reader = nil
        feedLoop.log.error("capture-failed", ["venue": .text(configuration.venue), "problem": .text(problem)])
        clock.failed(whileSeeking: isSeeking, on: feedLoop)
    }

    private func endRound(on feedLoop: FeedLoop) {
        reader = nil
        waiting = nil
        traffic.end(into: &feedLoop.publisher)
        phase = .ended
        nextNs = .max
        tell("replay-ended", on: feedLoop)
        if !clock.isLooping {
            state = .finished
            feedLoop.log.info("capture-finished", ["venue": .text(configuration.venue)])
        }
        clock.ended(on: feedLoop)
    }

    private func arrive(firstNs: Int64?, on feedLoop: FeedLoop) {
        phase = .arrived
        clock.arrived(firstNs: firstNs, on: feedLoop)
    }

    /// All sources are where playing begins.
    func playingBegan(on feedLoop: FeedLoop) {
        guard phase == .arrived else { return }
        phase = .playing
        state = .live
        let tookMs = (HubClock.monotonicNs - seekBeganNs) / 1_000_000
        feedLoop.log.info(
            "replay-began",
            [
                "venue": .text(configuration.venue),
                "at": .text(TimeText.text(utcNs: waiting?.receivedNs ?? traffic.receivedNs)),
                "linesBefore": .count(linesPlayed), "tookMs": .count(tookMs),
            ]
        )
        pause(0, on: feedLoop)
    }

    // MARK: Lines

    private func play(on feedLoop: FeedLoop) {
        for _ in 0..<Self.linesMost {
            guard phase == .seeking || phase == .playing else { return }
            if phase == .playing, let next = waiting {
                if let untilNs = clock.untilNs, next.receivedNs >= untilNs { return endRound(on: feedLoop) }
                guard clock.isDue(next.receivedNs, of: self) else {
                    return pause(clock.waitNs(for: next.receivedNs), on: feedLoop)
                }
                waiting = nil
                next.line.withUnsafeBytes { take($0, on: feedLoop) }
                continue
            }
            // At full speed only the slowest reader of the rings sets the pace; whom nobody hears sets his own.
            if phase == .playing, clock.speedFactor == 0, feedLoop.publisher.isCrowded {
                return pause(1_000_000, on: feedLoop)
            }
            readLine(on: feedLoop)
        }
        // Whom nobody hears no full ring makes wait.
        pause(phase == .seeking ? ReplayClock.turnNs : 0, on: feedLoop)
    }

    /// Takes the next line of the files, or keeps it until it is due.
    private func readLine(on feedLoop: FeedLoop) {
        do throws(CaptureReader.Failure) {
            guard let line = try reader?.next() else {
                fileIndex += 1
                if fileIndex < configuration.files.count {
                    _ = openFile(on: feedLoop)
                } else if phase == .seeking {
                    reader = nil
                    nextNs = .max
                    arrive(firstNs: nil, on: feedLoop)
                } else {
                    endRound(on: feedLoop)
                }
                return
            }
            switch line {
            case .tooLong: complain("the line is too long", on: feedLoop)
            case .lost(let loss):
                complain(loss.description, on: feedLoop)
                traffic.lose(into: &feedLoop.publisher)
            case .text(let text): hold(text, on: feedLoop)
            }
        } catch {
            fail(NormalizeError(error).description, on: feedLoop)
        }
    }

    private func hold(_ text: UnsafeRawBufferPointer, on feedLoop: FeedLoop) {
        guard let receivedNs = (try? CaptureRecord(text))?.receivedNs else { return take(text, on: feedLoop) }
        if let untilNs = clock.untilNs, receivedNs >= untilNs, phase == .playing { return endRound(on: feedLoop) }
        nextNs = receivedNs
        switch phase {
        case .seeking:
            guard receivedNs >= clock.seekNs ?? .min else { return take(text, on: feedLoop) }
            waiting = (Array(text), receivedNs)
            arrive(firstNs: receivedNs, on: feedLoop)
        case .playing where !clock.isDue(receivedNs, of: self): waiting = (Array(text), receivedNs)
        case .idle, .arrived, .playing, .ended: take(text, on: feedLoop)
        }
    }

    private func pause(_ ns: UInt64, on feedLoop: FeedLoop) {
        // One chain of turns, however many ways lead here.
        timer?.cancel()
        timer = feedLoop.loop?.after(ns) { [weak self, weak feedLoop] in
            if let self, let feedLoop { play(on: feedLoop) }
        }
    }

    private func take(_ line: UnsafeRawBufferPointer, on feedLoop: FeedLoop) {
        linesPlayed += 1
        var table = feedLoop.publisher.table
        var actions: [FeedAction] = []
        var problem: String?
        do throws(CaptureRecord.Fault) {
            let record = try CaptureRecord(line).unpacked(in: room)
            traffic.begin(record, into: &feedLoop.publisher)
            problem = try traffic.take(record, &table, &actions, into: &feedLoop.publisher)
        } catch {
            problem = error.description
        }
        if let problem { complain(problem, on: feedLoop) }
    }

    private func complain(_ problem: String, on feedLoop: FeedLoop) {
        let file = fileIndex < configuration.files.count ? configuration.files[fileIndex] : ""
        feedLoop.log.warning(
            "capture-bad-line",
            ["file": .text(file), "line": .count(reader?.lineNumber ?? 0), "problem": .text(problem)]
        )
    }
}
