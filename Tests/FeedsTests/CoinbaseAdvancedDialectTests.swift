import Feeds
import Market
import Testing

@Suite("Coinbase Advanced Trade")
struct CoinbaseAdvancedDialectTests {
    private static func frame(_ channel: String, _ number: UInt64, _ event: String) -> String {
        #"{"channel":"\#(channel)","client_id":"","timestamp":"2026-08-12T19:27:48.098821666Z","#
            + #""sequence_num":\#(number),"events":[\#(event)]}"#
    }

    private static func level(_ side: String, _ price: String, _ quantity: String) -> String {
        #"{"side":"\#(side)","event_time":"1970-01-01T00:00:00Z","price_level":"\#(price)","new_quantity":"\#(quantity)"}"#
    }

    private static func book(
        _ number: UInt64,
        _ type: String = "snapshot",
        product: String = "A-USD",
        _ levels: [String] = [level("bid", "2.00", "1.5"), level("offer", "3", "0.5")]
    ) -> String {
        frame(
            "l2_data",
            number,
            #"{"type":"\#(type)","product_id":"\#(product)","updates":[\#(levels.joined(separator: ","))]}"#
        )
    }

    private static func trade(_ id: Int, side: String = "BUY") -> String {
        #"{"product_id":"A-USD","trade_id":"\#(id)","price":"2.50","size":"0.10","time":"2026-08-12T19:27:47.532655Z","#
            + #""side":"\#(side)"}"#
    }

    // MARK: The count of frames

    @Test("a hole in the numbers of the connection's frames makes all of its books begin anew, and no others")
    func hole() throws {
        var talk = try VenueTalk("coinbase-advanced")
        talk.hear(Self.book(0))
        talk.hear(Self.book(1, product: "B-USD"))
        talk.hear(Self.book(7, product: "C-USD"), connection: 2)
        talk.hear(Self.frame("heartbeats", 3, #"{"heartbeat_counter":3}"#))
        #expect(talk.replay.feed.counters.frameGaps == 1)
        #expect(talk.statuses.suffix(2) == [MarketStatus(.resyncing, .gap), MarketStatus(.resyncing, .gap)])
        #expect(
            talk.demands.first
                == .resubscribe(
                    rawSymbol: "A-USD",
                    frames: ["unsubscribe", "subscribe"].map {
                        #"{"type":"\#($0)","product_ids":["A-USD"],"channel":"level2"}"#
                    }
                )
        )
        #expect(talk.demands.count == 2)
        #expect(talk.replay.top(1, of: "C-USD", .bid) == [["2", "1.5"]])
        talk.hear(Self.book(4))
        #expect(talk.replay.top(1, of: "A-USD", .bid) == [["2", "1.5"]])
        #expect(talk.replay.top(1, of: "B-USD", .bid).isEmpty)
    }

    @Test(
        "a frame that came before changes nothing, the next one does",
        arguments: [(UInt64(5), "1.5", 1), (4, "1.5", 1), (6, "9", 0)]
    )
    func repeated(number: UInt64, quantity: String, repeated: Int) throws {
        var talk = try VenueTalk("coinbase-advanced")
        talk.hear(Self.book(5))
        talk.hear(Self.book(number, "update", [Self.level("bid", "2", "9")]))
        #expect(talk.replay.top(1, of: "A-USD", .bid) == [["2", quantity]])
        #expect(talk.replay.feed.counters.repeatedFrames == repeated)
        #expect(talk.replay.feed.counters.resyncs == 0)
    }

    @Test("a frame that is not understood counts as lost")
    func broken() throws {
        var talk = try VenueTalk("coinbase-advanced")
        talk.hear(Self.book(0))
        talk.hear(Self.book(1, "update", [Self.level("middle", "2", "9")]))
        #expect(talk.fault == .wrong(field: "side"))
        talk.hear(Self.frame("heartbeats", 2, "{}"))
        #expect(talk.statuses.last == MarketStatus(.resyncing, .gap))
    }

    @Test("a new connection counts from its own first frame")
    func reconnects() throws {
        var talk = try VenueTalk("coinbase-advanced")
        talk.hear(Self.book(9))
        talk.replay.feed.disconnected(1, reason: .connectionLost, atNs: 2, into: &talk.replay.recorder)
        talk.hear(Self.book(0))
        talk.hear(Self.book(1, "update", []))
        #expect(talk.statuses.last?.state == .live)
        #expect(talk.replay.feed.counters.frameGaps == 0)
    }

    // MARK: Books

    @Test("asks are called offer, and ask is the same; zero removes")
    func sides() throws {
        var talk = try VenueTalk("coinbase-advanced")
        talk.hear(Self.book(0))
        talk.hear(
            Self.book(
                1,
                "update",
                [Self.level("ask", "2.5", "1"), Self.level("offer", "3", "0"), Self.level("bid", "2", "0")]
            )
        )
        #expect(talk.replay.top(9, of: "A-USD", .ask) == [["2.5", "1"]])
        #expect(talk.replay.top(9, of: "A-USD", .bid).isEmpty)
    }

    @Test("the time is that of the newest level, or the frame's where levels have none")
    func times() throws {
        var talk = try VenueTalk("coinbase-advanced")
        let events = talk.hear(Self.book(0))
        #expect(events.first { $0.eventNs > 0 }?.eventNs == 1_786_562_868_098_821_666)
        let level = Self.level("bid", "2", "3").replacing(
            "1970-01-01T00:00:00Z",
            with: "2026-08-12T19:27:47.000000001Z"
        )
        let update = talk.hear(Self.book(1, "update", [Self.level("bid", "1", "1"), level]))
        #expect(update.last?.eventNs == 1_786_562_867_000_000_001)
        #expect(update.last?.venueSequence == 1)
    }

    // MARK: Trades and quotes

    @Test(
        "frames of 2026: the snapshot is of the past, trades are told oldest first, and the side is the maker's",
        .enabled(if: Captures.arePresent, "the captures are not beside the package")
    )
    func recorded() throws {
        var talk = try VenueTalk("coinbase-advanced")
        let frames = try Captures.bytes("modern/coinbase-advanced-market_trades.jsonl").split(
            separator: UInt8(ascii: "\n")
        )
        for frame in frames { talk.hear(String(decoding: frame, as: UTF8.self)) }
        #expect(talk.fault == nil)
        #expect(talk.replay.feed.counters.frameGaps == 0)
        #expect(
            talk.trades.suffix(4) == [
                "past seller 63310.25 x 0.00000019 #1069726290", "past seller 63310.25 x 0.00000043 #1069726291",
                "seller 63310.25 x 0.00000012 #1069726292", "seller 63310.25 x 0.00000012 #1069726293",
            ]
        )
        #expect(talk.trades.count == 7)
    }

