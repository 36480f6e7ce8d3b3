import Testing

@testable import Server

/// A client over a link that takes so many bytes a second and answers a marker when it has read up to it.
private struct Link {
    var bytesPerSecond: Double
    var delayNs: Int64 = 1_000_000
    var credit = Credit()
    /// When the next run begins.
    var beganMs = 0
    /// What waits to be read, by the markers in it.
    private var queued: Double = 0
    private var markers: [(payload: [UInt8], behind: Double)] = []
    private var pongs: [(payload: [UInt8], atNs: Int64)] = []
    private(set) var markerCount = 0

    init(bytesPerSecond: Double) { self.bytesPerSecond = bytesPerSecond }

    /// Bytes that the client has not read.
    var waiting: Double { queued }

    mutating func send(_ bytes: Int, atNs now: Int64) {
        let marker = credit.marker(behind: bytes, atNs: now)
        credit.send(bytes)
        queued += Double(bytes)
        guard let marker else { return }
        markerCount += 1
        markers.append((marker, queued))
    }

    /// A millisecond passes.
    mutating func run(toNs now: Int64) {
        let read = min(queued, bytesPerSecond / 1000)
        queued -= read
        for place in markers.indices { markers[place].behind -= read }
        while let first = markers.first, first.behind <= 0 {
            pongs.append((first.payload, now + delayNs))
            markers.removeFirst()
        }
        while let first = pongs.first, first.atNs <= now {
            first.payload.withUnsafeBytes { credit.pong($0, atNs: now) }
            pongs.removeFirst()
        }
    }
}

@Suite("Credit")
struct CreditTests {
    /// Sends a message every millisecond unless credit is used up; the most that waited in the last half, and how often it was used up.
    private func run(
        _ link: inout Link,
        bytes: Int,
        milliseconds: Int,
        everyMs: Int = 1
    ) -> (most: Double, heldBack: Int) {
        var (most, heldBack) = (0.0, 0)
        for millisecond in 1...milliseconds {
            let now = Int64(link.beganMs + millisecond) * 1_000_000
            if millisecond % everyMs == 0 {
                if link.credit.isUsedUp { heldBack += 1 } else { link.send(bytes, atNs: now) }
            }
            link.run(toNs: now)
            if millisecond > milliseconds / 2 { most = max(most, link.waiting) }
        }
        link.beganMs += milliseconds
        return (most, heldBack)
    }

    @Test("never holds back a client that reads as fast as it is told", arguments: [60, 200, 1_000, 10_000])
    func fast(bytes: Int) {
        var link = Link(bytesPerSecond: 100_000_000)
        _ = run(&link, bytes: bytes, milliseconds: 2_000)
        let (_, heldBack) = run(&link, bytes: bytes, milliseconds: 4_000)
        #expect(heldBack == 0)
    }

    @Test("nor one that is far away", arguments: [100, 300, 1_000] as [Int64])
    func far(milliseconds: Int64) {
        var link = Link(bytesPerSecond: 100_000_000)
        link.delayNs = milliseconds * 1_000_000
        _ = run(&link, bytes: 300, milliseconds: 10_000)
        let (_, heldBack) = run(&link, bytes: 300, milliseconds: 10_000)
        #expect(heldBack == 0)
    }

    @Test(
        "holds back one that reads at a third of the rate, so that little lies before it",
        arguments: [200, 1_000, 10_000]
    )
    func slow(bytes: Int) {
        let rate = Double(bytes) * 1_000 / 3
        var link = Link(bytesPerSecond: rate)
        let (most, heldBack) = run(&link, bytes: bytes, milliseconds: 10_000)
        #expect(heldBack > 1_000)
        let allowed = max(Double(Credit.bytesLeast), rate / 4)
        #expect(most <= allowed * 1.5 + Double(bytes), "\(most) of \(allowed)")
    }

    @Test("asks one that keeps up three times a second, and not more often", arguments: [100, 300, 1_000])
    func asksSeldom(bytes: Int) {
        var link = Link(bytesPerSecond: 100_000_000)
        _ = run(&link, bytes: bytes, milliseconds: 10_000)
        let before = link.markerCount
        _ = run(&link, bytes: bytes, milliseconds: 10_000)
        #expect((20...32).contains(link.markerCount - before), "\(link.markerCount - before) markers in 10 s")
    }

