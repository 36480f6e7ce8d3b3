/// Where the members of a JSON object are, without their contents having been read into anything.
///
/// For frames that are passed on as they are: numbers keep every digit, and nesting, however deep, costs a bit a level and no stack. The
/// text is checked as RFC 8259 has it all the same, so that nobody is passed what is no JSON.
struct JSONOutline {
    /// Both as they were written, the key without its quotes.
    struct Member {
        var key: Range<Int>
        var value: Range<Int>
    }

    private let bytes: UnsafeRawBufferPointer
    private var at = 0
    /// A set bit for each object around the present value, a clear one for each array, 64 to a word.
    private var containers: [UInt64] = []
    private var depth = 0

    /// The members of the object that `bytes` are, in their order, a key perhaps more than once; nil when they are no JSON object.
    ///
    /// `bytes` are valid UTF-8.
    static func members(of bytes: UnsafeRawBufferPointer, _ body: (Member) -> Void) -> Bool {
        var outline = JSONOutline(bytes: bytes)
        return outline.readObject(body)
    }

    private init(bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    private mutating func readObject(_ body: (Member) -> Void) -> Bool {
        skipSpace()
        guard take(UInt8(ascii: "{")) else { return false }
        skipSpace()
        if !take(UInt8(ascii: "}")) {
            repeat {
                skipSpace()
                let start = at
                guard skipString() else { return false }
                let key = (start + 1)..<(at - 1)
                skipSpace()
                guard take(UInt8(ascii: ":")) else { return false }
                skipSpace()
                let valueStart = at
                guard skipValue() else { return false }
                body(Member(key: key, value: valueStart..<at))
                skipSpace()
            } while take(UInt8(ascii: ","))
            guard take(UInt8(ascii: "}")) else { return false }
        }
        skipSpace()
        return at == bytes.count
    }

    // MARK: Values

    /// Walks over one value with all that it contains.
    private mutating func skipValue() -> Bool {
        depth = 0
        while true {
            skipSpace()
            guard at < bytes.count else { return false }
            switch bytes[at] {
            case UInt8(ascii: "{"):
                at += 1
                push(isObject: true)
                skipSpace()
                if take(UInt8(ascii: "}")) {
                    depth -= 1
                    break
                }
                guard skipKey() else { return false }
                continue
            case UInt8(ascii: "["):
                at += 1
                push(isObject: false)
                skipSpace()
                if take(UInt8(ascii: "]")) {
                    depth -= 1
                    break
                }
                continue
            case UInt8(ascii: "\""): guard skipString() else { return false }
            case UInt8(ascii: "t"): guard skip("true") else { return false }
            case UInt8(ascii: "f"): guard skip("false") else { return false }
            case UInt8(ascii: "n"): guard skip("null") else { return false }
            default: guard skipNumber() else { return false }
            }
            // A value has ended: so may what it is in.
            while true {
                guard depth > 0 else { return true }
                skipSpace()
                if take(UInt8(ascii: ",")) {
                    if isInObject {
                        skipSpace()
                        guard skipKey() else { return false }
                    }
                    break
                }
                guard take(isInObject ? UInt8(ascii: "}") : UInt8(ascii: "]")) else { return false }
                depth -= 1
            }
        }
    }

    private mutating func skipKey() -> Bool {
        guard at < bytes.count, bytes[at] == UInt8(ascii: "\""), skipString() else { return false }
        skipSpace()
        return take(UInt8(ascii: ":"))
    }

    private mutating func push(isObject: Bool) {
        let (word, bit) = (depth / 64, UInt64(1) << UInt64(depth % 64))
        if word == containers.count { containers.append(0) }
        if isObject { containers[word] |= bit } else { containers[word] &= ~bit }
        depth += 1
    }

    private var isInObject: Bool {
        let place = depth - 1
        return containers[place / 64] & UInt64(1) << UInt64(place % 64) != 0
    }

    // MARK: Words

    private mutating func skipSpace() {
        while at < bytes.count {
            switch bytes[at] {
            case UInt8(ascii: " "), UInt8(ascii: "\n"), UInt8(ascii: "\r"), UInt8(ascii: "\t"): at += 1
            default: return
            }
        }
    }

    private mutating func take(_ byte: UInt8) -> Bool {
        guard at < bytes.count, bytes[at] == byte else { return false }
        at += 1
        return true
    }

    private mutating func skip(_ word: StaticString) -> Bool {
        guard bytes.count - at >= word.utf8CodeUnitCount else { return false }
        for offset in 0..<word.utf8CodeUnitCount where bytes[at + offset] != word.utf8Start[offset] { return false }
        at += word.utf8CodeUnitCount
        return true
    }

    private mutating func skipString() -> Bool {
        guard take(UInt8(ascii: "\"")) else { return false }
        while at < bytes.count {
            let byte = bytes[at]
            at += 1
            switch byte {
            case UInt8(ascii: "\""): return true
            case ..<0x20: return false
            case UInt8(ascii: "\\"):
                guard at < bytes.count else { return false }
                let escaped = bytes[at]
                at += 1
                switch escaped {
                case UInt8(ascii: "u"):
                    guard bytes.count - at >= 4, (0..<4).allSatisfy({ Self.isHex(bytes[at + $0]) }) else {
                        return false
                    }
                    at += 4
                case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
                    UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
                    break
                default: return false
                }
            default: break
            }
        }
        return false
    }

    private static func isHex(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "f"),
            UInt8(ascii: "A")...UInt8(ascii: "F"):
            true
        default: false
        }
    }

    private mutating func skipNumber() -> Bool {
        _ = take(UInt8(ascii: "-"))
        if !take(UInt8(ascii: "0")) {
            guard skipDigits() else { return false }
        }
        if take(UInt8(ascii: ".")) {
            guard skipDigits() else { return false }
        }
        if take(UInt8(ascii: "e")) || take(UInt8(ascii: "E")) {
            if !take(UInt8(ascii: "+")) { _ = take(UInt8(ascii: "-")) }
            guard skipDigits() else { return false }
        }
        return true
    }

    private mutating func skipDigits() -> Bool {
        let start = at
        while at < bytes.count, bytes[at] >= UInt8(ascii: "0"), bytes[at] <= UInt8(ascii: "9") { at += 1 }
        return at > start
    }
}
