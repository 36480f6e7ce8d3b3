import Transport

/// WebSockets that get back what they send, message by message: for measuring how well the protocol is kept.
///
/// They exist only where `diagnostics.echo` is on, know nothing of the market, and are looked after by their own writes alone.
struct EchoClients {
    private var outboxes: [ConnectionID: Outbox] = [:]
    /// Of those that take compressed messages.
    private var windowBits: [ConnectionID: Int] = [:]
    private lazy var deflater = Deflater(level: 6)
    /// A longer message closes with 1009.
    static let messageBytesMost = 16 * 1024 * 1024
    /// A client that sends and does not read is closed with 3008 when more than this waits for it.
    static let waitingBytesMost = 2 * messageBytesMost

    mutating func open(_ connection: ConnectionID, on loop: IOLoop) {
        outboxes[connection] = Outbox()
        windowBits[connection] = loop.deflateWindowBits(of: connection)
    }

    mutating func close(_ connection: ConnectionID) {
        outboxes[connection] = nil
        windowBits[connection] = nil
    }

    mutating func received(
        _ message: UnsafeRawBufferPointer,
        isText: Bool,
        from connection: ConnectionID,
        on loop: IOLoop
    ) {
        guard outboxes[connection] != nil else { return }
        let kind: WebSocketFrame.Kind = isText ? .text : .binary
        let deflated = windowBits[connection].flatMap { deflater.frame(kind, message, windowBits: $0) }
        let isTaken = (deflated ?? WebSocketFrame.bytes(kind, message))
            .withUnsafeBytes { outboxes[connection]?.append($0, mostBytes: Self.waitingBytesMost) == true }
        if isTaken {
            flush(connection, on: loop)
        } else {
            outboxes[connection] = Outbox()
            loop.close(connection, code: CloseReason.tooSlow.rawValue, reason: CloseReason.tooSlow.text)
        }
    }

    mutating func flush(_ connection: ConnectionID, on loop: IOLoop) {
        outboxes[connection]?.take { bytes in
            guard !bytes.isEmpty, loop.write(bytes, to: connection) != .refused else { return 0 }
            return bytes.count
        }
    }
}