    @Test("lets three quarters of a second lie before one that kept up until now, once, and a quarter from then on")
    func turnsSlow() {
        var link = Link(bytesPerSecond: 100_000_000)
        _ = run(&link, bytes: 1_000, milliseconds: 10_000)
        link.bytesPerSecond = 200_000
        var most = 0.0
        for _ in 0..<20 { most = max(most, run(&link, bytes: 1_000, milliseconds: 100).most) }
        #expect((400_000...900_000).contains(most), "\(most) lay before it at first")
        _ = run(&link, bytes: 1_000, milliseconds: 10_000)
        let (later, heldBack) = run(&link, bytes: 1_000, milliseconds: 10_000)
        #expect(heldBack > 1_000 && later <= 200_000 / 4 * 1.5 + 1_000, "\(later) later")
    }

    @Test("says nothing of a client that never answers")
    func silent() {
        var credit = Credit()
        for millisecond in 1...1_000 {
            _ = credit.marker(behind: 5_000, atNs: Int64(millisecond) * 1_000_000)
            credit.send(5_000)
        }
        #expect(!credit.isUsedUp)
    }

    @Test("is not fooled by pongs that nobody asked for")
    func invented() {
        var credit = Credit()
        let marker = credit.marker(behind: 10_000, atNs: 1)
        credit.send(10_000)
        #expect(marker == [1, 0, 0, 0])
        for payload in [[], [1], [2, 0, 0, 0], [1, 0, 0, 0, 0], [255, 255, 255, 255]] as [[UInt8]] {
            payload.withUnsafeBytes { credit.pong($0, atNs: 2) }
        }
        credit.send(1_000_000)
        #expect(!credit.isUsedUp, "it has not answered yet")
        marker?.withUnsafeBytes { credit.pong($0, atNs: 1_000_000_000) }
        #expect(credit.isUsedUp)
        #expect(credit.allowed < 20_000, "10 KB in a second, on a way of a second")
        marker?.withUnsafeBytes { credit.pong($0, atNs: 2_000_000_000) }
        #expect(credit.isUsedUp, "a marker is answered once")
    }

    @Test("that is used up while no marker is out asks by a ping of its own, and never waits for ever")
    func asks() {
        let second: Int64 = 1_000_000_000
        var credit = Credit()
        let first = credit.marker(behind: 10_000, atNs: second)
        credit.send(10_000)
        first?.withUnsafeBytes { credit.pong($0, atNs: second + 1_000_000) }
        // As many as may be out; what follows goes unmarked.
        var markers: [[UInt8]] = []
        for number in 0..<10 {
            let now = 2 * second + Int64(number) * second / 10 * 3
            if let marker = credit.marker(behind: 8_500, atNs: now) { markers.append(marker) }
            credit.send(8_500)
        }
        #expect(markers.count == 4)
        for (number, marker) in markers.enumerated() {
            marker.withUnsafeBytes { credit.pong($0, atNs: Int64(6 + number) * second) }
        }
        #expect(credit.isUsedUp && credit.needsPing)
        let ping = credit.ping(atNs: 61_000_000_000)
        #expect(!credit.needsPing, "one is out")
        ping.withUnsafeBytes { credit.pong($0, atNs: 62_000_000_000) }
        #expect(!credit.isUsedUp)
    }

    @Test("takes the answer to a later ping for that to all before it, as many as are asked")
    func newestAlone() {
        var credit = Credit()
        var last: [UInt8] = []
        for second in 1...20 {
            credit.send(10_000)
            last = credit.ping(atNs: Int64(second) * 1_000_000_000)
        }
        last.withUnsafeBytes { credit.pong($0, atNs: 30_000_000_000) }
        credit.send(Int(Credit.bytesLeast))
        let again = credit.ping(atNs: 31_000_000_000)
        again.withUnsafeBytes { credit.pong($0, atNs: 32_000_000_000) }
        #expect(!credit.isUsedUp)
    }

    @Test("costs a quiet client no ping, and a busy one some a second")
    func markers() {
        var quiet = Link(bytesPerSecond: 1_000_000)
        _ = run(&quiet, bytes: 100, milliseconds: 10_000, everyMs: 100)
        #expect(quiet.markerCount <= 3)
        var busy = Link(bytesPerSecond: 100_000_000)
        _ = run(&busy, bytes: 1_000, milliseconds: 10_000)
        #expect((30...150).contains(busy.markerCount), "\(busy.markerCount)")
    }
}
