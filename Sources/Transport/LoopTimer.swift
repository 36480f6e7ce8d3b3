internal import CLibUV
internal import Glibc

/// A one-shot timer of a loop; it belongs to the loop's thread.
public final class LoopTimer: Hashable {
    private let handle = UnsafeMutablePointer<uv_timer_t>.allocate(capacity: 1)
    private var action: (() -> Void)?
    private unowned let loop: IOLoop

    fileprivate init(on loop: IOLoop, afterNs delay: UInt64, action: @escaping () -> Void) {
        self.loop = loop
        self.action = action
        uv_timer_init(loop.uv, handle)
        handle.pointee.data = Unmanaged.passUnretained(self).toOpaque()
        loop.updateTime()
        uv_timer_start(
            handle,
            { handle in
                guard let data = handle?.pointee.data else { return }
                Unmanaged<LoopTimer>.fromOpaque(data).takeUnretainedValue().fire()
            },
            (delay + 999_999) / 1_000_000,
            0
        )
    }

    /// Forgets the action; does nothing once it has run.
    public func cancel() {
        guard action != nil else { return }
        action = nil
        release()
    }

    private func fire() {
        let due = action
        action = nil
        release()
        due?()
        loop.updateTime()
    }

    private func release() {
        uv_close(UnsafeMutableRawPointer(handle).assumingMemoryBound(to: uv_handle_t.self)) { handle in
            UnsafeMutableRawPointer(handle)?.deallocate()
        }
        loop.timers.remove(self)
    }

    public static func == (one: LoopTimer, other: LoopTimer) -> Bool { one === other }
    public func hash(into hasher: inout Hasher) { hasher.combine(ObjectIdentifier(self)) }
}

extension IOLoop {
    /// Runs `action` once after this time, rounded up to whole milliseconds, unless it is cancelled before.
    ///
    /// When the loop ends, timers that are not due yet never run.
    @discardableResult
    public func after(_ delay: UInt64, _ action: @escaping () -> Void) -> LoopTimer {
        let timer = LoopTimer(on: self, afterNs: delay, action: action)
        timers.insert(timer)
        // What ends with the loop may want to come back: nothing begins any more.
        if case .ended = phase { timer.cancel() }
        return timer
    }
}
