package import Market
import Synchronization

/// Where the feed thread shows the table of instruments to the I/O loops.
///
/// A loop looks when an event names an instrument it does not know or says that units changed; the table is always shown before
/// such an event is sent.
package final class InstrumentBoard: Sendable {
    private let shown = Guarded(InstrumentTable())
    private let shownVersion = Atomic<UInt32>(0)

    package init() {}

    /// Costs one atomic read.
    package var version: UInt32 { shownVersion.load(ordering: .acquiring) }

    package var table: InstrumentTable { shown.withLock { $0 } }

    package func show(_ table: InstrumentTable) {
        shown.withLock { $0 = table }
        shownVersion.store(table.version, ordering: .releasing)
    }
}
