import Glibc

/// Tells systemd how the service is (sd_notify's protocol: a datagram to the socket named in NOTIFY_SOCKET).
///
/// Silent where nobody asked to be told.
package struct SystemdNotifier {
    private let address: String?
    /// How often systemd wants a sign of life, nanoseconds; nil when it wants none.
    package let watchdogNs: Int64?

    package init(environment: [String: String]) {
        address = environment["NOTIFY_SOCKET"]
        let isForUs = environment["WATCHDOG_PID"].map { $0 == String(getpid()) } ?? true
        watchdogNs = isForUs ? environment["WATCHDOG_USEC"].flatMap { Int64($0) }.map { $0 * 1000 / 2 } : nil
    }

    /// Sends lines such as `READY=1`, `STOPPING=1`, `WATCHDOG=1`, `STATUS=...`.
    package func notify(_ lines: String) {
        guard let address, address.utf8.count < 108, let first = address.utf8.first else { return }
        let socket = Glibc.socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard socket >= 0 else { return }
        defer { Glibc.close(socket) }
        var name = sockaddr_un()
        name.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &name.sun_path) { path in
            path.copyBytes(from: address.utf8)
            // An abstract socket is written with @ and begins with a zero byte.
            if first == UInt8(ascii: "@") { path[0] = 0 }
        }
        let length = MemoryLayout<sa_family_t>.size + address.utf8.count
        let text = Array(lines.utf8)
        _ = withUnsafePointer(to: &name) { name in
            name.withMemoryRebound(to: sockaddr.self, capacity: 1) { name in
                sendto(socket, text, text.count, Int32(MSG_NOSIGNAL), name, socklen_t(length))
            }
        }
    }
}
