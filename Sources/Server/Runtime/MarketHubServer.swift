import Feeds
import Glibc
import Hub
import Market
import Synchronization
import Transport

/// Why the hub could not start; each says what to do.
enum StartError: Error {
    case transport(TransportError)
    case page(WebPage.Problem)
    case source(String)
    case recorder(RecordingDirectory.Refusal)
    /// What the hub before this one knew cannot be taken over.
    case predecessor

    var message: String {
        switch self {
        case .transport(let error): error.advice
        case .page(let problem): problem.description
        case .source(let text): text
        case .recorder(let refusal): refusal.message
        case .predecessor: "what the running hub knows cannot be read by this one; stop it and start this one instead"
        }
    }
}

/// What a process with a hub in it is for.
enum HubPurpose {
    /// Everything the configuration says.
    case serve
    /// Only the sources and the recorder, and the listener for operators.
    case record
    /// Recordings instead of the configured sources, for clients as ever.
    case replay(Replay)
}

/// One running hub: its threads, what they share, and the order in which they begin and end.
final class MarketHubServer {
    /// The addresses that the listeners really have, as the ready line names them.
    private(set) var listeners: [(name: String, address: String)] = []

    /// Who listens where, for a successor.
    private(set) var bound: [BoundListener] = []

    let configuration: Configuration
    let log: Log
    let clock: HubClock
    private let registry = MetricRegistry()
    private let board = InstrumentBoard()
    private let health: HealthState
    private let reloads: Reloads
    private let requestIDs: RequestIDGenerator
    private(set) var clientLoops: [ClientLoop] = []
    private lazy var stalls = configuration.diagnostics.stallHook ? LoopStalls(loopCount: loopCount()) : nil
    private(set) var loops: [IOLoop] = []
    private(set) var feedLoop: IOLoop?
    private(set) var feed: FeedLoop?
    private var threads: [JoinableThread] = []
    private let indexes = IndexBoard()
    let candles: CandleStore
    /// Nil where candles are kept in memory only.
    let candleThread: CandleThread?
    private let page: WebPage
    private let purpose: HubPurpose
    let recorder: Recorder?

    /// One listener, on one loop or all.
    struct BoundListener {
        /// As the ready line names it.
        var name: String
        var tag: UInt8
        /// As configured.
        var host: String
        var port: Int
        var boundPort: Int
        var loops: [IOLoop]
    }

    /// Makes every loop and listener; nothing is served before ``start()``.
    ///
    /// `predecessor` is what a running hub hands to this one, which takes its place.
    /// - Throws: why the hub cannot start; nothing is left open.
    init(
        _ configuration: Configuration,
        for purpose: HubPurpose = .serve,
        after predecessor: Inheritance? = nil,
        log: Log,
        clock: HubClock
    ) throws(StartError) {
        self.configuration = configuration
        self.purpose = purpose
        self.log = log
        self.clock = clock
        health = HealthState(stallMs: configuration.diagnostics.loopStallMs)
        requestIDs = RequestIDGenerator(seed: UInt64(bitPattern: clock.nowNs) &* 31 &+ UInt64(getpid()))
        reloads = Reloads(ReloadedSettings(configuration))
        do throws(WebPage.Problem) {
            page = configuration.web.root.isEmpty ? .none : try WebPage(root: configuration.web.root)
        } catch {
            throw .page(error)
        }
        var inherited = predecessor ?? Inheritance()
        SessionTickets.use(inherited.ticketKeys)
        let handedCandles = inherited.knowledge?.candles ?? []
        (candles, candleThread) = Self.openCandles(
            configuration,
            handed: handedCandles,
            log: log,
            nowNs: clock.nowNs
        )
        registry.read(.candleBytes) { [candles] in Double(candles.byteCount) }
        registry.read(.candlesLost) { [candles] in Double(candles.lostCount) }
        do throws(RecordingDirectory.Refusal) {
            recorder =
                switch purpose {
                case .serve where configuration.record.isEnabled, .record:
                    try Recorder(
                        configuration.record,
                        sharing: inherited.takeRecordingLock(of: configuration.record.directory),
                        clock: clock,
                        registry: registry,
                        log: log
                    )
                case .serve, .replay: nil
                }
        } catch {
            throw .recorder(error)
        }
        ProcessMetrics.register(in: registry, version: marketHubVersion)
        registry.read(.logDrops) { [log] in Double(log.droppedCount) }
        do throws(TransportError) {
            try makeLoops(inherited.knowledge?.epoch)
            try listen(&inherited)
        } catch {
            discard()
            throw .transport(error)
        }
        inherited.closeRest()
        do throws(StateReader.Malformed) {
            if let knowledge = inherited.knowledge { try goOn(from: knowledge) }
        } catch {
            discard()
            throw .predecessor
        }
    }

