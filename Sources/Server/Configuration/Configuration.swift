/// Everything an operator can set; the values written here are the defaults.
///
/// `Config/market-hub.json5` documents the same keys for people and is compared with this by a test.
package struct Configuration: ConfigurationSection {
    package var listen = ListenConfiguration()
    package var admin = AdminConfiguration()
    package var tls = TLSConfiguration()
    package var transport = TransportConfiguration()
    package var hub = HubConfiguration()
    package var feed = FeedConfiguration()
    package var sources = SourcesConfiguration()
    package var feedOut = FeedOutConfiguration()
    package var candles = CandlesConfiguration()
    package var record = RecordConfiguration()
    package var web = WebConfiguration()
    package var logging = LoggingConfiguration()
    package var diagnostics = DiagnosticsConfiguration()

    package init() {}

    package static let keys = [
        ConfigurationKey("listen", .section(ListenConfiguration.self), "Where clients connect."),
        ConfigurationKey(
            "admin",
            .section(AdminConfiguration.self),
            "Where operators look: /metrics, /livez, /readyz."
        ),
        ConfigurationKey("tls", .section(TLSConfiguration.self), "TLS 1.3 and 1.2 for clients; both files or neither."),
        ConfigurationKey("transport", .section(TransportConfiguration.self), "Sockets, threads and buffers."),
        ConfigurationKey("hub", .section(HubConfiguration.self), "What one connection may ask for."),
        ConfigurationKey("feed", .section(FeedConfiguration.self), "The way from the sources to the I/O loops."),
        ConfigurationKey("sources", .section(SourcesConfiguration.self), "Where market data comes from."),
        ConfigurationKey(
            "feedOut",
            .section(FeedOutConfiguration.self),
            "Where other hubs and programs read what this hub hears."
        ),
        ConfigurationKey("candles", .section(CandlesConfiguration.self), "Past candles and where they are kept."),
        ConfigurationKey("record", .section(RecordConfiguration.self), "Raw traffic of the sources, kept in files."),
        ConfigurationKey("web", .section(WebConfiguration.self), "The web page."),
        ConfigurationKey("logging", .section(LoggingConfiguration.self), "JSON lines on stderr."),
        ConfigurationKey("diagnostics", .section(DiagnosticsConfiguration.self), "How the hub watches itself."),
    ]

    package func validate() -> [ConfigurationComplaint] {
        var complaints: [ConfigurationComplaint] = []
        func ask(_ section: some ConfigurationSection, _ name: String) {
            complaints += section.validate().map { $0.under(name) }
        }
        ask(listen, "listen")
        ask(admin, "admin")
        ask(tls, "tls")
        ask(transport, "transport")
        ask(hub, "hub")
        ask(feed, "feed")
        ask(sources, "sources")
        ask(feedOut, "feedOut")
        ask(record, "record")
        ask(web, "web")
        ask(logging, "logging")
        ask(diagnostics, "diagnostics")
        if listen.port != 0, listen.port == admin.port, listen.host == admin.host {
            complaints.append(
                ConfigurationComplaint("admin.port", "is also listen.port; give the admin listener a port of its own")
            )
        }
        return complaints
    }
}

