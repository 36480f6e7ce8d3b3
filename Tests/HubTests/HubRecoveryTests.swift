import Hub
import Market
import Testing

@Suite("A client that comes back")
struct HubRecoveryTests {
    private static let lingering = Hub.Settings(lingerNs: 30_000_000_000)

    /// A market in which a client listens, leaves, and misses what `meanwhile` does.
    private func missing(
        _ channel: Channel,
        _ delivery: Delivery,
        settings: Hub.Settings = lingering,
        depth: UInt32 = 0,
        meanwhile: (inout Exchange) -> Void
    ) -> (exchange: Exchange, client: Int, recovery: Recovery?) {
        var exchange = Exchange("BTC-USD", settings: settings)
        let client = exchange.open()
        let (intervalMs, interval) = (delivery == .latest ? 20 : 0, channel == .candles ? CandleInterval.second : nil)
        exchange.status(.live)
        exchange.snapshot(bids: [(99, 1), (98, 2)], asks: [(101, 1)] + (110...115).map { ($0, 1) })
        exchange.subscribe(
            client,
            channel,
            "BTC-USD",
            delivery: delivery,
            depth: depth,
            intervalMs: UInt32(intervalMs),
            candles: interval
        )
        exchange.trade(100)
        exchange.quote(99, 101)
        exchange.change(bids: [(99, 3)])
        exchange.status(.live)
        exchange.run(afterMs: 20)
        let known = exchange.leave(client)
        meanwhile(&exchange)
        let recovery = exchange.comeBack(client, known).first.flatMap(\.self)
        return (exchange, client, recovery)
    }

