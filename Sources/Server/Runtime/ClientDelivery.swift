import Hub
import Transport
import Wire

/// How bytes reach clients: a pass's shares, replies, what waited.
///
/// A broadcast goes out in slices, and between two of them clients are heard and answered. What a client is told then stands
/// behind its share of the broadcast, which is therefore sent first: ``settle(_:on:)``.
extension ClientLoop {
    // MARK: To everybody

    func encodeBroadcast() {
        broadcast.encode(instruments: instruments)
        count(pushesOf: broadcast.pass)
    }

    /// Sends shares of the broadcast until all are sent or the time has come.
    func deliverBroadcast(untilNs deadlineNs: Int64, on loop: IOLoop) {
        guard broadcast.isOnItsWay else { return }
        let sentNs = clock.nowNs
        var now = HubClock.monotonicNs
        while let place = broadcast.takeNext() {
            deliver(broadcast.pass.shares[place], of: &broadcast, sentNs: sentNs, atNs: now, on: loop)
            // A look at the clock costs a hundredth of a write.
            now = HubClock.monotonicNs
            if now >= deadlineNs { break }
        }
        if broadcast.isOnItsWay { return }
        metrics.block.observe(ns: now - broadcast.begunNs, in: metrics.passDuration)
    }

    /// Sends a client its share of the broadcast, if it has yet to get it.
    private func settle(_ client: Client, on loop: IOLoop) {
        guard broadcast.isOnItsWay, let place = broadcast.take(of: client.session) else { return }
        let share = broadcast.pass.shares[place]
        deliver(share, of: &broadcast, sentNs: clock.nowNs, atNs: HubClock.monotonicNs, on: loop)
    }

    // MARK: To one

    /// Encodes what is told aside and sends it.
    func deliverAside(on loop: IOLoop) {
        encodeAside()
        sendAside(on: loop)
    }

    func encodeAside() {
        aside.encode(instruments: instruments)
        count(pushesOf: aside.pass)
    }

    func sendAside(on loop: IOLoop) {
        let (sentNs, now) = (clock.nowNs, HubClock.monotonicNs)
        while let place = aside.takeNext() {
            let share = aside.pass.shares[place]
            if let client = clients[slotOfSession[share.session.index]] { settle(client, on: loop) }
            deliver(share, of: &aside, sentNs: sentNs, atNs: now, on: loop)
        }
    }

    private func count(pushesOf pass: borrowing Pass) {
        let legacyCount = pass.pushes.reduce(0) { $0 + ($1.format == .legacy ? 1 : 0) }
        metrics.block.add(legacyCount, to: metrics[.legacy].pushes)
        metrics.block.add(pass.pushes.count - legacyCount, to: metrics[.enhanced].pushes)
    }

    private func deliver(
        _ share: Pass.Share,
        of outgoing: inout OutgoingPass,
        sentNs: Int64,
        atNs now: Int64,
        on loop: IOLoop
    ) {
        let slot = slotOfSession[share.session.index]
        // Its session may have ended since, and another begun in its place.
        guard slot < clients.count, let client = clients[slot], client.session == share.session else { return }
        metrics.block.add(share.range.count, to: metrics[client.format].deliveries)
        outgoing.withMessage(of: share, format: client.format, isBatch: client.isBatching, sentNs: sentNs) { message in
            write(message, to: slot, atNs: now, on: loop)
        }
    }

    /// Sends a whole message of frames behind everything that the client has yet to get.
    func send(_ message: UnsafeRawBufferPointer, to slot: Int, atNs now: Int64, on loop: IOLoop) {
        if broadcast.isOnItsWay, let client = clients[slot] { settle(client, on: loop) }
        write(message, to: slot, atNs: now, on: loop)
    }

    /// Writes a whole message of frames, or as much as the connection takes; the rest waits in the outbox.
    ///
    /// A client whose outbox would grow past its bound is closed: what waits there must not be lost, so losing it in silence is
    /// not an answer.
    private func write(_ message: UnsafeRawBufferPointer, to slot: Int, atNs now: Int64, on loop: IOLoop) {
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
        aside.begin(atNs: HubClock.monotonicNs)
        hub.catchUp(client.session, into: &aside.pass)
        guard !aside.pass.isEmpty else { return }
        deliverAside(on: loop)
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
