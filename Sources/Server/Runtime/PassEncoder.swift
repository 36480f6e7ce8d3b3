import Hub
import Market
import Transport
import Wire

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
    private var messageManner: Manner?

    /// How a client wants its message.
    struct Manner: Equatable {
        var format: Format
        /// One array a pass, on the legacy channel.
        var isBatch: Bool
        /// Told to who asked for it, on the enhanced channel; nanoseconds since 1970 UTC.
        var encodedNs: Int64?
    }

    /// The bytes of a frame's time: a tag and a fixed64.
    private static let timeFieldCount = 9

    init() {}

    /// Encodes the pushes of `pass` from `first` on; those before must have been encoded.
    mutating func encode(_ pass: borrowing Pass, instruments: borrowing LegacyInstruments) {
        pieces.removeAll()
        places.removeAll(keepingCapacity: true)
        messageManner = nil
        for index in pass.pushes.indices {
            let start = pieces.count
            switch pass.pushes[index].format {
            case .enhanced:
                EnhancedCodec.append(pass.pushes[index], of: pass, instruments: instruments.table, to: &pieces)
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
        _ manner: Manner,
        sentNs: Int64,
        _ body: (UnsafeRawBufferPointer) -> Result
    ) -> Result {
        let range = Int(share.range.lowerBound)..<Int(share.range.upperBound)
        let isSame =
            messageManner == manner && messageOrder.count == range.count
            && messageOrder.indices.allSatisfy { messageOrder[$0] == pass.order[range.lowerBound + $0] }
        if !isSame {
            messageOrder.removeAll(keepingCapacity: true)
            messageOrder.append(contentsOf: pass.order[range])
            messageManner = manner
            message.removeAll()
            gather(manner, sentNs: sentNs)
        }
        return message.withBytes(body)
    }

    private mutating func gather(_ manner: Manner, sentNs: Int64) {
        let piecesCount = messageOrder.reduce(0) { $0 + places[Int($1)].count }
        switch (manner.format, manner.isBatch) {
        case (.enhanced, _):
            let timeCount = (manner.encodedNs == nil ? 1 : 2) * Self.timeFieldCount
            message.appendFrameHeader(.binary, payloadCount: piecesCount + timeCount)
            EnhancedCodec.append(sentNs: UInt64(bitPattern: sentNs), to: &message)
            if let encodedNs = manner.encodedNs {
                EnhancedCodec.append(encodedNs: UInt64(bitPattern: encodedNs), to: &message)
            }
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

    private mutating func appendPiece(_ push: Int32) {
        let place = places[Int(push)]
        pieces.withBytes { message.append(UnsafeRawBufferPointer(rebasing: $0[place])) }
    }
}

extension OutputBytes {
    /// Puts the header of a server's frame (RFC 6455, section 5.2).
    fileprivate mutating func appendFrameHeader(_ kind: WebSocketFrame.Kind, payloadCount: Int) {
        let count = WebSocketFrame.headerBytes(payloadBytes: payloadCount)
        let start = leaveRoom(count)
        withMutableBytes { bytes in
            let room = UnsafeMutableRawBufferPointer(rebasing: bytes[start..<(start + count)])
            _ = WebSocketFrame.writeHeader(kind, payloadBytes: payloadCount, into: room)
        }
    }
}
