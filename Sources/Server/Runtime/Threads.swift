import Glibc

/// A thread that runs one body and is joined by whoever started it.
struct JoinableThread {
    private final class Body {
        let name: String
        let run: () -> Void

        init(name: String, run: @escaping () -> Void) {
            self.name = name
            self.run = run
        }
    }

    private let handle: pthread_t

    /// Starts a thread, to which everything that `run` captures belongs from now on.
    ///
    /// `name`, at most 15 bytes, is what `top -H` shows.
    init(name: String, run: @escaping () -> Void) {
        var handle = pthread_t()
        let body = Unmanaged.passRetained(Body(name: name, run: run)).toOpaque()
        let status = pthread_create(&handle, nil, { JoinableThread.main($0) }, body)
        guard status == 0 else {
            stop(because: "cannot start the thread \(name): \(String(cString: strerror(status)))")
        }
        self.handle = handle
    }

    func join() { pthread_join(handle, nil) }

    /// Lets the thread end by itself, whenever it does; nobody joins it then.
    func detach() { pthread_detach(handle) }

    // A named function rather than the closure itself: one made at the top level of main.swift would be bound to the main actor.
    private static let main: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = { body in
        guard let body else { return nil }
        let taken = Unmanaged<Body>.fromOpaque(body).takeRetainedValue()
        name(taken.name)
        taken.run()
        return nil
    }

    /// Names the calling thread; a kernel that does not let it costs nothing but the name.
    private static func name(_ name: String) {
        let file = open("/proc/thread-self/comm", O_WRONLY | O_CLOEXEC)
        guard file >= 0 else { return }
        _ = write(file, name, name.utf8.count)
        close(file)
    }
}
