import Feeds
import Testing

private let second: Int64 = 1_000_000_000

@Suite("What all connections to one venue may do together")
struct VenueGateTests {
    @Test("after eight failures in a row the venue is left alone, longer each time, and one attempt tells")
    func breaker() {
        var gate = VenueGate()
        for _ in 0..<7 { gate.failed(atNs: 0) }
        #expect(gate.admitConnect(atNs: 0) == nil)
        gate.failed(atNs: 0)
        #expect(gate.admitConnect(atNs: 59 * second) == 60 * second)
        #expect(gate.admitFetch(atNs: 59 * second) == 60 * second)
        // One goes, the others wait for its outcome.
        #expect(gate.admitConnect(atNs: 60 * second) == nil)
        #expect(gate.admitConnect(atNs: 60 * second) == 61 * second)
        gate.failed(atNs: 61 * second)
        #expect(gate.breaker == .open(untilNs: 181 * second))
        #expect(gate.admitConnect(atNs: 181 * second) == nil)
        gate.succeeded(atNs: 181 * second)
        #expect(gate.breaker == .closed)
        #expect(gate.admitConnect(atNs: 182 * second) == nil)
        #expect(gate.openings == 2)
    }

    @Test("an attempt that never tells does not hold the others up for ever")
    func silentAttempt() {
        var gate = VenueGate()
        for _ in 0..<8 { gate.failed(atNs: 0) }
        #expect(gate.admitConnect(atNs: 60 * second) == nil)
        #expect(gate.admitConnect(atNs: 119 * second) == 120 * second)
        #expect(gate.admitConnect(atNs: 120 * second) == nil)
    }

    @Test("the pause grows to fifteen minutes and no further")
    func longest() {
        var gate = VenueGate()
        var now: Int64 = 0
        var pauses: [Int64] = []
        for _ in 0..<8 { gate.failed(atNs: now) }
        for _ in 0..<6 {
            guard case .open(let untilNs) = gate.breaker else { break }
            pauses.append((untilNs - now) / second)
            now = untilNs
            _ = gate.admitConnect(atNs: now)
            gate.failed(atNs: now)
        }
        #expect(pauses == [60, 120, 240, 480, 900, 900])
    }

    @Test("a venue that says when to come back is obeyed at once, and not to come back sooner by a later word")
    func retryAfter() {
        var gate = VenueGate()
        gate.failed(atNs: 0, retryAfterNs: 120 * second)
        gate.failed(atNs: 0, retryAfterNs: 30 * second)
        #expect(gate.admitFetch(atNs: 119 * second) == 120 * second)
        // A connection that stays meanwhile does not end it.
        gate.succeeded(atNs: 60 * second)
        #expect(gate.admitFetch(atNs: 119 * second) == 120 * second)
        #expect(gate.admitFetch(atNs: 120 * second) == nil)
    }

    @Test("thirty connections a minute, the thirty-first waits for the first to be a minute old")
    func connects() {
        var gate = VenueGate()
        for attempt in 0..<30 { #expect(gate.admitConnect(atNs: Int64(attempt) * second) == nil) }
        #expect(gate.admitConnect(atNs: 30 * second) == 60 * second)
        #expect(gate.admitConnect(atNs: 60 * second) == nil)
    }

    @Test("requests of all connections keep their distance")
    func fetches() {
        var limits = VenueGate.Limits()
        limits.fetchEveryNs = second
        var gate = VenueGate(limits)
        #expect(gate.admitFetch(atNs: 0) == nil)
        #expect(gate.admitFetch(atNs: 1) == second)
        #expect(gate.admitFetch(atNs: second) == nil)
    }
}
