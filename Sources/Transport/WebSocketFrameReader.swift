/// What the other end did against RFC 6455, and the code that tells it so (section 7.4.1).
package struct WebSocketFault: Error, Equatable {
    package var code: UInt16
    package var reason: String

    static func breach(_ reason: String) -> WebSocketFault { WebSocketFault(code: 1002, reason: reason) }
    static let wrongText = WebSocketFault(code: 1007, reason: "a text is not UTF-8")
    static func tooLong(bytesMost: Int) -> WebSocketFault {
        WebSocketFault(code: 1009, reason: "a message was too long, more than \(bytesMost) bytes")
    }
}

/// Takes apart what a server or a client sends (RFC 6455 section 5), compressed where that was agreed (RFC 7692).
///
/// libwebsockets reads frames byte by byte, at 1.9 µs a message of a venue. Here a frame that lies whole in what
/// was read is handed on where it lies, and only what a read cuts off is copied.
package struct WebSocketFrameReader {
    package enum Message {
        case text
        case binary
        case ping
        case pong
        /// The code is 1005 where none was given.
        case close(code: UInt16, reason: String)
    }

    /// Whose frames they are: a client's are masked, a server's are not (section 5.1).
    package enum Sender {
        case server
        case client

        /// Room that is kept for the next frame that a read cuts off: servers are few, and send much.
        fileprivate var roomKeptBytes: Int { self == .server ? 256 * 1024 : 0 }
    }

    private struct Header {
        var bytes: Int
        var payloadBytes: Int
        var isFinal: Bool
        var opcode: UInt8
        var isCompressed: Bool
        /// In the order in which its bytes stand; 0 changes nothing.
        var mask: UInt32 = 0
    }

    private let sender: Sender
    private let messageBytesMost: Int
    /// Set where messages may be compressed.
    private let inflater: Inflater?
    /// The beginning of a frame whose end has not come.
    private var pending: [UInt8] = []
    /// The parts so far of a message that comes in several frames; nil outside of one.
    private var assembly: (bytes: [UInt8], isText: Bool, isCompressed: Bool)?

    package init(from sender: Sender, messageBytesMost: Int, inflater: Inflater? = nil) {
        self.sender = sender
        self.inflater = inflater
        self.messageBytesMost = messageBytesMost
    }

    /// Takes bytes as they came, cut anywhere, and hands on every message that is whole.
    ///
    /// A client's are unmasked where they lie, so they must lie in memory that is the caller's own to change.
    ///
    /// `take` gets a message and its payload, which is valid during the call; it answers whether it wants more. What is
    /// left when it does not is forgotten. After a fault nothing more can be read.
    package mutating func read(
        _ bytes: UnsafeRawBufferPointer,
        _ take: (Message, UnsafeRawBufferPointer) -> Bool
    ) throws(WebSocketFault) {
        var at = 0
        if !pending.isEmpty {
            guard let end = try completePending(from: bytes) else { return }
            at = end
            var frame: [UInt8] = []
            swap(&frame, &pending)
            defer {
                if frame.capacity <= sender.roomKeptBytes {
                    frame.removeAll(keepingCapacity: true)
                    swap(&frame, &pending)
                }
            }
            let wantsMore = try frame.withMutableBytes { frame throws(WebSocketFault) in
                let frame = UnsafeRawBufferPointer(frame)
                guard let header = try header(in: frame) else { return true }
                return try handOn(header, UnsafeRawBufferPointer(rebasing: frame[header.bytes...]), take)
            }
            guard wantsMore else { return }
        }
        while at < bytes.count {
            let rest = UnsafeRawBufferPointer(rebasing: bytes[at...])
            guard let header = try header(in: rest), header.bytes + header.payloadBytes <= rest.count else {
                pending.append(contentsOf: rest)
                return
            }
            let end = header.bytes + header.payloadBytes
            let payload = UnsafeRawBufferPointer(rebasing: rest[header.bytes..<end])
            guard try handOn(header, payload, take) else { return }
            at += end
        }
    }

    /// Adds what the frame that was cut off lacks.
    ///
    /// - Returns: how many bytes that took; nil when it is still not whole.
    private mutating func completePending(from bytes: UnsafeRawBufferPointer) throws(WebSocketFault) -> Int? {
        var taken = 0
        while true {
            let known = try pending.withBytes { bytes throws(WebSocketFault) in try header(in: bytes) }
            let lacking = known.map { $0.bytes + $0.payloadBytes - pending.count } ?? 1
            if lacking == 0 { return taken }
            let count = min(lacking, bytes.count - taken)
            guard count > 0 else { return nil }
            pending.append(contentsOf: bytes[taken..<taken + count])
            taken += count
        }
    }

    /// The header that the bytes begin with; nil while it is not whole.
    private func header(in bytes: UnsafeRawBufferPointer) throws(WebSocketFault) -> Header? {
        guard bytes.count >= 2 else { return nil }
        let isFinal = bytes[0] & 0x80 != 0
        let opcode = bytes[0] & 0x0f
        let isCompressed = bytes[0] & 0x40 != 0
        guard bytes[0] & 0x30 == 0, !isCompressed || inflater != nil && (1...2).contains(opcode) else {
            throw .breach("a frame uses an extension that was not agreed")
        }
        guard (bytes[1] & 0x80 != 0) == (sender == .client) else {
            throw .breach(sender == .client ? "a client's frame is not masked" : "a server's frame is masked")
        }
        var header = Header(
            bytes: 2,
            payloadBytes: Int(bytes[1] & 0x7f),
            isFinal: isFinal,
            opcode: opcode,
            isCompressed: isCompressed
        )
        if opcode & 8 != 0 {
            guard opcode <= 10 else { throw .breach("opcode \(opcode) is not known") }
            guard isFinal, header.payloadBytes < 126 else { throw .breach("a control frame is too long or in parts") }
            return withMask(header, bytes)
        }
        guard opcode <= 2 else { throw .breach("opcode \(opcode) is not known") }
        guard (opcode == 0) == (assembly != nil) else {
            throw .breach(opcode == 0 ? "a continuation of nothing" : "a message inside a message")
        }
        if header.payloadBytes >= 126 {
            let isLong = header.payloadBytes == 127
            header.bytes = isLong ? 10 : 4
            guard bytes.count >= header.bytes else { return nil }
            var length: UInt64 = 0
            for place in 2..<header.bytes { length = length << 8 | UInt64(bytes[place]) }
            guard length >= (isLong ? 65_536 : 126) else { throw .breach("a length is written too long") }
            guard length <= Int.max else { throw .breach("a length is negative") }
            header.payloadBytes = Int(length)
        }
        guard header.payloadBytes <= messageBytesMost - (assembly?.bytes.count ?? 0) else {
            throw .tooLong(bytesMost: messageBytesMost)
        }
        return withMask(header, bytes)
    }

    /// The header with what a client puts behind it; nil while that is not whole.
    private func withMask(_ header: Header, _ bytes: UnsafeRawBufferPointer) -> Header? {
        guard sender == .client else { return header }
        guard bytes.count >= header.bytes + 4 else { return nil }
        var header = header
        header.mask = bytes.loadUnaligned(fromByteOffset: header.bytes, as: UInt32.self)
        header.bytes += 4
        return header
    }

    private static func unmask(_ bytes: UnsafeMutableRawBufferPointer, _ mask: UInt32) {
        let wide = UInt64(mask) << 32 | UInt64(mask)
        var at = 0
        while at + 8 <= bytes.count {
            let word = bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self)
            bytes.storeBytes(of: word ^ wide, toByteOffset: at, as: UInt64.self)
            at += 8
        }
        withUnsafeBytes(of: mask) { key in
            while at < bytes.count {
                bytes[at] ^= key[at & 3]
                at += 1
            }
        }
    }

    private mutating func handOn(
        _ header: Header,
        _ payload: UnsafeRawBufferPointer,
        _ take: (Message, UnsafeRawBufferPointer) -> Bool
    ) throws(WebSocketFault) -> Bool {
        if header.mask != 0 { Self.unmask(UnsafeMutableRawBufferPointer(mutating: payload), header.mask) }
        switch header.opcode {
        case 8: return take(try Self.goodbye(payload), payload)
        case 9: return take(.ping, payload)
        case 10: return take(.pong, payload)
        case let opcode where header.isFinal && opcode != 0:
            return try handOn(payload, isText: opcode == 1, isCompressed: header.isCompressed, take)
        case let opcode:
            var message = assembly ?? (bytes: [], isText: opcode == 1, isCompressed: header.isCompressed)
            assembly = nil
            message.bytes.append(contentsOf: payload)
            guard header.isFinal else {
                assembly = message
                return true
            }
            return try message.bytes.withBytes { bytes throws(WebSocketFault) in
                try handOn(bytes, isText: message.isText, isCompressed: message.isCompressed, take)
            }
        }
    }

    /// A whole message.
    private func handOn(
        _ bytes: UnsafeRawBufferPointer,
        isText: Bool,
        isCompressed: Bool,
        _ take: (Message, UnsafeRawBufferPointer) -> Bool
    ) throws(WebSocketFault) -> Bool {
        if isCompressed, let inflater {
            return try inflater.inflate(bytes, bytesMost: messageBytesMost) { bytes throws(WebSocketFault) in
                try handOn(bytes, isText: isText, isCompressed: false, take)
            }
        }
        guard !isText || Self.isUTF8(bytes) else { throw .wrongText }
        return take(isText ? .text : .binary, bytes)
    }

    private static func goodbye(_ payload: UnsafeRawBufferPointer) throws(WebSocketFault) -> Message {
        guard !payload.isEmpty else { return .close(code: 1005, reason: "") }
        guard payload.count >= 2 else { throw .breach("half a close code") }
        let code = UInt16(payload[0]) << 8 | UInt16(payload[1])
        switch code {
        case 1000...1003, 1007...1014, 3000...4999: break
        default: throw .breach("\(code) is no close code")
        }
        let reason = UnsafeRawBufferPointer(rebasing: payload[2...])
        guard isUTF8(reason) else { throw .wrongText }
        return .close(code: code, reason: String(decoding: reason, as: UTF8.self))
    }

    /// Nearly every byte of a venue is ASCII: eight of them are looked at together until one is not.
    static func isUTF8(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var at = 0
        while at + 32 <= bytes.count {
            let words = bytes.loadUnaligned(fromByteOffset: at, as: SIMD4<UInt64>.self)
            guard words & 0x8080_8080_8080_8080 == SIMD4<UInt64>() else { break }
            at += 32
        }
        while at < bytes.count, bytes[at] < 0x80 { at += 1 }
        guard at < bytes.count else { return true }
        let rest = UnsafeRawBufferPointer(rebasing: bytes[at...]).bindMemory(to: UInt8.self)
        return (try? UTF8Span(validating: rest.span)) != nil
    }
}

extension [UInt8] {
    /// As ``withUnsafeBytes(_:)``, which forgets what its closure throws.
    fileprivate func withBytes<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try withUnsafeBytes { bytes in Swift.Result { () throws(Failure) in try body(bytes) } }.get()
    }

    /// As ``withUnsafeMutableBytes(_:)``, which forgets what its closure throws.
    fileprivate mutating func withMutableBytes<Result, Failure: Error>(
        _ body: (UnsafeMutableRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try withUnsafeMutableBytes { bytes in Swift.Result { () throws(Failure) in try body(bytes) } }.get()
    }
}