/// Where clients connect, and as whom.
package struct ListenConfiguration: ConfigurationSection {
    package var host = "127.0.0.1"
    package var port = 8080
    package var origins: [String] = []
    package var hosts: [String] = []
    package var trustedProxies: [String] = []
    package var connectionsMost = 0

    package init() {}

    package static let keys = [
        ConfigurationKey(
            "host",
            .text,
            "The address to listen on, in numbers. 127.0.0.1 is this machine only, 0.0.0.0 every IPv4 interface."
        ),
        ConfigurationKey("port", .integer(0...65535), "The TCP port; 0 lets the kernel choose one."),
        ConfigurationKey(
            "origins",
            .texts(countMost: 256),
            "Web origins whose pages may connect, such as https://example.org. Empty: only our own page."
        ).reloadable,
        ConfigurationKey(
            "hosts",
            .texts(countMost: 256),
            "Names accepted in the Host header besides localhost and our own addresses, such as hub.example.org."
        ).reloadable,
        ConfigurationKey(
            "trustedProxies",
            .texts(countMost: 256),
            "Addresses or ranges (10.0.0.0/8) of proxies whose X-Forwarded-For is believed. Empty: none."
        ).reloadable,
        ConfigurationKey(
            "connectionsMost",
            .integer(0...10_000_000),
            "The most connections at once; more are answered 503. 0: as many as the descriptor limit allows."
        ),
    ]

    package func validate() -> [ConfigurationComplaint] {
        var complaints = ConfigurationRule.address(host, "host")
        for (index, origin) in origins.enumerated() where !ConfigurationRule.isOrigin(origin) {
            complaints.append(
                ConfigurationComplaint(
                    "origins[\(index)]",
                    "is \(JSONText.quoted(origin)); an origin is http:// or https://, a host and perhaps a port, without a path"
                )
            )
        }
        for (index, host) in hosts.enumerated() where !ConfigurationRule.isHostName(host) {
            complaints.append(
                ConfigurationComplaint(
                    "hosts[\(index)]",
                    "is \(JSONText.quoted(host)); write the host name alone, without scheme, port and path"
                )
            )
        }
        return complaints + ConfigurationRule.addressRanges(trustedProxies, "trustedProxies")
    }
}

/// Where operators look.
package struct AdminConfiguration: ConfigurationSection {
    package var host = "127.0.0.1"
    package var port = 8081

    package init() {}

    package static let keys = [
        ConfigurationKey(
            "host",
            .text,
            "The address to listen on, in numbers; keep it on this machine or a private net."
        ),
        ConfigurationKey("port", .integer(0...65535), "The TCP port; 0 lets the kernel choose one."),
    ]

    package func validate() -> [ConfigurationComplaint] { ConfigurationRule.address(host, "host") }
}

/// The certificate shown to clients.
package struct TLSConfiguration: ConfigurationSection {
    package var certificateFile = ""
    package var keyFile = ""
    package var ocspFile = ""

    package init() {}

    package var isEnabled: Bool { !certificateFile.isEmpty }

    package static let keys = [
        ConfigurationKey(
            "certificateFile",
            .path,
            "PEM file of the certificate and its chain; SIGHUP reads it and the key anew. Empty: plain TCP."
        ),
        ConfigurationKey("keyFile", .path, "PEM file of the private key. Empty: plain TCP."),
        ConfigurationKey(
            "ocspFile",
            .path,
            "The authority's OCSP response on the certificate, DER, shown to clients that ask until it expires; SIGHUP reads it "
                + "anew. Empty: none."
        ),
    ]

    package func validate() -> [ConfigurationComplaint] {
        if !ocspFile.isEmpty, certificateFile.isEmpty {
            return [ConfigurationComplaint("ocspFile", "is set but tls.certificateFile is not; set both")]
        }
        return switch (certificateFile.isEmpty, keyFile.isEmpty) {
        case (true, false): [ConfigurationComplaint("keyFile", "is set but tls.certificateFile is not; set both")]
        case (false, true): [ConfigurationComplaint("certificateFile", "is set but tls.keyFile is not; set both")]
        case (true, true), (false, false): []
        }
    }
}

