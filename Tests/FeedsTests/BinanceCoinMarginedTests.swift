import Feeds
import Market
import Testing

/// Frames are made by the venue's documentation: there is no recording of these futures.
@Suite("Binance COIN-M futures")
struct BinanceCoinMarginedTests {
    private static let url = "https://dapi.binance.com/dapi/v1/depth?symbol=BTCUSD_PERP&limit=1000"
    private static let book =
        #"{"lastUpdateId":100,"E":1720000000000,"T":1720000000000,"symbol":"BTCUSD_PERP","pair":"BTCUSD","#
        + #""bids":[["64000.1","10"]],"asks":[["64000.2","20"]]}"#

    private static func depth(_ first: Int, _ last: Int, previous: Int, bids: String = "", asks: String = "") -> String
    {
        #"{"stream":"btcusd_perp@depth@100ms","data":{"e":"depthUpdate","E":1720000000105,"T":1720000000100,"#
            + #""s":"BTCUSD_PERP","ps":"BTCUSD","U":\#(first),"u":\#(last),"pu":\#(previous),"b":[\#(bids)],"a":[\#(asks)]}}"#
    }

    // MARK: Books

    @Test("keeps updates until the book comes, and goes on with quantities in contracts")
    func book() throws {
        var talk = try VenueDialogue("binance-coinm")
        talk.hear(Self.depth(90, 99, previous: 80))
        #expect(talk.demand == .fetchSnapshot(url: Self.url, rawSymbol: "BTCUSD_PERP"))
        talk.hear(Self.depth(100, 105, previous: 99, bids: #"["64000.1","7"]"#))
        talk.answer(Self.url, Self.book)
        talk.hear(Self.depth(120, 130, previous: 105, asks: #"["64000.2","0"],["64000.5","3"]"#))
        #expect(talk.replay.faults.isEmpty)
        #expect(talk.bids("BTC-USD-PERP") == [["64000.1", "7"]])
        #expect(talk.asks("BTC-USD-PERP") == [["64000.5", "3"]])
    }

    @Test(
        "applies the rule for the first update after a book at 100",
        arguments: [
            (first: 90, last: 99, MarketStatus.State.live, repeated: 1), (90, 100, .live, 0), (100, 105, .live, 0),
            (101, 105, .resyncing, 0),
        ]
    )
    func first(first: Int, last: Int, state: MarketStatus.State, repeated: Int) throws {
        var talk = try VenueDialogue("binance-coinm")
        talk.answer(Self.url, Self.book)
        talk.hear(Self.depth(first, last, previous: 1))
        #expect(talk.statuses.last?.state == state)
        #expect(talk.replay.feed.counters.repeatedUpdates == repeated)
    }

    @Test(
        "wants updates to name the last as previous",
        arguments: [(previous: 105, MarketStatus.State.live), (104, .resyncing), (106, .resyncing)]
    )
    func next(previous: Int, state: MarketStatus.State) throws {
        var talk = try VenueDialogue("binance-coinm")
        talk.answer(Self.url, Self.book)
        talk.hear(Self.depth(98, 105, previous: 97))
        talk.hear(Self.depth(120, 130, previous: previous))
        #expect(talk.statuses.last?.state == state)
    }

    @Test("refuses an update without the number of the one before")
    func withoutPrevious() throws {
        var talk = try VenueDialogue("binance-coinm")
        talk.hear(Self.depth(1, 2, previous: 0).replacing("\"pu\":0,", with: ""))
        #expect(talk.fault == .missing(field: "pu"))
    }

    // MARK: Trades, quotes and candles

    @Test("reads trades, best prices and candles")
    func others() throws {
        var talk = try VenueDialogue("binance-coinm")
        let trade = talk.hear(
            #"{"e":"aggTrade","E":1591261134288,"a":424951,"s":"BTCUSD_200626","p":"9643.5","q":"2","f":606073,"l":606073,"#
                + #""T":1591261134199,"m":false}"#
        )
        guard case .trade(let one) = trade.last?.payload else {
            Issue.record("no trade: \(talk.replay.faults)")
            return
        }
        #expect(one.aggressor == .buyer && one.quantity.lots == 2 && one.price.ticks == 96_435)
        #expect(trade.last?.eventNs == 1_591_261_134_199_000_000)
        let quote = talk.hear(
            #"{"e":"bookTicker","u":17242169,"s":"BTCUSD_200626","ps":"BTCUSD","b":"9548.1","B":"52","a":"9548.5","A":"11","#
                + #""T":1591268628155,"E":1591268628166}"#
        )
        guard case .quote(let top) = quote.last?.payload else {
            Issue.record("no quote: \(talk.replay.faults)")
            return
        }
        #expect(top.bid.quantity.lots == 52 && top.ask.price.ticks == 95_485)
        let candle = talk.hear(
            #"{"e":"kline","E":1591261542539,"s":"BTCUSD_200626","k":{"t":1591261500000,"T":1591261559999,"#
                + #""s":"BTCUSD_200626","i":"1m","f":606400,"L":606430,"o":"9638.9","c":"9639.8","h":"9639.8","l":"9638.6","#
                + #""v":"156","n":31,"x":false,"q":"1.61836886","V":"73","Q":"0.75731156","B":"0"}}"#
        )
        guard case .candle(let minute) = candle.last?.payload else {
            Issue.record("no candle: \(talk.replay.faults)")
            return
        }
        #expect(minute.volume.lots == 156, "contracts, not coins")
        #expect(talk.replay.table.all.map(\.symbol) == ["BTC-USD-20200626"])
    }

    // MARK: Names

    @Test(
        "gives instruments the hub's names",
        arguments: [
            ("BTCUSD_PERP", "BTC-USD-PERP", Instrument.Kind.perpetual), ("BTCUSD_240927", "BTC-USD-20240927", .future),
            ("DOGEUSD_PERP", "DOGE-USD-PERP", .perpetual),
        ]
    )
    func names(rawSymbol: String, symbol: String, kind: Instrument.Kind) {
        #expect(BinanceDialect(market: .coinMargined).symbol(ofRaw: rawSymbol) == VenueSymbol(symbol, kind))
    }

    @Test("names streams in lower case and books in upper case at their own addresses")
    func addresses() {
        let dialect = BinanceDialect(market: .coinMargined)
        let both = VenueSubscription(rawSymbols: ["BTCUSD_PERP"], channels: [.book, .trades, .quotes])
        #expect(
            dialect.url(for: both) == "wss://dstream.binance.com/stream?streams=btcusd_perp@depth@100ms/"
                + "btcusd_perp@aggTrade/btcusd_perp@bookTicker"
        )
        #expect(dialect.snapshotURL(rawSymbol: "BTCUSD_PERP") == Self.url)
        #expect(dialect.rawSymbol(ofSnapshotURL: Self.url) == "BTCUSD_PERP")
    }

    @Test("reads contracts with their size, margin and delivery; a contract without size is refused")
    func listing() throws {
        let filters =
            #""filters":[{"filterType":"PRICE_FILTER","tickSize":"0.1"},{"filterType":"LOT_SIZE","stepSize":"1"}]"#
        let assets = #""baseAsset":"BTC","quoteAsset":"USD","marginAsset":"BTC""#
        let text = #"""
            {"timezone":"UTC","symbols":[
            {"symbol":"BTCUSD_PERP","pair":"BTCUSD","contractType":"PERPETUAL","deliveryDate":4133404800000,
             "contractSize":100,\#(assets),\#(filters)},
            {"symbol":"BTCUSD_240927","pair":"BTCUSD","contractType":"CURRENT_QUARTER","deliveryDate":1727424000000,
             "contractSize":100,\#(assets),\#(filters)}]}
            """#
        let dialect = BinanceDialect(market: .coinMargined)
        #expect(
            try listed(Array(text.utf8), of: dialect) == [
                "BTCUSD_PERP BTC-USD-PERP perpetual 1/1 0/1 BTC/USD/BTC 100 inverse 0 none none",
                "BTCUSD_240927 BTC-USD-20240927 future 1/1 0/1 BTC/USD/BTC 100 inverse 1727424000000 none none",
            ]
        )
        let wrong = #"[{"symbol":"BTCUSD_PERP","contractType":"PERPETUAL",\#(assets),\#(filters)}]"#
        #expect(throws: FrameFault.missing(field: "contractSize")) { try listed(Array(wrong.utf8), of: dialect) }
    }

    @Test("USD-M contracts have terms too, and are linear")
    func usdMargined() throws {
        let text = #"""
            [{"symbol":"BTCUSDT_240927","contractType":"CURRENT_QUARTER","deliveryDate":1727424000000,"baseAsset":"BTC",
              "quoteAsset":"USDT","marginAsset":"USDT","filters":[{"filterType":"PRICE_FILTER","tickSize":"0.10"},
              {"filterType":"LOT_SIZE","stepSize":"0.001"}]}]
            """#
        #expect(
            try listed(Array(text.utf8), of: BinanceDialect(market: .perpetual)) == [
                "BTCUSDT_240927 BTC-USDT-20240927 future 1/1 3/1 BTC/USDT/USDT none linear 1727424000000 none none"
            ]
        )
    }
}
