import Hub
import Market

/// A small market with a hub and its clients: what a venue would say goes in, and every client checks what it hears.
struct Exchange {
    /// The hub behind a recorder of all numbered events.
    struct Floor: MarketEventSink {
        var hub: Hub
        var histories: [History] = []

        mutating func receive(_ event: MarketEvent, levels: Span<LevelChange>) {
            histories[event.instrument.index].record(event, levels: levels)
            hub.receive(event, levels: levels)
        }
    }

    var floor: Floor
    var table = InstrumentTable()
    var streams: [MarketStream] = []
    var clients: [Client] = []
    var pass = Pass()
    var nowNs: Int64 = 1_000_000_000_000
    private var requestCount: UInt32 = 0

    init(_ names: String..., settings: Hub.Settings = Hub.Settings()) {
        floor = Floor(hub: Hub(settings: settings, epoch: 7))
        for name in names { list(name) }
    }

    var hub: Hub { floor.hub }

    /// What the clients found wrong so far.
    var faults: [String] { clients.flatMap(\.faults) }

    // MARK: The market

    /// Adds an instrument, `BTC-USD`, `BTC-USD@kraken`, or `BTC-USD@kraken=XBT/USD` with the venue's own name, and lets it
    /// join wildcards.
    @discardableResult
    mutating func list(_ name: String, tick: Int64 = 1) -> [Hub.Joined] { list([name], tick: tick) }

    @discardableResult
    mutating func list(_ names: [String], tick: Int64 = 1) -> [Hub.Joined] {
        for name in names {
            let names = name.split(separator: "=").map(String.init)
            let parts = names[0].split(separator: "@").map(String.init)
            let instrument = Instrument(
                id: InstrumentID(0),
                venue: parts.count > 1 ? parts[1] : "kraken",
                symbol: parts[0],
                rawSymbol: names[names.count - 1],
                priceScale: 2,
                quantityScale: 3,
                tick: tick
            )
            guard let id = try? table.add(instrument) else { preconditionFailure("\(name) is there already") }
            streams.append(MarketStream(instrument: id))
            floor.histories.append(History())
        }
        let joined = floor.hub.adopt(table, into: &pass)
        for join in joined {
            for index in clients.indices where clients[index].session == join.session {
                clients[index].note(join.outcome)
            }
        }
        deliver(asFirstState: true)
        return joined
    }

    mutating func say(_ payload: MarketEvent.Payload, _ levels: [LevelChange] = [], on instrument: Int = 0) {
        nowNs += 1
        let event = MarketEvent(
            instrument: InstrumentID(UInt32(instrument)),
            flags: [],
            eventNs: nowNs,
            receivedNs: nowNs,
            payload: payload
        )
        streams[instrument].apply(event, levels: levels.span, into: &floor)
    }

    mutating func trade(_ ticks: Int64, _ lots: Int64 = 1, on instrument: Int = 0) {
        let trade = Trade(
            price: Price(ticks: ticks),
            quantity: Quantity(lots: lots),
            aggressor: .buyer,
            id: TradeID(UInt64(nowNs))
        )
        say(.trade(trade), on: instrument)
    }

    mutating func quote(_ bid: Int64, _ ask: Int64, on instrument: Int = 0) {
        say(.quote(Quote(bid: level(bid, 1), ask: level(ask, 1))), on: instrument)
    }

    mutating func status(_ state: MarketStatus.State, _ reason: MarketStatus.Reason = .none, on instrument: Int = 0) {
        say(.status(MarketStatus(state, reason)), on: instrument)
    }

    /// Changes levels of the book, written as (price, quantity).
    mutating func change(bids: [(Int64, Int64)] = [], asks: [(Int64, Int64)] = [], on instrument: Int = 0) {
        let levels = Self.changes(bids, asks)
        var book = floor.histories[instrument].book
        for level in levels { book.apply(level) }
        say(.bookDelta(top: Quote(of: book)), levels, on: instrument)
    }

    /// Begins the book anew.
    mutating func snapshot(bids: [(Int64, Int64)] = [], asks: [(Int64, Int64)] = [], on instrument: Int = 0) {
        let levels = Self.changes(bids, asks)
        var book = OrderBook()
        for level in levels { book.apply(level) }
        say(.bookSnapshot(top: Quote(of: book)), levels, on: instrument)
    }

    mutating func closeCandles(on instrument: Int = 0) {
        streams[instrument].advance(toNs: nowNs, into: &floor)
    }

