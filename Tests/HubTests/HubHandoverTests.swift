import Hub
import Market
import Testing

@Suite("A hub that goes on with the numbers of another")
struct HubHandoverTests {
    private static let settings = Hub.Settings(lingerNs: 30_000_000_000)

    /// A market with a client that listens to everything and keeps up.
    private func market(_ settings: Hub.Settings = settings) -> (exchange: Exchange, client: Int) {
        var exchange = Exchange("BTC-USD", "ETH-USD", settings: settings)
        let client = exchange.open()
        exchange.status(.live)
        exchange.snapshot(bids: [(99, 1), (98, 2)], asks: (101...120).map { ($0, 1) })
        for delivery in [Delivery.every, .conflate] {
            exchange.subscribe(client, .trades, "BTC-USD", delivery: delivery)
            exchange.subscribe(client, .ticker, "BTC-USD", delivery: delivery)
            exchange.subscribe(client, .book, "BTC-USD", delivery: delivery, depth: 10)
        }
        exchange.subscribe(client, .status, "BTC-USD")
        exchange.subscribe(client, .candles, "BTC-USD", candles: .second)
        exchange.subscribe(client, .book, "BTC-USD", delivery: .latest, intervalMs: 20)
        happen(&exchange, 1)
        return (exchange, client)
    }

    private func happen(_ exchange: inout Exchange, _ number: Int64) {
        exchange.trade(100 + number)
        exchange.change(bids: [(97, number)], asks: [(101, 2 + number)])
        exchange.quote(98 - number, 103)
        exchange.status(.halted)
        exchange.run(afterMs: 20)
    }

    @Test("gives clients who come back what they missed before and after, and nothing else", arguments: [true, false])
    func recovers(isOwn: Bool) throws {
        var (exchange, client) = market()
        let known = exchange.leave(client)
        happen(&exchange, 2)
        // Waits for its interval still when the state is handed on.
        exchange.trade(99)
        try exchange.restart(isOwn: isOwn)
        happen(&exchange, 3)
        let recoveries = exchange.comeBack(client, known)
        #expect(recoveries.count == known.count && recoveries.allSatisfy { $0 == Recovery() })
        let heard = exchange.clients[client].heard
        #expect(!heard.contains { $0.push.previous == 0 })
        let trades = heard.filter { if case .trade = $0.push.payload { $0.push.skipped == 0 } else { false } }
        #expect(Set(trades.map(\.push.sequence)).isSuperset(of: [2, 3, 4]))
        happen(&exchange, 4)
        #expect(exchange.faults == [] && exchange.hub.isConsistent)
    }

    @Test("says that nothing was missed to who has everything")
    func missedNothing() throws {
        var (exchange, client) = market()
        let known = exchange.leave(client)
        try exchange.restart()
        #expect(exchange.comeBack(client, known).allSatisfy { $0 == Recovery() })
        #expect(exchange.clients[client].heard.isEmpty && exchange.faults == [])
    }

    @Test("keeps what a client may come back to as long as any other, and no longer")
    func lingers() throws {
        var (exchange, _) = market()
        try exchange.restart()
        #expect(exchange.hub.topicCount > 0)
        exchange.floor.hub.endLingering(atNs: exchange.nowNs + 29_000_000_000)
        #expect(exchange.hub.topicCount > 0)
        exchange.floor.hub.endLingering(atNs: exchange.nowNs + 31_000_000_000)
        #expect(exchange.hub.topicCount == 0 && exchange.hub.isConsistent)
    }

    @Test("keeps the newest where it may keep fewer")
    func keepsTheNewest() throws {
        var (exchange, client) = market()
        for number in 2...9 as ClosedRange<Int64> { happen(&exchange, number) }
        let known = exchange.leave(client)
        happen(&exchange, 10)
        exchange.floor.hub.settings.recentPushesMost = 20
        try exchange.restart()
        #expect(exchange.comeBack(client, known).allSatisfy { $0 == Recovery() })
        #expect(exchange.faults == [])
    }

    @Test("refuses a state that is torn anywhere")
    func refusesTornStates() throws {
        var (exchange, _) = market()
        exchange.floor.hub.passAll(into: &exchange.pass)
        var state = StateWriter()
        #expect(exchange.floor.hub.append(to: &state) == 7)
        for count in stride(from: 0, to: state.bytes.count - 1, by: 97) {
            var next = Hub(settings: Self.settings, epoch: 7)
            var pass = Pass()
            _ = next.adopt(exchange.table, into: &pass)
            var reader = StateReader(Array(state.bytes[..<count]))
            #expect(throws: StateReader.Malformed.self) {
                try next.goOn(from: &reader, isOwn: true, atNs: exchange.nowNs)
            }
        }
    }
}
