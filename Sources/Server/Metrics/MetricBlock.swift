internal import Synchronization

/// Where a counter lives in every block.
package struct CounterSlot: Hashable, Sendable, BitwiseCopyable {
    let index: Int
}

/// Where a gauge lives in every block; what is shown is the sum over the blocks.
package struct GaugeSlot: Hashable, Sendable, BitwiseCopyable {
    let index: Int
}

/// Where a histogram's buckets and sum begin in every block.
package struct HistogramSlot: Hashable, Sendable, BitwiseCopyable {
    let index: Int
}

/// The fixed buckets of every histogram: bounds double from 1.024 µs to 34.4 s, so that finding one is one instruction.
package enum HistogramBuckets {
    private static let firstShift = 10
    /// Buckets with a bound; one without follows.
    package static let boundedCount = 26
    /// The buckets, and the sum in nanoseconds.
    static let slotCount = boundedCount + 2

    /// The bound, inclusive, in nanoseconds.
    package static func boundNs(_ index: Int) -> Int64 { 1 << Int64(firstShift + index) }

    /// The bucket a duration falls into; below zero counts as zero.
    @inline(__always)
    package static func index(ofNs duration: Int64) -> Int {
        guard duration > 1 << firstShift else { return 0 }
        // The first power of two that is not below the duration.
        return min(boundedCount, Int64.bitWidth - (duration - 1).leadingZeroBitCount - firstShift)
    }
}

/// One thread's numbers: it alone writes them, a scrape reads them.
///
/// Any change is a relaxed load and a relaxed store of memory that no other thread writes; an atomic addition would hold the bus for
/// some ten nanoseconds, of which a delivery has several. Lives as long as its registry.
package final class MetricBlock: @unchecked Sendable {
    // The cells are atomics, and the pointer never changes.
    private let cells: UnsafeMutablePointer<Atomic<Int64>>
    private let count: Int

    init(slots: Int) {
        count = slots
        cells = .allocate(capacity: slots)
        for index in 0..<slots { (cells + index).initialize(to: Atomic(0)) }
    }

    deinit {
        cells.deinitialize(count: count)
        cells.deallocate()
    }

    @inline(__always)
    package func add(_ amount: Int = 1, to slot: CounterSlot) {
        change(slot.index, by: Int64(amount))
    }

    /// Moves this thread's share of a gauge.
    @inline(__always)
    package func add(_ amount: Int, to slot: GaugeSlot) {
        change(slot.index, by: Int64(amount))
    }

    /// Replaces this thread's share of a gauge.
    @inline(__always)
    package func set(_ value: Int, in slot: GaugeSlot) {
        cells[slot.index].store(Int64(value), ordering: .relaxed)
    }

    /// Counts a duration: two additions.
    @inline(__always)
    package func observe(ns duration: Int64, in slot: HistogramSlot) {
        let duration = max(0, duration)
        change(slot.index + HistogramBuckets.index(ofNs: duration), by: 1)
        change(slot.index + HistogramBuckets.slotCount - 1, by: duration)
    }

    @inline(__always)
    private func change(_ index: Int, by amount: Int64) {
        let cell = cells + index
        cell.pointee.store(cell.pointee.load(ordering: .relaxed) &+ amount, ordering: .relaxed)
    }

    func value(at index: Int) -> Int64 { cells[index].load(ordering: .relaxed) }
}
