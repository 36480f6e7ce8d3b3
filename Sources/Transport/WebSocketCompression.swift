internal import CZlib

/// What a client and we agreed on about permessage-deflate (RFC 7692).
///
/// Neither side goes on with the window of the message before: nothing is kept for a connection, what is the same for many is
/// deflated once, and nobody's bytes are ever compressed together with another's.
struct CompressionAgreement: Equatable {
    /// As far back as what we send may refer, as a power of two.
    var windowBits: Int
    /// The value of Sec-WebSocket-Extensions that says so.
    var answer: String

    /// Takes the first offer that can be met; nil when there is none.
    static func meeting(_ offers: String) -> CompressionAgreement? {
        for offer in HTTPRequest.list(offers) {
            if let agreement = meeting(offer: offer) { return agreement }
        }
        return nil
    }

    private static func meeting(offer: String) -> CompressionAgreement? {
        let parts = offer.split(separator: ";", omittingEmptySubsequences: false).map(trimmed)
        guard parts.first == "permessage-deflate" else { return nil }
        var named: Set<Substring> = []
        var agreement = CompressionAgreement(
            windowBits: 15,
            answer: "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
        )
        for part in parts.dropFirst() {
            let sides = part.split(separator: "=", maxSplits: 1).map(trimmed)
            guard let name = sides.first, named.insert(name).inserted else { return nil }
            let value = sides.count == 2 ? sides[1] : nil
            switch (String(name), value) {
            case ("server_no_context_takeover", nil), ("client_no_context_takeover", nil),
                ("client_max_window_bits", nil):
                break
            case ("client_max_window_bits", let value?):
                // Whatever it is, we read with the greatest.
                guard bits(value) != nil else { return nil }
            case ("server_max_window_bits", let value?):
                guard let bits = bits(value) else { return nil }
                agreement.windowBits = bits
                agreement.answer += "; server_max_window_bits=\(bits)"
            default: return nil
            }
        }
        return agreement
    }

    private static func trimmed(_ text: Substring) -> Substring {
        let start = text.drop { $0 == " " || $0 == "\t" }
        guard let last = start.lastIndex(where: { $0 != " " && $0 != "\t" }) else { return "" }
        return start[...last]
    }

    /// A value of RFC 7692, section 7.1.2: 8 to 15 without leading zeros, perhaps quoted.
    private static func bits(_ value: Substring) -> Int? {
        var value = value
        if value.count >= 2, value.first == "\"", value.last == "\"" { value = value.dropFirst().dropLast() }
        guard let bits = Int(value), (8...15).contains(bits), value == String(bits) else { return nil }
        return bits
    }
}

/// Deflates pieces of messages, each from an empty window and up to a byte's end.
///
/// Pieces one after the other are a message, when the last four bytes, ``tail``, are left out (RFC 7692, section 7.2.1); so a piece that many get is deflated once.
public final class Deflater {
    private let stream: UnsafeMutablePointer<z_stream>
    public static let tail: [UInt8] = [0x00, 0x00, 0xff, 0xff]
    /// What a piece has beyond its bytes where they are put as they are: ``writeStoredHeader(of:into:)``.
    public static let storedHeaderBytes = 5

    /// - Parameter level: 1, the fastest, to 9, the smallest.
    public init(level: Int) {
        stream = .allocate(capacity: 1)
        stream.initialize(to: z_stream())
        // A smaller table than zlib's usual one: it is cleared for every piece.
        let status = deflateInit2_(
            stream,
            Int32(level),
            Z_DEFLATED,
            -MAX_WBITS,
            6,
            Z_DEFAULT_STRATEGY,
            ZLIB_VERSION,
            Int32(MemoryLayout<z_stream>.size)
        )
        precondition(status == Z_OK, "zlib cannot deflate: \(status)")
    }

    deinit {
        deflateEnd(stream)
        stream.deallocate()
    }

    /// The most bytes that a piece of this length may take.
    public func mostBytes(of count: Int) -> Int { Int(deflateBound(stream, uLong(count))) + 16 }

    /// - Precondition: `room` has ``mostBytes(of:)``.
    /// - Returns: the number of bytes written, ``tail`` at their end.
    public func deflate(_ bytes: UnsafeRawBufferPointer, into room: UnsafeMutableRawBufferPointer) -> Int {
        deflateReset(stream)
        stream.pointee.next_in = UnsafeMutablePointer(
            mutating: bytes.bindMemory(to: UInt8.self).baseAddress
        )
        stream.pointee.avail_in = UInt32(bytes.count)
        stream.pointee.next_out = room.bindMemory(to: UInt8.self).baseAddress
        stream.pointee.avail_out = UInt32(room.count)
        let status = CZlib.deflate(stream, Z_SYNC_FLUSH)
        precondition(status == Z_OK && stream.pointee.avail_in == 0, "zlib had no room to deflate: \(status)")
        return room.count - Int(stream.pointee.avail_out)
    }

