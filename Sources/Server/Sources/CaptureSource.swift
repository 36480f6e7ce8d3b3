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
    private var feed: VenueFeed
    private var reader: CaptureReader?
    private var fileIndex = 0
    private var timer: LoopTimer?
    private var counted = VenueFeed.Counters()
    private var connections: Set<UInt32> = []
    /// A line that is not due yet.
    private var waiting: (line: [UInt8], receivedNs: Int64)?
    /// The recording's time, and the monotonic time at which its first line of this round was played.
    private var playedNs: Int64 = 0
    private var firstNs: Int64?
    private var startedNs: Int64 = 0
    /// Lines played before other work gets its turn.
    private static let linesMost = 500

    /// Nil when the venue is not known.
    package init?(_ configuration: CaptureConfiguration) {
        guard let dialect = Venues.dialect(of: configuration.venue) else { return nil }
        self.configuration = configuration
        name = "capture \(configuration.venue)"
        feed = VenueFeed(dialect)
    }

    package var instruments: [InstrumentID] { feed.instruments }

    package func start(on feedLoop: FeedLoop) {
        if !configuration.instrumentsFile.isEmpty,
            let problem = feedLoop.addInstruments(listedIn: configuration.instrumentsFile, of: feed.dialect, only: nil)
        {
            return fail(problem, on: feedLoop)
        }
        beginRound(on: feedLoop)
    }

    package func book(of id: InstrumentID) -> OrderBook? { feed.book(of: id) }

    package func clockNs(_ nowNs: Int64) -> Int64 { playedNs }

    package func sweep(on feedLoop: FeedLoop) {
        feedLoop.metrics.count(feed.counters, since: counted, venue: configuration.venue)
        counted = feed.counters
    }

    // MARK: Rounds and files

    private func beginRound(on feedLoop: FeedLoop) {
        fileIndex = 0
        firstNs = nil
        startedNs = HubClock.monotonicNs
        guard openFile(on: feedLoop) else { return }
        state = .live
        play(on: feedLoop)
    }

    private func openFile(on feedLoop: FeedLoop) -> Bool {
        do throws(CaptureReader.Failure) {
            reader = try CaptureReader(path: configuration.files[fileIndex])
            return true
        } catch {
            fail(NormalizeError(error).description, on: feedLoop)
            return false
        }
    }

    private func fail(_ problem: String, on feedLoop: FeedLoop) {
        state = .failed(reason: problem)
        reader = nil
        feedLoop.log.error("capture-failed", ["venue": .text(configuration.venue), "problem": .text(problem)])
    }

    private func endRound(on feedLoop: FeedLoop) {
        reader = nil
        for connection in connections.sorted() {
            feed.disconnected(connection, reason: .replayEnded, atNs: playedNs, into: &feedLoop.publisher)
        }
        connections = []
        guard configuration.loop else {
            state = .finished
            feedLoop.log.info("capture-finished", ["venue": .text(configuration.venue)])
            return
        }
        timer = feedLoop.loop?.after(0) { [weak self, weak feedLoop] in
            if let self, let feedLoop { beginRound(on: feedLoop) }
        }
    }

    // MARK: Lines

    private func play(on feedLoop: FeedLoop) {
        for _ in 0..<Self.linesMost {
            if let next = waiting {
                guard isDue(next.receivedNs) else { return wait(until: next.receivedNs, on: feedLoop) }
                waiting = nil
                next.line.withUnsafeBytes { take($0, on: feedLoop) }
                continue
            }
            // At full speed only the slowest reader of the rings sets the pace.
            if configuration.speedFactor == 0, feedLoop.publisher.isCrowded { return pause(1_000_000, on: feedLoop) }
            guard readLine(on: feedLoop) else { return }
        }
        pause(0, on: feedLoop)
    }

    /// Plays the next line of the files, or keeps it until it is due; false when the round is over.
    private func readLine(on feedLoop: FeedLoop) -> Bool {
        do throws(CaptureReader.Failure) {
            guard let line = try reader?.next() else {
                fileIndex += 1
                guard fileIndex < configuration.files.count else {
                    endRound(on: feedLoop)
                    return false
                }
                return openFile(on: feedLoop)
            }
            guard case .text(let text) = line else {
                complain("the line is too long", on: feedLoop)
                return true
            }
            guard let record = try? CaptureRecord(text), !isDue(record.receivedNs) else {
                take(text, on: feedLoop)
                return true
            }
            waiting = (Array(text), record.receivedNs)
            return true
        } catch {
            fail(NormalizeError(error).description, on: feedLoop)
            return false
        }
    }

    private func isDue(_ receivedNs: Int64) -> Bool {
        guard configuration.speedFactor > 0 else { return true }
        guard let firstNs else {
            self.firstNs = receivedNs
            return true
        }
        let elapsed = Double(HubClock.monotonicNs - startedNs) * configuration.speedFactor
        return Double(receivedNs - firstNs) <= elapsed
    }

    private func wait(until receivedNs: Int64, on feedLoop: FeedLoop) {
        let sinceStart = Double(receivedNs - (firstNs ?? receivedNs)) / configuration.speedFactor
        let left = sinceStart - Double(HubClock.monotonicNs - startedNs)
        // A damaged time may lie in any year; what is due is looked at again anyway.
        pause(Int64(min(max(0, left), 3_600e9)), on: feedLoop)
    }

    private func pause(_ ns: Int64, on feedLoop: FeedLoop) {
        timer = feedLoop.loop?.after(UInt64(ns)) { [weak self, weak feedLoop] in
            if let self, let feedLoop { play(on: feedLoop) }
        }
    }

    private func take(_ line: UnsafeRawBufferPointer, on feedLoop: FeedLoop) {
        var table = feedLoop.publisher.table
        var problem: String?
        do throws(CaptureRecord.Fault) {
            let record = try CaptureRecord(line)
            playedNs = max(playedNs, record.receivedNs)
            problem = try take(record, &table, on: feedLoop)
        } catch {
            problem = error.description
        }
        if let problem { complain(problem, on: feedLoop) }
    }

    private func take(
        _ record: CaptureRecord,
        _ table: inout InstrumentTable,
        on feedLoop: FeedLoop
    ) throws(CaptureRecord.Fault) -> String? {
        var actions: [FeedAction] = []
        do throws(FrameFault) {
            switch record.kind {
            case .sent: break
            case .connect:
                guard !connections.insert(record.connection).inserted else { break }
                feed.disconnected(
                    record.connection,
                    reason: .connectionLost,
                    atNs: record.receivedNs,
                    into: &feedLoop.publisher
                )
            case .received:
                connections.insert(record.connection)
                try feed.receive(
                    record.payload,
                    connection: record.connection,
                    atNs: record.receivedNs,
                    instruments: &table,
                    actions: &actions,
                    into: &feedLoop.publisher
                )
            case .answer: try takeAnswer(record, &table, &actions, on: feedLoop)
            }
        } catch {
            return error.description
        }
        return nil
    }

    private func takeAnswer(
        _ record: CaptureRecord,
        _ table: inout InstrumentTable,
        _ actions: inout [FeedAction],
        on feedLoop: FeedLoop
    ) throws(FrameFault) {
        guard let (url, body) = try? record.answer(), let rawSymbol = feed.dialect.rawSymbol(ofSnapshotURL: url) else {
            return
        }
        try feed.receiveSnapshot(
            body,
            rawSymbol: rawSymbol,
            connection: record.connection,
            atNs: record.receivedNs,
            instruments: &table,
            actions: &actions,
            into: &feedLoop.publisher
        )
    }

    private func complain(_ problem: String, on feedLoop: FeedLoop) {
        let file = fileIndex < configuration.files.count ? configuration.files[fileIndex] : ""
        feedLoop.log.warning(
            "capture-bad-line",
            ["file": .text(file), "line": .count(reader?.lineNumber ?? 0), "problem": .text(problem)]
        )
    }
}
