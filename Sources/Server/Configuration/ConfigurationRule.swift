/// Rules that texts in the configuration follow.
package enum ConfigurationRule {
    /// A complaint unless it is an IP address in numbers.
    static func address(_ text: String, _ path: String) -> [ConfigurationComplaint] {
        guard text.contains("/") || AddressRange(text) == nil else { return [] }
        return [
            ConfigurationComplaint(
                path,
                "is \(JSONText.quoted(text)); write an IP address in numbers, such as 127.0.0.1 or 0.0.0.0"
            )
        ]
    }

    /// A complaint for each text that is neither an IP address nor a range of them.
    static func addressRanges(_ texts: [String], _ path: String) -> [ConfigurationComplaint] {
        texts.enumerated().filter { AddressRange($0.element) == nil }.map { index, text in
            ConfigurationComplaint(
                "\(path)[\(index)]",
                "is \(JSONText.quoted(text)); write an IP address or a range, such as 192.168.1.7 or 10.0.0.0/8"
            )
        }
    }

    /// A complaint for each text that is none of those known.
    static func names(_ texts: [String], _ path: String, among known: [String]) -> [ConfigurationComplaint] {
        texts.enumerated().filter { !known.contains($0.element) }.map { index, text in
            ConfigurationComplaint(
                "\(path)[\(index)]",
                "is \(JSONText.quoted(text)); it must be one of \(known.joined(separator: ", "))"
            )
        }
    }

    /// A complaint unless it is empty, of the secure scheme, or of the plain one to this machine.
    static func url(_ text: String, _ path: String, secure: String, plain: String) -> [ConfigurationComplaint] {
        guard !text.isEmpty else { return [] }
        if let rest = rest(of: text, after: "\(secure)://"), host(ofURL: rest) != nil { return [] }
        if let rest = rest(of: text, after: "\(plain)://"), let host = host(ofURL: rest) {
            if host == "localhost" || host == "::1" || loopback?.contains(address: host) == true { return [] }
        }
        return [
            ConfigurationComplaint(
                path,
                "is \(JSONText.quoted(text)); it must be \(secure)://host[:port]/path (\(plain):// only to this machine)"
            )
        ]
    }

    private static let loopback = AddressRange("127.0.0.0/8")

    /// The host of what stands behind `://`; nil when there is none, a user is named, or the port is no port.
    private static func host(ofURL rest: Substring) -> String? {
        let (host, port) = hostAndPort(rest.prefix { !"/?#".contains($0) })
        if let port, UInt16(port) == nil { return nil }
        return isHostName(host) ? host : nil
    }

    static func isOrigin(_ text: String) -> Bool {
        guard let rest = rest(of: text, after: "https://") ?? rest(of: text, after: "http://") else { return false }
        let (host, port) = hostAndPort(rest)
        if let port, UInt16(port) == nil { return false }
        return isHostName(String(host))
    }

    /// A name or address as the Host header has it, without port.
    static func isHostName(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.count <= 253 && (isName(text) || text.contains(":") && AddressRange(text) != nil)
    }

    private static func isName(_ text: String) -> Bool {
        text.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"): true
            default: false
            }
        }
    }

    /// Splits `name:port`, `[::1]:port` and both without port.
    static func hostAndPort(_ authority: some StringProtocol) -> (host: String, port: String?) {
        if authority.hasPrefix("["), let end = authority.firstIndex(of: "]") {
            let host = authority[authority.index(after: authority.startIndex)..<end]
            let rest = authority[authority.index(after: end)...]
            return (String(host), rest.hasPrefix(":") ? String(rest.dropFirst()) : rest.isEmpty ? nil : "")
        }
        guard let colon = authority.lastIndex(of: ":") else { return (String(authority), nil) }
        return (String(authority[..<colon]), String(authority[authority.index(after: colon)...]))
    }

    private static func rest(of text: String, after prefix: String) -> Substring? {
        text.hasPrefix(prefix) ? text.dropFirst(prefix.count) : nil
    }
}
