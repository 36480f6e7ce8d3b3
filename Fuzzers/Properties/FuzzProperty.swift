/// Something that holds for any bytes the world can send.
public struct FuzzProperty: Sendable {
    /// Also the name of its folder in `Fuzzers/corpus`.
    public let name: String
    /// Stops the process when the property does not hold; what a decoder refuses in its own words is no violation.
    public let check: @Sendable (UnsafeRawBufferPointer) -> Void
}

/// Every property, in the order in which `Scripts/fuzz` runs them.
public let fuzzProperties: [FuzzProperty] = [
    .decimal,
    .enhancedFrame,
    .legacyFrame,
    .venueScanner,
    .capture,
    .coinbaseFeed,
    .binanceFeed,
    .binanceUSDMFeed,
    .krakenFeed,
]
