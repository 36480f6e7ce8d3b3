import Feeds
import Market
import Testing

@Suite("Gemini")
struct GeminiDialectTests {
    private static func changes(_ changes: String, trades: String? = nil) -> String {
        let trades = trades.map { ",\"trades\":[\($0)]" } ?? ""
        return #"{"type":"l2_updates","symbol":"BTCUSD","changes":[\#(changes)]\#(trades)}"#
    }

    private static func trade(_ id: Int, side: String = "buy", eventKey: String = "event_id") -> String {
        #"{"type":"trade","symbol":"BTCUSD","\#(eventKey)":\#(3_575_573_053 + id),"timestamp":1560976400428,"#
            + #""price":"9004.21000000","quantity":"0.09110000","side":"\#(side)","tid":\#(id)}"#
    }

    private static let snapshot = changes(#"["buy","9122.04","0.5"],["sell","9122.07","0.98"]"#, trades: "")

    @Test("the first message of a subscription is the whole book, later ones change it, and zero removes")
    func books() throws {
        var talk = try VenueTalk("gemini")
        talk.hear(Self.snapshot)
        talk.hear(Self.changes(#"["buy","9122.04","0"],["sell","9122.06","1"],["buy","9000.5","0.00"]"#))
        #expect(talk.replay.top(9, of: "BTC-USD", .bid).isEmpty)
        #expect(talk.replay.top(9, of: "BTC-USD", .ask) == [["9122.06", "1"], ["9122.07", "0.98"]])
        talk.hear(Self.snapshot)
        #expect(talk.replay.top(9, of: "BTC-USD", .ask) == [["9122.07", "0.98"]])
        #expect(talk.fault == nil)
    }

    @Test("the last trades come newest first with the book and are told oldest first, as past ones")
    func pastTrades() throws {
        var talk = try VenueTalk("gemini")
        let past = [2, 1].map { Self.trade($0, eventKey: "eventid") }.joined(separator: ",")
        talk.hear(Self.changes("", trades: past))
        let events = talk.hear(Self.trade(3, side: "sell"))
        talk.hear(Self.trade(3, side: "sell"))
        #expect(
            talk.trades == [
                "past buyer 9004.21 x 0.0911 #1", "past buyer 9004.21 x 0.0911 #2", "seller 9004.21 x 0.0911 #3",
            ]
        )
        #expect(events.last?.venueSequence == 3_575_573_056)
        #expect(events.last?.eventNs == 1_560_976_400_428_000_000)
    }

    @Test("a book that stays crossed is subscribed to again, with its trades")
    func crossed() throws {
        var talk = try VenueTalk("gemini")
        talk.hear(Self.snapshot)
        talk.hear(Self.changes(#"["buy","9200","1"]"#), atNs: 2)
        talk.hear(Self.changes(#"["buy","9100","1"]"#), atNs: 6_000_000_000)
        let frames = ["unsubscribe", "subscribe"].map {
            #"{"type":"\#($0)","subscriptions":[{"name":"l2","symbols":["BTCUSD"]}]}"#
        }
        #expect(talk.demands == [.resubscribe(rawSymbol: "BTCUSD", frames: frames)])
    }

    @Test("candles come newest first; all but the newest are closed")
    func candles() throws {
        var talk = try VenueTalk("gemini")
        talk.hear(
            #"{"type":"candles_15m_updates","symbol":"BTCUSD","changes":[[1561054500000,9350.18,9358.35,9350.18,9355.51,2.07],"#
                + #"[1561053600000,9357.33,9357.33,9350.18,9350.18,1.5900161]]}"#
        )
        let candles = talk.replay.recorder.events.compactMap { _, event, _ -> Candle? in
            if case .candle(let candle) = event.payload { candle } else { nil }
        }
        #expect(candles.map(\.isClosed) == [true, false])
        #expect(candles.map(\.openNs) == [1_561_053_600_000_000_000, 1_561_054_500_000_000_000])
        #expect(candles.last?.interval == .fifteenMinutes)
        #expect(candles.last?.high.ticks == 935_835)
        talk.hear(#"{"type":"candles_6h_updates","symbol":"BTCUSD","changes":[]}"#)
        #expect(talk.fault == nil)
    }

    @Test(
        "a refusal is reported in the venue's words",
        arguments: [
            #"{"result":"error","reason":"InvalidSymbol","message":"no"}"#, #"{"type":"error","message":"no"}"#,
            #"{"result":"error","reason":"no"}"#,
        ]
    )
    func refusals(frame: String) throws {
        var talk = try VenueTalk("gemini")
        talk.hear(frame)
        #expect(talk.demands == [.report(refusal: "no")])
    }

    @Test(
        "what only says that the connection lives does nothing",
        arguments: [#"{"type":"heartbeat","timestamp":1581003535}"#, #"{"type":"auction_open","symbol":"BTCUSD"}"#]
    )
    func quiet(frame: String) throws {
        var talk = try VenueTalk("gemini")
        #expect(talk.hear(frame).isEmpty)
        #expect(talk.fault == nil)
    }

    @Test(
        "refuses what the venue does not document, and changes nothing",
        arguments: [
            ("{}", FrameFault.missing(field: "type")), (#"{"type":"fills"}"#, .unknownMessage),
            (#"{"type":"l2_updates","changes":[]}"#, .missing(field: "symbol")),
            (#"{"type":"l2_updates","symbol":"BTCUSD"}"#, .missing(field: "changes")),
            (changes(#"["bid","1","1"]"#), .wrong(field: "side")), (changes("[]"), .missing(field: "side")),
            (changes(#"["buy"]"#), .missing(field: "price")), (changes(#"["buy","1"]"#), .missing(field: "quantity")),
            (changes(#"["buy","1","-1"]"#), .negativeQuantity), (trade(1, side: "BUY"), .wrong(field: "side")),
            (trade(1).replacing(#""symbol":"BTCUSD","#, with: ""), .missing(field: "symbol")),
            (trade(1).replacing("0.0911", with: "-0.0911"), .negativeQuantity),
            (#"{"type":"candles_1m_updates","symbol":"BTCUSD","changes":[[1,2,3]]}"#, .missing(field: "volume")),
            (#"{"type":"candles_1m_updates","symbol":"BTCUSD","changes":[[1,2,3,4,5,-6]]}"#, .negativeQuantity),
            (#"{"type":"candles_1m_updates","changes":[]}"#, .missing(field: "symbol")),
        ]
    )
    func refuses(frame: String, fault: FrameFault) throws {
        var talk = try VenueTalk("gemini")
        talk.hear(Self.snapshot)
        let before = talk.replay.feed.counters
        #expect(talk.hear(frame).isEmpty)
        #expect(talk.fault == fault)
        var counters = before
        (counters.frames, counters.badFrames) = (before.frames + 1, 1)
        #expect(talk.replay.feed.counters == counters)
    }

    @Test("book and trades are one subscription")
    func subscribes() {
        let dialect = GeminiDialect()
        let subscription = VenueSubscription(
            rawSymbols: ["BTCUSD", "ETHBTC"],
            channels: [.trades, .quotes, .book, .candles],
            ownChannels: ["candles_1h"]
        )
        #expect(dialect.url(for: subscription) == "wss://api.gemini.com/v2/marketdata")
        #expect(
            dialect.subscribeFrames(for: subscription)
                == ["l2", "candles_1m", "candles_1h"].map {
                    #"{"type":"subscribe","subscriptions":[{"name":"\#($0)","symbols":["BTCUSD","ETHBTC"]}]}"#
                }
        )
    }

    @Test(
        "names tell what is traded",
        arguments: [
            ("BTCUSD", "BTC-USD", Instrument.Kind.spot), ("ethbtc", "ETH-BTC", .spot), ("BTCGUSD", "BTC-GUSD", .spot),
            ("BTCGUSDPERP", "BTC-GUSD-PERP", .perpetual), ("USD", "USD", .spot), ("", "", .spot),
            ("PERP", "PERP", .spot),
        ]
    )
    func names(rawSymbol: String, symbol: String, kind: Instrument.Kind) {
        #expect(GeminiDialect().symbol(ofRaw: rawSymbol) == VenueSymbol(symbol, kind))
    }

    @Test("reads answers to symbols/details")
    func lists() throws {
        let text = #"""
            [{"symbol":"BTCUSD","base_currency":"BTC","quote_currency":"USD","tick_size":1E-8,"quote_increment":0.01,
            "min_order_size":"0.00001","status":"open","product_type":"spot"},
            {"symbol":"btcgusdperp","base_currency":"BTC","quote_currency":"GUSD","tick_size":0.0001,
            "quote_increment":0.5,"product_type":"swap"},{"symbol":"X"}]
            """#
        let found = try Array(text.utf8).withUnsafeBytes {
            try VenueListing.instruments(in: $0, of: GeminiDialect())
        }
        #expect(
            found.map {
                "\($0.rawSymbol) \($0.symbol) \($0.kind) \($0.priceScale) \($0.quantityScale) \($0.tick) \($0.lot) "
                    + $0.terms.settle
            } == ["BTCUSD BTC-USD spot 2 8 1 1 ", "BTCGUSDPERP BTC-GUSD-PERP perpetual 1 4 5 1 GUSD"]
        )
    }
}
