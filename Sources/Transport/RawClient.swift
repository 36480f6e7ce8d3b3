internal import CLibUV
internal import CTransport
internal import Glibc

/// How to reach a server of raw TCP.
public struct RawClientSettings: Sendable {
    /// ``ServerAddress/path`` means nothing; ``ServerAddress/address`` must be there unless the host is an address already.
    public var server: ServerAddress
    /// A PEM file of the authorities to trust instead of the system's.
    public var authoritiesPath: String?
    /// Our own certificate, for a server that wants one.
    public var certificate: TLSSettings?
    /// For TCP and TLS together.
    public var connectTimeoutSeconds = 10
    /// Bytes that may wait for a slow server; with more the connection ends.
    ///
    /// What is sent while nothing waits may be longer.
    public var waitingBytesMost = 1 << 20

    public init(server: ServerAddress) {
        self.server = server
    }
}

/// Hears from raw connections that a loop opened; always on the loop's thread.
public protocol RawClientHandler: AnyObject {
    func opened(_ client: RawClient, on loop: IOLoop)
    /// Bytes as they came, in order and cut anywhere; valid during the call only.
    func received(_ bytes: UnsafeRawBufferPointer, from client: RawClient, on loop: IOLoop)
    /// What ``RawClient/send(_:)`` had to keep has gone; never told within that call.
    func writable(_ client: RawClient, on loop: IOLoop)
    /// Told once for every connect, whether it was opened or not, unless ``RawClient/close()`` ended it; `reason` is for people.
    func closed(_ client: RawClient, reason: String, on loop: IOLoop)
}

extension RawClientHandler {
    public func writable(_ client: RawClient, on loop: IOLoop) {}
}

/// A raw TCP connection to a server, plain or TLS, on a watcher of its own: the raw client role of libwebsockets 4.1.6 begins TLS
/// before the socket is connected, which cannot work.
public final class RawClient: Hashable {
    private enum State {
        case connecting
        case handshaking(tls: UnsafeMutableRawPointer)
        case open(tls: UnsafeMutableRawPointer?)
        case closed
    }

    private var state = State.connecting
    private let settings: RawClientSettings
    private let handler: any RawClientHandler
    private unowned let loop: IOLoop
    private let descriptor: Int32
    private let watcher = UnsafeMutablePointer<uv_poll_t>.allocate(capacity: 1)
    private var watched: UInt32 = 0
    private var timer: LoopTimer?
    private var context: ClientTLSContext?
    /// Bytes that the kernel has not taken yet.
    private var waiting: [UInt8] = []
    /// Whether what the server sends is taken; see ``setReading(_:)``.
    public private(set) var isReading = true
    /// Whether TLS cannot write before it has read.
    private var writeWantsRead = false
    private var readWantsWrite = false
    /// Whether the next turn reads without being woken for it.
    private var readsSoon = false
    /// More was to wait than may: the end comes with the end of the turn.
    private var isOverfull = false
    private static let readBytes = 64 * 1024
    /// Reads of one turn; the rest comes with the next.
    private static let readsMost = 4

    fileprivate init(_ settings: RawClientSettings, descriptor: Int32, handler: any RawClientHandler, on loop: IOLoop) {
        self.settings = settings
        self.handler = handler
        self.loop = loop
        self.descriptor = descriptor
        let result = uv_poll_init(loop.uv, watcher, descriptor)
        precondition(result == 0, "libuv refuses a socket: \(result)")
        watcher.pointee.data = Unmanaged.passUnretained(self).toOpaque()
        watch(UV_WRITABLE.rawValue)
        timer = loop.after(UInt64(settings.connectTimeoutSeconds) * 1_000_000_000) { [weak self] in
            self?.fail("no connection within \(settings.connectTimeoutSeconds) s")
        }
    }

    // MARK: What the owner does

    /// Whether bytes wait for the server to read.
    public var isBlocked: Bool { !waiting.isEmpty }

    /// Sends bytes, or keeps them until the kernel takes them; more than may wait end the connection.
    ///
    /// Before ``RawClientHandler/opened(_:on:)`` and after the end nothing is sent.
    public func send(_ bytes: [UInt8]) {
        guard case .open = state, !isOverfull else { return }
        let isFirst = waiting.isEmpty
        guard isFirst || waiting.count + bytes.count <= settings.waitingBytesMost else {
            isOverfull = true
            // Not within this call: whoever sends is in the middle of something.
            loop.soon { [weak self] in self?.fail("the server does not read what is sent") }
            return
        }
        waiting += bytes
        // Behind what waits it waits too, so that the watcher tells when all of it has gone.
        if isFirst { flush() }
    }

