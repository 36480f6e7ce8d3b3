import Market

/// A place in the unbroken line of a source's events, as a client remembers it.
public struct Position: Hashable, Sendable {
    public var epoch: UInt64
    /// Of the last push that the client has, or of the subscription's beginning.
    public var sequence: UInt64

    public init(epoch: UInt64, sequence: UInt64) {
        self.epoch = epoch
        self.sequence = sequence
    }

    /// No position at all: no hub has the epoch 0.
    var isNone: Bool { epoch == 0 && sequence == 0 }
}

/// What became of a wish to go on from a position.
public struct Recovery: Hashable, Sendable {
    /// Why something is missing.
    public enum Failure: UInt8, Hashable, Sendable, CaseIterable {
        /// Another run of the hub numbered those events.
        case otherEpoch = 1
        /// What followed is not kept any more, or is more than one answer may hold.
        case tooOld = 2
        /// No push of this topic ended with that number; with several I/O loops another one may have told it.
        case unknownSequence = 3
        /// What is told by differences began anew since: the venue's book did, or the units changed.
        case beganAnew = 4
    }

    /// Nil when everything that was missed follows.
    public var failure: Failure?
    /// The first and last event that the client never hears of by themselves; nil where nobody can tell.
    public var missed: ClosedRange<UInt64>?

    public init(failure: Failure? = nil, missed: ClosedRange<UInt64>? = nil) {
        self.failure = failure
        self.missed = missed
    }

    public var isRecovered: Bool { failure == nil }
}

/// How clients are given what they missed, instead of everything anew.
extension Hub {
    /// Keeps what was pushed to a topic, for those who miss it; a window that is not there any more is in ``spareWindow``.
    mutating func remember(_ pushes: Range<Int>, of id: TopicID, in pass: Pass) {
        let key = topics[id.index].key
        guard settings.recentPushesMost > 0, key.isRepeated else { return }
        for index in pushes {
            let push = pass.pushes[index]
            var levels: ArraySlice<LevelChange> = []
            if case .bookDelta = push.payload {
                levels = pass.levels[Int(push.levels.lowerBound)..<Int(push.levels.upperBound)]
            }
            let window = key.view.delivery == .conflate ? spareWindow : BookWindow()
            topics[id.index].newestEntry = recent.append(push, levels, before: topics[id.index].newestEntry) {
                window.quantity($0.side, at: $0.price)
            }
        }
    }

    /// Appends pushes for one session alone that bring it from `position` to the topic's last push, if that can be.
    ///
    /// - Returns: the pushes, and whether they are all that was missed; none otherwise.
    mutating func recover(
        _ id: TopicID,
        from position: Position,
        _ session: SessionID,
        _ place: Int,
        into pass: inout Pass
    ) -> (Range<Int>, Recovery) {
        let start = pass.pushes.count
        let (last, oldUnitsUntil) = (topics[id.index].last.sequence, topics[id.index].oldUnitsUntil)
        guard position.epoch == epoch else { return (start..<start, Recovery(failure: .otherEpoch)) }
        guard position.sequence <= last else { return (start..<start, Recovery(failure: .unknownSequence)) }
        guard oldUnitsUntil == 0 || position.sequence > oldUnitsUntil else {
            let missed = position.sequence < last ? (position.sequence + 1)...last : nil
            return (start..<start, Recovery(failure: .beganAnew, missed: missed))
        }
        guard position.sequence < last else { return (start..<start, Recovery()) }
        if topics[id.index].key.view.channel == .book, mayWait(id, of: session, in: pass) {
            // The rest comes when there is room for it, as to a client that was slow.
            topics[id.index].subscribers[place].seen = position.sequence
            topics[id.index].behindCount += 1
            sessions[session.index].behindCount += 1
            return (start..<start, Recovery())
        }
        let failure: Recovery.Failure
        do throws(RecentPushes.Break) {
            if try append(since: position.sequence, of: id, into: &pass) {
                return (start..<pass.pushes.count, Recovery())
            }
            failure = .beganAnew
        } catch {
            switch error {
            case .tooOld: failure = .tooOld
            case .unknown: failure = .unknownSequence
            }
        }
        return (start..<start, Recovery(failure: failure, missed: (position.sequence + 1)...stateSequence(of: id)))
    }

