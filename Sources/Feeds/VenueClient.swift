public import Market

/// The life of one connection to a venue: connecting, subscribing, keeping alive, asking for books, and coming back.
///
/// It takes events with their time and says what to do; whoever owns the socket does it. It comes back after a loss with
/// pauses that double, half of each at random so that many clients do not return at once; only a connection that stayed up
/// for a while makes the pauses short again.
public struct VenueClient: Sendable {
    public enum Event: Hashable, Sendable {
        case start
        /// The socket is open.
        case connected
        /// A frame came in, of whatever kind, a pong too.
        case heard
        /// The socket is gone, or could not be opened.
        case closed
        /// The time of the last ``Effect/wait(untilNs:)`` has come.
        case timer
        /// The feed wants something.
        case demanded(FeedAction.Demand)
        /// The answer to ``Effect/fetch(url:rawSymbol:)`` was handed to the feed.
        case fetched(rawSymbol: String)
        /// No usable answer came.
        case fetchFailed(rawSymbol: String)
        /// The venue answered that it was asked too often, or asks no more of this address, and maybe for how long.
        case fetchRefused(rawSymbol: String, retryAfterNs: Int64?)
        case stop
    }

    public enum Effect: Hashable, Sendable {
        case connect(url: String)
        case send(String)
        /// Send a WebSocket ping.
        case ping
        case fetch(url: String, rawSymbol: String)
        case close
        /// The venue will close this connection soon: open another beside it, and stop this one when that is complete.
        case renew
        /// The books of this connection are no longer followed: tell the feed.
        case lost(MarketStatus.Reason)
        /// Call with ``Event/timer`` then; replaces what was asked before.
        case wait(untilNs: Int64)
    }

    public struct Limits: Sendable {
        public var connectMostNs: Int64 = 10_000_000_000
        /// A connection is dead after this time without any frame; 0 leaves it to the venue's rules.
        public var silenceMostNs: Int64 = 0
        /// A connection is renewed after this time; 0 leaves it to the venue's rules.
        public var lifeMostNs: Int64 = 0
        public var fetchMostNs: Int64 = 15_000_000_000
        /// The first pause after a loss, and the longest.
        public var pauseLeastNs: Int64 = 500_000_000
        public var pauseMostNs: Int64 = 60_000_000_000
        /// A connection up for this long makes the next pause the first again.
        public var steadyNs: Int64 = 30_000_000_000
        /// The least time between two resubscriptions of one instrument.
        public var resubscribeEveryNs: Int64 = 5_000_000_000
        /// How much longer than its rules say a connection may stay for its successor to become complete.
        public var renewMostNs: Int64 = 300_000_000_000
        /// Frames waiting to be sent; with more the connection is given up.
        public var outboxMost = 10_000

        public init() {}
    }

    public enum State: Hashable, Sendable {
        case idle
        case connecting
        /// Open, nothing heard yet.
        case subscribing
        case live
        case pausing
        case stopped
    }

    public private(set) var state = State.idle
    /// Connections lost in a row without one that stayed.
    public private(set) var losses = 0

    private let dialect: any VenueDialect
    private let rules: VenueRules
    private let limits: Limits
    private let subscription: VenueSubscription
    private var enteredNs: Int64 = 0
    private var connectedNs: Int64 = 0
    private var isSteady = false
    private var isRenewing = false
    private var heardNs: Int64 = 0
    private var pingedNs: Int64 = 0
    private var pauseUntilNs: Int64 = 0
    private var outbox: [String] = []
    private var sendFromNs: Int64 = .min
    private var fetches: [Fetch] = []
    private var fetchFromNs: Int64 = .min
    private var resubscriptions: [Resubscription] = []
    private var waitUntilNs: Int64 = .max

    private struct Fetch: Sendable {
        var rawSymbol: String
        var url: String
        var dueNs: Int64
        var failures = 0
        /// When it was asked; nil while it waits.
        var askedNs: Int64?
    }

    private struct Resubscription: Sendable {
        var rawSymbol: String
        var lastNs: Int64
        var waitingFrames: [String]?
    }

    public init(_ dialect: any VenueDialect, subscription: VenueSubscription, limits: Limits = Limits()) {
        self.dialect = dialect
        self.subscription = subscription
        self.limits = limits
        var rules = dialect.rules
        if limits.silenceMostNs > 0 { rules.silenceMostNs = limits.silenceMostNs }
        if limits.lifeMostNs > 0 { rules.connectionLifeNs = limits.lifeMostNs }
        self.rules = rules
    }

