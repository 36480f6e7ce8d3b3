package import Market

/// Where the feed thread shows the names of instruments to the I/O loops, before it tells them of the first event.
///
/// Names never change. Units do: those of an event are the ones told in the ring before it, not the ones shown here.
package final class InstrumentBoard: Sendable {
    private let shown = Guarded<[Instrument]>([])

    package init() {}

    /// By ``InstrumentID/index``.
    package subscript(id: InstrumentID) -> Instrument { shown.withLock { $0[id.index] } }

    package var count: Int { shown.withLock { $0.count } }

    /// Shows the next instrument; its id is the count so far.
    package func add(_ instrument: Instrument) { shown.withLock { $0.append(instrument) } }
}
