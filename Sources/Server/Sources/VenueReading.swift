import Feeds

/// What changes how the frames of a venue are read, beside its dialect.
struct VenueReading: Hashable {
    /// The word of the configuration: `venue` leaves it to the dialect.
    var checksum = "venue"
    var quietMs = 0

    init(_ configuration: VenueConfiguration) {
        checksum = configuration.checksum
        quietMs = configuration.quietMs
    }

    init(_ settings: RecordedSettings) {
        checksum = settings["checksum"] ?? checksum
        quietMs = settings["quietMs"].flatMap { Int($0) } ?? quietMs
    }

    var recorded: RecordedSettings {
        var settings = RecordedSettings()
        if checksum != "venue" { settings["checksum"] = checksum }
        if quietMs != 0 { settings["quietMs"] = "\(quietMs)" }
        return settings
    }

    func joined(_ dialect: any VenueDialect) -> JoinedFeed {
        var limits = VenueFeed.Limits()
        limits.quietMostNs = Int64(min(max(quietMs, 0), 86_400_000)) * 1_000_000
        let rule: VenueRules.ChecksumRule? =
            switch checksum {
            case "off": .ignore
            case "count": .count
            case "resync": .resync
            default: nil
            }
        return JoinedFeed(dialect) { [limits] in
            var feed = VenueFeed(dialect, limits: limits)
            if let rule { feed.checksumRule = rule }
            return feed
        }
    }
}