/// Sockets, threads and buffers.
package struct TransportConfiguration: ConfigurationSection {
    package var ioLoops = 0
    package var writeBytesMost = 65536
    package var browserSendBufferBytes = 65536
    package var browserNotSentLowWaterBytes = 16384
    package var botSendBufferBytes = 262_144
    package var botNotSentLowWaterBytes = 32768
    package var headerTimeoutSeconds = 5
    package var messageBytesMost = 65536
    package var deflate = "json"
    package var deflateLevel = 1
    package var deflateBytesLeast = 256

    package init() {}

    package static let keys = [
        ConfigurationKey(
            "deflate",
            .choice(["off", "json", "all"]),
            "Which channels agree to permessage-deflate when a client offers it: none, the legacy one, or both."
        ),
        ConfigurationKey(
            "deflateLevel",
            .integer(1...9),
            "How hard public data are deflated, once for all who get them: 1 is fast, 9 small."
        ),
        ConfigurationKey(
            "deflateBytesLeast",
            .integer(16...1_048_576),
            "Shorter messages go as they are."
        ),
        ConfigurationKey(
            "ioLoops",
            .integer(0...256),
            "Threads that serve clients. 0: the cores less one, at least one."
        ),
        ConfigurationKey(
            "writeBytesMost",
            .integer(4096...65_536),
            "The most bytes given to one connection in one write; a longer frame goes whole."
        ),
        ConfigurationKey(
            "browserSendBufferBytes",
            .integer(4096...16_777_216),
            "The kernel's send buffer of a browser's connection: more hides older data in the kernel."
        ),
        ConfigurationKey(
            "browserNotSentLowWaterBytes",
            .integer(1024...16_777_216),
            "Unsent bytes above which a browser's connection counts as not writable."
        ),
        ConfigurationKey(
            "botSendBufferBytes",
            .integer(4096...16_777_216),
            "The kernel's send buffer of a bot's connection."
        ),
        ConfigurationKey(
            "botNotSentLowWaterBytes",
            .integer(1024...16_777_216),
            "Unsent bytes above which a bot's connection counts as not writable."
        ),
        ConfigurationKey(
            "headerTimeoutSeconds",
            .integer(1...300),
            "A connection that has not sent its whole request header after this long is closed."
        ),
        ConfigurationKey(
            "messageBytesMost",
            .integer(1024...16_777_216),
            "The longest message of a client, also after inflation; a longer one closes its connection with 1009."
        ),
    ]

    package func validate() -> [ConfigurationComplaint] {
        var complaints: [ConfigurationComplaint] = []
        if browserNotSentLowWaterBytes > browserSendBufferBytes {
            complaints.append(
                ConfigurationComplaint(
                    "browserNotSentLowWaterBytes",
                    "must not exceed transport.browserSendBufferBytes"
                )
            )
        }
        if botNotSentLowWaterBytes > botSendBufferBytes {
            complaints.append(
                ConfigurationComplaint("botNotSentLowWaterBytes", "must not exceed transport.botSendBufferBytes")
            )
        }
        return complaints
    }
}

/// What one connection may ask for, and what happens when it falls silent.
package struct HubConfiguration: ConfigurationSection {
    package var subscriptionsMost = 10_000
    package var symbolsPerRequestMost = 1_000
    package var requestsPerSecondMost = 50
    package var requestsBurstMost = 200
    package var badFramesPerMinuteMost = 10
    package var privateQueueBytesMost = 1_048_576
    package var privateQueuesBytesMost = 268_435_456
    package var heartbeatMs = 15_000
    package var pingMs = 20_000
    package var silenceMs = 60_000
    package var recentPushesMost = 32_768
    package var topicLingerMs = 30_000
    package var reconnectSpreadMs = 5_000

    package init() {}

    package static let keys = [
        ConfigurationKey(
            "subscriptionsMost",
            .integer(1...1_000_000),
            "The most subscriptions of one connection; one more gets an error that names the limit."
        ).reloadable,
        ConfigurationKey(
            "symbolsPerRequestMost",
            .integer(1...100_000),
            "The most symbols in one request; more get an error that names the limit."
        ).reloadable,
        ConfigurationKey(
            "requestsPerSecondMost",
            .integer(1...1_000_000),
            "Requests a second and connection in the long run; above it they are answered with an error."
        ).reloadable,
        ConfigurationKey(
            "requestsBurstMost",
            .integer(1...1_000_000),
            "Requests a connection may send at once before requestsPerSecondMost counts."
        ).reloadable,
        ConfigurationKey(
            "badFramesPerMinuteMost",
            .integer(1...10_000),
            "Frames that cannot be understood, in one minute, that close a connection with 1008."
        ).reloadable,
        ConfigurationKey(
            "privateQueueBytesMost",
            .integer(16_384...1_073_741_824),
            "Bytes of replies and events that must not be lost, kept for a slow client; above it: closed with 3008."
        ).reloadable,
        ConfigurationKey(
            "privateQueuesBytesMost",
            .integer(1_048_576...1_099_511_627_776),
            "The same over all clients, shared out to the I/O loops; above it the client with most is closed with 3008."
        ).reloadable,
        ConfigurationKey(
            "heartbeatMs",
            .integer(100...600_000),
            "A bot's connection that was sent nothing for this long gets a heartbeat."
        ).reloadable,
        ConfigurationKey("pingMs", .integer(100...600_000), "How often a WebSocket ping is sent.").reloadable,
        ConfigurationKey(
            "silenceMs",
            .integer(200...3_600_000),
            "A connection from which nothing came for this long, no pong either, is closed with 3012."
        ).reloadable,
        ConfigurationKey(
            "reconnectSpreadMs",
            .integer(0...600_000),
            "When the hub ends, its clients are asked to come back after a time of 0 up to this, spread evenly."
        ).reloadable,
        ConfigurationKey(
            "recentPushesMost",
            .integer(0...100_000_000),
            "Pushes that an I/O loop keeps for clients who missed them, over all topics; some 400 bytes each. 0: none."
        ),
        ConfigurationKey(
            "topicLingerMs",
            .integer(0...3_600_000),
            "How long what a lost connection alone listened to is followed on, so that who comes back misses nothing. 0: not at all."
        ),
    ]

    package func validate() -> [ConfigurationComplaint] {
        var complaints: [ConfigurationComplaint] = []
        if silenceMs <= pingMs {
            complaints.append(
                ConfigurationComplaint(
                    "silenceMs",
                    "is \(silenceMs); it must be above hub.pingMs (\(pingMs)), or all are closed"
                )
            )
        }
        if privateQueuesBytesMost < privateQueueBytesMost {
            complaints.append(
                ConfigurationComplaint(
                    "privateQueuesBytesMost",
                    "must not be below hub.privateQueueBytesMost (\(privateQueueBytesMost)), which is one client's share"
                )
            )
        }
        if requestsBurstMost < requestsPerSecondMost {
            complaints.append(
                ConfigurationComplaint(
                    "requestsBurstMost",
                    "is \(requestsBurstMost); it must not be below hub.requestsPerSecondMost (\(requestsPerSecondMost))"
                )
            )
        }
        return complaints
    }
}

