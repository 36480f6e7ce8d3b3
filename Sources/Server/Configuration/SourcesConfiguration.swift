internal import Feeds

/// Where market data comes from; any number at once.
package struct SourcesConfiguration: ConfigurationSection {
    package var synthetic = SyntheticConfiguration()
    package var capture = CaptureConfiguration()
    package var venues: [VenueConfiguration] = []
    package var tcp = TCPSourceConfiguration()
    package var feeds: [FeedClientConfiguration] = []
    package var indexes: [IndexConfiguration] = []
    package var itch = ITCHConfiguration()
    package var fix: [FIXConfiguration] = []

    package init() {}

    package static let keys = [
        ConfigurationKey("synthetic", .section(SyntheticConfiguration.self), "A seeded exchange of our own."),
        ConfigurationKey("capture", .section(CaptureConfiguration.self), "Recorded venue traffic, played again."),
        ConfigurationKey(
            "venues",
            .objects(VenueConfiguration.self, countMost: 64),
            "Live venues, each an object with the keys below; venue and symbols are needed."
        ),
        ConfigurationKey("tcp", .section(TCPSourceConfiguration.self), "A TCP listener for feeds of your own."),
        ConfigurationKey(
            "feeds",
            .objects(FeedClientConfiguration.self, countMost: 64),
            "Feeds of your own, or other hubs, to connect to; each an object with the keys below; urls is needed."
        ),
        ConfigurationKey(
            "indexes",
            .objects(IndexConfiguration.self, countMost: 100),
            "Prices over several venues, each an object with the keys below; symbol and sources are needed."
        ),
        ConfigurationKey("itch", .section(ITCHConfiguration.self), "Nasdaq TotalView-ITCH 5.0, order by order."),
        ConfigurationKey(
            "fix",
            .objects(FIXConfiguration.self, countMost: 64),
            "FIX servers, each an object with the keys below; urls, senderCompId and targetCompId are needed."
        ),
    ]

    package func validate() -> [ConfigurationComplaint] {
        var complaints = capture.validate().map { $0.under("capture") } + tcp.validate().map { $0.under("tcp") }
        for (index, feed) in feeds.enumerated() { complaints += feed.validate().map { $0.under("feeds[\(index)]") } }
        complaints += itch.validate().map { $0.under("itch") }
        for (index, server) in fix.enumerated() {
            complaints += server.validate().map { $0.under("fix[\(index)]") }
            if let first = fix.firstIndex(where: { $0.venue == server.venue }), first != index {
                complaints.append(
                    ConfigurationComplaint(
                        "fix[\(index)].venue",
                        "is \(JSONText.quoted(server.venue)) like sources.fix[\(first)].venue; give each server its own"
                    )
                )
            }
        }
        for (index, venue) in venues.enumerated() {
            complaints += venue.validate().map { $0.under("venues[\(index)]") }
            if let first = venues.firstIndex(where: { $0.venue == venue.venue }), first != index, !venue.venue.isEmpty {
                complaints.append(
                    ConfigurationComplaint(
                        "venues[\(index)].venue",
                        "is \(JSONText.quoted(venue.venue)) like sources.venues[\(first)].venue; name each venue once"
                    )
                )
            }
        }
        for (place, index) in indexes.enumerated() {
            complaints += index.validate().map { $0.under("indexes[\(place)]") }
            if let first = indexes.firstIndex(where: { $0.symbol == index.symbol }), first != place {
                complaints.append(
                    ConfigurationComplaint(
                        "indexes[\(place)].symbol",
                        "is \(JSONText.quoted(index.symbol)) like sources.indexes[\(first)].symbol; name each symbol once"
                    )
                )
            }
        }
        return complaints
    }
}

/// A seeded exchange of our own: the same seed, the same market.
package struct SyntheticConfiguration: ConfigurationSection {
    package var enabled = true
    package var seed = 1
    package var eventsPerSecond = 500
    package var instruments = 10

    package init() {}

    package static let keys = [
        ConfigurationKey("enabled", .flag, "Whether it runs."),
        ConfigurationKey("seed", .integer(0...Int.max), "The same seed gives the same market."),
        ConfigurationKey("eventsPerSecond", .integer(1...100_000), "Events a second over all its instruments."),
        ConfigurationKey("instruments", .integer(1...10_000), "How many instruments it trades."),
    ]
}

