import Feeds
import Foundation
import Market
import Testing

/// Makes a message of fields separated by bars, with the length and the sum that belong to it.
func fix(_ body: String, begin: String = "FIXT.1.1") -> [UInt8] {
    let fields = body.split(separator: "|").map { $0 + "\u{1}" }.joined()
    let head = "8=\(begin)\u{1}9=\(fields.utf8.count)\u{1}" + fields
    let sum = head.utf8.reduce(UInt8(0)) { $0 &+ $1 }
    let digits = String(sum)
    return Array((head + "10=" + String(repeating: "0", count: 3 - digits.count) + digits + "\u{1}").utf8)
}

/// A feed that is told messages, and what came of them.
struct FIXFeed {
    var feed: VenueFeed
    var table = InstrumentTable()
    var recorder = Replay.Recorder()
    var actions: [FeedAction] = []
    var now: Int64 = 1_000

    init(_ dialect: FIXMarketDataDialect = FIXMarketDataDialect()) { feed = VenueFeed(dialect) }

    mutating func receive(_ message: [UInt8]) throws(FrameFault) {
        now += 1
        recorder.line += 1
        let bytes = message
        do {
            try bytes.withUnsafeBytes { bytes in
                try feed.receive(
                    bytes,
                    connection: 1,
                    atNs: now,
                    instruments: &table,
                    actions: &actions,
                    into: &recorder
                )
            }
        } catch let fault as FrameFault {
            throw fault
        } catch {
            Issue.record("\(error)")
        }
    }

    mutating func receive(_ body: String) throws(FrameFault) { try receive(fix(body)) }

    /// `bid 1.5x2 ...` of a live book, best first; nil when there is none.
    func book(_ symbol: String, _ side: Side) -> String? {
        guard let id = table.id(named: symbol), let book = feed.book(of: id) else { return nil }
        return book.top(100, of: side)
            .map { "\(table[id].text($0.price))x\(table[id].text($0.quantity))" }.joined(separator: " ")
    }

    var trades: [(event: MarketEvent, trade: Trade, instrument: Instrument)] {
        recorder.events.compactMap { _, event, instrument in
            guard case .trade(let trade) = event.payload else { return nil }
            return (event, trade, instrument)
        }
    }
}

@Suite("FIX market data")
struct FIXMarketDataTests {
    private static let sent = "52=20240102-10:00:00.250"
    private static let full =
        "35=W|\(sent)|55=EUR/USD|268=4|269=0|270=1.10|271=5|269=0|270=1.09|271=6|269=1|270=1.20|271=7|269=1|270=1.21|271=8"

    @Test("takes a full snapshot, and increments by price")
    func byPrice() throws {
        var feed = FIXFeed()
        try feed.receive(Self.full)
        #expect(feed.book("EUR/USD", .bid) == "1.1x5 1.09x6")
        #expect(feed.book("EUR/USD", .ask) == "1.2x7 1.21x8")
        // Two instruments in one message; the second entry has no symbol of its own.
        try feed.receive(
            "35=X|\(Self.sent)|268=4|279=0|269=0|55=EUR/USD|270=1.11|271=1|279=1|269=1|270=1.20|271=9.5|"
                + "279=2|269=1|270=1.21|279=0|269=2|55=GBP/USD|270=1.3|271=2|1003=T1|2446=2"
        )
        #expect(feed.book("EUR/USD", .bid) == "1.11x1 1.1x5 1.09x6")
        #expect(feed.book("EUR/USD", .ask) == "1.2x9.5")
        let trade = try #require(feed.trades.first)
        #expect(trade.instrument.symbol == "GBP/USD")
        #expect(trade.instrument.kind == .spot)
        #expect(trade.trade.aggressor == .seller)
        #expect(trade.trade.id.text == "T1")
        #expect(trade.event.eventNs == 1_704_189_600_250_000_000)
        #expect(!trade.event.flags.contains(.synthetic))
    }

