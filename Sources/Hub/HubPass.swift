public import Market

/// Passes: what changed since the last one, encoded once a topic, and who gets it.
extension Hub {
    /// When the next pass has something to do by the owner's clock; nil when nothing waits.
    ///
    /// Valid after ``pass(atNs:into:)``, until the next event.
    public var nextPassNs: Int64? { classDueNs.lazy.compactMap(\.self).min() }

    /// Appends the pushes that are due at `now` and each session's share of them.
    ///
    /// Costs O(changed topics + deliveries). `now` is any clock that does not go back; intervals are cut from its zero, so that
    /// all topics of one interval are due together and a client gets them in one message.
    public mutating func pass(atNs now: Int64, into pass: inout Pass) {
        nowNs = now
        for index in dirty.indices where !dirty[index].isEmpty {
            let dueNs = classDueNs[index] ?? max(Self.dueNs(class: index, after: now), classFreeNs[index])
            guard dueNs <= now else {
                classDueNs[index] = dueNs
                continue
            }
            classDueNs[index] = nil
            classFreeNs[index] = Self.dueNs(class: index, after: now + 1)
            for topic in dirty[index] { flush(topic, into: &pass) }
            dirty[index].removeAll(keepingCapacity: true)
        }
        deal(into: &pass)
    }

    /// Appends the newest state of what a session missed while it was blocked, or was not told yet when it subscribed.
    ///
    /// Stops when it has appended ``Settings/stateLevelsMost`` levels; while ``isBehind(_:)`` is true there is more.
    public mutating func catchUp(_ id: SessionID, into pass: inout Pass) {
        guard isOpen(id), sessions[id.index].behindCount > 0 else { return }
        let start = Int32(pass.order.count)
        for subscription in sessions[id.index].subscriptions {
            let place = Int(subscription.place)
            guard topics[subscription.topic.index].subscribers[place].isBehind else { continue }
            guard pass.levels.count + pass.orders.count < settings.stateLevelsMost else { break }
            for push in bringUp(place, of: subscription.topic, into: &pass) { pass.order.append(Int32(push)) }
        }
        let end = Int32(pass.order.count)
        if end > start { pass.shares.append(Pass.Share(session: id, range: start..<end)) }
    }

    /// Appends everything that waits of one instrument, due or not: its units are about to change, and what waits is in the old.
    public mutating func passAll(of id: InstrumentID, into pass: inout Pass) {
        let state = states[id.index]
        for list in [state.statuses, state.trades, state.tickers, state.books, state.candleTopics, state.orderTopics] {
            for topic in list where topics[topic.index].isDirty {
                clearDirty(topic)
                pushChanges(of: topic, into: &pass)
            }
        }
        deal(into: &pass)
    }

    /// Appends everything that waits, due or not: what is known is about to be handed on.
    public mutating func passAll(into pass: inout Pass) {
        for index in dirty.indices {
            for topic in dirty[index] { flush(topic, into: &pass) }
            dirty[index].removeAll(keepingCapacity: true)
            classDueNs[index] = nil
        }
        deal(into: &pass)
    }

    /// Whether a session has yet to be told the state of something it listens to.
    public func isBehind(_ id: SessionID) -> Bool { isOpen(id) && sessions[id.index].behindCount > 0 }

    private static func dueNs(class index: Int, after now: Int64) -> Int64 {
        let lengthNs = Int64(View.intervalsMs[index]) * 1_000_000
        guard lengthNs > 0 else { return now }
        return (now + lengthNs - 1) / lengthNs * lengthNs
    }

    // MARK: What is pushed

    private mutating func flush(_ id: TopicID, into pass: inout Pass) {
        let index = id.index
        guard topics[index].isDirty else { return }
        topics[index].dirtyPlace = -1
        pushChanges(of: id, into: &pass)
    }

