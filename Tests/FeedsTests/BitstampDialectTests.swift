import Feeds
import Market
import Testing

@Suite("Bitstamp")
struct BitstampDialectTests {
    private static let url = "https://www.bitstamp.net/api/v2/order_book/ethusd"

    private static func change(_ time: Int, bids: String = "", asks: String = "") -> String {
        #"{"data":{"timestamp":"1","microtimestamp":"\#(time)","bids":[\#(bids)],"asks":[\#(asks)]},"#
            + #""channel":"diff_order_book_ethusd","event":"data"}"#
    }

    private static func book(_ time: Int, bid: String = "10.5") -> String {
        #"{"timestamp": "1", "microtimestamp": "\#(time)", "bids": [["\#(bid)", "1.00000000"]], "asks": [["11", "2"]]}"#
    }

    // MARK: Books

    @Test("keeps changes until the book comes, drops what is not newer, and goes on from there")
    func waits() throws {
        var talk = try VenueDialogue("bitstamp")
        talk.hear(Self.change(98, bids: #"["10.4","9"]"#))
        talk.hear(Self.change(100, bids: #"["10.5","7"]"#))
        talk.hear(Self.change(101, bids: #"["10.6","3"]"#))
        #expect(talk.demand == .fetchSnapshot(url: Self.url, rawSymbol: "ethusd"))
        talk.answer(Self.url, Self.book(100))
        talk.hear(Self.change(102, asks: #"["11","0.00000000"]"#))
        #expect(talk.replay.faults.isEmpty)
        #expect(talk.bids("ETH-USD") == [["10.6", "3"], ["10.5", "1"]])
        #expect(talk.asks("ETH-USD").isEmpty)
        #expect(talk.replay.feed.counters.repeatedUpdates == 2)
        #expect(talk.replay.actions.count == 1)
    }

    @Test(
        "applies what is as new as the last change, and nothing older",
        arguments: [(time: 100, isApplied: false), (101, true), (105, true), (99, false)]
    )
    func newer(time: Int, isApplied: Bool) throws {
        var talk = try VenueDialogue("bitstamp")
        talk.answer(Self.url, Self.book(100))
        talk.hear(Self.change(time, bids: #"["10.7","1"]"#))
        #expect(talk.bids("ETH-USD").count == (isApplied ? 2 : 1))
        // Two changes may bear the same time.
        talk.hear(Self.change(time, bids: #"["10.8","1"]"#))
        #expect(talk.bids("ETH-USD").count == (isApplied ? 3 : 1))
    }

    @Test("asks again for a book from before the first change that was heard: what lies between was not")
    func tooOld() throws {
        var talk = try VenueDialogue("bitstamp")
        talk.hear(Self.change(200))
        talk.answer(Self.url, Self.book(199))
        #expect(talk.replay.actions.count == 2)
        #expect(talk.bids("ETH-USD").isEmpty)
        talk.answer(Self.url, Self.book(200))
        #expect(talk.statuses.last?.state == .live)
    }

    /// A live book, and an audit of it under way since 60 s after its first change.
    private static func audited() throws -> VenueDialogue {
        var talk = try VenueDialogue("bitstamp")
        talk.hear(change(100), atNs: 1)
        talk.answer(url, book(100), atNs: 2)
        talk.hear(change(101, bids: #"["10.4","4"]"#), atNs: 3)
        talk.hear(change(102, bids: #"["10.3","3"]"#), atNs: 60_000_000_002)
        #expect(talk.replay.actions.count == 1, "not due yet")
        talk.hear(change(103, bids: #"["10.2","2"]"#), atNs: 60_000_000_003)
        #expect(talk.replay.actions.count == 2 && talk.demand == .fetchSnapshot(url: url, rawSymbol: "ethusd"))
        talk.hear(change(104, bids: #"["10.4","5"],["10.1","1"]"#), atNs: 60_000_000_004)
        talk.hear(change(105, asks: #"["11.5","1"]"#), atNs: 60_000_000_005)
        return talk
    }

    private static func answer(_ time: Int, bids: String) -> String {
        #"{"microtimestamp": "\#(time)", "bids": [\#(bids)], "asks": [["11", "2"]]}"#
    }

    @Test("finds a book right that is as a late answer and what came since make it")
    func auditsRight() throws {
        var talk = try Self.audited()
        // As of 103: what came later is not in it.
        let book = #"["10.5","1.0"],["10.4","4"],["10.3","3"],["10.2","2"]"#
        let events = talk.answer(Self.url, Self.answer(103, bids: book), atNs: 60_500_000_000)
        #expect(events.isEmpty && talk.replay.feed.counters.checksumsRight == 1)
        #expect(talk.statuses.last?.state == .live && talk.replay.actions.count == 2)
        talk.hear(Self.change(106), atNs: 120_000_000_002)
        #expect(talk.replay.actions.count == 2)
        talk.hear(Self.change(107), atNs: 120_000_000_003)
        #expect(talk.replay.actions.count == 3, "audited each minute")
    }

    @Test(
        "asks for a book anew that an audit finds wrong",
        arguments: [
            #"["10.5","1"],["10.4","4"],["10.3","3"],["10.2","2.5"]"#,
            #"["10.5","1"],["10.4","4"],["10.3","3"],["10.25","7"],["10.2","2"]"#,
            #"["10.5","1"],["10.4","4"],["10.2","2"]"#, #"["10.5","1.00000000001"],["10.4","4"]"#,
        ]
    )
    func auditsWrong(book: String) throws {
        var talk = try Self.audited()
        talk.answer(Self.url, Self.answer(103, bids: book), atNs: 60_500_000_000)
        #expect(talk.statuses.last == MarketStatus(.resyncing, .checksum))
        #expect(talk.replay.feed.counters.checksumsWrong == 1)
        #expect(talk.replay.actions.count == 3 && talk.demand == .fetchSnapshot(url: Self.url, rawSymbol: "ethusd"))
        talk.hear(Self.change(106), atNs: 60_600_000_000)
        talk.answer(Self.url, Self.book(107), atNs: 60_700_000_000)
        #expect(talk.statuses.last?.state == .live && talk.bids("ETH-USD") == [["10.5", "1"]])
    }

    @Test("does not compare beyond the worst level of an answer")
    func auditsRange() throws {
        var talk = try Self.audited()
        talk.answer(Self.url, Self.answer(103, bids: #"["10.5","1"],["10.4","4"]"#), atNs: 60_500_000_000)
        #expect(talk.replay.feed.counters.checksumsRight == 1 && talk.statuses.last?.state == .live)
    }

    @Test("marks a book that an audit finds wrong, where that is only to be counted, until one finds it right")
    func auditCounts() throws {
        var talk = try Self.audited()
        talk.replay.feed.checksumRule = .count
        talk.answer(Self.url, Self.answer(103, bids: #"["10.5","9"]"#), atNs: 60_500_000_000)
        #expect(talk.statuses.last?.state == .live)
        #expect(
            talk.hear(Self.change(106, bids: #"["9","1"]"#), atNs: 61_000_000_000).last?.flags.contains(.maybeBadBook)
                == true
        )
        talk.hear(Self.change(107, bids: #"["9","2"]"#), atNs: 121_000_000_000)
        talk.answer(Self.url, Self.answer(107, bids: #"["10.5","1"]"#), atNs: 121_500_000_000)
        #expect(talk.replay.feed.counters.checksumsRight == 1 && talk.replay.feed.counters.checksumsWrong == 1)
        #expect(
            talk.hear(Self.change(108, bids: #"["9","3"]"#), atNs: 122_000_000_000).last?.flags.contains(.maybeBadBook)
                == false
        )
    }

    @Test("asks again, some seconds apart and five times at most, when an answer is from before the audit")
    func auditRetries() throws {
        var talk = try Self.audited()
        var now: Int64 = 60_500_000_000
        for asked in 3...6 {
            talk.answer(Self.url, Self.answer(101, bids: #"["1","1"]"#), atNs: now)
            talk.hear(Self.change(200), atNs: now + 1_999_999_999)
            #expect(talk.replay.actions.count == asked - 1)
            talk.hear(Self.change(200), atNs: now + 2_000_000_000)
            #expect(talk.replay.actions.count == asked)
            now += 2_100_000_000
        }
        talk.answer(Self.url, Self.answer(101, bids: #"["1","1"]"#), atNs: now)
        talk.hear(Self.change(201), atNs: now + 9_000_000_000)
        #expect(talk.replay.actions.count == 6, "no more until the next audit")
        #expect(talk.replay.feed.counters.checksumsRight + talk.replay.feed.counters.checksumsWrong == 0)
        #expect(talk.statuses.last?.state == .live)
    }

    @Test("finds a book right by an answer that is newer than the stream, and asks again where that differs")
    func auditsNewer() throws {
        var quiet = try Self.audited()
        let book = #"["10.5","1"],["10.4","5"],["10.3","3"],["10.2","2"],["10.1","1"]"#
        quiet.answer(Self.url, Self.answer(900, bids: book), atNs: 60_500_000_000)
        #expect(quiet.replay.feed.counters.checksumsRight == 1 && quiet.bids("ETH-USD").count == 5)
        var late = try Self.audited()
        var now: Int64 = 60_500_000_000
        for asked in 3...6 {
            late.answer(Self.url, Self.answer(900, bids: #"["10.5","7"]"#), atNs: now)
            now += 2_000_000_000
            late.hear(Self.change(200), atNs: now)
            #expect(late.replay.actions.count == asked && late.statuses.last?.state == .live)
        }
        late.answer(Self.url, Self.answer(900, bids: #"["10.5","7"]"#), atNs: now)
        #expect(late.statuses.last == MarketStatus(.resyncing, .checksum))
    }

    @Test("takes no book in place of one that was wrong that is older than it")
    func resyncsForward() throws {
        var talk = try Self.audited()
        let old = Self.answer(103, bids: #"["10.5","9"]"#)
        talk.answer(Self.url, old, atNs: 60_500_000_000)
        #expect(talk.statuses.last == MarketStatus(.resyncing, .checksum))
        // From the venue's cache: the changes until 105 were heard already and would be missing.
        talk.answer(Self.url, old, atNs: 60_600_000_000)
        #expect(talk.statuses.last?.state == .resyncing && talk.replay.actions.count == 4)
        talk.answer(Self.url, Self.book(105), atNs: 61_600_000_000)
        #expect(talk.statuses.last?.state == .live)
        // Of a new connection nothing was heard yet.
        talk.replay.feed.disconnected(1, reason: .silence, atNs: 61_700_000_000, into: &talk.replay.recorder)
        talk.hear(Self.change(50), connection: 1, atNs: 62_000_000_000)
        talk.answer(Self.url, Self.book(60), atNs: 62_100_000_000)
        #expect(talk.statuses.last?.state == .live)
    }

    @Test("gives an audit up when the book needs other units, or changes too much")
    func auditEnds() throws {
        var finer = try Self.audited()
        finer.hear(Self.change(106, bids: #"["9.12345","1"]"#), atNs: 60_400_000_000)
        var crowded = try Self.audited()
        for time in 0...5_000 {
            crowded.hear(Self.change(200 + time, bids: #"["9","\#(time)"]"#), atNs: 60_400_000_000)
        }
        for var talk in [finer, crowded] {
            talk.answer(Self.url, Self.answer(103, bids: #"["10.5","77"]"#), atNs: 60_500_000_000)
            #expect(talk.statuses.last?.state == .live)
            #expect(talk.replay.feed.counters.checksumsWrong == 0)
        }
    }

    @Test("asks for a book anew that stays crossed, and says so")
    func crossed() throws {
        var talk = try VenueDialogue("bitstamp")
        talk.answer(Self.url, Self.book(100))
        talk.hear(Self.change(101, bids: #"["12","1"]"#), atNs: 1)
        talk.hear(Self.change(102), atNs: 5_000_000_001)
        #expect(talk.statuses.last?.state == .live)
        talk.hear(Self.change(103), atNs: 5_000_000_002)
        #expect(talk.statuses.last == MarketStatus(.resyncing, .crossed))
        #expect(talk.demand == .fetchSnapshot(url: Self.url, rawSymbol: "ethusd"))
        talk.hear(Self.change(104), atNs: 5_000_000_003)
        #expect(talk.answer(Self.url, Self.book(104)).first?.flags.contains(.gapBefore) == true)
    }

    // MARK: Trades

    private static func trade(_ type: String, prices: String = #""price_str":"3805.44""#) -> String {
        #"{"data":{"id":216000477,"timestamp":"1641343699","amount":0.1,"amount_str":"0.07920000","price":1e3,\#(prices),"#
            + #""type":\#(type),"microtimestamp":"1641343699596001"},"channel":"live_trades_ethusd","event":"trade"}"#
    }

    @Test(
        "reads prices and amounts from their texts; the type is the taker's side",
        arguments: [("0", Aggressor.buyer), ("1", .seller)]
    )
    func trades(type: String, aggressor: Aggressor) throws {
        var talk = try VenueDialogue("bitstamp")
        let events = talk.hear(Self.trade(type))
        guard case .trade(let trade) = events.last?.payload else {
            Issue.record("no trade: \(talk.replay.faults)")
            return
        }
        #expect(trade.price.ticks == 380_544)
        #expect(trade.quantity.lots == 792)
        #expect(trade.aggressor == aggressor)
        #expect(trade.id.text == "216000477")
        #expect(events.last?.eventNs == 1_641_343_699_596_001_000)
    }

    // MARK: What is beside the data

    @Test(
        "understands what is said beside the data",
        arguments: [
            (#"{"event":"bts:subscription_succeeded","channel":"diff_order_book_ethusd","data":{}}"#, nil),
            (#"{"event":"bts:subscription_succeeded","channel":"live_trades_ethusd","data":{}}"#, nil),
            (#"{"event":"bts:unsubscription_succeeded","channel":"live_trades_ethusd","data":{}}"#, nil),
            (#"{"event":"bts:heartbeat","channel":"","data":{"status":"success"}}"#, nil),
            (#"{"data":{"bids":[],"asks":[]},"channel":"order_book_ethusd","event":"data"}"#, nil),
            (#"{"data":{"bids":[["1","2","3"]],"asks":[]},"channel":"detail_order_book_ethusd","event":"data"}"#, nil),
            (#"{"data":{"id":1},"channel":"live_orders_ethusd","event":"order_created"}"#, nil),
            (
                #"{"event":"bts:request_reconnect","channel":"","data":""}"#,
                FeedAction.Demand.reconnect(.venueRequest)
            ),
            (
                #"{"event":"bts:error","channel":"","data":{"code":null,"message":"Bad subscription string."}}"#,
                .report(refusal: "Bad subscription string.")
            ),
        ]
    )
    func events(text: String, demand: FeedAction.Demand?) throws {
        var talk = try VenueDialogue("bitstamp")
        talk.hear(text)
        #expect(talk.fault == nil)
        #expect(talk.demand == demand)
        #expect(talk.replay.table.all.isEmpty)
    }

    @Test(
        "refuses what is not as documented",
        arguments: [
            ("{}", FrameFault.missing(field: "event")), (#"{"event":"dance"}"#, .unknownMessage),
            (#"{"event":"data","data":{}}"#, .missing(field: "channel")),
            (#"{"event":"data","data":{},"channel":5}"#, .missing(field: "channel")),
            (#"{"event":"data","data":{},"channel":"live_trades_ethusd"}"#, .wrong(field: "channel")),
            (#"{"event":"data","data":{},"channel":"diff_order_book_"}"#, .wrong(field: "channel")),
            (#"{"event":"data","data":{},"channel":"diff_order_book_ETH"}"#, .wrong(field: "channel")),
            (#"{"event":"data","data":{},"channel":"diff_order_book_\u0065th"}"#, .wrong(field: "channel")),
            (#"{"event":"data","data":{"bids":[]},"channel":"diff_order_book_a"}"#, .missing(field: "levels")),
            (
                #"{"event":"data","data":{"bids":[],"asks":[]},"channel":"diff_order_book_a"}"#,
                .missing(field: "microtimestamp")
            ),
            (change(9_223_372_036_854_776), .badTime(offset: 42)), (change(1, bids: #"["1","-1"]"#), .negativeQuantity),
            (trade("2"), .wrong(field: "type")), (trade("\"0\""), .wrong(field: "type")),
            (trade("0", prices: #""price_int":1"#), .missing(field: "price_str")),
            (trade("0").replacing("\"id\"", with: "\"ID\""), .missing(field: "id")),
            (trade("0").replacing("live_trades_", with: "trades_"), .wrong(field: "channel")),
        ]
    )
    func refusals(text: String, fault: FrameFault) throws {
        var talk = try VenueDialogue("bitstamp")
        talk.hear(text)
        #expect(talk.fault == fault)
        #expect(talk.replay.table.all.isEmpty)
    }

    @Test(
        "refuses an answer that is no book",
        arguments: [
            ("[]", FrameFault.unexpected(byte: UInt8(ascii: "["), offset: 0)),
            (#"{"status":"error","reason":"Not found.","code":"404.001"}"#, .missing(field: "levels")),
            (#"{"bids":[],"asks":[]}"#, .missing(field: "microtimestamp")),
            (#"{"bids":[],"asks":[],"microtimestamp":"1"} x"#, .textAfterEnd(offset: 43)),
        ]
    )
    func wrongAnswers(body: String, fault: FrameFault) throws {
        var talk = try VenueDialogue("bitstamp")
        talk.hear(Self.change(1))
        talk.answer(Self.url, body)
        #expect(talk.fault == fault)
        #expect(talk.bids("ETH-USD").isEmpty)
    }

    // MARK: What is sent

    @Test("subscribes to one channel of one instrument at a time, as recorded, and asks whether the venue is there")
    func subscribing() {
        let dialect = BitstampDialect()
        let both = VenueSubscription(rawSymbols: ["ethusd", "xrpeur"], channels: [.trades, .quotes, .book])
        #expect(
            dialect.subscribeFrames(for: both)
                == ["live_trades_ethusd", "live_trades_xrpeur", "diff_order_book_ethusd", "diff_order_book_xrpeur"].map
            {
                #"{"event":"bts:subscribe","data":{"channel":"\#($0)"}}"#
            }
        )
        #expect(dialect.rules.pingText == #"{"event":"bts:heartbeat"}"#)
    }

    @Test(
        "asks for the book of the name and nothing else",
        arguments: ["ethusd", "btcusd-perp", "a/b", "a?b#c%41", "100%"]
    )
    func snapshotURL(rawSymbol: String) throws {
        let url = try #require(BitstampDialect().snapshotURL(rawSymbol: rawSymbol))
        #expect(BitstampDialect().rawSymbol(ofSnapshotURL: url) == rawSymbol)
        #expect(BitstampDialect().rawSymbol(ofSnapshotURL: url + "/?group=1") == rawSymbol)
    }

    @Test(
        "knows no book by another address",
        arguments: ["", "https://www.bitstamp.net/api/v2/ticker/ethusd", "https://x/order_book/%4"]
    )
    func otherURL(url: String) {
        #expect(BitstampDialect().rawSymbol(ofSnapshotURL: url) == nil)
    }

    // MARK: Names

    @Test(
        "gives instruments the hub's names",
        arguments: [
            ("ethusd", "ETH-USD", Instrument.Kind.spot), ("usdtusd", "USDT-USD", .spot),
            ("usdcusdt", "USDC-USDT", .spot),
            ("batbtc", "BAT-BTC", .spot), ("1incheur", "1INCH-EUR", .spot), ("btcusd-perp", "BTC-USD-PERP", .perpetual),
            ("usd", "USD", .spot), ("abc", "ABC", .spot),
        ]
    )
    func names(rawSymbol: String, symbol: String, kind: Instrument.Kind) {
        #expect(BitstampDialect().symbol(ofRaw: rawSymbol) == VenueSymbol(symbol, kind))
    }

    @Test(
        "reads every entry of the recorded list, and infers the same names without it",
        .enabled(if: Captures.arePresent, "the captures are not beside the package")
    )
    func listing() throws {
        let text = try Captures.bytes("instruments/bitstamp.json")
        #expect(
            try listed(text, of: BitstampDialect()) == [
                "xrpeur XRP-EUR spot 5/1 8/1 XRP/EUR/EUR none linear 0 none none",
                "ethusd ETH-USD spot 2/1 8/1 ETH/USD/USD none linear 0 none none",
                "batbtc BAT-BTC spot 8/1 8/1 BAT/BTC/BTC none linear 0 none none",
                "usdtusd USDT-USD spot 5/1 5/1 USDT/USD/USD none linear 0 none none",
                "galaeur GALA-EUR spot 5/1 8/1 GALA/EUR/EUR none linear 0 none none",
            ]
        )
        for one in try text.withUnsafeBytes({ try VenueListing.instruments(in: $0, of: BitstampDialect()) }) {
            #expect(BitstampDialect().symbol(ofRaw: one.rawSymbol) == VenueSymbol(one.symbol, one.kind))
        }
    }

    @Test("reads the list of markets that came after it")
    func markets() throws {
        let text = #"""
            [{"name":"BTC/USD-PERP","market_symbol":"btcusd-perp","base_currency":"BTC","base_decimals":5,
              "counter_currency":"USD","counter_decimals":0,"market_type":"PERPETUAL"},{"name":"x"}]
            """#
        #expect(
            try listed(Array(text.utf8), of: BitstampDialect())
                == ["btcusd-perp BTC-USD-PERP perpetual 0/1 5/1 BTC/USD/USD none linear 0 none none"]
        )
        let wrong = #"[{"url_symbol":"a","base_decimals":19,"counter_decimals":1,"name":"A/B"}]"#
        #expect(throws: FrameFault.wrong(field: "base_decimals")) {
            try listed(Array(wrong.utf8), of: BitstampDialect())
        }
    }
}
