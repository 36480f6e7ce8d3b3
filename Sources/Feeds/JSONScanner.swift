/// Reads one JSON text from front to back, handing out values as places in the text instead of copying them.
///
/// The caller pulls: it opens an object, asks for key after key, and reads, skips or keeps each value, so a dialect takes
/// what it knows in whatever order the venue writes it. Nothing is allocated. Every byte is looked at once and checked
/// against RFC 8259, skipped values too; only the encoding inside strings is left to whoever turns one into text.
public struct JSONScanner {
    /// How deep values may be nested.
    public static let depthMost = 64

    public let text: UnsafeRawBufferPointer
    public private(set) var at = 0

    // The same bytes: a plain pointer is read without a call even where the optimizer has enough of inlining.
    let base: UnsafePointer<UInt8>
    let count: Int

    public init(_ text: UnsafeRawBufferPointer) {
        self.text = text
        count = text.count
        // Never read when the text is empty.
        base = text.baseAddress?.assumingMemoryBound(to: UInt8.self) ?? UnsafePointer(bitPattern: 1).unsafelyUnwrapped
    }

    /// A scanner at the start of a value that was kept.
    init(_ text: UnsafeRawBufferPointer, at value: FrameValue) {
        self.init(text)
        at = value.start
    }

    /// The next byte, 0 at the end: no JSON has a zero byte.
    @inline(always)
    var byte: UInt8 { at < count ? base[at] : 0 }

    /// The eight bytes from `place` on, the first lowest.
    @inline(always)
    func word(at place: Int) -> UInt64 {
        assert(place + 8 <= count)
        return UInt64(littleEndian: UnsafeRawPointer(base + place).loadUnaligned(as: UInt64.self))
    }

    /// The eight bytes from `place` on, zeros behind the end of the text.
    ///
    /// The text must have eight bytes and `place` must be in it.
    @inline(always)
    func paddedWord(at place: Int) -> UInt64 {
        guard place &+ 8 > count else { return word(at: place) }
        return word(at: count &- 8) >> UInt64(truncatingIfNeeded: 8 &* (place &+ 8 &- count))
    }

    @inline(always)
    mutating func step(_ count: Int = 1) { at &+= count }

    var fault: FrameFault { at < count ? .unexpected(byte: base[at], offset: at) : .truncated }

    @inline(always)
    mutating func skipSpace() {
        while byte <= 0x20, isSpace(byte) { at &+= 1 }
    }

    @inline(always)
    private func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 }

    @inline(always)
    mutating func expect(_ wanted: UInt8) throws(FrameFault) {
        guard byte == wanted else { throw fault }
        at &+= 1
    }

    /// Makes sure that nothing but white space is left.
    public mutating func finish() throws(FrameFault) {
        skipSpace()
        guard at == count else { throw .textAfterEnd(offset: at) }
    }
}

// MARK: Objects and arrays

extension JSONScanner {
    /// Enters an object.
    ///
    /// - Returns: whether it has a first member, whose key comes next.
    @inline(always)
    mutating func beginObject() throws(FrameFault) -> Bool {
        try begin(UInt8(ascii: "{"), UInt8(ascii: "}"))
    }

    /// Whether another member follows the value just read; leaves the object otherwise.
    @inline(always)
    mutating func nextMember() throws(FrameFault) -> Bool { try next(UInt8(ascii: "}")) }

    @inline(always)
    mutating func beginArray() throws(FrameFault) -> Bool {
        try begin(UInt8(ascii: "["), UInt8(ascii: "]"))
    }

    @inline(always)
    mutating func nextElement() throws(FrameFault) -> Bool { try next(UInt8(ascii: "]")) }

    @inline(always)
    private mutating func begin(_ opening: UInt8, _ closing: UInt8) throws(FrameFault) -> Bool {
        skipSpace()
        try expect(opening)
        skipSpace()
        guard byte == closing else { return true }
        at &+= 1
        return false
    }

    @inline(always)
    private mutating func next(_ closing: UInt8) throws(FrameFault) -> Bool {
        skipSpace()
        let found = byte
        guard found == UInt8(ascii: ",") || found == closing else { throw fault }
        at &+= 1
        guard found != closing else { return false }
        skipSpace()
        return true
    }

    /// Reads a member's key and the colon after it.
    @inline(__always)
    mutating func key() throws(FrameFault) -> FrameValue {
        skipSpace()
        let key = try string()
        skipSpace()
        try expect(UInt8(ascii: ":"))
        skipSpace()
        return key
    }
}

// MARK: Values

