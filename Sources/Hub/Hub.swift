public import Market

/// Who hears what: the sessions of one I/O loop, their subscriptions and the state of everything they listen to.
///
/// Pure: it is told of market events and requests and says, pass by pass, which pushes are to be encoded and who gets which.
/// The owner encodes each push once and sends each session's share as one message.
///
/// A session that its owner reports as blocked gets no pushes that may be conflated; once it is free,
/// ``catchUp(_:into:)`` gives it the newest state of what it missed. Pushes that must not be lost stand in its shares all the
/// same: the owner queues them up to a bound of its own.
public struct Hub: Sendable {
    /// Bounds on what clients may ask for.
    public struct Settings: Hashable, Sendable {
        /// Topics one session may listen to.
        public var subscriptionsMost: Int
        public var symbolsPerRequestMost: Int
        /// Topics all sessions of this hub together may listen to.
        public var topicsMost: Int
        /// Wildcards one session may hold.
        public var wildcardsMost: Int
        /// Views of one instrument that one session may hold on a channel: each costs work at every event.
        public var viewsMost: Int
        /// Book levels told to one session at a time that are nobody else's; the rest follows when those have been sent.
        public var stateLevelsMost: Int
        /// Pushes that are kept for those who miss them, over all topics; 0 for none.
        public var recentPushesMost: Int
        /// How long a topic is kept when its last subscriber lost its connection, so that it can come back and miss nothing.
        public var lingerNs: Int64
        /// Topics that are kept so at once; the oldest go.
        public var lingeringMost: Int

        public init(
            subscriptionsMost: Int = 10_000,
            symbolsPerRequestMost: Int = 1_000,
            topicsMost: Int = 200_000,
            wildcardsMost: Int = 100,
            viewsMost: Int = 32,
            stateLevelsMost: Int = 20_000,
            recentPushesMost: Int = 32_768,
            lingerNs: Int64 = 0,
            lingeringMost: Int = 10_000
        ) {
            self.subscriptionsMost = subscriptionsMost
            self.symbolsPerRequestMost = symbolsPerRequestMost
            self.topicsMost = topicsMost
            self.wildcardsMost = wildcardsMost
            self.viewsMost = viewsMost
            self.stateLevelsMost = stateLevelsMost
            self.recentPushesMost = recentPushesMost
            self.lingerNs = lingerNs
            self.lingeringMost = lingeringMost
        }
    }

    /// A client's subscriptions of one channel, for the answer that lists them.
    public struct Subscriptions: Hashable, Sendable {
        public var channel: Channel
        /// Wildcards as they were written, then names, in the order in which they were asked for.
        public var symbols: [String]

        public init(channel: Channel, symbols: [String]) {
            self.channel = channel
            self.symbols = symbols
        }
    }

    /// An instrument that joined a wildcard, to be told to a client that addresses topics by number.
    public struct Joined: Sendable {
        public var session: SessionID
        /// Of the request that asked for the wildcard.
        public var requestID: UInt32
        public var outcome: SymbolOutcome
    }

    public var settings: Settings
    /// Names the unbroken line of all sequences.
    public let epoch: UInt64
    public internal(set) var table = InstrumentTable()

    var states: [InstrumentState] = []
    var topics: [Topic] = []
    var freeTopics: [TopicID] = []
    var topicIDs: [Topic.Key: TopicID] = [:]
    var sessions: [Session] = []
    var freeSlots: [UInt32] = []
    public internal(set) var sessionCount = 0
    var fellBehind: [SessionID] = []
    var leftOutCounts = [Int](repeating: 0, count: Format.allCases.count)

    /// Topics with something to push, by interval class.
    var dirty: [[TopicID]] = Array(repeating: [], count: View.intervalsMs.count)
    /// When a class is due next; nil while nothing of it is dirty.
    var classDueNs: [Int64?] = Array(repeating: nil, count: View.intervalsMs.count)
    /// The end of the interval in which a class was last pushed: it is not due again before.
    var classFreeNs: [Int64] = Array(repeating: 0, count: View.intervalsMs.count)
    /// Trades that conflating sessions missed, by topic and session slot.
    var missed: [Missed: TradeAggregate] = [:]
    /// Who gets what in the running pass, and by slot how much each session gets.
    ///
    /// Empty and zero between passes.
    var deals: [Deal] = []
    var pairs: [(slot: UInt32, push: Int32)] = []
    var touched: [UInt32] = []
    var shareCounts: [Int32] = []
    /// Sessions that are blocked: while there are none, a topic's pushes go to all who listen without a look at each.
    var blockedCount = 0
    var spareWindow = BookWindow()
    var recent: RecentPushes
    /// Topics without subscribers, in the order in which they end; those that have some again are passed over.
    var lingering: [(topic: TopicID, untilNs: Int64)] = []
    /// Those of ``lingering`` that have none still.
    var lingeringCount = 0
    /// The clock as of the last pass.
    var nowNs: Int64 = 0

