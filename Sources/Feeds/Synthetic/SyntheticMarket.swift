import Market

/// One instrument's order flow on its own book.
///
/// The instrument has a hidden value, in ticks, that wanders: part of it with the whole market, part by itself. Market makers
/// post limit orders around it, most of them near. When it leaves their prices behind, informed takers hit what is stale and
/// makers pull it. Other takers come in runs of one direction, as large orders that were cut into pieces do.
struct SyntheticMarket: Sendable {
    let traits: SyntheticInstrument
    let id: InstrumentID
    private(set) var book = RestingBook()
    private(set) var lastTradeNs: Int64

    /// The part of the value that is its own, in ticks.
    private var ownValue: Double
    private var lastMoveNs: Int64
    private var isBuyersTurn = true
    private var tradeCount: UInt64 = 0
    /// Kept for their storage.
    private var fills: [RestingBook.Fill] = []
    private var taken: [(price: Int64, quantity: Int64)] = []
    private var changes: [LevelChange] = []

    private let startTicks: Double
    private let ordinaryLots: Double

    /// How many orders rest when as many leave as come.
    private static let ordersAimed = 400.0
    private static let depthLeast = 8
    /// How far a taker who is not informed moves the value, in ticks.
    private static let impact = 0.05
    private static let levelsTakenMost = 4

    private enum Act {
        case add
        case cancel
        case take(isStale: Bool)
    }

    init(_ traits: SyntheticInstrument, id: InstrumentID, startNs: Int64, random: inout SyntheticRandom) {
        self.traits = traits
        self.id = id
        startTicks = Double(traits.startPrice / traits.tick)
        ordinaryLots = Double(traits.ordinaryQuantity / traits.lot)
        ownValue = 0
        lastTradeNs = startNs
        lastMoveNs = startNs
        for _ in 0..<Int(Self.ordersAimed) {
            for side in Side.allCases where book.depth(of: side) < Self.depthLeast || random.isTrue(withChance: 0.46) {
                _ = post(on: side, around: startTicks, random: &random)
            }
        }
        changes.reserveCapacity(2 * RestingBook.levelsMost)
    }

    /// Lets one order arrive or leave.
    ///
    /// `mustTrade` makes it a market order. `market` is the whole market's part of the value, and `ownMove` how far its own
    /// part moves in a root second, both in ticks.
    mutating func step(
        atNs now: Int64,
        mustTrade: Bool,
        market: Double,
        ownMove: Double,
        random: inout SyntheticRandom,
        into sink: inout some MarketEventSink
    ) {
        moveValue(toNs: now, ownMove: ownMove, random: &random)
        let value = max(startTicks + market * traits.loading + ownValue, startTicks * 0.2)
        switch choose(around: value, mustTrade: mustTrade, random: &random) {
        case .add:
            add(around: value, atNs: now, random: &random, into: &sink)
        case .cancel:
            cancel(around: value, atNs: now, random: &random, into: &sink)
        case .take(let isStale):
            take(around: value, isStale: isStale, atNs: now, random: &random, into: &sink)
        }
    }

    mutating func sendSnapshot(atNs now: Int64, into sink: inout some MarketEventSink) {
        changes.removeAll(keepingCapacity: true)
        for level in book.bids.reversed() { note(.bid, level.rank, level.quantity) }
        for level in book.asks.reversed() { note(.ask, -level.rank, level.quantity) }
        send(.bookSnapshot(top: top), [.snapshot, .last], atNs: now, into: &sink)
    }

    /// The book as listeners know it, in the instrument's units.
    var orderBook: OrderBook {
        var copy = OrderBook()
        for level in book.bids { copy.set(quantity(level.quantity), at: price(level.rank), of: .bid) }
        for level in book.asks { copy.set(quantity(level.quantity), at: price(-level.rank), of: .ask) }
        return copy
    }

    // MARK: The value

    private mutating func moveValue(toNs now: Int64, ownMove: Double, random: inout SyntheticRandom) {
        let seconds = Double(now - lastMoveNs) * 1e-9
        lastMoveNs = now
        ownValue += ownMove * SyntheticRandom.root(seconds) * random.bell()
        ownValue -= ownValue * min(seconds / SyntheticExchange.returnSeconds, 1)
    }

    // MARK: What happens

    private func choose(around value: Double, mustTrade: Bool, random: inout SyntheticRandom) -> Act {
        let isStale = staleSide(around: value) != nil
        if mustTrade { return .take(isStale: isStale) }
        if min(book.bids.count, book.asks.count) < Self.depthLeast { return .add }
        let crowd = Double(book.orderCount) / Self.ordersAimed
        let chance = random.unit()
        if isStale { return chance < 0.45 ? .take(isStale: true) : chance < 0.85 ? .cancel : .add }
        if chance < 0.09 { return .take(isStale: false) }
        return chance < 0.09 + 0.45 * crowd ? .cancel : .add
    }

    /// The side whose best price the value has passed.
    private func staleSide(around value: Double) -> Side? {
        if let ask = book.bestAsk, value > Double(ask) + 0.3 { return .ask }
        if let bid = book.bestBid, value < Double(bid) - 0.3 { return .bid }
        return nil
    }

