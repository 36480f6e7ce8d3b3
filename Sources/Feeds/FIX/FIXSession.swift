public import Market

/// The life of a FIX session with a venue: connecting, logging on, subscribing, keeping numbers and heartbeats, coming back.
///
/// It takes events with their time and says what to do; whoever owns the socket does it. Every connection begins both counts
/// of messages anew (141=Y), as nothing of before is of use to market data. A hole in the venue's count is asked for again,
/// and what comes meanwhile is left to be sent again too; where the venue fills it with nothing, the books begin anew.
/// Source: FIX Trading Community, "FIX Session Layer".
public struct FIXSession: Sendable {
    public enum Event: Hashable, Sendable {
        case start
        /// The socket is open.
        case connected
        /// The socket is gone, or could not be opened.
        case closed
        /// The time of the last ``Effect/wait(untilNs:)`` has come.
        case timer
        /// The feed wants something.
        case demanded(FeedAction.Demand)
        case stop
    }

    public enum Effect: Hashable, Sendable {
        case connect
        case send([UInt8])
        case close
        /// The books of this connection are no longer followed: tell the feed.
        case lost(MarketStatus.Reason)
        /// The venue said something that an operator should know.
        case report(String)
        /// Call with ``Event/timer`` then; replaces what was asked before.
        case wait(untilNs: Int64)
    }

    /// Names and habits of both sides.
    public struct Settings: Sendable {
        /// `FIX.4.4`, or `FIXT.1.1` with ``applicationVersion``.
        public var version = "FIX.4.4"
        /// DefaultApplVerID (1137): 9 is FIX 5.0 SP2; nil for versions before 5.0.
        public var applicationVersion: String?
        public var sender: String
        public var target: String
        public var username: String?
        public var password: String?
        public var heartbeatSeconds = 30
        public var connectMostNs: Int64 = 10_000_000_000
        public var logonMostNs: Int64 = 10_000_000_000
        /// A hole in the venue's count that is not filled for longer ends the connection.
        public var fillMostNs: Int64 = 10_000_000_000
        /// The first pause after a loss, and the longest.
        public var pauseLeastNs: Int64 = 500_000_000
        public var pauseMostNs: Int64 = 60_000_000_000
        /// A session up for this long makes the next pause the first again.
        public var steadyNs: Int64 = 30_000_000_000
        /// The least time between two requests of ours.
        public var sendEveryNs: Int64 = 0
        /// The least time between two requests for one instrument's book.
        public var resubscribeEveryNs: Int64 = 5_000_000_000
        /// Requests waiting to be sent; with more the connection is given up.
        public var outboxMost = 10_000

        public init(sender: String, target: String) {
            self.sender = sender
            self.target = target
        }
    }

    public enum State: Hashable, Sendable {
        case idle
        case connecting
        /// Open, the answer to our logon is awaited.
        case loggingOn
        case live
        case pausing
        case stopped
    }

    public internal(set) var state = State.idle
    /// Sessions lost in a row without one that stayed.
    public private(set) var losses = 0
    /// How often the venue may be connected to, and when it is left alone; by the clock of the events.
    public var gate: VenueGate

    let settings: Settings
    private let dialect: FIXMarketDataDialect
    private let subscription: VenueSubscription
    /// This session was up for ``Settings/steadyNs``.
    private var isSteady = false
    private var enteredNs: Int64 = 0
    var heardNs: Int64 = 0
    private var sentNs: Int64 = 0
    private var pauseUntilNs: Int64 = 0
    /// A test request of ours waits for an answer.
    private var isTested = false
    /// Both sides' heartbeats, as the venue confirmed them.
    var heartbeatNs: Int64
    /// The number of our next message, and of the venue's.
    var nextOut: UInt64 = 1
    var nextIn: UInt64 = 1
    /// Numbers below this one are awaited again; 0 when none are.
    var fillsUntil: UInt64 = 0
    var fillsSinceNs: Int64 = 0
    /// Something in a hole was not sent again.
    var hasMissed = false
    /// The number of our first request for market data.
    private var firstRequest: UInt64 = 0
    private var outbox: [String] = []
    /// When each instrument's book was last asked for again, and what waits to ask for it.
    private var resubscriptions: [String: Resubscription] = [:]
    private var sendFromNs: Int64 = .min
    private var waitUntilNs: Int64 = .max

    private struct Resubscription: Sendable {
        var dueNs: Int64
        var frames: [String]?
    }

    /// Without instruments in the subscription nothing is asked for: the venue sends what it sends by itself.
    public init(
        _ dialect: FIXMarketDataDialect,
        subscription: VenueSubscription,
        settings: Settings,
        gate: VenueGate = VenueGate()
    ) {
        self.dialect = dialect
        self.gate = gate
        self.subscription = subscription
        self.settings = settings
        heartbeatNs = Int64(settings.heartbeatSeconds) * 1_000_000_000
    }