    @Test(
        "is given what it missed and nothing else, and goes on",
        arguments: [Channel.trades, .ticker, .book, .candles, .status],
        Delivery.allCases
    )
    func recovers(channel: Channel, delivery: Delivery) throws {
        guard channel != .status || delivery == .every else { return }
        let step: (inout Exchange, Int64) -> Void = { exchange, number in
            exchange.trade(102 + number)
            exchange.quote(98 - number, 103)
            exchange.change(bids: [(97, number)], asks: [(101, 2 + number)])
            exchange.status(.halted)
            exchange.run(afterMs: 20)
        }
        var (exchange, client, recovery) = missing(channel, delivery) { exchange in
            for number in 1...3 as ClosedRange<Int64> { step(&exchange, number) }
        }
        #expect(recovery == Recovery())
        let before = exchange.clients[client].heard.count
        #expect(before > 0 && !exchange.clients[client].heard.contains { $0.push.previous == 0 })
        if delivery == .every { #expect(before >= 3) }
        if delivery != .every { #expect(before == 1) }
        step(&exchange, 4)
        #expect(exchange.clients[client].heard.count > before)
        #expect(exchange.faults == [])
        #expect(exchange.hub.isConsistent)
    }

    @Test("that missed nothing is told so, though nobody listened meanwhile", arguments: [Channel.trades, .book])
    func missedNothing(channel: Channel) {
        let (exchange, client, recovery) = missing(channel, .every, settings: Hub.Settings()) { $0.run(afterMs: 1000) }
        #expect(recovery == Recovery())
        #expect(exchange.clients[client].heard.isEmpty && exchange.faults == [])
    }

    @Test("is told which events it will never hear of, and begins anew, when they are not kept")
    func tooOld() {
        let miss: (inout Exchange) -> Void = { exchange in
            for _ in 0..<3 { exchange.trade(102) }
            exchange.run()
        }
        let expected = Recovery(failure: .tooOld, missed: 2...4)
        #expect(missing(.trades, .every, settings: Hub.Settings(), meanwhile: miss).recovery == expected)
        var few = Self.lingering
        few.recentPushesMost = 2
        #expect(missing(.trades, .every, settings: few, meanwhile: miss).recovery == expected)
        few.recentPushesMost = 3
        #expect(missing(.trades, .every, settings: few, meanwhile: miss).recovery == Recovery())
        let late = missing(.trades, .every) { exchange in
            exchange.floor.hub.endLingering(atNs: exchange.nowNs + 31_000_000_000)
            miss(&exchange)
        }
        #expect(late.recovery == expected)
    }

    @Test(
        "begins anew when the book did, or its units; merged, a whole book says all",
        arguments: [Delivery.every, .conflate]
    )
    func beganAnew(delivery: Delivery) {
        let anew = missing(.book, delivery) { exchange in
            exchange.change(bids: [(96, 1)])
            exchange.run()
            exchange.snapshot(bids: [(50, 1)], asks: [(51, 1)])
            exchange.run()
        }
        #expect(anew.recovery == (delivery == .every ? Recovery(failure: .beganAnew, missed: 3...4) : Recovery()))
        #expect(anew.exchange.clients[anew.client].heard.count == 1 && anew.exchange.faults == [])
        let units = missing(delivery == .every ? .trades : .book, delivery) { exchange in
            exchange.trade(5)
            exchange.change(bids: [(95, 1)])
            exchange.run()
            exchange.status(.resyncing, .unitsChanged)
            exchange.trade(6)
            exchange.change(bids: [(95, 1)])
            exchange.run()
        }
        #expect(units.recovery?.failure == .beganAnew && units.exchange.faults == [])
    }

    @Test("from another run, or from pushes that never were, is told so")
    func foreign() throws {
        var exchange = Exchange("BTC-USD", settings: Self.lingering)
        let client = exchange.open()
        exchange.subscribe(client, .trades, "BTC-USD", delivery: .conflate, intervalMs: 50)
        exchange.trade(1)
        exchange.trade(2)
        exchange.run(afterMs: 50)
        var known = exchange.leave(client)
        #expect(exchange.comeBack(client, known, epoch: 8) == [Recovery(failure: .otherEpoch)])
        known[0].last = 3
        _ = exchange.leave(client)
        #expect(exchange.comeBack(client, known) == [Recovery(failure: .unknownSequence)])
        // Between two events that were told as one.
        known[0].last = 1
        _ = exchange.leave(client)
        #expect(exchange.comeBack(client, known) == [Recovery(failure: .unknownSequence, missed: 2...2)])
        #expect(exchange.faults == [])
    }

    @Test("gets the net difference of a book: what changed and changed back is not told")
    func netDifference() throws {
        let (exchange, client, recovery) = missing(.book, .conflate, depth: 10) { exchange in
            exchange.change(bids: [(99, 9)], asks: [(101, 0), (102, 4)])
            exchange.run()
            exchange.change(bids: [(99, 3), (98, 0)], asks: [(102, 5)])
            exchange.run()
        }
        #expect(recovery == Recovery())
        let heard = try #require(exchange.clients[client].heard.first)
        let levels = heard.levels.map { "\($0.side) \($0.price.ticks) \($0.quantity.lots)" }
        #expect(levels == ["bid 98 0", "ask 101 0", "ask 102 5"])
        #expect(heard.push.skipped == 1 && exchange.faults == [])
        let same = missing(.book, .conflate) { exchange in
            for lots in [7, 3] as [Int64] {
                exchange.change(bids: [(99, lots)])
                exchange.run()
            }
        }
        // It has to know the number that the next push follows.
        #expect(same.exchange.clients[same.client].heard.map(\.levels.count) == [0])
        #expect(same.exchange.faults == [])
    }

    @Test("that was only blocked gets the net difference too, and the whole book where that is shorter")
    func blocked() throws {
        var exchange = Exchange("BTC-USD")
        let client = exchange.open()
        exchange.subscribe(client, .book, "BTC-USD")
        let bids = (1...100).map { (Int64($0), Int64(1)) }
        exchange.snapshot(bids: bids)
        exchange.run()
        exchange.block(client)
        for lots in 2...4 as ClosedRange<Int64> {
            exchange.change(bids: [(50, lots)])
            exchange.run()
        }
        exchange.free(client)
        #expect(exchange.clients[client].heard.last?.levels.count == 1)
        exchange.block(client)
        for lots in 5...9 as ClosedRange<Int64> {
            exchange.change(bids: bids.map { ($0.0, lots) })
            exchange.run()
        }
        exchange.free(client)
        guard case .bookSnapshot? = exchange.clients[client].heard.last?.push.payload else {
            return #expect(Bool(false), "no snapshot")
        }
        #expect(exchange.faults == [])
    }

    @Test("costs nobody else anything while it is away: no push of its topics goes to anyone")
    func lingers() {
        var exchange = Exchange("BTC-USD", settings: Self.lingering)
        let client = exchange.open()
        exchange.subscribe(client, .book, "BTC-USD")
        exchange.subscribe(client, .trades, "BTC-USD")
        exchange.run()
        let known = exchange.leave(client)
        #expect(exchange.hub.topicCount == 2)
        exchange.trade(100)
        exchange.change(bids: [(1, 1)])
        let pass = exchange.rawPass()
        #expect(pass.isEmpty && pass.pushes.isEmpty && pass.levels.isEmpty)
        #expect(exchange.hub.isConsistent)
        exchange.floor.hub.endLingering(atNs: exchange.nowNs + 29_000_000_000)
        #expect(exchange.hub.topicCount == 2)
        exchange.comeBack(client, known)
        exchange.floor.hub.endLingering(atNs: exchange.nowNs + 40_000_000_000)
        #expect(exchange.hub.topicCount == 2, "somebody listens again")
        exchange.close(client)
        exchange.floor.hub.endLingering(atNs: exchange.nowNs + 80_000_000_000)
        #expect(exchange.hub.topicCount == 0 && exchange.hub.isConsistent)
    }

    @Test("is waited for only when its connection was lost, and not in more views than one client may hold")
    func lingersWithin() {
        var settings = Self.lingering
        settings.viewsMost = 2
        var exchange = Exchange("BTC-USD", settings: settings)
        exchange.run()
        let clients = [exchange.open(), exchange.open()]
        exchange.subscribe(clients[0], .book, "BTC-USD")
        exchange.unsubscribe(clients[0], .book, "BTC-USD")
        #expect(exchange.hub.topicCount == 0)
        for (number, client) in clients.enumerated() {
            for group in 1...2 as ClosedRange<UInt64> {
                exchange.subscribe(client, .book, "BTC-USD", group: group + 2 * UInt64(number))
            }
        }
        for client in clients { _ = exchange.leave(client) }
        #expect(exchange.hub.topicCount == 2 && exchange.hub.isConsistent)
        // Of these the newest value says everything.
        exchange.subscribe(exchange.open(), .ticker, "BTC-USD")
        _ = exchange.leave(2)
        #expect(exchange.hub.topicCount == 2)
    }

    @Test("while it takes no bytes, is given a book when it does, and no more than one answer may hold at once")
    func putsOff() throws {
        var settings = Self.lingering
        settings.stateLevelsMost = 3
        var exchange = Exchange("BTC-USD", "ETH-USD", settings: settings)
        let client = exchange.open()
        for instrument in [0, 1] { exchange.snapshot(bids: (1...5).map { ($0, 1) }, on: instrument) }
        for name in ["BTC-USD", "ETH-USD"] { exchange.subscribe(client, .book, name) }
        exchange.free(client)
        let known = exchange.leave(client)
        for instrument in [0, 1] { exchange.change(bids: (1...5).map { ($0, 2) }, on: instrument) }
        exchange.run(afterMs: 1)
        let session = Client(session: exchange.floor.hub.open(.enhanced), format: .enhanced)
        exchange.clients[client] = session
        let positions = known.map { Position(epoch: 7, sequence: $0.last) }
        let names = known.map(\.description.instrument.symbol)
        let request = SubscribeRequest(channel: .book, symbols: names, from: positions)
        let answer = exchange.floor.hub.handle(
            .subscribe(request),
            from: session.session,
            requestID: 1,
            into: &exchange.pass
        )
        guard case .subscribed(let outcomes) = answer else { return #expect(Bool(false), "\(answer)") }
        #expect(outcomes.map(\.recovery) == [Recovery(), Recovery()])
        #expect(exchange.pass.pushes.map(\.instrument.rawValue) == [0])
        for (outcome, topic) in zip(outcomes, known) { exchange.clients[client].note(outcome, goingOnFrom: topic) }
        for _ in known { exchange.free(client) }
        #expect(exchange.clients[client].heard.map(\.push.previous) == [1, 1])
        #expect(exchange.faults == [] && exchange.hub.isConsistent)
    }

    @Test("that had no event yet goes on from the beginning")
    func fromZero() {
        var exchange = Exchange("BTC-USD", settings: Self.lingering)
        let client = exchange.open()
        exchange.subscribe(client, .trades, "BTC-USD")
        let known = exchange.leave(client)
        for _ in 0..<3 { exchange.trade(100) }
        exchange.run()
        #expect(exchange.comeBack(client, known) == [Recovery()])
        #expect(exchange.clients[client].heard.map(\.push.sequence) == [1, 2, 3] && exchange.faults == [])
    }

    @Test("is told of a loss on the way to the hub also where it gets a sum", arguments: [true, false])
    func gaps(isAway: Bool) throws {
        var exchange = Exchange("BTC-USD", settings: Self.lingering)
        var hub = exchange.floor.hub
        var session = hub.open(.enhanced)
        var pass = Pass()
        func subscribe(_ from: [Position] = []) {
            let request = SubscribeRequest(channel: .trades, symbols: ["BTC-USD"], delivery: .conflate, from: from)
            _ = hub.handle(.subscribe(request), from: session, requestID: 1, into: &pass)
        }
        func trade(_ sequence: UInt64) {
            let trade = Trade(
                price: Price(ticks: 1),
                quantity: Quantity(lots: 1),
                aggressor: .buyer,
                id: TradeID(sequence)
            )
            let event = MarketEvent(
                instrument: InstrumentID(0),
                eventNs: 1,
                receivedNs: 1,
                sequence: sequence,
                payload: .trade(trade)
            )
            hub.receive(event, levels: Span())
            hub.pass(atNs: Int64(sequence), into: &pass)
        }
        subscribe()
        trade(1)
        if isAway { hub.close(session) } else { hub.setBlocked(true, session) }
        pass.removeAll()
        // Two to four never came.
        for sequence in [5, 6] as [UInt64] { trade(sequence) }
        pass.removeAll()
        if isAway {
            session = hub.open(.enhanced)
            subscribe([Position(epoch: 7, sequence: 1)])
        } else {
            hub.setBlocked(false, session)
            hub.catchUp(session, into: &pass)
        }
        let push = try #require(pass.pushes.first)
        guard case .tradeAggregate(let sum) = push.payload else { return #expect(Bool(false), "\(push)") }
        #expect(sum.count == 2 && push.skipped == 4 && push.flags.contains(.gapBefore))
        exchange.run()
    }

    @Test("gives way to who needs a topic now")
    func givesWay() {
        var settings = Self.lingering
        settings.topicsMost = 1
        var exchange = Exchange("BTC-USD", settings: settings)
        let (first, second) = (exchange.open(), exchange.open())
        exchange.subscribe(first, .book, "BTC-USD")
        guard case .failure? = exchange.subscribe(second, .trades, "BTC-USD").first?.result else {
            return #expect(Bool(false), "there was room")
        }
        _ = exchange.leave(first)
        guard case .success? = exchange.subscribe(second, .trades, "BTC-USD").first?.result else {
            return #expect(Bool(false), "no room")
        }
        #expect(exchange.hub.isConsistent)
    }

    @Test(
        "must name a position for each symbol, and none for a wildcard",
        arguments: [(["BTC-USD"], 2), (["BTC-USD", "BTC-USD@kraken"], 1), (["*"], 1)]
    )
    func invalid(symbols: [String], count: Int) {
        var exchange = Exchange("BTC-USD")
        let client = exchange.open()
        let from = Array(repeating: Position(epoch: 7, sequence: 1), count: count)
        let answer = exchange.ask(
            .subscribe(SubscribeRequest(channel: .trades, symbols: symbols, from: from)),
            of: client
        )
        guard case .refused(let refusal) = answer else { return #expect(Bool(false), "\(answer)") }
        #expect(refusal.code == .invalidField && refusal.fields.map(\.name) == ["from"])
    }

    @Test("may ask for the state of a topic anew, which no one else hears of")
    func resync() throws {
        var exchange = Exchange("BTC-USD", "ETH-USD")
        let (client, other) = (exchange.open(), exchange.open())
        for one in [client, other] {
            exchange.subscribe(one, .book, "BTC-USD")
            exchange.subscribe(one, .trades, "BTC-USD")
        }
        exchange.trade(100)
        exchange.change(bids: [(99, 1)])
        exchange.run()
        for one in [client, other] { exchange.clients[one].forget() }
        let topics = exchange.clients[client].topics.keys.sorted { $0.rawValue < $1.rawValue }
        let foreign = TopicID(77)
        let answer = exchange.ask(.resync(ResyncRequest(topics: topics + [foreign, topics[0]])), of: client)
        #expect(answer == .resynced(topics.map { TopicSequence(topic: $0, sequence: 1) }))
        // Trades have no state; they go on behind the number.
        #expect(exchange.clients[client].heard.map(\.push.channel) == [.book])
        #expect(exchange.clients[other].heard.isEmpty)
        exchange.trade(101)
        exchange.change(bids: [(98, 1)])
        exchange.run()
        #expect(exchange.faults == [])
        guard case .refused(let refusal) = exchange.ask(.resync(ResyncRequest(topics: [foreign])), of: client) else {
            return #expect(Bool(false), "answered")
        }
        #expect(refusal.code == .notSubscribed)
    }
}
