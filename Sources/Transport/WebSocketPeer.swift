internal import CTransport
internal import Glibc

/// The hub's end of an established WebSocket: its descriptor and TLS, what came of a frame that is not whole yet, and what the
/// kernel has not taken of a write.
///
/// libwebsockets accepts connections, does the TLS handshake and reads the request; at 101 the socket is taken from it. Why: decision 7.
final class WebSocketPeer {
    enum Outcome {
        /// The kernel has it.
        case sent
        /// A remainder waits; the loop is told when there is room for it.
        case waits
        /// The connection is lost.
        case failed
    }

    // What a write looks at comes first, in one line of memory.
    let descriptor: Int32
    /// Nothing more that the client sends counts: it has said goodbye, or cannot be understood.
    var isDiscarding = false
    private var restStart = 0
    private var rest: [UInt8] = []
    private var tls: UnsafeMutableRawPointer?
    /// Frames of the client.
    var reader: WebSocketFrameReader
    /// A pong that comes behind ``rest``: the newest, as RFC 6455 section 5.5.3 allows.
    private var waitingPong: [UInt8] = []
    private var isWatchingForRoom = false

    init(descriptor: Int32, tls: UnsafeMutableRawPointer?, reader: WebSocketFrameReader) {
        self.descriptor = descriptor
        self.tls = tls
        self.reader = reader
    }

    /// Whether something waits for the client to read.
    var isWaiting: Bool { restStart < rest.count || !waitingPong.isEmpty }

    /// Goes on with TLS, which libwebsockets has let go.
    func resumeTLS() {
        if let tls { ct_tls_resume(tls, descriptor) }
    }

    /// Sends whole frames; call only while nothing waits.
    func write(_ bytes: UnsafeRawBufferPointer) -> Outcome {
        precondition(restStart == rest.count, "a write overtakes another")
        var start = 0
        while start < bytes.count {
            let sent = send(UnsafeRawBufferPointer(rebasing: bytes[start...]))
            if sent < 0 { return .failed }
            if sent == 0 { break }
            start += sent
        }
        guard start < bytes.count else { return .sent }
        rest = Array(bytes[start...])
        restStart = 0
        return .waits
    }

    /// Sends answers to pings, of those that have to wait the newest alone.
    func pong(_ frames: [UInt8]) -> Outcome {
        guard isWaiting else { return frames.withUnsafeBytes { write($0) } }
        waitingPong = frames.withUnsafeBytes { frames in
            var start = 0
            while true {
                let rest = UnsafeRawBufferPointer(rebasing: frames[start...])
                let count = WebSocketFrame.wholeFrames(in: rest, most: 1)
                guard count < rest.count else { return Array(rest) }
                start += count
            }
        }
        return .waits
    }

    /// Sends on of what waits.
    func flush() -> Outcome {
        while restStart < rest.count {
            let sent = rest.withUnsafeBytes { send(UnsafeRawBufferPointer(rebasing: $0[restStart...])) }
            if sent < 0 { return .failed }
            if sent == 0 { return .waits }
            restStart += sent
        }
        rest = []
        restStart = 0
        guard !waitingPong.isEmpty else { return .sent }
        let frame = waitingPong
        waitingPong = []
        return frame.withUnsafeBytes { write($0) }
    }

    /// - Returns: how many bytes came; 0 when there are none now, a negative number at the end.
    func receive(into room: UnsafeMutableRawBufferPointer) -> Int {
        guard let tls else { return ct_receive(descriptor, room.baseAddress, room.count) }
        let got = ct_tls_read(tls, room.baseAddress, room.count)
        // What TLS has to write of its own goes with the next write.
        let isNothing = got == CT_TLS_WANTS_READ.rawValue || got == CT_TLS_WANTS_WRITE.rawValue
        return isNothing ? 0 : got
    }

    /// Says, on TLS and on TCP, that nothing more will be sent.
    func endWriting() {
        if let tls { ct_tls_shutdown(tls) }
        ct_end_of_writing(descriptor)
    }

    /// Begins to be watched under its identity.
    /// - Returns: whether the kernel could.
    func watch(by set: Int32, as id: ConnectionID) -> Bool {
        ct_epoll_add(set, descriptor, CT_READABLE.rawValue, UInt64(UInt(bitPattern: id.packed))) == 0
    }

    /// Is told of room as long as something waits.
    func watchForRoom(by set: Int32, as id: ConnectionID) {
        guard isWaiting != isWatchingForRoom else { return }
        isWatchingForRoom = isWaiting
        let wanted = CT_READABLE.rawValue | (isWaiting ? CT_WRITABLE.rawValue : 0)
        _ = ct_epoll_change(set, descriptor, wanted, UInt64(UInt(bitPattern: id.packed)))
    }

    /// Gives everything back; the connection ends.
    func end() {
        if let tls {
            ct_tls_shutdown(tls)
            ct_tls_free(tls)
        }
        tls = nil
        _ = Glibc.close(descriptor)
    }

    /// - Returns: bytes taken; 0 when there is no room, a negative number when the connection is lost.
    private func send(_ bytes: UnsafeRawBufferPointer) -> Int {
        guard let tls else { return ct_send(descriptor, bytes.baseAddress, bytes.count) }
        let sent = ct_tls_write(tls, bytes.baseAddress, bytes.count)
        // TLS that must read first goes on when that has been read, by the next flush.
        let isFull = sent == CT_TLS_WANTS_WRITE.rawValue || sent == CT_TLS_WANTS_READ.rawValue
        return isFull ? 0 : sent
    }
}
