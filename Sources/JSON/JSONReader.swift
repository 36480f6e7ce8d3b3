/// Reads a JSON text into nodes, with a stack of its own instead of recursion.
struct JSONReader {
    private let bytes: UnsafeRawBufferPointer
    private let limits: JSONLimits
    private var at = 0
    private var nodes: [JSONDocument.Node] = []
    private var open: [Container] = []

    private struct Container {
        var node: Int
        var memberCount = 0
    }

    init(_ bytes: UnsafeRawBufferPointer, limits: JSONLimits) {
        self.bytes = bytes
        self.limits = limits
    }

    mutating func read() throws(JSONError) -> [JSONDocument.Node] {
        guard bytes.count <= min(limits.bytesMost, Int(UInt32.max)) else {
            throw JSONError(.tooLong(most: limits.bytesMost), at: limits.bytesMost)
        }
        try readValue()
        while let container = open.last {
            if nodes[container.node].kind == .object { try readMember() } else { try readElement() }
        }
        skipSpace()
        guard at == bytes.count else { throw JSONError(.textAfterTheEnd, at: at) }
        return nodes
    }

    /// Reads the next thing of the innermost array: a value or the end.
    private mutating func readElement() throws(JSONError) {
        let isFirst = nodes.count == open[open.count - 1].node + 1
        if try next() == UInt8(ascii: "]") { return close() }
        if !isFirst { try expect(UInt8(ascii: ","), wanted: "',' or ']'") }
        try readValue()
    }

    /// Reads the next thing of the innermost object: a key and its value, or the end.
    private mutating func readMember() throws(JSONError) {
        let isFirst = open[open.count - 1].memberCount == 0
        if try next() == UInt8(ascii: "}") { return close() }
        if !isFirst { try expect(UInt8(ascii: ","), wanted: "',' or '}'") }
        guard try next() == UInt8(ascii: "\"") else { throw unexpected("a key in quotes") }
        open[open.count - 1].memberCount += 1
        guard open[open.count - 1].memberCount <= limits.membersMost else {
            throw JSONError(.tooManyMembers(most: limits.membersMost), at: at)
        }
        let key = nodes.count
        try readString()
        try refuseDuplicate(key)
        _ = try next()
        try expect(UInt8(ascii: ":"), wanted: "':'")
        try readValue()
    }

