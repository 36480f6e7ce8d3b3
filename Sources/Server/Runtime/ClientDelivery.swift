import Hub
import Transport
import Wire

/// How bytes reach clients: a pass's shares, replies, what waited.
extension ClientLoop {
    /// Encodes the pass and sends every session its share.
    func deliver(on loop: IOLoop) {
        encode()
        deliverShares(on: loop)
    }

    /// Makes the bytes of every push of the pass, once.
    func encode() {
        encoder.encode(pass, instruments: instruments)
        let legacyCount = pass.pushes.reduce(0) { $0 + ($1.format == .legacy ? 1 : 0) }
        metrics.block.add(legacyCount, to: metrics[.legacy].pushes)
        metrics.block.add(pass.pushes.count - legacyCount, to: metrics[.enhanced].pushes)
    }

    func deliverShares(on loop: IOLoop) {
        let sentNs = clock.nowNs
        let now = HubClock.monotonicNs
        for share in pass.shares {
            let slot = slotOfSession[share.session.index]
            guard slot < clients.count, let (format, isBatch) = clients[slot].map({ ($0.format, $0.isBatching) }) else {
                continue
            }
            metrics.block.add(share.range.count, to: metrics[format].deliveries)
            encoder.withMessage(of: share, in: pass, format: format, isBatch: isBatch, sentNs: sentNs) { message in
                send(message, to: slot, atNs: now, on: loop)
            }
        }
    }

    /// Writes a whole message of frames, or as much as the connection takes; the rest waits in the outbox.
    ///
    /// A client whose outbox would grow past its bound is closed: what waits there must not be lost, so losing it in silence is
    /// not an answer.
    func send(_ message: UnsafeRawBufferPointer, to slot: Int, atNs now: Int64, on loop: IOLoop) {
        guard let client = clients[slot], !client.isClosing else { return }
        clients[slot]?.lastSentNs = now
        metrics.block.add(to: metrics[client.format].messagesSent)
        metrics.block.add(message.count, to: metrics[client.format].bytesSent)
        guard !client.isBlocked else { return keep(message, for: slot, on: loop) }
        var rest = message
        while !rest.isEmpty {
            let count = WebSocketFrame.wholeFrames(in: rest, most: writeBytesMost)
            let result = loop.write(UnsafeRawBufferPointer(rebasing: rest[..<count]), to: client.connection)
            if result == .gone { return }
            if result != .refused { rest = UnsafeRawBufferPointer(rebasing: rest[count...]) }
            if result == .sent { continue }
            block(slot)
            if !rest.isEmpty { keep(rest, for: slot, on: loop) }
            return
        }
    }

    private func keep(_ bytes: UnsafeRawBufferPointer, for slot: Int, on loop: IOLoop) {
        let isKept = clients[slot]?.outbox.append(bytes, mostBytes: settings.privateQueueBytesMost) ?? true
        if !isKept { close(slot, .tooSlow, on: loop) }
    }

    private func block(_ slot: Int) {
        guard let client = clients[slot], !client.isBlocked else { return }
        clients[slot]?.isBlocked = true
        hub.setBlocked(true, client.session)
        metrics.block.add(1, to: metrics[client.format].blocked)
    }

    /// Writes what waited, then the newest state of everything the client missed.
    func flush(_ slot: Int, on loop: IOLoop) {
        guard let client = clients[slot], !client.isClosing else { return }
        while clients[slot]?.outbox.isEmpty == false {
            var result = WriteResult.sent
            clients[slot]?.outbox.take { bytes in
                let count = WebSocketFrame.wholeFrames(in: bytes, most: writeBytesMost)
                result = loop.write(UnsafeRawBufferPointer(rebasing: bytes[..<count]), to: client.connection)
                return result == .sent || result == .blocked ? count : 0
            }
            guard result == .sent else { return }
        }
        guard client.isBlocked, !loop.isBlocked(client.connection) else { return }
        clients[slot]?.isBlocked = false
        hub.setBlocked(false, client.session)
        metrics.block.add(-1, to: metrics[client.format].blocked)
        pass.removeAll()
        hub.catchUp(client.session, into: &pass)
        guard !pass.isEmpty else { return }
        deliver(on: loop)
        finishLater(client, on: loop)
    }

    /// Tells an enhanced client that it is still served, and where its topics are.
    func sendHeartbeat(_ slot: Int, on loop: IOLoop) {
        guard let client = clients[slot], !client.isBlocked else { return }
        let changed = hub.changedTopics(of: client.session)
        sendFrame(.binary, to: slot, on: loop) { out, now in
            EnhancedCodec.append(sentNs: UInt64(bitPattern: now), to: &out)
            EnhancedCodec.appendHeartbeat(changed, to: &out)
        }
    }

    /// Sends one frame whose payload `fill` writes; it is given the time as well.
    func sendFrame(
        _ kind: WebSocketFrame.Kind,
        to slot: Int,
        on loop: IOLoop,
        _ fill: (inout OutputBytes, Int64) -> Void
    ) {
        replies.removeAll()
        let room = WebSocketFrame.headerBytesMost
        _ = replies.leaveRoom(room)
        fill(&replies, clock.nowNs)
        let payloadBytes = replies.count - room
        let start = room - WebSocketFrame.headerBytes(payloadBytes: payloadBytes)
        replies.withMutableBytes { bytes in
            let header = UnsafeMutableRawBufferPointer(rebasing: bytes[start..<room])
            _ = WebSocketFrame.writeHeader(kind, payloadBytes: payloadBytes, into: header)
        }
        let now = HubClock.monotonicNs
        replies.withBytes { bytes in
            send(UnsafeRawBufferPointer(rebasing: bytes[start...]), to: slot, atNs: now, on: loop)
        }
    }
}
