public import Market

/// Requests of clients.
extension Hub {
    /// Carries out a request of an open session.
    ///
    /// - Parameters:
    ///   - request: what the client asks.
    ///   - id: the session; it must be open.
    ///   - requestID: the client's own number, told again when an instrument joins a wildcard later.
    ///   - pass: takes the first state of what was subscribed to, as a share of this session.
    /// - Returns: the answer, to be sent before the share.
    public mutating func handle(
        _ request: Request,
        from id: SessionID,
        requestID: UInt32,
        into pass: inout Pass
    ) -> Answer {
        precondition(isOpen(id), "a request of a session that is not open")
        switch request {
        case .connect(let connect):
            sessions[id.index].passMs = Self.served(connect.passMs, onGridOf: 0)
            // Below 2^53, so that every client can read it.
            let session = UInt64(id.generation & 0x1F_FFFF) << 32 | UInt64(id.slot)
            let count = UInt32(table.all.count)
            return .connected(
                Welcome(epoch: epoch, session: session, tableVersion: table.version, instrumentCount: count)
            )
        case .subscribe(let subscribe): return self.subscribe(subscribe, id, requestID, into: &pass)
        case .unsubscribe(let unsubscribe): return self.unsubscribe(unsubscribe, id)
        case .list(let list): return self.list(list)
        case .resync(let resync): return self.resync(resync, id, into: &pass)
        case .ping(let clientNs): return .pong(clientNs: clientNs)
        }
    }

    /// The interval that is served for the one wished: the next longer of ``View/intervalsMs``, the longest for more.
    ///
    /// It is a multiple of `passMs`, because two grids that do not fit would give a client more frames than it wants.
    private static func served(_ intervalMs: UInt32, onGridOf passMs: UInt32) -> UInt32 {
        let wished = max(intervalMs, passMs)
        return View.intervalsMs.first { $0 >= wished && (passMs == 0 || $0 % passMs == 0) }
            ?? View.intervalsMs[View.intervalsMs.count - 1]
    }

    private func list(_ request: ListRequest) -> Answer {
        let most = request.limit == 0 || request.limit > 1000 ? 1000 : Int(request.limit)
        let all =
            request.pattern.isEmpty || request.pattern == "*" ? table.all.map(\.id) : ids(named: request.pattern)
        let wanted = all.filter { $0.rawValue >= request.from }
        let next = wanted.count > most ? wanted[most].rawValue : 0
        return .listed(wanted.prefix(most).map { table[$0] }, next: next, tableVersion: table.version)
    }

    private func ids(named name: String) -> [InstrumentID] {
        if name.utf8.contains(UInt8(ascii: "*")) { return table.ids(matching: name) }
        return table.id(named: name).map { [$0] } ?? []
    }

    // MARK: Subscribing

    private mutating func subscribe(
        _ request: SubscribeRequest,
        _ id: SessionID,
        _ requestID: UInt32,
        into pass: inout Pass
    ) -> Answer {
        let view: View
        do { view = try self.view(of: request, for: id) } catch { return .refused(error) }
        guard !request.symbols.isEmpty else {
            return .refused(Refusal(.invalidField, "Name at least one symbol.", fields: [.init("symbols", "is empty")]))
        }
        guard request.symbols.count <= settings.symbolsPerRequestMost else {
            let most = settings.symbolsPerRequestMost
            return .refused(
                Refusal(
                    .tooManySymbols,
                    "\(request.symbols.count) symbols in one request; at most \(most) are allowed. A wildcard counts as one."
                )
            )
        }
        let start = Int32(pass.order.count)
        var outcomes: [SymbolOutcome] = []
        outcomes.reserveCapacity(request.symbols.count)
        var patterns: Set<String> = []
        var told: Set<InstrumentID> = []
        for (index, symbol) in request.symbols.enumerated() {
            if symbol.utf8.contains(UInt8(ascii: "*")) {
                guard patterns.insert(symbol).inserted else { continue }
                subscribe(toWildcard: symbol, view, id, requestID, &told, &outcomes, into: &pass)
            } else if let instrument = table.id(named: symbol) {
                let from = request.from.isEmpty || request.from[index].isNone ? nil : request.from[index]
                outcomes.append(
                    subscribe(to: instrument, view, id, as: symbol, isFromWildcard: false, from: from, into: &pass)
                )
            } else {
                outcomes.append(SymbolOutcome(symbol: symbol, result: .failure(Self.unknown(symbol))))
            }
        }
        let end = Int32(pass.order.count)
        if end > start { pass.shares.append(Pass.Share(session: id, range: start..<end)) }
        return .subscribed(outcomes)
    }

    static func unknown(_ symbol: String) -> Refusal {
        Refusal(.unknownSymbol, "No instrument \(symbol.prefix(64)); list the instruments to see which there are.")
    }

