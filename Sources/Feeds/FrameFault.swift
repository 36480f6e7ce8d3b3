/// Why a frame of a venue was not understood; nothing in it was applied.
public enum FrameFault: Error, Hashable, Sendable {
    /// The text ended inside a value.
    case truncated
    /// The byte at `offset` cannot stand there in JSON, or not where this message should have something else.
    case unexpected(byte: UInt8, offset: Int)
    /// Nested more than ``JSONScanner/depthMost`` deep.
    case tooDeep(offset: Int)
    /// Something follows the value.
    case textAfterEnd(offset: Int)
    /// A number that is none, or that does not fit 64 bits and 18 decimals.
    case badNumber(offset: Int)
    /// A date or time that is none, or is outside 1970 to 2261.
    case badTime(offset: Int)
    /// The message lacks a field it cannot be understood without.
    case missing(field: FieldName)
    /// A field has another type or value than the venue documents.
    case wrong(field: FieldName)
    /// A kind of message that the dialect does not know.
    case unknownMessage
    /// A book update for an instrument nobody subscribed to, or a name that is no name.
    case unknownSymbol
    /// More instruments than ``VenueFeed/Limits/instrumentsMost``.
    case tooManyInstruments
    /// A quantity below zero.
    case negativeQuantity
    /// A number that does not fit 64 bits at the instrument's scale.
    case outOfRange

    /// The name of a field, as the venue spells it; a literal, so that faults own no memory.
    public struct FieldName: Hashable, Sendable, ExpressibleByStringLiteral, CustomStringConvertible {
        private let literal: StaticString

        public init(stringLiteral literal: StaticString) { self.literal = literal }

        public var description: String { literal.description }

        public static func == (left: FieldName, right: FieldName) -> Bool { left.description == right.description }

        public func hash(into hasher: inout Hasher) { hasher.combine(description) }
    }

    /// One word for counters and reports.
    public var name: String {
        switch self {
        case .truncated: "truncated"
        case .unexpected: "unexpected_byte"
        case .tooDeep: "too_deep"
        case .textAfterEnd: "text_after_end"
        case .badNumber: "bad_number"
        case .badTime: "bad_time"
        case .missing(let field): "missing_\(field)"
        case .wrong(let field): "wrong_\(field)"
        case .unknownMessage: "unknown_message"
        case .unknownSymbol: "unknown_symbol"
        case .tooManyInstruments: "too_many_instruments"
        case .negativeQuantity: "negative_quantity"
        case .outOfRange: "out_of_range"
        }
    }
}

extension FrameFault: CustomStringConvertible {
    public var description: String {
        switch self {
        case .truncated: "the text ends inside a value"
        case .unexpected(let byte, let offset):
            "byte 0x\(String(byte, radix: 16, uppercase: true)) cannot stand at offset \(offset)"
        case .tooDeep(let offset): "nested too deep at offset \(offset)"
        case .textAfterEnd(let offset): "something follows the value at offset \(offset)"
        case .badNumber(let offset): "no number, or one too long, at offset \(offset)"
        case .badTime(let offset): "no time, or one out of range, at offset \(offset)"
        case .missing(let field): "\(field) is missing"
        case .wrong(let field): "\(field) is not what the venue documents"
        case .unknownMessage: "an unknown kind of message"
        case .unknownSymbol: "an instrument that nobody subscribed to"
        case .tooManyInstruments: "too many instruments"
        case .negativeQuantity: "a quantity below zero"
        case .outOfRange: "a number that does not fit the instrument's units"
        }
    }
}