    /// What stands before at most 65,535 bytes that are put as they are between pieces.
    public static func writeStoredHeader(of count: Int, into room: UnsafeMutableRawBufferPointer) {
        precondition(count <= 65_535, "a stored block of \(count) bytes")
        room[0] = 0
        room[1] = UInt8(count & 0xff)
        room[2] = UInt8(count >> 8)
        room[3] = ~room[1]
        room[4] = ~room[2]
    }

    /// A whole message in one frame; nil when that is no shorter, or refers back further than the other end can look.
    public func frame(_ kind: WebSocketFrame.Kind, _ payload: UnsafeRawBufferPointer, windowBits: Int) -> [UInt8]? {
        guard payload.count <= 1 << windowBits else { return nil }
        let room = mostBytes(of: payload.count)
        let deflated = [UInt8](unsafeUninitializedCapacity: room) { bytes, filled in
            filled = deflate(payload, into: UnsafeMutableRawBufferPointer(bytes)) - Self.tail.count
        }
        guard deflated.count < payload.count else { return nil }
        var frame = WebSocketFrame.bytes(kind, deflated)
        frame[0] |= WebSocketFrame.compressedBit
        return frame
    }
}

/// Inflates messages of clients, each by itself; one for all connections of a loop.
package final class Inflater {
    private let stream: UnsafeMutablePointer<z_stream>
    private var room: [UInt8] = []
    /// Room that is kept for the next message.
    private static let roomKeptBytes = 64 * 1024

    package init() {
        stream = .allocate(capacity: 1)
        stream.initialize(to: z_stream())
        let status = inflateInit2_(stream, -MAX_WBITS, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
        precondition(status == Z_OK, "zlib cannot inflate: \(status)")
    }

    deinit {
        inflateEnd(stream)
        stream.deallocate()
    }

    /// Hands over what a message's payload comes to; no more than `bytesMost` and one are ever made of it.
    ///
    /// - Throws: ``WebSocketFault`` with 1009 when it is longer, 1007 when it is nothing that was deflated.
    package func inflate<Result>(
        _ payload: UnsafeRawBufferPointer,
        bytesMost: Int,
        _ body: (UnsafeRawBufferPointer) throws(WebSocketFault) -> Result
    ) throws(WebSocketFault) -> Result {
        inflateReset(stream)
        defer { if room.count > Self.roomKeptBytes { room = [] } }
        var filled = 0
        try take(payload, &filled, bytesMost: bytesMost)
        try Deflater.tail.withFault { tail throws(WebSocketFault) in try take(tail, &filled, bytesMost: bytesMost) }
        let count = filled
        return try room.withFault { bytes throws(WebSocketFault) in
            try body(UnsafeRawBufferPointer(rebasing: bytes[..<count]))
        }
    }

    private func take(_ bytes: UnsafeRawBufferPointer, _ filled: inout Int, bytesMost: Int) throws(WebSocketFault) {
        stream.pointee.next_in = UnsafeMutablePointer(mutating: bytes.bindMemory(to: UInt8.self).baseAddress)
        stream.pointee.avail_in = UInt32(bytes.count)
        while true {
            guard filled <= bytesMost else { throw .tooLong(bytesMost: bytesMost) }
            if filled == room.count {
                let more = min(max(1024, room.count), bytesMost + 1 - filled)
                room.append(contentsOf: repeatElement(0, count: more))
            }
            // What is left of a longer message's room is not for this one.
            let end = min(room.count, bytesMost + 1)
            let (start, before) = (filled, end - filled)
            let status = room.withUnsafeMutableBytes { room -> Int32 in
                stream.pointee.next_out = room.bindMemory(to: UInt8.self).baseAddress.map { $0 + start }
                stream.pointee.avail_out = UInt32(before)
                return CZlib.inflate(stream, Z_SYNC_FLUSH)
            }
            filled += before - Int(stream.pointee.avail_out)
            switch status {
            // A last block may stand inside a message (section 7.2.3.5); another begins behind it.
            case Z_STREAM_END:
                guard stream.pointee.avail_in > 0 else { return }
                let (next, left) = (stream.pointee.next_in, stream.pointee.avail_in)
                inflateResetKeep(stream)
                stream.pointee.next_in = next
                stream.pointee.avail_in = left
            case Z_OK, Z_BUF_ERROR:
                guard filled == end || stream.pointee.avail_in > 0 else { return }
                guard status == Z_OK || filled == end else { throw .wrongCompression }
            default: throw .wrongCompression
            }
        }
    }
}

extension WebSocketFault {
    fileprivate static let wrongCompression = WebSocketFault(code: 1007, reason: "a message cannot be inflated")
}

extension [UInt8] {
    /// As ``withUnsafeBytes(_:)``, which forgets what its closure throws.
    fileprivate func withFault<Result>(
        _ body: (UnsafeRawBufferPointer) throws(WebSocketFault) -> Result
    ) throws(WebSocketFault) -> Result {
        try withUnsafeBytes { bytes in Swift.Result { () throws(WebSocketFault) in try body(bytes) } }.get()
    }
}
