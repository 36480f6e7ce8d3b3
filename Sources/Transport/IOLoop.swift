internal import CLibUV
internal import CLibWebSockets
internal import CTransport
internal import Glibc
internal import Synchronization

/// One I/O thread: a libuv loop of our own, one libwebsockets context on it, its listeners, connections and timers.
///
/// Make all loops before the first one runs: a new context overwrites process-wide indices of libwebsockets. A loop
/// that was made must be run; ``requestStop()`` before ``run()`` ends it at once. Everything but ``wake()``,
/// ``requestStop()`` and ``connectionCount`` belongs to the thread that calls ``run()`` (before that, to the one that
/// made the loop).
public final class IOLoop: @unchecked Sendable {
    /// How far along its own life a loop is.
    enum Phase {
        case serving
        /// Saying goodbye to everybody until nobody is left, or until then; to who has yet to ask when it has been answered, where
        /// requests are awaited.
        case draining(untilNs: UInt64, awaitsRequests: Bool)
        case ended
    }

    public let index: Int
    /// Connections above this number get 503.
    ///
    /// Keep it well below the descriptor limit: accepting itself must never fail.
    public var connectionsMost = Int.max / 2
    /// Connections that were turned away without a word because even the refusals were too many.
    public internal(set) var refusedCount = 0

    private(set) var phase = Phase.serving
    var isServing: Bool {
        if case .serving = phase { true } else { false }
    }
    /// Whether who was accepted may still ask for something.
    var takesRequests: Bool {
        switch phase {
        case .serving: true
        case .draining(_, let awaitsRequests): awaitsRequests
        case .ended: false
        }
    }
    var handler: (any IOLoopHandler)?
    var sockets = SocketTable()
    var listeners: [Listener] = []
    var areListenersPaused = false
    var clientVhosts: [ClientVhostKey: OpaquePointer] = [:]
    /// Connections to close or to end when this turn's callbacks are done.
    var closeRequests: [ConnectionID] = []
    /// What is told at the end of the turn, because it must not be told within the call that brought it about.
    private var soonCalls: [() -> Void] = []
    var timers: Set<LoopTimer> = []
    var rawClients: Set<RawClient> = []
    var clientTLSContexts: [String?: ClientTLSContext] = [:]
    var webSocketClients: [ClientID: WebSocketClient] = [:]
    var webSocketClientsMade: UInt64 = 0
    /// UDP sockets, which libuv reads itself.
    var datagramSockets: [ObjectIdentifier: DatagramSocket] = [:]
    /// Watches WebSockets, which are no longer with libwebsockets.
    let epollSet: Int32
    /// Answers to the pings of the connection that is being read.
    var pongs: [UInt8] = []
    /// Of what clients send compressed.
    private(set) lazy var inflater = Inflater()
    /// What a WebSocket is read into: one for all of them.
    let readRoom = UnsafeMutableRawBufferPointer.allocate(byteCount: IOLoop.readBytesMost, alignment: 16)
    var date = (second: UInt64.max, text: "")

    let uv = UnsafeMutablePointer<uv_loop_t>.allocate(capacity: 1)
    private(set) var context: OpaquePointer
    let keptPlainProtocol: UnsafePointer<CChar>
    private let eventDescriptor: Int32
    private let loopList = UnsafeMutablePointer<UnsafeMutableRawPointer?>.allocate(capacity: 1)
    private let sweepTimer = UnsafeMutablePointer<SweepTimer>.allocate(capacity: 1)
    private var passTimer: UnsafeMutablePointer<uv_timer_t>?
    private var idle: UnsafeMutablePointer<uv_idle_t>?
    private var handles: [UnsafeMutablePointer<uv_handle_t>] = []
    private var strings: [UnsafeMutablePointer<CChar>] = []
    private var protocolLists: [UnsafeMutablePointer<lws_protocols>] = []
    private let isStopRequested = Atomic(false)
    private let areRequestsAwaited = Atomic(false)
    private let areCertificatesRequested = Atomic(false)
    private let publishedCount = Atomic(0)

    /// The one protocol of connections that name none.
    static let plainProtocol = "plain"
    /// Connections above the most that are still answered politely.
    static let surplusMost = 64
    /// At most this much of a raw connection's bytes goes to the kernel in one write; what is beyond it waits in libwebsockets.
    public static let writeBytesMost = 64 * 1024

