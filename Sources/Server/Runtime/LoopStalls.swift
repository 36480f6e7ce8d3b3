import Glibc

/// Has an I/O loop stand still for a while, to see what becomes of the others; only where `diagnostics.stallHook` is on.
package final class LoopStalls: Sendable {
    package static let millisecondsMost = 10_000
    private let wanted = Guarded<[Int: Int]>([:])
    private let loopCount: Int

    package init(loopCount: Int) { self.loopCount = loopCount }

    /// False when there is no such loop.
    func ask(loop: Int, milliseconds: Int) -> Bool {
        guard (0..<loopCount).contains(loop), (1...Self.millisecondsMost).contains(milliseconds) else { return false }
        wanted.withLock { $0[loop] = milliseconds }
        return true
    }

    /// Called by each loop now and then; returns when it may go on.
    func standStillIfAsked(_ loop: Int) {
        let milliseconds = wanted.withLock { $0.removeValue(forKey: loop) }
        guard let milliseconds else { return }
        usleep(UInt32(milliseconds) * 1_000)
    }
}