    // MARK: Making

    private func makeLoops(_ inheritedEpoch: UInt64?) throws(TransportError) {
        let descriptors = raiseDescriptorLimit()
        let loopCount = loopCount()
        // Descriptors that no client may take: listeners, loops, venues, files, and room for refusals.
        let reserve = 128 + 16 * loopCount
        let wanted = configuration.listen.connectionsMost
        let allowed = max(16, descriptors - reserve)
        let connectionsMost = wanted > 0 ? min(wanted, allowed) : allowed
        log.info(
            "descriptor-limit",
            [
                "descriptors": .count(descriptors), "connectionsMost": .count(connectionsMost),
                "loops": .count(loopCount),
            ]
        )
        let epoch = inheritedEpoch ?? UInt64(clock.nowNs / 1000)
        for index in 0..<loopCount {
            let handler = makeClientLoop(index, epoch: epoch)
            let loop = try IOLoop(index: index, handler: handler)
            loop.connectionsMost = max(1, connectionsMost / loopCount)
            loops.append(loop)
            clientLoops.append(handler)
        }
        let outlets = zip(clientLoops, loops).map { handler, loop in
            FeedPublisher.Outlet(ring: handler.ring) { loop.wake() }
        }
        let heartbeat = health.watch(thread: "feed", atNs: HubClock.monotonicNs)
        let metrics = FeedMetrics(registry: registry, heartbeat: heartbeat, health: health)
        let feed = FeedLoop(
            publisher: FeedPublisher(outlets: outlets, board: board, candles: candles, metrics: metrics),
            sources: makeSources(),
            clock: clock,
            metrics: metrics,
            log: log
        )
        if configuration.feedOut.enabled { feed.publish(to: FeedOut(configuration.feedOut)) }
        feedLoop = try IOLoop(index: loopCount, handler: feed)
        self.feed = feed
    }

    /// Threads that serve clients; a recorder has none but operators.
    private func loopCount() -> Int {
        if case .record = purpose { return 1 }
        return configuration.transport.ioLoops > 0 ? configuration.transport.ioLoops : max(1, coreCount() - 1)
    }

    private func makeClientLoop(_ index: Int, epoch: UInt64) -> ClientLoop {
        let transport = configuration.transport
        let classes = ClientLoop.SocketClasses(
            browser: SocketClass(
                sendBufferBytes: transport.browserSendBufferBytes,
                notSentLowWaterBytes: transport.browserNotSentLowWaterBytes,
                messageBytesMost: transport.messageBytesMost,
                compresses: transport.deflate == "all"
            ),
            bot: SocketClass(
                sendBufferBytes: transport.botSendBufferBytes,
                notSentLowWaterBytes: transport.botNotSentLowWaterBytes,
                messageBytesMost: transport.messageBytesMost,
                compresses: transport.deflate == "all"
            ),
            compressesJSON: transport.deflate != "off"
        )
        let hubSettings = Hub.Settings(
            subscriptionsMost: configuration.hub.subscriptionsMost,
            symbolsPerRequestMost: configuration.hub.symbolsPerRequestMost,
            recentPushesMost: configuration.hub.recentPushesMost,
            lingerNs: Int64(configuration.hub.topicLingerMs) * 1_000_000
        )
        let heartbeat = health.watch(thread: "io\(index)", atNs: HubClock.monotonicNs)
        return ClientLoop(
            hub: Hub(settings: hubSettings, epoch: epoch),
            ring: EventRing(capacity: configuration.feed.ringBytes / 16 * 16),
            board: board,
            candles: candles,
            clock: clock,
            routes: HTTPRoutes(
                page: page,
                classes: classes,
                markets: MarketRoutes(candles: candles, indexes: indexes),
                hasEcho: configuration.diagnostics.echo
            ),
            admin: AdminRoutes(registry: registry, health: health, stalls: stalls),
            stalls: stalls,
            reloads: reloads,
            messageBytesMost: transport.messageBytesMost,
            loopCount: loopCount(),
            deflate: transport.deflate == "off"
                ? nil : DeflateSettings(level: transport.deflateLevel, bytesLeast: transport.deflateBytesLeast),
            writeBytesMost: transport.writeBytesMost,
            metrics: LoopMetrics(registry: registry, heartbeat: heartbeat),
            log: log,
            requestIDs: requestIDs
        )
    }

