/// How much a JSON text may ask of its reader.
public struct JSONLimits: Hashable, Sendable {
    public var bytesMost: Int
    public var depthMost: Int
    /// Values and keys, all told.
    public var valuesMost: Int
    /// In one object; looking for duplicates costs the square of it.
    public var membersMost: Int

    public init(bytesMost: Int = 65_536, depthMost: Int = 16, valuesMost: Int = 20_000, membersMost: Int = 64) {
        self.bytesMost = bytesMost
        self.depthMost = depthMost
        self.valuesMost = valuesMost
        self.membersMost = membersMost
    }
}

/// A JSON text that was read, as RFC 8259 has it and nothing more: no key twice, valid UTF-8, no comments.
///
/// It holds where the values are, not the values: numbers stay text, so no digit is lost. The bytes belong to the caller and must
/// outlive the document and every ``JSONValue`` of it.
public struct JSONDocument {
    /// What is written where; a container's contents follow it.
    struct Node {
        var kind: JSONValue.Kind
        /// Whether a string has escapes.
        var isEscaped = false
        var start: UInt32
        var end: UInt32
        /// The node behind this one and all that it contains.
        var next: UInt32
    }

    let bytes: UnsafeRawBufferPointer
    let nodes: [Node]

    /// Reads a whole text.
    ///
    /// Costs one pass over the bytes, and a comparison of every key with those before it in its object.
    public init(reading bytes: UnsafeRawBufferPointer, limits: JSONLimits = JSONLimits()) throws(JSONError) {
        var reader = JSONReader(bytes, limits: limits)
        nodes = try reader.read()
        self.bytes = bytes
    }

    /// The value that the text is.
    public var root: JSONValue { JSONValue(document: self, index: 0) }
}

/// One value of a ``JSONDocument``.
public struct JSONValue {
    public enum Kind: UInt8, Hashable, Sendable {
        case object
        case array
        case string
        case number
        case `true`
        case `false`
        case null
    }

    let document: JSONDocument
    let index: Int

    private var node: JSONDocument.Node { document.nodes[index] }

    public var kind: Kind { node.kind }

    /// Where the value stands in the text, with its quotes or brackets.
    public var range: Range<Int> { Int(node.start)..<Int(node.end) }

    /// The value as it is written.
    public var source: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: document.bytes[range]) }

    /// What a string says, escapes resolved; nil for another kind.
    public var string: String? {
        guard kind == .string else { return nil }
        let inside = UnsafeRawBufferPointer(rebasing: source.dropFirst().dropLast())
        return node.isEscaped ? JSONReader.unescape(inside) : String(decoding: inside, as: UTF8.self)
    }

    /// A number that is written as a whole one, without point and exponent, and fits; nil otherwise.
    public var uint64: UInt64? {
        guard kind == .number else { return nil }
        var value: UInt64 = 0
        for byte in source {
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { return nil }
            let (tenfold, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, carried) = tenfold.addingReportingOverflow(UInt64(byte - UInt8(ascii: "0")))
            guard !overflow, !carried else { return nil }
            value = sum
        }
        return value
    }

    public var bool: Bool? {
        switch kind {
        case .true: true
        case .false: false
        default: nil
        }
    }

    /// The values of an array; none for another kind.
    public var elements: [JSONValue] {
        guard kind == .array else { return [] }
        return children
    }

    /// The keys and values of an object in the order in which they are written; none for another kind.
    public var members: [(key: String, value: JSONValue)] {
        guard kind == .object else { return [] }
        let all = children
        return stride(from: 0, to: all.count, by: 2).compactMap { at in
            all[at].string.map { ($0, all[at + 1]) }
        }
    }

    /// An object's value under a key; nil when there is none or this is no object.
    public subscript(key: String) -> JSONValue? {
        guard kind == .object else { return nil }
        var at = index + 1
        while at < Int(node.next) {
            let member = JSONValue(document: document, index: at)
            // By bytes: to String, letters with accents are equal to those that are composed.
            if member.string?.utf8.elementsEqual(key.utf8) == true {
                return JSONValue(document: document, index: at + 1)
            }
            at = Int(document.nodes[at + 1].next)
        }
        return nil
    }

    private var children: [JSONValue] {
        var all: [JSONValue] = []
        var at = index + 1
        while at < Int(node.next) {
            all.append(JSONValue(document: document, index: at))
            at = Int(document.nodes[at].next)
        }
        return all
    }
}