    /// Checks the settings of a subscription and brings them into the form that is served.
    private func view(of request: SubscribeRequest, for id: SessionID) throws(Refusal) -> View {
        let delivery = request.delivery ?? request.channel.usualDelivery
        var fields: [Refusal.Field] = []
        var view = View(channel: request.channel, delivery: delivery)
        view.intervalMs = Self.served(request.intervalMs, onGridOf: sessions[id.index].passMs)
        if request.channel == .marketData, sessions[id.index].format != .legacy {
            fields.append(.init("channel", "is for the legacy channel only"))
        }
        if request.channel == .book {
            view.depth = request.depth
            view.group = Int64(clamping: max(request.group, 1))
            if request.depth != 0, !View.depths.contains(request.depth) {
                fields.append(.init("depth", "must be 0 (all), 10, 25, 100 or 1000"))
            }
            if request.group > 1_000_000_000 { fields.append(.init("group", "must be at most 1000000000 ticks")) }
        } else {
            if request.depth != 0 { fields.append(.init("depth", "is for the book channel only")) }
            if request.group > 1 { fields.append(.init("group", "is for the book channel only")) }
        }
        if request.channel == .candles {
            view.candleInterval = request.candleInterval ?? .minute
        } else if request.candleInterval != nil {
            fields.append(.init("candle_interval", "is for the candles channel only"))
        }
        for name in request.fields {
            guard let place = request.channel.fieldNames.firstIndex(of: name) else {
                let names = request.channel.fieldNames.joined(separator: ", ")
                fields.append(.init("fields", "must be of \(names)"))
                break
            }
            view.fields |= 1 << UInt32(place)
        }
        if request.history > 0 { fields += Self.faults(ofHistory: request) }
        if !request.from.isEmpty { fields += Self.faults(ofPositions: request) }
        if delivery == .latest, request.intervalMs < 20 {
            fields.append(.init("interval_ms", "must be 20 or more under LATEST"))
        }
        if request.channel == .status || request.channel == .orders, delivery != .every {
            fields.append(.init("delivery", "must be EVERY on the \(request.channel.name) channel"))
        }
        if request.channel == .orders, sessions[id.index].format != .enhanced {
            fields.append(.init("channel", "is for the enhanced channel only"))
        }
        guard fields.isEmpty else {
            let text = fields.map { "\($0.name) \($0.message)" }.joined(separator: "; ")
            throw Refusal(.invalidField, text + ".", fields: fields)
        }
        return view
    }

    /// What is wrong with a wish to go on from positions.
    private static func faults(ofPositions request: SubscribeRequest) -> [Refusal.Field] {
        guard request.from.count == request.symbols.count else {
            return [.init("from", "must have one position for each of the \(request.symbols.count) symbols")]
        }
        let isOfWildcard = zip(request.from, request.symbols).contains { position, symbol in
            !position.isNone && symbol.utf8.contains(UInt8(ascii: "*"))
        }
        return isOfWildcard ? [.init("from", "is for symbols that are named, not for wildcards")] : []
    }

    /// What is wrong with a wish for past candles.
    private static func faults(ofHistory request: SubscribeRequest) -> [Refusal.Field] {
        guard request.channel == .candles else { return [.init("history", "is for the candles channel only")] }
        guard request.history <= CandleHistory.answerMost else {
            return [.init("history", "must be at most \(CandleHistory.answerMost)")]
        }
        guard !request.symbols.contains(where: { $0.utf8.contains(UInt8(ascii: "*")) }) else {
            return [.init("history", "is for symbols that are named, not for wildcards")]
        }
        let most = SubscribeRequest.historyMost
        guard Int(request.history) * request.symbols.count > most else { return [] }
        return [.init("history", "must be at most \(most / request.symbols.count) with so many symbols")]
    }

    /// Notes a wildcard and subscribes to all that fits it now, but for what the request has `told` already.
    private mutating func subscribe(
        toWildcard pattern: String,
        _ view: View,
        _ id: SessionID,
        _ requestID: UInt32,
        _ told: inout Set<InstrumentID>,
        _ outcomes: inout [SymbolOutcome],
        into pass: inout Pass
    ) {
        guard pattern.utf8.count <= 64 else {
            outcomes.append(SymbolOutcome(symbol: pattern, result: .failure(Self.unknown(pattern))))
            return
        }
        if !sessions[id.index].wildcards.contains(where: { $0.pattern == pattern && $0.view == view }) {
            guard sessions[id.index].wildcards.count < settings.wildcardsMost else {
                let refusal = Refusal(.tooManySubscriptions, "At most \(settings.wildcardsMost) wildcards are allowed.")
                outcomes.append(SymbolOutcome(symbol: pattern, result: .failure(refusal)))
                return
            }
            let wildcard = Session.Wildcard(pattern: pattern, view: view, requestID: requestID)
            sessions[id.index].wildcards.append(wildcard)
        }
        for instrument in table.ids(matching: pattern) where fits(instrument, view) && told.insert(instrument).inserted
        {
            outcomes.append(subscribe(to: instrument, view, id, as: pattern, isFromWildcard: true, into: &pass))
        }
    }