    /// Takes an event.
    ///
    /// - Parameters:
    ///   - event: what happened.
    ///   - now: nanoseconds since 1970 UTC of a clock that never goes back; messages bear it.
    ///   - random: a random number, for the pause after a loss.
    ///   - effects: gets what to do, in order.
    public mutating func handle(_ event: Event, atNs now: Int64, random: UInt64, into effects: inout [Effect]) {
        guard state != .stopped else { return }
        switch event {
        case .start: if state == .idle { connect(now, &effects) }
        case .connected: if state == .connecting { logOn(now, &effects) }
        case .closed: if state != .idle && state != .pausing { lose(.connectionLost, now, random, &effects) }
        case .timer: waitUntilNs = .max
        case .demanded(let demand): take(demand, now, random, &effects)
        case .stop: return stop(now, &effects)
        }
        act(now, random, &effects)
    }

    /// Takes a message that the socket brought, whole as ``FIXFraming`` cuts it.
    ///
    /// - Returns: whether the message is the feed's to read; it is not when it came before, when it has no place in the count,
    ///   or when it is of the session alone.
    public mutating func receive(
        _ message: UnsafeRawBufferPointer,
        atNs now: Int64,
        random: UInt64,
        into effects: inout [Effect]
    ) -> Bool {
        guard state == .loggingOn || state == .live else { return false }
        let isForFeed = take(message, now, random, &effects)
        act(now, random, &effects)
        return isForFeed
    }

    // MARK: Coming and going

    private mutating func connect(_ now: Int64, _ effects: inout [Effect]) {
        if let later = gate.admitConnect(atNs: now) {
            state = .pausing
            pauseUntilNs = later
            return
        }
        state = .connecting
        enteredNs = now
        effects.append(.connect)
    }

    private mutating func logOn(_ now: Int64, _ effects: inout [Effect]) {
        state = .loggingOn
        (enteredNs, heardNs, isTested) = (now, now, false)
        (nextOut, nextIn, fillsUntil, hasMissed, firstRequest) = (1, 1, 0, false, 0)
        heartbeatNs = Int64(settings.heartbeatSeconds) * 1_000_000_000
        var body = "35=A\u{1}98=0\u{1}108=\(settings.heartbeatSeconds)\u{1}141=Y\u{1}"
        if let name = settings.username { body += "553=\(name)\u{1}" }
        if let password = settings.password { body += "554=\(password)\u{1}" }
        if let version = settings.applicationVersion { body += "1137=\(version)\u{1}" }
        send(body, now, &effects)
    }

    /// The venue let us in.
    mutating func begin(_ now: Int64) {
        state = .live
        isSteady = false
        enteredNs = now
        outbox = dialect.subscribeFrames(for: subscription)
        sendFromNs = now
    }

    /// Messages were lost for good: all books begin anew, in a new session where this one was asked for nothing.
    mutating func beginAnew(_ now: Int64, _ random: UInt64, _ effects: inout [Effect]) {
        guard !subscription.rawSymbols.isEmpty else { return giveUp(.gap, now, random, &effects) }
        effects.append(.lost(.gap))
        resubscribeAll()
    }

    /// Asks for all instruments again.
    mutating func resubscribeAll() {
        outbox = subscription.rawSymbols.flatMap { dialect.resubscribeFrames(rawSymbol: $0) }
    }

    /// Whether the venue did not hear a request for market data when it asks again for our messages from `number` on.
    func hasRequest(from number: UInt64) -> Bool { firstRequest > 0 && nextOut > number }

    mutating func lose(
        _ reason: MarketStatus.Reason,
        _ now: Int64,
        _ random: UInt64,
        _ effects: inout [Effect]
    ) {
        // A session that stayed for long and ends is no sign of trouble.
        if state == .live, now - enteredNs >= settings.steadyNs { losses = 0 } else { gate.failed(atNs: now) }
        if state == .live { effects.append(.lost(reason)) }
        outbox = []
        resubscriptions = [:]
        // 2^20 pauses are far above the longest.
        let pause = min(settings.pauseMostNs, settings.pauseLeastNs << Int64(min(losses, 20)))
        let half = max(1, pause / 2)
        pauseUntilNs = now + half + Int64(random % UInt64(half))
        losses += 1
        state = .pausing
    }

    mutating func giveUp(
        _ reason: MarketStatus.Reason,
        _ now: Int64,
        _ random: UInt64,
        _ effects: inout [Effect]
    ) {
        effects.append(.close)
        lose(reason, now, random, &effects)
    }

    /// Tells the venue why it is left, then leaves.
    mutating func refuse(
        _ reason: String,
        _ now: Int64,
        _ random: UInt64,
        _ effects: inout [Effect]
    ) {
        send("35=5\u{1}58=\(reason)\u{1}", now, &effects)
        effects.append(.report(reason))
        giveUp(.venueRequest, now, random, &effects)
    }

    private mutating func stop(_ now: Int64, _ effects: inout [Effect]) {
        if state == .live {
            send("35=5\u{1}", now, &effects)
            effects.append(.lost(.connectionLost))
        }
        if state != .idle && state != .pausing { effects.append(.close) }
        state = .stopped
    }

    // MARK: What the feed wants