    private mutating func readValue() throws(JSONError) {
        switch try next() {
        case UInt8(ascii: "{"): try begin(.object)
        case UInt8(ascii: "["): try begin(.array)
        case UInt8(ascii: "\""): try readString()
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): try readNumber()
        case UInt8(ascii: "t"): try readWord("true", .true)
        case UInt8(ascii: "f"): try readWord("false", .false)
        case UInt8(ascii: "n"): try readWord("null", .null)
        default: throw unexpected("a value")
        }
    }

    // MARK: Containers

    private mutating func begin(_ kind: JSONValue.Kind) throws(JSONError) {
        guard open.count < limits.depthMost else { throw JSONError(.tooDeep(most: limits.depthMost), at: at) }
        open.append(Container(node: nodes.count))
        try append(kind, from: at, to: at)
        at += 1
    }

    private mutating func close() {
        at += 1
        let container = open.removeLast()
        nodes[container.node].end = UInt32(at)
        nodes[container.node].next = UInt32(nodes.count)
    }

    private func refuseDuplicate(_ key: Int) throws(JSONError) {
        var other = open[open.count - 1].node + 1
        while other < key {
            if isSameText(nodes[other], nodes[key]) {
                throw JSONError(.duplicateKey(text(of: nodes[key])), at: Int(nodes[key].start))
            }
            other = Int(nodes[other + 1].next)
        }
    }

    private func isSameText(_ left: JSONDocument.Node, _ right: JSONDocument.Node) -> Bool {
        if left.isEscaped || right.isEscaped { return text(of: left).utf8.elementsEqual(text(of: right).utf8) }
        return left.end - left.start == right.end - right.start && content(of: left).elementsEqual(content(of: right))
    }

    private func content(of string: JSONDocument.Node) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: bytes[Int(string.start) + 1..<Int(string.end) - 1])
    }

    private func text(of string: JSONDocument.Node) -> String {
        string.isEscaped ? Self.unescape(content(of: string)) : String(decoding: content(of: string), as: UTF8.self)
    }

    // MARK: Scalars

    private mutating func append(
        _ kind: JSONValue.Kind,
        from start: Int,
        to end: Int,
        isEscaped: Bool = false
    ) throws(JSONError) {
        guard nodes.count < limits.valuesMost else {
            throw JSONError(.tooManyValues(most: limits.valuesMost), at: start)
        }
        nodes.append(
            JSONDocument.Node(
                kind: kind,
                isEscaped: isEscaped,
                start: UInt32(start),
                end: UInt32(end),
                next: UInt32(nodes.count + 1)
            )
        )
    }

    private mutating func readWord(_ word: StaticString, _ kind: JSONValue.Kind) throws(JSONError) {
        let start = at
        let letters = UnsafeBufferPointer(start: word.utf8Start, count: word.utf8CodeUnitCount)
        for letter in letters {
            guard at < bytes.count else { throw JSONError(.ended, at: at) }
            guard bytes[at] == letter else { throw unexpected("\(word)") }
            at += 1
        }
        try append(kind, from: start, to: at)
    }

    private mutating func readNumber() throws(JSONError) {
        let start = at
        if peek() == UInt8(ascii: "-") { at += 1 }
        if peek() == UInt8(ascii: "0") { at += 1 } else { try readDigits() }
        if peek() == UInt8(ascii: ".") {
            at += 1
            try readDigits()
        }
        if peek() == UInt8(ascii: "e") || peek() == UInt8(ascii: "E") {
            at += 1
            if peek() == UInt8(ascii: "-") || peek() == UInt8(ascii: "+") { at += 1 }
            try readDigits()
        }
        if let byte = peek(), (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) {
            throw JSONError(.badNumber, at: at)
        }
        try append(.number, from: start, to: at)
    }

    private mutating func readDigits() throws(JSONError) {
        let start = at
        while let byte = peek(), (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) { at += 1 }
        guard at > start else { throw JSONError(at < bytes.count ? .badNumber : .ended, at: at) }
    }

    private mutating func readString() throws(JSONError) {
        let start = at
        var isEscaped = false
        at += 1
        while let byte = peek() {
            switch byte {
            case UInt8(ascii: "\""):
                at += 1
                return try append(.string, from: start, to: at, isEscaped: isEscaped)
            case UInt8(ascii: "\\"):
                isEscaped = true
                try readEscape()
            case 0..<0x20:
                throw JSONError(.controlCharacter(byte), at: at)
            case 0x80...:
                try readLongCharacter(byte)
            default:
                at += 1
            }
        }
        throw JSONError(.ended, at: at)
    }

    private mutating func readEscape() throws(JSONError) {
        let start = at
        at += 1
        guard let letter = peek() else { throw JSONError(.ended, at: at) }
        at += 1
        guard letter == UInt8(ascii: "u") else {
            guard "\"\\/bfnrt".utf8.contains(letter) else { throw JSONError(.badEscape, at: start) }
            return
        }
        let unit = try readHex(escapedAt: start)
        switch unit {
        case 0xD800..<0xDC00:
            guard peek() == UInt8(ascii: "\\"), at + 1 < bytes.count, bytes[at + 1] == UInt8(ascii: "u") else {
                throw JSONError(.loneSurrogate, at: start)
            }
            at += 2
            guard (0xDC00..<0xE000).contains(try readHex(escapedAt: at - 2)) else {
                throw JSONError(.loneSurrogate, at: start)
            }
        case 0xDC00..<0xE000:
            throw JSONError(.loneSurrogate, at: start)
        default:
            return
        }
    }

    private mutating func readHex(escapedAt start: Int) throws(JSONError) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = peek() else { throw JSONError(.ended, at: at) }
            guard let digit = Self.hexDigit(byte) else { throw JSONError(.badEscape, at: start) }
            value = value << 4 | digit
            at += 1
        }
        return value
    }

    private static func hexDigit(_ byte: UInt8) -> UInt32? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(byte - UInt8(ascii: "0"))
        case UInt8(ascii: "a")...UInt8(ascii: "f"): UInt32(byte - UInt8(ascii: "a")) + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): UInt32(byte - UInt8(ascii: "A")) + 10
        default: nil
        }
    }

    /// One character of two to four bytes, as RFC 3629 section 4 permits.
    private mutating func readLongCharacter(_ first: UInt8) throws(JSONError) {
        let (length, second): (Int, ClosedRange<UInt8>)
        switch first {
        case 0xC2...0xDF: (length, second) = (2, 0x80...0xBF)
        case 0xE0: (length, second) = (3, 0xA0...0xBF)
        case 0xED: (length, second) = (3, 0x80...0x9F)
        case 0xE1...0xEF: (length, second) = (3, 0x80...0xBF)
        case 0xF0: (length, second) = (4, 0x90...0xBF)
        case 0xF1...0xF3: (length, second) = (4, 0x80...0xBF)
        case 0xF4: (length, second) = (4, 0x80...0x8F)
        default: throw JSONError(.notUTF8, at: at)
        }
        guard at + length <= bytes.count, second.contains(bytes[at + 1]),
            (2..<length).allSatisfy({ bytes[at + $0] & 0xC0 == 0x80 })
        else { throw JSONError(.notUTF8, at: at) }
        at += length
    }

    /// The text of a string that was checked before.
    static func unescape(_ content: UnsafeRawBufferPointer) -> String {
        var text: [UInt8] = []
        text.reserveCapacity(content.count)
        var at = 0
        func hex() -> UInt32 {
            defer { at += 4 }
            return (at..<at + 4).reduce(0) { $0 << 4 | (hexDigit(content[$1]) ?? 0) }
        }
        while at < content.count {
            guard content[at] == UInt8(ascii: "\\") else {
                text.append(content[at])
                at += 1
                continue
            }
            let letter = content[at + 1]
            at += 2
            switch letter {
            case UInt8(ascii: "b"): text.append(0x08)
            case UInt8(ascii: "f"): text.append(0x0C)
            case UInt8(ascii: "n"): text.append(0x0A)
            case UInt8(ascii: "r"): text.append(0x0D)
            case UInt8(ascii: "t"): text.append(0x09)
            case UInt8(ascii: "u"):
                var scalar = hex()
                if (0xD800..<0xDC00).contains(scalar) {
                    at += 2
                    scalar = 0x1_0000 + ((scalar - 0xD800) << 10) + (hex() - 0xDC00)
                }
                text.append(contentsOf: String(Unicode.Scalar(scalar) ?? "\u{FFFD}").utf8)
            default: text.append(letter)
            }
        }
        return String(decoding: text, as: UTF8.self)
    }

    // MARK: Bytes

    private func peek() -> UInt8? { at < bytes.count ? bytes[at] : nil }

    /// Skips space and looks at the byte behind it.
    private mutating func next() throws(JSONError) -> UInt8 {
        skipSpace()
        guard let byte = peek() else { throw JSONError(.ended, at: at) }
        return byte
    }

    private mutating func expect(_ byte: UInt8, wanted: @autoclosure () -> String) throws(JSONError) {
        guard peek() == byte else { throw unexpected(wanted()) }
        at += 1
    }

    private mutating func skipSpace() {
        while let byte = peek(), byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { at += 1 }
    }

    private func unexpected(_ wanted: String) -> JSONError {
        at < bytes.count ? JSONError(.unexpected(bytes[at], wanted: wanted), at: at) : JSONError(.ended, at: at)
    }
}
