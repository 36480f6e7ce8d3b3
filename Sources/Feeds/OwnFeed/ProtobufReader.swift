/// Reads the fields of one protobuf message (protobuf.dev, "Encoding"), which it checks for bounds and for nothing else.
///
/// Costs nothing but the walk: values are numbers, or places in the bytes that were given.
struct ProtobufReader {
    /// What stands behind a field's number, by its wire type; what it means is the caller's.
    enum Value {
        case varint(UInt64)
        case fixed64(UInt64)
        case fixed32(UInt32)
        case bytes(Range<Int>)
    }

    struct Field {
        var number: UInt32
        var value: Value
    }

    private let bytes: UnsafeRawBufferPointer
    private var at: Int
    private let end: Int

    /// - Parameter bytes: outlive this value.
    init(_ bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
        at = 0
        end = bytes.count
    }

    /// A message within the same bytes.
    init(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>) {
        self.bytes = bytes
        at = range.lowerBound
        end = range.upperBound
    }

    /// The next field, known or not; nil at the end.
    ///
    /// - Throws: ``LineFeedError/notProtobuf(offset:)``; groups, which proto3 has not, are refused too.
    mutating func next() throws(LineFeedError) -> Field? {
        guard at < end else { return nil }
        let start = at
        let tag = try varint()
        let number = tag >> 3
        guard (1..<1 << 29).contains(number) else { throw .notProtobuf(offset: start) }
        let value: Value
        switch tag & 7 {
        case 0: value = .varint(try varint())
        case 1: value = .fixed64(try fixed(UInt64.self))
        case 2:
            let length = try varint()
            guard length <= UInt64(end - at) else { throw .notProtobuf(offset: start) }
            value = .bytes(at..<at + Int(length))
            at += Int(length)
        case 5: value = .fixed32(try fixed(UInt32.self))
        default: throw .notProtobuf(offset: start)
        }
        return Field(number: UInt32(number), value: value)
    }

    private mutating func varint() throws(LineFeedError) -> UInt64 {
        let start = at
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while at < end {
            let byte = bytes[at]
            at += 1
            // The tenth byte has room for one bit.
            guard shift < 63 || byte <= 1 else { throw .notProtobuf(offset: start) }
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return value }
            shift += 7
        }
        throw .notProtobuf(offset: start)
    }

    private mutating func fixed<Number: FixedWidthInteger & BitwiseCopyable>(
        _ type: Number.Type
    ) throws(LineFeedError) -> Number {
        let size = MemoryLayout<Number>.size
        guard end - at >= size else { throw .notProtobuf(offset: at) }
        defer { at += size }
        return Number(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: Number.self))
    }
}

extension ProtobufReader.Field {
    /// The number of a `uint64`, `uint32` or enum field; nil where other bytes stand under its number.
    var unsigned: UInt64? {
        if case .varint(let value) = value { value } else { nil }
    }

    /// The number of a `sint64` field.
    var signed: Int64? {
        guard case .varint(let value) = value else { return nil }
        return Int64(bitPattern: value >> 1) ^ -Int64(bitPattern: value & 1)
    }

    /// The number of a `fixed64` field.
    var fixed: UInt64? {
        if case .fixed64(let value) = value { value } else { nil }
    }

    /// Where a text, bytes or a message stand.
    var range: Range<Int>? {
        if case .bytes(let range) = value { range } else { nil }
    }
}
