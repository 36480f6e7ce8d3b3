package import Market

/// Where the feed thread shows what every index is made of, for whoever asks by HTTP and for metrics.
package final class IndexBoard: Sendable {
    /// An index as it was last computed.
    package struct Report: Sendable {
        package var timeNs: Int64
        package var settings: CompositeIndex.Settings
        /// By the order of the reading's sources.
        package var names: [String]
        package var reading: CompositeIndex.Reading
    }

    private let shown = Guarded<[InstrumentID: Report]>([:])

    package init() {}

    package subscript(id: InstrumentID) -> Report? { shown.withLock { $0[id] } }

    package func show(_ report: Report, of id: InstrumentID) { shown.withLock { $0[id] = report } }

    /// Sources that count, by index.
    package func countingCount(of id: InstrumentID) -> Int { self[id]?.reading.countingCount ?? 0 }
}
