import Hub
import Market
import Testing

@Suite("Passes")
struct PassTests {
    @Test("make one push a topic for all who listen, and one ordered share a session")
    func sharing() {
        var exchange = Exchange("BTC-USD", "ETH-USD")
        let clients = (0..<3).map { _ in exchange.open() }
        exchange.subscribe(clients[0], .ticker, "*")
        exchange.subscribe(clients[1], .ticker, "ETH-USD")
        exchange.subscribe(clients[2], .ticker, "ETH-USD", "BTC-USD")
        exchange.subscribe(clients[2], .trades, "BTC-USD")
        for instrument in [1, 0, 1] { exchange.trade(100, on: instrument) }
        let pass = exchange.rawPass()
        #expect(pass.pushes.count == 3)
        #expect(pass.shares.count == 3)
        let counts = pass.shares.map { ($0.session.slot, $0.range.count) }.sorted { $0.0 < $1.0 }.map(\.1)
        #expect(counts == [2, 1, 3])
        for share in pass.shares {
            let indices = Array(pass.order[Int(share.range.lowerBound)..<Int(share.range.upperBound)])
            #expect(indices == indices.sorted())
        }
        #expect(exchange.rawPass().isEmpty)
    }

    @Test("come on the grid of the interval, for all topics of one interval together")
    func grid() {
        var exchange = Exchange("BTC-USD", "ETH-USD")
        let client = exchange.open()
        exchange.subscribe(client, .ticker, "*", intervalMs: 100)
        let start = exchange.nowNs
        exchange.trade(100)
        #expect(exchange.rawPass(atNs: start + 1_000_000).isEmpty)
        #expect(exchange.hub.nextPassNs == start + 100_000_000)
        exchange.trade(100, on: 1)
        #expect(exchange.rawPass(atNs: start + 99_999_999).isEmpty)
        #expect(exchange.rawPass(atNs: start + 100_000_000).pushes.count == 2)
        #expect(exchange.hub.nextPassNs == nil)
        #expect(exchange.rawPass(atNs: start + 500_000_000).isEmpty)
        #expect(exchange.hub.isConsistent)
    }

    @Test("push a topic once an interval even when asked twice at the very time")
    func onceAnInterval() {
        var exchange = Exchange("BTC-USD")
        let client = exchange.open()
        exchange.subscribe(client, .ticker, "BTC-USD", intervalMs: 100)
        let due = exchange.nowNs + 100_000_000
        exchange.trade(100)
        #expect(exchange.rawPass(atNs: due).pushes.count == 1)
        exchange.trade(101)
        #expect(exchange.rawPass(atNs: due).isEmpty)
        #expect(exchange.hub.nextPassNs == due + 100_000_000)
    }

    @Test("wait for nothing once the topic that waited has ended")
    func nothingWaits() {
        var exchange = Exchange("BTC-USD")
        let client = exchange.open()
        exchange.subscribe(client, .ticker, "BTC-USD", intervalMs: 100)
        exchange.trade(100)
        exchange.nowNs += 1
        exchange.run()
        #expect(exchange.hub.nextPassNs != nil)
        exchange.unsubscribe(client, .ticker, "BTC-USD")
        #expect(exchange.hub.nextPassNs == nil)
        #expect(exchange.hub.isConsistent)
    }

    @Test("hold back no more pushes of one topic than a bound, whatever its interval")
    func waitingMost() {
        var exchange = Exchange("BTC-USD")
        let client = exchange.open()
        exchange.subscribe(client, .trades, "BTC-USD", intervalMs: 60_000)
        exchange.run(afterMs: 1)
        for _ in 0..<5_000 { exchange.trade(100) }
        exchange.run(afterMs: 1)
        #expect(exchange.clients[client].heard.count == 5_000)
        exchange.trade(100)
        exchange.run(afterMs: 1)
        #expect(exchange.clients[client].heard.count == 5_000)
        exchange.run(afterMs: 60_000)
        #expect(exchange.clients[client].heard.count == 5_001)
        #expect(exchange.faults == [])
        #expect(exchange.hub.isConsistent)
    }

    @Test("leave out events of instruments that are not listed yet")
    func unlisted() {
        var hub = Hub(epoch: 1)
        let status = MarketEvent.Payload.status(MarketStatus(.live, .none))
        let event = MarketEvent(instrument: InstrumentID(3), eventNs: 0, receivedNs: 0, sequence: 1, payload: status)
        hub.receive(event, levels: Span())
        #expect(hub.nextPassNs == nil)
    }
}
