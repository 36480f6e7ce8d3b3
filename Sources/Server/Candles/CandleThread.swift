import Glibc
import Market

/// The thread that writes candles to disk: it may block, nobody waits for it.
///
/// Twice a second it writes what changed, so that a hub that is killed loses no more than the last second; when it is told to
/// end, it writes the rest first.
final class CandleThread: @unchecked Sendable {
    // The thread alone touches what is mutable, and whoever joined it.
    private let store: CandleStore
    private var files: CandleFiles
    private var changes = CandleChanges()
    private var failedNs: Int64?
    private let log: Log
    private let isStopping = Guarded(false)
    private var thread: JoinableThread?
    private static let intervalMicroseconds: UInt32 = 100_000
    private static let turns = 5
    private static let retryNs: Int64 = 30_000_000_000

    init(store: CandleStore, files: consuming CandleFiles, log: Log) {
        self.store = store
        self.files = files
        self.log = log
    }

    func start() { thread = JoinableThread(name: "candles") { self.run() } }

    /// Returns when everything is on disk; the feed thread must have ended.
    func stop() {
        isStopping.withLock { $0 = true }
        thread?.join()
    }

    /// Goes on after ``stop()``; what lies on the disk may be somebody else's by now and is written anew.
    func goOn() {
        isStopping.withLock { $0 = false }
        files.forgetJournal()
        start()
    }

    private func run() {
        var turn = 0
        while !isStopping.withLock({ $0 }) {
            usleep(Self.intervalMicroseconds)
            turn += 1
            if turn % Self.turns == 0 { write() }
        }
        write()
    }

    private func write() {
        if let failedNs, HubClock.monotonicNs - failedNs < Self.retryNs, !isStopping.withLock({ $0 }) { return }
        do throws(CandleFiles.Failure) {
            if files.isSnapshotDue || failedNs != nil { try writeSnapshot() }
            var bytes: [UInt8] = []
            for id in store.takeChanged() {
                guard let kept = store.keptHistory(of: id) else { continue }
                changes.append(id, kept.name, kept.history, to: &bytes)
                if bytes.count > 1 << 20 {
                    try files.append(bytes)
                    bytes.removeAll(keepingCapacity: true)
                }
            }
            if !bytes.isEmpty { try files.append(bytes) }
            if failedNs != nil { log.info("candles-written-again") }
            failedNs = nil
        } catch {
            // A snapshot makes good what this loses, once the disk takes it.
            failedNs = HubClock.monotonicNs
            log.error(
                "candles-not-written",
                ["problem": .text(error.message), "remedy": "make room, or name another candles.directory"]
            )
        }
    }

    private func writeSnapshot() throws(CandleFiles.Failure) {
        try files.beginJournal()
        var next = 0
        let count = store.instrumentCount
        var unclaimed = store.unclaimed
        try files.writeSnapshot { bytes in
            while bytes.count < 1 << 20, next < count {
                if let kept = store.keptHistory(of: InstrumentID(UInt32(next))) {
                    CandleRecords.append(kept.name, kept.history, to: &bytes)
                }
                next += 1
            }
            while bytes.count < 1 << 20, let (name, history) = unclaimed.first {
                unclaimed[name] = nil
                CandleRecords.append(name, history, to: &bytes)
            }
        }
    }

}