/// The way from the sources to the I/O loops.
package struct FeedConfiguration: ConfigurationSection {
    package var ringBytes = 4_194_304

    package init() {}

    package static let keys = [
        ConfigurationKey(
            "ringBytes",
            .integer(65_536...1_073_741_824),
            "The ring of events to one I/O loop, in bytes; when it is full, events are conflated for that loop."
        )
    ]
}

/// The web page.
package struct WebConfiguration: ConfigurationSection {
    package var root = ""

    package init() {}

    package static let keys = [
        ConfigurationKey("root", .path, "The directory of the built page. Empty: no page is served.")
    ]
}

/// JSON lines on stderr.
package struct LoggingConfiguration: ConfigurationSection {
    package var level = LogLevel.info
    package var format = LogFormat.json
    package var bufferBytesMost = 1_048_576

    package init() {}

    package static let keys = [
        ConfigurationKey(
            "level",
            .choice(LogLevel.allCases.map(\.rawValue)),
            "The least important level that is written."
        ).reloadable,
        ConfigurationKey(
            "format",
            .choice(LogFormat.allCases.map(\.rawValue)),
            "json: one object a line, for machines; text: for people."
        ),
        ConfigurationKey(
            "bufferBytesMost",
            .integer(16_384...268_435_456),
            "Bytes of lines that wait for a slow stderr; above it lines are dropped and counted."
        ),
    ]
}

/// How the hub watches itself.
package struct DiagnosticsConfiguration: ConfigurationSection {
    package var loopStallMs = 5_000
    package var echo = false
    package var stallHook = false

    package init() {}

    package static let keys = [
        ConfigurationKey(
            "loopStallMs",
            .integer(100...600_000),
            "A thread without a sign of life for this long makes /livez fail."
        ).reloadable,
        ConfigurationKey(
            "echo",
            .flag,
            "Whether /echo is a WebSocket that sends back what it gets: to measure how well the protocol is kept, never in production."
        ),
        ConfigurationKey(
            "stallHook",
            .flag,
            "Whether POST /admin/v1/stall?loop=0&ms=2000 has an I/O loop stand still: to see what becomes of the others, never in "
                + "production."
        ),
    ]
}