    private mutating func pushChanges(of id: TopicID, into pass: inout Pass) {
        let index = id.index
        let first = pass.pushes.count
        let before = topics[index].last
        let view = topics[index].key.view
        let state = topics[index].key.instrument.index
        switch (view.channel, view.delivery) {
        case (.ticker, .conflate), (.ticker, .latest):
            guard let ticker = states[state].ticker else { return }
            if case .ticker(let old)? = topics[index].value, old == ticker { return }
            append(.ticker(ticker), states[state].tickerStamp, of: id, into: &pass)
        case (.book, .conflate), (.book, .latest):
            let start = Int32(pass.levels.count)
            let payload = topics[index].show(states[state].book, spare: &spareWindow, into: &pass.levels)
            guard let payload else { return }
            append(payload, states[state].bookStamp, of: id, levels: start..<Int32(pass.levels.count), into: &pass)
        case (.trades, .conflate) where view.intervalMs == 0: flushWaiting(of: id, into: &pass)
        case (.trades, .conflate):
            guard let aggregate = topics[index].aggregate, let trade = states[state].trade else { return }
            topics[index].aggregate = nil
            let payload: Push.Payload = aggregate.count == 1 ? .trade(trade) : .tradeAggregate(aggregate)
            append(payload, states[state].tradeStamp, of: id, into: &pass)
        case (.trades, .latest), (.marketData, .conflate), (.marketData, .latest):
            guard let trade = states[state].trade else { return }
            append(.trade(trade), states[state].tradeStamp, of: id, into: &pass)
        case (.trades, .every), (.ticker, .every), (.marketData, .every), (.candles, _), (.status, _), (.orders, _):
            flushWaiting(of: id, into: &pass)
        case (.book, .every):
            flushWaiting(of: id, into: &pass)
            topics[index].window.copy(topics[index].ahead)
        }
        assign(id, pushesFrom: first, before: before, into: &pass)
        // The units changed behind the last of what waited.
        if view.delivery == .every, topics[index].needsSnapshot { topics[index].hideBook() }
    }

    private mutating func flushWaiting(of id: TopicID, into pass: inout Pass) {
        let areOrders = topics[id.index].key.view.channel == .orders
        let base = Int32(areOrders ? pass.orders.count : pass.levels.count)
        pass.levels.append(contentsOf: topics[id.index].waitingLevels)
        topics[id.index].waitingLevels.removeAll(keepingCapacity: true)
        pass.orders.append(contentsOf: topics[id.index].waitingOrders)
        topics[id.index].waitingOrders.removeAll()
        for place in topics[id.index].waiting.indices {
            let waiting = topics[id.index].waiting[place]
            let levels = (waiting.levels.lowerBound + base)..<(waiting.levels.upperBound + base)
            append(waiting.payload, waiting.stamp, of: id, levels: levels, into: &pass)
            if let checksum = waiting.checksum { pass.pushes[pass.pushes.count - 1].checksum = checksum }
        }
        topics[id.index].waiting.removeAll(keepingCapacity: true)
    }

    /// Appends one push that follows the topic's last and becomes the last.
    private mutating func append(
        _ payload: Push.Payload,
        _ stamp: Topic.Stamp,
        of id: TopicID,
        levels: Range<Int32> = 0..<0,
        into pass: inout Pass
    ) {
        let previous = topics[id.index].last.sequence
        topics[id.index].last = stamp
        topics[id.index].value = stamp.sequence > topics[id.index].oldUnitsUntil ? payload : nil
        pass.pushes.append(push(payload, stamp, previous: previous, of: id, levels: levels))
    }

