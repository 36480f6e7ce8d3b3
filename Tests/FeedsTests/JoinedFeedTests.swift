import Market
import Testing

@testable import Feeds

@Suite("Feeds of several connections, joined")
struct JoinedFeedTests {
    /// Two connections to Coinbase, and what is passed on of them.
    private struct Talk {
        var joined: JoinedFeed
        var table = InstrumentTable()
        var recorder = Replay.Recorder()
        var actions: [FeedAction] = []
        var faults: [FrameFault] = []

        init() throws {
            let dialect = try #require(Venues.dialect(of: "coinbase"))
            var limits = VenueFeed.Limits()
            limits.quietMostNs = 100
            joined = JoinedFeed(dialect) { [limits] in VenueFeed(dialect, limits: limits) }
            recorder.keepsBooks = true
        }

        mutating func hear(_ text: String, line: Int, atNs now: Int64 = 1) {
            let bytes = Array(text.utf8)
            do throws(FrameFault) {
                try bytes.withUnsafeBytes { bytes in
                    Result { () throws(FrameFault) in
                        try joined.receive(
                            bytes,
                            line: line,
                            connection: UInt32(line) + 1,
                            atNs: now,
                            instruments: &table,
                            actions: &actions,
                            into: &recorder
                        )
                    }
                }
                .get()
            } catch {
                faults.append(error)
            }
        }

        mutating func lose(_ line: Int, atNs now: Int64 = 2) {
            joined.disconnected(UInt32(line) + 1, line: line, reason: .connectionLost, atNs: now, into: &recorder)
        }

        mutating func look(_ line: Int, atNs now: Int64) -> Bool {
            joined.advance(line: line, toNs: now, actions: &actions, into: &recorder)
        }

        var lastStatus: MarketStatus? {
            guard case .status(let status) = events.last?.payload else { return nil }
            return status
        }

        var events: [MarketEvent] { recorder.events.map(\.event) }

        func count(_ isWanted: (MarketEvent.Payload) -> Bool) -> Int { events.count { isWanted($0.payload) } }

        var bestBid: String? {
            guard let id = table.id(named: "A-USD"), let level = joined.book(of: id)?.bestBid else { return nil }
            return table[id].text(level.price)
        }
    }

    private static func snapshot(_ bid: String) -> String {
        #"{"type":"snapshot","product_id":"A-USD","bids":[["\#(bid)","1"]],"asks":[["20","1"]]}"#
    }

    private static func change(_ bid: String) -> String {
        #"{"type":"l2update","product_id":"A-USD","changes":[["buy","\#(bid)","2"]],"time":"2026-01-01T00:00:00.000000Z"}"#
    }

    private static func match(_ id: Int) -> String {
        #"{"type":"match","trade_id":\#(id),"maker_order_id":"a","taker_order_id":"b","side":"sell","size":"1","price":"10","#
            + #""product_id":"A-USD","sequence":1,"time":"2026-01-01T00:00:00.000000Z"}"#
    }

    @Test("pass each trade on once, whichever line brings it first")
    func trades() throws {
        var talk = try Talk()
        for (line, id) in [(0, 1), (1, 1), (1, 2), (0, 2), (0, 3)] { talk.hear(Self.match(id), line: line) }
        #expect(talk.faults.isEmpty && talk.joined.lines == [0, 1])
        #expect(talk.count { if case .trade = $0 { true } else { false } } == 3)
        #expect(talk.joined.counters.trades == 5 && talk.joined.instruments.count == 1)
    }