    private static func changes(_ bids: [(Int64, Int64)], _ asks: [(Int64, Int64)]) -> [LevelChange] {
        bids.map { LevelChange(.bid, price: Price(ticks: $0.0), quantity: Quantity(lots: $0.1)) }
            + asks.map { LevelChange(.ask, price: Price(ticks: $0.0), quantity: Quantity(lots: $0.1)) }
    }

    // MARK: The clients

    /// Opens a session and tells its place in ``clients``.
    mutating func open(_ format: Format = .enhanced) -> Int {
        clients.append(Client(session: floor.hub.open(format), format: format))
        return clients.count - 1
    }

    mutating func close(_ client: Int) {
        floor.hub.close(clients[client].session)
        clients[client].topics = [:]
    }

    @discardableResult
    mutating func ask(_ request: Request, of client: Int) -> Answer {
        requestCount += 1
        let answer = floor.hub.handle(request, from: clients[client].session, requestID: requestCount, into: &pass)
        switch answer {
        case .subscribed(let outcomes): for outcome in outcomes { clients[client].note(outcome) }
        case .unsubscribed(let topics): for topic in topics { clients[client].topics[topic] = nil }
        case .resynced(let topics): for topic in topics { clients[client].note(topic) }
        default: break
        }
        deliver(asFirstState: true)
        return answer
    }

    /// Subscribes and gives the outcomes; none when the whole request is refused.
    @discardableResult
    mutating func subscribe(
        _ client: Int,
        _ channel: Channel,
        _ symbols: String...,
        delivery: Delivery? = nil,
        depth: UInt32 = 0,
        group: UInt64 = 0,
        intervalMs: UInt32 = 0,
        candles: CandleInterval? = nil
    ) -> [SymbolOutcome] {
        let request = SubscribeRequest(
            channel: channel,
            symbols: symbols,
            delivery: delivery,
            depth: depth,
            group: group,
            intervalMs: intervalMs,
            candleInterval: candles
        )
        guard case .subscribed(let outcomes) = ask(.subscribe(request), of: client) else { return [] }
        return outcomes
    }

    @discardableResult
    mutating func unsubscribe(_ client: Int, _ channel: Channel, _ symbols: String...) -> Answer {
        ask(.unsubscribe(UnsubscribeRequest(channel: channel, symbols: symbols)), of: client)
    }

    /// Loses a client's connection.
    ///
    /// - Returns: what it remembers.
    mutating func leave(_ client: Int) -> [Client.Topic] {
        let topics = clients[client].topics.values.sorted { $0.description.id.rawValue < $1.description.id.rawValue }
        close(client)
        return topics
    }

    /// Opens another session for a client that left, and lets it go on from what it remembers.
    ///
    /// - Returns: what became of each topic that had a push; nil where the hub says nothing of it.
    @discardableResult
    mutating func comeBack(_ client: Int, _ topics: [Client.Topic], epoch: UInt64 = 7) -> [Recovery?] {
        var session = Client(session: floor.hub.open(.enhanced), format: .enhanced)
        session.faults = clients[client].faults
        clients[client] = session
        var recoveries: [Recovery?] = []
        for topic in topics {
            let view = topic.description.view
            // A book that was put off has not come: there is nothing to go on from.
            let isKnown = view.channel != .book || topic.hasHeard
            let request = SubscribeRequest(
                channel: view.channel,
                symbols: [topic.description.instrument.qualifiedSymbol],
                delivery: view.delivery,
                depth: view.depth,
                group: UInt64(view.group),
                intervalMs: view.intervalMs,
                candleInterval: view.candleInterval,
                from: [Position(epoch: epoch, sequence: topic.last)].filter { _ in isKnown }
            )
            requestCount += 1
            let answer = floor.hub.handle(
                .subscribe(request),
                from: clients[client].session,
                requestID: requestCount,
                into: &pass
            )
            guard case .subscribed(let outcomes) = answer else { preconditionFailure("refused: \(answer)") }
            clients[client].note(outcomes[0], goingOnFrom: topic)
            deliver(asFirstState: true)
            if isKnown { recoveries.append(outcomes[0].recovery) }
        }
        return recoveries
    }

    /// Hands everything to another hub, as a hot restart does: nobody is connected any more.
    ///
    /// - Parameter isOwn: whether it is the hub of the same I/O loop; one of another loop was told the same.
    /// - Throws: when the state cannot be read.
    mutating func restart(isOwn: Bool = true) throws {
        floor.hub.passAll(into: &pass)
        deliver()
        var state = StateWriter()
        floor.hub.append(to: &state)
        var next = Hub(settings: floor.hub.settings, epoch: floor.hub.epoch)
        _ = next.adopt(table, into: &pass)
        if !isOwn {
            var own = StateWriter()
            var plain = floor.hub
            plain.settings.lingeringMost = 0
            plain.append(to: &own)
            var reader = StateReader(own.bytes)
            try next.goOn(from: &reader, isOwn: true, atNs: nowNs)
        }
        var reader = StateReader(state.bytes)
        try next.goOn(from: &reader, isOwn: isOwn, atNs: nowNs)
        guard reader.isAtEnd else { preconditionFailure("something was not read") }
        floor.hub = next
        // The next hub's sessions bear the same names.
        for index in clients.indices { clients[index].session = SessionID(slot: .max, generation: 0) }
    }

