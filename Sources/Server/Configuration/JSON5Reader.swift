/// Reads JSON5 (json5.org, version 1.0.0) into a tree that knows the line and column of every key and value.
///
/// Foundation's reader tells neither, and takes the first of two equal keys in silence. Text, depth and numbers are
/// bounded; a bad text gets one ``JSON5Error``, never a guess.
package struct JSON5Reader {
    /// The longest text read.
    package static let bytesMost = 1 << 20
    /// The most lists and objects inside each other.
    package static let levelsMost = 64

    private let scalars: [Unicode.Scalar]
    private var index = 0
    private var position = TextPosition(line: 1, column: 1)
    private var level = 0

    /// The one value of a text, with comments and white space around it.
    package static func read(_ bytes: some Collection<UInt8>) throws(JSON5Error) -> JSON5Node {
        var reader = try JSON5Reader(bytes)
        try reader.skipSpace()
        let node = try reader.value()
        try reader.skipSpace()
        guard let extra = reader.next else { return node }
        throw reader.error(.unexpected(found: extra, wanted: "the end of the text"))
    }

    private init(_ bytes: some Collection<UInt8>) throws(JSON5Error) {
        let start = TextPosition(line: 1, column: 1)
        guard bytes.count <= Self.bytesMost else {
            throw JSON5Error(.tooLong(bytes: bytes.count, bytesMost: Self.bytesMost), at: start)
        }
        scalars = try Self.decode(Array(bytes))
    }

    private static func decode(_ bytes: [UInt8]) throws(JSON5Error) -> [Unicode.Scalar] {
        var scalars: [Unicode.Scalar] = []
        scalars.reserveCapacity(bytes.count)
        var (iterator, decoder, byteCount) = (bytes.makeIterator(), UTF8(), 0)
        while true {
            switch decoder.decode(&iterator) {
            case .scalarValue(let scalar):
                byteCount += UTF8.width(scalar)
                scalars.append(scalar)
            case .emptyInput:
                return scalars
            case .error:
                var position = TextPosition(line: 1, column: 1)
                for (index, scalar) in scalars.enumerated() {
                    position.advance(over: scalar, before: scalars.dropFirst(index + 1).first)
                }
                throw JSON5Error(.notUTF8(byte: Int(bytes[byteCount])), at: position)
            }
        }
    }

    // MARK: Values

    private mutating func value() throws(JSON5Error) -> JSON5Node {
        let start = position
        switch next {
        case "{": return JSON5Node(try nested { reader throws(JSON5Error) in try reader.object() }, at: start)
        case "[": return JSON5Node(try nested { reader throws(JSON5Error) in try reader.list() }, at: start)
        case "\"", "'": return JSON5Node(.text(try string()), at: start)
        case "+", "-", ".": return JSON5Node(try number(), at: start)
        case .some(let scalar) where scalar.isDigit: return JSON5Node(try number(), at: start)
        case .some(let scalar) where scalar.beginsName || scalar == "\\":
            switch try name() {
            case "null": return JSON5Node(.null, at: start)
            case "true": return JSON5Node(.flag(true), at: start)
            case "false": return JSON5Node(.flag(false), at: start)
            case "Infinity": return JSON5Node(.number(.infinity), at: start)
            case "NaN": return JSON5Node(.number(.nan), at: start)
            case let word: throw JSON5Error(.unknownWord(word), at: start)
            }
        case let found: throw error(.unexpected(found: found, wanted: "a value"))
        }
    }

    private mutating func nested(
        _ body: (inout JSON5Reader) throws(JSON5Error) -> JSON5Value
    ) throws(JSON5Error) -> JSON5Value {
        guard level < Self.levelsMost else { throw error(.tooDeep(levelsMost: Self.levelsMost)) }
        level += 1
        defer { level -= 1 }
        return try body(&self)
    }

    private mutating func object() throws(JSON5Error) -> JSON5Value {
        var members: [JSON5Member] = []
        var seen: [String: TextPosition] = [:]
        advance()
        while true {
            try skipSpace()
            if take("}") { return .object(members) }
            let keyPosition = position
            let key = try memberKey()
            if let first = seen.updateValue(keyPosition, forKey: key) {
                throw JSON5Error(.duplicateKey(key, first: first), at: keyPosition)
            }
            try skipSpace()
            guard take(":") else { throw error(.unexpected(found: next, wanted: "a colon after the key")) }
            try skipSpace()
            members.append(JSON5Member(key: key, keyPosition: keyPosition, node: try value()))
            try skipSpace()
            guard take(",") || next == "}" else {
                throw error(.unexpected(found: next, wanted: "a comma or } after the value"))
            }
        }
    }

    private mutating func memberKey() throws(JSON5Error) -> String {
        switch next {
        case "\"", "'": return try string()
        case .some(let scalar) where scalar.beginsName || scalar == "\\": return try name()
        case let found: throw error(.unexpected(found: found, wanted: "a key or }"))
        }
    }

    private mutating func list() throws(JSON5Error) -> JSON5Value {
        var nodes: [JSON5Node] = []
        advance()
        while true {
            try skipSpace()
            if take("]") { return .list(nodes) }
            nodes.append(try value())
            try skipSpace()
            guard take(",") || next == "]" else {
                throw error(.unexpected(found: next, wanted: "a comma or ] after the value"))
            }
        }
    }

    /// An ECMAScript 5.1 identifier name; `\uXXXX` may stand for any of its characters.
    private mutating func name() throws(JSON5Error) -> String {
        var name = String.UnicodeScalarView()
        while let scalar = next {
            let start = position
            if scalar == "\\" {
                advance()
                guard take("u") else { throw JSON5Error(.badEscape("\\"), at: start) }
                let written = try hexadecimal(digits: 4, after: "\\u", from: start)
                guard let meant = Unicode.Scalar(written), name.isEmpty ? meant.beginsName : meant.continuesName else {
                    throw JSON5Error(.badEscape("\\u\(String(written, radix: 16)) in a key"), at: start)
                }
                name.append(meant)
            } else if scalar.continuesName {
                name.append(scalar)
                advance()
            } else {
                break
            }
        }
        return String(name)
    }

    // MARK: Numbers

    private mutating func number() throws(JSON5Error) -> JSON5Value {
        let start = position
        let first = index
        let isNegative = next == "-"
        if next == "+" || next == "-" { advance() }
        let digitsFirst = index
        while let scalar = next, scalar.continuesNumber(after: scalars[index - (index > 0 ? 1 : 0)]) { advance() }
        let text = String(String.UnicodeScalarView(scalars[first..<index]))
        let digits = String(String.UnicodeScalarView(scalars[digitsFirst..<index]))
        switch digits {
        case "Infinity": return .number(isNegative ? -.infinity : .infinity)
        case "NaN": return .number(.nan)
        case let hexadecimal where hexadecimal.hasPrefix("0x") || hexadecimal.hasPrefix("0X"):
            let digits = hexadecimal.dropFirst(2)
            guard !digits.isEmpty, digits.unicodeScalars.allSatisfy(\.isHexadecimalDigit) else {
                throw JSON5Error(.badNumber(text), at: start)
            }
            guard let number = Int64((isNegative ? "-" : "") + digits, radix: 16) else {
                throw JSON5Error(.numberTooLarge(text), at: start)
            }
            return .integer(number)
        default:
            return try decimal(digits, isNegative: isNegative, text: text, at: start)
        }
    }

    private func decimal(
        _ digits: String,
        isNegative: Bool,
        text: String,
        at start: TextPosition
    ) throws(JSON5Error) -> JSON5Value {
        var rest = digits.unicodeScalars[...]
        let whole = rest.prefix { $0.isDigit }
        rest = rest.dropFirst(whole.count)
        var fraction: Substring.UnicodeScalarView = Substring().unicodeScalars
        let hasPoint = rest.first == "."
        if hasPoint {
            rest = rest.dropFirst()
            fraction = rest.prefix { $0.isDigit }
            rest = rest.dropFirst(fraction.count)
        }
        var exponent = ""
        if rest.first == "e" || rest.first == "E" {
            rest = rest.dropFirst()
            if let sign = rest.first, sign == "+" || sign == "-" {
                exponent.unicodeScalars.append(sign)
                rest = rest.dropFirst()
            }
            let power = rest.prefix { $0.isDigit }
            rest = rest.dropFirst(power.count)
            guard !power.isEmpty else { throw JSON5Error(.badNumber(text), at: start) }
            exponent += String(power)
        }
        // JSON5 has no octal numbers: 010 would be read as ten by one and as eight by another.
        let hasLeadingZero = whole.count > 1 && whole.first == "0"
        guard rest.isEmpty, !whole.isEmpty || !fraction.isEmpty, !hasLeadingZero else {
            throw JSON5Error(.badNumber(text), at: start)
        }
        let sign = isNegative ? "-" : ""
        if !hasPoint, exponent.isEmpty {
            if let number = Int64(sign + String(whole)), number != 0 || !isNegative { return .integer(number) }
        }
        let plain =
            "\(sign)\(whole.isEmpty ? "0" : String(whole)).\(fraction.isEmpty ? "0" : String(fraction))"
            + (exponent.isEmpty ? "" : "e\(exponent)")
        guard let number = Double(plain), number.isFinite else {
            throw JSON5Error(.numberTooLarge(text), at: start)
        }
        return .number(number)
    }

    // MARK: Strings

    private mutating func string() throws(JSON5Error) -> String {
        let start = position
        let quote = next
        var text = String.UnicodeScalarView()
        advance()
        while let scalar = next {
            if scalar == quote {
                advance()
                return String(text)
            }
            switch scalar {
            case "\\": if let meant = try escape() { text.append(meant) }
            case "\n", "\r": throw error(.lineBreakInString)
            default:
                text.append(scalar)
                advance()
            }
        }
        throw JSON5Error(.unfinishedString, at: start)
    }

    /// One backslash and what follows; nil for a line continuation.
    private mutating func escape() throws(JSON5Error) -> Unicode.Scalar? {
        let start = position
        advance()
        guard let scalar = next else { throw JSON5Error(.badEscape("\\"), at: start) }
        advance()
        switch scalar {
        case "\r":
            _ = take("\n")
            return nil
        case "\n", "\u{2028}", "\u{2029}": return nil
        case "b": return "\u{8}"
        case "f": return "\u{C}"
        case "n": return "\n"
        case "r": return "\r"
        case "t": return "\t"
        case "v": return "\u{B}"
        case "0" where next?.isDigit != true: return "\0"
        case let digit where digit.isDigit: throw JSON5Error(.badEscape("\\\(scalar)"), at: start)
        case "x": return Unicode.Scalar(UInt8(try hexadecimal(digits: 2, after: "\\x", from: start)))
        case "u": return try unicodeEscape(from: start)
        default: return scalar
        }
    }

    private mutating func unicodeEscape(from start: TextPosition) throws(JSON5Error) -> Unicode.Scalar {
        let high = try hexadecimal(digits: 4, after: "\\u", from: start)
        if let scalar = Unicode.Scalar(high) { return scalar }
        guard (0xD800..<0xDC00).contains(high), take("\\"), take("u") else {
            throw JSON5Error(.badEscape("half of a surrogate pair, \\u\(String(high, radix: 16)),"), at: start)
        }
        let low = try hexadecimal(digits: 4, after: "\\u", from: start)
        guard
            (0xDC00..<0xE000).contains(low),
            let scalar = Unicode.Scalar(0x10000 + (high - 0xD800) << 10 + (low - 0xDC00))
        else {
            throw JSON5Error(.badEscape("half of a surrogate pair, \\u\(String(high, radix: 16)),"), at: start)
        }
        return scalar
    }

    private mutating func hexadecimal(
        digits count: Int,
        after prefix: String,
        from start: TextPosition
    ) throws(JSON5Error) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<count {
            guard let scalar = next, scalar.isHexadecimalDigit, let digit = UInt32(String(scalar), radix: 16) else {
                throw JSON5Error(.badEscape("\(prefix) without \(count) hexadecimal digits"), at: start)
            }
            value = value << 4 | digit
            advance()
        }
        return value
    }

    // MARK: Characters

    private var next: Unicode.Scalar? { index < scalars.count ? scalars[index] : nil }

    private mutating func advance() {
        position.advance(over: scalars[index], before: index + 1 < scalars.count ? scalars[index + 1] : nil)
        index += 1
    }

    private mutating func take(_ wanted: Unicode.Scalar) -> Bool {
        guard next == wanted else { return false }
        advance()
        return true
    }

    private func error(_ problem: JSON5Error.Problem) -> JSON5Error { JSON5Error(problem, at: position) }

    private mutating func skipSpace() throws(JSON5Error) {
        while let scalar = next {
            if scalar.isJSON5Space {
                advance()
            } else if scalar == "/" {
                try skipComment()
            } else {
                return
            }
        }
    }

    private mutating func skipComment() throws(JSON5Error) {
        let start = position
        advance()
        if take("/") {
            while let scalar = next, !scalar.isLineBreak { advance() }
        } else if take("*") {
            while next != nil {
                if take("*") {
                    if take("/") { return }
                } else {
                    advance()
                }
            }
            throw JSON5Error(.unfinishedComment, at: start)
        } else {
            throw JSON5Error(.unexpected(found: "/", wanted: "a value, key or comment (// or /* */)"), at: start)
        }
    }
}

