internal import Feeds

/// One FIX server with market data; see Docs/feeds/fix.md.
package struct FIXConfiguration: ConfigurationSection {
    package static let beginStrings = ["FIX.4.2", "FIX.4.3", "FIX.4.4", "FIXT.1.1"]

    package var venue = FIXMarketDataDialect.venue
    package var urls: [String] = []
    package var caFile = ""
    package var certificateFile = ""
    package var keyFile = ""
    package var beginString = "FIX.4.4"
    package var applicationVersion = "9"
    package var senderCompId = ""
    package var targetCompId = ""
    package var user = ""
    package var passwordFile = ""
    package var heartbeatSeconds = 30
    package var symbols: [String] = []
    package var channels: [String] = []
    package var depth = 0
    package var keying = FIXMarketDataDialect.Keying.automatic.rawValue
    package var instrumentsMost = 4_096
    package var quietMs = 0

    package init() {}

    package static let keys = [
        ConfigurationKey(
            "venue",
            .text,
            "What its instruments' venue is called: fix, or fix- and small letters, digits and hyphens."
        ),
        ConfigurationKey(
            "urls",
            .texts(countMost: 16),
            "Where it is, tcp://host:port or tls://host:port; of several the next is tried when one is lost."
        ),
        ConfigurationKey("caFile", .path, "PEM file of the authority that signed it. Empty: the system's authorities."),
        ConfigurationKey("certificateFile", .path, "PEM file of our own certificate. Empty: none is shown."),
        ConfigurationKey("keyFile", .path, "PEM file of our own private key."),
        ConfigurationKey("beginString", .choice(beginStrings), "BeginString (8): the version of the session."),
        ConfigurationKey(
            "applicationVersion",
            .text,
            "DefaultApplVerID (1137), sent with FIXT.1.1 alone; 9 is FIX 5.0 SP2."
        ),
        ConfigurationKey("senderCompId", .text, "SenderCompID (49) of our messages, as the venue gave it."),
        ConfigurationKey("targetCompId", .text, "TargetCompID (56) of our messages: the venue's own name."),
        ConfigurationKey("user", .text, "Username (553). Empty: none is sent."),
        ConfigurationKey("passwordFile", .path, "File with the Password (554) in its first line. Empty: none is sent."),
        ConfigurationKey("heartbeatSeconds", .integer(1...3_600), "HeartBtInt (108) that is proposed to the venue."),
        ConfigurationKey(
            "symbols",
            .texts(countMost: 10_000),
            "The instruments to ask for. Empty: nothing is asked for, all that the venue sends by itself is followed."
        ),
        ConfigurationKey("channels", .texts(countMost: 2), "What to ask for: trades, book. Empty: both."),
        ConfigurationKey(
            "depth",
            .integer(0...10_000),
            "MarketDepth (264): levels of a side that are asked for and kept. 0: all."
        ),
        ConfigurationKey(
            "keying",
            .choice(FIXMarketDataDialect.Keying.allCases.map(\.rawValue)),
            "What bids and offers are known by. automatic: by MDEntryID, by place or by price, whatever they have."
        ),
        ConfigurationKey("instrumentsMost", .integer(1...65_535), "The most instruments that are followed."),
        ConfigurationKey(
            "quietMs",
            .integer(0...86_400_000),
            "A book without news for so long is called stale, and begins anew after as long again. 0: never."
        ),
    ]

    package func validate() -> [ConfigurationComplaint] {
        var complaints = OwnFeedKeys.tlsComplaints(certificateFile, keyFile, "")
        if !FIXMarketDataDialect.isVenue(venue) {
            complaints.append(
                ConfigurationComplaint(
                    "venue",
                    "is \(JSONText.quoted(venue)); it must be fix, or fix- and small letters, digits and hyphens"
                )
            )
        }
        complaints += OwnFeedKeys.urlComplaints(urls)
        for (path, name) in [("senderCompId", senderCompId), ("targetCompId", targetCompId)] where name.isEmpty {
            complaints.append(ConfigurationComplaint(path, "is empty; the venue gives one"))
        }
        let texts = [
            ("senderCompId", senderCompId), ("targetCompId", targetCompId), ("user", user),
            ("applicationVersion", applicationVersion),
        ]
        let symbols = symbols.enumerated().map { ("symbols[\($0.offset)]", $0.element) }
        for (path, text) in texts + symbols where !text.utf8.allSatisfy({ (0x20...0x7E).contains($0) }) {
            complaints.append(
                ConfigurationComplaint(path, "must be printable ASCII: a field of FIX ends at a control byte")
            )
        }
        return complaints + ConfigurationRule.names(channels, "channels", among: ["trades", "book"])
    }
}
