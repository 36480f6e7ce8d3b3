import Hub
import Market
import Transport
import Wire

/// How public data are deflated: each push once, for everybody who takes it so.
package struct DeflateSettings: Sendable {
    package var level: Int
    package var bytesLeast: Int

    package init(level: Int, bytesLeast: Int) {
        self.level = level
        self.bytesLeast = bytesLeast
    }
}

/// Makes the bytes of a pass: each push once, in the format of its topic, and each client's message out of shared pieces.
///
/// One loop owns it and uses its memory again from pass to pass.
struct PassEncoder: ~Copyable {
    /// The encoded pushes: protobuf fields without frame header, or whole legacy frames.
    private var pieces = OutputBytes(capacity: 65_536)
    /// Where each push of the pass stands in ``pieces``.
    private var places: [Range<Int>] = []
    /// The message of the client at hand; kept while the next client's is the same.
    private var message = OutputBytes(capacity: 65_536)
    private var messageOrder: [Int32] = []
    private var messageWishes: Client.Wishes?

    private let deflate: DeflateSettings?
    private let deflater: Deflater?
    /// Pushes as deflated pieces, where somebody wanted them so.
    private var deflated = OutputBytes(capacity: 4_096)
    /// Where each stands in ``deflated``; empty while nobody did.
    private var deflatedPlaces: [Range<Int>] = []
    /// A message that is being made of deflated pieces.
    private var packed = OutputBytes(capacity: 4_096)

    /// The bytes of a frame's time: a tag and a fixed64.
    private static let timeFieldCount = 9

    init(deflate: DeflateSettings? = nil) {
        self.deflate = deflate
        deflater = deflate.map { Deflater(level: $0.level) }
    }

    /// Encodes the pushes of `pass` from `first` on; those before must have been encoded.
    mutating func encode(_ pass: borrowing Pass, instruments: borrowing LegacyInstruments) {
        pieces.removeAll()
        places.removeAll(keepingCapacity: true)
        messageWishes = nil
        deflated.removeAll()
        deflatedPlaces.removeAll(keepingCapacity: true)
        for index in pass.pushes.indices {
            let start = pieces.count
            switch pass.pushes[index].format {
            case .enhanced:
                EnhancedCodec.append(pass.pushes[index], of: pass, instruments: instruments.all, to: &pieces)
            case .legacy: LegacyCodec.append(pass.pushes[index], of: pass, instruments: instruments, to: &pieces)
            }
            places.append(start..<pieces.count)
        }
    }

    /// Hands over the message with one client's share, ready to be written.
    ///
    /// Clients with the same pushes one after the other cost one gathering.
    mutating func withMessage<Result>(
        of share: Pass.Share,
        in pass: borrowing Pass,
        _ wishes: Client.Wishes,
        encodedNs: Int64,
        sentNs: Int64,
        _ body: (UnsafeRawBufferPointer) -> Result
    ) -> Result {
        let range = Int(share.range.lowerBound)..<Int(share.range.upperBound)
        let isSame =
            messageWishes == wishes && messageOrder.count == range.count
            && messageOrder.indices.allSatisfy { messageOrder[$0] == pass.order[range.lowerBound + $0] }
        if !isSame {
            messageOrder.removeAll(keepingCapacity: true)
            messageOrder.append(contentsOf: pass.order[range])
            messageWishes = wishes
            message.removeAll()
            gather(wishes, encodedNs: wishes.wantsTimings ? encodedNs : nil, sentNs: sentNs)
        }
        return message.withBytes(body)
    }

    private mutating func gather(_ wishes: Client.Wishes, encodedNs: Int64?, sentNs: Int64) {
        if let windowBits = wishes.windowBits, let deflate, let deflater,
            gatherDeflated(wishes, encodedNs: encodedNs, sentNs: sentNs, deflate, deflater, windowBits: windowBits)
        {
            return
        }
        let piecesCount = messageOrder.reduce(0) { $0 + places[Int($1)].count }
        switch (wishes.format, wishes.isBatch) {
        case (.enhanced, _):
            let timeCount = (encodedNs == nil ? 1 : 2) * Self.timeFieldCount
            message.appendFrameHeader(.binary, payloadCount: piecesCount + timeCount)
            Self.appendTimes(sentNs: sentNs, encodedNs: encodedNs, to: &message)
            for push in messageOrder { appendPiece(push) }
        case (.legacy, false):
            for push in messageOrder {
                message.appendFrameHeader(.text, payloadCount: places[Int(push)].count)
                appendPiece(push)
            }
        case (.legacy, true):
            message.appendFrameHeader(.text, payloadCount: piecesCount + messageOrder.count + 1)
            for (index, push) in messageOrder.enumerated() {
                message.append(UInt8(ascii: index == 0 ? "[" : ","))
                appendPiece(push)
            }
            message.append(UInt8(ascii: "]"))
        }
    }

    // MARK: Deflated