extension TextPosition {
    /// `\r\n` is one line break.
    fileprivate mutating func advance(over scalar: Unicode.Scalar, before following: Unicode.Scalar?) {
        if scalar.isLineBreak, !(scalar == "\r" && following == "\n") {
            self = TextPosition(line: line + 1, column: 1)
        } else {
            column += 1
        }
    }
}

extension Unicode.Scalar {
    fileprivate var isLineBreak: Bool {
        self == "\n" || self == "\r" || self == "\u{2028}" || self == "\u{2029}"
    }
    fileprivate var isJSON5Space: Bool {
        isLineBreak || self == " " || self == "\t" || self == "\u{B}" || self == "\u{C}" || self == "\u{FEFF}"
            || properties.generalCategory == .spaceSeparator
    }
    fileprivate var isDigit: Bool { ("0"..."9").contains(self) }
    fileprivate var isHexadecimalDigit: Bool {
        isDigit || ("a"..."f").contains(self) || ("A"..."F").contains(self)
    }
    /// Whatever could have been meant as part of a number, so that the error shows all of it.
    fileprivate func continuesNumber(after previous: Unicode.Scalar) -> Bool {
        if self == "+" || self == "-" { return previous == "e" || previous == "E" }
        return self == "." || continuesName
    }
    fileprivate var beginsName: Bool {
        if self == "$" || self == "_" { return true }
        switch properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter, .letterNumber:
            return true
        default:
            return false
        }
    }
    fileprivate var continuesName: Bool {
        if beginsName || self == "\u{200C}" || self == "\u{200D}" { return true }
        switch properties.generalCategory {
        case .nonspacingMark, .spacingMark, .decimalNumber, .connectorPunctuation: return true
        default: return false
        }
    }
}

/// What the fuzzer calls: whatever is read is written and read again as the same.
package func fuzzJSON5Reader(_ bytes: UnsafeRawBufferPointer) {
    guard let node = try? JSON5Reader.read(bytes) else { return }
    let once = JSONText.compact(node.value)
    // What is read fits in the bound; written out, with every character escaped, it may not.
    guard once.utf8.count <= JSON5Reader.bytesMost else { return }
    do {
        let again = try JSON5Reader.read(once.utf8)
        precondition(JSONText.compact(again.value) == once, "JSON5 changed by writing and reading it")
    } catch {
        preconditionFailure("JSON5 could not be read again: \(error)")
    }
}
