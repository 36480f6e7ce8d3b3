/// One line of the line feed as JSON: where the values of the known keys stand, whatever they mean.
///
/// Strict (RFC 8259): one object, nothing behind it. Keys that are not known are checked and left out.
struct LineFeedSyntax {
    struct Value {
        enum Kind: UInt8 {
            /// Not there, or null.
            case absent
            case number
            case text
            /// Text that holds escapes.
            case escapedText
            case list
            /// True, false or an object.
            case other
        }
        var kind = Kind.absent
        /// Without a text's quotation marks; a list's brackets count.
        var start: Int32 = 0
        var end: Int32 = 0
    }

    private let line: UnsafeRawBufferPointer
    private var at = 0
    private var values = InlineArray<28, Value>(repeating: Value())
    /// A bit for each known key that was met, by raw value.
    private var met: UInt32 = 0

    /// - Parameter line: outlives this value.
    /// - Throws: what is wrong with it as JSON, or a known key that stands twice.
    init(_ line: UnsafeRawBufferPointer) throws(LineFeedError) {
        self.line = line
        try readObject()
    }

    subscript(key: LineFeedKey) -> Value { values[Int(key.rawValue)] }

    func bytes(of value: Value) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: line[Int(value.start)..<Int(value.end)])
    }

    // MARK: Reading

    private mutating func readObject() throws(LineFeedError) {
        try expect(UInt8(ascii: "{"))
        if next() == UInt8(ascii: "}") {
            at += 1
        } else {
            repeat { try readMember() } while try hasAnother(before: UInt8(ascii: "}"))
        }
        skipSpace()
        guard at == line.count else { throw .notJSON(offset: at) }
    }

    private mutating func readMember() throws(LineFeedError) {
        skipSpace()
        let name = try readText()
        try expect(UInt8(ascii: ":"))
        let value = try readValue(depth: 1)
        guard let key = key(of: name) else { return }
        let bit: UInt32 = 1 << UInt32(key.rawValue)
        guard met & bit == 0 else { throw .repeatedKey(key) }
        met |= bit
        values[Int(key.rawValue)] = value
    }

    private mutating func readValue(depth: Int) throws(LineFeedError) -> Value {
        switch next() {
        case UInt8(ascii: "\""): return try readText()
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try readNumber()
        case UInt8(ascii: "{"): try skipNested(depth: depth)
        case UInt8(ascii: "["):
            let start = at
            try skipNested(depth: depth)
            return Value(kind: .list, start: Int32(start), end: Int32(at))
        case UInt8(ascii: "t"): try skipWord("true")
        case UInt8(ascii: "f"): try skipWord("false")
        case UInt8(ascii: "n"):
            try skipWord("null")
            return Value()
        default: throw .notJSON(offset: at)
        }
        return Value(kind: .other)
    }

    /// Reads a text from its opening quotation mark to behind its closing one.
    private mutating func readText() throws(LineFeedError) -> Value {
        guard at < line.count, line[at] == UInt8(ascii: "\"") else { throw .notJSON(offset: at) }
        at += 1
        let start = at
        var hasEscapes = false
        var allBits: UInt8 = 0
        while at < line.count {
            let byte = line[at]
            if byte == UInt8(ascii: "\"") {
                if allBits & 0x80 != 0 { try checkUTF8(start..<at) }
                defer { at += 1 }
                return Value(kind: hasEscapes ? .escapedText : .text, start: Int32(start), end: Int32(at))
            }
            guard byte >= 0x20 else { break }
            allBits |= byte
            at += 1
            if byte == UInt8(ascii: "\\") {
                hasEscapes = true
                try skipEscape()
            }
        }
        throw .notJSON(offset: at)
    }

    private func checkUTF8(_ range: Range<Int>) throws(LineFeedError) {
        let text = UnsafeRawBufferPointer(rebasing: line[range]).bindMemory(to: UInt8.self)
        guard (try? UTF8Span(validating: text.span)) != nil else { throw .notJSON(offset: range.lowerBound) }
    }

    /// Skips what follows a backslash; half of a surrogate pair is an error.
    private mutating func skipEscape() throws(LineFeedError) {
        guard at < line.count else { throw .notJSON(offset: at) }
        let kind = line[at]
        at += 1
        switch kind {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
            UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
            return
        case UInt8(ascii: "u"):
            let first = try skipHexDigits()
            guard (0xD800..<0xE000).contains(first) else { return }
            guard first < 0xDC00, at + 1 < line.count, line[at] == UInt8(ascii: "\\"), line[at + 1] == UInt8(ascii: "u")
            else { throw .notJSON(offset: at) }
            at += 2
            guard (0xDC00..<0xE000).contains(try skipHexDigits()) else { throw .notJSON(offset: at) }
        default:
            throw .notJSON(offset: at - 1)
        }
    }

    private mutating func skipHexDigits() throws(LineFeedError) -> UInt32 {
        var number: UInt32 = 0
        for _ in 0..<4 {
            guard at < line.count, let digit = Self.hexDigit(line[at]) else { throw .notJSON(offset: at) }
            number = number << 4 | digit
            at += 1
        }
        return number
    }

    private mutating func readNumber() throws(LineFeedError) -> Value {
        let start = at
        if line[at] == UInt8(ascii: "-") { at += 1 }
        if at < line.count, line[at] == UInt8(ascii: "0") { at += 1 } else { try skipDigits() }
        if at < line.count, line[at] == UInt8(ascii: ".") {
            at += 1
            try skipDigits()
        }
        if at < line.count, line[at] | 0x20 == UInt8(ascii: "e") {
            at += 1
            if at < line.count, line[at] == UInt8(ascii: "+") || line[at] == UInt8(ascii: "-") { at += 1 }
            try skipDigits()
        }
        return Value(kind: .number, start: Int32(start), end: Int32(at))
    }

    private mutating func skipDigits() throws(LineFeedError) {
        let start = at
        while at < line.count, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(line[at]) { at += 1 }
        guard at > start else { throw .notJSON(offset: at) }
    }

    private mutating func skipWord(_ word: StaticString) throws(LineFeedError) {
        for index in 0..<word.utf8CodeUnitCount {
            guard at < line.count, line[at] == word.utf8Start[index] else { throw .notJSON(offset: at) }
            at += 1
        }
    }

    private mutating func skipNested(depth: Int) throws(LineFeedError) {
        guard depth < LineFeed.nestingMost else { throw .nestedTooDeeply }
        let isObject = line[at] == UInt8(ascii: "{")
        let close = isObject ? UInt8(ascii: "}") : UInt8(ascii: "]")
        at += 1
        if next() == close {
            at += 1
            return
        }
        repeat {
            skipSpace()
            if isObject {
                _ = try readText()
                try expect(UInt8(ascii: ":"))
            }
            _ = try readValue(depth: depth + 1)
        } while try hasAnother(before: close)
    }

    /// Skips a comma, or the closing bracket.
    private mutating func hasAnother(before close: UInt8) throws(LineFeedError) -> Bool {
        let byte = next()
        guard byte == close || byte == UInt8(ascii: ",") else { throw .notJSON(offset: at) }
        at += 1
        return byte != close
    }

    private mutating func expect(_ byte: UInt8) throws(LineFeedError) {
        guard next() == byte else { throw .notJSON(offset: at) }
        at += 1
    }

    /// The next byte that is no space, without taking it; zero, which JSON never has, at the end.
    private mutating func next() -> UInt8 {
        skipSpace()
        return at < line.count ? line[at] : 0
    }

    private mutating func skipSpace() {
        while at < line.count {
            switch line[at] {
            case 0x20, 0x09, 0x0D, 0x0A: at += 1
            default: return
            }
        }
    }

    // MARK: Names and escapes

    private func key(of name: Value) -> LineFeedKey? {
        guard name.kind == .escapedText else { return Self.key(bytes(of: name)) }
        return Self.unescaped(bytes(of: name)).withUnsafeBytes { Self.key($0) }
    }

    private static func key(_ name: UnsafeRawBufferPointer) -> LineFeedKey? {
        switch name.count {
        case 2: return equals(name, "id") ? .id : nil
        case 3: return equals(name, "bid") ? .bid : equals(name, "ask") ? .ask : equals(name, "seq") ? .sequence : nil
        case 4: return equals(name, "type") ? .type : equals(name, "side") ? .side : rarerKey(name)
        case 5: return equals(name, "price") ? .price : rarerKey(name)
        case 6: return equals(name, "symbol") ? .symbol : rarerKey(name)
        case 7: return equals(name, "time_ns") ? .time : rarerKey(name)
        case 8: return equals(name, "quantity") ? .quantity : nil
        case 12:
            return equals(name, "bid_quantity")
                ? .bidQuantity : equals(name, "ask_quantity") ? .askQuantity : rarerKey(name)
        default: return rarerKey(name)
        }
    }

    /// The keys that are not in every trade and quote.
    private static func rarerKey(_ name: UnsafeRawBufferPointer) -> LineFeedKey? {
        switch name.count {
        case 4:
            if equals(name, "bids") { return .bids }
            if equals(name, "asks") { return .asks }
            if equals(name, "name") { return .name }
            if equals(name, "kind") { return .instrumentKind }
            return equals(name, "code") ? .code : nil
        case 5:
            return equals(name, "flags")
                ? .flags : equals(name, "venue") ? .venue : equals(name, "state") ? .state : nil
        case 6: return equals(name, "reason") ? .reason : nil
        case 7: return equals(name, "version") ? .version : equals(name, "message") ? .message : nil
        case 9: return equals(name, "venue_seq") ? .venueSequence : nil
        case 10: return equals(name, "raw_symbol") ? .rawSymbol : nil
        case 11: return equals(name, "price_scale") ? .priceScale : nil
        case 12: return equals(name, "heartbeat_ms") ? .heartbeat : nil
        case 14: return equals(name, "quantity_scale") ? .quantityScale : nil
        default: return nil
        }
    }

    static func equals(_ bytes: UnsafeRawBufferPointer, _ word: StaticString) -> Bool {
        guard bytes.count == word.utf8CodeUnitCount else { return false }
        for index in 0..<bytes.count where bytes[index] != word.utf8Start[index] { return false }
        return true
    }

    /// Replaces escapes, which ``skipEscape()`` has checked.
    static func unescaped(_ text: UnsafeRawBufferPointer) -> [UInt8] {
        var meant: [UInt8] = []
        var at = 0
        func unit() -> UInt32 {
            defer { at += 4 }
            return (0..<4).reduce(0) { $0 << 4 | (hexDigit(text[at + $1]) ?? 0) }
        }
        while at < text.count {
            at += 1
            guard text[at - 1] == UInt8(ascii: "\\") else {
                meant.append(text[at - 1])
                continue
            }
            at += 1
            switch text[at - 1] {
            case UInt8(ascii: "b"): meant.append(0x08)
            case UInt8(ascii: "f"): meant.append(0x0C)
            case UInt8(ascii: "n"): meant.append(0x0A)
            case UInt8(ascii: "r"): meant.append(0x0D)
            case UInt8(ascii: "t"): meant.append(0x09)
            case UInt8(ascii: "u"):
                var number = unit()
                if (0xD800..<0xDC00).contains(number) {
                    at += 2
                    number = 0x1_0000 + (number - 0xD800) << 10 + (unit() - 0xDC00)
                }
                if let scalar = Unicode.Scalar(number) { meant += Array(String(Character(scalar)).utf8) }
            default: meant.append(text[at - 1])
            }
        }
        return meant
    }

    private static func hexDigit(_ byte: UInt8) -> UInt32? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(byte - UInt8(ascii: "0"))
        case UInt8(ascii: "a")...UInt8(ascii: "f"): UInt32(byte - UInt8(ascii: "a") + 10)
        case UInt8(ascii: "A")...UInt8(ascii: "F"): UInt32(byte - UInt8(ascii: "A") + 10)
        default: nil
        }
    }
}
