import Market
import Synchronization
import Testing

@testable import Server

private func drained(_ ring: RecordRing, most: Int = .max) -> [(head: RecordHead, text: String)] {
    var found: [(head: RecordHead, text: String)] = []
    _ = ring.drain(most: most) { head, payload in found.append((head, String(decoding: payload, as: UTF8.self))) }
    return found
}

extension RecordRing {
    fileprivate func push(_ text: String, atNs now: Int64 = 0) -> Bool {
        Array(text.utf8).withUnsafeBytes { push(RecordHead(.received, source: 3, connection: 7, atNs: now), $0) }
    }
}

@Suite("Ring of records")
struct RecordRingTests {
    @Test("hands over what was pushed, in order, over its end many times")
    func order() {
        let ring = RecordRing(capacity: 4096)
        for round in 0..<500 {
            let texts = (0..<5).map { String(repeating: "\(($0 + round) % 10)", count: ($0 * 97 + round * 31) % 400) }
            for text in texts { #expect(ring.push(text, atNs: Int64(round))) }
            let found = drained(ring)
            #expect(found.map(\.text) == texts)
            #expect(found.allSatisfy { $0.head == RecordHead(.received, source: 3, connection: 7, atNs: Int64(round)) })
        }
    }

    @Test("refuses what does not fit, and takes it when there is room")
    func full() {
        let ring = RecordRing(capacity: 4096)
        #expect(!ring.push(String(repeating: "x", count: 4096)), "longer than the ring")
        var count = 0
        while ring.push(String(repeating: "x", count: 100)) { count += 1 }
        #expect((20...31).contains(count))
        #expect(drained(ring, most: 1).count == 1)
        #expect(ring.push(String(repeating: "y", count: 100)))
        #expect(drained(ring).count == count)
    }

    @Test("joins two parts of a payload")
    func parts() {
        let ring = RecordRing(capacity: 4096)
        let (first, second) = (Array("url\t".utf8), Array("body".utf8))
        let isTaken = first.withUnsafeBytes { first in
            second.withUnsafeBytes { ring.push(RecordHead(.answer, connection: 0, atNs: 1), first, $0) }
        }
        #expect(isTaken)
        #expect(drained(ring).map(\.text) == ["url\tbody"])
    }

    @Test("loses nothing between two threads")
    func threads() {
        let ring = RecordRing(capacity: 8192)
        let count = 100_000
        let pusher = JoinableThread(name: "pusher") {
            for number in 0..<count { while !ring.push("\(number)") {} }
        }
        var expected = 0
        while expected < count {
            _ = ring.drain(most: 64) { _, payload in
                if String(decoding: payload, as: UTF8.self) != "\(expected)" { Issue.record("\(expected) is missing") }
                expected += 1
            }
        }
        pusher.join()
    }
}

@Suite("Tap of a source")
struct RecordingTapTests {
    private let inlet = RecordingInlet(ring: RecordRing(capacity: 4096), sourcesMost: 4)

    @Test("passes everything on as the capture format names it")
    func kinds() {
        let tap = RecordingTap(inlet: inlet, source: 2)
        tap.opened("wss://a", connection: 5, atNs: 1)
        tap.sent("subscribe", connection: 5, atNs: 2)
        Array("frame".utf8).withUnsafeBytes {
            tap.received($0, isText: true, connection: 5, atNs: 3)
            tap.received($0, isText: false, connection: 5, atNs: 4)
            tap.answered("https://a/b", body: $0, connection: 0, atNs: 5)
        }
        tap.lost(.checksum, connection: 5, atNs: 6)
        let found = drained(inlet.ring)
        #expect(
            found.map(\.text) == ["wss://a", "subscribe", "frame", "frame", "https://a/b\tframe", "lost\tchecksum"]
        )
        #expect(found.map(\.head.kind) == Array("CSRRHM".utf8))
        #expect(found.map(\.head.isBinary) == [false, false, false, true, false, false])
        #expect(found.map(\.head.connection) == [5, 5, 5, 5, 0, 5])
        #expect(found.map(\.head.receivedNs) == [1, 2, 3, 4, 5, 6])
        #expect(found.allSatisfy { $0.head.source == 2 })
    }

    @Test("of a source that is not recorded does nothing")
    func none() {
        RecordingTap.none.opened("wss://a", connection: 1, atNs: 1)
        RecordingTap.none.lost(.gap, connection: 1, atNs: 1)
    }

    @Test("leaves records out while the ring is full, counts them, and says so before the next of that source")
    func overflow() {
        let (tap, other) = (RecordingTap(inlet: inlet, source: 0), RecordingTap(inlet: inlet, source: 1))
        let frame = String(repeating: "x", count: 200)
        for number in 0..<50 { tap.sent(frame, connection: 1, atNs: Int64(number)) }
        let taken = drained(inlet.ring).count
        #expect((10...19).contains(taken))
        #expect(inlet.lostCounts[0].count.load(ordering: .relaxed) == 50 - taken)
        other.sent("other", connection: 1, atNs: 50)
        tap.sent("after", connection: 1, atNs: 51)
        tap.sent("later", connection: 1, atNs: 52)
        let found = drained(inlet.ring)
        #expect(found.map(\.text) == ["other", "gap\t\(50 - taken)", "after", "later"])
        #expect(found.map(\.head.source) == [1, 0, 0, 0])
        #expect(found[1].head.kind == UInt8(ascii: "M") && found[1].head.connection == 0)
    }

    @Test("tells at the end what is missing still")
    func finish() {
        let tap = RecordingTap(inlet: inlet, source: 0)
        for _ in 0..<50 { tap.sent(String(repeating: "x", count: 200), connection: 1, atNs: 0) }
        let taken = drained(inlet.ring).count
        inlet.finish(atNs: 9)
        inlet.finish(atNs: 10)
        #expect(drained(inlet.ring).map(\.text) == ["gap\t\(50 - taken)"])
    }

    @Test("leaves out a payload whose line no reader would read")
    func tooLong() {
        let inlet = RecordingInlet(ring: RecordRing(capacity: 32 << 20), sourcesMost: 1)
        let tap = RecordingTap(inlet: inlet, source: 0)
        let most = RecordingInlet.payloadBytesMost
        for count in [most, most + 1] {
            [UInt8](repeating: 0, count: count).withUnsafeBytes {
                tap.received($0, isText: false, connection: 1, atNs: 0)
            }
        }
        var line: [UInt8] = []
        _ = inlet.ring.drain(most: .max) { head, payload in CaptureLine.append(head, payload, to: &line) }
        #expect(line.count < CaptureReader.lineBytesMost && line.count > CaptureReader.lineBytesMost - 4096)
        #expect(inlet.lostCounts[0].count.load(ordering: .relaxed) == 1)
    }
}