    private mutating func subscribe(
        to instrument: InstrumentID,
        _ view: View,
        _ id: SessionID,
        as symbol: String,
        isFromWildcard: Bool,
        from position: Position? = nil,
        into pass: inout Pass
    ) -> SymbolOutcome {
        var recovery: Recovery?
        let result = Result { () throws(Refusal) in
            let (topic, isNew) = try listen(to: instrument, view, id, as: symbol, isFromWildcard: isFromWildcard)
            guard isNew else { return describe(topic) }
            var description = describe(topic)
            let place = topics[topic.index].subscribers.count - 1
            if let position {
                let (pushes, outcome) = recover(topic, from: position, id, place, into: &pass)
                recovery = outcome
                for push in pushes { pass.order.append(Int32(push)) }
                // Past candles end before what is pushed first.
                if let first = pushes.first, case .candle(let candle) = pass.pushes[first].payload {
                    description.firstOpenNs = candle.openNs
                }
            }
            if recovery?.isRecovered != true { tellState(of: topic, id, place, into: &pass) }
            return description
        }
        return SymbolOutcome(symbol: symbol, result: result, recovery: recovery)
    }

    /// Lets a session listen to a view of an instrument, if it may.
    ///
    /// - Returns: the topic, and whether the session did not listen to it before; then it is the topic's last subscriber.
    private mutating func listen(
        to instrument: InstrumentID,
        _ view: View,
        _ id: SessionID,
        as symbol: String,
        isFromWildcard: Bool
    ) throws(Refusal) -> (TopicID, isNew: Bool) {
        let key = Topic.Key(instrument: instrument, view: view, format: sessions[id.index].format)
        if let known = topicIDs[key], let place = sessions[id.index].places[known].map(Int.init) {
            if !isFromWildcard, sessions[id.index].subscriptions[place].isFromWildcard {
                sessions[id.index].subscriptions[place].isFromWildcard = false
                sessions[id.index].subscriptions[place].symbol = symbol
            }
            return (known, false)
        }
        guard fits(instrument, view) else {
            let text = "The venue of \(table[instrument].qualifiedSymbol) tells no single orders; take its book."
            throw Refusal(.noSingleOrders, text)
        }
        guard sessions[id.index].subscriptions.count < settings.subscriptionsMost else {
            let most = settings.subscriptionsMost
            throw Refusal(.tooManySubscriptions, "At most \(most) subscriptions a connection are allowed.")
        }
        guard viewCount(of: id, on: key) < settings.viewsMost else {
            let most = settings.viewsMost
            let text = "At most \(most) views of an instrument are allowed on a channel; end one of them first."
            throw Refusal(.tooManySubscriptions, text)
        }
        guard let topic = topicIDs[key] ?? makeTopic(key) else {
            throw Refusal(.tooManyTopics, "The hub serves as many views as it may.", retryAfterMs: 10_000)
        }
        endLingering(of: topic)
        let place = Int32(sessions[id.index].subscriptions.count)
        sessions[id.index].places[topic] = place
        sessions[id.index].madeCount += 1
        sessions[id.index].subscriptions.append(
            Session.Subscription(
                topic: topic,
                place: Int32(topics[topic.index].subscribers.count),
                symbol: symbol,
                isFromWildcard: isFromWildcard,
                number: sessions[id.index].madeCount,
                heartbeatSequence: topics[topic.index].last.sequence
            )
        )
        topics[topic.index].subscribers.append(Topic.Subscriber(slot: id.slot, place: place))
        return (topic, true)
    }

    /// Appends the first state of a topic for one session alone, or puts it off.
    mutating func tellState(of topic: TopicID, _ id: SessionID, _ place: Int, into pass: inout Pass) {
        guard !mayWait(topic, of: id, in: pass) else {
            // Behind from the start: the state comes when there is room for it.
            topics[topic.index].subscribers[place].joinLater()
            topics[topic.index].behindCount += 1
            sessions[id.index].behindCount += 1
            return
        }
        let pushes = appendState(of: topic, since: nil, slot: id.slot, into: &pass)
        for push in pushes { pass.order.append(Int32(push)) }
        noteJoiner(id.slot, of: topic)
    }

    /// Whether the first state of a topic may come later than the answer that names it.
    ///
    /// So that one request for a thousand whole books does not make one message of all of them.
    func mayWait(_ topic: TopicID, of id: SessionID, in pass: Pass) -> Bool {
        let view = topics[topic.index].key.view
        guard view.channel == .orders || view.channel == .book && view.delivery != .every else { return false }
        return sessions[id.index].isBlocked || pass.levels.count + pass.orders.count >= settings.stateLevelsMost
    }

