import Feeds

/// What changes how the frames of a venue are read, beside its dialect.
struct VenueReading: Hashable {
    /// The word of the configuration: `venue` leaves it to the dialect.
    var checksum = "venue"
    var quietMs = 0
    var instrumentsMost = VenueFeed.Limits().instrumentsMost

    init(_ configuration: VenueConfiguration) {
        checksum = configuration.checksum
        quietMs = configuration.quietMs
    }

    init(_ configuration: FIXConfiguration) {
        quietMs = configuration.quietMs
        instrumentsMost = configuration.instrumentsMost
    }

    init(_ settings: RecordedSettings) {
        checksum = settings["checksum"] ?? checksum
        quietMs = settings["quietMs"].flatMap { Int($0) } ?? quietMs
        instrumentsMost = settings["instrumentsMost"].flatMap { Int($0) } ?? instrumentsMost
    }

    var recorded: RecordedSettings {
        var settings = RecordedSettings()
        if checksum != "venue" { settings["checksum"] = checksum }
        if quietMs != 0 { settings["quietMs"] = "\(quietMs)" }
        if instrumentsMost != VenueFeed.Limits().instrumentsMost { settings["instrumentsMost"] = "\(instrumentsMost)" }
        return settings
    }

    func joined(_ dialect: any VenueDialect) -> JoinedFeed {
        JoinedFeed(dialect) { [self] in feed(dialect) }
    }

    /// The feed of one connection; numbers of a recording are brought within the bounds of the configuration.
    func feed(_ dialect: any VenueDialect) -> VenueFeed {
        var limits = VenueFeed.Limits()
        limits.quietMostNs = Int64(min(max(quietMs, 0), 86_400_000)) * 1_000_000
        limits.instrumentsMost = min(max(instrumentsMost, 1), 65_535)
        var feed = VenueFeed(dialect, limits: limits)
        switch checksum {
        case "off": feed.checksumRule = .ignore
        case "count": feed.checksumRule = .count
        case "resync": feed.checksumRule = .resync
        default: break
        }
        return feed
    }
}