    private func makeSources() -> [any MarketSource] {
        if case .replay(let replay) = purpose { return replay.makeSources() }
        var sources: [any MarketSource] = []
        if case .serve = purpose {
            if configuration.sources.synthetic.enabled {
                sources.append(SyntheticSource(configuration.sources.synthetic))
            }
            if !configuration.sources.capture.files.isEmpty, let capture = CaptureSource(configuration.sources.capture)
            {
                sources.append(capture)
            }
        }
        sources += configuration.sources.venues.compactMap { venue in
            let settings = VenueReading(venue).recorded
            return VenueSource(venue, tap: recorder?.tap(venue.venue, venue: venue.venue, settings: settings) ?? .none)
        }
        if configuration.sources.tcp.enabled {
            let tap = recorder?.tap(LineFeed.venue, venue: LineFeed.venue) ?? .none
            sources.append(TCPSource(configuration.sources.tcp, tap: tap))
        }
        sources += configuration.sources.feeds.compactMap(FeedClientSource.init)
        if !configuration.sources.indexes.isEmpty {
            sources.append(IndexSource(configuration.sources.indexes, board: indexes, registry: registry))
        }
        let itch = configuration.sources.itch
        if itch.mode != "off" {
            let settings = ITCHFeed.Settings(itch).recorded
            let tap =
                ITCHSource.isLive(itch) ? recorder?.tap(ITCHFeed.venue, venue: ITCHFeed.venue, settings: settings) : nil
            sources.append(ITCHSource(itch, tap: tap ?? .none))
        }
        sources += configuration.sources.fix.compactMap { server in
            let settings = VenueReading(server).recorded
            return FIXSource(server, tap: recorder?.tap(server.venue, venue: server.venue, settings: settings) ?? .none)
        }
        return sources
    }

    // MARK: Listening

    private func listen(_ inherited: inout Inheritance) throws(TransportError) {
        let tls =
            configuration.tls.isEnabled
            ? TLSSettings(
                certificatePath: configuration.tls.certificateFile,
                keyPath: configuration.tls.keyFile,
                ocspResponsePath: configuration.tls.ocspFile.isEmpty ? nil : configuration.tls.ocspFile
            ) : nil
        var web = ListenerSettings(
            host: configuration.listen.host,
            port: UInt16(configuration.listen.port),
            tag: ClientLoop.ListenerTag.web.rawValue,
            tls: tls
        )
        web.headerTimeoutSeconds = configuration.transport.headerTimeoutSeconds
        let hasClients = if case .record = purpose { false } else { true }
        if hasClients { try listen("web", web, on: loops, &inherited) }
        let admin = ListenerSettings(
            host: configuration.admin.host,
            port: UInt16(configuration.admin.port),
            tag: ClientLoop.ListenerTag.admin.rawValue
        )
        try listen("admin", admin, on: Array(loops.prefix(1)), &inherited)
        guard let feedLoop, let feed else { return }
        // A tag is one byte, and the last is the feed's own.
        if let place = feed.sources.firstIndex(where: { $0 is TCPSource }), place < Int(FeedLoop.feedOutTag) {
            let source = configuration.sources.tcp
            let tcp = ListenerSettings(
                host: source.host,
                port: UInt16(source.port),
                tag: UInt8(place),
                kind: .rawTCP,
                tls: ownFeedTLS(source.certificateFile, source.keyFile, source.clientCaFile)
            )
            try listen("tcp", tcp, on: [feedLoop], &inherited)
        }
        guard configuration.feedOut.enabled else { return }
        let out = configuration.feedOut
        let settings = ListenerSettings(
            host: out.host,
            port: UInt16(out.port),
            tag: FeedLoop.feedOutTag,
            kind: .rawTCP,
            tls: ownFeedTLS(out.certificateFile, out.keyFile, out.clientCaFile)
        )
        try listen("feedOut", settings, on: [feedLoop], &inherited)
    }

