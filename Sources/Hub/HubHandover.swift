public import Market

/// What a hub hands to the one that goes on with its numbers: what it knows of every instrument, and for each topic that a client
/// may come back to, where its pushes are and the newest of them.
///
/// Sessions are not handed on: clients come back and ask.
extension Hub {
    /// Writes what ``goOn(from:isOwn:atNs:)`` reads; nothing may wait to be pushed (``passAll(into:)``).
    ///
    /// - Returns: how many topics were written.
    @discardableResult
    public func append(to state: inout StateWriter) -> Int {
        state.append(Self.layout)
        var part = StateWriter()
        part.append(UInt64(states.count))
        for known in states { known.append(to: &part) }
        state.append(part)
        let kept = topics.filter { topicIDs[$0.key] == $0.id && $0.key.mayLinger }.prefix(settings.lingeringMost)
        part = StateWriter()
        part.append(UInt64(kept.count))
        for topic in kept { append(topic, to: &part) }
        state.append(part)
        return kept.count
    }

    /// Goes on where another hub ended: knows the same instruments, and what clients may come back to.
    ///
    /// To be called on a hub that nobody listens to, with the table of that hub, by the clock of ``pass(atNs:into:)``. The topics of
    /// another loop's hub (`isOwn` false) are taken where this one has none such, for clients that come back to this loop.
    ///
    /// - Throws: when it is not what was written; the hub is as it was, or knows a part.
    public mutating func goOn(from state: inout StateReader, isOwn: Bool, atNs now: Int64) throws(StateReader.Malformed)
    {
        guard try state.read(UInt64.self) == Self.layout else { throw StateReader.Malformed() }
        nowNs = now
        var known = try state.readPart()
        if isOwn {
            guard try known.read(UInt64.self) == UInt64(states.count) else { throw StateReader.Malformed() }
            for index in states.indices { states[index] = try InstrumentState(from: &known) }
        }
        var part = try state.readPart()
        var pushes: [(number: UInt64, topic: TopicID, kept: RecentPushes.Kept)] = []
        for _ in 0..<(try part.read(UInt64.self)) {
            let topic = try HandedTopic(from: &part)
            guard let id = take(topic) else { continue }
            for push in topic.pushes { pushes.append((push.number, id, push)) }
        }
        pushes.sort { $0.number < $1.number }
        for (_, id, push) in pushes {
            let before = topics[id.index].newestEntry
            topics[id.index].newestEntry = recent.append(push.entry, push.steps, before: before)
        }
    }

    /// How what is written here lies in memory: sizes, places of fields, and how many cases there are.
    private static var layout: UInt64 {
        StateLayout.fingerprint(of: [
            MemoryLayout<Topic.Stamp>.size, MemoryLayout<Topic.Stamp>.offset(of: \.sequence),
            MemoryLayout<Topic.Stamp>.offset(of: \.eventNs),
            MemoryLayout<Topic.Stamp>.offset(of: \.receivedNs),
            MemoryLayout<Topic.Stamp>.offset(of: \.flags),
            MemoryLayout<Push.Payload?>.size, MemoryLayout<TradeAggregate>.size,
            MemoryLayout<TradeAggregate>.offset(of: \.high), MemoryLayout<TradeAggregate>.offset(of: \.low),
            MemoryLayout<TradeAggregate>.offset(of: \.last),
            MemoryLayout<TradeAggregate>.offset(of: \.volume),
            MemoryLayout<TradeAggregate>.offset(of: \.count),
            MemoryLayout<RecentPushes.Entry>.size, MemoryLayout<RecentPushes.Entry>.offset(of: \.stamp),
            MemoryLayout<RecentPushes.Entry>.offset(of: \.previous),
            MemoryLayout<RecentPushes.Entry>.offset(of: \.payload),
            MemoryLayout<RecentPushes.Entry>.offset(of: \.checksum), MemoryLayout<RecentPushes.Step>.size,
            MemoryLayout<InstrumentState.OldUnits>.size, Channel.allCases.count, Delivery.allCases.count,
        ])
    }

    private func append(_ topic: Topic, to state: inout StateWriter) {
        let view = topic.key.view
        state.append(topic.key.instrument)
        view.append(to: &state)
        state.append(states[topic.key.instrument.index].lastSequence(of: view))
        state.append(topic.last)
        state.append(topic.value)
        state.append(topic.oldUnitsUntil)
        state.append(topic.needsSnapshot)
        let pushes = recent.kept(to: topic.newestEntry)
        state.append(UInt64(pushes.count))
        for push in pushes {
            state.append(push.number)
            state.append(push.entry)
            state.append(push.steps)
        }
    }

