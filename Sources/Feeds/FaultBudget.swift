/// How much nonsense a connection may bring: what is worth a line in the log, and when it is given up.
///
/// Ten faults a second are reported, of more only how many there were. A thousand in ten seconds, or one that means the venue
/// has grown beyond what is followed, end the connection.
public struct FaultBudget: Sendable {
    public enum Verdict: Hashable, Sendable {
        /// Say so; so many before it were not told.
        case report(untold: Int)
        case keepQuiet
        case cutOff
    }

    private static let reportsPerSecond = 10
    private static let faultsMost = 1_000
    private static let windowNs: Int64 = 10_000_000_000

    private var windowStartNs: Int64 = .min
    private var inWindow = 0
    private var secondStartNs: Int64 = .min
    private var reported = 0
    private var untold = 0

    public init() {}

    public mutating func spend(_ fault: FrameFault, atNs now: Int64) -> Verdict {
        if windowStartNs == .min || now &- windowStartNs >= Self.windowNs { (windowStartNs, inWindow) = (now, 0) }
        inWindow += 1
        guard inWindow < Self.faultsMost, fault != .tooManyInstruments else {
            self = FaultBudget()
            return .cutOff
        }
        if secondStartNs == .min || now &- secondStartNs >= 1_000_000_000 { (secondStartNs, reported) = (now, 0) }
        guard reported < Self.reportsPerSecond else {
            untold += 1
            return .keepQuiet
        }
        reported += 1
        defer { untold = 0 }
        return .report(untold: untold)
    }
}
