import Synchronization

/// One record on its way to the recorder, without its payload.
package struct RecordHead: Hashable, Sendable, BitwiseCopyable {
    package var receivedNs: Int64
    /// 0 for HTTP.
    package var connection: UInt32
    /// The source's place among the recorder's.
    package var source: UInt16
    /// ``CaptureRecord/Kind``.
    package var kind: UInt8
    /// Whether the payload is bytes of a binary protocol.
    package var isBinary: Bool

    package init(
        _ kind: CaptureRecord.Kind,
        source: UInt16 = 0,
        connection: UInt32,
        isBinary: Bool = false,
        atNs receivedNs: Int64
    ) {
        self.receivedNs = receivedNs
        self.connection = connection
        self.source = source
        self.kind = kind.rawValue
        self.isBinary = isBinary
    }
}

/// Carries raw traffic from the feed thread to the recorder's thread, without locks, allocation or waiting.
///
/// One thread pushes, one drains. Bounded: a push that does not fit is refused, and the pusher must say so later.
package final class RecordRing: @unchecked Sendable {
    /// How a record lies in memory; its payload is behind it.
    private struct Frame: BitwiseCopyable {
        /// Of the whole record; 0 says that the next one is at the ring's start.
        var byteCount: UInt32
        var payloadCount: UInt32
        var head: RecordHead
    }

    private static let alignment = 16
    private static let payloadOffset = (MemoryLayout<Frame>.size + alignment - 1) / alignment * alignment

    package let capacity: Int
    private let memory: UnsafeMutableRawPointer
    // Positions only grow; their rest by the capacity is the place in memory. A cache line for each, because two threads write.
    private let pushed = Padded()
    private let drained = Padded()
    /// The pusher's last sight of `drained`: reading the other thread's line costs more than reading one's own.
    private var drainedSeen = 0

    private final class Padded: Sendable {
        let before = InlineArray<8, Int>(repeating: 0)
        let position = Atomic<Int>(0)
        let after = InlineArray<8, Int>(repeating: 0)
    }

    /// - Parameter capacity: bytes; at least 4,096 and a multiple of 16.
    package init(capacity: Int) {
        precondition(capacity >= 4096 && capacity % Self.alignment == 0, "a ring of \(capacity) bytes")
        self.capacity = capacity
        memory = .allocate(byteCount: capacity, alignment: 64)
    }

    deinit { memory.deallocate() }

    /// Adds a record whose payload is two parts, one behind the other; false when there is no room, and then nothing changed.
    package func push(
        _ head: RecordHead,
        _ first: UnsafeRawBufferPointer,
        _ second: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0)
    ) -> Bool {
        let count = first.count + second.count
        guard count < capacity else { return false }
        let needed = (Self.payloadOffset + count + Self.alignment - 1) / Self.alignment * Self.alignment
        let start = pushed.position.load(ordering: .relaxed)
        let place = start % capacity
        let isWrapping = place + needed > capacity
        let total = isWrapping ? needed + capacity - place : needed
        if start + total - drainedSeen > capacity {
            drainedSeen = drained.position.load(ordering: .acquiring)
            guard start + total - drainedSeen <= capacity else { return false }
        }
        if isWrapping { memory.storeBytes(of: 0, toByteOffset: place, as: UInt32.self) }
        let record = memory + (isWrapping ? 0 : place)
        let frame = Frame(byteCount: UInt32(needed), payloadCount: UInt32(count), head: head)
        record.storeBytes(of: frame, as: Frame.self)
        let payload = UnsafeMutableRawBufferPointer(start: record + Self.payloadOffset, count: count)
        payload.copyBytes(from: first)
        UnsafeMutableRawBufferPointer(rebasing: payload[first.count...]).copyBytes(from: second)
        pushed.position.store(start + total, ordering: .releasing)
        return true
    }

    /// Hands at most `most` records over, oldest first; a payload is valid during the call only.
    ///
    /// - Returns: how many; `most` says that there may be more.
    package func drain(most: Int, into body: (RecordHead, UnsafeRawBufferPointer) -> Void) -> Int {
        let end = pushed.position.load(ordering: .acquiring)
        var at = drained.position.load(ordering: .relaxed)
        var count = 0
        while at < end, count < most {
            var record = memory + at % capacity
            if record.load(as: UInt32.self) == 0 {
                at += capacity - at % capacity
                record = memory
            }
            let frame = record.load(as: Frame.self)
            body(
                frame.head,
                UnsafeRawBufferPointer(start: record + Self.payloadOffset, count: Int(frame.payloadCount))
            )
            at += Int(frame.byteCount)
            count += 1
            // At once: what the disk takes its time for must not hold the room of what was handed over.
            drained.position.store(at, ordering: .releasing)
        }
        return count
    }
}
