/// Cuts a stream of bytes into the metadata and the records of a DBN stream.
///
/// Records tell their own length and nothing marks where one begins: after the first wrong one nothing can be read. What is
/// kept is bounded by ``DBNMetadata/bytesMost`` and what was just received.
public struct DBNFraming: Sendable {
    public private(set) var metadata: DBNMetadata?
    /// Records handed out.
    public private(set) var records = 0
    private var bytes: [UInt8] = []

    /// Length and kind, publisher, instrument and time.
    static let headerBytes = 16

    public init() {}

    public var keptBytes: Int { bytes.count }

    /// Takes bytes and hands out each record that is whole by then; it is valid during the call only.
    public mutating func receive(
        _ chunk: UnsafeRawBufferPointer,
        record: (UnsafeRawBufferPointer) -> Void
    ) throws(DBNError) {
        bytes.append(contentsOf: chunk)
        var start = 0
        if metadata == nil {
            guard let end = try readMetadata() else { return }
            start = end
        }
        while bytes.count - start >= Self.headerBytes {
            let length = 4 * Int(bytes[start])
            guard length >= Self.headerBytes else { throw .badLength(record: records + 1, bytes: length) }
            guard bytes.count - start >= length else { break }
            records += 1
            bytes[start..<(start + length)].withUnsafeBytes(record)
            start += length
        }
        bytes.removeFirst(start)
    }

    /// The stream is over.
    public func finish() throws(DBNError) {
        guard metadata == nil || !bytes.isEmpty else { return }
        throw .truncated(record: metadata == nil ? 0 : records + 1)
    }

    /// Where the records begin; nil while the metadata is not whole.
    private mutating func readMetadata() throws(DBNError) -> Int? {
        let magic = Array("DBN".utf8)
        if bytes.starts(with: [0x28, 0xB5, 0x2F, 0xFD]) { throw .packed }
        let isPacked = bytes.count < 4 && [0x28, 0xB5, 0x2F, 0xFD].starts(with: bytes)
        guard isPacked || zip(bytes, magic).allSatisfy(==) else { throw .notDBN }
        guard bytes.count >= DBNMetadata.prefixBytes else {
            if bytes.count >= 4, !(1...3).contains(bytes[3]) { throw .unknownVersion(bytes[3]) }
            return nil
        }
        guard (1...3).contains(bytes[3]) else { throw .unknownVersion(bytes[3]) }
        let length = bytes.withUnsafeBytes {
            Int(UInt32(littleEndian: $0.loadUnaligned(fromByteOffset: 4, as: UInt32.self)))
        }
        guard length <= DBNMetadata.bytesMost else { throw .badMetadata("length") }
        let end = DBNMetadata.prefixBytes + length
        guard bytes.count >= end else { return nil }
        let version = bytes[3]
        let result = bytes.withUnsafeBytes { all in
            Result { () throws(DBNError) in
                try DBNMetadata(
                    version: version,
                    UnsafeRawBufferPointer(rebasing: all[DBNMetadata.prefixBytes..<end])
                )
            }
        }
        metadata = try result.get()
        return end
    }
}