    /// - Throws: ``TransportError/context(message:)`` or ``TransportError/system(operation:code:)``.
    public init(index: Int, handler: any IOLoopHandler) throws(TransportError) {
        self.index = index
        self.handler = handler
        ct_keep_log_lines()
        let descriptor = ct_eventfd()
        guard descriptor >= 0 else { throw .system(operation: "make an eventfd", code: errno) }
        let set = ct_epoll()
        guard set >= 0 else {
            let code = errno
            _ = Glibc.close(descriptor)
            throw .system(operation: "make an epoll set", code: code)
        }
        eventDescriptor = descriptor
        epollSet = set
        uv_loop_init(uv)
        loopList.initialize(to: UnsafeMutableRawPointer(uv))
        let plain = strdup(IOLoop.plainProtocol)
        guard let plain else { throw .system(operation: "allocate", code: ENOMEM) }
        strings = [plain]
        keptPlainProtocol = UnsafePointer(plain)
        var info = lws_context_creation_info()
        info.options =
            UInt64(LWS_SERVER_OPTION_EXPLICIT_VHOSTS) | UInt64(LWS_SERVER_OPTION_LIBUV)
            | UInt64(LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT) | UInt64(LWS_SERVER_OPTION_VALIDATE_UTF8)
        info.foreign_loops = loopList
        info.pt_serv_buf_size = UInt32(IOLoop.writeBytesMost)
        info.max_http_header_data = 8192
        // Above every time-out that a client connection may be given (a hanging connect would lose a uv handle).
        info.timeout_secs = 60
        info.timeout_secs_ah_idle = 5
        let owner = IOLoop.Owner()
        info.user = Unmanaged.passRetained(owner).toOpaque()
        ct_forget_log_line()
        guard let context = lws_create_context(&info) else {
            let message = String(cString: ct_last_log_line())
            Unmanaged.passUnretained(owner).release()
            uv_run(uv, UV_RUN_NOWAIT)
            uv_loop_close(uv)
            _ = Glibc.close(descriptor)
            _ = Glibc.close(set)
            readRoom.deallocate()
            free(plain)
            uv.deallocate()
            loopList.deallocate()
            sweepTimer.deallocate()
            throw .context(message: message.isEmpty ? "is libwebsockets-evlib-uv installed?" : message)
        }
        self.context = context
        owner.loop = self
        addOwnHandles()
        sweepTimer.initialize(to: SweepTimer(owner: Unmanaged.passUnretained(self).toOpaque()))
        armSweep()
    }

    /// Serves until ``requestStop()``: the body of the loop's thread.
    ///
    /// Returns when everybody has been told 1001 and is gone, two seconds after the request at the latest, and
    /// everything that the loop had is freed.
    public func run() {
        uv_run(uv, UV_RUN_DEFAULT)
        // Who hears of an end and begins anew hears of that end too; who never stops is left.
        for _ in 0..<16 { tellSoonCalls() }
        soonCalls = []
        let owner = lws_context_user(context)
        lws_context_destroy(context)  // the second time; it frees
        for listener in listeners { ct_staple_free(listener.staple) }
        let isClosed = uv_loop_close(uv) == 0
        precondition(isClosed, "a libuv handle is still open")
        if let owner { Unmanaged<IOLoop.Owner>.fromOpaque(owner).release() }
        _ = Glibc.close(epollSet)
        readRoom.deallocate()
        for string in strings { free(string) }
        for list in protocolLists { list.deallocate() }
        uv.deallocate()
        loopList.deallocate()
        sweepTimer.deallocate()
        handler = nil
    }

    /// Only now: another thread may wake a loop that has ended, and a closed descriptor may be somebody else's.
    deinit { _ = Glibc.close(eventDescriptor) }

    // MARK: Any thread

    /// Has the handler read its rings soon, by ``IOLoopHandler/wake(on:)``.
    ///
    /// Several calls may become one; nothing happens when the loop has ended.
    public func wake() { ct_eventfd_signal(eventDescriptor) }

    /// Begins the orderly end; see ``run()``.
    ///
    /// - Parameter awaitsRequests: whether those who were accepted and have not asked yet are heard first, because somebody else listens
    ///   in this loop's place from now on and nobody is to be turned away.
    public func requestStop(awaitsRequests: Bool = false) {
        areRequestsAwaited.store(awaitsRequests, ordering: .relaxed)
        isStopRequested.store(true, ordering: .releasing)
        wake()
    }

    /// Has every listener's certificate read anew; each is told by ``IOLoopHandler/readCertificate(_:on:)``.
    public func requestCertificates() {
        areCertificatesRequested.store(true, ordering: .releasing)
        wake()
    }