    /// How many views of an instrument a session holds on a channel, by the shorter of two ways; less where few exist.
    private func viewCount(of id: SessionID, on key: Topic.Key) -> Int {
        let views = states[key.instrument.index].topics(of: key.view.channel)
        guard views.count >= settings.viewsMost else { return views.count }
        let session = sessions[id.index]
        if views.count < session.subscriptions.count {
            return views.count { topics[$0.index].key.view.channel == key.view.channel && session.places[$0] != nil }
        }
        return session.subscriptions.count {
            let held = topics[$0.topic.index].key
            return held.instrument == key.instrument && held.view.channel == key.view.channel
        }
    }

    private func describe(_ id: TopicID) -> TopicDescription {
        TopicDescription(
            id: id,
            instrument: table[topics[id.index].key.instrument],
            view: topics[id.index].key.view,
            sequence: topics[id.index].last.sequence,
            firstOpenNs: firstOpenNs(of: id)
        )
    }

    /// When the candle opens that whoever joins a topic now is pushed first: the whole value as of the last push, or the first
    /// that waits for the next.
    private func firstOpenNs(of id: TopicID) -> Int64? {
        let next = topics[id.index].value ?? topics[id.index].waiting.first?.payload
        guard case .candle(let candle)? = next else { return nil }
        return candle.openNs
    }

    /// The newest candle of an instrument that the hub was told of.
    public func newestCandle(of id: InstrumentID, _ interval: CandleInterval) -> Candle? {
        id.index < states.count ? states[id.index].candles[Int(interval.rawValue)] : nil
    }

    mutating func makeTopic(_ key: Topic.Key) -> TopicID? {
        if topicIDs.count >= settings.topicsMost { endOldestLingering() }
        guard topicIDs.count < settings.topicsMost else { return nil }
        let id = freeTopics.popLast() ?? TopicID(UInt32(topics.count))
        let interval = View.intervalsMs.firstIndex(of: key.view.intervalMs) ?? 0
        var topic = Topic(key: key, id: id, intervalClass: interval)
        topic.step = step(of: key.view, key.instrument)
        let state = states[key.instrument.index]
        topic.oldUnitsUntil = state.oldUnitsUntil(of: key.view)
        switch key.view.channel {
        case .ticker:
            topic.last = state.tickerStamp
            topic.value = state.ticker.map { .ticker($0) }
        case .trades, .marketData:
            topic.last = state.tradeStamp
            topic.value = state.trade.map { .trade($0) }
        case .book:
            topic.last = state.bookStamp
            topic.window.show(state.book, depth: key.view.depth, step: topic.step)
            if topic.isLossless { topic.ahead.copy(topic.window) }
        case .candles:
            let place = Int(key.view.candleInterval?.rawValue ?? 0)
            topic.last = state.candleStamps[place]
            topic.value = state.candles[place].map { .candle($0) }
        case .orders: topic.last = state.ordersStamp
        case .status:
            topic.last = state.statusStamp
            topic.value = .status(state.status)
        }
        topic.listPlace = states[key.instrument.index].add(id, to: key.view.channel)
        if id.index == topics.count { topics.append(topic) } else { topics[id.index] = topic }
        topicIDs[key] = id
        return id
    }

    /// Lets new instruments join the wildcards they fit.
    mutating func joinWildcards(_ instruments: some Collection<Instrument>, into pass: inout Pass) -> [Joined] {
        var joined: [Joined] = []
        var fitting: [String: [InstrumentID]] = [:]
        for slot in sessions.indices where sessions[slot].isOpen && !sessions[slot].wildcards.isEmpty {
            let id = SessionID(slot: UInt32(slot), generation: sessions[slot].generation)
            let start = Int32(pass.order.count)
            for wildcard in sessions[slot].wildcards {
                let (view, pattern) = (wildcard.view, wildcard.pattern)
                let fits = fitting[pattern] ?? table.ids(matching: pattern, among: instruments)
                fitting[pattern] = fits
                for instrument in fits where self.fits(instrument, view) {
                    let count = sessions[slot].subscriptions.count
                    let outcome = subscribe(to: instrument, view, id, as: pattern, isFromWildcard: true, into: &pass)
                    // Another wildcard of the session was first.
                    if case .success = outcome.result, sessions[slot].subscriptions.count == count { continue }
                    joined.append(Joined(session: id, requestID: wildcard.requestID, outcome: outcome))
                }
            }
            let end = Int32(pass.order.count)
            if end > start { pass.shares.append(Pass.Share(session: id, range: start..<end)) }
        }
        return joined
    }
}
