internal import JSON
public import Signaling

/// What a peer's frame says at its top; the payload stays where it is.
public struct SignalingFrame: Hashable, Sendable {
    /// Nil for a type that is not known, and for one that only a server may use.
    public var kind: SignalingKind?
    /// Nil where nobody is named: absent, or what JavaScript takes for false.
    public var destination: PeerName?
    /// Where the payload stands in the frame; nil where there is none.
    public var payload: Range<Int>?
}

/// The language of PeerJS clients: JSON in text frames, as the reference server (peerjs-server) reads and writes it, except that a
/// payload is passed on as it was written.
public enum SignalingCodec {
    /// Reads a frame of valid UTF-8; nil when it is no JSON object.
    ///
    /// Costs one pass over the bytes, and memory only for escapes. Of a key that comes twice the last counts, as in JavaScript.
    public static func decode(_ frame: UnsafeRawBufferPointer) -> SignalingFrame? {
        var read = SignalingFrame()
        let isObject = JSONOutline.members(of: frame) { member in
            switch key(frame, member.key) {
            case .type: read.kind = kind(frame, member.value)
            case .destination: read.destination = name(frame, member.value)
            case .payload: read.payload = member.value
            case nil: break
            }
        }
        return isObject ? read : nil
    }

    private enum Key {
        case type
        case destination
        case payload
    }

    private static func key(_ frame: UnsafeRawBufferPointer, _ range: Range<Int>) -> Key? {
        let bytes = UnsafeRawBufferPointer(rebasing: frame[range])
        if bytes.contains(UInt8(ascii: "\\")) {
            return switch string(frame, (range.lowerBound - 1)..<(range.upperBound + 1)) {
            case "type": .type
            case "dst": .destination
            case "payload": .payload
            default: nil
            }
        }
        if isEqual(bytes, "type") { return .type }
        if isEqual(bytes, "dst") { return .destination }
        return isEqual(bytes, "payload") ? .payload : nil
    }

    private static func kind(_ frame: UnsafeRawBufferPointer, _ range: Range<Int>) -> SignalingKind? {
        guard frame[range.lowerBound] == UInt8(ascii: "\"") else { return nil }
        let bytes = UnsafeRawBufferPointer(rebasing: frame[(range.lowerBound + 1)..<(range.upperBound - 1)])
        guard bytes.contains(UInt8(ascii: "\\")) else {
            return SignalingKind.allCases.first { kind in
                kind.name.utf8.count == bytes.count && kind.name.utf8.elementsEqual(bytes)
            }
        }
        let text = string(frame, range)
        return SignalingKind.allCases.first { $0.name == text }
    }

    private static func name(_ frame: UnsafeRawBufferPointer, _ range: Range<Int>) -> PeerName? {
        let text = String(decoding: frame[range], as: UTF8.self)
        switch frame[range.lowerBound] {
        case UInt8(ascii: "\""):
            // Half a surrogate pair is no peer's id: ids come as UTF-8.
            guard let id = string(frame, range) else { return .other(text) }
            return id.isEmpty ? nil : .id(id)
        case UInt8(ascii: "n"), UInt8(ascii: "f"): return nil
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"):
            // Zero however it is written: no digit but naughts before the exponent.
            let digits = text.utf8.prefix { $0 | 0x20 != UInt8(ascii: "e") }
            let isZero = !digits.contains { (UInt8(ascii: "1")...UInt8(ascii: "9")).contains($0) }
            return isZero ? nil : .other(text)
        default: return .other(text)
        }
    }

    /// A JSON string's text; nil where an escape means half a character.
    private static func string(_ frame: UnsafeRawBufferPointer, _ range: Range<Int>) -> String? {
        let bytes = UnsafeRawBufferPointer(rebasing: frame[range])
        let limits = JSONLimits(bytesMost: .max, depthMost: 1, valuesMost: 1)
        return (try? JSONDocument(reading: bytes, limits: limits))?.root.string
    }

    private static func isEqual(_ bytes: UnsafeRawBufferPointer, _ text: StaticString) -> Bool {
        bytes.count == text.utf8CodeUnitCount && bytes.indices.allSatisfy { bytes[$0] == text.utf8Start[$0] }
    }

    // MARK: Writing

    /// The text of a frame that goes on to its destination: `{"type":…,"src":…,"dst":…,"payload":…}`, the payload as it was.
    public static func append(
        relaying read: SignalingFrame,
        of frame: UnsafeRawBufferPointer,
        from source: String,
        to out: inout OutputBytes
    ) {
        guard let kind = read.kind, let destination = read.destination else { return }
        out.append(#"{"type":""#)
        out.append(kind.name)
        out.append(#"","src":"#)
        out.append(json: source)
        out.append(#","dst":"#)
        append(destination, to: &out)
        if let payload = read.payload {
            out.append(#","payload":"#)
            out.append(UnsafeRawBufferPointer(rebasing: frame[payload]))
        }
        out.append(UInt8(ascii: "}"))
    }

    /// The text of what the server itself says.
    public static func append(_ word: SignalingWord, to out: inout OutputBytes) {
        switch word {
        case .open: out.append(#"{"type":"OPEN"}"#)
        case .error(let refusal):
            out.append(#"{"type":"ERROR","payload":{"msg":"#)
            out.append(json: refusal.text)
            out.append("}}")
        case .idTaken: out.append(#"{"type":"ID-TAKEN","payload":{"msg":"ID is taken"}}"#)
        case .expire(let name, let sender):
            out.append(#"{"type":"EXPIRE","src":"#)
            append(name, to: &out)
            out.append(#","dst":"#)
            out.append(json: sender)
            out.append(UInt8(ascii: "}"))
        case .relay(let text): text.withUnsafeBytes { out.append($0) }
        }
    }

    private static func append(_ name: PeerName, to out: inout OutputBytes) {
        switch name {
        case .id(let id): out.append(json: id)
        case .other(let text): out.append(text)
        }
    }
}
