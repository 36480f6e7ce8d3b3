/// Writes values as JSON text.
package enum JSONText {
    /// The text in double quotes, everything escaped that JSON wants escaped.
    package static func quoted(_ text: some StringProtocol) -> String {
        var bytes: [UInt8] = []
        append(text, to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Appends the text in double quotes; the result is one line whatever the text holds.
    package static func append(_ text: some StringProtocol, to bytes: inout [UInt8]) {
        bytes.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                bytes.append(UInt8(ascii: "\\"))
                bytes.append(byte)
            case 0x0A: bytes.append(contentsOf: "\\n".utf8)
            case 0x0D: bytes.append(contentsOf: "\\r".utf8)
            case 0x09: bytes.append(contentsOf: "\\t".utf8)
            case 0..<0x20, 0x7F:
                let digits = "0123456789abcdef".utf8.map(\.self)
                bytes.append(contentsOf: "\\u00".utf8)
                bytes.append(digits[Int(byte >> 4)])
                bytes.append(digits[Int(byte & 15)])
            default: bytes.append(byte)
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }

    /// A number without a needless `.0`; the infinities and NaN as JSON5 spells them.
    package static func number(_ number: Double) -> String {
        if number.isNaN { return "NaN" }
        if number.isInfinite { return number < 0 ? "-Infinity" : "Infinity" }
        let text = "\(number)"
        return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
    }

    /// The value on one line, in the order its members stand.
    ///
    /// JSON as long as it holds neither an infinity nor NaN.
    package static func compact(_ value: JSON5Value) -> String {
        switch value {
        case .null: "null"
        case .flag(let flag): "\(flag)"
        case .integer(let number): "\(number)"
        case .number(let number): Self.number(number)
        case .text(let text): quoted(text)
        case .list(let nodes): "[\(nodes.map { compact($0.value) }.joined(separator: ", "))]"
        case .object(let members):
            members.isEmpty
                ? "{}"
                : "{ \(members.map { "\(quoted($0.key)): \(compact($0.node.value))" }.joined(separator: ", ")) }"
        }
    }

    /// The value over several lines, indented by two spaces a level; what has no members stays on its line.
    package static func indented(_ value: JSON5Value, by indentation: String = "") -> String {
        let inner = indentation + "  "
        switch value {
        case .object(let members) where !members.isEmpty:
            let lines = members.map { "\(inner)\(quoted($0.key)): \(indented($0.node.value, by: inner))" }
            return "{\n\(lines.joined(separator: ",\n"))\n\(indentation)}"
        case .list(let nodes) where nodes.contains { $0.value.isContainer }:
            let lines = nodes.map { inner + indented($0.value, by: inner) }
            return "[\n\(lines.joined(separator: ",\n"))\n\(indentation)]"
        default:
            return compact(value)
        }
    }
}

extension JSON5Value {
    fileprivate var isContainer: Bool {
        switch self {
        case .list, .object: true
        case .null, .flag, .integer, .number, .text: false
        }
    }
}
