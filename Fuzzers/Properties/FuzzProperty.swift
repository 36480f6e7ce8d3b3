/// Something that holds for any bytes the world can send.
public struct FuzzProperty: Sendable {
    /// Also the name of its folder in `Fuzzers/corpus`.
    public let name: String
    /// Stops the process when the property does not hold; what a decoder refuses in its own words is no violation.
    public let check: @Sendable (UnsafeRawBufferPointer) -> Void
}

/// Every property, in the order in which it is told of; `Scripts/fuzz` goes by the names of the corpora.
public let fuzzProperties: [FuzzProperty] =
    [
        .decimal,
        // Our clients.
        .enhancedFrame,
        .legacyFrame,
        .json,
        // Venues.
        .venueJSON,
        .venueLists,
        .webSocketFrames,
        .webSocketAnswer,
    ] + FuzzProperty.venueFeeds + [
        .fixFeed,
        .fixFraming,
        .dbnStream,
        .lineFeed,
        .messageFeed,
        .itchFeed,
        .soupBin,
        .moldUDP,
        // Recordings.
        .captureRecord,
        .captureReader,
        .captureBlocks,
        // Configuration.
        .json5,
        .webAddress,
        .addressRange,
    ]