    /// Takes an event.
    ///
    /// - Parameters:
    ///   - event: what happened.
    ///   - now: nanoseconds of a clock that never goes back.
    ///   - random: a random number, for the pause after a loss.
    ///   - gate: what all connections to the venue may do together.
    ///   - effects: gets what to do, in order.
    public mutating func handle(
        _ event: Event,
        atNs now: Int64,
        random: UInt64,
        gate: inout VenueGate,
        into effects: inout [Effect]
    ) {
        guard state != .stopped else { return }
        switch event {
        case .start: if state == .idle { connect(now, &gate, &effects) }
        case .connected: if state == .connecting { subscribe(now) }
        case .heard: hear(now, &gate)
        case .closed: if isOpen || state == .connecting { lose(.connectionLost, now, random, &gate, &effects) }
        case .timer: break
        case .demanded(let demand): take(demand, now, random, &gate, &effects)
        case .fetched(let rawSymbol): fetches.removeAll { $0.rawSymbol == rawSymbol && $0.askedNs != nil }
        case .fetchFailed(let rawSymbol): postpone(rawSymbol, now)
        case .fetchRefused(let rawSymbol, let retryAfterNs):
            postpone(rawSymbol, now)
            gate.failed(atNs: now, retryAfterNs: retryAfterNs ?? 60_000_000_000)
        case .stop: return stop(&effects)
        }
        act(now, random, &gate, &effects)
        if event == .timer { waitUntilNs = .max }
        let next = nextNs(now)
        // What is heard only moves the end of silence: a timer that comes too early asks again, and to move it with every
        // frame would cost more.
        if next < waitUntilNs || event != .heard && next != waitUntilNs && next != .max {
            waitUntilNs = next
            effects.append(.wait(untilNs: next))
        }
    }

    private var isOpen: Bool { state == .subscribing || state == .live }

    // MARK: Coming and going

    private mutating func connect(_ now: Int64, _ gate: inout VenueGate, _ effects: inout [Effect]) {
        if let later = gate.admitConnect(atNs: now) {
            state = .pausing
            pauseUntilNs = later
            return
        }
        state = .connecting
        enteredNs = now
        effects.append(.connect(url: dialect.url(for: subscription)))
    }

    private mutating func subscribe(_ now: Int64) {
        state = .subscribing
        (connectedNs, heardNs, pingedNs) = (now, now, now)
        (isSteady, isRenewing) = (false, false)
        outbox = dialect.subscribeFrames(for: subscription)
        sendFromNs = now
    }

    private mutating func hear(_ now: Int64, _ gate: inout VenueGate) {
        guard isOpen else { return }
        state = .live
        heardNs = now
        guard !isSteady, now - connectedNs >= limits.steadyNs else { return }
        isSteady = true
        losses = 0
        gate.succeeded(atNs: now)
    }

    private mutating func lose(
        _ reason: MarketStatus.Reason,
        _ now: Int64,
        _ random: UInt64,
        _ gate: inout VenueGate,
        _ effects: inout [Effect]
    ) {
        let wasOpen = isOpen
        // A connection that stayed for long and ends is no sign of trouble.
        if !wasOpen || !isSteady { gate.failed(atNs: now) }
        outbox = []
        fetches = []
        resubscriptions = []
        // 2^20 pauses are far above the longest.
        let pause = min(limits.pauseMostNs, limits.pauseLeastNs << Int64(min(losses, 20)))
        let half = max(1, pause / 2)
        pauseUntilNs = now + half + Int64(random % UInt64(half))
        losses += 1
        state = .pausing
        if wasOpen { effects.append(.lost(reason)) }
    }

    private mutating func giveUp(
        _ reason: MarketStatus.Reason,
        _ now: Int64,
        _ random: UInt64,
        _ gate: inout VenueGate,
        _ effects: inout [Effect]
    ) {
        effects.append(.close)
        lose(reason, now, random, &gate, &effects)
    }

    private mutating func stop(_ effects: inout [Effect]) {
        if isOpen || state == .connecting { effects.append(.close) }
        if isOpen { effects.append(.lost(.connectionLost)) }
        state = .stopped
    }

    // MARK: What the feed wants

    private mutating func take(
        _ demand: FeedAction.Demand,
        _ now: Int64,
        _ random: UInt64,
        _ gate: inout VenueGate,
        _ effects: inout [Effect]
    ) {
        guard isOpen else { return }
        switch demand {
        case .fetchSnapshot(let url, let rawSymbol):
            guard !fetches.contains(where: { $0.rawSymbol == rawSymbol && $0.askedNs == nil }) else { return }
            let isAsked = fetches.contains { $0.rawSymbol == rawSymbol }
            // The answer on its way was too old, or will be: not again at once.
            fetches.removeAll { $0.rawSymbol == rawSymbol }
            let dueNs = isAsked ? now + max(rules.snapshotEveryNs, 1_000_000_000) : now
            fetches.append(Fetch(rawSymbol: rawSymbol, url: url, dueNs: dueNs))
        case .resubscribe(let rawSymbol, let usual):
            let frames = dialect.resubscribeFrames(rawSymbol: rawSymbol, in: subscription) ?? usual
            if let index = resubscriptions.firstIndex(where: { $0.rawSymbol == rawSymbol }) {
                resubscriptions[index].waitingFrames = frames
            } else {
                let long = now - limits.resubscribeEveryNs
                resubscriptions.append(Resubscription(rawSymbol: rawSymbol, lastNs: long, waitingFrames: frames))
            }
        case .send(let text):
            // The venue waits for this and not for what else is to be sent.
            outbox.insert(text, at: 0)
        case .reconnect(let reason):
            giveUp(reason, now, random, &gate, &effects)
        case .report:
            break
        }
    }

