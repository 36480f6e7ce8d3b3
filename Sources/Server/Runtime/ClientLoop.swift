package import Hub
package import Market
import Synchronization
package import Transport
import Wire

/// One I/O thread's share of the hub: its clients, what they listen to, and what they are sent.
///
/// Everything here belongs to the loop's thread.
package final class ClientLoop: IOLoopHandler {
    /// Listeners, told apart by what is served on them.
    package enum ListenerTag: UInt8 {
        case web = 1
        case admin = 2
    }

    let ring: EventRing
    let board: InstrumentBoard
    let candles: CandleStore
    let clock: HubClock
    let routes: HTTPRoutes
    private let admin: AdminRoutes
    private let stalls: LoopStalls?
    private let reloads: Reloads
    private var reloadsSeen = 0
    let metrics: LoopMetrics
    /// What was sent since it was last shown in ``metrics``.
    var sent = SentCounts()
    let log: Log
    var settings: HubConfiguration
    private var gate: OriginGate
    private var trustedProxies: [AddressRange]
    let messageBytesMost: Int
    /// Loops that share ``HubConfiguration/privateQueuesBytesMost``.
    let loopCount: Int
    /// In all outboxes.
    var waitingBytes = 0 {
        didSet { if waitingBytes != oldValue { metrics.block.set(waitingBytes, in: metrics.waitingBytes) } }
    }
    /// Bytes given to one connection in one write, but for a longer frame.
    let writeBytesMost: Int
    var hub: Hub
    /// The hub's table with the names that legacy frames bear.
    var instruments = LegacyInstruments(InstrumentTable())
    var clients: [Client?] = []
    var echoes = EchoClients()
    /// The connection's slot of every session's slot.
    var slotOfSession: [Int] = []
    /// What goes to everybody who listens, slice by slice.
    var broadcast: OutgoingPass
    /// What one client is told in answer to something, or because it was behind.
    var aside: OutgoingPass
    var replies = OutputBytes(capacity: 16_384)
    /// A message with a ping behind it.
    var marked = OutputBytes(capacity: 16_384)
    let requestIDs: RequestIDGenerator
    private var isPassWanted = false
    private let isToLeave = Atomic(false)
    /// Whether another hub listens in this one's place when it leaves.
    private let hasSuccessor = Atomic(false)
    private var isLeaving = false
    let standStill = StandStill()
    /// Whether something was learned since the broadcast that is on its way.
    private var hasNewsBehindBroadcast = false
    /// Clients whose connection takes bytes and who have yet to be told the state of something.
    private var unfinished: [ConnectionID] = []
    private var sweepPhase = 0
    /// Instruments that are not in the table yet; their first event has not been taken.
    private var newcomers: [Instrument] = []

    /// How long a turn may write to clients what others wait behind: requests, pings and rings come after it.
    private static let sliceNs: Int64 = 500_000
    /// Events taken from the ring before clients are served again.
    private static let eventsMost = 4096
    /// A client is looked after once in so many sweeps: once a second, more often where the settings count in less.
    private var sweepPhases: Int {
        min(10, max(1, min(settings.heartbeatMs, settings.pingMs, settings.silenceMs / 4) / 200))
    }

    package struct SocketClasses: Sendable {
        package var browser: SocketClass
        package var bot: SocketClass
        /// Whether the legacy channel agrees to compression; the classes say it of the others.
        package var compressesJSON: Bool

        package init(browser: SocketClass, bot: SocketClass, compressesJSON: Bool = false) {
            self.browser = browser
            self.bot = bot
            self.compressesJSON = compressesJSON
        }
    }

    package init(
        hub: Hub,
        ring: EventRing,
        board: InstrumentBoard,
        candles: CandleStore,
        clock: HubClock,
        routes: HTTPRoutes,
        admin: AdminRoutes,
        stalls: LoopStalls?,
        reloads: Reloads,
        messageBytesMost: Int,
        loopCount: Int,
        deflate: DeflateSettings?,
        writeBytesMost: Int,
        metrics: LoopMetrics,
        log: Log,
        requestIDs: RequestIDGenerator
    ) {
        self.hub = hub
        self.ring = ring
        self.board = board
        self.candles = candles
        self.clock = clock
        self.routes = routes
        self.admin = admin
        self.stalls = stalls
        self.reloads = reloads
        self.messageBytesMost = messageBytesMost
        self.loopCount = loopCount
        broadcast = OutgoingPass(deflate: deflate)
        aside = OutgoingPass(deflate: deflate)
        self.writeBytesMost = writeBytesMost
        self.metrics = metrics
        self.log = log
        self.requestIDs = requestIDs
        let current = reloads.current
        settings = current.hub
        gate = current.gate
        trustedProxies = current.trustedProxies
    }

    // MARK: The end

    /// Says goodbye to every client and ends the loop; any thread.
    package func requestLeave(of loop: IOLoop, hasSuccessor: Bool = false) {
        self.hasSuccessor.store(hasSuccessor, ordering: .relaxed)
        isToLeave.store(true, ordering: .releasing)
        loop.wake()
    }

    /// Tells everybody when to come back, spread evenly, so that whoever takes over is not asked by all at once.
    private func leave(on loop: IOLoop) {
        isLeaving = true
        let present = clients.indices.filter { clients[$0] != nil }
        for (place, slot) in present.enumerated() {
            sendAway(slot, reconnectAfterMs: settings.reconnectSpreadMs * (place + 1) / present.count, on: loop)
        }
        loop.requestStop(awaitsRequests: hasSuccessor.load(ordering: .relaxed))
    }

    private func sendAway(_ slot: Int, reconnectAfterMs: Int, on loop: IOLoop) {
        let afterMs = UInt32(reconnectAfterMs)
        switch clients[slot]?.format {
        case .enhanced?:
            sendFrame(.binary, to: slot, on: loop) { out, now in
                EnhancedCodec.append(sentNs: UInt64(bitPattern: now), to: &out)
                let code = CloseReason.restart.rawValue
                EnhancedCodec.appendDisconnect(code: code, reconnectAfterMs: afterMs, to: &out)
            }
        case .legacy?:
            sendFrame(.text, to: slot, on: loop) { out, _ in
                LegacyCodec.append(disconnect: CloseReason.restart.rawValue, reconnectAfterMs: afterMs, to: &out)
            }
        case nil: return
        }
        close(slot, .restart, on: loop)
    }

    // MARK: Market data

    package func wake(on loop: IOLoop) {
        isPassWanted = true
        if standStill.isWanted { standStill(on: loop) }
        if isToLeave.exchange(false, ordering: .acquiring) { leave(on: loop) }
        guard let newer = reloads.newer(than: &reloadsSeen) else { return }
        settings = newer.hub
        gate = newer.gate
        trustedProxies = newer.trustedProxies
        hub.settings.subscriptionsMost = newer.hub.subscriptionsMost
        hub.settings.symbolsPerRequestMost = newer.hub.symbolsPerRequestMost
    }

    package func passDue(on loop: IOLoop) {
        isPassWanted = true
        // libuv's timers run before its wait for events: without this the turn would end when something else happens.
        loop.wake()
    }

    package func turnEnded(on loop: IOLoop) {
        guard isPassWanted || broadcast.isOnItsWay || !unfinished.isEmpty else { return }
        isPassWanted = false
        let count = drainRing(on: loop)
        if count >= Self.eventsMost { isPassWanted = true }
        if broadcast.isOnItsWay {
            if count > 0 { hasNewsBehindBroadcast = true }
        } else {
            beginBroadcast(on: loop)
        }
        deliverBroadcast(untilNs: HubClock.monotonicNs + Self.sliceNs, on: loop)
        if hasNewsBehindBroadcast, !broadcast.isOnItsWay {
            hasNewsBehindBroadcast = false
            isPassWanted = true
        }
        finish(on: loop)
        loop.keepTurning = isPassWanted || broadcast.isOnItsWay || !unfinished.isEmpty
        guard !broadcast.isOnItsWay, let due = hub.nextPassNs else { return }
        loop.schedulePass(afterNs: UInt64(max(0, due - HubClock.monotonicNs)))
    }

    /// Takes in what the feed thread said, about as much as a turn has time for.
    private func drainRing(on loop: IOLoop) -> Int {
        let count = ring.drain(most: Self.eventsMost) { units in
            learn(units, on: loop)
        } into: { event, levels in
            if !newcomers.isEmpty { welcome(on: loop) }
            hub.receive(event, levels: levels)
        }
        if !newcomers.isEmpty { welcome(on: loop) }
        return count
    }

    // MARK: From process to process

    /// Tells clients everything there is to tell, due or not, and hands on what the hub knows.
    private func standStill(on loop: IOLoop) {
        while drainRing(on: loop) >= Self.eventsMost {}
        deliverBroadcast(untilNs: .max, on: loop)
        broadcast.begin(atNs: HubClock.monotonicNs)
        hub.passAll(into: &broadcast.pass)
        if !broadcast.pass.isEmpty { encodeBroadcast() }
        deliverBroadcast(untilNs: .max, on: loop)
        var state = StateWriter()
        hub.append(to: &state)
        standStill.stand(state.bytes)
    }

    /// Goes on where the loops of another process ended; before this one runs.
    ///
    /// - Parameters:
    ///   - states: what each of them handed on; the first is this loop's own.
    ///   - table: the instruments of that process.
    /// - Throws: when it is not what a loop of this version hands on.
    package func goOn(from states: [[UInt8]], _ table: InstrumentTable) throws(StateReader.Malformed) {
        aside.begin(atNs: HubClock.monotonicNs)
        _ = hub.adopt(table, into: &aside.pass)
        instruments.welcome(from: hub.table)
        for (place, bytes) in states.enumerated() {
            var state = StateReader(bytes)
            try hub.goOn(from: &state, isOwn: place == 0, atNs: HubClock.monotonicNs)
        }
    }

    /// Makes the pass that is due, if there is one, and its bytes.
    private func beginBroadcast(on loop: IOLoop) {
        let leftOut = Format.allCases.map { hub.leftOutCount($0) }
        broadcast.begin(atNs: HubClock.monotonicNs)
        hub.pass(atNs: broadcast.begunNs, into: &broadcast.pass)
        for (format, before) in zip(Format.allCases, leftOut) where hub.leftOutCount(format) != before {
            metrics.block.add(hub.leftOutCount(format) - before, to: metrics[format].conflations)
        }
        if !broadcast.pass.isEmpty { encodeBroadcast() }
        announceFallenBehind(on: loop)
    }

    /// Sees to it that a client is told the rest of what it has to know, a piece in each turn.
    func finishLater(_ client: Client, on loop: IOLoop) {
        guard hub.isBehind(client.session), !unfinished.contains(client.connection) else { return }
        unfinished.append(client.connection)
        loop.keepTurning = true
    }

    private func finish(on loop: IOLoop) {
        let waiting = unfinished
        unfinished.removeAll(keepingCapacity: true)
        let deadline = HubClock.monotonicNs + Self.sliceNs
        for (index, connection) in waiting.enumerated() {
            guard HubClock.monotonicNs < deadline else {
                unfinished += waiting[index...]
                return
            }
            guard let client = client(of: connection), !client.isHeldBack, !client.isClosing else { continue }
            catchUp(Int(connection.slot), on: loop)
        }
    }

    /// Takes an instrument's units as they are from here on.
    private func learn(_ units: InstrumentUnits, on loop: IOLoop) {
        let knownCount = hub.table.all.count
        guard units.id.index < knownCount else {
            // Where a ring was full, the units of an earlier one come later: its place and name are taken now all the same.
            while knownCount + newcomers.count <= units.id.index {
                newcomers.append(board[InstrumentID(UInt32(knownCount + newcomers.count))])
            }
            newcomers[units.id.index - knownCount].priceScale = units.priceScale
            newcomers[units.id.index - knownCount].quantityScale = units.quantityScale
            return
        }
        let known = hub.table[units.id]
        guard known.priceScale != units.priceScale || known.quantityScale != units.quantityScale else { return }
        // What is known so far goes out in the units it is in, due or not, behind what is on its way.
        deliverBroadcast(untilNs: .max, on: loop)
        broadcast.begin(atNs: HubClock.monotonicNs)
        hub.passAll(of: units.id, into: &broadcast.pass)
        if !broadcast.pass.isEmpty { encodeBroadcast() }
        deliverBroadcast(untilNs: .max, on: loop)
        hub.changeUnits(of: units.id, priceScale: units.priceScale, quantityScale: units.quantityScale)
        instruments.rescale(units.id, from: hub.table)
    }

    /// Takes instruments into the table, as many at once as came.
    private func welcome(on loop: IOLoop) {
        let firstID = InstrumentID(UInt32(hub.table.all.count))
        guard newcomers.first?.id == firstID else { stop(because: "a loop has another order") }
        aside.begin(atNs: HubClock.monotonicNs)
        let joined: [Hub.Joined]
        do throws(InstrumentTable.Refusal) {
            joined = try hub.add(newcomers, into: &aside.pass)
        } catch {
            stop(because: "the feed's table and a loop's differ: \(error)")
        }
        newcomers.removeAll()
        instruments.welcome(from: hub.table)
        encodeAside()
        tell(joined, on: loop)
        sendAside(on: loop)
    }

    // MARK: HTTP

    package func respond(to request: HTTPRequest, on loop: IOLoop) -> HTTPResponse {
        if request.listenerTag == ListenerTag.admin.rawValue {
            let response = admin.respond(to: request, gate: gate, requestID: requestIDs.make)
            note(response, to: request)
            return response
        }
        let response = routes.respond(
            to: request,
            gate: gate,
            table: hub.table,
            newestCandle: { hub.newestCandle(of: $0, $1) },
            requestID: requestIDs.make
        )
        note(response, to: request)
        return response
    }

    package func admit(_ request: HTTPRequest, on loop: IOLoop) -> UpgradeDecision {
        let decision = routes.admit(request, gate: gate, requestID: requestIDs.make)
        if case .refuse(let response) = decision {
            metrics.count(refusedUpgrade: String(response.status))
            note(response, to: request)
        }
        return decision
    }

    package func refusal(_ status: Int, _ detail: String, on loop: IOLoop) -> HTTPResponse {
        let requestID = requestIDs.make()
        log.info(
            "request-refused",
            ["requestId": .text(requestID), "status": .count(status), "message": .text(detail)]
        )
        return .problem(status, HTTPRoutes.reason(of: status), detail, requestID: requestID)
    }

    /// Writes a refusal into the log, under the id that the client was given.
    private func note(_ response: HTTPResponse, to request: HTTPRequest) {
        guard let requestID = response.problemID else { return }
        log.info(
            "request-refused",
            [
                "requestId": .text(requestID), "status": .count(response.status), "path": .text(request.path),
                "peer": .text(peer(of: request)),
            ]
        )
    }

    /// Who is at the other end; what a proxy says counts only from those that are trusted.
    private func peer(of request: HTTPRequest) -> String {
        guard trustedProxies.contains(where: { $0.contains(address: request.peerAddress) }),
            let named = request.header("x-forwarded-for")?.split(separator: ",").last
        else { return request.peerAddress }
        return String(named.drop { $0 == " " })
    }

    package func readCertificate(_ reading: CertificateReading, on loop: IOLoop) { log.note(reading, loop: loop.index) }

    // MARK: Connections

    package func opened(_ connection: ConnectionID, tag: UInt8, request: HTTPRequest, on loop: IOLoop) {
        if tag == UpgradeTag.echo.rawValue { return echoes.open(connection, on: loop) }
        let format: Format = tag == UpgradeTag.enhanced.rawValue ? .enhanced : .legacy
        let session = hub.open(format)
        let now = HubClock.monotonicNs
        let slot = Int(connection.slot)
        while clients.count <= slot { clients.append(nil) }
        while slotOfSession.count <= session.index { slotOfSession.append(-1) }
        clients[slot] = Client(
            connection: connection,
            session: session,
            format: format,
            requestsBurst: settings.requestsBurstMost,
            atNs: now
        )
        clients[slot]?.deflateWindowBits = loop.deflateWindowBits(of: connection)
        slotOfSession[session.index] = slot
        metrics.block.add(to: metrics[format].opened)
        log.debug("client-opened", ["peer": .text(peer(of: request)), "channel": .text(metrics[format].name)])
        metrics.block.add(1, to: metrics[format].open)
        // It asked before the successor listened; that one has it next.
        if isLeaving { sendAway(slot, reconnectAfterMs: 0, on: loop) }
    }

    package func closed(_ connection: ConnectionID, on loop: IOLoop) {}

    package func closed(_ connection: ConnectionID, code: UInt16, on loop: IOLoop) {
        guard let client = client(of: connection) else { return echoes.close(connection) }
        metrics.block.add(-hub.subscriptionCount(of: client.session), to: metrics[client.format].subscriptions)
        metrics.count(close: client.closeReason?.rawValue ?? code, client.format)
        hub.close(client.session)
        waitingBytes -= client.outbox.count
        clients[Int(connection.slot)] = nil
        metrics.block.add(-1, to: metrics[client.format].open)
        if client.isHeldBack { metrics.block.add(-1, to: metrics[client.format].blocked) }
    }

    package func turnedAway(_ reason: TurnedAway, on loop: IOLoop) { metrics.count(turnedAway: reason) }

    package func writable(_ connection: ConnectionID, on loop: IOLoop) {
        guard client(of: connection) != nil else { return echoes.flush(connection, on: loop) }
        // Its kernel took what waited: a slow reader, but a living one.
        clients[Int(connection.slot)]?.lastHeardNs = HubClock.monotonicNs
        flush(Int(connection.slot), on: loop)
    }

    package func ponged(_ payload: UnsafeRawBufferPointer, from connection: ConnectionID, on loop: IOLoop) {
        guard client(of: connection) != nil else { return }
        clients[Int(connection.slot)]?.lastHeardNs = HubClock.monotonicNs
        creditArrived(payload, for: Int(connection.slot), on: loop)
    }

    func client(of connection: ConnectionID) -> Client? {
        let slot = Int(connection.slot)
        guard slot < clients.count, let client = clients[slot], client.connection == connection else { return nil }
        return client
    }

    // MARK: Time

    package func sweep(on loop: IOLoop) {
        stalls?.standStillIfAsked(loop.index)
        metrics.beat(atNs: HubClock.monotonicNs)
        if loop.index == 0 { clock.correct(intervalNs: 100_000_000) }
        let phases = sweepPhases
        sweepPhase = (sweepPhase + 1) % phases
        let now = HubClock.monotonicNs
        hub.endLingering(atNs: now)
        for slot in stride(from: sweepPhase, to: clients.count, by: phases) { lookAfter(slot, now, on: loop) }
    }

    private func lookAfter(_ slot: Int, _ now: Int64, on loop: IOLoop) {
        guard let client = clients[slot], !client.isClosing else { return }
        if now - client.lastHeardNs > Int64(settings.silenceMs) * 1_000_000 {
            close(slot, .silent, on: loop)
            return
        }
        if now - max(client.lastHeardNs, client.lastPingNs) > Int64(settings.pingMs) * 1_000_000 {
            // Refused while a remainder waits; then again.
            if ping(slot, on: loop) { clients[slot]?.lastPingNs = now }
        }
        pingForCredit(slot, on: loop)
        announceCaughtUp(slot, on: loop)
        if client.format == .enhanced, now - client.lastSentNs > Int64(settings.heartbeatMs) * 1_000_000 {
            sendHeartbeat(slot, on: loop)
        }
    }

    func close(_ slot: Int, _ reason: CloseReason, on loop: IOLoop) {
        guard let client = clients[slot], !client.isClosing else { return }
        clients[slot]?.closeReason = reason
        waitingBytes -= client.outbox.count
        clients[slot]?.outbox = Outbox()
        hub.setBlocked(true, client.session)
        // A client whose connection takes nothing would never see the frame: it is cut off instead.
        if client.isBlocked {
            loop.abort(client.connection)
        } else {
            loop.close(client.connection, code: reason.rawValue, reason: reason.text)
        }
    }
}