/// Recorded venue traffic, played through the same path as a live socket.
package struct CaptureConfiguration: ConfigurationSection {
    package var files: [String] = []
    package var venue = ""
    package var instrumentsFile = ""
    package var speedFactor = 1.0
    package var loop = false

    package init() {}

    package static let keys = [
        ConfigurationKey("files", .paths(countMost: 10_000), "The files in order, .gz too. Empty: no replay."),
        ConfigurationKey("venue", .choice([""] + VenueConfiguration.known), "Whose traffic it is; needed with files."),
        ConfigurationKey(
            "instrumentsFile",
            .path,
            "The venue's instrument list. Empty: scales are inferred from the digits."
        ),
        ConfigurationKey(
            "speedFactor",
            .number(0...1_000_000),
            "1 is the speed it was recorded at, 10 ten times that, 0 as fast as it goes."
        ),
        ConfigurationKey("loop", .flag, "Whether it begins again at the end."),
    ]

    package func validate() -> [ConfigurationComplaint] {
        guard !files.isEmpty, venue.isEmpty else { return [] }
        return [ConfigurationComplaint("files", "is set but sources.capture.venue is not; name the recorded venue")]
    }
}

/// One live venue.
package struct VenueConfiguration: ConfigurationSection {
    /// The venues whose words are understood.
    package static let known = Venues.all.map(\.venue)

    package var venue = ""
    package var url = ""
    package var restUrl = ""
    package var caFile = ""
    package var symbols: [String] = []
    package var channels: [String] = []
    package var ownChannels: [String] = []
    package var instrumentsFile = ""
    package var silenceMs = 0
    package var connections = 1
    package var checksum = "venue"
    package var quietMs = 0
    package var connectionLifeSeconds = 0

    package init() {}

    package static let keys = [
        ConfigurationKey("venue", .choice(known), "Which venue it is."),
        ConfigurationKey("url", .text, "The WebSocket address instead of the venue's own, wss://host[:port]/path."),
        ConfigurationKey("restUrl", .text, "The REST address instead of the venue's own, https://host[:port]."),
        ConfigurationKey("caFile", .path, "PEM file of the authority that signed it. Empty: the system's authorities."),
        ConfigurationKey("symbols", .texts(countMost: 10_000), "The venue's names of the instruments to follow."),
        ConfigurationKey(
            "channels",
            .texts(countMost: 32),
            "What to follow: trades, quotes, book. Empty: all of them, unless ownChannels says what."
        ),
        ConfigurationKey(
            "ownChannels",
            .texts(countMost: 32),
            "More to follow in the venue's own words, such as aggTrade or depth@0ms at Binance."
        ),
        ConfigurationKey(
            "instrumentsFile",
            .path,
            "The venue's instrument list. Empty: scales are inferred from the digits."
        ),
        ConfigurationKey(
            "silenceMs",
            .integer(0...600_000),
            "A connection without a frame for so long is given up. 0: the venue's own time, 10 to 30 s."
        ),
        ConfigurationKey(
            "connections",
            .integer(1...2),
            "2 follows the same on two connections: what comes first counts, and one may die without a gap."
        ),
        ConfigurationKey(
            "checksum",
            .choice(["venue", "off", "count", "resync"]),
            "What a book checksum that does not fit does. venue: as the venue's page in Docs/feeds says."
        ),
        ConfigurationKey(
            "quietMs",
            .integer(0...86_400_000),
            "A book without news for so long is called stale, and begins anew after as long again. 0: never."
        ),
        ConfigurationKey(
            "connectionLifeSeconds",
            .integer(0...604_800),
            "A connection is replaced after so long by one that overlaps it. 0: the venue's own time."
        ),
    ]

    package func validate() -> [ConfigurationComplaint] {
        var complaints: [ConfigurationComplaint] = []
        // The choice is checked only where the key stands, and this one has no sound default.
        if venue.isEmpty {
            let known = Self.known.joined(separator: ", ")
            complaints.append(ConfigurationComplaint("venue", "is missing; name one of \(known)"))
        }
        if symbols.isEmpty {
            complaints.append(ConfigurationComplaint("symbols", "is empty; name at least one instrument of the venue"))
        }
        complaints += ConfigurationRule.url(url, "url", secure: "wss", plain: "ws")
        complaints += ConfigurationRule.url(restUrl, "restUrl", secure: "https", plain: "http")
        return complaints + ConfigurationRule.names(channels, "channels", among: ["trades", "quotes", "book"])
    }
}
