/// Allows so many requests a second, and a burst after a pause.
package struct TokenBucket {
    private var tokens: Double
    private var atNs: Int64

    package init(burst: Int, atNs now: Int64) {
        tokens = Double(burst)
        atNs = now
    }

    /// Whole tokens that are left, and in how many milliseconds all will be there again.
    package func left(perSecond: Int, burst: Int, atNs now: Int64) -> (tokens: UInt32, wholeInMs: UInt32) {
        let elapsed = Double(max(0, now - atNs)) / 1_000_000_000
        let present = min(Double(burst), tokens + elapsed * Double(perSecond))
        return (UInt32(present), UInt32(((Double(burst) - present) / Double(perSecond) * 1000).rounded(.up)))
    }

    /// Takes one token; otherwise tells in how many milliseconds there will be one.
    package mutating func take(perSecond: Int, burst: Int, atNs now: Int64) -> UInt32? {
        let elapsed = Double(max(0, now - atNs)) / 1_000_000_000
        tokens = min(Double(burst), tokens + elapsed * Double(perSecond))
        atNs = now
        guard tokens < 1 else {
            tokens -= 1
            return nil
        }
        return UInt32((1 - tokens) / Double(perSecond) * 1000) + 1
    }
}
