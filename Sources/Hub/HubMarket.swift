public import Market

/// What the hub is told of the market.
extension Hub: MarketEventSink {
    /// Takes over a table of instruments that has the known ones under the same ids and may have more.
    ///
    /// - Returns: the instruments that joined a client's wildcard; their first state stands in `pass`.
    public mutating func adopt(_ newTable: InstrumentTable, into pass: inout Pass) -> [Joined] {
        table = newTable
        return welcome(into: &pass)
    }

    /// Takes in instruments behind those that are known; costs nothing for those.
    ///
    /// - Returns: the instruments that joined a client's wildcard; their first state stands in `pass`.
    /// - Throws: when a name is there already; those before it were taken.
    public mutating func add(
        _ instruments: [Instrument],
        into pass: inout Pass
    ) throws(InstrumentTable.Refusal) -> [Joined] {
        for instrument in instruments { _ = try table.add(instrument) }
        return welcome(into: &pass)
    }

    private mutating func welcome(into pass: inout Pass) -> [Joined] {
        let known = states.count
        while states.count < table.all.count { states.append(InstrumentState()) }
        guard states.count > known else { return [] }
        return joinWildcards(table.all[known...], into: &pass)
    }

    /// Takes in one numbered event; what follows from it waits for the next pass.
    ///
    /// Costs nothing per session. An event of an instrument that is not in the table yet is left out: the table comes first.
    public mutating func receive(_ event: MarketEvent, levels: Span<LevelChange>) {
        let index = event.instrument.index
        guard index < states.count, isNews(event) else { return }
        let stamp = Topic.Stamp(
            sequence: event.sequence,
            eventNs: event.eventNs,
            receivedNs: event.receivedNs,
            flags: event.flags
        )
        switch event.payload {
        case .trade(let trade): receive(trade, stamp, index)
        case .ticker(let ticker):
            states[index].ticker = ticker
            states[index].tickerStamp = stamp
            for topic in states[index].tickers {
                if topics[topic.index].isLossless {
                    enqueue(.ticker(ticker), stamp, on: topic)
                } else {
                    markDirty(topic)
                }
            }
        case .candle(let candle): receive(candle, stamp, index)
        case .bookSnapshot: receiveBook(levels, stamp, index, isSnapshot: true)
        case .bookDelta: receiveBook(levels, stamp, index, isSnapshot: false)
        case .status(let status):
            states[index].status = status
            states[index].statusStamp = stamp
            if status.reason == .unitsChanged { forgetOldUnits(of: index) }
            for topic in states[index].statuses {
                enqueue(.status(status), stamp, on: topic)
            }
        case .order(let change): receive(change, stamp, index)
        case .quote: return
        }
    }

    /// Whether an event is later than what is known; after a loss a loop is told some things again.
    private func isNews(_ event: MarketEvent) -> Bool {
        let index = event.instrument.index
        let known: UInt64 =
            switch event.payload {
            case .ticker: states[index].tickerStamp.sequence
            case .bookSnapshot, .bookDelta: states[index].bookStamp.sequence
            case .status: states[index].statusStamp.sequence
            case .order: event.flags.contains(.snapshot) ? 0 : states[index].ordersStamp.sequence
            case .candle(let candle): states[index].candleStamps[Int(candle.interval.rawValue)].sequence
            case .trade, .quote: 0
            }
        return event.sequence > known || event.sequence == 0
    }

    private mutating func receive(_ trade: Trade, _ given: Topic.Stamp, _ index: Int) {
        var stamp = given
        let known = states[index].tradeStamp.sequence
        // Nothing was merged here: what is missing was lost on its way to this loop, and that is said.
        if known > 0, stamp.sequence > known + 1 { stamp.flags.insert(.gapBefore) }
        states[index].trade = trade
        states[index].tradeStamp = stamp
        for topic in states[index].trades {
            let view = topics[topic.index].key.view
            switch (view.delivery, view.channel) {
            case (.every, _): enqueue(.trade(trade), stamp, on: topic)
            // Every change while the client keeps up: only who falls behind, or wants an interval, gets sums.
            case (.conflate, .trades) where view.intervalMs == 0: enqueue(.trade(trade), stamp, on: topic)
            case (.conflate, .trades):
                topics[topic.index].aggregate.add(trade, stamp.flags)
                markDirty(topic)
            case (.conflate, _), (.latest, _): markDirty(topic)
            }
        }
    }

    private mutating func receive(_ candle: Candle, _ stamp: Topic.Stamp, _ index: Int) {
        let place = Int(candle.interval.rawValue)
        states[index].candles[place] = candle
        states[index].candleStamps[place] = stamp
        for topic in states[index].candleTopics
        where topics[topic.index].key.view.candleInterval == candle.interval {
            // An open candle gives way to its next state; a closed one is never left out.
            if topics[topic.index].key.view.delivery != .every, let newest = topics[topic.index].waiting.indices.last,
                case .candle(let waiting) = topics[topic.index].waiting[newest].payload,
                waiting.openNs == candle.openNs || topics[topic.index].key.view.delivery == .latest
            {
                topics[topic.index].waiting[newest] = Topic.Waiting(stamp: stamp, payload: .candle(candle))
            } else {
                enqueue(.candle(candle), stamp, on: topic)
            }
        }
    }

