package import Transport

/// The address of a feed of our own: `tcp://host:port` or `tls://host:port`.
package struct FeedAddress: Hashable {
    package var isTLS: Bool
    package var host: String
    package var port: UInt16

    /// Nil for anything else; the port must be there.
    package init?(_ text: String) {
        let schemes: [(prefix: String, isTLS: Bool)] = [("tls://", true), ("tcp://", false)]
        guard let scheme = schemes.first(where: { text.hasPrefix($0.prefix) }) else { return nil }
        let (name, portText) = ConfigurationRule.hostAndPort(text.dropFirst(scheme.prefix.count))
        guard ConfigurationRule.isHostName(name), let portText, portText.first != "+", let number = UInt16(portText),
            number > 0
        else { return nil }
        isTLS = scheme.isTLS
        host = name
        port = number
    }

    package var server: ServerAddress { ServerAddress(host: host, port: port, isTLS: isTLS) }
}