    /// Stops or resumes reading; meanwhile the server fills the kernel's buffers and then waits.
    public func setReading(_ isReading: Bool) {
        guard case .open = state, self.isReading != isReading else { return }
        self.isReading = isReading
        rewatch()
        // TLS may hold bytes that the kernel does not show.
        if isReading { readSoon() }
    }

    /// Ends the connection, of which nothing more is heard.
    public func close() {
        guard release() else { return }
        loop.rawClients.remove(self)
    }

    // MARK: Life

    private func ready(_ status: Int32, _ events: UInt32) {
        switch state {
        case .connecting: connected()
        case .handshaking(let tls): handshake(tls)
        case .open:
            // libuv has stopped watching.
            if status < 0 { watched = 0 }
            if events & UV_WRITABLE.rawValue != 0 || writeWantsRead || status < 0 {
                let wasBlocked = isBlocked
                flush()
                if wasBlocked, !isBlocked { handler.writable(self, on: loop) }
            }
            if events & UV_READABLE.rawValue != 0 || readWantsWrite || status < 0 { read() }
        case .closed: return
        }
    }

    private func connected() {
        let result = ct_connect_result(descriptor)
        guard result == 0 else { return fail(String(cString: strerror(result))) }
        guard settings.server.isTLS else { return open(nil) }
        var problem = [CChar](repeating: 0, count: 256)
        context = loop.clientTLSContext(settings, &problem)
        guard let context else { return fail("no TLS: \(Self.text(problem))") }
        guard let tls = ct_tls_client(context.pointer, descriptor, settings.server.host) else {
            return fail("no TLS to a server of this name")
        }
        state = .handshaking(tls: tls)
        handshake(tls)
    }

    private func handshake(_ tls: UnsafeMutableRawPointer) {
        var problem = [CChar](repeating: 0, count: 256)
        switch ct_tls_handshake(tls, &problem) {
        case 1: open(tls)
        case CT_TLS_WANTS_READ.rawValue: watch(UV_READABLE.rawValue)
        case CT_TLS_WANTS_WRITE.rawValue: watch(UV_WRITABLE.rawValue)
        default: fail("no TLS: \(Self.text(problem))")
        }
    }

    private func open(_ tls: UnsafeMutableRawPointer?) {
        timer?.cancel()
        timer = nil
        state = .open(tls: tls)
        rewatch()
        handler.opened(self, on: loop)
        read()
    }

    private func fail(_ reason: String) {
        let wasOpen = if case .open = state { true } else { false }
        let whole = wasOpen ? reason : "cannot connect to \(settings.server.host):\(settings.server.port): \(reason)"
        end(whole)
    }

    /// Ends and tells.
    func end(_ reason: String) {
        guard release() else { return }
        handler.closed(self, reason: reason, on: loop)
        loop.rawClients.remove(self)
    }

    /// Gives back what the connection has; false when that was done.
    private func release() -> Bool {
        switch state {
        case .closed: return false
        case .connecting: break
        case .handshaking(let tls): ct_tls_free(tls)
        case .open(let tls):
            guard let tls else { break }
            ct_tls_shutdown(tls)
            ct_tls_free(tls)
        }
        state = .closed
        context = nil
        timer?.cancel()
        timer = nil
        waiting = []
        uv_poll_stop(watcher)
        watcher.pointee.data = nil
        uv_close(UnsafeMutableRawPointer(watcher).assumingMemoryBound(to: uv_handle_t.self)) { handle in
            UnsafeMutableRawPointer(handle)?.deallocate()
        }
        _ = Glibc.close(descriptor)
        return true
    }

    // MARK: Bytes

    private func flush() {
        writeWantsRead = false
        while case .open(let tls) = state, !waiting.isEmpty {
            let sent = waiting.withUnsafeBytes { bytes in
                tls.map { ct_tls_write($0, bytes.baseAddress, bytes.count) }
                    ?? Self.plainResult(ct_send(descriptor, bytes.baseAddress, bytes.count), CT_TLS_WANTS_WRITE)
            }
            if sent > 0 {
                waiting.removeFirst(sent)
                continue
            }
            if sent == Int(CT_TLS_WANTS_READ.rawValue) { writeWantsRead = true }
            if sent != Int(CT_TLS_WANTS_READ.rawValue), sent != Int(CT_TLS_WANTS_WRITE.rawValue) {
                // What the server said before it hung up is still to be read, and the reading finds its end.
                waiting = []
            }
            break
        }
        rewatch()
    }

