import Feeds
import Market
import Testing

private func book(
    _ type: String,
    _ number: Int,
    bids: String = "",
    asks: String = "",
    topic: String = "orderbook.50.BTCUSDT"
) -> String {
    "{\"topic\":\"\(topic)\",\"type\":\"\(type)\",\"ts\":1672304484978,\"data\":{\"s\":\"BTCUSDT\",\"b\":[\(bids)],"
        + "\"a\":[\(asks)],\"u\":\(number),\"seq\":7961638724},\"cts\":1672304484976}"
}

private let snapshot = book("snapshot", 100, bids: #"["16493.50","0.006"]"#, asks: #"["16611.00","0.029"]"#)

@Suite("Bybit v5")
struct BybitDialectTests {
    private func live() throws -> Talk {
        var talk = try Talk("bybit-linear")
        talk.hear(snapshot)
        return talk
    }

    // MARK: Books

    @Test("a delta changes, adds and removes levels, and bears the matching engine's time")
    func delta() throws {
        var talk = try live()
        let changed = #"["16493.50","0"],["16493.00","0.1"]"#
        let events = talk.hear(book("delta", 101, bids: changed, asks: #"["16611.00","0.03"]"#))
        #expect(talk.replay.top(5, of: "BTC-USDT-PERP", .bid) == [["16493", "0.1"]])
        #expect(talk.replay.top(5, of: "BTC-USDT-PERP", .ask) == [["16611", "0.03"]])
        #expect(events.last?.eventNs == 1_672_304_484_976_000_000)
        #expect(events.last?.venueSequence == 101)
    }

    @Test(
        "wants each delta to be one behind the last",
        arguments: [(101, MarketStatus.State.live), (100, .live), (99, .live), (102, .resyncing), (1_000, .resyncing)]
    )
    func contiguous(number: Int, state: MarketStatus.State) throws {
        var talk = try live()
        talk.hear(book("delta", number, bids: #"["16493.50","5"]"#))
        #expect(talk.statuses.last?.state == state)
        let isApplied = number == 101
        #expect((talk.replay.top(1, of: "BTC-USDT-PERP", .bid) == [["16493.5", "5"]]) == isApplied)
    }

    @Test("after a gap the topic is subscribed to again, and its snapshot makes the book right")
    func gap() throws {
        var talk = try live()
        talk.hear(book("delta", 102))
        #expect(talk.statuses.last == MarketStatus(.resyncing, .gap))
        let frames = [
            #"{"op":"unsubscribe","args":["orderbook.200.BTCUSDT"]}"#,
            #"{"op":"subscribe","args":["orderbook.200.BTCUSDT"]}"#,
        ]
        #expect(talk.replay.actions.map(\.demand) == [.resubscribe(rawSymbol: "BTCUSDT", frames: frames)])
        talk.hear(book("snapshot", 90, bids: #"["16493.50","1"]"#))
        talk.hear(book("delta", 91, bids: #"["16493.50","2"]"#))
        #expect(talk.replay.top(1, of: "BTC-USDT-PERP", .bid) == [["16493.5", "2"]])
    }

    @Test("the number 1 is a snapshot whatever its type: the venue's service began anew")
    func restart() throws {
        var talk = try live()
        talk.hear(book("delta", 1, bids: #"["16000","3"]"#))
        #expect(talk.replay.top(5, of: "BTC-USDT-PERP", .bid) == [["16000", "3"]])
        #expect(talk.replay.top(5, of: "BTC-USDT-PERP", .ask).isEmpty)
        talk.hear(book("delta", 2, bids: #"["15999","4"]"#))
        #expect(talk.replay.top(5, of: "BTC-USDT-PERP", .bid).count == 2)
        #expect(talk.replay.feed.counters.resyncs == 0)
    }

    @Test("levels beyond the topic's depth are let go")
    func depth() throws {
        var talk = try Talk("bybit-linear")
        let topic = "orderbook.2.BTCUSDT"
        talk.hear(book("snapshot", 5, bids: #"["10","1"],["9","1"]"#, asks: #"["11","1"]"#, topic: topic))
        talk.hear(book("delta", 6, bids: #"["10.5","1"]"#, topic: topic))
        #expect(talk.replay.top(5, of: "BTC-USDT-PERP", .bid) == [["10.5", "1"], ["10", "1"]])
    }

    @Test("takes members in any order, data ahead of the topic too")
    func order() throws {
        var talk = try Talk("bybit-linear")
        talk.hear(
            #"{"data":{"u":5,"a":[["11","1"]],"b":[["10","1"]],"s":"BTCUSDT"},"ts":1,"topic":"orderbook.50.BTCUSDT","type":"snapshot"}"#
        )
        #expect(talk.replay.top(5, of: "BTC-USDT-PERP", .bid) == [["10", "1"]])
    }

    @Test("the topic of depth 1 is the best bid and ask, also when a side is empty")
    func top() throws {
        var talk = try Talk("bybit-linear")
        let topic = "orderbook.1.BTCUSDT"
        let events = talk.hear(book("snapshot", 7, bids: #"["10","1"]"#, asks: #"["11","2"]"#, topic: topic))
        guard case .quote(let quote)? = events.last?.payload else {
            Issue.record("no quote")
            return
        }
        #expect(quote.bid == Level(price: Price(ticks: 10), quantity: Quantity(lots: 1)))
        #expect(quote.ask == Level(price: Price(ticks: 11), quantity: Quantity(lots: 2)))
        guard case .quote(let half)? = talk.hear(book("snapshot", 8, asks: #"["11","2"]"#, topic: topic)).last?.payload
        else {
            Issue.record("no quote")
            return
        }
        #expect(half.bid.quantity.isZero)
        #expect(talk.replay.feed.counters.bookSnapshots == 0)
    }

    @Test(
        "reads the frames of the recorded fixture",
        .enabled(if: Captures.arePresent, "the captures are not beside the package")
    )
    func fixture() throws {
        var talk = try Talk("bybit-linear")
        for line in try Captures.bytes("modern/bybit-v5-orderbook1.jsonl").split(separator: UInt8(ascii: "\n")) {
            talk.hear(String(decoding: line, as: UTF8.self))
        }
        #expect(talk.replay.faults.isEmpty)
        let quotes = talk.replay.recorder.events.compactMap { _, event, instrument -> String? in
            guard case .quote(let quote) = event.payload else { return nil }
            let numbers = [
                instrument.text(quote.bid.price), instrument.text(quote.bid.quantity),
                instrument.text(quote.ask.price), instrument.text(quote.ask.quantity),
            ]
            return numbers.joined(separator: " ") + " \(event.venueSequence) \(event.eventNs / 1_000_000)"
        }
        #expect(
            quotes == [
                "63705.3 2.045546 63705.4 2.334566 72212457 1786613159748",
                "63705.3 2.014151 63705.4 2.334566 72212458 1786613159817",
            ]
        )
    }

    // MARK: Trades, tickers and candles

    @Test("a trade's side is the taker's")
    func trades() throws {
        var talk = try Talk("bybit")
        let events = talk.hear(
            #"{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1672304486868,"data":[{"T":1672304486865,"s":"BTCUSDT","#
                + #""S":"Buy","v":"0.001","p":"16578.50","L":"PlusTick","i":"20f43950-d8dd-5b31-9112-a178eb6023af","#
                + #""BT":false,"seq":1783284617},{"T":1672304486866,"s":"BTCUSDT","S":"Sell","v":"2","p":"16578","#
                + #""i":"2290000000036455162","BT":true}]}"#
        )
        let trades = events.compactMap { if case .trade(let trade) = $0.payload { trade } else { nil } }
        #expect(trades.map(\.aggressor) == [.buyer, .seller])
        #expect(trades.map(\.id.text) == ["20f43950-d8dd-5b31-9112-a178eb6023af", "2290000000036455162"])
        #expect(trades.map(\.quantity.lots) == [1, 2_000])
        #expect(talk.replay.table.id(named: "BTC-USDT") != nil)
        #expect(events.last?.eventNs == 1_672_304_486_866_000_000)
    }

    @Test(
        "a ticker is a quote where it tells both sides",
        arguments: [
            (#","bid1Price":"10","bid1Size":"1","ask1Price":"11","ask1Size":"2""#, 1),
            (#","bid1Price":"10","bid1Size":"1""#, 0),
            (#","bid1Price":"","bid1Size":"","ask1Price":"11","ask1Size":"2""#, 0), ("", 0),
        ]
    )
    func tickers(fields: String, quotes: Int) throws {
        var talk = try Talk("bybit-inverse")
        talk.hear(
            #"{"topic":"tickers.BTCUSD","type":"delta","data":{"symbol":"BTCUSD"\#(fields)},"cs":24987956059,"ts":5}"#
        )
        #expect(talk.fault == nil)
        #expect(talk.replay.feed.counters.quotes == quotes)
    }

    @Test(
        "candles of the hub's intervals are taken, by the instrument of the topic",
        arguments: [
            ("1", CandleInterval.minute), ("5", .fiveMinutes), ("15", .fifteenMinutes), ("60", .hour), ("D", .day),
            ("3", nil), ("W", nil),
        ]
    )
    func candles(name: String, interval: CandleInterval?) throws {
        var talk = try Talk("bybit")
        let events = talk.hear(
            #"{"topic":"kline.\#(name).BTCUSDT","data":[{"start":1672324800000,"end":1672325099999,"interval":"\#(name)","#
                + #""open":"16649.5","close":"16677","high":"16677","low":"16608","volume":"2.081","turnover":"34666.4","#
                + #""confirm":true,"timestamp":1672324988882}],"ts":1672324988882,"type":"snapshot"}"#
        )
        #expect(talk.fault == nil)
        let candles = events.compactMap { if case .candle(let candle) = $0.payload { candle } else { nil } }
        #expect(candles.map(\.interval) == [interval].compactMap { $0 })
        guard let candle = candles.first else { return }
        #expect(talk.replay.table.all.map(\.symbol) == ["BTC-USDT"])
        #expect(candle.openNs == 1_672_324_800_000_000_000)
        #expect(candle.volume.lots == 2_081)
        #expect(candle.isClosed)
    }

    // MARK: Other frames

    @Test(
        "says what is wrong with a frame",
        arguments: [
            ("{}", FrameFault.missing(field: "topic")), (#"{"success":1}"#, .wrong(field: "success")),
            (#"{"topic":"orders.BTCUSDT","data":{}}"#, .unknownMessage), (#"{"topic":"x","data":{}}"#, .unknownMessage),
            (#"{"topic":"orderbook.50.BTCUSDT"}"#, .missing(field: "data")),
            (book("snapshot", 5, topic: "orderbook.x.BTCUSDT"), .wrong(field: "topic")),
            (book("snapshot", 5, topic: "orderbook.BTCUSDT"), .wrong(field: "topic")),
            (book("snapshot", 5, topic: "orderbook.0.BTCUSDT"), .wrong(field: "topic")),
            (book("update", 5), .wrong(field: "type")), (book("snapshot", 0), .wrong(field: "u")),
            (book("delta", 5, topic: "orderbook.1.BTCUSDT"), .wrong(field: "type")),
            (book("snapshot", 5, bids: #"["1","-1"]"#), .negativeQuantity),
            (
                book("snapshot", 5, bids: #"["1","1"],["2","1"],["3","1"]"#, topic: "orderbook.1.BTCUSDT"),
                .wrong(field: "levels")
            ),
            (snapshot.replacing("\"s\":", with: "\"x\":"), .missing(field: "s")),
            (snapshot.replacing("\"a\":", with: "\"x\":"), .missing(field: "levels")),
            (snapshot.replacing("\"u\":", with: "\"x\":"), .missing(field: "u")),
            (book("delta", 5), .unknownSymbol),
            (#"{"topic":"publicTrade.A","data":[{"T":1,"S":"Buy","v":"1","p":"1"}]}"#, .missing(field: "s")),
            (#"{"topic":"publicTrade.A","data":[{"T":1,"s":"A","S":"buy","v":"1","p":"1"}]}"#, .wrong(field: "S")),
            (#"{"topic":"publicTrade.A","data":[{"s":"A","S":"Buy","v":"1","p":"1"}]}"#, .missing(field: "T")),
            (#"{"topic":"tickers.A","data":{"bid1Price":"1"}}"#, .missing(field: "symbol")),
            (#"{"topic":"kline.1.A","data":[{"start":1,"confirm":1}]}"#, .wrong(field: "confirm")),
            (#"{"topic":"kline.1.A","data":[{"confirm":true}]}"#, .missing(field: "start")),
        ]
    )
    func faults(text: String, fault: FrameFault) throws {
        var talk = try Talk("bybit-linear")
        talk.hear(text)
        #expect(talk.fault == fault)
        #expect(talk.replay.table.all.isEmpty)
    }

    @Test(
        "takes what the venue says besides",
        arguments: [
            #"{"success":true,"ret_msg":"subscribe","conn_id":"d9","req_id":"1","op":"subscribe"}"#,
            #"{"success":true,"ret_msg":"pong","conn_id":"d9","req_id":"","op":"ping"}"#,
            #"{"op":"pong","args":["1672916271846"],"conn_id":"d9"}"#,
            #"{"topic":"allLiquidation.BTCUSDT","type":"snapshot","ts":1,"data":[]}"#,
            #"{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1,"data":[]}"#,
        ]
    )
    func besides(text: String) throws {
        var talk = try Talk("bybit-linear")
        talk.hear(text)
        #expect(talk.fault == nil)
        #expect(talk.replay.actions.isEmpty)
    }

    @Test("reports a refusal in the venue's words")
    func refusal() throws {
        var talk = try Talk("bybit")
        let reason = "error:handler not found,topic:orderbook.3.BTCUSDT"
        talk.hear(#"{"success":false,"ret_msg":"\#(reason)","conn_id":"d9","req_id":"","op":"subscribe"}"#)
        #expect(talk.replay.actions.map(\.demand) == [.report(refusal: reason)])
    }

    @Test("subscribes to at most ten topics a frame, at the address of its kind")
    func subscribes() {
        let dialect = BybitDialect(market: .spot)
        let names = (1...12).map { "C\($0)USDT" }
        let subscription = VenueSubscription(rawSymbols: names, channels: [.book], ownChannels: ["kline.5"])
        let frames = dialect.subscribeFrames(for: subscription)
        #expect(frames.count == 4)
        #expect(frames[1] == #"{"op":"subscribe","args":["orderbook.200.C11USDT","orderbook.200.C12USDT"]}"#)
        #expect(frames[3] == #"{"op":"subscribe","args":["kline.5.C11USDT","kline.5.C12USDT"]}"#)
        #expect(dialect.url(for: subscription) == "wss://stream.bybit.com/v5/public/spot")
        let all = VenueSubscription(rawSymbols: ["BTCUSD"], channels: [.trades, .quotes, .candles])
        let inverse = BybitDialect(market: .inverse)
        #expect(inverse.url(for: all) == "wss://stream.bybit.com/v5/public/inverse")
        #expect(
            inverse.subscribeFrames(for: all)
                == ["publicTrade", "orderbook.1", "kline.1"].map { #"{"op":"subscribe","args":["\#($0).BTCUSD"]}"# }
        )
    }

    // MARK: Names

    @Test(
        "makes the hub's name of the venue's",
        arguments: [
            ("bybit", "BTCUSDT", "BTC-USDT", Instrument.Kind.spot), ("bybit", "ETHBTC", "ETH-BTC", .spot),
            ("bybit", "USDT", "USDT", .spot), ("bybit-linear", "BTCUSDT", "BTC-USDT-PERP", .perpetual),
            ("bybit-linear", "BTCPERP", "BTC-USDC-PERP", .perpetual), ("bybit-linear", "PERP", "PERP", .perpetual),
            ("bybit-linear", "BTC-26SEP25", "BTC-USDC-20250926", .future),
            ("bybit-linear", "BTCUSDT-5SEP25", "BTC-USDT-20250905", .future),
            ("bybit-linear", "BTC-31SEP25", "BTC-31SEP25", .future),
            ("bybit-inverse", "BTCUSD", "BTC-USD-PERP", .perpetual),
            ("bybit-inverse", "BTCUSDU21", "BTC-USD-20210924", .future),
            ("bybit-inverse", "BTCUSDU2x", "BTCUSDU2x", .perpetual),
        ]
    )
    func names(venue: String, raw: String, symbol: String, kind: Instrument.Kind) throws {
        let dialect = try #require(Venues.dialect(of: venue))
        #expect(dialect.symbol(ofRaw: raw) == VenueSymbol(symbol, kind))
    }

    @Test(
        "reads the venue's answer with its list",
        arguments: [
            (
                "bybit", #""symbol":"BTCUSDT","lotSizeFilter":{"basePrecision":"0.000001"}"#,
                "BTCUSDT BTC-USDT spot 2/1 6/1 BTC USDT USDT nil"
            ),
            (
                "bybit-linear",
                #""symbol":"BTCUSDT","contractType":"LinearPerpetual","settleCoin":"USDT","deliveryTime":"0","#
                    + #""lotSizeFilter":{"qtyStep":"0.001"}"#,
                "BTCUSDT BTC-USDT-PERP perpetual 2/1 3/1 BTC USDT USDT nil"
            ),
            (
                "bybit-inverse",
                #""symbol":"BTCUSDU21","contractType":"InverseFutures","settleCoin":"BTC","deliveryTime":"1632470400000","#
                    + #""lotSizeFilter":{"qtyStep":"1"}"#,
                "BTCUSDU21 BTC-USDT-20210924 future 2/1 0/1 BTC USDT BTC 1 inverse until 1632470400"
            ),
            ("bybit-linear", #""symbol":"X","contractType":"InversePerpetual","lotSizeFilter":{"qtyStep":"1"}"#, ""),
            (
                "bybit-linear",
                #""symbol":"X","contractType":"LinearFutures","deliveryTime":"0","lotSizeFilter":{"qtyStep":"1"}"#, ""
            ),
            ("bybit", #""symbol":"X","lotSizeFilter":{"basePrecision":"0"}"#, ""),
        ]
    )
    func list(venue: String, fields: String, wanted: String) throws {
        let dialect = try #require(Venues.dialect(of: venue))
        let text = """
            {"retCode":0,"retMsg":"OK","result":{"category":"x","list":[{"status":"Trading","baseCoin":"BTC",
            "quoteCoin":"USDT","priceFilter":{"tickSize":"0.01"},\(fields)}],"nextPageCursor":""},"time":1}
            """
        let found = try Array(text.utf8).withUnsafeBytes { try VenueListing.instruments(in: $0, of: dialect) }
        #expect(found.map(\.inFull).joined() == wanted)
    }
}
