import Glibc
import Synchronization

/// The one clock of the process: CLOCK_MONOTONIC, with an offset to UTC that follows CLOCK_REALTIME slowly and never back.
///
/// Readable from any thread; one thread corrects it.
package final class HubClock: Sendable {
    private let offsetNs: Atomic<Int64>
    /// The most the offset moves per correction interval: 500 parts per million.
    private static let slewPartsPerMillion: Int64 = 500

    package init() { offsetNs = Atomic(Self.realNs - Self.monotonicNs) }

    /// What is added to CLOCK_MONOTONIC, which is the same for all processes of a machine.
    package var offset: Int64 {
        get { offsetNs.load(ordering: .relaxed) }
        set { offsetNs.store(newValue, ordering: .relaxed) }
    }

    /// Nanoseconds since an arbitrary start; never back.
    package static var monotonicNs: Int64 { read(CLOCK_MONOTONIC) }

    private static var realNs: Int64 { read(CLOCK_REALTIME) }

    /// Nanoseconds since 1970 UTC; never back, even when the system's clock is set.
    package var nowNs: Int64 { Self.monotonicNs + offsetNs.load(ordering: .relaxed) }

    /// Moves the clock towards the system's; to be called about every `intervalNs` by one thread.
    package func correct(intervalNs: Int64) {
        let offset = offsetNs.load(ordering: .relaxed)
        let wanted = Self.realNs - Self.monotonicNs
        let most = max(1, intervalNs * Self.slewPartsPerMillion / 1_000_000)
        offsetNs.store(offset + min(max(wanted - offset, -most), most), ordering: .relaxed)
    }

    private static func read(_ clock: clockid_t) -> Int64 {
        var time = timespec()
        clock_gettime(clock, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}