    @Test("the maker sold: the aggressor bought")
    func aggressor() throws {
        var talk = try VenueTalk("coinbase-advanced")
        talk.hear(Self.frame("market_trades", 0, #"{"type":"update","trades":[\#(Self.trade(1, side: "SELL"))]}"#))
        #expect(talk.trades == ["buyer 2.5 x 0.1 #1"])
    }

    @Test("a ticker is a quote with quantities; a batch without the best prices is none")
    func quotes() throws {
        var talk = try VenueTalk("coinbase-advanced")
        let best = #""best_bid":"2.5","best_bid_quantity":"1.5","best_ask":"2.75","best_ask_quantity":"3""#
        let ticker = #"{"type":"snapshot","tickers":[{"type":"ticker","product_id":"A-USD","price":"2.6",\#(best)}]}"#
        guard case .quote(let quote) = talk.hear(Self.frame("ticker", 0, ticker)).last?.payload else {
            Issue.record("no quote")
            return
        }
        #expect(quote.bid.price.ticks == 250)
        #expect(quote.ask.quantity.lots == 30)
        talk.hear(Self.frame("ticker_batch", 1, ticker.replacing("," + best, with: "")))
        #expect(talk.replay.feed.counters.quotes == 1)
        #expect(talk.fault == nil)
    }

    // MARK: What else the venue says

    @Test("a refusal is reported in the venue's words, and has no number")
    func refusals() throws {
        var talk = try VenueTalk("coinbase-advanced")
        talk.hear(#"{"type":"error","message":"authentication failure"}"#)
        #expect(talk.demands == [.report(refusal: "authentication failure")])
    }

    @Test(
        "what only says that the connection lives does nothing",
        arguments: [
            frame(
                "heartbeats",
                0,
                #"{"current_time":"2023-06-23 20:31:56 +0000 UTC m=+912","heartbeat_counter":3049}"#
            ),
            frame("subscriptions", 0, #"{"subscriptions":{"level2":["A-USD"],"ticker":[]}}"#),
            frame("candles", 0, #"{"type":"snapshot","candles":[]}"#), frame("status", 0, #"{"type":"snapshot"}"#),
        ]
    )
    func quiet(frame: String) throws {
        var talk = try VenueTalk("coinbase-advanced")
        #expect(talk.hear(frame).isEmpty)
        #expect(talk.fault == nil)
        #expect(talk.demands.isEmpty)
    }

    @Test(
        "refuses what the venue does not document, and changes nothing",
        arguments: [
            ("{}", FrameFault.missing(field: "channel")), (#"{"type":"x"}"#, .missing(field: "channel")),
            (frame("user", 1, "{}"), .unknownMessage),
            (book(1).replacing(#""sequence_num":1,"#, with: ""), .missing(field: "sequence_num")),
            (#"{"channel":"l2_data","sequence_num":1}"#, .missing(field: "events")),
            (frame("l2_data", 1, #"{"type":"update","updates":[]}"#), .missing(field: "product_id")),
            (frame("l2_data", 1, #"{"type":"update","product_id":"A-USD"}"#), .missing(field: "updates")),
            (book(1, "delta"), .wrong(field: "type")),
            (book(1, "update", [#"{"side":"bid","price_level":"1"}"#]), .missing(field: "new_quantity")),
            (book(1, "update", [#"{"side":"bid","new_quantity":"1"}"#]), .missing(field: "price_level")),
            (book(1, "update", [level("bid", "1", "-1")]), .negativeQuantity),
            (book(1, "update", [level("sell", "1", "1")]), .wrong(field: "side")),
            (frame("market_trades", 1, #"{"type":"update"}"#), .missing(field: "trades")),
            (
                frame("market_trades", 1, #"{"type":"update","trades":[\#(trade(1, side: "buy"))]}"#),
                .wrong(field: "side")
            ),
            (frame("ticker", 1, #"{"type":"update"}"#), .missing(field: "tickers")),
            (frame("ticker", 1, #"{"tickers":[{"price":"1"}]}"#), .missing(field: "product_id")),
        ]
    )
    func refuses(frame: String, fault: FrameFault) throws {
        var talk = try VenueTalk("coinbase-advanced")
        talk.hear(Self.book(0))
        let before = talk.replay.feed.counters
        #expect(talk.hear(frame).isEmpty)
        #expect(talk.fault == fault)
        var counters = before
        (counters.frames, counters.badFrames) = (before.frames + 1, 1)
        #expect(talk.replay.feed.counters == counters)
    }

    // MARK: What we send

    @Test("asks for heartbeats first, and then one frame a channel")
    func subscribes() {
        let dialect = CoinbaseAdvancedDialect()
        let subscription = VenueSubscription(
            rawSymbols: ["A-USD", "B-USD"],
            channels: [.book, .trades, .quotes],
            ownChannels: ["ticker_batch"]
        )
        #expect(dialect.url(for: subscription) == "wss://advanced-trade-ws.coinbase.com")
        #expect(
            dialect.subscribeFrames(for: subscription)
                == [#"{"type":"subscribe","channel":"heartbeats"}"#]
                + ["level2", "market_trades", "ticker", "ticker_batch"].map {
                    #"{"type":"subscribe","product_ids":["A-USD","B-USD"],"channel":"\#($0)"}"#
                }
        )
    }

    // MARK: Names

    @Test(
        "names tell what is traded",
        arguments: [
            ("BTC-USD", "BTC-USD", Instrument.Kind.spot), ("BTC-PERP-INTX", "BTC-USDC-PERP", .perpetual),
            ("BIT-28JUL23-CDE", "BIT-28JUL23-CDE", .future), ("-PERP-INTX", "-PERP-INTX", .future), ("", "", .spot),
        ]
    )
    func names(rawSymbol: String, symbol: String, kind: Instrument.Kind) {
        #expect(CoinbaseAdvancedDialect().symbol(ofRaw: rawSymbol) == VenueSymbol(symbol, kind))
    }

    @Test("reads the venue's own answer, and that of the older exchange")
    func lists() throws {
        let text = #"""
            {"products":[{"product_id":"BTC-USD","price":"1","base_increment":"0.00000001","quote_increment":"0.000001",
            "price_increment":"0.05","product_type":"SPOT"},{"id":"ETH-EUR","base_increment":"0.5","quote_increment":"0.01"},
            {"product_id":"X"}],"num_products":3}
            """#
        let found = try Array(text.utf8).withUnsafeBytes {
            try VenueListing.instruments(in: $0, of: CoinbaseAdvancedDialect())
        }
        #expect(
            found.map { "\($0.rawSymbol) \($0.symbol) \($0.priceScale) \($0.quantityScale) \($0.tick) \($0.lot)" } == [
                "BTC-USD BTC-USD 2 8 5 1", "ETH-EUR ETH-EUR 2 1 1 5",
            ]
        )
    }
}
