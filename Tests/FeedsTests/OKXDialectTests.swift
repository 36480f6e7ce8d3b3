import Feeds
import Market
import Testing

@Suite("OKX")
struct OKXDialectTests {
    private static func book(
        _ action: String,
        _ numbers: String,
        bids: String = "",
        asks: String = "",
        time: Int = 5
    ) -> String {
        #"{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"\#(action)","data":[{"asks":[\#(asks)],"#
            + #""bids":[\#(bids)],"ts":"\#(time)"\#(numbers)}]}"#
    }

    private static func numbers(_ previous: Int, _ last: Int) -> String {
        #","checksum":0,"prevSeqId":\#(previous),"seqId":\#(last)"#
    }

    private static let snapshot = book(
        "snapshot",
        numbers(-1, 100),
        bids: #"["10.5","1","0","1"]"#,
        asks: #"["11","2","0","2"]"#
    )

    // MARK: Books

    @Test(
        "goes by the numbers of the one before: next, nothing new, begun anew, a loss, seen before",
        arguments: [
            (previous: 100, last: 105, MarketStatus.State.live, repeated: 0, updates: 1),
            (100, 100, .live, 0, 1), (100, 3, .live, 0, 1), (101, 105, .resyncing, 0, 0), (105, 105, .resyncing, 0, 0),
            (90, 100, .live, 1, 0), (90, 95, .live, 1, 0),
        ]
    )
    func continuity(
        previous: Int,
        last: Int,
        state: MarketStatus.State,
        repeated: Int,
        updates: Int
    ) throws {
        var talk = try VenueDialogue("okx")
        talk.hear(Self.snapshot)
        talk.hear(Self.book("update", Self.numbers(previous, last)))
        #expect(talk.statuses.last?.state == state)
        #expect(talk.replay.feed.counters.repeatedUpdates == repeated)
        #expect(talk.replay.feed.counters.bookUpdates == updates)
    }

