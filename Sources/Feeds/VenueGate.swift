/// What all connections to one venue may do together: how often they connect and ask, and whether they may at all.
///
/// A circuit breaker: after a row of failures the venue is left alone for a while, longer each time; then one attempt is let
/// through, and its outcome closes or opens the breaker again. A venue that says itself when to come back is obeyed.
public struct VenueGate: Sendable {
    public struct Limits: Sendable {
        /// Failures in a row that open the breaker.
        public var failuresMost = 8
        /// How long it stays open first, and longest; it doubles each time.
        public var openNs: Int64 = 60_000_000_000
        public var openMostNs: Int64 = 900_000_000_000
        /// Connections within ``connectWindowNs``; venues ban addresses that open more.
        public var connectsMost = 30
        public var connectWindowNs: Int64 = 60_000_000_000
        /// The least time between two requests of all connections together.
        public var fetchEveryNs: Int64 = 0

        public init() {}

        public init(failuresMost: Int, connectsMost: Int) {
            self.failuresMost = failuresMost
            self.connectsMost = connectsMost
        }
    }

    public enum Breaker: Hashable, Sendable {
        case closed
        case open(untilNs: Int64)
        /// One attempt is under way; it counts as failed when it says nothing until then.
        case trying(untilNs: Int64)
    }

    public private(set) var breaker = Breaker.closed
    /// Times that the breaker opened.
    public private(set) var openings = 0
    private let limits: Limits
    private var failures = 0
    private var openingsInARow = 0
    private var connects: [Int64] = []
    private var fetchFromNs: Int64 = .min

    public init(_ limits: Limits = Limits()) { self.limits = limits }

    /// Whether a connection may be opened now; counts it if so.
    ///
    /// - Returns: nil when it may, or the time to ask again.
    public mutating func admitConnect(atNs now: Int64) -> Int64? {
        if let later = closedUntil(now) { return later }
        connects.removeAll { now - $0 >= limits.connectWindowNs }
        if connects.count >= limits.connectsMost, let oldest = connects.first { return oldest + limits.connectWindowNs }
        connects.append(now)
        if breaker != .closed { breaker = .trying(untilNs: now + limits.openNs) }
        return nil
    }

    /// Whether a request may be sent now; counts it if so.
    ///
    /// - Returns: nil when it may, or the time to ask again.
    public mutating func admitFetch(atNs now: Int64) -> Int64? {
        if case .open(let untilNs) = breaker, now < untilNs { return untilNs }
        guard now >= fetchFromNs else { return fetchFromNs }
        fetchFromNs = now + limits.fetchEveryNs
        return nil
    }

    /// A connection stayed up, or a request was answered as wanted.
    ///
    /// A pause that the venue asked for goes on.
    public mutating func succeeded(atNs now: Int64) {
        failures = 0
        if case .open(let untilNs) = breaker, now < untilNs { return }
        openingsInARow = 0
        breaker = .closed
    }

    /// A connection or request failed.
    ///
    /// - Parameters:
    ///   - now: when, in nanoseconds of a clock that never goes back.
    ///   - retryAfterNs: how long the venue wants to be left alone, where it says so.
    public mutating func failed(atNs now: Int64, retryAfterNs: Int64? = nil) {
        failures += 1
        if let retryAfterNs { return open(untilNs: now + min(max(retryAfterNs, 1), 4 * limits.openMostNs)) }
        let wasTrying = if case .trying = breaker { true } else { false }
        guard failures >= limits.failuresMost || wasTrying else { return }
        let pause = min(limits.openMostNs, limits.openNs << Int64(min(openingsInARow, 20)))
        openingsInARow += 1
        open(untilNs: now + pause)
    }

    /// A venue sent what nobody can use: it is left alone for five minutes.
    public mutating func cutOff(atNs now: Int64) { failed(atNs: now, retryAfterNs: 300_000_000_000) }

    private mutating func open(untilNs: Int64) {
        openings += 1
        failures = 0
        if case .open(let earlier) = breaker, earlier >= untilNs { return }
        breaker = .open(untilNs: untilNs)
    }

    private func closedUntil(_ now: Int64) -> Int64? {
        switch breaker {
        case .closed: nil
        case .open(let untilNs): now < untilNs ? untilNs : nil
        // The attempt under way tells; the others come back soon.
        case .trying(let untilNs): now < untilNs ? min(untilNs, now + 1_000_000_000) : nil
        }
    }
}
