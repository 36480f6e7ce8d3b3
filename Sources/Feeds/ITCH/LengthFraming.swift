/// Cuts a stream of bytes into pieces that each bear their length ahead, two bytes, big endian: ITCH files and SoupBinTCP.
///
/// Holds one unfinished piece at most: 65,537 bytes.
public struct LengthFraming: Sendable {
    private var begun: [UInt8] = []

    public init() { begun.reserveCapacity(512) }

    /// Bytes of a piece that has not ended; of a file that is at its end they say that it was cut.
    public var unfinishedBytes: Int { begun.count }

    /// Forgets what has not ended, for a new connection.
    public mutating func removeAll() { begun.removeAll(keepingCapacity: true) }

    /// Hands over every piece that ends in these bytes, without its length; a piece may be empty.
    ///
    /// `body` gets a piece, valid during the call; false stops, and the rest is forgotten.
    public mutating func receive(
        _ bytes: UnsafeRawBufferPointer,
        _ body: (UnsafeRawBufferPointer) -> Bool
    ) {
        var rest = bytes
        while !begun.isEmpty, !rest.isEmpty {
            let wanted = begun.count < 2 ? 2 : 2 + (Int(begun[0]) << 8 | Int(begun[1]))
            let taken = min(wanted - begun.count, rest.count)
            begun.append(contentsOf: rest[..<taken])
            rest = UnsafeRawBufferPointer(rebasing: rest[taken...])
            guard begun.count >= 2, begun.count == 2 + (Int(begun[0]) << 8 | Int(begun[1])) else { continue }
            let isWanted = begun.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[2...])) }
            begun.removeAll(keepingCapacity: true)
            guard isWanted else { return }
        }
        var start = 0
        while rest.count - start >= 2 {
            let end = start + 2 + (Int(rest[start]) << 8 | Int(rest[start + 1]))
            guard end <= rest.count else { break }
            let isWanted = body(UnsafeRawBufferPointer(rebasing: rest[(start + 2)..<end]))
            start = end
            guard isWanted else { return }
        }
        begun.append(contentsOf: rest[start...])
    }
}