    func push(
        _ payload: Push.Payload,
        _ stamp: Topic.Stamp,
        previous: UInt64,
        of id: TopicID,
        levels: Range<Int32>
    ) -> Push {
        let key = topics[id.index].key
        // Under EVERY each event has its push; only a gap in the source itself may stand between two.
        let skipped = stamp.sequence > previous ? stamp.sequence - previous - 1 : 0
        var flags = stamp.flags
        switch payload {
        case .bookSnapshot, .orderSnapshot: flags.insert(.snapshot)
        case .bookDelta, .orderChange: flags.remove(.snapshot)
        case .tradeAggregate(let sum) where sum.isBehindGap: flags.insert(.gapBefore)
        default: break
        }
        flags.formUnion(doubt(about: key))
        return Push(
            topic: id,
            format: key.format,
            channel: key.view.channel,
            fields: key.view.fields,
            isImmediate: key.view.intervalMs == 0,
            instrument: key.instrument,
            sequence: stamp.sequence,
            previous: previous,
            skipped: skipped,
            eventNs: stamp.eventNs,
            receivedNs: stamp.receivedNs,
            flags: flags,
            payload: payload,
            levels: levels,
            checksum: nil
        )
    }

    /// What is known to be wrong with the present value of a book or price; whoever joins now is told at once.
    private func doubt(about key: Topic.Key) -> EventFlags {
        guard key.view.channel == .book || key.view.channel == .ticker else { return [] }
        return switch states[key.instrument.index].status.state {
        case .resyncing: .maybeBadBook
        case .stale, .disconnected: .stale
        case .connected, .live, .halted: []
        }
    }

    /// Notes who gets the pushes from `first` on.
    private mutating func assign(_ id: TopicID, pushesFrom first: Int, before: Topic.Stamp, into pass: inout Pass) {
        let end = pass.pushes.count
        guard end > first else { return }
        switch pass.pushes[end - 1].payload {
        case .bookSnapshot, .bookDelta: pass.pushes[end - 1].checksum = topics[id.index].window.checksum
        case .orderSnapshot, .orderChange: pass.pushes[end - 1].checksum = orderChecksum(of: id)
        default: break
        }
        remember(first..<end, of: id, in: pass)
        guard !topics[id.index].subscribers.isEmpty else {
            topics[id.index].aheadJoiners.removeAll()
            return takeBack(first..<end, from: &pass)
        }
        let isLossless = topics[id.index].isLossless
        if topics[id.index].key.view.channel == .candles, !isLossless {
            keepClosedCandles(first..<end, of: id, in: pass)
        }
        if topics[id.index].key.view.channel == .orders, topics[id.index].hasUnequalSubscribers {
            assignOrders(id, first..<end, into: pass)
        } else if isLossless || blockedCount == 0 && topics[id.index].behindCount == 0 {
            let pushCount = Int32(end - first)
            Self.count(pushCount, for: topics[id.index].subscribers, in: &shareCounts, touched: &touched)
            deals.append(.toAll(id, pushes: Int32(first)..<Int32(end)))
        } else {
            let firstPair = pairs.count
            assignOneByOne(id, first..<end, before: before, into: &pass)
            deals.append(.toSome(pairs: firstPair..<pairs.count))
        }
        if topics[id.index].behindCount == 0 { topics[id.index].closedCandles.removeAll() }
    }

    /// Takes pushes out of the pass that nobody hears of.
    private func takeBack(_ pushes: Range<Int>, from pass: inout Pass) {
        for push in pass.pushes[pushes] {
            switch push.payload {
            case .bookSnapshot, .bookDelta: pass.levels.removeLast(push.levels.count)
            case .orderSnapshot: pass.orders.removeLast(push.levels.count)
            default: break
            }
        }
        pass.pushes.removeSubrange(pushes)
    }

    /// Gives pushes to those who can take them, and notes the others.
    private mutating func assignOneByOne(
        _ id: TopicID,
        _ pushes: Range<Int>,
        before: Topic.Stamp,
        into pass: inout Pass
    ) {
        for place in topics[id.index].subscribers.indices {
            let subscriber = topics[id.index].subscribers[place]
            let isBlocked = sessions[Int(subscriber.slot)].isBlocked
            if !isBlocked, !subscriber.isBehind {
                give(pushes, to: subscriber.slot)
            } else {
                leaveOut(id, place, slot: subscriber.slot, before: before, pushes: pushes, of: pass)
                if !isBlocked { give(bringUp(place, of: id, into: &pass), to: subscriber.slot) }
            }
        }
    }

