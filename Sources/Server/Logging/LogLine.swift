/// Writes one log line.
package enum LogLine {
    /// The longest text of a field; the rest is cut off and `…` put in its place.
    package static let textBytesMost = 4096

    /// Appends the line with its line break.
    ///
    /// JSON: `{"time":…,"level":…,"event":…` and the fields in order. Text: the same for people, fields as `name=value`.
    /// Nothing in a field can break the line or forge another.
    package static func append(
        utcNs: Int64,
        level: LogLevel,
        event: StaticString,
        fields: KeyedLogValues,
        as format: LogFormat,
        to bytes: inout [UInt8]
    ) {
        switch format {
        case .json:
            bytes.append(contentsOf: "{\"time\":\"".utf8)
            TimeText.append(utcNs: utcNs, to: &bytes)
            bytes.append(contentsOf: "\",\"level\":\"".utf8)
            bytes.append(contentsOf: level.rawValue.utf8)
            bytes.append(contentsOf: "\",\"event\":".utf8)
            JSONText.append(event.description, to: &bytes)
            for field in fields.pairs {
                bytes.append(UInt8(ascii: ","))
                append(field, to: &bytes)
            }
            bytes.append(contentsOf: "}\n".utf8)
        case .text:
            TimeText.append(utcNs: utcNs, to: &bytes)
            bytes.append(contentsOf: " \(level.rawValue.uppercased()) \(event)".utf8)
            for field in fields.pairs {
                bytes.append(contentsOf: " \(field.name)=".utf8)
                append(field.value, to: &bytes)
            }
            bytes.append(UInt8(ascii: "\n"))
        }
    }

    /// Appends an object as JSON on one line, without a line break.
    package static func append(_ object: KeyedLogValues, to bytes: inout [UInt8]) {
        bytes.append(UInt8(ascii: "{"))
        for (index, pair) in object.pairs.enumerated() {
            if index > 0 { bytes.append(UInt8(ascii: ",")) }
            append(pair, to: &bytes)
        }
        bytes.append(UInt8(ascii: "}"))
    }

    private static func append(_ pair: KeyedLogValues.Pair, to bytes: inout [UInt8]) {
        JSONText.append(pair.name, to: &bytes)
        bytes.append(UInt8(ascii: ":"))
        append(pair.value, to: &bytes)
    }

    private static func append(_ value: LogValue, to bytes: inout [UInt8]) {
        switch value {
        case .text(let text):
            if text.utf8.count <= textBytesMost {
                JSONText.append(text, to: &bytes)
            } else {
                JSONText.append(String(decoding: text.utf8.prefix(textBytesMost), as: UTF8.self) + "…", to: &bytes)
            }
        case .integer(let number): bytes.append(contentsOf: "\(number)".utf8)
        // JSON has no infinities.
        case .number(let number):
            bytes.append(contentsOf: (number.isFinite ? JSONText.number(number) : "null").utf8)
        case .flag(let flag): bytes.append(contentsOf: "\(flag)".utf8)
        case .list(let values):
            bytes.append(UInt8(ascii: "["))
            for (index, value) in values.enumerated() {
                if index > 0 { bytes.append(UInt8(ascii: ",")) }
                append(value, to: &bytes)
            }
            bytes.append(UInt8(ascii: "]"))
        case .object(let object): append(object, to: &bytes)
        }
    }
}
