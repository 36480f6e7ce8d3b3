import Hub
import Market
package import Transport
import Wire

/// What clients say, and what they are answered.
extension ClientLoop {
    package func received(
        _ message: UnsafeRawBufferPointer,
        isText: Bool,
        from connection: ConnectionID,
        on loop: IOLoop
    ) {
        guard let client = client(of: connection) else {
            return echoes.received(message, isText: isText, from: connection, on: loop)
        }
        guard !client.isClosing else { return }
        let slot = Int(connection.slot)
        clients[slot]?.lastHeardNs = HubClock.monotonicNs
        metrics.block.add(to: metrics[client.format].messagesReceived)
        metrics.block.add(message.count, to: metrics[client.format].bytesReceived)
        switch client.format {
        case .enhanced: receivedEnhanced(message, isText: isText, slot, on: loop)
        case .legacy: receivedLegacy(message, isText: isText, slot, on: loop)
        }
    }

    private func receivedEnhanced(_ message: UnsafeRawBufferPointer, isText: Bool, _ slot: Int, on loop: IOLoop) {
        let receivedNs = clock.nowNs
        let commands: [EnhancedCommand]
        do throws(Refusal) {
            if isText { throw Refusal(.wrongFrameKind, "This channel takes binary frames; /ws takes text.") }
            commands = try EnhancedCodec.decode(message, symbolsMost: settings.symbolsPerRequestMost)
        } catch {
            answer(error, to: 0, receivedNs: receivedNs, slot, on: loop)
            countBadFrame(error, slot, on: loop)
            return
        }
        // Nothing is asked for, and it is read all the same.
        if commands.isEmpty, let wait = spendRequest(slot, on: loop) {
            answer(wait, to: 0, receivedNs: receivedNs, slot, on: loop)
        }
        var refused: Refusal?
        for command in commands {
            switch command.request {
            case .success(let request):
                if let wait = spendRequest(slot, on: loop) {
                    answer(wait, to: command.id, receivedNs: receivedNs, slot, on: loop)
                } else {
                    carryOut(request, command.id, receivedNs: receivedNs, slot, on: loop)
                }
            case .failure(let refusal):
                answer(refusal, to: command.id, receivedNs: receivedNs, slot, on: loop)
                refused = refusal
            }
        }
        if let refused { countBadFrame(refused, slot, on: loop) }
    }

    private func carryOut(_ request: Request, _ id: UInt32, receivedNs: Int64, _ slot: Int, on loop: IOLoop) {
        guard let client = clients[slot], !client.isClosing else { return }
        aside.begin(atNs: HubClock.monotonicNs)
        let before = hub.subscriptionCount(of: client.session)
        let answer = withHistory(
            hub.handle(request, from: client.session, requestID: id, into: &aside.pass),
            to: request
        )
        if case .subscribed(let outcomes) = answer {
            for case let recovery? in outcomes.lazy.map(\.recovery) { metrics.count(recovery) }
        }
        let added = hub.subscriptionCount(of: client.session) - before
        if added != 0 { metrics.block.add(added, to: metrics[client.format].subscriptions) }
        metrics.count(request: request, client.format)
        if case .connect(let wish) = request { clients[slot]?.wantsTimings = wish.wantsTimings }
        encodeAside()
        sendReply(answer, to: id, receivedNs: receivedNs, slot, on: loop)
        // The first state of what was subscribed to, right behind the answer that names the topics.
        sendAside(on: loop)
        finishLater(client, on: loop)
    }

    private func answer(_ refusal: Refusal, to id: UInt32, receivedNs: Int64, _ slot: Int, on loop: IOLoop) {
        sendReply(.refused(refusal), to: id, receivedNs: receivedNs, slot, on: loop)
    }

    private func sendReply(_ answer: Answer, to id: UInt32, receivedNs: Int64, _ slot: Int, on loop: IOLoop) {
        let facts = serverFacts(for: answer, slot)
        let budget = budget(of: slot)
        sendFrame(.binary, to: slot, on: loop) { out, now in
            let timing = Timing(receivedNs: UInt64(bitPattern: receivedNs), doneNs: UInt64(bitPattern: now))
            EnhancedCodec.append(reply: id, answer, timing: timing, budget: budget, server: facts, to: &out)
            EnhancedCodec.append(sentNs: UInt64(bitPattern: now), to: &out)
        }
    }

