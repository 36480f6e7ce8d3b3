package import Market
import Synchronization

/// Where a source's raw traffic passes on its way to the recorder; ``none`` records nothing and costs one comparison.
///
/// To be called on the feed thread, with the same time that the feed is given. It never waits: when the recorder is behind,
/// records are left out, counted, and a mark says how many as soon as there is room.
package struct RecordingTap {
    package static var none: RecordingTap { RecordingTap(inlet: nil, source: 0) }

    /// Whether anything is recorded, for those who have to prepare what they hand over.
    var isRecording: Bool { inlet != nil }

    fileprivate let inlet: RecordingInlet?
    fileprivate let source: UInt16

    init(inlet: RecordingInlet?, source: UInt16) {
        self.inlet = inlet
        self.source = source
    }

    /// A connection is open; `url` is the venue's own address, wherever it was reached.
    package func opened(_ url: String, connection: UInt32, atNs now: Int64) {
        guard let inlet else { return }
        inlet.push(RecordHead(.connect, source: source, connection: connection, atNs: now), url)
    }

    /// A frame was handed to the transport.
    package func sent(_ text: String, connection: UInt32, atNs now: Int64) {
        guard let inlet else { return }
        inlet.push(RecordHead(.sent, source: source, connection: connection, atNs: now), text)
    }

    package func received(_ bytes: UnsafeRawBufferPointer, isText: Bool, connection: UInt32, atNs now: Int64) {
        guard let inlet else { return }
        inlet.push(
            RecordHead(.received, source: source, connection: connection, isBinary: !isText, atNs: now),
            bytes
        )
    }

    /// The answer to an HTTP request that a connection wanted was handed to the feed.
    package func answered(_ url: String, body: UnsafeRawBufferPointer, connection: UInt32, atNs now: Int64) {
        guard let inlet else { return }
        var start = url + "\t"
        start.withUTF8 {
            let head = RecordHead(.answer, source: source, connection: connection, atNs: now)
            inlet.push(head, UnsafeRawBufferPointer($0), body)
        }
    }

    /// A message was read that the session kept from the feed.
    package func kept(_ message: UnsafeRawBufferPointer, connection: UInt32, atNs now: Int64) {
        guard let inlet else { return }
        let head = RecordHead(.mark, source: source, connection: connection, atNs: now)
        var word = "kept\t"
        word.withUTF8 { inlet.push(head, UnsafeRawBufferPointer($0), message) }
    }

    /// Messages of the venue were lost on the way, and will not come.
    package func missed(_ messages: UInt64, connection: UInt32, atNs now: Int64) {
        if messages > 0 { mark(.missed(messages: messages), connection, atNs: now) }
    }

    /// Books of the connection had stayed crossed or quiet for too long.
    package func watched(connection: UInt32, atNs now: Int64) { mark(.watched, connection, atNs: now) }

    /// The connection is given up for good, and its number free for another.
    package func ended(connection: UInt32, atNs now: Int64) { mark(.ended, connection, atNs: now) }

    /// The connection's books were given up.
    package func lost(_ reason: MarketStatus.Reason, connection: UInt32, atNs now: Int64) {
        mark(.lost(reason: reason.name), connection, atNs: now)
    }

    private func mark(_ mark: RecordingMark, _ connection: UInt32, atNs now: Int64) {
        guard let inlet else { return }
        inlet.push(RecordHead(.mark, source: source, connection: connection, atNs: now), mark.payload)
    }
}

/// The feed thread's end of the ring: counts what did not fit, and says so in the recording.
final class RecordingInlet {
    /// A longer payload is left out, because no reader would read its line.
    static let payloadBytesMost = CaptureReader.lineBytesMost / 4 * 3 - 1024

    let ring: RecordRing
    /// Records left out since the last one that went through, by source.
    private var missing: [Int] = []
    /// Whether the recording has ended: what comes from now on is none of it, and not missing from it either.
    private let isClosed = Atomic<Bool>(false)
    /// What was left out since the start, by source; read by the recorder's thread.
    let lostCounts: [Atomic<Int>.Box]

    init(ring: RecordRing, sourcesMost: Int) {
        self.ring = ring
        missing = Array(repeating: 0, count: sourcesMost)
        lostCounts = (0..<sourcesMost).map { _ in Atomic<Int>.Box() }
    }

    /// Takes nothing any more; from any thread.
    func close() { isClosed.store(true, ordering: .relaxed) }

    fileprivate func push(_ head: RecordHead, _ text: String) {
        var text = text
        text.withUTF8 { push(head, UnsafeRawBufferPointer($0)) }
    }

    func push(
        _ head: RecordHead,
        _ first: UnsafeRawBufferPointer,
        _ second: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0)
    ) {
        guard !isClosed.load(ordering: .relaxed) else { return }
        let source = Int(head.source)
        guard first.count + second.count <= Self.payloadBytesMost, tellOfMissing(source, atNs: head.receivedNs),
            ring.push(head, first, second)
        else {
            missing[source] += 1
            lostCounts[source].count.wrappingAdd(1, ordering: .relaxed)
            return
        }
    }

    /// Says how many records are missing, if any are; false when not even that fits.
    private func tellOfMissing(_ source: Int, atNs now: Int64) -> Bool {
        guard missing[source] > 0 else { return true }
        var mark = RecordingMark.gap(records: missing[source]).payload
        let head = RecordHead(.mark, source: UInt16(source), connection: 0, atNs: now)
        guard mark.withUTF8({ ring.push(head, UnsafeRawBufferPointer($0)) }) else { return false }
        missing[source] = 0
        return true
    }

    /// Tells of everything that is missing still; to be called when nobody pushes any more and the ring is empty.
    func finish(atNs now: Int64) {
        for source in missing.indices { _ = tellOfMissing(source, atNs: now) }
    }
}

extension Atomic where Value == Int {
    /// A counter that may lie in an array.
    final class Box: Sendable {
        let count = Atomic<Int>(0)
    }
}