    /// Appends what a topic's view tells of everything behind `sequence`, which was the end of a push.
    ///
    /// - Returns: false when only the whole can be told, because it began anew in between; nothing was appended.
    private func append(
        since sequence: UInt64,
        of id: TopicID,
        into pass: inout Pass
    ) throws(RecentPushes.Break) -> Bool {
        let (view, last) = (topics[id.index].key.view, topics[id.index].last)
        switch (view.channel, view.delivery) {
        case (.book, .latest), (.book, .conflate):
            appendBook(since: sequence, of: id, into: &pass)
            return true
        case (.ticker, .conflate), (.ticker, .latest), (.trades, .latest), (.candles, .latest), (.marketData, _):
            // A whole value makes up for all that came before it, whoever told that.
            guard let value = topics[id.index].value else { return false }
            append(value, last, since: sequence, of: id, into: &pass)
            return true
        case (.trades, .conflate):
            let chain = try recent.chain(to: topics[id.index].newestEntry, behind: sequence, most: room(in: pass))
            guard let sum = chain.reduce(into: TradeAggregate?.none, { $0.add($1) }) else { return false }
            let payload = chain.count == 1 ? chain[0].payload : .tradeAggregate(sum)
            append(payload, last, since: sequence, of: id, into: &pass)
            return true
        case (.candles, .conflate):
            let chain = try recent.chain(to: topics[id.index].newestEntry, behind: sequence, most: room(in: pass))
            repeatPushes(Self.mergedCandles(chain), since: sequence, of: id, into: &pass)
            return true
        case (.trades, .every), (.ticker, .every), (.book, .every), (.candles, .every), (.status, _), (.orders, _):
            let chain = try recent.chain(to: topics[id.index].newestEntry, behind: sequence, most: room(in: pass))
            guard !chain.contains(where: \.isWhole) else { return false }
            repeatPushes(chain, since: sequence, of: id, into: &pass)
            return true
        }
    }

    /// Appends what makes the book that a push behind `sequence` begins with the one shown now: the net difference under CONFLATE,
    /// or the whole where that is shorter or the only way.
    func appendBook(since sequence: UInt64, of id: TopicID, into pass: inout Pass) {
        let (start, stamp) = (Int32(pass.levels.count), topics[id.index].last)
        guard topics[id.index].key.view.delivery == .conflate, appendNet(since: sequence, of: id, into: &pass) else {
            return appendWholeBook(stamp, previous: sequence, of: id, into: &pass)
        }
        let levels = start..<Int32(pass.levels.count)
        append(.bookDelta, stamp, since: sequence, of: id, levels: levels, into: &pass)
    }

    /// Appends all that a topic shows of a book.
    func appendWholeBook(_ stamp: Topic.Stamp, previous: UInt64, of id: TopicID, into pass: inout Pass) {
        let start = Int32(pass.levels.count)
        topics[id.index].window.levels(into: &pass.levels)
        let levels = start..<Int32(pass.levels.count)
        append(.bookSnapshot, stamp, since: previous, of: id, levels: levels, into: &pass)
    }

    /// Appends the levels of the net difference; false, and none, when the whole book is shorter or the only way.
    private func appendNet(since sequence: UInt64, of id: TopicID, into pass: inout Pass) -> Bool {
        // To sort what changed costs more than to copy what is: worth it only where little changed.
        let most = min(max(64, topics[id.index].window.levelCount / 2), settings.stateLevelsMost)
        let chain = Result { () throws(RecentPushes.Break) in
            try recent.chain(to: topics[id.index].newestEntry, behind: sequence, most: most)
        }
        guard case .success(let entries) = chain, !entries.contains(where: \.isWhole) else { return false }
        let stepCount = entries.reduce(0) { $0 + $1.stepCount }
        guard stepCount <= most else { return false }
        let start = pass.levels.count
        recent.appendNet(of: entries, stepCount, into: &pass.levels)
        guard pass.levels.count - start <= topics[id.index].window.levelCount else {
            pass.levels.removeSubrange(start...)
            return false
        }
        return true
    }

