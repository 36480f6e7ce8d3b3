import Hub
import Market
import Testing

@Suite("Sessions")
struct SessionTests {
    @Test("leave nothing behind")
    func nothingBehind() {
        var exchange = Exchange("BTC-USD", "ETH-USD")
        for _ in 0..<4 {
            let client = exchange.open()
            for channel in [Channel.ticker, .trades, .book, .candles, .status] {
                exchange.subscribe(client, channel, "*", "BTC-USD")
            }
        }
        exchange.trade(100)
        exchange.block(1)
        exchange.run()
        exchange.trade(100)
        for client in [2, 0, 3, 1] {
            exchange.close(client)
            #expect(exchange.hub.isConsistent)
        }
        #expect(exchange.hub.topicCount == 0)
        #expect(exchange.hub.sessionCount == 0)
        #expect(exchange.hub.nextPassNs == nil)
        #expect(exchange.rawPass().pushes.isEmpty)
        #expect(exchange.list("XRP-USD").isEmpty)
    }

    @Test("end once, and another may have their place but not their name")
    func generations() {
        var hub = Hub(epoch: 1)
        var pass = Pass()
        let first = hub.open(.legacy)
        hub.close(first)
        hub.close(first)
        let second = hub.open(.enhanced)
        #expect(hub.sessionCount == 1)
        #expect(second.slot == first.slot)
        #expect(second != first)
        #expect(!hub.isOpen(first))
        #expect(hub.isOpen(second))
        hub.setBlocked(true, first)
        hub.catchUp(first, into: &pass)
        #expect(hub.changedTopics(of: first).isEmpty)
        #expect(hub.subscriptions(of: first).isEmpty)
        #expect(hub.open(.legacy).slot != second.slot)
    }

    @Test("list what they listen to by channel, wildcards first as written")
    func subscriptions() {
        var exchange = Exchange("BTC-USD", "ETH-USD")
        let client = exchange.open()
        exchange.subscribe(client, .trades, "ETH-USD")
        exchange.subscribe(client, .ticker, "ETH-USD", "BTC-USD@kraken", "ETH*")
        exchange.subscribe(client, .ticker, "ETH-USD", intervalMs: 100)
        #expect(
            exchange.hub.subscriptions(of: exchange.clients[client].session) == [
                .init(channel: .ticker, symbols: ["ETH*", "ETH-USD", "BTC-USD@kraken"]),
                .init(channel: .trades, symbols: ["ETH-USD"]),
            ]
        )
    }
}

@Suite("Heartbeats")
struct HeartbeatTests {
    @Test("tell the topics that changed since the last, each with its newest push")
    func changed() throws {
        var exchange = Exchange("BTC-USD", "ETH-USD")
        let client = exchange.open()
        let session = exchange.clients[client].session
        let id = try #require(exchange.subscribe(client, .ticker, "BTC-USD", "ETH-USD").first?.topic?.id)
        #expect(exchange.floor.hub.changedTopics(of: session).isEmpty)
        exchange.trade(100)
        exchange.trade(101)
        #expect(exchange.floor.hub.changedTopics(of: session).isEmpty)
        exchange.run()
        let changed = exchange.floor.hub.changedTopics(of: session)
        #expect(changed.map(\.topic) == [id])
        #expect(changed.map(\.sequence) == [2])
        #expect(exchange.floor.hub.changedTopics(of: session).isEmpty)
    }

    @Test("say nothing of what the client has yet to be sent")
    func behind() {
        var exchange = Exchange("BTC-USD")
        let client = exchange.open()
        let session = exchange.clients[client].session
        exchange.subscribe(client, .ticker, "BTC-USD")
        exchange.block(client)
        exchange.trade(100)
        exchange.run()
        #expect(exchange.floor.hub.changedTopics(of: session).isEmpty)
        exchange.free(client)
        #expect(exchange.floor.hub.changedTopics(of: session).map(\.sequence) == [1])
    }
}