    @Test("adds up entries that have names of their own, and lets them move")
    func byEntry() throws {
        var feed = FIXFeed()
        try feed.receive(
            "35=W|\(Self.sent)|55=A|268=3|269=0|278=b1|270=10|271=5|269=0|278=b2|270=10|271=2.5|269=1|278=a1|270=11|271=1"
        )
        #expect(feed.book("A", .bid) == "10x7.5")
        // One goes, one moves, one keeps its price, one gets another name.
        try feed.receive("35=X|55=A|268=1|279=2|269=0|278=b1")
        #expect(feed.book("A", .bid) == "10x2.5")
        try feed.receive("35=X|268=2|279=1|269=0|55=A|278=b2|270=9.5|279=1|269=1|278=a1|271=4")
        #expect(feed.book("A", .bid) == "9.5x2.5")
        #expect(feed.book("A", .ask) == "11x4")
        try feed.receive("35=X|55=A|268=1|279=1|269=1|278=a2|280=a1|270=12|271=3")
        #expect(feed.book("A", .ask) == "12x3")
        // Removing what is unknown changes nothing; changing it shows a loss.
        try feed.receive("35=X|55=A|268=1|279=2|269=1|278=zz")
        #expect(feed.book("A", .ask) == "12x3")
        #expect(feed.actions.isEmpty)
        try feed.receive("35=X|55=A|268=1|279=1|269=1|278=zz|271=3")
        #expect(feed.book("A", .ask) == nil)
        #expect(feed.feed.counters.gaps == 1)
        guard case .resubscribe("A", let frames) = feed.actions.first?.demand else {
            Issue.record("no resubscription")
            return
        }
        #expect(frames.allSatisfy { $0.hasPrefix("35=V\u{1}") })
    }

    @Test("goes by places where entries have them")
    func byPlace() throws {
        var feed = FIXFeed(FIXMarketDataDialect(depth: 3))
        let snapshot = "35=W|55=A|268=3|269=0|1023=1|270=10|271=1|269=0|1023=2|270=9|271=2|269=0|1023=3|270=8|271=3"
        try feed.receive(snapshot)
        // What is pushed out of the depth goes without a word.
        try feed.receive("35=X|55=A|268=1|279=0|269=0|1023=2|270=9.5|271=4")
        #expect(feed.book("A", .bid) == "10x1 9.5x4 9x2")
        try feed.receive("35=X|55=A|268=1|279=1|269=0|1023=2|271=5")
        #expect(feed.book("A", .bid) == "10x1 9.5x5 9x2")
        // An overlay puts another price in the place.
        try feed.receive("35=X|55=A|268=1|279=5|269=0|1023=1|270=10.5|271=6")
        #expect(feed.book("A", .bid) == "10.5x6 9.5x5 9x2")
        try feed.receive("35=X|55=A|268=2|279=2|269=0|1023=1|279=0|269=0|1023=3|270=8|271=7")
        #expect(feed.book("A", .bid) == "9.5x5 9x2 8x7")
        try feed.receive("35=X|55=A|268=1|279=3|269=0|290=2")
        #expect(feed.book("A", .bid) == "8x7")
        try feed.receive(
            "35=X|55=A|268=3|279=0|269=0|290=1|270=9|271=1|279=0|269=0|290=3|270=7|271=1|279=4|269=0|290=2"
        )
        #expect(feed.book("A", .bid) == "9x1")
        // A place that the book does not have shows a loss.
        try feed.receive("35=X|55=A|268=1|279=1|269=0|290=2|270=8|271=1")
        #expect(feed.book("A", .bid) == nil)
    }

    @Test("empties a book, and waits for a snapshot before it takes increments")
    func emptyBook() throws {
        var feed = FIXFeed()
        #expect(throws: FrameFault.unknownSymbol) { try feed.receive("35=X|268=1|279=0|269=0|55=A|270=1|271=1") }
        try feed.receive("35=X|268=2|279=0|269=J|55=A|279=0|269=0|55=A|270=1|271=1")
        #expect(feed.book("A", .bid) == "1x1")
        try feed.receive("35=W|55=A|268=1|269=J")
        #expect(feed.book("A", .bid) == "")
    }

    @Test("makes a derived trade of quantity one of an index value")
    func indexValue() throws {
        var feed = FIXFeed()
        try feed.receive(
            "35=X|\(Self.sent)|268=1|279=0|55=J200|269=3|270=25929.169999999996|451=bad|273=10:00:01.5|83=4"
        )
        try feed.receive("35=X|\(Self.sent)|268=2|279=0|55=J200|269=3|270=25929|83=6|279=0|55=J200|269=y|270=1|83=6")
        try feed.receive("35=W|\(Self.sent)|55=J200|268=1|269=3|270=25930")
        #expect(feed.trades.map { $0.instrument.text($0.trade.price) } == ["25929.169999999996", "25929", "25930"])
        for trade in feed.trades {
            #expect(trade.instrument.kind == .index)
            #expect(trade.instrument.text(trade.trade.quantity) == "1")
            #expect(trade.event.flags.contains(.synthetic))
            #expect(trade.trade.aggressor == .unknown)
        }
        #expect(feed.trades[0].event.eventNs == 1_704_189_601_500_000_000)
        // RptSeq 5 is missing; a snapshot's value is none of the count.
        #expect(feed.trades.map { $0.event.flags.contains(.gapBefore) } == [false, true, false])
        #expect(feed.feed.counters.missedTrades == 1)
        #expect(feed.trades[2].event.flags.contains(.historic))
    }

