import Glibc
import Synchronization

/// Records raw traffic: a ring that the feed thread fills, and a thread that writes it to the disk.
///
/// Nothing that the disk does is felt by the feed thread. Make it, ask for taps, ``start()``; ``stop()`` after the feed thread
/// has ended.
package final class Recorder {
    private let writer: RecordingWriter
    private let inlet: RecordingInlet
    private let metrics: RecorderMetrics
    private let clock: HubClock
    private let log: Log
    /// What holds the directory, for a successor.
    let directoryLock: Int32
    private var sources: [String] = []
    private var thread: JoinableThread?
    private let isStopping = Atomic<Bool>(false)

    /// More sources than this are not recorded.
    static let sourcesMost = 256
    /// Records taken before time is looked at.
    private static let recordsMost = 1024
    /// How long the thread rests when there is nothing more to take.
    private static let restNs = 20_000_000

    /// Takes over the directory, and the lock on it of the hub before this one where there is one.
    ///
    /// - Throws: why the directory cannot be used.
    package init(
        _ configuration: RecordConfiguration,
        sharing lock: Int32? = nil,
        clock: HubClock,
        registry: MetricRegistry,
        log: Log
    ) throws(RecordingDirectory.Refusal) {
        let directory = try RecordingDirectory(path: configuration.directory, sharing: lock)
        directoryLock = directory.lock
        var limits = RecordingLimits(
            fileBytesMost: configuration.fileBytesMost,
            fileNsMost: Int64(configuration.fileSecondsMost) * 1_000_000_000,
            diskBytesMost: configuration.diskBytesMost
        )
        limits.syncNs = Int64(configuration.syncSeconds) * 1_000_000_000
        do throws(DiskFailure) {
            writer = try RecordingWriter(directory, limits, run: clock.nowNs)
        } catch {
            throw RecordingDirectory.Refusal(
                message: "record.directory \(configuration.directory) cannot be used: \(error.reason)"
            )
        }
        inlet = RecordingInlet(
            ring: RecordRing(capacity: configuration.ringBytes / 16 * 16),
            sourcesMost: Self.sourcesMost
        )
        metrics = RecorderMetrics(registry: registry)
        metrics.setDiskBytes(writer.diskBytes)
        self.clock = clock
        self.log = log
    }

    /// Where a source's traffic passes; one series of files bears its name, and says how it was read.
    ///
    /// To be called before ``start()``.
    package func tap(
        _ source: String,
        venue: String,
        settings: RecordedSettings = RecordedSettings()
    ) -> RecordingTap {
        guard sources.count < Self.sourcesMost else {
            log.error("recorder-source-refused", ["source": .text(source), "most": .count(Self.sourcesMost)])
            return .none
        }
        sources.append(source)
        writer.addSource(source, venue: venue, settings: settings)
        metrics.addSource(source, lost: inlet.lostCounts[sources.count - 1])
        return RecordingTap(inlet: inlet, source: UInt16(sources.count - 1))
    }

    package func start() {
        thread = JoinableThread(name: "recorder") { [self] in
            while !isStopping.load(ordering: .acquiring) { if takeSome() < Self.recordsMost { rest() } }
        }
    }

    /// Ends the recording, before the sources' connections are closed: that is our doing, and says nothing of the venues.
    package func close() { inlet.close() }

    /// Writes what is in the ring and finishes all files; nobody may use a tap any more.
    package func stop() {
        isStopping.store(true, ordering: .releasing)
        thread?.join()
        thread = nil
        while takeSome() > 0 {}
        inlet.finish(atNs: clock.nowNs)
        while takeSome() > 0 {}
        writer.finishAll(atNs: clock.nowNs)
        report()
    }

    private func takeSome() -> Int {
        let now = clock.nowNs
        let count = inlet.ring.drain(most: Self.recordsMost) { head, payload in
            writer.add(head, payload, atNs: now)
        }
        writer.tick(atNs: clock.nowNs)
        report()
        return count
    }

    private func rest() {
        var time = timespec(tv_sec: 0, tv_nsec: Self.restNs)
        // Woken early is early at work.
        nanosleep(&time, nil)
    }

    // MARK: What is told

    /// Conditions an operator may look up in Docs/feeds/recordings.md by their number.
    private enum Condition: String {
        case diskFull = "R1 disk full"
        case diskFails = "R2 disk fails"
        case behind = "R3 recorder behind"
    }

    private func report() {
        for event in writer.takeEvents() {
            metrics.count(event)
            switch event {
            case .wrote: break
            case .opened(let file): log.info("recorder-file-opened", ["file": .text(file)])
            case .finished(let file, let bytes):
                log.info("recorder-file-finished", ["file": .text(file), "bytes": .count(bytes)])
            case .removed(let file, let bytes):
                log.info("recorder-file-removed", ["file": .text(file), "bytes": .count(bytes)])
            case .failed(let failure):
                let condition = failure.isFull ? Condition.diskFull : .diskFails
                log.error(
                    "recorder-failing",
                    [
                        "condition": .text(condition.rawValue), "problem": .text(failure.reason),
                        "errno": .count(failure.code),
                    ]
                )
            case .recovered(let afterNs):
                log.info("recorder-recovered", ["afterMs": .count(afterNs / 1_000_000)])
            case .leftOut(let source, let records):
                log.warning(
                    "recorder-left-out",
                    [
                        "condition": .text(Condition.diskFails.rawValue), "source": .text(sources[source]),
                        "records": .count(records),
                    ]
                )
            }
        }
        metrics.setDiskBytes(writer.diskBytes)
        metrics.setFailing(writer.isFailing)
        for (source, records) in metrics.countLost() {
            log.warning(
                "recorder-left-out",
                [
                    "condition": .text(Condition.behind.rawValue), "source": .text(sources[source]),
                    "records": .count(records), "remedy": "raise record.ringBytes, or record to a faster disk",
                ]
            )
        }
    }
}