    private func budget(of slot: Int) -> Budget {
        let left = clients[slot]?.requests.left(
            perSecond: settings.requestsPerSecondMost,
            burst: settings.requestsBurstMost,
            atNs: HubClock.monotonicNs
        )
        return Budget(requestsLeft: left?.tokens ?? 0, wholeInMs: left?.wholeInMs ?? 0)
    }

    /// What a reply says of the hub itself; errors get an id that stands in the log as well.
    private func serverFacts(for answer: Answer, _ slot: Int) -> ServerFacts {
        var requestID = ""
        switch answer {
        case .refused(let refusal): requestID = note(refusal, slot)
        case .subscribed(let outcomes):
            // One id for all symbols of a request; the log has the first.
            for case .failure(let refusal) in outcomes.lazy.map(\.result) {
                requestID = note(refusal, slot)
                break
            }
        case .connected, .unsubscribed, .listed, .pong, .resynced: break
        }
        return ServerFacts(
            version: marketHubVersion,
            epoch: hub.epoch,
            limits: Limits(
                subscriptionsMost: UInt32(clamping: settings.subscriptionsMost),
                symbolsPerRequestMost: UInt32(clamping: settings.symbolsPerRequestMost),
                frameBytesMost: UInt32(clamping: messageBytesMost),
                requestsPerSecondMost: UInt32(clamping: settings.requestsPerSecondMost),
                privateQueueBytesMost: UInt32(clamping: settings.privateQueueBytesMost)
            ),
            heartbeatMs: UInt32(clamping: settings.heartbeatMs),
            serverNs: UInt64(bitPattern: clock.nowNs),
            requestID: requestID
        )
    }

    private func receivedLegacy(_ message: UnsafeRawBufferPointer, isText: Bool, _ slot: Int, on loop: IOLoop) {
        guard isText else {
            let refusal = Refusal(.wrongFrameKind, "This channel takes text frames; /ws/v2 takes binary.")
            sendError(refusal, original: "", slot, on: loop)
            return countBadFrame(refusal, slot, on: loop)
        }
        var refused: Refusal?
        for command in LegacyCodec.decode(message, symbolsMost: settings.symbolsPerRequestMost) {
            switch command.request {
            case .success(let request):
                if let wait = spendRequest(slot, on: loop) {
                    sendError(wait, original: command.original, slot, on: loop)
                } else {
                    carryOut(request, original: command.original, slot, on: loop)
                }
            case .failure(let refusal):
                sendError(refusal, original: command.original, slot, on: loop)
                refused = refusal
            }
        }
        if let refused { countBadFrame(refused, slot, on: loop) }
    }

    private func carryOut(_ request: LegacyRequest, original: String, _ slot: Int, on loop: IOLoop) {
        guard let client = clients[slot], !client.isClosing else { return }
        switch request {
        case .ping(let id):
            metrics.count(request: .ping(clientNs: 0), client.format)
            sendFrame(.text, to: slot, on: loop) { out, _ in LegacyCodec.append(pongID: id, to: &out) }
        case .hub(let request, let isBatching):
            if isBatching { clients[slot]?.isBatching = true }
            aside.begin(atNs: HubClock.monotonicNs)
            let before = hub.subscriptionCount(of: client.session)
            let answer = withHistory(
                hub.handle(request, from: client.session, requestID: 0, into: &aside.pass),
                to: request
            )
            let added = hub.subscriptionCount(of: client.session) - before
            if added != 0 { metrics.block.add(added, to: metrics[client.format].subscriptions) }
            metrics.count(request: request, client.format)
            encodeAside()
            sendAnswer(answer, original: original, slot, on: loop)
            sendAside(on: loop)
            finishLater(client, on: loop)
        }
    }

    private func sendAnswer(_ answer: Answer, original: String, _ slot: Int, on loop: IOLoop) {
        switch answer {
        case .refused(let refusal): sendError(refusal, original: original, slot, on: loop)
        case .subscribed(let outcomes):
            for outcome in outcomes {
                if case .failure(let refusal) = outcome.result {
                    sendError(refusal, original: original, slot, on: loop)
                }
            }
            sendSubscriptions(slot, on: loop)
            for outcome in outcomes { sendHistory(outcome, slot, on: loop) }
        case .unsubscribed: sendSubscriptions(slot, on: loop)
        case .listed(let instruments, let next, _):
            sendFrame(.text, to: slot, on: loop) { out, _ in
                LegacyCodec.append(instruments: instruments, next: next, to: &out)
            }
        case .connected, .pong, .resynced: break
        }
    }