    /// Connections accepted and still there, whatever they speak.
    public var connectionCount: Int { publishedCount.load(ordering: .relaxed) }

    // MARK: The loop's thread

    func publishCount() { publishedCount.store(sockets.acceptedCount, ordering: .relaxed) }

    /// CLOCK_MONOTONIC in nanoseconds.
    public var nowNs: UInt64 { ct_monotonic_ns() }

    /// While true the loop does not wait for events, so that turns follow each other: for work done in slices.
    public var keepTurning = false {
        didSet {
            guard keepTurning != oldValue, let idle else { return }
            if keepTurning { uv_idle_start(idle) { _ in } } else { uv_idle_stop(idle) }
        }
    }

    /// Calls ``IOLoopHandler/passDue(on:)`` once after this time, rounded up to whole milliseconds.
    ///
    /// A second call before that replaces the first.
    public func schedulePass(afterNs delay: UInt64) {
        guard let passTimer else { return }
        updateTime()
        uv_timer_start(
            passTimer,
            { timer in
                guard let timer else { return }
                let loop = IOLoop.owner(timer.pointee.data)
                loop.handler?.passDue(on: loop)
                loop.updateTime()
            },
            (delay + 999_999) / 1_000_000,
            0
        )
    }

    /// libuv's time is that of the turn's beginning: after long work, timers set from it would be late or early.
    func updateTime() { uv_update_time(uv) }

    private func addOwnHandles() {
        let eventWatcher = addHandle(uv_poll_t.self) { uv_poll_init(uv, $0, eventDescriptor) }
        uv_poll_start(eventWatcher, Int32(UV_READABLE.rawValue)) { watcher, _, _ in
            guard let watcher else { return }
            IOLoop.owner(watcher.pointee.data).woken()
        }
        let setWatcher = addHandle(uv_poll_t.self) { uv_poll_init(uv, $0, epollSet) }
        uv_poll_start(setWatcher, Int32(UV_READABLE.rawValue)) { watcher, _, _ in
            guard let watcher else { return }
            let loop = IOLoop.owner(watcher.pointee.data)
            loop.serveEstablished()
            loop.updateTime()
        }
        let check = addHandle(uv_check_t.self) { uv_check_init(uv, $0) }
        uv_check_start(check) { check in
            guard let check else { return }
            IOLoop.owner(check.pointee.data).turnEnded()
        }
        passTimer = addHandle(uv_timer_t.self) { uv_timer_init(uv, $0) }
        idle = addHandle(uv_idle_t.self) { uv_idle_init(uv, $0) }
    }

    /// Makes a handle that lives until the loop ends, with the loop as its data.
    func addHandle<Handle>(
        _ type: Handle.Type,
        start: (UnsafeMutablePointer<Handle>) -> Int32
    ) -> UnsafeMutablePointer<Handle> {
        let handle = UnsafeMutablePointer<Handle>.allocate(capacity: 1)
        let result = start(handle)
        precondition(result == 0, "libuv refuses a handle: \(result)")
        let base = UnsafeMutableRawPointer(handle).assumingMemoryBound(to: uv_handle_t.self)
        base.pointee.data = Unmanaged.passUnretained(self).toOpaque()
        handles.append(base)
        return handle
    }

    private func woken() {
        ct_eventfd_drain(eventDescriptor)
        if isStopRequested.load(ordering: .acquiring), isServing { beginDraining() }
        if areCertificatesRequested.exchange(false, ordering: .acquiring), isServing { readCertificates() }
        handler?.wake(on: self)
        updateTime()
    }

    /// Has something told when this turn's callbacks are done, the last turn's too.
    func soon(_ call: @escaping () -> Void) {
        soonCalls.append(call)
        wake()
    }

    private func tellSoonCalls() {
        guard !soonCalls.isEmpty else { return }
        let calls = soonCalls
        soonCalls.removeAll()
        for call in calls { call() }
    }

    private func turnEnded() {
        tellSoonCalls()
        handler?.turnEnded(on: self)
        workOffCloseRequests()
    }

    // MARK: Sweep

