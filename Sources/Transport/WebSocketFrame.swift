/// Writes frames of whole messages (RFC 6455 section 5.2): a server's, not masked, and a client's, masked.
public enum WebSocketFrame {
    public enum Kind: UInt8, Sendable {
        case text = 0x81
        case binary = 0x82
        case close = 0x88
        case ping = 0x89
        case pong = 0x8a
    }

    /// In a header's first byte: the message is deflated (RFC 7692).
    public static let compressedBit: UInt8 = 0x40
    /// What a header can take at most.
    public static let headerBytesMost = 10

    /// How long the header of a payload is: 2, 4 or 10 bytes.
    public static func headerBytes(payloadBytes: Int) -> Int {
        payloadBytes < 126 ? 2 : payloadBytes < 65_536 ? 4 : 10
    }

    /// Writes the header at the start of `room`.
    /// - Precondition: `room` has ``headerBytes(payloadBytes:)`` bytes; a control frame has at most 125 of payload.
    /// - Returns: the number of bytes written.
    @discardableResult
    public static func writeHeader(
        _ kind: Kind,
        isCompressed: Bool = false,
        payloadBytes: Int,
        into room: UnsafeMutableRawBufferPointer
    ) -> Int {
        precondition(payloadBytes < 126 || kind.rawValue & 8 == 0, "a control frame of \(payloadBytes) bytes")
        let count = headerBytes(payloadBytes: payloadBytes)
        precondition(room.count >= count, "no room for a frame header")
        room[0] = kind.rawValue | (isCompressed ? compressedBit : 0)
        switch count {
        case 2: room[1] = UInt8(payloadBytes)
        case 4:
            room[1] = 126
            room[2] = UInt8(payloadBytes >> 8)
            room[3] = UInt8(payloadBytes & 0xff)
        default:
            room[1] = 127
            for place in 0..<8 { room[2 + place] = UInt8(truncatingIfNeeded: payloadBytes >> (56 - 8 * place)) }
        }
        return count
    }

    /// How many of these bytes, which are frames one after the other, are the first whole frames of at most `most` bytes.
    ///
    /// At least one frame, however long. Writes must end where a frame ends: libwebsockets puts its own pongs between them.
    /// - Precondition: the bytes are whole frames as a server sends them.
    public static func wholeFrames(in bytes: UnsafeRawBufferPointer, most: Int) -> Int {
        guard bytes.count > most else { return bytes.count }
        var end = 0
        while end < bytes.count {
            let next = end + frameBytes(at: end, in: bytes)
            if next > most { return end == 0 ? next : end }
            end = next
        }
        return end
    }

    private static func frameBytes(at start: Int, in bytes: UnsafeRawBufferPointer) -> Int {
        switch bytes[start + 1] {
        case 127: 10 + (2..<10).reduce(0) { $0 << 8 | Int(bytes[start + $1]) }
        case 126: 4 + (Int(bytes[start + 2]) << 8 | Int(bytes[start + 3]))
        case let count: 2 + Int(count)
        }
    }

    /// A whole frame as a client sends it; `mask` is drawn anew for each (section 10.3).
    static func maskedBytes(_ kind: Kind, _ payload: [UInt8], mask: UInt32) -> [UInt8] {
        var frame = bytes(kind, payload)
        let header = headerBytes(payloadBytes: payload.count)
        frame[1] |= 0x80
        let key = [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: mask >> $0) }
        for place in header..<frame.count { frame[place] ^= key[(place - header) & 3] }
        frame.insert(contentsOf: key, at: header)
        return frame
    }

    /// As much of a close frame's reason as fits behind the code, cut between characters.
    static func reasonBytes(_ reason: String) -> [UInt8] {
        var bytes: [UInt8] = []
        for character in reason {
            guard bytes.count + character.utf8.count <= 123 else { break }
            bytes += character.utf8
        }
        return bytes
    }

    /// A whole frame as a server sends it.
    public static func bytes(_ kind: Kind, _ payload: some Collection<UInt8>) -> [UInt8] {
        let count = payload.count
        let header = headerBytes(payloadBytes: count)
        return [UInt8](unsafeUninitializedCapacity: header + count) { room, filled in
            writeHeader(kind, payloadBytes: count, into: UnsafeMutableRawBufferPointer(room))
            _ = UnsafeMutableBufferPointer(rebasing: room[header...]).initialize(from: payload)
            filled = header + count
        }
    }
}