    /// Puts past candles into the answer to a subscription that asks for them.
    private func withHistory(_ answer: Answer, to request: Request) -> Answer {
        guard case .subscribe(let wish) = request, wish.history > 0, case .subscribed(var outcomes) = answer else {
            return answer
        }
        for index in outcomes.indices {
            guard case .success(let topic) = outcomes[index].result else { continue }
            outcomes[index].history = candles.past(
                topic.instrument.id,
                topic.view.candleInterval ?? .minute,
                limit: Int(wish.history),
                endNs: topic.firstOpenNs
            )
        }
        return .subscribed(outcomes)
    }

    private func sendHistory(_ outcome: SymbolOutcome, _ slot: Int, on loop: IOLoop) {
        guard case .success(let topic) = outcome.result, let history = outcome.history else { return }
        sendFrame(.text, to: slot, on: loop) { out, _ in
            LegacyCodec.append(
                history: history,
                topic.view.candleInterval ?? .minute,
                of: topic.instrument.id,
                instruments: instruments,
                to: &out
            )
        }
    }

    private func sendSubscriptions(_ slot: Int, on loop: IOLoop) {
        guard let client = clients[slot] else { return }
        let subscriptions = hub.subscriptions(of: client.session)
        sendFrame(.text, to: slot, on: loop) { out, _ in LegacyCodec.append(subscriptions: subscriptions, to: &out) }
    }

    private func sendError(_ refusal: Refusal, original: String, _ slot: Int, on loop: IOLoop) {
        let requestID = note(refusal, slot)
        sendFrame(.text, to: slot, on: loop) { out, _ in
            LegacyCodec.append(refusal, requestID: requestID, original: original, to: &out)
        }
    }

    /// Tells enhanced clients the topics of instruments that joined their wildcards; legacy frames name their symbol.
    func tell(_ joined: [Hub.Joined], on loop: IOLoop) {
        let receivedNs = clock.nowNs
        for one in joined {
            let slot = slotOfSession[one.session.index]
            guard let format = clients[slot]?.format else { continue }
            if case .success = one.outcome.result { metrics.block.add(1, to: metrics[format].subscriptions) }
            guard format == .enhanced else { continue }
            sendReply(.subscribed([one.outcome]), to: one.requestID, receivedNs: receivedNs, slot, on: loop)
        }
    }

    // MARK: Bounds

    private func spendRequest(_ slot: Int, on loop: IOLoop) -> Refusal? {
        let waitMs = clients[slot]?.requests.take(
            perSecond: settings.requestsPerSecondMost,
            burst: settings.requestsBurstMost,
            atNs: HubClock.monotonicNs
        )
        guard let waitMs = waitMs ?? nil else { return nil }
        countFlood(slot, on: loop)
        let text = "At most \(settings.requestsPerSecondMost) requests a second; wait \(waitMs) ms."
        return Refusal(.rateLimited, text, retryAfterMs: waitMs)
    }

    /// Closes a client that was told to wait as often within a minute as it may ask at once, and goes on.
    private func countFlood(_ slot: Int, on loop: IOLoop) {
        guard let client = clients[slot], !client.isClosing else { return }
        let now = HubClock.monotonicNs
        if now - client.floodSinceNs > 60_000_000_000 {
            clients[slot]?.floodSinceNs = now
            clients[slot]?.floodCount = 0
        }
        clients[slot]?.floodCount += 1
        if client.floodCount + 1 > settings.requestsBurstMost { close(slot, .flooding, on: loop) }
    }

    /// Closes a client that sends too much nonsense.
    private func countBadFrame(_ refusal: Refusal, _ slot: Int, on loop: IOLoop) {
        guard let client = clients[slot], !client.isClosing else { return }
        metrics.count(badFrame: refusal.code, client.format)
        let now = HubClock.monotonicNs
        if now - client.badFramesSinceNs > 60_000_000_000 {
            clients[slot]?.badFramesSinceNs = now
            clients[slot]?.badFrameCount = 0
        }
        clients[slot]?.badFrameCount += 1
        if client.badFrameCount + 1 >= settings.badFramesPerMinuteMost { close(slot, .policy, on: loop) }
    }

    /// Gives a refusal an id and writes it into the log under that.
    private func note(_ refusal: Refusal, _ slot: Int) -> String {
        let id = requestIDs.make()
        if let client = clients[slot] { metrics.count(refusal: refusal, client.format) }
        log.info(
            "request-refused",
            [
                "requestId": .text(id), "code": .count(refusal.code.rawValue), "reason": .text(refusal.code.reason),
                "message": .text(refusal.message),
            ]
        )
        return id
    }
}
