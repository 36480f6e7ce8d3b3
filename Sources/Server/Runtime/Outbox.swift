/// Bytes that must reach one client and could not be written yet, in order.
///
/// Bounded: bytes are refused when some wait already and all together would be more than `mostBytes`. A first message is taken
/// whatever its size, because its sender made it and bounds it.
package struct Outbox {
    private var bytes: [UInt8] = []
    private var start = 0

    package init() {}

    package var count: Int { bytes.count - start }
    package var isEmpty: Bool { start == bytes.count }

    /// False when there is no room; then nothing changed.
    package mutating func append(_ more: UnsafeRawBufferPointer, mostBytes: Int) -> Bool {
        guard isEmpty || count + more.count <= mostBytes else { return false }
        if start > 65_536 {
            bytes.removeSubrange(..<start)
            start = 0
        }
        bytes.append(contentsOf: more)
        return true
    }

    /// Offers what waits; the first bytes are gone once `body` has said how many it took.
    package mutating func take(_ body: (UnsafeRawBufferPointer) -> Int) {
        let taken = bytes.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[start...])) }
        start += taken
        // The memory goes as well: most clients never wait, and one that did should not keep its worst hour.
        if isEmpty { self = Outbox() }
    }
}
