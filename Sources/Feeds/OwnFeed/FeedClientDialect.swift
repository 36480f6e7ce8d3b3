public import Market

/// What ``VenueClient`` needs to know to keep a connection to a feed of our own: its rules of silence and heartbeats.
///
/// The data have their own decoders; nothing of them comes by here.
public struct FeedClientDialect: VenueDialect {
    public let venue = LineFeed.venue
    public let rules: VenueRules

    public init(silenceMostNs: Int64, heartbeatNs: Int64) {
        var rules = VenueRules(book: .inStream, silenceMostNs: silenceMostNs)
        rules.pingEveryNs = heartbeatNs
        self.rules = rules
    }

    public func parse(_ text: UnsafeRawBufferPointer, into frame: inout VenueFrame) throws(FrameFault) {
        throw .unknownMessage
    }

    public func symbol(ofRaw rawSymbol: String) -> VenueSymbol { VenueSymbol(rawSymbol) }

    /// Whoever opens the connection knows where to.
    public func url(for subscription: VenueSubscription) -> String { "" }

    public func subscribeFrames(for subscription: VenueSubscription) -> [String] { [] }

    public func listing(_ scanner: inout JSONScanner) throws(FrameFault) -> Instrument? { throw .unknownMessage }
}
