import Feeds
import Market
import Testing

@Suite("Kraken Futures")
struct KrakenFuturesDialectTests {
    private static let snapshot = #"""
        {"feed":"book_snapshot","product_id":"PI_XBTUSD","timestamp":1612269825817,"seq":100,"tickSize":null,
        "bids":[{"price":34892.5,"qty":6385.0},{"price":34892,"qty":10924}],
        "asks":[{"price":34911.5,"qty":20598.0},{"price":34912,"qty":2300}]}
        """#

    private static func update(
        _ number: UInt64,
        side: String = "buy",
        price: String = "34892.5",
        qty: String = "0.0"
    )
        -> String
    {
        #"{"feed":"book","product_id":"PI_XBTUSD","side":"\#(side)","seq":\#(number),"price":\#(price),"#
            + #""qty":\#(qty),"timestamp":1612269953629}"#
    }

    private static func trade(_ number: UInt64, uid: String, feed: String = "trade") -> String {
        #"{"feed":"\#(feed)","product_id":"PI_XBTUSD","uid":"\#(uid)","side":"sell","type":"fill","seq":\#(number),"#
            + #""time":1612269657781,"qty":440,"price":34893}"#
    }

    // MARK: Books

    @Test("a snapshot and updates that are numbered on make a book")
    func book() throws {
        var talk = try VenueTalk("kraken-futures")
        talk.hear(Self.snapshot)
        talk.hear(Self.update(101))
        let events = talk.hear(Self.update(102, side: "sell", price: "34911", qty: "5"))
        #expect(talk.fault == nil)
        #expect(talk.replay.top(9, of: "BTC-USD-PERP", .bid) == [["34892", "10924"]])
        #expect(talk.replay.top(1, of: "BTC-USD-PERP", .ask) == [["34911", "5"]])
        #expect(events.map(\.venueSequence) == [102])
        #expect(talk.replay.feed.counters.bookUpdates == 2)
    }

    @Test(
        "the next update has the last number and one",
        arguments: [
            (102, MarketStatus.State.live, 0), (101, .live, 1), (100, .live, 1), (1, .live, 1), (103, .resyncing, 0),
            (UInt64.max, .resyncing, 0),
        ]
    )
    func numbers(number: UInt64, state: MarketStatus.State, repeated: Int) throws {
        var talk = try VenueTalk("kraken-futures")
        talk.hear(Self.snapshot)
        talk.hear(Self.update(101))
        talk.hear(Self.update(number, price: "34890", qty: "1"))
        #expect(talk.statuses.last?.state == state)
        #expect(talk.replay.feed.counters.repeatedUpdates == repeated)
    }

    @Test("after the gap a new snapshot of any number makes the book live, and says that something was lost")
    func recovers() throws {
        var talk = try VenueTalk("kraken-futures")
        talk.hear(Self.snapshot)
        talk.hear(Self.update(105))
        #expect(talk.replay.top(9, of: "BTC-USD-PERP", .bid).isEmpty)
        talk.hear(Self.update(106))
        #expect(talk.replay.feed.counters.unusedUpdates == 2)
        let events = talk.hear(Self.snapshot.replacing(#""seq":100"#, with: #""seq":7"#))
        #expect(events.first?.flags.contains(.gapBefore) == true)
        #expect(events.first?.eventNs == 1_612_269_825_817_000_000)
        #expect(talk.statuses.map(\.state) == [.connected, .live, .resyncing, .live])
    }

    @Test("an update of a product that nobody subscribed to is a fault")
    func unknown() throws {
        var talk = try VenueTalk("kraken-futures")
        talk.hear(Self.update(1))
        #expect(talk.fault == .unknownSymbol)
    }

    // MARK: Trades

    @Test("the last trades come newest first and are told oldest first, as past ones")
    func pastTrades() throws {
        var talk = try VenueTalk("kraken-futures")
        let trades = [Self.trade(9, uid: "c"), Self.trade(8, uid: "b"), Self.trade(7, uid: "a")]
        talk.hear(#"{"feed":"trade_snapshot","product_id":"PI_XBTUSD","trades":[\#(trades.joined(separator: ","))]}"#)
        talk.hear(Self.trade(10, uid: "d").replacing("sell", with: "buy"))
        #expect(
            talk.trades == [
                "past seller 34893 x 440 #a", "past seller 34893 x 440 #b", "past seller 34893 x 440 #c",
                "buyer 34893 x 440 #d",
            ]
        )
    }

    @Test("trades are numbered: the one behind a hole says so")
    func missedTrades() throws {
        var talk = try VenueTalk("kraken-futures")
        for (number, uid) in [(UInt64(4), "a"), (5, "b"), (8, "c"), (8, "c"), (9, "d")] {
            talk.hear(Self.trade(number, uid: uid))
        }
        #expect(talk.trades.map { $0.hasPrefix("gap") } == [false, false, true, false])
        #expect(talk.replay.feed.counters.missedTrades == 2)
        #expect(talk.replay.feed.counters.repeatedTrades == 1)
    }

    @Test("past trades after a lost connection fill the hole, and only what they do not reach is missing")
    func filledTrades() throws {
        for (first, isGap) in [(UInt64(6), false), (7, true)] {
            var talk = try VenueTalk("kraken-futures")
            talk.hear(Self.trade(5, uid: "a"))
            talk.replay.feed.disconnected(1, reason: .silence, atNs: 2, into: &talk.replay.recorder)
            let trades = [Self.trade(first + 1, uid: "c"), Self.trade(first, uid: "b")].joined(separator: ",")
            talk.hear(#"{"feed":"trade_snapshot","product_id":"PI_XBTUSD","trades":[\#(trades)]}"#, connection: 2)
            talk.hear(Self.trade(first + 2, uid: "d"), connection: 2)
            #expect(talk.trades.map { $0.hasPrefix("gap") } == [false, isGap, false, false])
        }
    }

    @Test("numbers at the end of what fits are counted, not added up")
    func hugeNumbers() throws {
        var talk = try VenueTalk("kraken-futures")
        for (number, uid) in [(UInt64(1), "a"), (1 << 63, "b"), (.max, "c"), (.max, "d"), (1, "e")] {
            talk.hear(Self.trade(number, uid: uid))
        }
        #expect(talk.fault == nil)
        #expect(talk.replay.feed.counters.trades == 5)
        #expect(talk.replay.feed.counters.missedTrades == .max)
    }

    // MARK: Quotes

    @Test("ticker_lite tells prices, ticker also quantities, the time, and whether trading stopped")
    func quotes() throws {
        var talk = try VenueTalk("kraken-futures")
        talk.hear(Self.snapshot)
        let lite = talk.hear(
            #"{"feed":"ticker_lite","product_id":"PI_XBTUSD","bid":34932,"ask":34949.5,"change":3.4,"premium":-0.0}"#
        )
        guard case .quote(let prices) = lite.last?.payload else {
            Issue.record("no quote")
            return
        }
        #expect(prices.bid.price.ticks == 349_320)
        #expect(prices.ask.quantity.isZero)
        #expect(lite.last?.flags.contains(.eventTimeMissing) == true)
        let ticker =
            #"{"time":1676393235406,"product_id":"PI_XBTUSD","feed":"ticker","bid":2,"ask":3,"bid_size":4.0,"#
            + #""ask_size":5,"suspended":true}"#
        let whole = talk.hear(ticker)
        guard whole.count == 2, case .status(let status) = whole[0].payload, case .quote(let quote) = whole[1].payload
        else {
            Issue.record("\(whole)")
            return
        }
        #expect(status.state == .halted)
        #expect(quote.bid.quantity.lots == 4)
        #expect(whole[1].eventNs == 1_676_393_235_406_000_000)
        talk.hear(ticker.replacing("true", with: "false"))
        #expect(talk.statuses.last?.state == .live)
    }

    @Test("a ticker of an empty side is no quote", arguments: [#""bid":null,"ask":2"#, #""bid":1"#, #""ask":null"#])
    func emptyQuotes(sides: String) throws {
        var talk = try VenueTalk("kraken-futures")
        talk.hear(#"{"feed":"ticker_lite","product_id":"PI_XBTUSD",\#(sides)}"#)
        #expect(talk.fault == nil)
        #expect(talk.replay.feed.counters.quotes == 0)
    }

    // MARK: What else the venue says

    @Test("a refusal is reported in the venue's words", arguments: ["error", "alert"])
    func refusals(event: String) throws {
        var talk = try VenueTalk("kraken-futures")
        talk.hear(#"{"event":"\#(event)","message":"Invalid product id"}"#)
        #expect(talk.demands == [.report(refusal: "Invalid product id")])
    }

    @Test(
        "what only says that the connection lives does nothing",
        arguments: [
            #"{"event":"info","version":1}"#, #"{"event":"subscribed","feed":"book","product_ids":["PI_XBTUSD"]}"#,
            #"{"event":"unsubscribed","feed":"book","product_ids":["PI_XBTUSD"]}"#,
            #"{"feed":"heartbeat","time":1534262350627}"#,
        ]
    )
    func quiet(frame: String) throws {
        var talk = try VenueTalk("kraken-futures")
        #expect(talk.hear(frame).isEmpty)
        #expect(talk.fault == nil)
        #expect(talk.demands.isEmpty)
    }

    @Test(
        "refuses what the venue does not document, and changes nothing",
        arguments: [
            (#"{"product_id":"A"}"#, FrameFault.missing(field: "feed")), (#"{"feed":"fills"}"#, .unknownMessage),
            (#"{"event":"hello"}"#, .unknownMessage),
            (update(101).replacing(#","seq":101"#, with: ""), .missing(field: "seq")),
            (update(101, side: "bid"), .wrong(field: "side")), (update(101, qty: "-1"), .negativeQuantity),
            (update(101).replacing(#""product_id":"PI_XBTUSD","#, with: ""), .missing(field: "product_id")),
            (update(101).replacing(#""price":34892.5,"#, with: ""), .missing(field: "price")),
            (#"{"feed":"book_snapshot","product_id":"A","seq":1,"bids":[]}"#, .missing(field: "asks")),
            (
                #"{"feed":"book_snapshot","product_id":"A","seq":1,"bids":[{"price":1}],"asks":[]}"#,
                .missing(field: "qty")
            ),
            (#"{"feed":"book_snapshot","product_id":"A","bids":[],"asks":[]}"#, .missing(field: "seq")),
            (trade(1, uid: "a").replacing("sell", with: "ask"), .wrong(field: "side")),
            (trade(1, uid: "a").replacing("440", with: "-440"), .negativeQuantity),
            (#"{"feed":"trade_snapshot","product_id":"A"}"#, .missing(field: "trades")),
            (#"{"feed":"ticker","product_id":"A","suspended":1}"#, .wrong(field: "suspended")),
            (#"{"feed":"ticker","bid":1,"ask":2}"#, .missing(field: "product_id")),
        ]
    )
    func refuses(frame: String, fault: FrameFault) throws {
        var talk = try VenueTalk("kraken-futures")
        talk.hear(Self.snapshot)
        let before = talk.replay.feed.counters
        #expect(talk.hear(frame).isEmpty)
        #expect(talk.fault == fault)
        var counters = before
        (counters.frames, counters.badFrames) = (before.frames + 1, 1)
        #expect(talk.replay.feed.counters == counters)
    }

    // MARK: What we send

    @Test("one frame a feed, as the venue's own client sent it")
    func subscribes() {
        let dialect = KrakenFuturesDialect()
        let subscription = VenueSubscription(
            rawSymbols: ["PI_XBTUSD", "PF_SOLUSD"],
            channels: [.book, .trades, .quotes],
            ownChannels: ["ticker"]
        )
        #expect(dialect.url(for: subscription) == "wss://futures.kraken.com/ws/v1")
        #expect(
            dialect.subscribeFrames(for: subscription)
                == ["book", "trade", "ticker_lite", "ticker"].map {
                    #"{"event":"subscribe","feed":"\#($0)","product_ids":["PI_XBTUSD","PF_SOLUSD"]}"#
                }
        )
    }

    // MARK: Names

    @Test(
        "names tell what is traded",
        arguments: [
            ("PI_XBTUSD", "BTC-USD-PERP", Instrument.Kind.perpetual), ("pf_ethusd", "ETH-USD-PERP", .perpetual),
            ("PF_DOGEUSD", "DOGE-USD-PERP", .perpetual), ("PF_XDGUSD", "DOGE-USD-PERP", .perpetual),
            ("FI_ETHUSD_211231", "ETH-USD-20211231", .future), ("FF_XBTUSD_260227", "BTC-USD-20260227", .future),
            ("FV_XRPXBT_180615", "XRP-BTC-20180615", .future),
            ("FI_ETHUSD_211331", "FI_ETHUSD_211331", .index), ("IN_XBTUSD", "IN_XBTUSD", .index),
            ("RR_XBTUSD", "RR_XBTUSD", .index), ("PX_XBTUSD", "PX_XBTUSD", .index), ("PI_USD", "PI_USD", .index),
            ("P", "P", .index), ("", "", .index), ("_", "_", .index),
        ]
    )
    func names(rawSymbol: String, symbol: String, kind: Instrument.Kind) {
        #expect(KrakenFuturesDialect().symbol(ofRaw: rawSymbol) == VenueSymbol(symbol, kind))
    }

    @Test(
        "reads every entry of the list beside the capture",
        .enabled(if: Captures.arePresent, "the captures are not beside the package")
    )
    func listed() throws {
        let found = try Captures.bytes("instruments/kraken_futures.json").withUnsafeBytes {
            try VenueListing.instruments(in: $0, of: KrakenFuturesDialect())
        }
        #expect(
            found.map(Self.text).sorted() == [
                "FI_ETHUSD_211231 ETH-USD-20211231 future 2 0 5 1 size 1 inverse in ETH until 1640966400",
                "FI_XRPUSD_210924 XRP-USD-20210924 future 4 0 1 1 size 1 inverse in XRP until 1632495600",
                "PI_ETHUSD ETH-USD-PERP perpetual 2 0 5 1 size 1 inverse in ETH until 0",
                "PI_LTCUSD LTC-USD-PERP perpetual 2 0 1 1 size 1 inverse in LTC until 0",
                "PI_XRPUSD XRP-USD-PERP perpetual 4 0 1 1 size 1 inverse in XRP until 0",
            ]
        )
    }

    @Test("reads the venue's own answer, leaving out what has no feed")
    func ownList() throws {
        let text = #"""
            {"result":"success","instruments":[
            {"symbol":"PF_XBTUSD","type":"flexible_futures","tickSize":1,"contractSize":1,"tradeable":true,
             "contractValueTradePrecision":4},
            {"symbol":"PF_PEPEUSD","type":"flexible_futures","tickSize":1e-10,"contractSize":1,"tradeable":true,
             "contractValueTradePrecision":-3},
            {"symbol":"in_xbtusd","type":"spot index","tradeable":false},
            {"symbol":"pv_xrpxbt","type":"futures_vanilla","tickSize":0.00000001,"tradeable":false}],
            "serverTime":"2026-08-12T19:27:48.098Z"}
            """#
        let found = try Array(text.utf8).withUnsafeBytes {
            try VenueListing.instruments(in: $0, of: KrakenFuturesDialect())
        }
        #expect(
            found.map(Self.text) == [
                "PF_XBTUSD BTC-USD-PERP perpetual 0 4 1 1 size 1 linear in USD until 0",
                "PF_PEPEUSD PEPE-USD-PERP perpetual 10 0 1 1000 size 1 linear in USD until 0",
            ]
        )
    }

    private static func text(_ instrument: Instrument) -> String {
        let terms = instrument.terms
        return "\(instrument.rawSymbol) \(instrument.symbol) \(instrument.kind) \(instrument.priceScale) "
            + "\(instrument.quantityScale) \(instrument.tick) \(instrument.lot) size \(terms.contractSize?.text ?? "-") "
            + "\(terms.isInverse ? "inverse" : "linear") in \(terms.settle) until \(terms.expiryNs / 1_000_000_000)"
    }
}
