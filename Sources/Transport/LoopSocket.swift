internal import CLibUV
internal import Glibc

/// A socket that libuv itself reads, without libwebsockets: for venues that speak neither HTTP nor WebSocket.
///
/// It belongs to its loop's thread, lives until ``close()`` or the loop's end, and calls nobody after that.
public class LoopSocket {
    unowned let loop: IOLoop
    private(set) var isClosed = false

    init(on loop: IOLoop) {
        self.loop = loop
    }

    /// The handle at the beginning of what subclasses allocate.
    var base: UnsafeMutablePointer<uv_handle_t> { fatalError("a socket without a handle") }

    /// Room for what is read, shared by all sockets of a class of one size: it is handed on before the next read.
    private let room = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 16)

    deinit { room.deallocate() }

    func keep() {
        base.pointee.data = Unmanaged.passUnretained(self).toOpaque()
        loop.loopSockets[ObjectIdentifier(self)] = self
    }

    static func of<Socket: LoopSocket>(_ data: UnsafeMutableRawPointer?, _ type: Socket.Type = Socket.self) -> Socket? {
        guard let data else { return nil }
        return Unmanaged<LoopSocket>.fromOpaque(data).takeUnretainedValue() as? Socket
    }

    static let allocate: uv_alloc_cb = { handle, _, buffer in
        guard let socket = LoopSocket.of(handle?.pointee.data) else { return }
        buffer?.pointee = uv_buf_init(
            socket.room.baseAddress?.assumingMemoryBound(to: CChar.self),
            UInt32(socket.room.count)
        )
    }

    /// Ends it; nothing is told of it any more.
    public func close() {
        guard !isClosed else { return }
        isClosed = true
        loop.loopSockets[ObjectIdentifier(self)] = nil
        // Freed by libuv when it has let go.
        base.pointee.data = nil
        uv_close(base) { handle in UnsafeMutableRawPointer(handle)?.deallocate() }
    }
}

/// The error of libuv in words.
func describe(uv code: Int32) -> String { String(cString: uv_strerror(code)) }

extension TransportError {
    static func uv(_ operation: String, _ code: Int32) -> TransportError {
        .system(operation: operation, code: -code)
    }
}

/// A socket address in numbers; nil when it is none.
func withAddress<Result>(
    _ host: String,
    _ port: UInt16,
    _ body: (UnsafePointer<sockaddr>) -> Result
) -> Result? {
    var four = sockaddr_in()
    if uv_ip4_addr(host, Int32(port), &four) == 0 {
        return withUnsafePointer(to: four) { $0.withMemoryRebound(to: sockaddr.self, capacity: 1, body) }
    }
    var six = sockaddr_in6()
    guard uv_ip6_addr(host, Int32(port), &six) == 0 else { return nil }
    return withUnsafePointer(to: six) { $0.withMemoryRebound(to: sockaddr.self, capacity: 1, body) }
}
