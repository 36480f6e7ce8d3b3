/// Appends protobuf fields to bytes, in the order in which they are given; a zero or empty value is left out, as proto3 does.
enum ProtobufWriter {
    static func unsigned(_ value: UInt64, _ number: UInt32, to bytes: inout [UInt8]) {
        guard value != 0 else { return }
        varint(UInt64(number) << 3, to: &bytes)
        varint(value, to: &bytes)
    }

    static func signed(_ value: Int64, _ number: UInt32, to bytes: inout [UInt8]) {
        unsigned(UInt64(bitPattern: value << 1 ^ value >> 63), number, to: &bytes)
    }

    static func fixed(_ value: UInt64, _ number: UInt32, to bytes: inout [UInt8]) {
        guard value != 0 else { return }
        varint(UInt64(number) << 3 | 1, to: &bytes)
        for shift in stride(from: 0, to: 64, by: 8) { bytes.append(UInt8(truncatingIfNeeded: value >> UInt64(shift))) }
    }

    static func text(_ value: String, _ number: UInt32, to bytes: inout [UInt8]) {
        guard !value.isEmpty else { return }
        varint(UInt64(number) << 3 | 2, to: &bytes)
        varint(UInt64(value.utf8.count), to: &bytes)
        bytes.append(contentsOf: value.utf8)
    }

    /// Appends a message, also an empty one: that it is there says something.
    static func message(_ number: UInt32, to bytes: inout [UInt8], _ body: (inout [UInt8]) -> Void) {
        varint(UInt64(number) << 3 | 2, to: &bytes)
        let start = bytes.count
        body(&bytes)
        // The length goes before what was just written; most are below 128 and take one byte.
        var length: [UInt8] = []
        varint(UInt64(bytes.count - start), to: &length)
        bytes.insert(contentsOf: length, at: start)
    }

    private static func varint(_ value: UInt64, to bytes: inout [UInt8]) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }
}