    /// False when one message would be no shorter so, or must not be deflated; then nothing was gathered.
    private mutating func gatherDeflated(
        _ wishes: Client.Wishes,
        encodedNs: Int64?,
        sentNs: Int64,
        _ deflate: DeflateSettings,
        _ deflater: Deflater,
        windowBits: Int
    ) -> Bool {
        let isOne = wishes.format == .enhanced || wishes.isBatch
        let pieceBytes = messageOrder.reduce(0) { $0 + places[Int($1)].count }
        let fits = messageOrder.allSatisfy { places[Int($0)].count <= 1 << windowBits }
        guard isOne else {
            for push in messageOrder {
                let count = places[Int(push)].count
                if count >= deflate.bytesLeast, count <= 1 << windowBits {
                    let place = deflatedPlace(of: push, deflater)
                    if place.count - Deflater.tail.count < count {
                        let payload = place.lowerBound..<(place.upperBound - Deflater.tail.count)
                        message.appendFrameHeader(.text, isCompressed: true, payloadCount: payload.count)
                        deflated.withBytes { message.append(UnsafeRawBufferPointer(rebasing: $0[payload])) }
                        continue
                    }
                }
                message.appendFrameHeader(.text, payloadCount: count)
                appendPiece(push)
            }
            return true
        }
        guard pieceBytes >= deflate.bytesLeast, fits else { return false }
        pack(wishes, encodedNs: encodedNs, sentNs: sentNs, deflater)
        guard packed.count < pieceBytes else { return false }
        let kind: WebSocketFrame.Kind = wishes.format == .enhanced ? .binary : .text
        message.appendFrameHeader(kind, isCompressed: true, payloadCount: packed.count)
        packed.withBytes { message.append($0) }
        return true
    }

    private static func appendTimes(sentNs: Int64, encodedNs: Int64?, to out: inout OutputBytes) {
        EnhancedCodec.append(sentNs: UInt64(bitPattern: sentNs), to: &out)
        if let encodedNs { EnhancedCodec.append(encodedNs: UInt64(bitPattern: encodedNs), to: &out) }
    }

    /// Puts together the payload of one message: what is this client's own as it is, pushes deflated.
    private mutating func pack(_ wishes: Client.Wishes, encodedNs: Int64?, sentNs: Int64, _ deflater: Deflater) {
        packed.removeAll()
        if wishes.format == .enhanced {
            let start = packed.leaveRoom(Deflater.storedHeaderBytes)
            Self.appendTimes(sentNs: sentNs, encodedNs: encodedNs, to: &packed)
            let count = packed.count - start - Deflater.storedHeaderBytes
            packed.withMutableBytes { bytes in
                Deflater.writeStoredHeader(of: count, into: UnsafeMutableRawBufferPointer(rebasing: bytes[start...]))
            }
        }
        for (index, push) in messageOrder.enumerated() {
            if wishes.isBatch, wishes.format == .legacy { packed.appendStored(UInt8(ascii: index == 0 ? "[" : ",")) }
            let place = deflatedPlace(of: push, deflater)
            deflated.withBytes { packed.append(UnsafeRawBufferPointer(rebasing: $0[place])) }
        }
        if wishes.isBatch, wishes.format == .legacy {
            packed.appendStored(UInt8(ascii: "]"))
            // Where a block begins whose rest is the tail that the reader adds.
            packed.append(0 as UInt8)
        } else {
            packed.truncate(to: packed.count - Deflater.tail.count)
        }
    }

    private mutating func deflatedPlace(of push: Int32, _ deflater: Deflater) -> Range<Int> {
        if deflatedPlaces.isEmpty { deflatedPlaces += repeatElement(0..<0, count: places.count) }
        let known = deflatedPlaces[Int(push)]
        guard known.isEmpty else { return known }
        let place = places[Int(push)]
        let start = deflated.leaveRoom(deflater.mostBytes(of: place.count))
        let count = pieces.withBytes { pieces in
            deflated.withMutableBytes { room in
                deflater.deflate(
                    UnsafeRawBufferPointer(rebasing: pieces[place]),
                    into: UnsafeMutableRawBufferPointer(rebasing: room[start...])
                )
            }
        }
        deflated.truncate(to: start + count)
        deflatedPlaces[Int(push)] = start..<(start + count)
        return deflatedPlaces[Int(push)]
    }

    private mutating func appendPiece(_ push: Int32) {
        let place = places[Int(push)]
        pieces.withBytes { message.append(UnsafeRawBufferPointer(rebasing: $0[place])) }
    }
}

extension OutputBytes {
    /// Puts the header of a server's frame (RFC 6455, section 5.2).
    fileprivate mutating func appendFrameHeader(
        _ kind: WebSocketFrame.Kind,
        isCompressed: Bool = false,
        payloadCount: Int
    ) {
        let count = WebSocketFrame.headerBytes(payloadBytes: payloadCount)
        let start = leaveRoom(count)
        withMutableBytes { bytes in
            let room = UnsafeMutableRawBufferPointer(rebasing: bytes[start..<(start + count)])
            WebSocketFrame.writeHeader(kind, isCompressed: isCompressed, payloadBytes: payloadCount, into: room)
        }
    }

    /// Puts a byte between deflated pieces.
    fileprivate mutating func appendStored(_ byte: UInt8) {
        let start = leaveRoom(Deflater.storedHeaderBytes)
        withMutableBytes { bytes in
            Deflater.writeStoredHeader(of: 1, into: UnsafeMutableRawBufferPointer(rebasing: bytes[start...]))
        }
        append(byte)
    }
}
