internal import CLibUV
internal import Glibc

/// A UDP socket that hears one address, of a multicast group or of this machine, and can answer from it.
///
/// libuv reads it, without libwebsockets. It belongs to its loop's thread, lives until ``close()`` or the loop's end, and calls
/// nobody after that.
public final class DatagramSocket {
    private unowned let loop: IOLoop
    private var isClosed = false
    private let handle = UnsafeMutablePointer<uv_udp_t>.allocate(capacity: 1)
    private let received: (UnsafeRawBufferPointer) -> Void
    /// The port it really has.
    public private(set) var port: UInt16 = 0
    /// Datagrams that were longer than any of IP can be read, or that the kernel gave with an error.
    public private(set) var faults = 0

    /// Room for what is read: it is handed on before the next read.
    private let room = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 16)

    private var base: UnsafeMutablePointer<uv_handle_t> {
        UnsafeMutableRawPointer(handle).assumingMemoryBound(to: uv_handle_t.self)
    }

    private init(on loop: IOLoop, received: @escaping (UnsafeRawBufferPointer) -> Void) {
        self.loop = loop
        self.received = received
    }

    deinit { room.deallocate() }

    /// Hears `host`:`port` from now on.
    ///
    /// `host` is in numbers, of a multicast group, which is then joined on the interface with the address `interface` (empty lets the
    /// system choose), or of this machine. `receiveBufferBytes` is what the kernel keeps for a loop that is busy; 0 leaves its own
    /// measure. `received` gets each datagram, valid during the call, and may close the socket.
    public static func open(
        on loop: IOLoop,
        host: String,
        port: UInt16,
        interface: String = "",
        receiveBufferBytes: Int32 = 0,
        received: @escaping (UnsafeRawBufferPointer) -> Void
    ) throws(TransportError) -> DatagramSocket {
        let socket = DatagramSocket(on: loop, received: received)
        let made = uv_udp_init(loop.uv, socket.handle)
        guard made == 0 else {
            socket.handle.deallocate()
            throw .uv("make a UDP socket", made)
        }
        socket.base.pointee.data = Unmanaged.passUnretained(socket).toOpaque()
        loop.datagramSockets[ObjectIdentifier(socket)] = socket
        do throws(TransportError) {
            try socket.bind(host, port, interface, receiveBufferBytes)
        } catch {
            socket.close()
            throw error
        }
        return socket
    }

    private func bind(
        _ host: String,
        _ port: UInt16,
        _ interface: String,
        _ receiveBufferBytes: Int32
    ) throws(TransportError) {
        // Several hubs of one machine may listen to a group.
        let isGroup = Self.isMulticast(host)
        let flags = isGroup ? UInt32(UV_UDP_REUSEADDR.rawValue) : 0
        guard let bound = withAddress(host, port, { uv_udp_bind(handle, $0, flags) }) else {
            throw .address(host: host)
        }
        guard bound == 0 else {
            throw bound == Int32(UV_EADDRINUSE.rawValue)
                ? .portBusy(host: host, port: port) : .uv("bind \(host)", bound)
        }
        if isGroup {
            let joined = uv_udp_set_membership(handle, host, interface.isEmpty ? nil : interface, UV_JOIN_GROUP)
            guard joined == 0 else { throw .uv("join the group \(host)", joined) }
        }
        if receiveBufferBytes > 0 {
            var size = receiveBufferBytes
            // Less than wanted is what the system allows; it is no reason not to listen.
            _ = uv_recv_buffer_size(base, &size)
        }
        let allocate: uv_alloc_cb = { handle, _, buffer in
            guard let room = DatagramSocket.of(handle?.pointee.data)?.room else { return }
            buffer?.pointee = uv_buf_init(room.baseAddress?.assumingMemoryBound(to: CChar.self), UInt32(room.count))
        }
        let started = uv_udp_recv_start(handle, allocate) { handle, count, buffer, address, flags in
            DatagramSocket.of(handle?.pointee.data)?.arrived(count, buffer, isEmpty: address == nil, flags)
        }
        guard started == 0 else { throw .uv("read from \(host)", started) }
        self.port = ownPort()
    }

    private func arrived(_ count: Int, _ buffer: UnsafePointer<uv_buf_t>?, isEmpty: Bool, _ flags: UInt32) {
        // Without an address there was nothing to read.
        if count == 0, isEmpty { return }
        guard count >= 0, flags & UInt32(UV_UDP_PARTIAL.rawValue) == 0, let start = buffer?.pointee.base else {
            faults += 1
            return
        }
        received(UnsafeRawBufferPointer(start: start, count: count))
        loop.updateTime()
    }

    /// Sends a datagram; false when the kernel does not take it now, and then it is lost.
    @discardableResult
    public func send(_ bytes: [UInt8], to host: String, port: UInt16) -> Bool {
        guard !isClosed else { return false }
        var copy = bytes
        let sent = copy.withUnsafeMutableBytes { bytes -> Int32? in
            var buffer = uv_buf_init(
                bytes.baseAddress?.assumingMemoryBound(to: CChar.self),
                UInt32(bytes.count)
            )
            return withAddress(host, port) { uv_udp_try_send(handle, &buffer, 1, $0) }
        }
        return (sent ?? -1) >= 0
    }

    /// Ends it; nothing is told of it any more.
    public func close() {
        guard !isClosed else { return }
        isClosed = true
        loop.datagramSockets[ObjectIdentifier(self)] = nil
        // Freed by libuv when it has let go.
        base.pointee.data = nil
        uv_close(base) { handle in UnsafeMutableRawPointer(handle)?.deallocate() }
    }

    private static func of(_ data: UnsafeMutableRawPointer?) -> DatagramSocket? {
        data.map { Unmanaged<DatagramSocket>.fromOpaque($0).takeUnretainedValue() }
    }

    private func ownPort() -> UInt16 {
        var address = sockaddr_storage()
        var size = Int32(MemoryLayout<sockaddr_storage>.size)
        return withUnsafeMutablePointer(to: &address) { address in
            address.withMemoryRebound(to: sockaddr.self, capacity: 1) { _ = uv_udp_getsockname(handle, $0, &size) }
            return address.withMemoryRebound(to: sockaddr_in.self, capacity: 1) {
                UInt16(bigEndian: $0.pointee.sin_port)
            }
        }
    }

    /// 224.0.0.0/4 and ff00::/8.
    private static func isMulticast(_ host: String) -> Bool {
        var four = in_addr()
        if inet_pton(AF_INET, host, &four) == 1 { return UInt32(bigEndian: four.s_addr) >> 28 == 0xE }
        return host.lowercased().hasPrefix("ff")
    }
}

extension TransportError {
    fileprivate static func uv(_ operation: String, _ code: Int32) -> TransportError {
        .system(operation: operation, code: -code)
    }
}

/// A socket address in numbers; nil when it is none.
private func withAddress<Result>(
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