    @Test(
        "puts a time without a date on the day nearest to the sending",
        arguments: [
            ("20240102-23:59:59", "00:00:01", "2024-01-03T00:00:01Z"),
            ("20240102-00:00:01", "23:59:59", "2024-01-01T23:59:59Z"),
            ("20240102-12:00:00", "12:00:30.123456789", "2024-01-02T12:00:30Z"),
        ]
    )
    func times(sent: String, time: String, expected: String) throws {
        var feed = FIXFeed()
        try feed.receive("35=X|52=\(sent)|268=1|279=0|55=A|269=2|270=1|271=1|273=\(time)")
        let seconds = try #require(feed.trades.first).event.eventNs / 1_000_000_000
        #expect(Date(timeIntervalSince1970: Double(seconds)).formatted(.iso8601) == expected)
    }

    @Test("ties a book to the count of its updates where its snapshot was not counted")
    func countsUpdates() throws {
        var feed = FIXFeed()
        try feed.receive("35=W|55=A|268=1|269=0|270=1|271=1")
        try feed.receive("35=X|268=1|279=0|269=0|55=A|270=2|271=1|1180=P|1181=8")
        #expect(feed.book("A", .bid) == "2x1 1x1")
        try feed.receive("35=X|268=1|279=0|269=0|55=A|270=3|271=1|1180=P|1181=10")
        #expect(feed.book("A", .bid) == nil && feed.feed.counters.frameGaps == 1)
    }

    @Test("resynchronizes the books of an application whose count has a hole, and drops what it counted before")
    func applicationCount() throws {
        var feed = FIXFeed()
        for (symbol, application) in [("A", "P"), ("B", "Q")] {
            try feed.receive("35=W|1180=\(application)|1181=7|55=\(symbol)|268=1|269=0|270=1|271=1")
        }
        // The count may stand behind the entries.
        try feed.receive("35=X|268=1|279=0|269=0|55=A|270=2|271=1|1180=P|1181=8")
        try feed.receive("35=X|268=1|279=2|269=0|55=A|270=2|1180=P|1181=8")
        #expect(feed.book("A", .bid) == "2x1 1x1")
        #expect(feed.feed.counters.repeatedFrames == 1)
        try feed.receive("35=X|268=1|279=0|269=0|55=A|270=3|271=1|1180=P|1181=10")
        #expect(feed.feed.counters.frameGaps == 1)
        #expect(feed.book("A", .bid) == nil)
        #expect(feed.book("B", .bid) == "1x1")
        try feed.receive("35=0|1180=Q")
        try feed.receive("35=BY|1426=0")
        #expect(feed.actions.last?.demand == .reconnect(.venueRequest))
    }

    @Test("tells of refusals, halts and heartbeats")
    func others() throws {
        var feed = FIXFeed()
        try feed.receive("35=Y|262=1|281=0|58=no such thing")
        #expect(feed.actions.last?.demand == .report(refusal: "no such thing"))
        try feed.receive("35=Y|262=1|281=4")
        #expect(feed.actions.last?.demand == .report(refusal: "4"))
        try feed.receive("35=W|55=A|268=1|269=0|270=1|271=1")
        try feed.receive("35=f|55=A|326=2")
        try feed.receive("35=f|55=A|326=20")
        try feed.receive("35=f|55=A|326=17")
        let states = feed.recorder.events.compactMap { _, event, _ -> MarketStatus.State? in
            guard case .status(let status) = event.payload else { return nil }
            return status.state
        }
        #expect(states == [.connected, .live, .halted, .live])
        for type in ["0", "1|112=x", "A|98=0|108=30", "h|336=1|340=2"] { try feed.receive("35=\(type)") }
        #expect(throws: FrameFault.unknownMessage) { try feed.receive("35=zz|55=A") }
    }

    @Test("takes raw data that holds the end of a field, and any identifier of an instrument")
    func rawData() throws {
        var feed = FIXFeed()
        let body = "35=X|95=7|96=a\u{1}269=2|55=[N/A]|48=4711|268=1|279=0|269=2|270=-0.50|271=007.10|453=1|448=me"
        try feed.receive(body)
        let trade = try #require(feed.trades.first)
        #expect(trade.instrument.rawSymbol == "4711")
        #expect(trade.instrument.text(trade.trade.price) == "-0.5")
        #expect(trade.instrument.text(trade.trade.quantity) == "7.1")
    }

    @Test("takes values with quotes in them, which mean nothing in FIX")
    func quotes() throws {
        var feed = FIXFeed()
        try feed.receive("35=Y|262=1|58=\"XYZ\" is unknown")
        #expect(feed.actions.last?.demand == .report(refusal: "\"XYZ\" is unknown"))
        #expect(throws: FrameFault.unknownMessage) { try feed.receive("35=\"|262=1") }
        try feed.receive("35=X|268=1|279=0|269=2|55=\"|270=1|271=1|1003=\"7")
        #expect(feed.trades.first?.instrument.rawSymbol == "\"")
        #expect(feed.trades.first?.trade.id.text == "\"7")
    }