    private mutating func receiveBook(
        _ levels: Span<LevelChange>,
        _ stamp: Topic.Stamp,
        _ index: Int,
        isSnapshot: Bool
    ) {
        if isSnapshot { states[index].book.removeAll() }
        for place in levels.indices { states[index].book.apply(levels[place]) }
        states[index].bookStamp = stamp
        for topic in states[index].books {
            if isSnapshot { topics[topic.index].needsSnapshot = true }
            if topics[topic.index].isLossless {
                enqueueBook(stamp, of: index, on: topic)
            } else {
                markDirty(topic)
            }
        }
    }

    /// Makes the push of one book event at once, because under EVERY each event has its own.
    private mutating func enqueueBook(_ stamp: Topic.Stamp, of index: Int, on id: TopicID) {
        var levels: [LevelChange] = []
        swap(&levels, &topics[id.index].waitingLevels)
        let start = Int32(levels.count)
        let payload = topics[id.index].show(states[index].book, spare: &spareWindow, into: &levels)
        let end = Int32(levels.count)
        swap(&levels, &topics[id.index].waitingLevels)
        guard let payload else { return }
        enqueue(payload, stamp, on: id, levels: start..<end)
        if case .bookSnapshot = payload, let newest = topics[id.index].waiting.indices.last {
            topics[id.index].waiting[newest].checksum = topics[id.index].ahead.checksum
        }
    }

    mutating func enqueue(
        _ payload: Push.Payload,
        _ stamp: Topic.Stamp,
        on id: TopicID,
        levels: Range<Int32> = 0..<0
    ) {
        topics[id.index].waiting.append(Topic.Waiting(stamp: stamp, payload: payload, levels: levels))
        markDirty(id)
        if topics[id.index].dirtyClass != 0, topics[id.index].isHoldingTooMuch {
            clearDirty(id)
            putDirty(id, inClass: 0)
        }
    }

    /// Begins everything of an instrument anew, because its numbers mean something else from now on.
    ///
    /// The owner calls it when it has given the table the new units; the status that says so calls it again.
    public mutating func beginNewUnits(of id: InstrumentID) { forgetOldUnits(of: id.index) }

    /// Gives an instrument other units, in which nothing is known of it yet.
    public mutating func changeUnits(of id: InstrumentID, priceScale: UInt8, quantityScale: UInt8) {
        table.rescale(id, priceScale: priceScale, quantityScale: quantityScale)
        beginNewUnits(of: id)
    }

    /// Forgets what is in the old units.
    ///
    /// The next push of a book is a snapshot. Conflated trades and candles in old units that were not pushed yet never are; a
    /// session that is behind stays so until there is a value in new units.
    private mutating func forgetOldUnits(of index: Int) {
        let instrument = InstrumentID(UInt32(index))
        states[index].forgetOldUnits()
        for list in [states[index].tickers, states[index].trades, states[index].books, states[index].candleTopics] {
            for topic in list {
                let view = topics[topic.index].key.view
                let last = states[index].lastSequence(of: view)
                topics[topic.index].forgetOldUnits(until: last, step: step(of: view, instrument))
                guard topics[topic.index].behindCount > 0 else { continue }
                for subscriber in topics[topic.index].subscribers where subscriber.isBehind {
                    missed[Missed(topic: topic, slot: subscriber.slot)] = nil
                }
            }
        }
    }

    /// The price units that one level gathers, the most there are when they do not fit.
    func step(of view: View, _ instrument: InstrumentID) -> Int64 {
        guard view.group > 1 else { return 1 }
        let (step, overflow) = view.group.multipliedReportingOverflow(by: max(table[instrument].tick, 1))
        return overflow ? .max : step
    }

    mutating func markDirty(_ id: TopicID) {
        guard !topics[id.index].isDirty else { return }
        putDirty(id, inClass: topics[id.index].intervalClass)
    }

    private mutating func putDirty(_ id: TopicID, inClass index: Int) {
        topics[id.index].dirtyClass = index
        topics[id.index].dirtyPlace = dirty[index].count
        dirty[index].append(id)
    }

    /// Lets a topic wait for nothing, in O(1): the last of its class takes its place.
    mutating func clearDirty(_ id: TopicID) {
        guard topics[id.index].isDirty, let last = dirty[topics[id.index].dirtyClass].popLast() else { return }
        let (index, place) = (topics[id.index].dirtyClass, topics[id.index].dirtyPlace)
        if last != id {
            dirty[index][place] = last
            topics[last.index].dirtyPlace = place
        }
        topics[id.index].dirtyPlace = -1
        if dirty[index].isEmpty { classDueNs[index] = nil }
    }
}
