import Transport

/// An address as venues and Config write it: `wss://host[:port][/path][?query]`.
struct WebAddress: Hashable {
    var isTLS: Bool
    var host: String
    var port: UInt16
    /// With the query; empty where the address ends with the host.
    var path: String

    /// Nil for anything but ws, wss, http and https with a host.
    init?(_ text: String) {
        let schemes: [(prefix: String, isTLS: Bool, port: UInt16)] = [
            ("wss://", true, 443), ("https://", true, 443), ("ws://", false, 80), ("http://", false, 80),
        ]
        guard let scheme = schemes.first(where: { text.hasPrefix($0.prefix) }) else { return nil }
        let rest = text.dropFirst(scheme.prefix.count)
        let end = rest.firstIndex { $0 == "/" || $0 == "?" } ?? rest.endIndex
        let authority = rest[..<end]
        var (name, portText): (Substring, Substring?) = (authority, nil)
        if let colon = authority.lastIndex(of: ":"), !authority.hasSuffix("]") {
            (name, portText) = (authority[..<colon], authority[authority.index(after: colon)...])
        }
        if name.hasPrefix("["), name.hasSuffix("]") { name = name.dropFirst().dropLast() }
        guard !name.isEmpty else { return nil }
        if let portText {
            guard let number = UInt16(portText) else { return nil }
            port = number
        } else {
            port = scheme.port
        }
        isTLS = scheme.isTLS
        host = String(name)
        path = String(rest[end...])
    }

    /// The same resource at another server; a path of the other comes first.
    func moved(to other: WebAddress?) -> WebAddress {
        guard let other else { return self }
        var moved = other
        moved.path = other.path == "/" || other.path.isEmpty ? path : other.path + path
        return moved
    }

    var server: ServerAddress {
        ServerAddress(host: host, port: port, path: path.isEmpty ? "/" : path, isTLS: isTLS)
    }
}
