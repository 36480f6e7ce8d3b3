/// Protobuf's encoding: https://protobuf.dev/programming-guides/encoding, in the shortest form, as protobuf-c packs it.
///
/// Tags are given as bytes: field number times eight plus the kind, for fields 1 to 15 a single byte. A proto3 field that is zero or
/// empty is left out.
enum WireKind {
    static let varint: UInt8 = 0
    static let fixed64: UInt8 = 1
    static let bytes: UInt8 = 2
    static let fixed32: UInt8 = 5

    /// The most bytes that one number takes.
    static let varintLengthMost = 10
    /// How many bytes behind the last one may be written by the way: who puts numbers reserves so many more.
    static let slack = 8
}

@inline(__always)
func zigZag(_ value: Int64) -> UInt64 { UInt64(bitPattern: (value << 1) ^ (value >> 63)) }

/// How many bytes a number takes as a varint.
@inline(__always)
func varintLength(_ value: UInt64) -> Int { (70 &- (value | 1).leadingZeroBitCount) / 7 }

extension UnsafeMutablePointer<UInt8> {
    /// Puts a number; up to eight bytes may be written, of which those behind the number are no part of it and are overwritten next.
    ///
    /// One store instead of a loop: its bytes differ in count from number to number, and each loop's end would be guessed wrong.
    @inline(__always)
    mutating func put(varint value: UInt64) {
        guard value >> 56 == 0 else { return putEach(varint: value) }
        // Groups of seven bits take their places in groups of eight: first 28 and 28, then 14, then 7.
        var spread = (value & 0x0FFF_FFFF) | (value & 0x00FF_FFFF_F000_0000) << 4
        spread = (spread & 0x0000_3FFF_0000_3FFF) | (spread & 0x0FFF_C000_0FFF_C000) << 2
        spread = (spread & 0x007F_007F_007F_007F) | (spread & 0x3F80_3F80_3F80_3F80) << 1
        let length = varintLength(value)
        let allButLast = (1 as UInt64) &<< UInt64(truncatingIfNeeded: 8 &* (length &- 1)) &- 1
        spread |= 0x8080_8080_8080_8080 & allButLast
        UnsafeMutableRawPointer(self).storeBytes(of: spread.littleEndian, as: UInt64.self)
        self += length
    }

    /// Puts a number and touches no byte behind it.
    mutating func putEach(varint value: UInt64) {
        var left = value
        while left >= 0x80 {
            put(UInt8(truncatingIfNeeded: left) | 0x80)
            left >>= 7
        }
        put(UInt8(truncatingIfNeeded: left))
    }

    @inline(__always)
    mutating func put(_ field: UInt8, varint value: UInt64) {
        guard value != 0 else { return }
        put(field << 3 | WireKind.varint)
        put(varint: value)
    }

    @inline(__always)
    mutating func put(_ field: UInt8, signed value: Int64) { put(field, varint: zigZag(value)) }

    @inline(__always)
    mutating func put(_ field: UInt8, fixed64 value: UInt64) {
        guard value != 0 else { return }
        put(field << 3 | WireKind.fixed64)
        UnsafeMutableRawPointer(self).storeBytes(of: value.littleEndian, as: UInt64.self)
        self += 8
    }

    /// Written even when zero: the field's presence says something.
    @inline(__always)
    mutating func put(_ field: UInt8, present value: UInt32) {
        put(field << 3 | WireKind.fixed32)
        UnsafeMutableRawPointer(self).storeBytes(of: value.littleEndian, as: UInt32.self)
        self += 4
    }
}

extension OutputBytes {
    /// A message field whose length is not known yet.
    struct OpenMessage {
        /// Where the content begins, if the length takes the room left for it.
        var start: Int
        var lengthRoom: Int
    }

    /// Begins a message field and leaves room for a length of `lengthRoom` bytes.
    @inline(__always)
    mutating func openMessage(_ field: UInt8, lengthRoom: Int = 1) -> OpenMessage {
        reserve(1 + lengthRoom)
        put(field << 3 | WireKind.bytes)
        count(up: lengthRoom)
        return OpenMessage(start: end - base, lengthRoom: lengthRoom)
    }

    /// Writes the length; content moves when its length does not take the room that was left.
    @inline(__always)
    mutating func close(_ message: OpenMessage) {
        let length = count - message.start
        let lengthLength = varintLength(UInt64(length))
        if lengthLength != message.lengthRoom {
            let distance = lengthLength - message.lengthRoom
            reserve(max(0, distance))
            shift(from: message.start, by: distance)
        }
        var at = base + (message.start - message.lengthRoom)
        at.putEach(varint: UInt64(length))
    }

    @inline(__always)
    private mutating func count(up length: Int) { advance(to: end + length) }

    /// Writes one message field.
    mutating func message(_ field: UInt8, lengthRoom: Int = 1, _ content: (inout OutputBytes) -> Void) {
        let message = openMessage(field, lengthRoom: lengthRoom)
        content(&self)
        close(message)
    }

    mutating func field(_ field: UInt8, varint value: UInt64) {
        reserve(1 + WireKind.varintLengthMost)
        var at = end
        at.put(field, varint: value)
        advance(to: at)
    }

    mutating func field(_ field: UInt8, _ value: UInt32) { self.field(field, varint: UInt64(value)) }

    mutating func field(_ field: UInt8, _ value: Bool) { self.field(field, varint: value ? 1 : 0) }

    mutating func field(_ field: UInt8, fixed64 value: UInt64) {
        reserve(9)
        var at = end
        at.put(field, fixed64: value)
        advance(to: at)
    }

    mutating func field(_ field: UInt8, _ text: String) {
        guard !text.isEmpty else { return }
        element(field, text)
    }

    /// For fields above 15, whose tag takes more than a byte.
    mutating func field(wide field: UInt32, varint value: UInt64) {
        guard value != 0 else { return }
        reserve(2 * WireKind.varintLengthMost)
        var at = end
        at.putEach(varint: UInt64(field) << 3 | UInt64(WireKind.varint))
        at.putEach(varint: value)
        advance(to: at)
    }

    /// For fields above 15, whose tag takes more than a byte.
    mutating func field(wide field: UInt32, _ text: String) {
        guard !text.isEmpty else { return }
        var text = text
        text.withUTF8 { bytes in
            reserve(2 * WireKind.varintLengthMost)
            var at = end
            at.putEach(varint: UInt64(field) << 3 | UInt64(WireKind.bytes))
            at.putEach(varint: UInt64(bytes.count))
            advance(to: at)
            append(UnsafeRawBufferPointer(bytes))
        }
    }

    /// One of a repeated field's texts: written even when empty.
    mutating func element(_ field: UInt8, _ text: String) {
        var text = text
        text.withUTF8 { bytes in
            reserve(1 + WireKind.varintLengthMost)
            var at = end
            at.put(field << 3 | WireKind.bytes)
            at.put(varint: UInt64(bytes.count))
            advance(to: at)
            append(UnsafeRawBufferPointer(bytes))
        }
    }
}
