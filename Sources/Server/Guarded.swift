internal import Glibc

/// A value that one thread at a time may touch.
///
/// `Synchronization.Mutex` would do but for the thread sanitizer: its contended path lies in a library that the
/// sanitizer does not see, and is reported as a race. For state that is not hot; an uncontended turn costs some 20 ns.
final class Guarded<Value>: @unchecked Sendable {
    // The value is reached under the lock alone; the pointers never change.
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let value: UnsafeMutablePointer<Value>

    init(_ value: sending Value) {
        mutex = .allocate(capacity: 1)
        pthread_mutex_init(mutex, nil)
        self.value = .allocate(capacity: 1)
        self.value.initialize(to: value)
    }

    deinit {
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
        value.deinitialize(count: 1)
        value.deallocate()
    }

    /// Runs `body` while no other thread does; it must not come back here.
    func withLock<Result: ~Copyable>(_ body: (inout sending Value) -> sending Result) -> sending Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return body(&value.pointee)
    }
}