    private mutating func add(
        around value: Double,
        atNs now: Int64,
        random: inout SyntheticRandom,
        into sink: inout some MarketEventSink
    ) {
        let bids = book.bids.count
        let asks = book.asks.count
        // The emptier side attracts makers.
        let isBid = random.unit() * Double(bids + asks) < Double(asks)
        guard let change = post(on: isBid ? .bid : .ask, around: value, random: &random) else {
            return cancel(around: value, atNs: now, random: &random, into: &sink)
        }
        sendDelta(change, atNs: now, into: &sink)
    }

    private mutating func cancel(
        around value: Double,
        atNs now: Int64,
        random: inout SyntheticRandom,
        into sink: inout some MarketEventSink
    ) {
        if let stale = staleSide(around: value), random.isTrue(withChance: 0.7),
            book.depth(of: stale) > Self.depthLeast,
            let change = book.cancelAtBest(of: stale)
        {
            return sendDelta(change, atNs: now, into: &sink)
        }
        sendDelta(book.cancel(live: random.below(book.orderCount)), atNs: now, into: &sink)
    }

    private mutating func take(
        around value: Double,
        isStale: Bool,
        atNs now: Int64,
        random: inout SyntheticRandom,
        into sink: inout some MarketEventSink
    ) {
        if isStale, let stale = staleSide(around: value) {
            isBuyersTurn = stale == .ask
        } else if !random.isTrue(withChance: 0.6) {
            isBuyersTurn = random.isTrue(withChance: 0.5)
        }
        let side: Side = isBuyersTurn ? .ask : .bid
        let size = ordinaryLots * (isStale ? 2 : 0.25)
        let lots = Int64(max(size * random.pareto(most: 120) * (0.5 + random.unit()), 1))
        fills.removeAll(keepingCapacity: true)
        taken.removeAll(keepingCapacity: true)
        book.take(lots, from: side, levelsMost: Self.levelsTakenMost, fills: &fills, levels: &taken)
        guard !fills.isEmpty else { return add(around: value, atNs: now, random: &random, into: &sink) }
        lastTradeNs = now
        // A run of takers tells something; one who only follows the value tells nothing new.
        if !isStale { ownValue += isBuyersTurn ? Self.impact : -Self.impact }
        for fill in fills {
            tradeCount += 1
            let trade = Trade(
                price: price(fill.price),
                quantity: quantity(fill.quantity),
                aggressor: isBuyersTurn ? .buyer : .seller,
                id: TradeID(tradeCount)
            )
            sink.receive(event(.trade(trade), [], atNs: now), levels: Span())
        }
        changes.removeAll(keepingCapacity: true)
        for level in taken { note(side, level.price, level.quantity) }
        send(.bookDelta(top: top), .last, atNs: now, into: &sink)
    }

    /// Posts a limit order: mostly near the value, never across the other side.
    ///
    /// - Returns: nil when the book has no room for it.
    private mutating func post(
        on side: Side,
        around value: Double,
        random: inout SyntheticRandom
    ) -> (side: Side, price: Int64, quantity: Int64)? {
        let away =
            random.isTrue(withChance: 0.8)
            ? 0.6 + 2.5 * (random.pareto(most: 100) - 1) : 1 + random.unit() * 120
        var ticks: Int64
        switch side {
        case .bid: ticks = min(Int64(value - away), (book.bestAsk ?? .max) - 1)
        case .ask: ticks = max(Int64(value + away) + 1, (book.bestBid ?? 0) + 1)
        }
        ticks = max(ticks, side == .bid ? 1 : 2)
        guard book.hasRoom(at: ticks, on: side) else { return nil }
        let lots = Int64(max(ordinaryLots * 0.5 * random.pareto(most: 200) * (0.5 + random.unit()), 1))
        return (side, ticks, book.add(lots, at: ticks, on: side))
    }

    // MARK: What listeners hear

    private var top: Quote {
        let bid = book.bids.last.map { Level(price: price($0.rank), quantity: quantity($0.quantity)) }
        let ask = book.asks.last.map { Level(price: price(-$0.rank), quantity: quantity($0.quantity)) }
        return Quote(bid: bid ?? Quote.none.bid, ask: ask ?? Quote.none.ask)
    }

    private func price(_ ticks: Int64) -> Price { Price(ticks: ticks * traits.tick) }

    private func quantity(_ lots: Int64) -> Quantity { Quantity(lots: lots * traits.lot) }

    private mutating func note(_ side: Side, _ ticks: Int64, _ lots: Int64) {
        changes.append(LevelChange(side, price: price(ticks), quantity: quantity(lots)))
    }

    private mutating func sendDelta(
        _ change: (side: Side, price: Int64, quantity: Int64),
        atNs now: Int64,
        into sink: inout some MarketEventSink
    ) {
        changes.removeAll(keepingCapacity: true)
        note(change.side, change.price, change.quantity)
        send(.bookDelta(top: top), .last, atNs: now, into: &sink)
    }

    private func send(
        _ payload: MarketEvent.Payload,
        _ flags: EventFlags,
        atNs now: Int64,
        into sink: inout some MarketEventSink
    ) {
        sink.receive(event(payload, flags, atNs: now), levels: changes.span)
    }

    private func event(_ payload: MarketEvent.Payload, _ flags: EventFlags, atNs now: Int64) -> MarketEvent {
        MarketEvent(instrument: id, flags: flags, eventNs: now, receivedNs: now, payload: payload)
    }
}
