/// Where a character stands in a text: both numbers count from 1, columns in Unicode scalars.
package struct TextPosition: Hashable, Sendable, CustomStringConvertible {
    package var line: Int
    package var column: Int

    package init(line: Int, column: Int) {
        self.line = line
        self.column = column
    }

    package var description: String { "\(line):\(column)" }
}

/// A JSON5 value and where it began.
package struct JSON5Node: Sendable, Hashable {
    package var value: JSON5Value
    package var position: TextPosition

    package init(_ value: JSON5Value, at position: TextPosition) {
        self.value = value
        self.position = position
    }

    /// The member of an object; nil when it has none of that name, or is no object.
    package subscript(_ key: String) -> JSON5Node? {
        guard case .object(let members) = value else { return nil }
        return members.first { $0.key == key }?.node
    }
}

/// What a JSON5 text can say.
package indirect enum JSON5Value: Sendable, Hashable {
    case null
    case flag(Bool)
    /// Written without point and exponent (or in hexadecimal) and within 64 bits.
    case integer(Int64)
    /// Every other number, the infinities and NaN included.
    case number(Double)
    case text(String)
    case list([JSON5Node])
    /// In the order written; no key stands twice.
    case object([JSON5Member])

    /// What the value is, as said in error messages: `the text "80"`, `the number 1.5`, `a list`.
    package var summary: String {
        switch self {
        case .null: "null"
        case .flag(let flag): "\(flag)"
        case .integer(let number): "the number \(number)"
        case .number(let number): "the number \(JSONText.number(number))"
        case .text(let text): "the text \(JSONText.quoted(text.count > 40 ? text.prefix(40) + "…" : text))"
        case .list: "a list"
        case .object: "an object"
        }
    }
}

/// One `key: value` of an object.
package struct JSON5Member: Sendable, Hashable {
    package var key: String
    package var keyPosition: TextPosition
    package var node: JSON5Node

    package init(key: String, keyPosition: TextPosition, node: JSON5Node) {
        self.key = key
        self.keyPosition = keyPosition
        self.node = node
    }
}

/// Why a text is not JSON5, and where.
package struct JSON5Error: Error, Hashable, Sendable {
    package enum Problem: Hashable, Sendable {
        case tooLong(bytes: Int, bytesMost: Int)
        case tooDeep(levelsMost: Int)
        case notUTF8(byte: Int)
        /// `found` is nil at the end of the text.
        case unexpected(found: Unicode.Scalar?, wanted: String)
        case unknownWord(String)
        case unfinishedComment
        case unfinishedString
        case lineBreakInString
        case badEscape(String)
        case badNumber(String)
        case numberTooLarge(String)
        case duplicateKey(String, first: TextPosition)
    }

    package var problem: Problem
    package var position: TextPosition

    package init(_ problem: Problem, at position: TextPosition) {
        self.problem = problem
        self.position = position
    }

    /// One line saying what is wrong and what would be right, without the position.
    package var message: String {
        switch problem {
        case .tooLong(let bytes, let most):
            "the text has \(bytes) bytes; at most \(most) are read"
        case .tooDeep(let most):
            "more than \(most) lists and objects inside each other; flatten them"
        case .notUTF8(let byte):
            "byte 0x\(String(byte, radix: 16)) is not UTF-8; save the file as UTF-8"
        case .unexpected(nil, let wanted):
            "the text ends where \(wanted) was expected"
        case .unexpected(.some(let scalar), let wanted):
            "expected \(wanted), found \(JSONText.quoted(String(scalar)))"
        case .unknownWord(let word):
            "\(word) is no value; write text in quotes: \(JSONText.quoted(word))"
        case .unfinishedComment:
            "the comment that begins here is never closed; end it with */"
        case .unfinishedString:
            "the text that begins here is never closed; end it with the quote it began with"
        case .lineBreakInString:
            "a line break inside quoted text; write \\n, or end the line with \\ to continue it"
        case .badEscape(let escape):
            "\(escape) is no escape; write a backslash itself as \\\\"
        case .badNumber(let text):
            "\(text) is no number; JSON5 has 12, -1.5, .5, 1e3 and 0xFF"
        case .numberTooLarge(let text):
            "the number \(text) does not fit in 64 bits"
        case .duplicateKey(let key, let first):
            "key \(JSONText.quoted(key)) stands twice, first at \(first); remove one"
        }
    }
}
