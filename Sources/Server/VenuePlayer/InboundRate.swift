/// Counts a client's messages against the venue's rule.
package struct InboundRate: Sendable {
    private let rule: MannerRules.Rate
    /// The times of the last messages, oldest first, as many as one second may hold.
    private var recentNs: [Int64] = []
    private var bucket: TokenBucket?

    package init(_ rule: MannerRules.Rate, atNs now: Int64) {
        self.rule = rule
        if case .bucket(_, let burst) = rule { bucket = TokenBucket(burst: burst, atNs: now) }
    }

    /// Counts a message; false when it is one too many.
    package mutating func take(atNs now: Int64) -> Bool {
        switch rule {
        case .none: return true
        case .bucket(let perSecond, let burst):
            return bucket?.take(perSecond: perSecond, burst: burst, atNs: now) == nil
        case .window(let most):
            recentNs.removeAll { now - $0 >= 1_000_000_000 }
            guard recentNs.count < most else { return false }
            recentNs.append(now)
            return true
        }
    }
}
