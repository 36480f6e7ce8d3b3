import JSON
import Server

extension FuzzProperty {
    /// What our clients' JSON reader reads is written again as a text that it reads as the same, and keeps its bounds.
    static let json = FuzzProperty(name: "json") { bytes in
        guard let document = try? JSONDocument(reading: bytes) else { return }
        var once: [UInt8] = []
        append(document.root, depth: 1, to: &once)
        // Written out, with every character escaped, it may be longer than the reader reads.
        guard once.count <= JSONLimits().bytesMost else { return }
        var twice: [UInt8] = []
        once.withUnsafeBytes { once in
            do {
                append(try JSONDocument(reading: once).root, depth: 1, to: &twice)
            } catch {
                preconditionFailure("JSON could not be read again: \(error)")
            }
        }
        precondition(once == twice, "JSON changed by writing and reading it")
    }

    /// What the configuration's reader reads is written again as a text that it reads as the same.
    static let json5 = FuzzProperty(name: "json5") { fuzzJSON5Reader($0) }

    private static func append(_ value: JSONValue, depth: Int, to bytes: inout [UInt8]) {
        precondition(depth <= JSONLimits().depthMost + 1, "nested too deep")
        switch value.kind {
        case .object:
            bytes.append(UInt8(ascii: "{"))
            for (place, member) in value.members.enumerated() {
                precondition(value[member.key]?.range == member.value.range, "a key finds another key's value")
                if place > 0 { bytes.append(UInt8(ascii: ",")) }
                JSONText.append(member.key, to: &bytes)
                bytes.append(UInt8(ascii: ":"))
                append(member.value, depth: depth + 1, to: &bytes)
            }
            bytes.append(UInt8(ascii: "}"))
        case .array:
            bytes.append(UInt8(ascii: "["))
            for (place, element) in value.elements.enumerated() {
                if place > 0 { bytes.append(UInt8(ascii: ",")) }
                append(element, depth: depth + 1, to: &bytes)
            }
            bytes.append(UInt8(ascii: "]"))
        case .string:
            guard let text = value.string else { preconditionFailure("a string without text") }
            JSONText.append(text, to: &bytes)
        case .number:
            if let number = value.uint64 {
                precondition(value.source.allSatisfy { (0x30...0x39).contains($0) }, "\(number) from more than digits")
            }
            bytes.append(contentsOf: value.source)
        case .true, .false:
            precondition(value.bool == (value.kind == .true))
            bytes.append(contentsOf: value.source)
        case .null:
            bytes.append(contentsOf: value.source)
        }
    }
}