    mutating func block(_ client: Int) { floor.hub.setBlocked(true, clients[client].session) }

    /// Lets a client take bytes again and brings it up to date.
    mutating func free(_ client: Int) {
        floor.hub.setBlocked(false, clients[client].session)
        floor.hub.catchUp(clients[client].session, into: &pass)
        deliver()
    }

    /// Runs a pass and hands out the shares.
    mutating func run(afterMs: Int64 = 0) {
        if afterMs > 0 {
            // An owner asks after every event: from then on the hub knows when intervals end.
            floor.hub.pass(atNs: nowNs, into: &pass)
            deliver()
        }
        nowNs += afterMs * 1_000_000
        floor.hub.pass(atNs: nowNs, into: &pass)
        deliver()
    }

    /// Runs a pass that is not handed out, to look at it.
    mutating func rawPass(atNs now: Int64? = nil) -> Pass {
        var raw = Pass()
        floor.hub.pass(atNs: now ?? nowNs, into: &raw)
        return raw
    }

    private mutating func deliver(asFirstState isFirst: Bool = false) {
        for share in pass.shares {
            guard let index = clients.firstIndex(where: { $0.session == share.session }) else {
                preconditionFailure("a share of nobody")
            }
            clients[index].take(share, of: pass, isFirst: isFirst, histories: floor.histories, table: table)
        }
        pass.removeAll()
    }
}

/// Every numbered event of one instrument, by its number; number 0 is the state before the first.
struct History {
    var trades: [Trade?] = [nil]
    var tickers: [Ticker?] = [nil]
    var books = [OrderBook()]
    var candles: [[Candle?]] = Array(repeating: [nil], count: CandleInterval.allCases.count)
    var statuses = [MarketStatus(.disconnected, .started)]
    /// Numbers of trades and book events after which the units changed.
    var lastTradesInOldUnits: [Int] = []
    var lastBooksInOldUnits: Set<Int> = []

    var book: OrderBook { lastBooksInOldUnits.contains(books.count - 1) ? OrderBook() : books[books.count - 1] }

    mutating func record(_ event: MarketEvent, levels: Span<LevelChange>) {
        switch event.payload {
        case .trade(let trade):
            precondition(event.sequence == trades.count)
            trades.append(trade)
        case .ticker(let ticker):
            precondition(event.sequence == tickers.count)
            tickers.append(ticker)
        case .bookSnapshot, .bookDelta:
            precondition(event.sequence == books.count)
            var book = self.book
            if case .bookSnapshot = event.payload { book = OrderBook() }
            for index in levels.indices { book.apply(levels[index]) }
            books.append(book)
        case .candle(let candle):
            precondition(event.sequence == candles[Int(candle.interval.rawValue)].count)
            candles[Int(candle.interval.rawValue)].append(candle)
        case .status(let status):
            precondition(event.sequence == statuses.count)
            statuses.append(status)
            if status.reason == .unitsChanged {
                lastTradesInOldUnits.append(trades.count - 1)
                lastBooksInOldUnits.insert(books.count - 1)
            }
        case .quote, .order: break
        }
    }

    /// The plainest way to say what a topic shows of a book.
    static func window(_ book: OrderBook, _ view: View, tick: Int64 = 1) -> OrderBook {
        var window = OrderBook()
        let step = view.group <= 1 ? 1 : view.group * tick
        for (side, levels) in [(Side.bid, book.bids), (.ask, book.asks)] {
            var sums: [Int64: Int64] = [:]
            for level in levels {
                var price = level.price.ticks
                while price % step != 0 { price += side == .bid ? -1 : 1 }
                sums[price, default: 0] += level.quantity.lots
            }
            let best = sums.sorted { side == .bid ? $0.key > $1.key : $0.key < $1.key }
            for (price, lots) in best.prefix(view.depth == 0 ? .max : Int(view.depth)) {
                window.set(Quantity(lots: lots), at: Price(ticks: price), of: side)
            }
        }
        return window
    }
}

func level(_ ticks: Int64, _ lots: Int64) -> Level {
    Level(price: Price(ticks: ticks), quantity: Quantity(lots: lots))
}
