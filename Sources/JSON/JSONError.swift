/// What is wrong with a JSON text, and at which byte of it, counted from 0.
public struct JSONError: Error, Hashable, Sendable {
    public enum Problem: Hashable, Sendable {
        case tooLong(most: Int)
        case tooDeep(most: Int)
        case tooManyValues(most: Int)
        case tooManyMembers(most: Int)
        case ended
        case unexpected(UInt8, wanted: String)
        case textAfterTheEnd
        case duplicateKey(String)
        case notUTF8
        case controlCharacter(UInt8)
        case badEscape
        case loneSurrogate
        case badNumber
    }

    public var problem: Problem
    /// Where, counted in bytes from 0.
    public var offset: Int

    public init(_ problem: Problem, at offset: Int) {
        self.problem = problem
        self.offset = offset
    }
}

extension JSONError: CustomStringConvertible {
    public var description: String { "\(words) at byte \(offset)" }

    private var words: String {
        switch problem {
        case .tooLong(let most): "more than \(most) bytes"
        case .tooDeep(let most): "nested more than \(most) levels deep"
        case .tooManyValues(let most): "more than \(most) values"
        case .tooManyMembers(let most): "more than \(most) keys in one object"
        case .ended: "the text ends too early"
        case .unexpected(let byte, let wanted): "\(Self.name(of: byte)) where \(wanted) should be"
        case .textAfterTheEnd: "more text behind the value"
        case .duplicateKey(let key): "the key \"\(key)\" stands twice"
        case .notUTF8: "not UTF-8"
        case .controlCharacter(let byte): "the control character \(Self.name(of: byte)) inside a string"
        case .badEscape: "an unknown escape"
        case .loneSurrogate: "half of a surrogate pair"
        case .badNumber: "not a JSON number"
        }
    }

    private static func name(of byte: UInt8) -> String {
        (0x21...0x7E).contains(byte)
            ? "'\(Unicode.Scalar(byte))'" : "byte 0x\(String(byte, radix: 16, uppercase: true))"
    }
}