    private func read() {
        readWantsWrite = false
        withUnsafeTemporaryAllocation(byteCount: Self.readBytes, alignment: 16) { room in
            for turn in 0..<Self.readsMost {
                guard case .open(let tls) = state, isReading else { return }
                let got =
                    tls.map { ct_tls_read($0, room.baseAddress, room.count) }
                    ?? Self.plainResult(ct_receive(descriptor, room.baseAddress, room.count), CT_TLS_WANTS_READ)
                switch got {
                case 1...:
                    handler.received(UnsafeRawBufferPointer(rebasing: room[..<got]), from: self, on: loop)
                    // TLS may hold more than the kernel shows: nobody would wake us for it.
                    if turn == Self.readsMost - 1 { tls == nil ? rewatch() : readSoon() }
                case Int(CT_TLS_WANTS_READ.rawValue): return rewatch()
                case Int(CT_TLS_WANTS_WRITE.rawValue):
                    readWantsWrite = true
                    return rewatch()
                default: return fail("connection lost")
                }
            }
        }
    }

    /// Reads on when the others had their turn: a timer of no time would come before them, again and again.
    private func readSoon() {
        guard !readsSoon else { return }
        readsSoon = true
        loop.soon { [weak self] in
            guard let self else { return }
            readsSoon = false
            read()
        }
    }

    /// A plain socket's answer in the words of the TLS calls.
    private static func plainResult(_ count: Int, _ nothing: ct_tls_result) -> Int {
        count > 0 ? count : count == 0 ? Int(nothing.rawValue) : Int(CT_TLS_FAILED.rawValue)
    }

    private func rewatch() {
        guard case .open = state else { return }
        var events: UInt32 = 0
        if isReading || writeWantsRead { events |= UV_READABLE.rawValue }
        if !waiting.isEmpty && !writeWantsRead || readWantsWrite { events |= UV_WRITABLE.rawValue }
        watch(events)
    }

    private func watch(_ events: UInt32) {
        guard events != watched else { return }
        watched = events
        guard events != 0 else {
            uv_poll_stop(watcher)
            return
        }
        uv_poll_start(watcher, Int32(events)) { watcher, status, events in
            guard let data = watcher?.pointee.data else { return }
            let client = Unmanaged<RawClient>.fromOpaque(data).takeUnretainedValue()
            let loop = client.loop
            client.ready(status, UInt32(events))
            loop.updateTime()
        }
    }

    private static func text(_ problem: [CChar]) -> String {
        String(decoding: problem.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    public static func == (one: RawClient, other: RawClient) -> Bool { one === other }
    public func hash(into hasher: inout Hasher) { hasher.combine(ObjectIdentifier(self)) }
}

/// What connections that trust the same authorities share: the system's take 20 ms to read, and more memory than a connection.
final class ClientTLSContext {
    let pointer: UnsafeMutableRawPointer

    init(_ pointer: UnsafeMutableRawPointer) {
        self.pointer = pointer
    }

    deinit { ct_tls_context_free(pointer) }
}

extension IOLoop {
    /// Authorities are read once a loop; a certificate of our own for every connection, because it is renewed.
    fileprivate func clientTLSContext(_ settings: RawClientSettings, _ problem: inout [CChar]) -> ClientTLSContext? {
        let isShared = settings.certificate == nil
        if isShared, let context = clientTLSContexts[settings.authoritiesPath] { return context }
        let made = ct_tls_client_context(
            settings.authoritiesPath,
            settings.certificate?.certificatePath,
            settings.certificate?.keyPath,
            &problem
        )
        guard let context = made.map(ClientTLSContext.init) else { return nil }
        if isShared { clientTLSContexts[settings.authoritiesPath] = context }
        return context
    }

    /// Begins a raw connection to a server; everything that happens is told later, never within this call.
    ///
    /// - Returns: the connection, which the loop keeps until it ends; nil when the loop is ending.
    /// - Throws: ``TransportError/address(host:)`` or ``TransportError/system(operation:code:)`` when it cannot even begin.
    public func connectRaw(
        _ settings: RawClientSettings,
        handler: any RawClientHandler
    ) throws(TransportError) -> RawClient? {
        guard isServing else { return nil }
        let host = settings.server.address ?? settings.server.host
        let descriptor = ct_connect(host, settings.server.port)
        guard descriptor >= 0 else {
            if -descriptor == EADDRNOTAVAIL { throw .address(host: host) }
            throw .system(operation: "connect to \(host):\(settings.server.port)", code: -descriptor)
        }
        let client = RawClient(settings, descriptor: descriptor, handler: handler, on: self)
        rawClients.insert(client)
        return client
    }
}
