internal import Glibc
internal import Synchronization

/// Takes log lines from any thread and writes them by a thread of its own.
///
/// A caller never waits for the descriptor: lines go to a buffer of bounded bytes; when it is full they are dropped and
/// counted, and a `log-dropped` line says how many as soon as there is room. End it with ``close()``.
package final class Log: Sendable {
    private struct Pending {
        var bytes: [UInt8] = []
        var droppedSinceTold: UInt64 = 0
        /// The writer has been woken and has not yet taken the bytes.
        var isWriterAwake = false
        var isClosed = false
    }

    private let pending = Guarded(Pending())
    private let lowestRank: Atomic<UInt8>
    private let dropped = Atomic<UInt64>(0)
    /// Monotonic; 0 while nobody is in a hurry.
    private let giveUpAtNs = Atomic<Int64>(0)
    private let format: LogFormat
    private let bufferBytesMost: Int
    private let descriptor: Int32
    private let utcNs: @Sendable () -> Int64
    private let wake: Semaphore
    private let thread = Guarded<pthread_t?>(nil)

    /// How long ``close()`` waits for a descriptor that takes nothing.
    private static let patienceNs: Int64 = 1_000_000_000
    /// A pipe that is ready for writing takes so much without waiting (PIPE_BUF).
    private static let writeBytesMost = 4096

    /// Starts the writing thread; `descriptor` is borrowed.
    package init(
        level: LogLevel = .info,
        format: LogFormat = .json,
        bufferBytesMost: Int = 1_048_576,
        descriptor: Int32 = STDERR_FILENO,
        utcNs: @escaping @Sendable () -> Int64 = Log.realTimeNs
    ) {
        lowestRank = Atomic(level.rank)
        self.format = format
        self.bufferBytesMost = bufferBytesMost
        self.descriptor = descriptor
        self.utcNs = utcNs
        wake = Semaphore()
        startWriter()
    }

    // MARK: Lines

    package func debug(_ event: StaticString, _ fields: @autoclosure () -> KeyedLogValues = [:]) {
        write(.debug, event, fields())
    }

    package func info(_ event: StaticString, _ fields: @autoclosure () -> KeyedLogValues = [:]) {
        write(.info, event, fields())
    }

    package func warning(_ event: StaticString, _ fields: @autoclosure () -> KeyedLogValues = [:]) {
        write(.warning, event, fields())
    }

    package func error(_ event: StaticString, _ fields: @autoclosure () -> KeyedLogValues = [:]) {
        write(.error, event, fields())
    }

    /// Adds a line; its fields are not even made when the level is not written.
    package func write(_ level: LogLevel, _ event: StaticString, _ fields: @autoclosure () -> KeyedLogValues) {
        guard isWritten(level) else { return }
        var line: [UInt8] = []
        line.reserveCapacity(256)
        LogLine.append(utcNs: utcNs(), level: level, event: event, fields: fields(), as: format, to: &line)
        let mustWake = pending.withLock { pending in
            guard !pending.isClosed, pending.bytes.count + line.count <= bufferBytesMost else {
                pending.droppedSinceTold += 1
                dropped.wrappingAdd(1, ordering: .relaxed)
                return false
            }
            pending.bytes.append(contentsOf: line)
            defer { pending.isWriterAwake = true }
            return !pending.isWriterAwake
        }
        if mustWake { wake.post() }
    }

    package func isWritten(_ level: LogLevel) -> Bool { level.rank >= lowestRank.load(ordering: .relaxed) }

    /// Counts for every line from now on.
    package func setLevel(_ level: LogLevel) { lowestRank.store(level.rank, ordering: .relaxed) }

    /// Lines dropped since the start.
    package var droppedCount: UInt64 { dropped.load(ordering: .relaxed) }

    // MARK: Writing

    /// Writes what waits and ends the thread; waits a second at most for a descriptor that takes nothing.
    ///
    /// Lines that come later are dropped. A second call does nothing.
    package func close() {
        pending.withLock { $0.isClosed = true }
        let writer = thread.withLock { $0.take() }
        guard let writer else { return }
        giveUpAtNs.store(Self.monotonicNs() + Self.patienceNs, ordering: .relaxed)
        wake.post()
        pthread_join(writer, nil)
    }

    private func startWriter() {
        var writer = pthread_t()
        // Released by the thread when it ends, which it does in close().
        let log = Unmanaged.passRetained(self).toOpaque()
        let status = pthread_create(&writer, nil, { Log.runWriter($0) }, log)
        guard status == 0 else { stop(because: "no thread for the log: \(String(cString: strerror(status)))") }
        thread.withLock { $0 = writer }
    }

    private static let runWriter: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = { pointer in
        guard let pointer else { return nil }
        let log = Unmanaged<Log>.fromOpaque(pointer).takeRetainedValue()
        // Signals belong to the one thread that reads them.
        var all = sigset_t()
        sigfillset(&all)
        pthread_sigmask(SIG_BLOCK, &all, nil)
        var (spare, isClosed) = ([UInt8](), false)
        while !isClosed {
            log.wake.wait()
            isClosed = log.writePending(using: &spare)
        }
        return nil
    }

    /// Writes what waits; whether the log has been closed.
    private func writePending(using spare: inout [UInt8]) -> Bool {
        spare.removeAll(keepingCapacity: true)
        let (droppedCount, isClosed) = pending.withLock { pending in
            swap(&pending.bytes, &spare)
            pending.isWriterAwake = false
            defer { pending.droppedSinceTold = 0 }
            return (pending.droppedSinceTold, pending.isClosed)
        }
        if droppedCount > 0 {
            let fields: KeyedLogValues = ["lines": .count(droppedCount)]
            LogLine.append(
                utcNs: utcNs(),
                level: .warning,
                event: "log-dropped",
                fields: fields,
                as: format,
                to: &spare
            )
        }
        writeAll(spare)
        return isClosed
    }

    private func writeAll(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { bytes in
            var rest = bytes[...]
            while !rest.isEmpty {
                var ready = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                guard poll(&ready, 1, 100) > 0 else {
                    let giveUpAt = giveUpAtNs.load(ordering: .relaxed)
                    if giveUpAt != 0, Self.monotonicNs() > giveUpAt { return }
                    continue
                }
                let chunk = UnsafeRawBufferPointer(rebasing: rest.prefix(Self.writeBytesMost))
                let count = Glibc.write(descriptor, chunk.baseAddress, chunk.count)
                if count > 0 {
                    rest = rest.dropFirst(count)
                } else if errno != EINTR, errno != EAGAIN {
                    // Nobody is left to tell.
                    return
                }
            }
        }
    }

    // MARK: Clocks

    /// Nanoseconds since 1970 by the system's clock.
    package static func realTimeNs() -> Int64 { read(CLOCK_REALTIME) }
    private static func monotonicNs() -> Int64 { read(CLOCK_MONOTONIC) }

    private static func read(_ clock: Int32) -> Int64 {
        var now = timespec()
        clock_gettime(clock, &now)
        return Int64(now.tv_sec) * 1_000_000_000 + Int64(now.tv_nsec)
    }
}

/// A counting semaphore at a fixed address.
private final class Semaphore: @unchecked Sendable {
    // sem_t may be used from any thread; only its address is held here, and it never changes.
    private let semaphore: UnsafeMutablePointer<sem_t>

    init() {
        semaphore = .allocate(capacity: 1)
        sem_init(semaphore, 0, 0)
    }

    deinit {
        sem_destroy(semaphore)
        semaphore.deallocate()
    }

    func post() { sem_post(semaphore) }
    func wait() { while sem_wait(semaphore) != 0 && errno == EINTR {} }
}
