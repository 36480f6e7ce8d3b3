import Market

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
        for index in dirty.indices where !dirty[index].isEmpty {
            let dueNs = classDueNs[index] ?? Self.dueNs(class: index, after: now)
            guard dueNs <= now else {
                classDueNs[index] = dueNs
                continue
            }
            classDueNs[index] = nil
            for topic in dirty[index] { flush(topic, into: &pass) }
            dirty[index].removeAll(keepingCapacity: true)
        }
        deal(into: &pass)
    }

    /// Appends the newest state of everything that a session missed while it was blocked.
    public mutating func catchUp(_ id: SessionID, into pass: inout Pass) {
        guard isOpen(id), sessions[id.index].behindCount > 0 else { return }
        let start = Int32(pass.order.count)
        for subscription in sessions[id.index].subscriptions {
            let (topic, place) = (subscription.topic.index, Int(subscription.place))
            guard topics[topic].subscribers[place].isBehind else { continue }
            topics[topic].subscribers[place].isBehind = false
            appendState(
                of: subscription.topic,
                since: topics[topic].subscribers[place].seen,
                slot: id.slot,
                into: &pass
            )
        }
        sessions[id.index].behindCount = 0
        let end = Int32(pass.order.count)
        if end > start { pass.shares.append(Pass.Share(session: id, range: start..<end)) }
    }

    private static func dueNs(class index: Int, after now: Int64) -> Int64 {
        let lengthNs = Int64(View.intervalsMs[index]) * 1_000_000
        guard lengthNs > 0 else { return now }
        return (now + lengthNs - 1) / lengthNs * lengthNs
    }

    // MARK: What is pushed

    private mutating func flush(_ id: TopicID, into pass: inout Pass) {
        let index = id.index
        guard topics[index].isDirty else { return }
        topics[index].isDirty = false
        let first = pass.pushes.count
        let before = topics[index].last
        let view = topics[index].key.view
        let state = topics[index].key.instrument.index
        switch (view.channel, view.delivery) {
        case (.ticker, _):
            let value = Push.Payload.ticker(states[state].ticker)
            if case .ticker(let old)? = topics[index].value, old == states[state].ticker { return }
            append(value, states[state].tickerStamp, of: id, into: &pass)
        case (.book, .conflate), (.book, .latest):
            let start = Int32(pass.levels.count)
            let payload = topics[index].show(states[state].book, spare: &spareWindow, into: &pass.levels)
            guard let payload else { return }
            append(payload, states[state].bookStamp, of: id, levels: start..<Int32(pass.levels.count), into: &pass)
        case (.trades, .conflate):
            guard let aggregate = topics[index].aggregate, let trade = states[state].trade else { return }
            topics[index].aggregate = nil
            let payload: Push.Payload = aggregate.count == 1 ? .trade(trade) : .tradeAggregate(aggregate)
            append(payload, states[state].tradeStamp, of: id, into: &pass)
        case (.trades, .latest), (.marketData, _):
            guard let trade = states[state].trade else { return }
            append(.trade(trade), states[state].tradeStamp, of: id, into: &pass)
        case (.trades, .every), (.book, .every), (.candles, _), (.status, _):
            flushWaiting(of: id, into: &pass)
        }
        assign(id, pushesFrom: first, before: before, into: &pass)
    }

    private mutating func flushWaiting(of id: TopicID, into pass: inout Pass) {
        let base = Int32(pass.levels.count)
        pass.levels.append(contentsOf: topics[id.index].waitingLevels)
        topics[id.index].waitingLevels.removeAll(keepingCapacity: true)
        for place in topics[id.index].waiting.indices {
            let waiting = topics[id.index].waiting[place]
            let levels = (waiting.levels.lowerBound + base)..<(waiting.levels.upperBound + base)
            append(waiting.payload, waiting.stamp, of: id, levels: levels, into: &pass)
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
        let closed = topics[id.index].last
        let previous = closed.sequence
        topics[id.index].last = stamp
        if case .candle(let old)? = topics[id.index].value, old.isClosed {
            topics[id.index].closedCandle = (closed, old)
        }
        topics[id.index].value = payload
        pass.pushes.append(push(payload, stamp, previous: previous, of: id, levels: levels))
    }

    private func push(
        _ payload: Push.Payload,
        _ stamp: Topic.Stamp,
        previous: UInt64,
        of id: TopicID,
        levels: Range<Int32>
    ) -> Push {
        let key = topics[id.index].key
        // Under EVERY each event has its push; only a gap in the source itself may stand between two.
        let skipped = stamp.sequence > previous ? stamp.sequence - previous - 1 : 0
        return Push(
            topic: id,
            format: key.format,
            channel: key.view.channel,
            instrument: key.instrument,
            sequence: stamp.sequence,
            previous: previous,
            skipped: skipped,
            eventNs: stamp.eventNs,
            receivedNs: stamp.receivedNs,
            flags: stamp.flags,
            payload: payload,
            levels: levels,
            checksum: nil
        )
    }

    /// Notes who gets the pushes from `first` on.
    private mutating func assign(_ id: TopicID, pushesFrom first: Int, before: Topic.Stamp, into pass: inout Pass) {
        let end = pass.pushes.count
        guard end > first else { return }
        switch pass.pushes[end - 1].payload {
        case .bookSnapshot, .bookDelta: pass.pushes[end - 1].checksum = topics[id.index].window.checksum
        default: break
        }
        let isLossless = topics[id.index].isLossless
        for place in topics[id.index].subscribers.indices {
            let slot = topics[id.index].subscribers[place].slot
            if sessions[Int(slot)].isBlocked, !isLossless {
                leaveOut(id, place, slot: slot, before: before, pushes: first..<end, of: pass)
            } else {
                if sessions[Int(slot)].share == 0 { touched.append(slot) }
                sessions[Int(slot)].share += Int32(end - first)
                for push in first..<end { pairs.append((slot, Int32(push))) }
            }
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
            topics[id.index].subscribers[place].isBehind = true
            topics[id.index].subscribers[place].seen = before.sequence
            sessions[Int(slot)].behindCount += 1
        }
        let view = topics[id.index].key.view
        guard view.channel == .trades, view.delivery == .conflate else { return }
        for push in pushes {
            switch pass.pushes[push].payload {
            case .trade(let trade): missed[Missed(topic: id, slot: slot)].add(trade)
            case .tradeAggregate(let more): missed[Missed(topic: id, slot: slot)].add(more)
            default: break
            }
        }
    }

    /// Sorts who-gets-what by session, in time and memory that grow with the deliveries alone.
    private mutating func deal(into pass: inout Pass) {
        var next = Int32(pass.order.count)
        pass.order.append(contentsOf: repeatElement(0, count: pairs.count))
        for slot in touched {
            let session = SessionID(slot: slot, generation: sessions[Int(slot)].generation)
            let count = sessions[Int(slot)].share
            pass.shares.append(Pass.Share(session: session, range: next..<(next + count)))
            sessions[Int(slot)].share = next
            next += count
        }
        for (slot, push) in pairs {
            pass.order[Int(sessions[Int(slot)].share)] = push
            sessions[Int(slot)].share += 1
        }
        for slot in touched { sessions[Int(slot)].share = 0 }
        pairs.removeAll(keepingCapacity: true)
        touched.removeAll(keepingCapacity: true)
    }

    // MARK: What a single session is told

    /// Appends pushes for one session alone that bring it from `seen` to the topic's last push.
    ///
    /// `seen` is the last push the session has, nil when it has none because it joins.
    mutating func appendState(of id: TopicID, since seen: UInt64?, slot: UInt32, into pass: inout Pass) {
        let topic = topics[id.index]
        let first = pass.pushes.count
        var (previous, stamp) = (seen ?? 0, topic.last)
        if seen == nil { stamp.flags.insert(.snapshot) }
        switch topic.key.view.channel {
        case .book:
            let start = Int32(pass.levels.count)
            topic.window.levels(into: &pass.levels)
            let levels = start..<Int32(pass.levels.count)
            stamp.flags.insert(.snapshot)
            pass.pushes.append(push(.bookSnapshot, stamp, previous: previous, of: id, levels: levels))
            pass.pushes[first].checksum = topic.window.checksum
        case .trades:
            let key = Missed(topic: id, slot: slot)
            guard seen != nil, let aggregate = missed.removeValue(forKey: key) else { return }
            pass.pushes.append(push(.tradeAggregate(aggregate), stamp, previous: previous, of: id, levels: 0..<0))
        case .candles:
            if let seen, let closed = topic.closedCandle, closed.stamp.sequence > seen {
                let push = push(.candle(closed.candle), closed.stamp, previous: previous, of: id, levels: 0..<0)
                pass.pushes.append(push)
                previous = closed.stamp.sequence
            }
            guard let value = topic.value else { return }
            pass.pushes.append(push(value, stamp, previous: previous, of: id, levels: 0..<0))
        case .ticker, .status, .marketData:
            guard let value = topic.value else { return }
            pass.pushes.append(push(value, stamp, previous: previous, of: id, levels: 0..<0))
        }
        if seen == nil { for index in first..<pass.pushes.count { pass.pushes[index].skipped = 0 } }
        for index in first..<pass.pushes.count { pass.order.append(Int32(index)) }
    }
}

extension TradeAggregate? {
    fileprivate mutating func add(_ trade: Trade) {
        if self == nil { self = TradeAggregate(trade) } else { self?.add(trade) }
    }

    fileprivate mutating func add(_ more: TradeAggregate) {
        guard var sum = self else {
            self = more
            return
        }
        sum.high = max(sum.high, more.high)
        sum.low = min(sum.low, more.low)
        sum.last = more.last
        sum.volume = sum.volume.saturatingAdding(more.volume)
        sum.count &+= more.count
        self = sum
    }
}