    /// The closed ones and the newest; what is left out leaves its mark of a gap to the next.
    private static func mergedCandles(_ chain: [RecentPushes.Entry]) -> [RecentPushes.Entry] {
        var (told, hasGap): ([RecentPushes.Entry], Bool) = ([], false)
        for (index, entry) in chain.enumerated() {
            hasGap = hasGap || entry.stamp.flags.contains(.gapBefore)
            guard entry.isClosedCandle || index == chain.count - 1 else { continue }
            told.append(entry)
            if hasGap { told[told.count - 1].stamp.flags.insert(.gapBefore) }
            hasGap = false
        }
        return told
    }

    /// How much more one answer may hold.
    private func room(in pass: Pass) -> Int {
        max(0, settings.stateLevelsMost - pass.pushes.count - pass.levels.count - pass.orders.count)
    }

    private func repeatPushes(_ chain: [RecentPushes.Entry], since: UInt64, of id: TopicID, into pass: inout Pass) {
        var previous = since
        for entry in chain {
            let start = Int32(pass.levels.count)
            recent.forEachStep(of: entry) { pass.levels.append($0.change) }
            let levels = start..<Int32(pass.levels.count)
            pass.pushes.append(push(entry.payload, entry.stamp, previous: previous, of: id, levels: levels))
            pass.pushes[pass.pushes.count - 1].checksum = entry.checksum
            previous = entry.stamp.sequence
        }
    }

    private func append(
        _ payload: Push.Payload,
        _ stamp: Topic.Stamp,
        since sequence: UInt64,
        of id: TopicID,
        levels: Range<Int32> = 0..<0,
        into pass: inout Pass
    ) {
        pass.pushes.append(push(payload, stamp, previous: sequence, of: id, levels: levels))
        switch payload {
        case .bookSnapshot, .bookDelta: pass.pushes[pass.pushes.count - 1].checksum = topics[id.index].window.checksum
        default: break
        }
    }

    // MARK: Resync

    /// Tells a session anew what it listens to, without the topics changing for anyone else.
    mutating func resync(_ request: ResyncRequest, _ id: SessionID, into pass: inout Pass) -> Answer {
        guard request.topics.count <= settings.symbolsPerRequestMost else {
            return .refused(
                Refusal(.tooManySymbols, "At most \(settings.symbolsPerRequestMost) topics are allowed in one request.")
            )
        }
        let start = Int32(pass.order.count)
        var resynced: [TopicSequence] = []
        var told: Set<TopicID> = []
        for topic in request.topics where told.insert(topic).inserted {
            guard let index = sessions[id.index].places[topic].map(Int.init) else { continue }
            let place = Int(sessions[id.index].subscriptions[index].place)
            endMissing(place, of: topic, slot: id.slot)
            tellState(of: topic, id, place, into: &pass)
            resynced.append(TopicSequence(topic: topic, sequence: stateSequence(of: topic)))
        }
        let end = Int32(pass.order.count)
        if end > start { pass.shares.append(Pass.Share(session: id, range: start..<end)) }
        guard !resynced.isEmpty else {
            return .refused(
                Refusal(.notSubscribed, "None of these topics is subscribed to; the subscriptions show what is.")
            )
        }
        return .resynced(resynced)
    }

    /// The number that the state has which is told now: single orders are told as they are, not as of the last push.
    private func stateSequence(of id: TopicID) -> UInt64 {
        let key = topics[id.index].key
        let last = topics[id.index].last.sequence
        return key.view.channel == .orders ? max(last, states[key.instrument.index].ordersStamp.sequence) : last
    }

    // MARK: Topics that nobody listens to

    /// Ends topics that nobody listens to when they have waited long enough for somebody to come back.
    ///
    /// To be called some times a second, with the clock of ``pass(atNs:into:)``.
    public mutating func endLingering(atNs now: Int64) {
        nowNs = now
        // All at once: each by itself would move the rest.
        var count = 0
        while count < lingering.count,
            lingering[count].untilNs <= now || lingeringCount > settings.lingeringMost
                || lingering.count - count > 4 * settings.lingeringMost
        {
            endIfLingering(lingering[count])
            count += 1
        }
        lingering.removeFirst(count)
    }

