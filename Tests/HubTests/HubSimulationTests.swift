import Hub
import Market
import Testing

/// Whatever the market does and whatever clients ask, in any order.
///
/// Each client checks every push against the recorded history as it comes (``Client``), so most of the properties are there.
@Suite("Any market and any clients")
struct HubSimulationTests {
    @Test("every push fits, and every client ends on the newest state", arguments: 1...300 as ClosedRange<UInt64>)
    func everyClientEndsOnTheNewest(seed: UInt64) {
        var simulation = Simulation(seed: seed)
        for _ in 0..<150 {
            simulation.step()
            if let fault = simulation.fault {
                Issue.record("\(fault)")
                return
            }
        }
        simulation.settle()
        if let fault = simulation.fault { Issue.record("\(fault)") }
    }
}

private struct Simulation {
    var exchange: Exchange
    var dice: Dice
    var open: [Int] = []
    var blocked: Set<Int> = []
    /// Clients whose connection was lost, and what they remember.
    var away: [(client: Int, topics: [Client.Topic])] = []
    var stepCount = 0
    var listedCount = 0
    var fault: String?

    init(seed: UInt64) {
        dice = Dice(seed: seed)
        let settings = Hub.Settings(
            subscriptionsMost: 40,
            topicsMost: 100,
            wildcardsMost: 4,
            stateLevelsMost: 60,
            recentPushesMost: dice.pick([0, 8, 64, 1024]),
            lingerNs: dice.pick([0, 50_000_000, 5_000_000_000]),
            lingeringMost: dice.pick([2, 100])
        )
        exchange = Exchange(settings: settings)
        for _ in 0...dice.below(4) { list() }
        for _ in 0...dice.below(4) { open.append(exchange.open(dice.chance(50) ? .enhanced : .legacy)) }
    }

    private mutating func list() {
        let venue = dice.pick(["kraken", "coinbase"])
        exchange.list("\(dice.pick(["BTC", "ETH"]))\(listedCount)-USD@\(venue)", tick: dice.pick([1, 1, 3]))
        listedCount += 1
    }

    mutating func step() {
        stepCount += 1
        switch dice.below(100) {
        case ..<45: for _ in 0...dice.below(4) { marketEvent(on: dice.below(listedCount)) }
        case ..<60: exchange.run()
        case ..<68: exchange.nowNs += dice.between(0, dice.chance(10) ? 3_000_000_000 : 60_000_000)
        case ..<78: if !open.isEmpty { subscribe(dice.pick(open)) }
        case ..<80: comeOrGo()
        case ..<85: if !open.isEmpty { unsubscribe(dice.pick(open)) }
        case ..<89: if !open.isEmpty { block(dice.pick(open)) }
        case ..<94: if let client = blocked.sorted().first { free(client) }
        case ..<95: list()
        case ..<96: if open.count < 6 { open.append(exchange.open(dice.chance(50) ? .enhanced : .legacy)) }
        case ..<97: if open.count > 1 { close(dice.pick(open)) }
        case ..<98: if dice.chance(80) { comeOrGo() } else { restart() }
        case ..<99: if !open.isEmpty { connect(dice.pick(open)) }
        default: if !open.isEmpty { heartbeat(dice.pick(open)) }
        }
        look()
    }

    private mutating func look() {
        if let first = exchange.faults.first { fault = "step \(stepCount): \(first)" }
        if stepCount % 5 == 0, !exchange.hub.isConsistent { fault = "step \(stepCount): inconsistent" }
    }

    // MARK: The market

    private mutating func marketEvent(on instrument: Int) {
        switch dice.below(100) {
        case ..<35: exchange.trade(dice.between(90, 110), dice.between(1, 9), on: instrument)
        case ..<75:
            let (bids, asks) = (
                levels(from: 80, to: 101, emptyPercent: 40), levels(from: 99, to: 120, emptyPercent: 40)
            )
            exchange.change(bids: bids, asks: asks, on: instrument)
        case ..<80: snapshot(on: instrument)
        case ..<88: exchange.quote(dice.between(98, 99), dice.between(100, 101), on: instrument)
        case ..<94: exchange.closeCandles(on: instrument)
        case ..<99: exchange.status(dice.pick([.live, .stale, .resyncing]), on: instrument)
        default:
            exchange.status(.resyncing, .unitsChanged, on: instrument)
            if dice.chance(80) { snapshot(on: instrument) }
        }
    }

