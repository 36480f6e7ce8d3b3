import Testing

@testable import Server

@Suite("Outbox")
struct OutboxTests {
    private func append(_ bytes: [UInt8], to outbox: inout Outbox, most: Int) -> Bool {
        bytes.withUnsafeBytes { outbox.append($0, mostBytes: most) }
    }

    @Test("gives bytes back in order, in the pieces that are taken")
    func order() {
        var outbox = Outbox()
        #expect(append([1, 2, 3], to: &outbox, most: 100))
        #expect(append([4, 5], to: &outbox, most: 100))
        var taken: [UInt8] = []
        while !outbox.isEmpty {
            outbox.take { bytes in
                let count = min(2, bytes.count)
                taken.append(contentsOf: bytes[..<count])
                return count
            }
        }
        #expect(taken == [1, 2, 3, 4, 5])
    }

    @Test("keeps what was not taken")
    func partly() {
        var outbox = Outbox()
        #expect(append([1, 2, 3], to: &outbox, most: 100))
        outbox.take { _ in 1 }
        #expect(outbox.count == 2)
        outbox.take { bytes in
            #expect(Array(bytes) == [2, 3])
            return 0
        }
        #expect(outbox.count == 2)
    }

    @Test("refuses more than its bound, but takes a first message of any size")
    func bound() {
        var outbox = Outbox()
        #expect(append(Array(repeating: 1, count: 50), to: &outbox, most: 10))
        #expect(!append([2], to: &outbox, most: 50))
        #expect(append([2], to: &outbox, most: 51))
        #expect(outbox.count == 51)
    }

    @Test("counts only what still waits against the bound")
    func longQueue() {
        var outbox = Outbox()
        let chunk = [UInt8](repeating: 7, count: 1000)
        for _ in 0..<1000 {
            #expect(append(chunk, to: &outbox, most: 2000))
            #expect(append(chunk, to: &outbox, most: 2000))
            outbox.take { min(2000, $0.count) }
        }
        #expect(outbox.isEmpty)
    }
}

@Suite("Token bucket")
struct TokenBucketTests {
    @Test("allows a burst, then so many a second, and says how long to wait")
    func allows() {
        var bucket = TokenBucket(burst: 3, atNs: 0)
        for _ in 0..<3 { #expect(bucket.take(perSecond: 10, burst: 3, atNs: 0) == nil) }
        let wait = bucket.take(perSecond: 10, burst: 3, atNs: 0)
        #expect(wait == 101)
        #expect(bucket.take(perSecond: 10, burst: 3, atNs: 99_000_000) != nil)
        #expect(bucket.take(perSecond: 10, burst: 3, atNs: 101_000_000) == nil)
        #expect(bucket.take(perSecond: 10, burst: 3, atNs: 102_000_000) != nil)
    }

    @Test("shows what is left, and when it will be whole")
    func shows() {
        var bucket = TokenBucket(burst: 20, atNs: 0)
        #expect(bucket.left(perSecond: 10, burst: 20, atNs: 0) == (20, 0))
        for _ in 0..<5 { _ = bucket.take(perSecond: 10, burst: 20, atNs: 0) }
        #expect(bucket.left(perSecond: 10, burst: 20, atNs: 0) == (15, 500))
        #expect(bucket.left(perSecond: 10, burst: 20, atNs: 250_000_000) == (17, 250))
        #expect(bucket.left(perSecond: 10, burst: 20, atNs: 9_000_000_000) == (20, 0))
    }

    @Test("saves up no more than a burst")
    func savesUp() {
        var bucket = TokenBucket(burst: 2, atNs: 0)
        let later: Int64 = 3_600_000_000_000
        #expect(bucket.take(perSecond: 10, burst: 2, atNs: later) == nil)
        #expect(bucket.take(perSecond: 10, burst: 2, atNs: later) == nil)
        #expect(bucket.take(perSecond: 10, burst: 2, atNs: later) != nil)
    }
}

@Suite("Hub clock")
struct HubClockTests {
    @Test("never goes back while it is corrected")
    func monotonic() {
        let clock = HubClock()
        var last = clock.nowNs
        for _ in 0..<1000 {
            clock.correct(intervalNs: 1_000_000)
            let now = clock.nowNs
            // A correction of a millisecond's interval moves it by at most 500 ns, and it runs on meanwhile.
            #expect(now >= last - 500)
            last = now
        }
    }
}