    private mutating func postpone(_ rawSymbol: String, _ now: Int64) {
        guard let index = fetches.firstIndex(where: { $0.rawSymbol == rawSymbol && $0.askedNs != nil })
        else { return }
        fetches[index].failures += 1
        fetches[index].askedNs = nil
        let pause = min(limits.pauseMostNs, 1_000_000_000 << Int64(min(fetches[index].failures - 1, 20)))
        fetches[index].dueNs = now + pause
    }

    // MARK: What is due

    private mutating func act(
        _ now: Int64,
        _ random: UInt64,
        _ gate: inout VenueGate,
        _ effects: inout [Effect]
    ) {
        switch state {
        case .connecting where now - enteredNs >= limits.connectMostNs:
            giveUp(.connectionLost, now, random, &gate, &effects)
        case .pausing where now >= pauseUntilNs:
            connect(now, &gate, &effects)
        case .subscribing, .live:
            keepAlive(now, random, &gate, &effects)
        default:
            break
        }
    }

    private mutating func keepAlive(
        _ now: Int64,
        _ random: UInt64,
        _ gate: inout VenueGate,
        _ effects: inout [Effect]
    ) {
        guard now - heardNs < rules.silenceMostNs else { return giveUp(.silence, now, random, &gate, &effects) }
        if rules.connectionLifeNs > 0, now - connectedNs >= rules.connectionLifeNs {
            guard now - connectedNs < rules.connectionLifeNs + limits.renewMostNs else {
                return giveUp(.connectionLost, now, random, &gate, &effects)
            }
            if !isRenewing { effects.append(.renew) }
            isRenewing = true
        }
        for index in resubscriptions.indices where now - resubscriptions[index].lastNs >= limits.resubscribeEveryNs {
            guard let frames = resubscriptions[index].waitingFrames else { continue }
            outbox += frames
            resubscriptions[index].waitingFrames = nil
            resubscriptions[index].lastNs = now
        }
        let every = limits.resubscribeEveryNs
        resubscriptions.removeAll { $0.waitingFrames == nil && now - $0.lastNs >= every }
        guard outbox.count <= limits.outboxMost else { return giveUp(.bufferOverflow, now, random, &gate, &effects) }
        if rules.pingEveryNs > 0, now - pingedNs >= rules.pingEveryNs {
            pingedNs = now
            effects.append(rules.pingText.map { .send($0) } ?? .ping)
        }
        while !outbox.isEmpty, now >= sendFromNs {
            effects.append(.send(outbox.removeFirst()))
            sendFromNs = now + rules.sendEveryNs
        }
        for fetch in fetches {
            guard let askedNs = fetch.askedNs, now - askedNs >= limits.fetchMostNs else { continue }
            postpone(fetch.rawSymbol, now)
        }
        for index in fetches.indices where fetches[index].askedNs == nil && fetches[index].dueNs <= now {
            guard now >= fetchFromNs else { break }
            if let later = gate.admitFetch(atNs: now) {
                fetchFromNs = later
                break
            }
            fetches[index].askedNs = now
            fetchFromNs = now + rules.snapshotEveryNs
            effects.append(.fetch(url: fetches[index].url, rawSymbol: fetches[index].rawSymbol))
        }
    }

    /// When something is due next; `.max` for never.
    private func nextNs(_ now: Int64) -> Int64 {
        switch state {
        case .idle, .stopped: return .max
        case .connecting: return enteredNs + limits.connectMostNs
        case .pausing: return pauseUntilNs
        case .subscribing, .live: break
        }
        var next = heardNs + rules.silenceMostNs
        if rules.connectionLifeNs > 0 {
            next = min(next, connectedNs + rules.connectionLifeNs + (isRenewing ? limits.renewMostNs : 0))
        }
        if rules.pingEveryNs > 0 { next = min(next, pingedNs + rules.pingEveryNs) }
        if !outbox.isEmpty { next = min(next, sendFromNs) }
        for resubscription in resubscriptions where resubscription.waitingFrames != nil {
            next = min(next, resubscription.lastNs + limits.resubscribeEveryNs)
        }
        for fetch in fetches {
            next = min(next, fetch.askedNs.map { $0 + limits.fetchMostNs } ?? max(fetch.dueNs, fetchFromNs))
        }
        return next
    }
}