    private mutating func snapshot(on instrument: Int) {
        let bids = (0..<15).flatMap { _ in levels(from: 70, to: 100, emptyPercent: 0) }
        let asks = (0..<15).flatMap { _ in levels(from: 101, to: 130, emptyPercent: 0) }
        exchange.snapshot(bids: bids, asks: asks, on: instrument)
    }

    private mutating func levels(from low: Int64, to high: Int64, emptyPercent: Int) -> [(Int64, Int64)] {
        // Around zero, so that some prices are negative.
        (0..<dice.below(4)).map { _ in
            (dice.between(low, high) - 100, dice.chance(emptyPercent) ? 0 : dice.between(1, 3))
        }
    }

    // MARK: The clients

    private mutating func symbol() -> String {
        switch dice.below(10) {
        case 0: return dice.pick(["*", "BTC*", "*@kraken", "*-USD"])
        case 1: return "NONE"
        default:
            let instrument = exchange.table.all[dice.below(listedCount)]
            return dice.chance(50) ? instrument.symbol : instrument.qualifiedSymbol
        }
    }

    private mutating func subscribe(_ client: Int) {
        let channel = dice.pick(Channel.allCases)
        let isBook = channel == .book
        let request = SubscribeRequest(
            channel: channel,
            symbols: (0...dice.below(2)).map { _ in symbol() },
            delivery: dice.chance(40) ? nil : dice.pick(Delivery.allCases),
            depth: isBook ? dice.pick([0, 10, 25]) : 0,
            group: isBook ? dice.pick([0, 1, 2, 10]) : 0,
            intervalMs: dice.pick([0, 0, 20, 50, 100, 1000]),
            candleInterval: channel == .candles ? dice.pick([.second, .second, .minute]) : nil
        )
        exchange.ask(.subscribe(request), of: client)
    }

    private mutating func unsubscribe(_ client: Int) {
        let topics = exchange.clients[client].topics.keys.sorted { $0.rawValue < $1.rawValue }
        if dice.chance(50), !topics.isEmpty {
            let ended = [dice.pick(topics)]
            exchange.ask(.unsubscribe(UnsubscribeRequest(channel: nil, symbols: [], topics: ended)), of: client)
        } else {
            exchange.unsubscribe(client, dice.pick(Channel.allCases), symbol(), symbol())
        }
    }

    private mutating func connect(_ client: Int) {
        let request = ConnectRequest(client: "simulation", passMs: dice.pick([0, 20, 25, 100]))
        exchange.ask(.connect(request), of: client)
    }

    private mutating func block(_ client: Int) {
        exchange.block(client)
        blocked.insert(client)
    }

    private mutating func free(_ client: Int) {
        blocked.remove(client)
        if dice.chance(80) {
            exchange.free(client)
        } else {
            exchange.floor.hub.setBlocked(false, exchange.clients[client].session)
        }
    }

    private mutating func close(_ client: Int) {
        exchange.close(client)
        open.removeAll { $0 == client }
        blocked.remove(client)
    }

    /// Lets a client lose its connection, or one that did go on; or tells one what it has anew.
    private mutating func comeOrGo() {
        exchange.floor.hub.endLingering(atNs: exchange.nowNs)
        if dice.chance(50), let one = away.popLast() {
            let recoveries = exchange.comeBack(one.client, one.topics)
            if recoveries.contains(where: { $0 == nil }) { fault = "step \(stepCount): nothing is said of a recovery" }
            open.append(one.client)
        } else if open.count > 1, dice.chance(60) {
            let client = dice.pick(open)
            guard exchange.clients[client].format == .enhanced else { return }
            open.removeAll { $0 == client }
            blocked.remove(client)
            away.append((client, exchange.leave(client)))
        } else if !open.isEmpty {
            let client = dice.pick(open)
            let topics = exchange.clients[client].topics.keys.filter { _ in dice.chance(50) }
            exchange.ask(.resync(ResyncRequest(topics: Array(topics))), of: client)
        }
    }