    private mutating func take(
        _ demand: FeedAction.Demand,
        _ now: Int64,
        _ random: UInt64,
        _ effects: inout [Effect]
    ) {
        guard state == .live else { return }
        switch demand {
        case .resubscribe(let rawSymbol, let frames):
            // One that waits already is enough; as many entries as the feed follows instruments.
            resubscriptions[rawSymbol, default: Resubscription(dueNs: now)].frames = frames
        case .send(let text): outbox.append(text)
        case .reconnect(let reason): giveUp(reason, now, random, &effects)
        case .fetchSnapshot: break
        case .report(let refusal): effects.append(.report(refusal))
        }
    }

    // MARK: What is due

    private mutating func act(_ now: Int64, _ random: UInt64, _ effects: inout [Effect]) {
        switch state {
        case .connecting where now - enteredNs >= settings.connectMostNs,
            .loggingOn where now - enteredNs >= settings.logonMostNs:
            giveUp(.connectionLost, now, random, &effects)
        case .pausing where now >= pauseUntilNs: connect(now, &effects)
        case .live: keepAlive(now, random, &effects)
        default: break
        }
        let next = nextNs
        guard next != waitUntilNs, next != .max else { return }
        waitUntilNs = next
        effects.append(.wait(untilNs: next))
    }

    /// A fifth of the interval is for the way.
    private var silenceNs: Int64 { heartbeatNs + heartbeatNs / 5 }

    private mutating func keepAlive(_ now: Int64, _ random: UInt64, _ effects: inout [Effect]) {
        guard outbox.count <= settings.outboxMost else { return giveUp(.bufferOverflow, now, random, &effects) }
        guard fillsUntil == 0 || now - fillsSinceNs < settings.fillMostNs else {
            return giveUp(.gap, now, random, &effects)
        }
        if heartbeatNs > 0 {
            guard now - heardNs < 2 * silenceNs else { return giveUp(.silence, now, random, &effects) }
            if !isTested, now - heardNs >= silenceNs {
                isTested = true
                send("35=1\u{1}112=\(now)\u{1}", now, &effects)
            }
        }
        for (rawSymbol, waiting) in resubscriptions.sorted(by: { $0.key < $1.key }) where waiting.dueNs <= now {
            guard let frames = waiting.frames else {
                resubscriptions[rawSymbol] = nil
                continue
            }
            outbox += frames
            resubscriptions[rawSymbol] = Resubscription(dueNs: now + settings.resubscribeEveryNs)
        }
        while !outbox.isEmpty, now >= sendFromNs {
            if firstRequest == 0 { firstRequest = nextOut }
            send(outbox.removeFirst(), now, &effects)
            sendFromNs = now + settings.sendEveryNs
        }
        if heartbeatNs > 0, now - sentNs >= heartbeatNs { send("35=0\u{1}", now, &effects) }
    }

    private var nextNs: Int64 {
        switch state {
        case .idle, .stopped: return .max
        case .connecting: return enteredNs + settings.connectMostNs
        case .loggingOn: return enteredNs + settings.logonMostNs
        case .pausing: return pauseUntilNs
        case .live: break
        }
        var next = Int64.max
        if heartbeatNs > 0 {
            next = min(sentNs + heartbeatNs, heardNs + (isTested ? 2 * silenceNs : silenceNs))
        }
        if fillsUntil > 0 { next = min(next, fillsSinceNs + settings.fillMostNs) }
        for waiting in resubscriptions.values where waiting.frames != nil { next = min(next, waiting.dueNs) }
        return outbox.isEmpty ? next : min(next, sendFromNs)
    }

    mutating func hear(_ now: Int64) {
        (heardNs, isTested) = (now, false)
        guard state == .live, !isSteady, now - enteredNs >= settings.steadyNs else { return }
        isSteady = true
        gate.succeeded(atNs: now)
    }

    // MARK: Messages of ours

    /// Puts header and trailer around a body that begins with `35=`, and counts it.
    ///
    /// `number` is that of a message that fills a hole in our count; such a one bears the sign of a repetition.
    mutating func send(_ body: String, _ now: Int64, filling number: UInt64? = nil, _ effects: inout [Effect]) {
        let typeEnd = body.firstIndex(of: "\u{1}").map { body.index(after: $0) } ?? body.endIndex
        let time = FIXScanner.timestamp(ofNs: now)
        var fields =
            body[..<typeEnd] + "49=\(settings.sender)\u{1}56=\(settings.target)\u{1}34=\(number ?? nextOut)\u{1}"
        if number != nil { fields += "43=Y\u{1}122=\(time)\u{1}" }
        fields += "52=\(time)\u{1}" + body[typeEnd...]
        let head = Array("8=\(settings.version)\u{1}9=\(fields.utf8.count)\u{1}".utf8) + fields.utf8
        let sum = String(head.reduce(UInt8(0)) { $0 &+ $1 })
        let trailer = "10=" + String(repeating: "0", count: 3 - sum.utf8.count) + sum + "\u{1}"
        if number == nil { nextOut += 1 }
        sentNs = now
        effects.append(.send(head + trailer.utf8))
    }
}
