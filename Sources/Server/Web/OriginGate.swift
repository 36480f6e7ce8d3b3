package import Transport

/// Whether a request comes from a page of ours, or from no page at all.
///
/// Stops foreign pages from using a visitor's access (cross-site WebSocket hijacking) and from reaching the hub under a name of
/// theirs (DNS rebinding).
package struct OriginGate: Sendable {
    package enum Judgement: Sendable {
        case own
        case foreignHost
        case foreignOrigin
    }

    static let foreignHostText = "The Host header names another server; add the name to listen.hosts if it is this one."
    static let foreignOriginText = "Pages of this origin may not connect; add it to listen.origins if they should."

    private let origins: Set<String>
    private let hosts: Set<String>

    /// - Parameters:
    ///   - origins: web origins that may connect besides our own page's.
    ///   - hosts: names that are ours besides localhost and addresses in numbers.
    package init(origins: [String], hosts: [String]) {
        self.origins = Set(origins.map { $0.lowercased() })
        self.hosts = Set(hosts.map { $0.lowercased() }).union(["localhost"])
    }

    package func judge(_ request: HTTPRequest) -> Judgement {
        judge(host: request.header("host") ?? "", origin: request.header("origin"))
    }

    package func judge(host: String, origin: String?) -> Judgement {
        let host = host.lowercased()
        guard isOwn(host: Self.name(of: host)) else { return .foreignHost }
        guard let origin = origin?.lowercased() else { return .own }
        // Behind a proxy that ends TLS the page's origin is https although the hub sees plain HTTP: the host decides.
        let isOwnPage = origin == "http://" + host || origin == "https://" + host
        return isOwnPage || origins.contains(origin) ? .own : .foreignOrigin
    }

    private func isOwn(host: some StringProtocol) -> Bool {
        hosts.contains(String(host)) || Self.isAddress(host)
    }

    /// The host without its port.
    private static func name(of host: String) -> Substring {
        if host.hasPrefix("["), let end = host.firstIndex(of: "]") { return host[...end] }
        guard let colon = host.lastIndex(of: ":") else { return host[...] }
        return host[..<colon]
    }

    /// Whether it is an address in numbers: no name, so no rebinding.
    private static func isAddress(_ host: some StringProtocol) -> Bool {
        if host.hasPrefix("["), host.hasSuffix("]") {
            return host.dropFirst().dropLast().utf8.allSatisfy { byte in
                (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
                    || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte)
                    || byte == UInt8(ascii: ":") || byte == UInt8(ascii: ".")
            }
        }
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts.allSatisfy { UInt8($0) != nil }
    }
}
