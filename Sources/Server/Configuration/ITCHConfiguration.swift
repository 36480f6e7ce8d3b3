import Feeds

/// Nasdaq TotalView-ITCH 5.0: from files, or live by one of its two sessions.
package struct ITCHConfiguration: ConfigurationSection {
    package static let modes = ["off", "file", "soupbin", "moldudp64"]

    package var mode = "off"
    package var symbols: [String] = []
    package var date = ""
    package var orders = true
    package var ordersMost = 8_000_000
    package var instrumentsMost = 16_384
    package var files: [String] = []
    package var speedFactor = 1.0
    package var loop = false
    package var server = ""
    package var user = ""
    package var passwordFile = ""
    package var heartbeatTimeoutMs = 0
    package var lines: [String] = []
    package var interface = ""
    package var rerequestServer = ""
    package var receiveBufferBytes = 8 << 20

    package init() {}

    package static let keys = [
        ConfigurationKey("mode", .choice(modes), "Where messages come from."),
        ConfigurationKey("symbols", .texts(countMost: 10_000), "The stocks to follow. Empty: all."),
        ConfigurationKey(
            "date",
            .text,
            "The day of the messages in New York, such as 2019-01-30: needed for files. Empty: today."
        ),
        ConfigurationKey("orders", .flag, "Whether single orders are offered, besides the books they add up to."),
        ConfigurationKey("ordersMost", .integer(1...1_000_000_000), "Orders that rest at once; about 100 bytes each."),
        ConfigurationKey("instrumentsMost", .integer(1...65_535), "Stocks that are followed at once."),
        ConfigurationKey("files", .paths(countMost: 100), "Files to play in order, .gz too: a session each."),
        ConfigurationKey(
            "speedFactor",
            .number(0...1_000_000),
            "1 plays a file at the speed of its day, 10 ten times that, 0 as fast as it goes."
        ),
        ConfigurationKey("loop", .flag, "Whether files begin again at the end."),
        ConfigurationKey("server", .text, "The SoupBinTCP server, 10.1.2.3:5000; its address in numbers."),
        ConfigurationKey("user", .text, "The user at the SoupBinTCP server; at most 6 characters."),
        ConfigurationKey("passwordFile", .path, "File with the password, at most 10 characters, in its first line."),
        ConfigurationKey(
            "heartbeatTimeoutMs",
            .integer(0...99_999),
            "The time-out that a server of SoupBinTCP 4 wants to be told. 0: the server speaks version 3."
        ),
        ConfigurationKey(
            "lines",
            .texts(countMost: 2),
            "One or two MoldUDP64 lines with the same packets, 233.54.12.111:26477; the first packet wins."
        ),
        ConfigurationKey("interface", .text, "The address of the interface for multicast. Empty: the system's choice."),
        ConfigurationKey(
            "rerequestServer",
            .text,
            "The MoldUDP64 server that sends lost packets again, 10.1.2.3:6000. Empty: what is lost stays lost."
        ),
        ConfigurationKey(
            "receiveBufferBytes",
            .integer(0...1_073_741_824),
            "The kernel's receive buffer of each line; 0 leaves its own."
        ),
    ]

    package func validate() -> [ConfigurationComplaint] {
        var complaints: [ConfigurationComplaint] = []
        func need(_ path: String, _ isThere: Bool, _ what: String) {
            if !isThere { complaints.append(ConfigurationComplaint(path, "is empty; mode \(mode) needs \(what)")) }
        }
        switch mode {
        case "file":
            need("files", !files.isEmpty, "at least one file")
            need("date", !date.isEmpty, "the day of the files, because messages tell the time of day alone")
        case "soupbin":
            need("server", !server.isEmpty, "the server's address and port")
            need("user", !user.isEmpty, "the user's name")
        case "moldudp64": need("lines", !lines.isEmpty, "at least one address and port")
        default: break
        }
        if !date.isEmpty, EasternTime.midnightNs(of: date) == nil {
            complaints.append(
                ConfigurationComplaint("date", "is \(JSONText.quoted(date)); write a date such as 2019-01-30")
            )
        }
        for (path, text) in [("server", server), ("rerequestServer", rerequestServer)] where !text.isEmpty {
            complaints += Self.complaints(ofAddress: text, path)
        }
        for (index, line) in lines.enumerated() { complaints += Self.complaints(ofAddress: line, "lines[\(index)]") }
        if !interface.isEmpty { complaints += ConfigurationRule.address(interface, "interface") }
        if user.utf8.count > 6 {
            complaints.append(ConfigurationComplaint("user", "is longer than 6 characters, the most SoupBinTCP takes"))
        }
        return complaints
    }

    /// An address in numbers with its port; nil when the text is none.
    static func hostAndPort(_ text: String) -> (host: String, port: UInt16)? {
        let (host, port) = ConfigurationRule.hostAndPort(text)
        guard let port = port.flatMap(UInt16.init), !host.contains("/"), AddressRange(host) != nil else { return nil }
        return (host, port)
    }

    private static func complaints(ofAddress text: String, _ path: String) -> [ConfigurationComplaint] {
        guard hostAndPort(text) == nil else { return [] }
        return [
            ConfigurationComplaint(
                path,
                "is \(JSONText.quoted(text)); write an IP address in numbers and a port, such as 10.1.2.3:5000"
            )
        ]
    }
}