    /// Some pushes of the running pass that go to all who listen to a topic, or who is named with each.
    enum Deal: Sendable {
        case toAll(TopicID, pushes: Range<Int32>)
        case toSome(pairs: Range<Int>)
    }

    struct Missed: Hashable, Sendable {
        var topic: TopicID
        var slot: UInt32
    }

    public init(settings: Settings = Settings(), epoch: UInt64) {
        self.settings = settings
        self.epoch = epoch
        recent = RecentPushes(pushesMost: max(1, settings.recentPushesMost))
    }

    // MARK: Sessions

    public mutating func open(_ format: Format) -> SessionID {
        sessionCount += 1
        if let slot = freeSlots.popLast() {
            let generation = sessions[Int(slot)].generation &+ 1
            sessions[Int(slot)] = Session(generation: generation, format: format)
            return SessionID(slot: slot, generation: generation)
        }
        sessions.append(Session(generation: 1, format: format))
        shareCounts.append(0)
        return SessionID(slot: UInt32(sessions.count - 1), generation: 1)
    }

    /// Ends a session and all it listens to; one that ended already is left alone.
    public mutating func close(_ id: SessionID) {
        guard isOpen(id) else { return }
        while let last = sessions[id.index].subscriptions.indices.last {
            removeSubscription(at: last, of: id, isLost: true)
        }
        setBlocked(false, id)
        sessions[id.index].isOpen = false
        sessions[id.index].wildcards = []
        freeSlots.append(id.slot)
        sessionCount -= 1
    }

    public func isOpen(_ id: SessionID) -> Bool {
        id.index < sessions.count && sessions[id.index].generation == id.generation && sessions[id.index].isOpen
    }

    /// Pushes that were left out for clients that were behind, to be merged into what they get later.
    public func leftOutCount(_ format: Format) -> Int { leftOutCounts[Int(format.rawValue)] }

    /// Sessions of which something was left out for the first time since ``takeLeftOut(of:)``; each is told once.
    public mutating func takeFellBehind() -> [SessionID] {
        guard !fellBehind.isEmpty else { return [] }
        defer { fellBehind.removeAll(keepingCapacity: true) }
        return fellBehind.filter { isOpen($0) }
    }

    /// How many pushes were left out of what a session was told, once it has caught up; nil while it is behind, and when none was.
    public mutating func takeLeftOut(of id: SessionID) -> UInt64? {
        guard isOpen(id), !isBehind(id), sessions[id.index].leftOutCount > 0 else { return nil }
        defer { sessions[id.index].leftOutCount = 0 }
        return sessions[id.index].leftOutCount
    }

    /// Says whether a session's connection takes bytes at present.
    public mutating func setBlocked(_ isBlocked: Bool, _ id: SessionID) {
        guard isOpen(id), sessions[id.index].isBlocked != isBlocked else { return }
        sessions[id.index].isBlocked = isBlocked
        blockedCount += isBlocked ? 1 : -1
    }

    public func subscriptionCount(of id: SessionID) -> Int { isOpen(id) ? sessions[id.index].subscriptions.count : 0 }

    public var topicCount: Int { topicIDs.count }

    /// Everything a session listens to, by channel.
    public func subscriptions(of id: SessionID) -> [Subscriptions] {
        guard isOpen(id) else { return [] }
        var symbols: [Channel: [String]] = [:]
        for wildcard in sessions[id.index].wildcards {
            symbols[wildcard.view.channel, default: []].append(wildcard.pattern)
        }
        let named = sessions[id.index].subscriptions.lazy.filter { !$0.isFromWildcard }
        for subscription in named.sorted(by: { $0.number < $1.number }) {
            let channel = topics[subscription.topic.index].key.view.channel
            symbols[channel, default: []].append(subscription.symbol)
        }
        return Channel.allCases.compactMap { channel in
            guard let all = symbols[channel] else { return nil }
            var told: Set<String> = []
            return Subscriptions(channel: channel, symbols: all.filter { told.insert($0).inserted })
        }
    }

    /// The topics of a session that changed since it was last asked, each with its newest push, for a heartbeat.
    public mutating func changedTopics(of id: SessionID) -> [TopicSequence] {
        guard isOpen(id) else { return [] }
        var changed: [TopicSequence] = []
        for index in sessions[id.index].subscriptions.indices {
            let topic = sessions[id.index].subscriptions[index].topic
            let place = Int(sessions[id.index].subscriptions[index].place)
            guard !topics[topic.index].subscribers[place].isBehind else { continue }
            let sequence = topics[topic.index].last.sequence
            guard sequence != sessions[id.index].subscriptions[index].heartbeatSequence else { continue }
            sessions[id.index].subscriptions[index].heartbeatSequence = sequence
            changed.append(TopicSequence(topic: topic, sequence: sequence))
        }
        return changed
    }
}