    /// Opens a socket on each loop, or takes those of the hub before this one.
    private func listen(
        _ name: String,
        _ given: ListenerSettings,
        on loops: [IOLoop],
        _ inherited: inout Inheritance
    ) throws(TransportError) {
        var settings = given
        let taken = inherited.take(name, host: given.host, port: Int(given.port))
        var sockets = (taken?.descriptors ?? [])[...]
        if let taken { settings.port = UInt16(taken.boundPort) }
        for loop in loops {
            settings.adoptDescriptor = sockets.popFirst()
            settings.port = try loop.listen(settings)
        }
        // That hub had more loops: connections wait at each of its sockets.
        for (place, socket) in sockets.enumerated() {
            settings.adoptDescriptor = socket
            try loops[place % loops.count].listen(settings)
        }
        listeners.append((name, address(settings.host, settings.port)))
        bound.append(
            BoundListener(
                name: name,
                tag: settings.tag,
                host: given.host,
                port: Int(given.port),
                boundPort: Int(settings.port),
                loops: loops
            )
        )
    }

    private func ownFeedTLS(_ certificate: String, _ key: String, _ clientAuthority: String) -> TLSSettings? {
        guard !certificate.isEmpty else { return nil }
        return TLSSettings(
            certificatePath: certificate,
            keyPath: key,
            clientAuthoritiesPath: clientAuthority.isEmpty ? nil : clientAuthority
        )
    }

    private func address(_ host: String, _ port: UInt16) -> String {
        host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    }

    /// Frees loops that never served.
    private func discard() {
        for loop in loops + [feedLoop].compactMap(\.self) {
            loop.requestStop()
            loop.run()
        }
        loops = []
        feedLoop = nil
    }

    // MARK: Life

    func start() {
        guard let feedLoop, let feed else { return }
        health.setPhase(.serving)
        candleThread?.start()
        recorder?.start()
        // Before any thread runs, so that the first client finds the instruments that are known from the start.
        feed.start(on: feedLoop)
        for loop in loops {
            loop.wake()
            let name = "io\(loop.index)"
            threads.append(JoinableThread(name: name) { loop.run() })
        }
        threads.append(
            JoinableThread(name: "feed") { feedLoop.run() }
        )
    }

    /// Ends everything in order: sources first, then clients with 3001; returns when every thread has ended.
    ///
    /// - Parameter hasSuccessor: whether another hub has taken over, and keeps what there is to keep; the threads may stand still.
    func stop(hasSuccessor: Bool = false) {
        health.setPhase(.draining)
        recorder?.close()
        if let feedLoop { feed?.requestStop(of: feedLoop) }
        for (handler, loop) in zip(clientLoops, loops) {
            handler.requestLeave(of: loop, hasSuccessor: hasSuccessor)
        }
        if hasSuccessor { release() }
        for thread in threads { thread.join() }
        threads = []
        guard !hasSuccessor else {
            recorder?.stop()
            return
        }
        // No thread touches the feed any more.
        feed?.publisher.showCandles()
        candleThread?.stop()
        // Behind the feed thread, so that its last records are in the last file.
        recorder?.stop()
    }

    /// Takes over what can be changed while running.
    func reload(_ configuration: Configuration) {
        log.setLevel(configuration.logging.level)
        health.setStall(ms: configuration.diagnostics.loopStallMs)
        reloads.publish(ReloadedSettings(configuration))
        for loop in loops { loop.wake() }
        // The files may be new ones under the same names.
        for loop in loops + [feedLoop].compactMap(\.self) { loop.requestCertificates() }
    }

    /// Whether every thread has shown life of late.
    var isAlive: Bool { health.report(.live, isVerbose: false, atNs: HubClock.monotonicNs).status == 200 }
}

private func coreCount() -> Int {
    Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))
}

extension TransportError {
    /// What is wrong and what to do, in one line.
    var advice: String {
        switch self {
        case .portBusy(let host, let port):
            "port \(port) of \(host) is in use; end what listens there, or choose another with --set listen.port=0, "
                + "admin.port, sources.tcp.port or feedOut.port"
        case .address(let host):
            "\(host) is no address of this machine; write one in numbers, such as 127.0.0.1 or 0.0.0.0"
        case .certificate(let path, let keyPath, let message):
            "the certificate \(path) with the key \(keyPath) cannot be used (\(message)); "
                + "Scripts/dev-certificate makes a pair for this machine"
        case .context(let message):
            "libwebsockets does not start (\(message)); run Scripts/setup"
        case .system(let operation, let code):
            "cannot \(operation): \(String(cString: strerror(code)))"
        }
    }
}