extension JSONScanner {
    @inline(__always)
    public var isAtArray: Bool { byte == UInt8(ascii: "[") }
    public var isAtObject: Bool { byte == UInt8(ascii: "{") }

    /// Reads a value of any type and tells where it stands.
    @inline(__always)
    public mutating func value() throws(FrameFault) -> FrameValue {
        skipSpace()
        if byte == UInt8(ascii: "\"") { return try string() }
        let start = at
        try skipUnquoted()
        return FrameValue(start: start, end: at)
    }

    @inline(always)
    mutating func skip() throws(FrameFault) { _ = try value() }

    /// Reads a string; the place includes its quotes.
    @inline(__always)
    mutating func string() throws(FrameFault) -> FrameValue {
        let start = at
        try expect(UInt8(ascii: "\""))
        while true {
            if at &+ 8 <= count {
                let word = word(at: at)
                let stops =
                    Self.zeroBytes(word ^ 0x2222_2222_2222_2222)
                    | Self.zeroBytes(word ^ 0x5C5C_5C5C_5C5C_5C5C)
                    | ((word &- 0x2020_2020_2020_2020) & ~word & 0x8080_8080_8080_8080)
                guard stops != 0 else {
                    at &+= 8
                    continue
                }
                at &+= stops.trailingZeroBitCount >> 3
            }
            switch byte {
            case UInt8(ascii: "\""):
                at &+= 1
                return FrameValue(start: start, end: at)
            case UInt8(ascii: "\\"): try skipEscape()
            case 0..<0x20: throw fault
            default: at &+= 1
            }
        }
    }

    /// Marks the bytes that are zero; marks above the lowest can be wrong.
    @inline(always)
    private static func zeroBytes(_ word: UInt64) -> UInt64 {
        (word &- 0x0101_0101_0101_0101) & ~word & 0x8080_8080_8080_8080
    }

    private mutating func skipEscape() throws(FrameFault) {
        at &+= 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
            UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
            at &+= 1
        case UInt8(ascii: "u"):
            at &+= 1
            for _ in 0..<4 {
                guard Character(UnicodeScalar(byte)).isHexDigit else { throw fault }
                at &+= 1
            }
        default: throw fault
        }
    }

    private mutating func skipUnquoted() throws(FrameFault) {
        switch byte {
        case UInt8(ascii: "{"), UInt8(ascii: "["): try skipNested()
        case UInt8(ascii: "t"): try skipWord("true")
        case UInt8(ascii: "f"): try skipWord("false")
        case UInt8(ascii: "n"): try skipWord("null")
        default: try skipNumber()
        }
    }

    /// Skips an object or array with all that is in it, without recursion: a bit per open level says which it is.
    private mutating func skipNested() throws(FrameFault) {
        var objects: UInt64 = 0
        var depth = 0
        while true {
            // At the start of a value.
            let opensObject = byte == UInt8(ascii: "{")
            if opensObject || byte == UInt8(ascii: "[") {
                guard depth < Self.depthMost else { throw .tooDeep(offset: at) }
                depth += 1
                objects = objects << 1 | (opensObject ? 1 : 0)
                let hasFirst = try opensObject ? beginObject() : beginArray()
                if hasFirst {
                    if opensObject { _ = try key() }
                    continue
                }
                depth -= 1
                objects >>= 1
            } else {
                try skip()
            }
            // Behind a value.
            while depth > 0 {
                let isObject = objects & 1 == 1
                guard try isObject ? nextMember() : nextElement() else {
                    depth -= 1
                    objects >>= 1
                    continue
                }
                if isObject { _ = try key() }
                break
            }
            guard depth > 0 else { return }
        }
    }

    private mutating func skipWord(_ word: StaticString) throws(FrameFault) {
        for index in 0..<word.utf8CodeUnitCount { try expect(word.utf8Start[index]) }
    }

    private mutating func skipNumber() throws(FrameFault) {
        if byte == UInt8(ascii: "-") { at &+= 1 }
        if byte == UInt8(ascii: "0") { at &+= 1 } else { try skipDigits() }
        if byte == UInt8(ascii: ".") {
            at &+= 1
            try skipDigits()
        }
        guard byte | 0x20 == UInt8(ascii: "e") else { return }
        at &+= 1
        if byte == UInt8(ascii: "+") || byte == UInt8(ascii: "-") { at &+= 1 }
        try skipDigits()
    }

    @inline(always)
    private mutating func skipDigits() throws(FrameFault) {
        guard byte &- UInt8(ascii: "0") < 10 else { throw fault }
        repeat { at &+= 1 } while byte &- UInt8(ascii: "0") < 10
    }
}
