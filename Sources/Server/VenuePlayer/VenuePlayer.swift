package import Transport

/// Plays a venue on one I/O loop: WebSocket connections and the REST snapshots beside them.
package final class VenuePlayer: IOLoopHandler {
    /// What happened since the start.
    package struct Counters: Hashable, Sendable {
        /// WebSocket connections that were admitted.
        package var clients = 0
        package var framesPlayed = 0
        /// Client frames, upgrades and REST requests that the recorded ones do not cover.
        package var refused = 0
        package var snapshots = 0
        package var faults = 0
        /// Connections closed for the venue's rules on pings and rates.
        package var closedByRule = 0

        package init() {}
    }

    package private(set) var counters = Counters()

    private let recording: Recording
    private let speedFactor: Double
    private let isLooping: Bool
    private let snapshotDelayMsMost: Int
    private var faults: PlayedFaults
    private let log: Log
    private var clients: [ConnectionID: PlayedClient] = [:]
    private var manner: any VenueManner { recording.manner }
    /// About this much goes out in one write.
    private static let writeBytes = 32 * 1024
    private static let connectionsMost = 1_024
    /// A client that asks for answers and does not read them is cut off with more than this waiting.
    private static let unsentBytesMost = 4 << 20

    package init(_ recording: Recording, _ options: VenueOptions, log: Log) {
        self.recording = recording
        speedFactor = options.speedFactor
        isLooping = options.isLooping
        snapshotDelayMsMost = options.snapshotDelayMsMost
        faults = PlayedFaults(options.faults, seed: options.seed)
        self.log = log
    }

    // MARK: HTTP

    package func respond(to request: HTTPRequest, on loop: IOLoop) -> HTTPResponse {
        do throws(HTTPRefusal) {
            let body = try recording.answer(path: request.path, query: request.query.map { ($0.name, $0.value) })
            counters.snapshots += 1
            var response = HTTPResponse(status: 200, contentType: Self.json, body: Array(body))
            response.delayNs = 1_000_000 * faults.number(below: UInt64(snapshotDelayMsMost) + 1)
            return response
        } catch {
            refuse("http", "\(request.path): \(error)")
            let status = error == .unknownPath ? 404 : 400
            return HTTPResponse(status: status, text: manner.httpRefusal(error), contentType: Self.json)
        }
    }

    private static let json = "application/json"

    // MARK: Coming and going

    package func admit(_ request: HTTPRequest, on loop: IOLoop) -> UpgradeDecision {
        guard clients.count < Self.connectionsMost else {
            return .refuse(HTTPResponse(status: 503, text: "too many connections\n"))
        }
        do throws(MeaningFault) {
            guard let streams = try initialStreams(request) else {
                refuse("upgrade", request.path)
                return .refuse(
                    HTTPResponse(status: 404, text: manner.httpRefusal(.unknownPath), contentType: Self.json)
                )
            }
            if let wrong = streams.first(where: { !recording.offers($0) }) {
                refuse("upgrade", "\(wrong.symbol) \(wrong.channel)")
                let isSymbol = recording.symbols.contains(wrong.symbol)
                let refusal = isSymbol ? HTTPRefusal.unknownParameter("streams") : .unknownSymbol
                return .refuse(HTTPResponse(status: 400, text: manner.httpRefusal(refusal), contentType: Self.json))
            }
            return .accept(subprotocol: nil, tag: 0, .bot(messageBytesMost: 65_536))
        } catch {
            refuse("upgrade", error.description)
            let refusal = manner.httpRefusal(.unknownParameter("streams"))
            return .refuse(HTTPResponse(status: 400, text: refusal, contentType: Self.json))
        }
    }

    private func initialStreams(_ request: HTTPRequest) throws(MeaningFault) -> [PlayedStream]? {
        try manner.streams(ofPath: request.path, query: request.query.map { ($0.name, $0.value) })
    }

    package func opened(_ connection: ConnectionID, tag: UInt8, request: HTTPRequest, on loop: IOLoop) {
        counters.clients += 1
        let now = Int64(loop.nowNs)
        let client = PlayedClient(Playback(speedFactor: speedFactor), manner.rules, atNs: now)
        clients[connection] = client
        log.info("client-opened", ["peer": .text(request.peerAddress), "client": .count(connection.slot)])
        if let greeting = recording.greeting { say([greeting], to: client) }
        if let streams = (try? initialStreams(request)) ?? nil { begin(Set(streams), client, atNs: now) }
        advance(connection, client, on: loop)
    }

    package func closed(_ connection: ConnectionID, on loop: IOLoop) {
        guard let client = clients.removeValue(forKey: connection) else { return }
        client.timer?.cancel()
        log.info(
            "client-closed",
            ["client": .count(connection.slot), "framesPlayed": .count(client.framesPlayed)]
        )
    }

    // MARK: What clients say

    package func received(
        _ message: UnsafeRawBufferPointer,
        isText: Bool,
        from connection: ConnectionID,
        on loop: IOLoop
    ) {
        guard let client = clients[connection] else { return }
        let now = Int64(loop.nowNs)
        guard client.rate.take(atNs: now) else {
            return close(connection, manner.rules.tooFast, "rate", on: loop)
        }
        guard !client.isSilent else { return }
        let request: VenueRequest
        do throws(MeaningFault) {
            guard isText else { throw .binary }
            request = try manner.request(message)
        } catch {
            refuse("frame", error.description)
            say([manner.refusal(of: error)], to: client)
            return advance(connection, client, on: loop)
        }
        let reply = manner.reply(to: request, having: client.streams, in: recording)
        if !reply.refused.isEmpty {
            let names = reply.refused.sorted().prefix(8).map { LogValue.text("\($0.symbol) \($0.channel)") }
            counters.refused += 1
            log.warning("refused", ["what": "subscription", "streams": .list(names)])
        }
        say(reply.texts, to: client)
        client.streams.subtract(reply.ends)
        client.playback.end(reply.ends, of: recording)
        begin(reply.begins, client, atNs: now)
        guard client.unsent.count <= Self.unsentBytesMost else {
            counters.closedByRule += 1
            log.warning("closed-by-rule", ["client": .count(connection.slot), "rule": "unread"])
            return loop.abort(connection)
        }
        advance(connection, client, on: loop)
    }

    package func ponged(_ payload: UnsafeRawBufferPointer, from connection: ConnectionID, on loop: IOLoop) {
        guard let client = clients[connection] else { return }
        let now = Int64(loop.nowNs)
        client.unansweredPingNs = nil
        if manner.rules.countsPongs, !client.rate.take(atNs: now) {
            close(connection, manner.rules.tooFast, "rate", on: loop)
        }
    }

    private func begin(_ streams: Set<PlayedStream>, _ client: PlayedClient, atNs now: Int64) {
        guard !streams.isEmpty else { return }
        client.streams.formUnion(streams)
        client.playback.begin(streams, of: recording, atNs: now)
    }

    private func refuse(_ what: String, _ problem: String) {
        counters.refused += 1
        log.warning("refused", ["what": .text(what), "problem": .text(problem)])
    }

    private func close(
        _ connection: ConnectionID,
        _ closing: MannerRules.Closing,
        _ rule: String,
        on loop: IOLoop
    ) {
        counters.closedByRule += 1
        log.warning("closed-by-rule", ["client": .count(connection.slot), "rule": .text(rule)])
        loop.close(connection, code: closing.code, reason: closing.reason)
    }

    // MARK: What clients hear

    package func writable(_ connection: ConnectionID, on loop: IOLoop) {
        guard let client = clients[connection] else { return }
        advance(connection, client, on: loop)
    }

    package func sweep(on loop: IOLoop) {
        let now = Int64(loop.nowNs)
        let rules = manner.rules
        for (connection, client) in clients where !client.isSilent {
            if rules.subscribeMostNs > 0, client.streams.isEmpty, !client.hasSubscribed,
                now - client.openedNs >= rules.subscribeMostNs
            {
                close(connection, rules.noSubscription, "subscribe", on: loop)
                continue
            }
            if let pinged = client.unansweredPingNs, now - pinged >= rules.pongMostNs {
                close(connection, rules.noPong, "pong", on: loop)
                continue
            }
            if rules.pingEveryNs > 0, now - client.pingedNs >= rules.pingEveryNs, !loop.isBlocked(connection) {
                client.pingedNs = now
                client.unansweredPingNs = client.unansweredPingNs ?? now
                _ = loop.ping(connection, payload: Array("\(now / 1_000_000)".utf8))
            }
            if rules.heartbeatEveryNs > 0, !client.streams.isEmpty, now - client.heartbeatNs >= rules.heartbeatEveryNs {
                client.heartbeatNs = now
                say([rules.heartbeat], to: client)
                advance(connection, client, on: loop)
            }
        }
    }

    /// Texts go before all that is played later.
    private func say(_ texts: [String], to client: PlayedClient) {
        guard !client.isSilent else { return }
        for text in texts { add(text.utf8, to: client) }
    }

    /// Puts a frame behind what is unsent, with the connection's own number where the venue counts its frames.
    private func add(_ text: some Collection<UInt8>, to client: PlayedClient) {
        guard let numbered = manner.numbered(text, client.nextNumber) else {
            client.unsent += WebSocketFrame.bytes(.text, text)
            return
        }
        client.nextNumber += 1
        client.unsent += WebSocketFrame.bytes(.text, numbered)
    }

    /// Writes what is due until nothing is, or the socket takes no more, or others must have their turn.
    private func advance(_ connection: ConnectionID, _ client: PlayedClient, on loop: IOLoop) {
        guard !client.isSilent, !loop.isBlocked(connection) else { return }
        let now = Int64(loop.nowNs)
        if isLooping, client.playback.isAtEnd(of: recording) {
            guard !manner.rules.endsWithRecording else {
                log.info("recording-ended", ["client": .count(connection.slot)])
                return loop.close(connection, code: 1000, reason: "the recording ends here")
            }
            client.playback.rewind(of: recording, atNs: now)
        }
        while client.unsent.count < Self.writeBytes, let frame = client.playback.next(of: recording, atNs: now) {
            guard fail(atLine: frame.line, before: frame, connection, client, on: loop) else { return }
            add(recording.text(frame), to: client)
            client.framesPlayed += 1
            counters.framesPlayed += 1
        }
        guard flush(connection, client, on: loop) else { return }
        wait(connection, client, on: loop)
    }

    /// Hands over what is unsent; false when the socket takes no more for now.
    private func flush(_ connection: ConnectionID, _ client: PlayedClient, on loop: IOLoop) -> Bool {
        guard !client.unsent.isEmpty else { return true }
        let result = client.unsent.withUnsafeBytes { loop.write($0, to: connection) }
        if result != .refused { client.unsent.removeAll(keepingCapacity: true) }
        return result == .sent
    }

    private func wait(_ connection: ConnectionID, _ client: PlayedClient, on loop: IOLoop) {
        client.timer?.cancel()
        client.timer = nil
        let now = Int64(loop.nowNs)
        let dueNs: Int64
        if let next = client.playback.nextNs(of: recording) {
            dueNs = next
        } else if isLooping, client.playback.isAtEnd(of: recording) {
            dueNs = now
        } else {
            return
        }
        client.timer = loop.after(UInt64(max(0, dueNs - now))) { [weak self, weak loop] in
            guard let self, let loop, let client = clients[connection] else { return }
            client.timer = nil
            advance(connection, client, on: loop)
        }
    }

    // MARK: Faults

    /// Does what goes wrong before a line; false when nothing more is played on this connection.
    private func fail(
        atLine line: Int,
        before frame: Recording.Frame,
        _ connection: ConnectionID,
        _ client: PlayedClient,
        on loop: IOLoop
    ) -> Bool {
        while let kind = faults.due(atLine: line) {
            counters.faults += 1
            log.info(
                "fault",
                ["kind": .text(kind.rawValue), "line": .count(line), "client": .count(connection.slot)]
            )
            switch kind {
            case .cut:
                _ = flush(connection, client, on: loop)
                loop.abort(connection)
                return false
            case .silence:
                _ = flush(connection, client, on: loop)
                client.isSilent = true
                return false
            case .garbage:
                for text in faults.garbage(from: recording.text(frame)) {
                    client.unsent += WebSocketFrame.bytes(.text, text)
                }
            }
        }
        return true
    }
}

/// One connection as the player knows it.
private final class PlayedClient {
    var playback: Playback
    var streams: Set<PlayedStream> = [] {
        didSet { if !streams.isEmpty { hasSubscribed = true } }
    }
    private(set) var hasSubscribed = false
    var rate: InboundRate
    /// Framed bytes that wait for the next write.
    var unsent: [UInt8] = []
    var timer: LoopTimer?
    var framesPlayed = 0
    /// The number of the next frame, where the venue counts them.
    var nextNumber: UInt64 = 0
    /// Nothing is said any more, by a fault.
    var isSilent = false
    let openedNs: Int64
    var pingedNs: Int64
    var heartbeatNs: Int64
    /// When the first ping went out that no pong has followed.
    var unansweredPingNs: Int64?

    init(_ playback: Playback, _ rules: MannerRules, atNs now: Int64) {
        self.playback = playback
        rate = InboundRate(rules.inbound, atNs: now)
        openedNs = now
        pingedNs = now
        heartbeatNs = now
    }
}
