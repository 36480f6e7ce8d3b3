/// What a venue's clock says while ours says something else.
///
/// Candles live in the venue's time, because they are to equal the venue's own. Its clock may be behind ours, or ahead, and a
/// trade may be long on its way; the smallest difference of late between our time of receipt and the venue's time tells the
/// clocks' difference and the shortest way, and a delayed trade does not change it.
///
/// A time of an event more than ``aheadMostNs`` after its receipt is not believed: one such trade would end every candle before
/// its time. It counts as missing.
public struct VenueClock: Sendable {
    public static let aheadMostNs: Int64 = 5_000_000_000
    /// A difference holds for one to two of these, so that a clock that was set back is followed.
    static let windowNs: Int64 = 60_000_000_000

    private var windowStartNs = Int64.min
    /// The smallest difference in this window and in the one before; the most there is where there was none.
    private var smallest = Int64.max
    private var smallestBefore = Int64.max
    /// Times that were not believed.
    public private(set) var disbelievedCount = 0

    public init() {}

    /// The venue's time of an event: what the venue says, or when it was received, by the venue's clock, where it does not say.
    mutating func timeNs(eventNs: Int64, receivedNs: Int64) -> Int64 {
        guard eventNs != 0 else { return venueNs(receivedNs) }
        let lagNs = receivedNs.saturatingSubtracting(eventNs)
        guard lagNs >= -Self.aheadMostNs else {
            disbelievedCount += 1
            return venueNs(receivedNs)
        }
        if receivedNs.saturatingSubtracting(windowStartNs) >= Self.windowNs {
            windowStartNs = receivedNs
            smallestBefore = smallest
            smallest = lagNs
        } else {
            smallest = min(smallest, lagNs)
        }
        return eventNs
    }

    /// What the venue's clock says at a time of ours.
    func venueNs(_ nowNs: Int64) -> Int64 {
        let lagNs = min(smallest, smallestBefore)
        return lagNs == .max ? nowNs : nowNs.saturatingSubtracting(lagNs)
    }
}
