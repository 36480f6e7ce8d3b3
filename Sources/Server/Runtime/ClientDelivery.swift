import Hub
import Market
import Transport
import Wire

/// How bytes reach clients: a pass's shares, replies, what waited.
///
/// A broadcast goes out in slices, and between two of them clients are heard and answered. What a client is told then stands
/// behind its share of the broadcast, which is therefore sent first: ``settle(_:on:)``.
extension ClientLoop {
    // MARK: To everybody

    func encodeBroadcast() {
        broadcast.encode(instruments: instruments) { clock.nowNs }
        count(pushesOf: broadcast.pass)
        for index in broadcast.pass.pushes.indices {
            guard let receivedNs = broadcast.pass.receivedNs(ofTimely: index) else { continue }
            let eventNs = broadcast.pass.pushes[index].eventNs
            if eventNs > 0 { metrics.block.observe(ns: receivedNs - eventNs, in: metrics.received) }
            metrics.block.observe(ns: broadcast.encodedNs - receivedNs, in: metrics.encoded)
        }
    }

    /// Sends shares of the broadcast until all are sent or the time has come.
    func deliverBroadcast(untilNs deadlineNs: Int64, on loop: IOLoop) {
        guard broadcast.isOnItsWay else { return }
        defer { metrics.show(&sent) }
        let (block, latency) = (metrics.block, metrics.sent)
        let sentNs = clock.nowNs
        var now = HubClock.monotonicNs
        let start = now
        // Of the push that was looked at last: those who get the same come one after the other.
        var (looked, received): (push: Int, ns: Int64?) = (-1, nil)
        while let place = broadcast.takeNext() {
            let share = broadcast.pass.shares[place]
            deliver(share, of: &broadcast, sentNs: sentNs, atNs: now, on: loop)
            // A look at the clock costs a hundredth of a write.
            now = HubClock.monotonicNs
            let first = Int(broadcast.pass.order[Int(share.range.lowerBound)])
            if first != looked { (looked, received) = (first, broadcast.pass.receivedNs(ofTimely: first)) }
            if let receivedNs = received {
                block.observe(ns: sentNs + now - start - receivedNs, in: latency)
            }
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
        aside.encode(instruments: instruments) { clock.nowNs }
        count(pushesOf: aside.pass)
    }

    func sendAside(on loop: IOLoop) {
        defer { metrics.show(&sent) }
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
        guard slot < clients.count, let wishes = clients[slot]?.wishes(of: share.session) else { return }
        sent.deliver(Int(share.range.upperBound - share.range.lowerBound), wishes.format)
        outgoing.withMessage(of: share, wishes, sentNs: sentNs) { message in
            write(message, to: slot, atNs: now, on: loop)
        }
    }

    /// Sends a whole message of frames behind everything that the client has yet to get.
    func send(_ message: UnsafeRawBufferPointer, to slot: Int, atNs now: Int64, on loop: IOLoop) {
        if broadcast.isOnItsWay, let client = clients[slot] { settle(client, on: loop) }
        write(message, to: slot, atNs: now, on: loop)
        metrics.show(&sent)
    }

    /// Writes a whole message of frames, and a ping behind it when one is due; holds the client back when too much is on its way.
    private func write(_ message: UnsafeRawBufferPointer, to slot: Int, atNs now: Int64, on loop: IOLoop) {
        guard let writing = clients[slot]?.beginWriting(bytes: message.count, atNs: now) else { return }
        sent.write(bytes: message.count, writing.format)
        if let marker = writing.marker {
            marked.removeAll()
            marked.append(message)
            WebSocketFrame.bytes(.ping, marker).withUnsafeBytes { marked.append($0) }
            marked.withBytes { put($0, to: slot, writing, on: loop) }
        } else {
            put(message, to: slot, writing, on: loop)
        }
        if writing.isCreditUsedUp { holdBack(slot) }
    }

    /// Writes as much as the connection takes; the rest waits in the outbox.
    ///
    /// A client whose outbox would grow past its bound is closed: what waits there must not be lost, so losing it in silence is
    /// not an answer.
    private func put(_ message: UnsafeRawBufferPointer, to slot: Int, _ writing: Client.Writing, on loop: IOLoop) {
        guard !writing.isBlocked else { return keep(message, for: slot, on: loop) }
        var rest = message
        while !rest.isEmpty {
            // Nearly always all of it; a look at each frame is for long messages alone.
            let count =
                rest.count <= writeBytesMost
                ? rest.count : WebSocketFrame.wholeFrames(in: rest, most: writeBytesMost)
            let result = loop.write(UnsafeRawBufferPointer(rebasing: rest[..<count]), to: writing.connection)
            if result == .gone { return }
            if result != .refused { rest = UnsafeRawBufferPointer(rebasing: rest[count...]) }
            if result == .sent { continue }
            block(slot)
            if !rest.isEmpty { keep(rest, for: slot, on: loop) }
            return
        }
    }

    private func keep(_ bytes: UnsafeRawBufferPointer, for slot: Int, on loop: IOLoop) {
        guard let before = clients[slot]?.outbox.count else { return }
        let isKept = clients[slot]?.outbox.append(bytes, mostBytes: settings.privateQueueBytesMost) ?? true
        guard isKept else { return close(slot, .tooSlow, on: loop) }
        waitingBytes += (clients[slot]?.outbox.count ?? 0) - before
        guard waitingBytes > settings.privateQueuesBytesMost / loopCount else { return }
        // Rare, and each time it frees most of what one can free.
        let longest = clients.indices.max { (clients[$0]?.outbox.count ?? 0) < (clients[$1]?.outbox.count ?? 0) }
        if let longest { close(longest, .tooSlow, on: loop) }
    }

    private func block(_ slot: Int) {
        guard let client = clients[slot], !client.isBlocked else { return }
        clients[slot]?.isBlocked = true
        if !client.isOutOfCredit { beginHoldingBack(client) }
    }

    private func holdBack(_ slot: Int) {
        guard let client = clients[slot], !client.isOutOfCredit, !client.isClosing else { return }
        clients[slot]?.isOutOfCredit = true
        if !client.isBlocked { beginHoldingBack(client) }
    }

    private func beginHoldingBack(_ client: Client) {
        hub.setBlocked(true, client.session)
        metrics.block.add(1, to: metrics[client.format].blocked)
    }

    /// Tells a client the newest of what it missed, when nothing holds it back any more.
    private func goOn(_ slot: Int, on loop: IOLoop) {
        guard let client = clients[slot], !client.isHeldBack, !client.isClosing else { return }
        hub.setBlocked(false, client.session)
        metrics.block.add(-1, to: metrics[client.format].blocked)
        catchUp(slot, on: loop)
    }

    /// Takes a client's answer to a ping.
    func creditArrived(_ payload: UnsafeRawBufferPointer, for slot: Int, on loop: IOLoop) {
        clients[slot]?.credit.pong(payload, atNs: HubClock.monotonicNs)
        guard let client = clients[slot], client.isOutOfCredit else { return }
        guard !client.credit.isUsedUp else { return pingForCredit(slot, on: loop) }
        clients[slot]?.isOutOfCredit = false
        if !client.isBlocked { goOn(slot, on: loop) }
    }

    /// Asks a client that is held back what has arrived, where no answer is to come by itself.
    func pingForCredit(_ slot: Int, on loop: IOLoop) {
        guard let client = clients[slot], client.isOutOfCredit, client.credit.needsPing, !client.isBlocked else {
            return
        }
        ping(slot, on: loop)
    }

    /// False when the connection takes nothing now.
    @discardableResult
    func ping(_ slot: Int, on loop: IOLoop) -> Bool {
        guard let client = clients[slot], !loop.isBlocked(client.connection),
            let payload = clients[slot]?.credit.ping(atNs: HubClock.monotonicNs)
        else { return false }
        return loop.ping(client.connection, payload: payload) != .refused
    }

    /// Tells a client a piece of what it has yet to know; the rest comes with later turns.
    func catchUp(_ slot: Int, on loop: IOLoop) {
        guard let client = clients[slot] else { return }
        aside.begin(atNs: HubClock.monotonicNs)
        hub.catchUp(client.session, into: &aside.pass)
        // With nothing to tell it is brought up by a pass: asking again at once would ask for ever.
        if !aside.pass.isEmpty {
            deliverAside(on: loop)
            finishLater(client, on: loop)
        }
        announceCaughtUp(slot, on: loop)
    }

    // MARK: Degradation

    /// Tells those of whom something was left out for the first time.
    func announceFallenBehind(on loop: IOLoop) {
        for session in hub.takeFellBehind() {
            let slot = slotOfSession[session.index]
            let now = clock.nowNs
            clients[slot]?.behindSinceNs = now
            announce(isOver: false, sinceNs: now, leftOut: 0, slot, on: loop)
        }
    }

    func announceCaughtUp(_ slot: Int, on loop: IOLoop) {
        guard let client = clients[slot], let since = client.behindSinceNs,
            let leftOut = hub.takeLeftOut(of: client.session)
        else { return }
        clients[slot]?.behindSinceNs = nil
        announce(isOver: true, sinceNs: since, leftOut: leftOut, slot, on: loop)
    }

    /// A legacy client's frames have no place for it.
    private func announce(isOver: Bool, sinceNs: Int64, leftOut: UInt64, _ slot: Int, on loop: IOLoop) {
        guard clients[slot]?.format == .enhanced else { return }
        sendFrame(.binary, to: slot, on: loop) { out, now in
            EnhancedCodec.append(sentNs: UInt64(bitPattern: now), to: &out)
            EnhancedCodec.appendDegradation(
                isOver: isOver,
                sinceNs: UInt64(bitPattern: sinceNs),
                leftOut: leftOut,
                to: &out
            )
        }
    }

    /// Writes what waited, then the newest state of everything the client missed.
    func flush(_ slot: Int, on loop: IOLoop) {
        guard let client = clients[slot], !client.isClosing else { return }
        while clients[slot]?.outbox.isEmpty == false {
            var result = WriteResult.sent
            var taken = 0
            clients[slot]?.outbox.take { bytes in
                let count = WebSocketFrame.wholeFrames(in: bytes, most: writeBytesMost)
                result = loop.write(UnsafeRawBufferPointer(rebasing: bytes[..<count]), to: client.connection)
                taken = result == .sent || result == .blocked ? count : 0
                return taken
            }
            waitingBytes -= taken
            guard result == .sent else { return }
        }
        guard client.isBlocked, !loop.isBlocked(client.connection) else { return }
        clients[slot]?.isBlocked = false
        goOn(slot, on: loop)
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

extension Pass {
    /// When the event of a push was received that goes out as soon as it can, so that its age says how fast the hub is; else nil.
    fileprivate func receivedNs(ofTimely index: Int) -> Int64? {
        let isTimely = pushes[index].isImmediate && !pushes[index].flags.contains(.historic)
        return isTimely ? pushes[index].receivedNs : nil
    }
}
