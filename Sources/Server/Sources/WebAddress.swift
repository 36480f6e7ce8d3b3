import Transport

/// An address as venues and Config write it: `wss://host[:port][/path][?query]`.
package struct WebAddress: Hashable {
    package var isTLS: Bool
    package var host: String
    package var port: UInt16
    /// With the query; empty where the address ends with the host.
    package var path: String

    /// Nil for anything but ws, wss, http and https with a host, and where a space or a control character stands in it.
    package init?(_ text: String) {
        let schemes: [(prefix: String, isTLS: Bool, port: UInt16)] = [
            ("wss://", true, 443), ("https://", true, 443), ("ws://", false, 80), ("http://", false, 80),
        ]
        guard let scheme = schemes.first(where: { text.hasPrefix($0.prefix) }) else { return nil }
        let rest = text.dropFirst(scheme.prefix.count)
        let end = rest.utf8.firstIndex { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "?") } ?? rest.endIndex
        let (name, portText) = ConfigurationRule.hostAndPort(rest[..<end])
        guard ConfigurationRule.isHostName(name), rest[end...].utf8.allSatisfy({ (0x21...0x7E).contains($0) })
        else { return nil }
        if let portText {
            guard portText.first != "+", let number = UInt16(portText) else { return nil }
            port = number
        } else {
            port = scheme.port
        }
        isTLS = scheme.isTLS
        host = name
        path = String(rest[end...])
    }

    /// As it is written, with the port.
    package var text: String {
        let name = host.contains(":") ? "[\(host)]" : host
        return "\(isTLS ? "wss" : "ws")://\(name):\(port)\(path)"
    }

    /// The same resource at another server; a path of the other comes first.
    package func moved(to other: WebAddress?) -> WebAddress {
        guard let other else { return self }
        var moved = other
        moved.path = other.path == "/" || other.path.isEmpty ? path : other.path + path
        return moved
    }

    var server: ServerAddress {
        ServerAddress(host: host, port: port, path: path.isEmpty ? "/" : path, isTLS: isTLS)
    }
}
