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
        end &- start >= 2 && text[start] == UInt8(ascii: "\"") && text[end &- 1] == UInt8(ascii: "\"")
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

    @inline(always)
    private func isEqual(_ wanted: StaticString, at place: Int, in text: UnsafeRawBufferPointer) -> Bool {
        guard let base = text.baseAddress else { return false }
        let bytes = (base + place).assumingMemoryBound(to: UInt8.self)
        var index = 0
        while index < wanted.utf8CodeUnitCount {
            guard bytes[index] == wanted.utf8Start[index] else { return false }
            index &+= 1
        }
        return true
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