    /// Makes room for another topic, if one is kept that nobody listens to.
    mutating func endOldestLingering() {
        var count = 0
        while count < lingering.count {
            count += 1
            if endIfLingering(lingering[count - 1]) { break }
        }
        lingering.removeFirst(count)
    }

    /// Ends a topic unless somebody came back, or it has a later turn.
    @discardableResult
    private mutating func endIfLingering(_ one: (topic: TopicID, untilNs: Int64)) -> Bool {
        guard topics[one.topic.index].lingersUntilNs == one.untilNs else { return false }
        endLingering(of: one.topic)
        endTopic(one.topic)
        return true
    }

    /// Somebody listens again, or nobody will.
    mutating func endLingering(of id: TopicID) {
        guard topics[id.index].lingersUntilNs != nil else { return }
        topics[id.index].lingersUntilNs = nil
        lingeringCount -= 1
    }

    /// Keeps a topic that lost its last subscriber for a while.
    ///
    /// Only as many of an instrument's as one session may hold: each costs work at every event.
    mutating func linger(_ id: TopicID) {
        let key = topics[id.index].key
        guard settings.lingerNs > 0, key.mayLinger,
            states[key.instrument.index].topics(of: key.view.channel).count <= settings.viewsMost
        else { return endTopic(id) }
        let untilNs = nowNs + settings.lingerNs
        topics[id.index].lingersUntilNs = untilNs
        lingeringCount += 1
        lingering.append((id, untilNs))
    }
}

extension RecentPushes {
    /// Appends what several changes of a book come to, in the order of a difference: bids, then asks, each best first.
    ///
    /// Costs O(*n* log *n*) in `stepCount`, the number of their levels.
    func appendNet(of chain: [Entry], _ stepCount: Int, into levels: inout [LevelChange]) {
        var steps: [(step: Step, number: Int)] = []
        steps.reserveCapacity(stepCount)
        for entry in chain { forEachStep(of: entry) { steps.append(($0, steps.count)) } }
        steps.sort { one, next in
            let (a, b) = (one.step.change, next.step.change)
            if a.side != b.side { return a.side == .bid }
            if a.price != b.price { return (a.price > b.price) == (a.side == .bid) }
            return one.number < next.number
        }
        var first = 0
        while first < steps.count {
            let (change, old) = (steps[first].step.change, steps[first].step.old)
            var last = first
            while last + 1 < steps.count, steps[last + 1].step.change.isOfLevel(change) { last += 1 }
            if steps[last].step.change.quantity != old { levels.append(steps[last].step.change) }
            first = last + 1
        }
    }
}

extension Topic.Key {
    /// Whether who comes back is told anything again: of all other topics the instrument's state says everything.
    var mayLinger: Bool { isRepeated && format == .enhanced }

    /// Whether what was pushed is ever told again: to who comes back, or was slow with a book.
    ///
    /// Of all others the newest value says everything.
    fileprivate var isRepeated: Bool {
        switch (format, view.channel, view.delivery) {
        case (_, .book, .conflate): true
        case (.legacy, _, _): false
        case (.enhanced, _, .every), (.enhanced, .trades, .conflate), (.enhanced, .candles, .conflate): true
        case (.enhanced, _, _): false
        }
    }
}

extension LevelChange {
    fileprivate func isOfLevel(_ other: LevelChange) -> Bool { side == other.side && price == other.price }
}

extension RecentPushes.Entry {
    /// Whether it told everything anew; what it told is not kept.
    fileprivate var isWhole: Bool {
        switch payload {
        case .bookSnapshot, .orderSnapshot: true
        default: false
        }
    }

    fileprivate var isClosedCandle: Bool {
        if case .candle(let candle) = payload { candle.isClosed } else { false }
    }
}

extension TradeAggregate? {
    fileprivate mutating func add(_ entry: RecentPushes.Entry) {
        switch entry.payload {
        case .trade(let trade): add(trade, entry.stamp.flags)
        case .tradeAggregate(let more): add(more)
        default: break
        }
    }
}