    @Test("goes on with small numbers after the venue began them anew, and knows when it missed that")
    func reset() throws {
        var talk = try VenueDialogue("okx")
        talk.hear(Self.snapshot)
        talk.hear(Self.book("update", Self.numbers(100, 3), time: 6))
        talk.hear(Self.book("update", Self.numbers(3, 7), bids: #"["10.6","4","0","1"]"#, time: 7))
        #expect(talk.bids("BTC-USDT") == [["10.6", "4"], ["10.5", "1"]])
        var missing = try VenueDialogue("okx")
        missing.hear(Self.snapshot)
        missing.hear(Self.book("update", Self.numbers(3, 7), bids: #"["10.6","4","0","1"]"#, time: 7))
        #expect(missing.statuses.last == MarketStatus(.resyncing, .gap))
    }

    @Test("a gap makes the book be subscribed to again, and the next snapshot says so")
    func gap() throws {
        var talk = try VenueDialogue("okx")
        talk.hear(Self.snapshot)
        talk.hear(Self.book("update", Self.numbers(101, 105)))
        let argument = #"[{"channel":"books","instId":"BTC-USDT"}]"#
        let frames = ["unsubscribe", "subscribe"].map { #"{"op":"\#($0)","args":\#(argument)}"# }
        #expect(talk.demand == .resubscribe(rawSymbol: "BTC-USDT", frames: frames))
        let events = talk.hear(Self.snapshot)
        #expect(events.first?.flags.contains(.gapBefore) == true)
        #expect(talk.statuses.last?.state == .live)
    }

    @Test(
        "takes a checksum of 0 for none, a right one for right, any other for a wrong book",
        arguments: [
            ("0", right: 0, wrong: 0), ("CRC", 1, 0), ("1", 0, 1), ("-2147483648", 0, 1),
        ]
    )
    func checksums(text: String, right: Int, wrong: Int) throws {
        let checksum = text == "CRC" ? "\(Self.signedCRC("10.5:1:11:2"))" : text
        var talk = try VenueDialogue("okx")
        talk.hear(Self.book("snapshot", "", bids: #"["10.5","1"]"#, asks: #"["11","2"]"#))
        talk.hear(Self.book("update", #","checksum":\#(checksum)"#))
        #expect(talk.replay.feed.counters.checksumsRight == right)
        #expect(talk.replay.feed.counters.checksumsWrong == wrong)
        #expect(talk.statuses.last == (wrong == 0 ? MarketStatus(.live, .none) : MarketStatus(.resyncing, .checksum)))
    }

    @Test("counts wrong checksums only, where that is the rule")
    func policy() throws {
        var talk = try VenueDialogue("okx")
        talk.replay.feed.checksumRule = .count
        talk.hear(Self.book("snapshot", #","checksum":1"#, bids: #"["10.5","1"]"#, asks: #"["11","2"]"#))
        #expect(talk.replay.feed.counters.checksumsWrong == 1)
        #expect(talk.statuses.last?.state == .live)
    }

    @Test(
        "every recorded book message bears a checksum, and it is right",
        .enabled(if: Captures.arePresent, "the captures are not beside the package")
    )
    func recordedChecksums() throws {
        var replay = try Replay("okx")
        replay.play(try CaptureFile("okx/okx-A.cap.gz"))
        let counters = replay.feed.counters
        #expect(counters.checksumsRight == counters.bookSnapshots + counters.bookUpdates)
        #expect(counters.checksumsRight == 191)
    }

    /// CRC-32 of ISO 3309, bit by bit: not the hub's own.
    private static func signedCRC(_ text: String) -> Int32 {
        var sum: UInt32 = 0xFFFF_FFFF
        for byte in text.utf8 {
            sum ^= UInt32(byte)
            for _ in 0..<8 { sum = sum & 1 == 1 ? sum >> 1 ^ 0xEDB8_8320 : sum >> 1 }
        }
        return Int32(bitPattern: ~sum)
    }

    @Test("reads a frame whose data come before what they are")
    func order() throws {
        var talk = try VenueDialogue("okx")
        talk.hear(
            #" { "data" : [ { "seqId":9, "bids":[["1","2"]], "ts":"7", "prevSeqId":-1, "asks":[] } ] , "#
                + #""action":"snapshot","arg":{"instId":"A-B","channel":"books"} } "#
        )
        #expect(talk.fault == nil)
        #expect(talk.bids("A-B") == [["1", "2"]])
    }

    @Test("an update before the snapshot of an unknown book is a fault")
    func unknown() throws {
        var talk = try VenueDialogue("okx")
        talk.hear(Self.book("update", Self.numbers(1, 2)))
        #expect(talk.fault == .unknownSymbol)
    }

    // MARK: Trades and quotes

    @Test("reads all trades of a frame; the side is the taker's")
    func trades() throws {
        var talk = try VenueDialogue("okx")
        let events = talk.hear(
            #"{"arg":{"channel":"trades","instId":"BTC-USD-SWAP"},"data":["#
                + #"{"instId":"BTC-USD-SWAP","tradeId":"7","px":"100.5","sz":"3","side":"sell","ts":"1652459215150"},"#
                + #"{"side":"buy","instId":"BTC-USD-SWAP","tradeId":"8","px":"101","sz":"2","ts":"1652459215151"}]}"#
        )
        let trades = events.compactMap { if case .trade(let trade) = $0.payload { trade } else { nil } }
        #expect(trades.map(\.aggressor) == [.seller, .buyer])
        #expect(trades.map(\.id.text) == ["7", "8"])
        #expect(trades.map(\.price.ticks) == [1_005, 1_010])
        #expect(events.last?.eventNs == 1_652_459_215_151_000_000)
    }

    @Test("a trade that comes again after a new subscription is left out")
    func repeatedTrade() throws {
        var talk = try VenueDialogue("okx")
        let text =
            #"{"arg":{"channel":"trades","instId":"A-B"},"data":[{"instId":"A-B","tradeId":"7","px":"1","sz":"3","#
            + #""side":"sell","ts":"1"}]}"#
        talk.hear(text)
        #expect(talk.hear(text).isEmpty)
        #expect(talk.replay.feed.counters.repeatedTrades == 1)
    }

    @Test(
        "takes an empty side of a ticker for nothing",
        arguments: [
            #"{"arg":{"channel":"tickers","instId":"A-B"},"data":[{"instId":"A-B","askPx":"2.5","askSz":"3","#
                + #""bidPx":"","bidSz":"","ts":"5"}]}"#,
            #"{"arg":{"channel":"bbo-tbt","instId":"A-B"},"data":[{"asks":[["2.5","3","0","1"]],"bids":[],"ts":"5"}]}"#,
        ]
    )
    func emptySide(text: String) throws {
        var talk = try VenueDialogue("okx")
        guard case .quote(let quote) = talk.hear(text).last?.payload else {
            Issue.record("no quote: \(talk.replay.faults)")
            return
        }
        #expect(quote.bid.quantity.isZero && quote.bid.price.ticks == 0)
        #expect(quote.ask == Level(price: Price(ticks: 25), quantity: Quantity(lots: 3)))
    }

    // MARK: Refusals and events

    @Test(
        "refuses what is not as documented",
        arguments: [
            ("ping", FrameFault.unexpected(byte: UInt8(ascii: "p"), offset: 0)), ("{}", .missing(field: "event")),
            (#"{"event":"dance"}"#, .unknownMessage), (#"{"arg":{},"data":[]}"#, .missing(field: "channel")),
            (#"{"data":[]}"#, .missing(field: "channel")),
            (#"{"arg":{"channel":"books"},"action":"snapshot","data":[{}]}"#, .missing(field: "instId")),
            (#"{"arg":{"channel":"books","instId":"A-B"},"data":[{}]}"#, .wrong(field: "action")),
            (#"{"arg":{"channel":"books","instId":"A-B"},"action":"partial","data":[{}]}"#, .wrong(field: "action")),
            (
                #"{"arg":{"channel":"books","instId":"A-B"},"action":"snapshot","data":[{"asks":[]}]}"#,
                .missing(field: "levels")
            ),
            (book("update", #","seqId":5"#), .missing(field: "prevSeqId")),
            (book("snapshot", #","prevSeqId":-1"#), .missing(field: "seqId")),
            (book("snapshot", #","checksum":4294967296"#), .wrong(field: "checksum")),
            (book("snapshot", #","checksum":1.5"#), .wrong(field: "checksum")),
            (book("snapshot", "", bids: #"["1","-1"]"#), .negativeQuantity),
            (#"{"arg":{"channel":"trades","instId":"A-B"},"data":[{"instId":5}]}"#, .missing(field: "instId")),
            (#"{"arg":{"channel":"trades","instId":"A-B"},"data":[{"instId":"A-B"}]}"#, .wrong(field: "side")),
            (
                #"{"arg":{"channel":"trades","instId":"A-B"},"data":[{"instId":"A-B","side":"buy"}]}"#,
                .missing(field: "px")
            ),
            (#"{"arg":{"channel":"tickers","instId":"A-B"},"data":[{"instId":"A-B"}]}"#, .missing(field: "bidPx")),
            (#"{"arg":{"channel":"bbo-tbt"},"data":[{}]}"#, .missing(field: "instId")),
            (#"{"arg":{"channel":"x"},"data":[],"data":[]}"#, .wrong(field: "data")),
        ]
    )
    func refusals(text: String, fault: FrameFault) throws {
        var talk = try VenueDialogue("okx")
        talk.hear(text)
        #expect(talk.fault == fault)
        #expect(talk.replay.table.all.isEmpty)
    }

    @Test(
        "understands what is said beside the data",
        arguments: [
            ("pong", nil), (#"{"event":"unsubscribe","arg":{"channel":"books","instId":"A-B"}}"#, nil),
            (#"{"event":"subscribe","arg":{"channel":"books","instId":"A-B"},"connId":"x"}"#, nil),
            (#"{"event":"channel-conn-count","channel":"books","connCount":"1","connId":"x"}"#, nil),
            (#"{"event":"notice","code":"1","msg":"x"}"#, nil),
            (#"{"arg":{"channel":"funding-rate","instId":"A-B"},"data":[{"x":1}]}"#, nil),
            (
                #"{"event":"notice","code":"64008","msg":"The connection will soon be closed"}"#,
                FeedAction.Demand.reconnect(.venueRequest)
            ),
            (#"{"event":"error","code":"60018","msg":"Wrong URL"}"#, .report(refusal: "Wrong URL")),
        ]
    )
    func events(text: String, demand: FeedAction.Demand?) throws {
        var talk = try VenueDialogue("okx")
        talk.hear(text)
        #expect(talk.fault == nil)
        #expect(talk.demand == demand)
    }

    // MARK: What is sent

    @Test("subscribes channel by channel as recorded, in requests of at most 64 KB")
    func subscribing() {
        let dialect = OKXDialect()
        let few = VenueSubscription(rawSymbols: ["BTC-USDT", "UNI-USD-SWAP"], channels: [.quotes, .book])
        #expect(
            dialect.subscribeFrames(for: few) == [
                #"{"op":"subscribe","args":[{"channel":"tickers","instId":"BTC-USDT"},"#
                    + #"{"channel":"tickers","instId":"UNI-USD-SWAP"}]}"#,
                #"{"op":"subscribe","args":[{"channel":"books","instId":"BTC-USDT"},"#
                    + #"{"channel":"books","instId":"UNI-USD-SWAP"}]}"#,
            ]
        )
        let names = (0..<1_000).map { String(repeating: "A", count: 60) + "-\($0)" }
        let frames = dialect.subscribeFrames(for: VenueSubscription(rawSymbols: names, channels: [.trades, .book]))
        #expect(frames.count == 6)
        #expect(frames.allSatisfy { $0.utf8.count <= 65_536 })
        #expect(dialect.rules.pingText == "ping")
    }

    @Test("begins a book anew on the channel that it came by")
    func resubscribing() throws {
        let dialect = OKXDialect()
        let fast = VenueSubscription(rawSymbols: ["A-B"], channels: [.trades], ownChannels: ["books-l2-tbt"])
        let frames = try #require(dialect.resubscribeFrames(rawSymbol: "A-B", in: fast))
        let argument = #"[{"channel":"books-l2-tbt","instId":"A-B"}]"#
        #expect(frames == ["unsubscribe", "subscribe"].map { #"{"op":"\#($0)","args":\#(argument)}"# })
        let usual = VenueSubscription(rawSymbols: ["A-B"], channels: [.book])
        #expect(dialect.resubscribeFrames(rawSymbol: "A-B", in: usual) == nil)
    }

    // MARK: Names

    @Test(
        "gives instruments the hub's names",
        arguments: [
            ("BTC-USDT", "BTC-USDT", Instrument.Kind.spot), ("UNI-USD-SWAP", "UNI-USD-PERP", .perpetual),
            ("BTC-USD-220527", "BTC-USD-20220527", .future),
            ("BTC-USD-220527-30000-C", "BTC-USD-20220527-30000-C", .option),
            ("ETH-USD-220527-1800.5-P", "ETH-USD-20220527-1800.5-P", .option), ("BTC", "BTC", .spot),
            ("BTC-USD-221332", "BTC-USD-221332", .spot), ("BTC-USD-220527-X-C", "BTC-USD-220527-X-C", .spot),
            ("BTC--", "BTC--", .spot),
        ]
    )
    func names(rawSymbol: String, symbol: String, kind: Instrument.Kind) {
        #expect(OKXDialect().symbol(ofRaw: rawSymbol) == VenueSymbol(symbol, kind))
    }

    @Test(
        "reads every entry of the recorded list",
        .enabled(if: Captures.arePresent, "the captures are not beside the package")
    )
    func listing() throws {
        #expect(
            try listed(try Captures.bytes("instruments/okx.json"), of: OKXDialect()) == [
                "BTC-USDT BTC-USDT spot 1/1 8/1 BTC/USDT/USDT none linear 0 none none",
                "UNI-USD-SWAP UNI-USD-PERP perpetual 3/1 0/1 UNI/USD/UNI 10 inverse 0 none none",
            ]
        )
    }

    @Test("reads a future, an option, and leaves out margin pairs and what has no steps yet")
    func ownListing() throws {
        let text = #"""
            {"code":"0","data":[
            {"instId":"BTC-USDT","instType":"MARGIN","baseCcy":"BTC","quoteCcy":"USDT","tickSz":"0.1","lotSz":"1"},
            {"instId":"NEW-USDT","instType":"SPOT","baseCcy":"NEW","quoteCcy":"USDT","tickSz":"","lotSz":""},
            {"instId":"BTC-USDT-220527","instType":"FUTURES","uly":"BTC-USDT","settleCcy":"USDT","ctVal":"0.01",
             "ctMult":"1","ctType":"linear","expTime":"1653638400000","tickSz":"0.5","lotSz":"1"},
            {"instId":"BTC-USD-220527-30000-P","instType":"OPTION","uly":"BTC-USD","settleCcy":"BTC","ctVal":"1",
             "ctMult":"0.01","ctType":"","expTime":"1653638400000","stk":"30000","optType":"P","tickSz":"0.0005",
             "lotSz":"1"}],"msg":""}
            """#
        #expect(
            try listed(Array(text.utf8), of: OKXDialect()) == [
                "BTC-USDT-220527 BTC-USDT-20220527 future 1/5 0/1 BTC/USDT/USDT 0.01 linear 1653638400000 none none",
                "BTC-USD-220527-30000-P BTC-USD-20220527-30000-P option 4/5 0/1 BTC/USD/BTC 0.01 linear 1653638400000 "
                    + "30000 put",
            ]
        )
    }

    @Test(
        "refuses an entry that is not as documented",
        arguments: [
            (#"{"instId":"A-B-SWAP","instType":"SWAP","uly":"AB","tickSz":"1","lotSz":"1"}"#, "uly"),
            (
                #"{"instId":"x","instType":"OPTION","uly":"A-B","stk":"1","optType":"X","tickSz":"1","lotSz":"1"}"#,
                "optType"
            ),
        ]
    )
    func wrongListing(entry: String, field: FrameFault.FieldName) {
        #expect(throws: FrameFault.wrong(field: field)) { try listed(Array("[\(entry)]".utf8), of: OKXDialect()) }
    }
}
