internal import CLibUV
internal import Glibc

/// Who hears of a ``StreamSocket``; always on the loop's thread.
public protocol StreamSocketHandler: AnyObject {
    func connected(_ socket: StreamSocket)
    /// Bytes as they came, cut anywhere; valid during the call only.
    func received(_ bytes: UnsafeRawBufferPointer, from socket: StreamSocket)
    /// It could not connect, or the connection ended; told once, and not after ``LoopSocket/close()``.
    func ended(_ socket: StreamSocket, reason: String)
}

/// A TCP connection that the loop makes itself: bytes in both directions, nothing else.
public final class StreamSocket: LoopSocket {
    private let handle = UnsafeMutablePointer<uv_tcp_t>.allocate(capacity: 1)
    private weak var handler: (any StreamSocketHandler)?
    /// What the kernel has not taken yet, in the hands of libuv.
    private var unsentBytes = 0
    /// A receiver that takes so little is given up.
    public static let unsentBytesMost = 1 << 20

    override var base: UnsafeMutablePointer<uv_handle_t> {
        UnsafeMutableRawPointer(handle).assumingMemoryBound(to: uv_handle_t.self)
    }

    private init(on loop: IOLoop, handler: any StreamSocketHandler) {
        self.handler = handler
        super.init(on: loop)
    }

    /// Starts to connect to a host given in numbers; everything else is told later.
    ///
    /// How long connecting may take is the caller's to decide: the system's own patience is minutes.
    public static func connect(
        to host: String,
        port: UInt16,
        on loop: IOLoop,
        handler: any StreamSocketHandler
    ) throws(TransportError) -> StreamSocket {
        let socket = StreamSocket(on: loop, handler: handler)
        let made = uv_tcp_init(loop.uv, socket.handle)
        guard made == 0 else {
            socket.handle.deallocate()
            throw .uv("make a TCP socket", made)
        }
        socket.keep()
        uv_tcp_nodelay(socket.handle, 1)
        let request = UnsafeMutablePointer<uv_connect_t>.allocate(capacity: 1)
        let begun = withAddress(host, port) { address in
            uv_tcp_connect(request, socket.handle, address) { request, status in
                guard let request else { return }
                let data = request.pointee.handle?.pointee.data
                request.deallocate()
                // Closed meanwhile.
                guard let socket: StreamSocket = LoopSocket.of(data) else { return }
                socket.connectEnded(status)
            }
        }
        guard begun == 0 else {
            request.deallocate()
            socket.close()
            throw begun.map { .uv("connect to \(host)", $0) } ?? .address(host: host)
        }
        return socket
    }

    private func connectEnded(_ status: Int32) {
        guard status == 0 else { return end(describe(uv: status)) }
        let stream = UnsafeMutableRawPointer(handle).assumingMemoryBound(to: uv_stream_t.self)
        let started = uv_read_start(stream, Self.allocate) { stream, count, buffer in
            guard let socket: StreamSocket = LoopSocket.of(stream?.pointee.data) else { return }
            socket.arrived(count, buffer)
        }
        guard started == 0 else { return end(describe(uv: started)) }
        handler?.connected(self)
        loop.updateTime()
    }

    private func arrived(_ count: Int, _ buffer: UnsafePointer<uv_buf_t>?) {
        if count == 0 { return }
        guard count > 0, let start = buffer?.pointee.base else {
            return end(count == Int(UV_EOF.rawValue) ? "the peer hung up" : describe(uv: Int32(count)))
        }
        handler?.received(UnsafeRawBufferPointer(start: start, count: count), from: self)
        loop.updateTime()
    }

    private func end(_ reason: String) {
        guard !isClosed else { return }
        let handler = handler
        close()
        handler?.ended(self, reason: reason)
    }

    /// Stops or resumes reading; meanwhile the sender fills the kernel's buffers and then waits.
    public func setReading(_ isReading: Bool) {
        guard !isClosed else { return }
        let stream = UnsafeMutableRawPointer(handle).assumingMemoryBound(to: uv_stream_t.self)
        guard isReading else {
            uv_read_stop(stream)
            return
        }
        _ = uv_read_start(stream, Self.allocate) { stream, count, buffer in
            guard let socket: StreamSocket = LoopSocket.of(stream?.pointee.data) else { return }
            socket.arrived(count, buffer)
        }
    }

    /// A write under way, with its bytes behind it.
    private struct Write {
        var request = uv_write_t()
        var count = 0
    }

    /// Sends bytes in order; false when they cannot be, and the connection is of no use then.
    @discardableResult
    public func send(_ bytes: [UInt8]) -> Bool {
        guard !isClosed, unsentBytes + bytes.count <= Self.unsentBytesMost else { return false }
        let size = MemoryLayout<Write>.stride
        let memory = UnsafeMutableRawPointer.allocate(byteCount: size + bytes.count, alignment: 16)
        let write = memory.initializeMemory(as: Write.self, to: Write(count: bytes.count))
        bytes.withUnsafeBytes { bytes in
            if let start = bytes.baseAddress { (memory + size).copyMemory(from: start, byteCount: bytes.count) }
        }
        var buffer = uv_buf_init((memory + size).assumingMemoryBound(to: CChar.self), UInt32(bytes.count))
        let stream = UnsafeMutableRawPointer(handle).assumingMemoryBound(to: uv_stream_t.self)
        let request = UnsafeMutableRawPointer(write).assumingMemoryBound(to: uv_write_t.self)
        let begun = uv_write(request, stream, &buffer, 1) { request, status in
            guard let request else { return }
            let count = UnsafeMutableRawPointer(request).load(as: Write.self).count
            let data = request.pointee.handle?.pointee.data
            UnsafeMutableRawPointer(request).deallocate()
            guard let socket: StreamSocket = LoopSocket.of(data) else { return }
            socket.unsentBytes -= count
            if status != 0 { socket.end(describe(uv: status)) }
        }
        guard begun == 0 else {
            memory.deallocate()
            return false
        }
        unsentBytes += bytes.count
        return true
    }
}