    /// Another process takes over: everybody loses its connection, and those who can come back later.
    private mutating func restart() {
        let enhanced = open.filter { exchange.clients[$0].format == .enhanced }
        let left = enhanced.map { client in
            (
                client,
                exchange.clients[client].topics.values.sorted {
                    $0.description.id.rawValue < $1.description.id.rawValue
                }
            )
        }
        do { try exchange.restart(isOwn: dice.chance(70)) } catch {
            fault = "step \(stepCount): the state cannot be read"
        }
        for client in open { exchange.clients[client].topics = [:] }
        (open, blocked) = ([], [])
        away += left
    }

    private mutating func heartbeat(_ client: Int) {
        for changed in exchange.floor.hub.changedTopics(of: exchange.clients[client].session)
        where exchange.clients[client].topics[changed.topic]?.last != changed.sequence {
            fault = "step \(stepCount): a heartbeat of what the client has not got"
        }
    }

    // MARK: The end

    /// Lets everything come to rest and looks at what each client ended on.
    mutating func settle() {
        for instrument in 0..<listedCount {
            exchange.trade(100, 1, on: instrument)
            snapshot(on: instrument)
            exchange.status(.live, on: instrument)
            exchange.quote(dice.between(1, 50), 60, on: instrument)
        }
        while let one = away.popLast() {
            exchange.comeBack(one.client, one.topics)
            open.append(one.client)
        }
        for client in open { exchange.free(client) }
        exchange.run(afterMs: 60_000)
        look()
        if exchange.hub.nextPassNs != nil { fault = "something still waits" }
        for client in open {
            for topic in exchange.clients[client].topics.values { check(topic) }
        }
        for client in open { exchange.close(client) }
        exchange.floor.hub.endLingering(atNs: exchange.nowNs + 5_000_000_000)
        if exchange.hub.topicCount > 0 || exchange.hub.sessionCount > 0 { fault = "something is left behind" }
        look()
    }

    private mutating func check(_ topic: Client.Topic) {
        let view = topic.description.view
        let history = exchange.floor.histories[topic.description.instrument.id.index]
        let (last, tick) = (Int(topic.last), topic.description.instrument.tick)
        let isNewest: Bool
        switch view.channel {
        case .trades, .marketData: isNewest = last == history.trades.count - 1
        case .ticker: isNewest = history.tickers[last] == history.tickers[history.tickers.count - 1]
        case .status: isNewest = last == history.statuses.count - 1
        case .candles:
            let candles = history.candles[Int(view.candleInterval?.rawValue ?? 0)]
            isNewest = last == candles.count - 1
            if view.delivery != .latest, history.lastTradesInOldUnits.isEmpty { checkClosed(topic, candles) }
        // Never subscribed to: these instruments have no single orders.
        case .orders: isNewest = false
        case .book:
            let newest = History.window(history.books[history.books.count - 1], view, tick: tick)
            isNewest = topic.book.bids == newest.bids && topic.book.asks == newest.asks
        }
        if !isNewest { fault = "ended on \(last), which is old: \(topic.description)" }
    }

    /// Every candle that was closed since the client came must have been told.
    private mutating func checkClosed(_ topic: Client.Topic, _ candles: [Candle?]) {
        let heard = Set(topic.heard.map(\.push.sequence))
        let closed = candles.indices.filter { candles[$0]?.isClosed == true && UInt64($0) > topic.description.sequence }
        guard closed.count <= 120 else { return }
        for sequence in closed where !heard.contains(UInt64(sequence)) {
            fault = "the closed candle \(sequence) was lost: \(topic.description)"
        }
    }
}
