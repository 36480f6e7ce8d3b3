import Synchronization

/// What the recorder's thread counts.
final class RecorderMetrics {
    private struct Source {
        var records: CounterSlot
        var bytes: CounterSlot
        var lostByRing: CounterSlot
        var lostByDisk: CounterSlot
        var lost: Atomic<Int>.Box
        var lostSeen = 0
    }

    private let registry: MetricRegistry
    private let block: MetricBlock
    private let diskBytes: GaugeSlot
    private let failing: GaugeSlot
    private let failures: CounterSlot
    private let removed: CounterSlot
    private var sources: [Source] = []

    init(registry: MetricRegistry) {
        self.registry = registry
        block = registry.makeBlock()
        diskBytes = registry.gauge(.recorderDiskBytes)
        failing = registry.gauge(.recorderFailing)
        failures = registry.counter(.recorderFailures)
        removed = registry.counter(.recorderFilesRemoved)
    }

    func addSource(_ name: String, lost: Atomic<Int>.Box) {
        sources.append(
            Source(
                records: registry.counter(.recorderRecords, name),
                bytes: registry.counter(.recorderBytes, name),
                lostByRing: registry.counter(.recorderLost, name, "ring"),
                lostByDisk: registry.counter(.recorderLost, name, "disk"),
                lost: lost
            )
        )
    }

    func setDiskBytes(_ bytes: Int) { block.set(bytes, in: diskBytes) }
    func setFailing(_ isFailing: Bool) { block.set(isFailing ? 1 : 0, in: failing) }

    func count(_ event: RecordingEvent) {
        switch event {
        case .opened, .finished, .recovered: break
        case .wrote(let source, let records, let bytes):
            block.add(records, to: sources[source].records)
            block.add(bytes, to: sources[source].bytes)
        case .removed: block.add(to: removed)
        case .failed: block.add(to: failures)
        case .leftOut(let source, let records): block.add(records, to: sources[source].lostByDisk)
        }
    }

    /// Counts what the feed thread left out since the last call; the sources of which something was.
    func countLost() -> [(source: Int, records: Int)] {
        var found: [(source: Int, records: Int)] = []
        for place in sources.indices {
            let total = sources[place].lost.count.load(ordering: .relaxed)
            let new = total - sources[place].lostSeen
            guard new > 0 else { continue }
            sources[place].lostSeen = total
            block.add(new, to: sources[place].lostByRing)
            found.append((place, new))
        }
        return found
    }
}