    /// Every 100 ms, by a timer of libwebsockets.
    ///
    /// Its timers that are set outside its callbacks fire no later than this one: without it, whenever it pleases.
    private func armSweep() {
        let due: @convention(c) (UnsafeMutablePointer<lws_sorted_usec_list_t>?) -> Void = { timer in
            guard let timer else { return }
            let sweep = UnsafeMutableRawPointer(timer).assumingMemoryBound(to: SweepTimer.self)
            let loop = IOLoop.owner(sweep.pointee.owner)
            loop.armSweep()
            loop.sweepDue()
        }
        UnsafeMutableRawPointer(sweepTimer)
            .withMemoryRebound(to: lws_sorted_usec_list_t.self, capacity: 1) { timer in
                lws_sul_schedule(context, 0, timer, due, 100_000)
            }
    }

    private func sweepDue() {
        let now = nowNs
        for id in sockets.identities where sockets[id].deadlineNs != 0 && sockets[id].deadlineNs <= now {
            sockets[id].deadlineNs = 0
            expire(id)
        }
        resumeListeners()
        handler?.sweep(on: self)
        if case .draining(let until, _) = phase, now >= until { endSoon() }
        updateTime()
    }

    // MARK: End

    private func beginDraining() {
        let awaitsRequests = areRequestsAwaited.load(ordering: .relaxed)
        phase = .draining(untilNs: nowNs + 2_000_000_000, awaitsRequests: awaitsRequests)
        for listener in listeners {
            uv_poll_stop(listener.watcher)
            _ = Glibc.close(listener.descriptor)
        }
        for id in sockets.identities {
            let hasYetToAsk = sockets[id].role == .http && sockets[id].phase == .young && !sockets[id].hasAsked
            if !awaitsRequests || !hasYetToAsk { sayGoodbye(id) }
        }
        for client in webSocketClients.values { client.goodbye() }
        for client in rawClients { client.end("the hub stops") }
        endIfEmpty()
    }

    /// The last connection is gone.
    func endIfEmpty() {
        if case .draining = phase, sockets.count == 0 { endSoon() }
    }

    private func endSoon() {
        phase = .ended
        // Never inside a callback of libwebsockets.
        let timer = addHandle(uv_timer_t.self) { uv_timer_init(uv, $0) }
        uv_timer_start(
            timer,
            { timer in
                guard let timer else { return }
                IOLoop.owner(timer.pointee.data).tearDown()
            },
            0,
            0
        )
    }

    private func tearDown() {
        UnsafeMutableRawPointer(sweepTimer)
            .withMemoryRebound(to: lws_sorted_usec_list_t.self, capacity: 1) { lws_sul_cancel($0) }
        for timer in timers { timer.cancel() }
        for id in sockets.identities where sockets[id].peer != nil { finish(id) }
        for socket in Array(datagramSockets.values) { socket.close() }
        for handle in handles {
            uv_close(handle) { handle in UnsafeMutableRawPointer(handle)?.deallocate() }
        }
        handles.removeAll()
        passTimer = nil
        idle = nil
        lws_context_destroy(context)  // the first time: every connection begins to close
        tellSoonCalls()
    }

    // MARK: What libwebsockets keeps pointers to

    /// A copy that lives as long as the loop.
    func keep(_ string: String) -> UnsafePointer<CChar>? {
        guard let copy = strdup(string) else { return nil }
        strings.append(copy)
        return UnsafePointer(copy)
    }

    func keepProtocols(_ names: [String], receiveBytes: Int) -> UnsafePointer<lws_protocols> {
        let list = UnsafeMutablePointer<lws_protocols>.allocate(capacity: names.count + 1)
        for (place, name) in names.enumerated() {
            let entry = lws_protocols(
                name: keep(name),
                callback: answerLibWebSockets,
                per_session_data_size: 0,
                rx_buffer_size: receiveBytes,
                id: 0,
                user: nil,
                tx_packet_size: IOLoop.writeBytesMost
            )
            (list + place).initialize(to: entry)
        }
        (list + names.count).initialize(to: lws_protocols())
        protocolLists.append(list)
        return UnsafePointer(list)
    }

    func lastLogLine() -> String { String(cString: ct_last_log_line()) }

    /// What a context of libwebsockets knows its loop by; empty while the loop is being made.
    final class Owner {
        unowned(unsafe) var loop: IOLoop?
    }

    static func owner(_ data: UnsafeMutableRawPointer?) -> IOLoop {
        guard let data else { fatalError("a handle without its loop") }
        return Unmanaged<IOLoop>.fromOpaque(data).takeUnretainedValue()
    }
}

/// The list entry of libwebsockets comes first: its callback is given nothing else.
private struct SweepTimer {
    var entry = lws_sorted_usec_list_t()
    var owner: UnsafeMutableRawPointer
}
