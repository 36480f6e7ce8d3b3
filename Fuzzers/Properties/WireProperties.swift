import Wire

extension FuzzProperty {
    /// Any binary frame of a client is read or refused, and what is read keeps its bounds.
    static let enhancedFrame = FuzzProperty(name: "enhanced-frame") { WireFuzzing.enhancedFrame($0) }

    /// Any text frame of a client has an answer, and the error that gives a request back is JSON.
    static let legacyFrame = FuzzProperty(name: "legacy-frame") { WireFuzzing.legacyFrame($0) }
}