    mutating func give(_ pushes: Range<Int>, to slot: UInt32) {
        guard !pushes.isEmpty else { return }
        if shareCounts[Int(slot)] == 0 { touched.append(slot) }
        shareCounts[Int(slot)] += Int32(pushes.count)
        for push in pushes { pairs.append((slot, Int32(push))) }
    }

    private mutating func keepClosedCandles(_ pushes: Range<Int>, of id: TopicID, in pass: Pass) {
        for index in pushes {
            guard case .candle(let candle) = pass.pushes[index].payload, candle.isClosed else { continue }
            let push = pass.pushes[index]
            if topics[id.index].closedCandles.count == Topic.closedCandlesMost {
                topics[id.index].closedCandles.removeFirst()
            }
            topics[id.index].closedCandles.append((push.stamp, candle))
        }
    }

    private mutating func leaveOut(
        _ id: TopicID,
        _ place: Int,
        slot: UInt32,
        before: Topic.Stamp,
        pushes: Range<Int>,
        of pass: Pass
    ) {
        if !topics[id.index].subscribers[place].isBehind {
            topics[id.index].subscribers[place].seen = before.sequence
            topics[id.index].behindCount += 1
            sessions[Int(slot)].behindCount += 1
        }
        leftOutCounts[Int(topics[id.index].key.format.rawValue)] &+= pushes.count
        // Who waits for its first state has lost nothing.
        if topics[id.index].subscribers[place].seen != nil { noteFallenBehind(slot, by: pushes.count) }
        let view = topics[id.index].key.view
        guard view.channel == .trades, view.delivery == .conflate else { return }
        for push in pushes {
            switch pass.pushes[push].payload {
            case .trade(let trade): missed[Missed(topic: id, slot: slot)].add(trade, pass.pushes[push].flags)
            case .tradeAggregate(let more): missed[Missed(topic: id, slot: slot)].add(more)
            default: break
            }
        }
    }

    private mutating func noteFallenBehind(_ slot: UInt32, by count: Int) {
        let session = SessionID(slot: slot, generation: sessions[Int(slot)].generation)
        if sessions[Int(slot)].leftOutCount == 0 { fellBehind.append(session) }
        sessions[Int(slot)].leftOutCount &+= UInt64(count)
    }

    /// Sorts who-gets-what by session, in time and memory that grow with the deliveries alone.
    private mutating func deal(into pass: inout Pass) {
        let first = pass.order.count
        var next = Int32(first)
        for slot in touched {
            let session = SessionID(slot: slot, generation: sessions[Int(slot)].generation)
            let count = shareCounts[Int(slot)]
            pass.shares.append(Pass.Share(session: session, range: next..<(next + count)))
            // From here on it says where the session's next push stands.
            shareCounts[Int(slot)] = next
            next += count
        }
        pass.order.append(contentsOf: repeatElement(0, count: Int(next) - first))
        for deal in deals {
            switch deal {
            case .toAll(let topic, let pushes):
                Self.place(pushes, for: topics[topic.index].subscribers, in: &pass.order, at: &shareCounts)
            case .toSome(let range):
                for (slot, push) in pairs[range] {
                    pass.order[Int(shareCounts[Int(slot)])] = push
                    shareCounts[Int(slot)] += 1
                }
            }
        }
        for slot in touched { shareCounts[Int(slot)] = 0 }
        deals.removeAll(keepingCapacity: true)
        pairs.removeAll(keepingCapacity: true)
        touched.removeAll(keepingCapacity: true)
    }

    private static func count(
        _ pushCount: Int32,
        for subscribers: [Topic.Subscriber],
        in shareCounts: inout [Int32],
        touched: inout [UInt32]
    ) {
        var counts = shareCounts.mutableSpan
        for subscriber in subscribers {
            let count = counts[Int(subscriber.slot)]
            if count == 0 { touched.append(subscriber.slot) }
            counts[Int(subscriber.slot)] = count + pushCount
        }
    }