    /// Lets a topic of another hub linger here; nil where that cannot be.
    private mutating func take(_ topic: HandedTopic) -> TopicID? {
        let index = topic.instrument.index
        let key = Topic.Key(instrument: topic.instrument, view: topic.view, format: .enhanced)
        guard index < states.count, topicIDs[key] == nil, lingeringCount < settings.lingeringMost,
            states[index].lastSequence(of: topic.view) == topic.stateSequence, let id = makeTopic(key)
        else { return nil }
        topics[id.index].last = topic.last
        topics[id.index].value = topic.value
        topics[id.index].oldUnitsUntil = topic.oldUnitsUntil
        topics[id.index].needsSnapshot = topic.needsSnapshot
        if topic.needsSnapshot { topics[id.index].hideBook() }
        linger(id)
        return topicIDs[key]
    }
}

/// A topic as another hub wrote it.
private struct HandedTopic {
    var instrument: InstrumentID
    var view: View
    /// The number of the newest event of its source.
    var stateSequence: UInt64
    var last: Topic.Stamp
    var value: Push.Payload?
    var oldUnitsUntil: UInt64
    var needsSnapshot: Bool
    /// Oldest first.
    var pushes: [RecentPushes.Kept] = []

    init(from state: inout StateReader) throws(StateReader.Malformed) {
        instrument = try state.read()
        view = try View(from: &state)
        stateSequence = try state.read()
        last = try state.read()
        value = try state.read()
        oldUnitsUntil = try state.read()
        needsSnapshot = try state.read()
        for _ in 0..<(try state.read(UInt64.self)) {
            pushes.append(
                RecentPushes.Kept(number: try state.read(), entry: try state.read(), steps: try state.readAll())
            )
        }
    }
}

extension View {
    fileprivate func append(to state: inout StateWriter) {
        state.append(channel.rawValue)
        state.append(delivery.rawValue)
        state.append(depth)
        state.append(group)
        state.append(intervalMs)
        state.append(candleInterval?.rawValue ?? .max)
        state.append(fields)
    }

    fileprivate init(from state: inout StateReader) throws(StateReader.Malformed) {
        guard let channel = Channel(rawValue: try state.read()), let delivery = Delivery(rawValue: try state.read())
        else { throw StateReader.Malformed() }
        self.init(
            channel: channel,
            delivery: delivery,
            depth: try state.read(),
            group: try state.read(),
            intervalMs: try state.read(),
            candleInterval: CandleInterval(rawValue: try state.read()),
            fields: try state.read()
        )
    }
}

extension InstrumentState {
    fileprivate func append(to state: inout StateWriter) {
        state.append(book.bids)
        state.append(book.asks)
        state.append(bookStamp)
        state.append(ticker)
        state.append(tickerStamp)
        state.append(trade)
        state.append(tradeStamp)
        state.append(candles)
        state.append(candleStamps)
        state.append(status)
        state.append(statusStamp)
        state.append(orders != nil)
        var resting: [RestingOrder] = []
        appendOrders(to: &resting)
        state.append(resting)
        state.append(ordersStamp)
        state.append(oldUnits)
    }

    fileprivate init(from state: inout StateReader) throws(StateReader.Malformed) {
        self.init()
        for level in try state.readAll(of: Level.self) { book.set(level.quantity, at: level.price, of: .bid) }
        for level in try state.readAll(of: Level.self) { book.set(level.quantity, at: level.price, of: .ask) }
        bookStamp = try state.read()
        ticker = try state.read()
        tickerStamp = try state.read()
        trade = try state.read()
        tradeStamp = try state.read()
        candles = try state.read()
        candleStamps = try state.read()
        status = try state.read()
        statusStamp = try state.read()
        let hasOrders: Bool = try state.read()
        let resting: [RestingOrder] = try state.readAll()
        if hasOrders { orders = try Self.ledger(of: resting) }
        ordersStamp = try state.read()
        oldUnits = try state.read()
    }

    private static func ledger(of resting: [RestingOrder]) throws(StateReader.Malformed) -> OrderLedger {
        var ledger = OrderLedger(limits: .init(ordersMost: .max, levelsMost: .max))
        _ = ledger.addBook()
        do throws(OrderLedger.Refusal) {
            for order in resting { _ = try ledger.add(order, to: 0) }
        } catch {
            throw StateReader.Malformed()
        }
        return ledger
    }
}