    @Test(
        "refuses what is no message",
        arguments: [
            ("35=X|268=2|279=0|269=2|55=A|270=1|271=1", FrameFault.wrong(field: "NoMDEntries")),
            ("35=X|268=0|279=0|269=2|55=A|270=1|271=1", .wrong(field: "NoMDEntries")),
            ("35=X|268=999999|279=0|269=2|55=A|270=1|271=1", .wrong(field: "NoMDEntries")),
            ("35=X|55=A", .missing(field: "NoMDEntries")),
            ("35=X|268=1|55=A|279=0|269=2|270=1|271=1", .missing(field: "MDEntryType")),
            ("35=X|268=1|279=0|269=2|270=1|271=1", .missing(field: "Symbol")),
            ("35=X|268=1|279=0|269=2|55=A|271=1", .missing(field: "MDEntryPx")),
            ("35=X|268=1|279=0|269=2|55=A|270=1", .missing(field: "MDEntrySize")),
            ("35=X|268=1|279=0|269=2|55=A|270=1|271=-1", .negativeQuantity),
            ("35=X|268=1|279=7|269=2|55=A|270=1|271=1", .wrong(field: "MDUpdateAction")),
            ("35=X|268=1|279=3|269=0|55=A|270=1|271=1", .wrong(field: "MDUpdateAction")),
            ("35=X|268=1|279=0|269=0|55=A|270=1|271=1|290=0", .wrong(field: "MDPriceLevel")),
            ("35=X|1181=x|268=1|279=0|269=2|55=A|270=1|271=1", .wrong(field: "ApplSeqNum")),
            ("35=X|268=1|279=0|269=2|55=A B|270=1|271=1", .unknownSymbol),
            ("35=X|52=20240230-00:00:00|268=1|279=0|269=2|55=A|270=1|271=1", .badTime(offset: 24)),
            ("268=1|35=X", .missing(field: "MsgType")),
            ("35=X|95=99|96=a|268=1", .wrong(field: "data length")),
        ]
    )
    func refusals(body: String, fault: FrameFault) {
        var feed = FIXFeed()
        #expect(throws: fault) { try feed.receive(body) }
        #expect(feed.recorder.events.isEmpty)
    }

    @Test(
        "refuses numbers that are none",
        arguments: ["", "-", ".", "1.2.3", "1e5", "+1", " 1", "1,5", "99999999999999999999"]
    )
    func numbers(price: String) {
        var feed = FIXFeed()
        #expect(throws: FrameFault.self) { try feed.receive("35=X|268=1|279=0|269=2|55=A|270=\(price)|271=1") }
    }

    @Test("refuses a length or a sum that lies, and nothing changes")
    func frame() {
        let good = fix("35=X|268=1|279=0|269=2|55=A|270=1|271=1")
        var feed = FIXFeed()
        var wrong = good
        wrong[wrong.count - 2] ^= 1
        #expect(throws: FrameFault.wrong(field: "CheckSum")) { try feed.receive(wrong) }
        let text = String(decoding: good, as: UTF8.self)
        for (from, to) in [("\u{1}9=", "\u{1}9=1"), ("\u{1}9=", "\u{1}9=0")] {
            let lie = Array(text.replacing(from, with: to, maxReplacements: 1).utf8)
            #expect(throws: FrameFault.self) { try feed.receive(lie) }
        }
        for count in 0..<good.count {
            #expect(throws: FrameFault.self) { try feed.receive(Array(good.prefix(count))) }
        }
        for index in good.indices {
            var broken = good
            broken[index] ^= 0x10
            #expect(throws: FrameFault.self) { try feed.receive(broken) }
        }
        #expect(feed.recorder.events.isEmpty)
    }

    @Test("a refused message of several instruments changes none, and live books that miss it begin anew")
    func whole() throws {
        var feed = FIXFeed()
        try feed.receive("35=W|55=A|268=1|269=0|270=1|271=1")
        let before = feed.recorder.events.count
        #expect(throws: FrameFault.unknownSymbol) {
            try feed.receive(
                "35=X|268=3|279=0|269=2|55=T|270=1|271=1|279=0|269=0|55=A|270=2|271=1|279=0|269=0|55=B|270=1|271=1"
            )
        }
        #expect(feed.table.id(named: "T") == nil)
        #expect(feed.book("A", .bid) == nil)
        #expect(feed.recorder.events.count == before + 1)
    }
}
