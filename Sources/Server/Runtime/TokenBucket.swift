/// Allows so many requests a second, and a burst after a pause.
package struct TokenBucket {
    private var tokens: Double
    private var atNs: Int64

    package init(burst: Int, atNs now: Int64) {
        tokens = Double(burst)
        atNs = now
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
