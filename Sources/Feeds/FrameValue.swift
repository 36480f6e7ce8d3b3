/// Where a value stands in a frame; means something only together with the frame's bytes.
///
/// A string's place includes its quotes.
public struct FrameValue: Hashable, Sendable, BitwiseCopyable {
    public var start: Int
    public var end: Int

    public init(start: Int, end: Int) {
        self.start = start
        self.end = end
    }

    /// No value.
    public static let none = FrameValue(start: 0, end: 0)

    public var isPresent: Bool { end > start }

    /// Whether it stands in quotes: a text that is no JSON may begin with one and end with none.
    @inline(always)
    func isString(in text: UnsafeRawBufferPointer) -> Bool {
        guard end &- start >= 2, let bytes = Self.pointer(to: text) else { return false }
        assert(end <= text.count)
        return bytes[start] == UInt8(ascii: "\"") && bytes[end &- 1] == UInt8(ascii: "\"")
    }

    /// The bytes between the quotes of a string, all bytes of another value; escapes stay as they are.
    func bytes(in text: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        guard isPresent else { return UnsafeRawBufferPointer(start: nil, count: 0) }
        return isString(in: text)
            ? UnsafeRawBufferPointer(rebasing: text[(start + 1)..<(end - 1)])
            : UnsafeRawBufferPointer(rebasing: text[start..<end])
    }

    /// Whether this is the string `wanted`, written without escapes.
    @inline(always)
    func equals(_ wanted: StaticString, in text: UnsafeRawBufferPointer) -> Bool {
        let count = wanted.utf8CodeUnitCount
        guard end &- start == count &+ 2 else { return false }
        return isEqual(wanted, at: start &+ 1, in: text) && isString(in: text)
    }

    /// Whether this is the word `wanted` without quotes, as in `true`.
    @inline(always)
    func isWord(_ wanted: StaticString, in text: UnsafeRawBufferPointer) -> Bool {
        let count = wanted.utf8CodeUnitCount
        guard end - start == count else { return false }
        return isEqual(wanted, at: start, in: text)
    }

    /// Compares eight, four, two and one bytes at once: those wanted are constants where this is inlined.
    @inline(always)
    private func isEqual(_ wanted: StaticString, at place: Int, in text: UnsafeRawBufferPointer) -> Bool {
        guard let bytes = Self.pointer(to: text) else { return false }
        let (found, wantedBytes) = (UnsafeRawPointer(bytes + place), UnsafeRawPointer(wanted.utf8Start))
        let count = wanted.utf8CodeUnitCount
        @inline(always)
        func isSame<Word: FixedWidthInteger & BitwiseCopyable>(_: Word.Type, at offset: Int) -> Bool {
            let word = found.loadUnaligned(fromByteOffset: offset, as: Word.self)
            return word == wantedBytes.loadUnaligned(fromByteOffset: offset, as: Word.self)
        }
        var index = 0
        while index &+ 8 <= count {
            guard isSame(UInt64.self, at: index) else { return false }
            index &+= 8
        }
        if count & 4 != 0 {
            guard isSame(UInt32.self, at: index) else { return false }
            index &+= 4
        }
        if count & 2 != 0 {
            guard isSame(UInt16.self, at: index) else { return false }
            index &+= 2
        }
        return count & 1 == 0 || isSame(UInt8.self, at: index)
    }

    /// A plain pointer is read without a call even where the optimizer has enough of inlining.
    @inline(always)
    private static func pointer(to text: UnsafeRawBufferPointer) -> UnsafePointer<UInt8>? {
        text.baseAddress?.assumingMemoryBound(to: UInt8.self)
    }

    /// A string's characters with escapes resolved, for names and reports; wrong UTF-8 is repaired.
    public func string(in text: UnsafeRawBufferPointer) -> String {
        let raw = bytes(in: text)
        guard isString(in: text), raw.contains(UInt8(ascii: "\\")) else { return String(decoding: raw, as: UTF8.self) }
        var units: [UInt16] = []
        var characters = String(decoding: raw, as: UTF8.self).utf16.makeIterator()
        while let unit = characters.next() {
            guard unit == 0x5C, let escaped = characters.next() else {
                units.append(unit)
                continue
            }
            switch UInt8(truncatingIfNeeded: escaped) {
            case UInt8(ascii: "b"): units.append(8)
            case UInt8(ascii: "f"): units.append(12)
            case UInt8(ascii: "n"): units.append(10)
            case UInt8(ascii: "r"): units.append(13)
            case UInt8(ascii: "t"): units.append(9)
            case UInt8(ascii: "u"):
                let digits = (0..<4).compactMap { _ in characters.next() }
                units.append(UInt16(String(decoding: digits, as: UTF16.self), radix: 16) ?? 0xFFFD)
            default: units.append(escaped)
            }
        }
        return String(decoding: units, as: UTF16.self)
    }
}
