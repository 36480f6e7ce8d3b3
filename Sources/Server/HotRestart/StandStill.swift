import Glibc
import Synchronization

/// Where a thread of the hub says what it knows and then stands still, until it is handed on or is not.
///
/// The thread looks at ``isWanted`` when it is woken.
package final class StandStill: Sendable {
    private enum Phase: Sendable {
        case going
        case wanted
        /// It stands, and this is what it knows.
        case standing([UInt8])
    }

    private let phase = Guarded<Phase>(.going)
    private let wanted = Atomic(false)
    /// How often a thread that waits looks: nothing is to be heard of a restart but a pause of some milliseconds.
    private static let lookMicroseconds: UInt32 = 200

    package init() {}

    // MARK: Who asks

    /// Asks the thread to stand still; wake it then.
    package func ask() {
        phase.withLock { $0 = .wanted }
        wanted.store(true, ordering: .releasing)
    }

    /// What the thread knows, once it stands; nil when it does not within the time.
    package func state(mostMs: Int) -> [UInt8]? {
        let deadline = HubClock.monotonicNs + Int64(mostMs) * 1_000_000
        repeat {
            if case .standing(let state) = phase.withLock({ $0 }) { return state }
            usleep(Self.lookMicroseconds)
        } while HubClock.monotonicNs < deadline
        return nil
    }

    /// Lets the thread go on, or never stand.
    package func release() {
        wanted.store(false, ordering: .releasing)
        phase.withLock { $0 = .going }
    }

    // MARK: The thread

    package var isWanted: Bool { wanted.load(ordering: .acquiring) }

    /// Says what the thread knows and returns when it may go on.
    package func stand(_ state: [UInt8]) {
        let stands = phase.withLock { phase in
            guard case .wanted = phase else { return false }
            phase = .standing(state)
            return true
        }
        guard stands else { return }
        while wanted.load(ordering: .acquiring) { usleep(Self.lookMicroseconds) }
    }
}
