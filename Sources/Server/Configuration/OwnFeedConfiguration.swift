/// A TCP listener that takes the hub's own feed; see Docs/feeds/tcp.md.
package struct TCPSourceConfiguration: ConfigurationSection {
    package var enabled = false
    package var host = "127.0.0.1"
    package var port = 8090
    package var format = "detect"
    package var certificateFile = ""
    package var keyFile = ""
    package var clientCaFile = ""
    package var allowed: [String] = []
    package var instrumentsMost = 1_000
    package var connectionsMost = 16
    package var messageBytesMost = 1_048_576
    package var messagesPerSecondMost = 100_000
    package var silenceMs = 60_000

    package init() {}

    package static let keys =
        [
            ConfigurationKey("enabled", .flag, "Whether it listens."),
            ConfigurationKey("host", .text, "The address to listen on, in numbers."),
            ConfigurationKey("port", .integer(0...65535), "The TCP port; 0 lets the kernel choose one."),
            ConfigurationKey(
                "format",
                .choice(["detect", "json", "protobuf"]),
                "What publishers send: lines of JSON or messages of protobuf. detect: as each one's first byte shows."
            ),
        ] + OwnFeedKeys.tls + [
            OwnFeedKeys.allowed,
            ConfigurationKey("instrumentsMost", .integer(1...100_000), "The most instruments the feed may name."),
            ConfigurationKey("connectionsMost", .integer(1...10_000), "The most connections at once; more are closed."),
            OwnFeedKeys.messageBytesMost,
            ConfigurationKey(
                "messagesPerSecondMost",
                .integer(1...10_000_000),
                "Messages a second and connection; who sends more waits."
            ),
            ConfigurationKey(
                "silenceMs",
                .integer(0...3_600_000),
                "A connection on which no message ended for so long is closed. 0: never."
            ),
        ]

    package func validate() -> [ConfigurationComplaint] {
        ConfigurationRule.address(host, "host") + ConfigurationRule.addressRanges(allowed, "allowed")
            + OwnFeedKeys.tlsComplaints(certificateFile, keyFile, clientCaFile)
    }
}

/// A listener from which other hubs and programs read what this hub hears; see Docs/feeds/tcp.md.
package struct FeedOutConfiguration: ConfigurationSection {
    package var enabled = false
    package var host = "127.0.0.1"
    package var port = 8091
    package var certificateFile = ""
    package var keyFile = ""
    package var clientCaFile = ""
    package var allowed: [String] = []
    package var connectionsMost = 64
    package var queueBytesMost = 16_777_216
    package var heartbeatMs = 5_000
    package var silenceMs = 30_000

    package init() {}

    package static let keys =
        [
            ConfigurationKey("enabled", .flag, "Whether it listens."),
            ConfigurationKey("host", .text, "The address to listen on, in numbers."),
            ConfigurationKey("port", .integer(0...65535), "The TCP port; 0 lets the kernel choose one."),
        ] + OwnFeedKeys.tls + [
            OwnFeedKeys.allowed,
            ConfigurationKey("connectionsMost", .integer(1...10_000), "The most readers at once; more are closed."),
            ConfigurationKey(
                "queueBytesMost",
                .integer(65_536...1_073_741_824),
                "Bytes that wait for a slow reader; above it, it is closed and may come again for fresh snapshots."
            ),
            ConfigurationKey(
                "heartbeatMs",
                .integer(100...600_000),
                "A reader that was sent nothing for this long gets a heartbeat."
            ),
            ConfigurationKey(
                "silenceMs",
                .integer(0...3_600_000),
                "A reader that says nothing for so long, no heartbeat either, is closed. 0: never."
            ),
        ]

    package func validate() -> [ConfigurationComplaint] {
        ConfigurationRule.address(host, "host") + ConfigurationRule.addressRanges(allowed, "allowed")
            + OwnFeedKeys.tlsComplaints(certificateFile, keyFile, clientCaFile)
    }
}

/// A feed of our own, or another hub, that this hub connects to.
package struct FeedClientConfiguration: ConfigurationSection {
    package var urls: [String] = []
    package var format = "protobuf"
    package var venue = ""
    package var caFile = ""
    package var certificateFile = ""
    package var keyFile = ""
    package var instrumentsMost = 10_000
    package var messageBytesMost = 1_048_576
    package var heartbeatMs = 5_000
    package var silenceMs = 15_000

    package init() {}

    package static let keys = [
        ConfigurationKey(
            "urls",
            .texts(countMost: 16),
            "Where it is, tcp://host:port or tls://host:port; of several the next is tried when one is lost."
        ),
        ConfigurationKey("format", .choice(["json", "protobuf"]), "The form that is asked for."),
        ConfigurationKey(
            "venue",
            .text,
            "The venue of all its instruments. Empty: the one that each is declared with."
        ),
        ConfigurationKey("caFile", .path, "PEM file of the authority that signed it. Empty: the system's authorities."),
        ConfigurationKey("certificateFile", .path, "PEM file of our own certificate. Empty: none is shown."),
        ConfigurationKey("keyFile", .path, "PEM file of our own private key."),
        ConfigurationKey("instrumentsMost", .integer(1...100_000), "The most instruments it may name."),
        OwnFeedKeys.messageBytesMost,
        ConfigurationKey("heartbeatMs", .integer(100...600_000), "How often it hears a heartbeat of ours."),
        ConfigurationKey(
            "silenceMs",
            .integer(200...600_000),
            "A connection on which nothing came for so long is given up and made anew."
        ),
    ]

    package func validate() -> [ConfigurationComplaint] {
        var complaints = OwnFeedKeys.tlsComplaints(certificateFile, keyFile, "")
        complaints += OwnFeedKeys.urlComplaints(urls)
        return complaints
    }
}

/// The keys that the ends of the hub's own feed have in common, and what is wrong with their values.
enum OwnFeedKeys {
    static let tls = [
        ConfigurationKey("certificateFile", .path, "PEM file of the certificate and its chain. Empty: plain TCP."),
        ConfigurationKey("keyFile", .path, "PEM file of the private key. Empty: plain TCP."),
        ConfigurationKey(
            "clientCaFile",
            .path,
            "PEM file of the authority of which whoever connects must have a certificate. Empty: none is asked for."
        ),
    ]
    static let allowed = ConfigurationKey(
        "allowed",
        .texts(countMost: 256),
        "Addresses or ranges (192.168.1.0/24) that may connect besides this machine."
    )
    static let messageBytesMost = ConfigurationKey(
        "messageBytesMost",
        .integer(1_024...16_777_215),
        "The longest message; a longer line is refused, a longer protobuf message ends its connection."
    )

    static func urlComplaints(_ urls: [String]) -> [ConfigurationComplaint] {
        guard !urls.isEmpty else { return [ConfigurationComplaint("urls", "is empty; name at least one address")] }
        return urls.enumerated().filter { FeedAddress($0.element) == nil }.map { index, url in
            ConfigurationComplaint(
                "urls[\(index)]",
                "is \(JSONText.quoted(url)); it must be tls://host:port or tcp://host:port"
            )
        }
    }

    static func tlsComplaints(_ certificate: String, _ key: String, _ authority: String) -> [ConfigurationComplaint] {
        if certificate.isEmpty != key.isEmpty {
            return [ConfigurationComplaint("keyFile", "and certificateFile go together; set both or neither")]
        }
        guard certificate.isEmpty, !authority.isEmpty else { return [] }
        return [ConfigurationComplaint("clientCaFile", "needs TLS; set certificateFile and keyFile too")]
    }
}