    @Test("let the book of another line take over, as a snapshot of the same moment, when the leader's is lost")
    func takesOver() throws {
        var talk = try Talk()
        talk.hear(Self.snapshot("10"), line: 0)
        talk.hear(Self.snapshot("10"), line: 1)
        talk.hear(Self.change("11"), line: 0)
        #expect(talk.bestBid == "11")
        let before = talk.events.count
        talk.lose(0, atNs: 77)
        let after = talk.events[before...]
        #expect(talk.bestBid == "10")
        guard case .bookSnapshot = after.last?.payload else { return #expect(Bool(false), "no snapshot") }
        #expect(after.count == 1 && after.last?.receivedNs == 77)
        talk.hear(Self.change("12"), line: 1)
        #expect(talk.bestBid == "12")
        // The last line's loss is everybody's.
        talk.lose(1)
        guard case .status(let status) = talk.events.last?.payload else { return #expect(Bool(false), "no status") }
        #expect(status.state == .disconnected && talk.bestBid == nil)
    }

    @Test("tell the leader's book anew when another line needs finer units")
    func units() throws {
        var talk = try Talk()
        talk.hear(Self.snapshot("10"), line: 0)
        talk.hear(Self.snapshot("10"), line: 1)
        talk.hear(Self.change("11.25"), line: 1)
        #expect(talk.bestBid == "10", "the second line does not lead")
        #expect(talk.count { if case .bookSnapshot = $0 { true } else { false } } >= 2)
        talk.hear(Self.change("11.25"), line: 0)
        #expect(talk.bestBid == "11.25")
        #expect(talk.faults.isEmpty)
    }

    @Test("look for the quiet books of a line, and say whether there were some")
    func quiet() throws {
        var talk = try Talk()
        talk.hear(Self.snapshot("10"), line: 1, atNs: 1)
        // A line that is not there has no books.
        let looks = [(0, 500), (1, 101), (1, 102), (1, 201)].map { talk.look($0, atNs: $1) }
        #expect(looks == [false, false, true, false], "it is told once")
        #expect(talk.lastStatus?.state == .stale && talk.actions.isEmpty)
        let isAskedFor = talk.look(1, atNs: 202)
        #expect(isAskedFor)
        #expect(talk.lastStatus == MarketStatus(.resyncing, .silence))
        #expect(talk.actions.map(\.connection) == [2], "the venue is asked by the line that has the book")
    }

    @Test("say that something is missing before a book when nobody had one any more, and only then")
    func gaps() throws {
        var talk = try Talk()
        let hasGap = { (event: MarketEvent?) -> Bool? in
            if case .bookSnapshot? = event?.payload { event?.flags.contains(.gapBefore) } else { nil }
        }
        var heard: [Bool?] = []
        talk.hear(Self.snapshot("10"), line: 0)
        heard.append(hasGap(talk.events.first { if case .bookSnapshot = $0.payload { true } else { false } }))
        talk.hear(Self.snapshot("11"), line: 0)
        heard.append(hasGap(talk.events.last))
        talk.lose(0)
        // It never had one, but those who listen had.
        talk.hear(Self.snapshot("12"), line: 1)
        heard.append(hasGap(talk.events.last { if case .bookSnapshot = $0.payload { true } else { false } }))
        talk.hear(Self.snapshot("12"), line: 0)
        talk.lose(1)
        heard.append(hasGap(talk.events.last))
        #expect(heard == [false, false, true, false])
    }

    @Test("begin a line anew that has ended, and forget nothing of what was counted")
    func ends() throws {
        var talk = try Talk()
        talk.hear(Self.snapshot("10"), line: 0)
        talk.hear(Self.snapshot("10"), line: 1)
        talk.lose(0)
        talk.joined.end(0)
        #expect(talk.joined.lines == [1] && talk.joined.instruments(ofLine: 0).isEmpty)
        #expect(talk.joined.counters.bookSnapshots == 2 && talk.bestBid == "10")
        talk.hear(Self.change("11"), line: 0)
        #expect(talk.bestBid == "10", "what follows on another connection does not follow the old book")
        talk.hear(Self.snapshot("12"), line: 0)
        talk.lose(1)
        #expect(talk.bestBid == "12" && talk.joined.lastTakeover == 0)
    }

    @Test("hand on what other lines have to do about new units, under their own connections")
    func unitsAsk() throws {
        var talk = try Talk()
        talk.hear(Self.snapshot("10"), line: 0)
        // Too large for the finer units.
        talk.hear(Self.snapshot("9000000000000000"), line: 1)
        talk.hear(Self.change("11.2512345"), line: 0)
        #expect(talk.actions.map(\.connection) == [2])
        #expect(talk.bestBid == "11.2512345")
    }
}