    private static func place(
        _ pushes: Range<Int32>,
        for subscribers: [Topic.Subscriber],
        in order: inout [Int32],
        at shareCounts: inout [Int32]
    ) {
        var places = shareCounts.mutableSpan
        var order = order.mutableSpan
        for subscriber in subscribers {
            var place = places[Int(subscriber.slot)]
            for push in pushes {
                order[Int(place)] = push
                place += 1
            }
            places[Int(subscriber.slot)] = place
        }
    }

    // MARK: What a single session is told

    /// Appends pushes that bring a subscriber who is behind to the topic's last push.
    ///
    /// It stays behind when there is nothing to show it: see ``forgetOldUnits(of:)``.
    private mutating func bringUp(_ place: Int, of id: TopicID, into pass: inout Pass) -> Range<Int> {
        let subscriber = topics[id.index].subscribers[place]
        let pushes = appendState(of: id, since: subscriber.seen, slot: subscriber.slot, into: &pass)
        guard !pushes.isEmpty else { return pushes }
        noteJoiner(subscriber.slot, of: id)
        topics[id.index].subscribers[place].seen = nil
        topics[id.index].behindCount -= 1
        sessions[Int(subscriber.slot)].behindCount -= 1
        return pushes
    }

    /// Appends pushes for one session alone that bring it from `seen` to the topic's last push.
    ///
    /// `seen` is the last push the session has, nil when it has none because it joins.
    mutating func appendState(
        of id: TopicID,
        since seen: UInt64?,
        slot: UInt32,
        into pass: inout Pass
    ) -> Range<Int> {
        let index = id.index
        let first = pass.pushes.count
        let view = topics[index].key.view
        var (previous, stamp) = (seen ?? 0, topics[index].last)
        let isJoining = seen == nil
        if isJoining { stamp.flags.insert(.snapshot) }
        switch (view.channel, view.delivery) {
        case (.book, _):
            // A joiner's begins with the whole.
            if let seen {
                appendBook(since: seen, of: id, into: &pass)
            } else {
                appendWholeBook(stamp, previous: 0, of: id, into: &pass)
            }
        case (.trades, .every), (.trades, .conflate):
            let key = Missed(topic: id, slot: slot)
            guard seen != nil, let aggregate = missed.removeValue(forKey: key) else { break }
            pass.pushes.append(push(.tradeAggregate(aggregate), stamp, previous: previous, of: id, levels: 0..<0))
        case (.orders, _): appendOrders(of: id, into: &pass)
        case (.trades, .latest), (.candles, _), (.ticker, _), (.status, _), (.marketData, _):
            guard let value = topics[index].value else { break }
            if let seen {
                for closed in topics[index].closedCandles
                where closed.stamp.sequence > seen && closed.stamp.sequence < stamp.sequence {
                    let payload = Push.Payload.candle(closed.candle)
                    pass.pushes.append(push(payload, closed.stamp, previous: previous, of: id, levels: 0..<0))
                    previous = closed.stamp.sequence
                }
            }
            pass.pushes.append(push(value, stamp, previous: previous, of: id, levels: 0..<0))
        }
        if isJoining { for index in first..<pass.pushes.count { pass.pushes[index].skipped = 0 } }
        return first..<pass.pushes.count
    }
}

extension TradeAggregate? {
    mutating func add(_ trade: Trade, _ flags: EventFlags) {
        if self == nil { self = TradeAggregate(trade) } else { self?.add(trade) }
        if flags.contains(.gapBefore) { self?.isBehindGap = true }
    }

    mutating func add(_ more: TradeAggregate) {
        guard var sum = self else {
            self = more
            return
        }
        sum.high = max(sum.high, more.high)
        sum.low = min(sum.low, more.low)
        sum.last = more.last
        sum.volume = sum.volume.saturatingAdding(more.volume)
        sum.count &+= more.count
        sum.isBehindGap = sum.isBehindGap || more.isBehindGap
        self = sum
    }
}
