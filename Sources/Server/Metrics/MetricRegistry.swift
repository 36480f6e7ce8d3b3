/// Knows every series and every thread's block, and shows their sums as Prometheus text.
///
/// A thread asks once for its ``MetricBlock`` and for the slots it needs, and from then on pays one relaxed addition a
/// count. Slots may be asked for at any time and from any thread; the same series always has the same slot. When
/// ``slotsMost`` are given out, further series share one slot, shown as ``MetricFamily/metricsOverflow``.
package final class MetricRegistry: Sendable {
    /// The most numbers a block holds, 64 KB; a histogram takes 28 of them.
    package static let slotsMost = 8192
    private static let overflowIndex = 0
    private static let overflowHistogramIndex = 1

    private enum Source: Sendable {
        case slot(Int)
        case reading(@Sendable () -> Double)
    }

    private struct State {
        var blocks: [MetricBlock] = []
        /// By the family's name and the label values.
        var series: [String: [[String]: Source]] = [:]
        var slotsUsed = overflowHistogramIndex + HistogramBuckets.slotCount
    }

    private let state = Guarded(State())

    package init() {}

    /// A block of numbers for one thread.
    package func makeBlock() -> MetricBlock {
        let block = MetricBlock(slots: Self.slotsMost)
        state.withLock { $0.blocks.append(block) }
        return block
    }

    // MARK: Series

    /// The slot of a counter; one label value for each of the family's labels.
    package func counter(_ family: MetricFamily, _ labelValues: String...) -> CounterSlot {
        CounterSlot(index: slot(family, .counter, labelValues, count: 1, overflow: Self.overflowIndex))
    }

    /// The slot of a gauge; one label value for each of the family's labels.
    package func gauge(_ family: MetricFamily, _ labelValues: String...) -> GaugeSlot {
        GaugeSlot(index: slot(family, .gauge, labelValues, count: 1, overflow: Self.overflowIndex))
    }

    /// The slots of a histogram; one label value for each of the family's labels.
    package func histogram(_ family: MetricFamily, _ labelValues: String...) -> HistogramSlot {
        let count = HistogramBuckets.slotCount
        return HistogramSlot(
            index: slot(family, .histogram, labelValues, count: count, overflow: Self.overflowHistogramIndex)
        )
    }

    /// A counter or gauge that is asked for its value at each scrape, on the scraping thread; replaces an earlier one.
    package func read(
        _ family: MetricFamily,
        _ labelValues: String...,
        as reading: @escaping @Sendable () -> Double
    ) {
        check(family, family.kind, labelValues)
        precondition(family.kind != .histogram, "a histogram cannot be read as one number")
        state.withLock { $0.series[family.name, default: [:]][labelValues] = .reading(reading) }
    }

    private func slot(
        _ family: MetricFamily,
        _ kind: MetricFamily.Kind,
        _ labelValues: [String],
        count: Int,
        overflow: Int
    ) -> Int {
        check(family, kind, labelValues)
        return state.withLock { state in
            if case .slot(let index) = state.series[family.name]?[labelValues] { return index }
            guard state.slotsUsed + count <= Self.slotsMost else { return overflow }
            let index = state.slotsUsed
            state.slotsUsed += count
            state.series[family.name, default: [:]][labelValues] = .slot(index)
            return index
        }
    }

    private func check(_ family: MetricFamily, _ kind: MetricFamily.Kind, _ labelValues: [String]) {
        guard family.kind == kind else { stop(because: "\(family.name) is a \(family.kind), not a \(kind)") }
        guard family.labels.count == labelValues.count else {
            stop(because: "\(family.name) has the labels \(family.labels), given were \(labelValues)")
        }
    }

    // MARK: Scrape

    /// The type to send with ``scrape()``.
    package static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    /// All series in the Prometheus text format 0.0.4; those of several threads summed.
    ///
    /// Costs O(series × threads). Numbers of one scrape may be some nanoseconds apart from each other.
    package func scrape() -> [UInt8] {
        let (blocks, series) = state.withLock { ($0.blocks, $0.series) }
        func sum(_ index: Int) -> Int64 { blocks.reduce(0) { $0 &+ $1.value(at: index) } }
        var text = PrometheusText()
        for family in MetricFamily.all {
            if family == .metricsOverflow {
                let lost = sum(Self.overflowIndex)
                let lostDurations = (0...HistogramBuckets.boundedCount).reduce(0) {
                    $0 + sum(Self.overflowHistogramIndex + $1)
                }
                text.begin(family)
                text.add(family, [], integer: lost + lostDurations)
                continue
            }
            guard let own = series[family.name], !own.isEmpty else { continue }
            text.begin(family)
            for (labelValues, source) in own.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
                switch (source, family.kind) {
                case (.reading(let reading), _):
                    text.add(family, labelValues, number: reading())
                case (.slot(let index), .histogram):
                    let buckets = (0...HistogramBuckets.boundedCount).map { sum(index + $0) }
                    let sumNs = sum(index + HistogramBuckets.slotCount - 1)
                    text.addHistogram(family, labelValues, buckets: buckets, sumNs: sumNs)
                case (.slot(let index), .counter), (.slot(let index), .gauge):
                    text.add(family, labelValues, integer: sum(index))
                }
            }
        }
        return text.bytes
    }
}
