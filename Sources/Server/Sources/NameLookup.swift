import Glibc

/// Looks a host's addresses up on a thread of its own: the resolver may take many seconds, and a feed thread has none.
///
/// Whoever asked looks at ``answer`` now and then; nobody need wait for the thread, which keeps nothing but this.
package final class NameLookup: Sendable {
    package enum Answer: Hashable, Sendable {
        /// In the resolver's order, at least one.
        case addresses([String])
        case failed(reason: String)
    }

    private let found = Guarded<Answer?>(nil)

    /// Nil while the resolver is at work.
    package var answer: Answer? { found.withLock { $0 } }

    package init(host: String) {
        let found = found
        JoinableThread(name: "lookup") {
            let answer = Self.ask(host)
            found.withLock { $0 = answer }
        }
        .detach()
    }

    /// Whether a host is an address already, and nobody need be asked.
    package static func isAddress(_ host: String) -> Bool {
        var room = in6_addr()
        return inet_pton(AF_INET, host, &room) == 1 || inet_pton(AF_INET6, host, &room) == 1
    }

    private static func ask(_ host: String) -> Answer {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_ADDRCONFIG
        var list: UnsafeMutablePointer<addrinfo>?
        let status = getaddrinfo(host, nil, &hints, &list)
        guard status == 0 else { return .failed(reason: String(cString: gai_strerror(status))) }
        defer { freeaddrinfo(list) }
        var addresses: [String] = []
        var next = list
        while let entry = next {
            var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
            let size = socklen_t(text.count)
            if getnameinfo(entry.pointee.ai_addr, entry.pointee.ai_addrlen, &text, size, nil, 0, NI_NUMERICHOST) == 0 {
                addresses.append(String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self))
            }
            next = entry.pointee.ai_next
        }
        return addresses.isEmpty ? .failed(reason: "no address") : .addresses(addresses)
    }
}
