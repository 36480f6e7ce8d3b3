import Feeds
import Market
import Testing

@Suite("Kraken, version 2")
struct KrakenV2DialectTests {
    private static func pair(_ symbol: String, _ price: Int, _ quantity: Int, status: String = "online") -> String {
        #"{"channel":"instrument","type":"snapshot","data":{"assets":[{"id":"USD"}],"pairs":[{"symbol":"\#(symbol)","#
            + #""status":"\#(status)","price_precision":\#(price),"qty_precision":\#(quantity)}]}}"#
    }

    private static func book(
        _ type: String = "snapshot",
        bids: String = "",
        asks: String = "",
        checksum: UInt32? = nil
    ) -> String {
        let checksum = checksum.map { ",\"checksum\":\($0)" } ?? ""
        return #"{"channel":"book","type":"\#(type)","data":[{"symbol":"A/USD","bids":[\#(bids)],"asks":[\#(asks)]"#
            + #"\#(checksum),"timestamp":"2026-10-06T08:04:56.000569Z"}]}"#
    }

    private static func trade(_ id: Int, type: String = "update", side: String = "buy") -> String {
        #"{"channel":"trade","type":"\#(type)","data":[{"symbol":"A/USD","side":"\#(side)","price":0.5147,"#
            + #""qty":6423.46326,"ord_type":"limit","trade_id":\#(id),"timestamp":"2023-09-25T07:48:36.925533Z"}]}"#
    }

    /// Asks 3 x 0.5, bids 2 x 1.25, with 1 and 2 decimals: 30 50 20 125.
    private static func sum(_ digits: String) -> UInt32 {
        var sum = CRC32()
        for byte in digits.utf8 { sum.add(byte) }
        return sum.value
    }

    private static let ask = #"{"price":3,"qty":0.5}"#
    private static let bid = #"{"price":2,"qty":1.25}"#

    // MARK: The checksum

    @Test(
        "all checksums of frames of 2026 are right, at the depth subscribed to",
        .enabled(if: Captures.arePresent, "the captures are not beside the package")
    )
    func recorded() throws {
        var talk = try VenueTalk(KrakenV2Dialect(depth: 10))
        talk.hear(Self.pair("BTC/USD", 1, 8))
        let frames = try Captures.bytes("modern/kraken-v2-book10.jsonl").split(separator: UInt8(ascii: "\n"))
        for frame in frames { talk.hear(String(decoding: frame, as: UTF8.self)) }
        #expect(talk.fault == nil)
        #expect(talk.replay.feed.counters.checksumsRight == 8)
        #expect(talk.replay.feed.counters.checksumsWrong == 0)
        #expect(talk.replay.feed.counters.bookSnapshots == 2)
        #expect(
            talk.replay.top(10, of: "BTC-USD", .ask).prefix(2) == [
                ["85600.5", "1.12287714"], ["85601.7", "2.92050281"],
            ]
        )
        #expect(talk.replay.top(99, of: "BTC-USD", .ask).count == 10)
    }

    @Test("the checksum is made of the decimals that the venue tells of, whatever the numbers need")
    func told() throws {
        var talk = try VenueTalk("kraken-v2")
        talk.hear(Self.pair("A/USD", 1, 2))
        talk.hear(Self.book(bids: Self.bid, asks: Self.ask, checksum: Self.sum("305020125")))
        #expect(talk.replay.feed.counters.checksumsRight == 1)
        #expect(talk.statuses.last?.state == .live)
    }

    @Test("decimals that come after the book count from the next message on")
    func toldLate() throws {
        var talk = try VenueTalk("kraken-v2")
        talk.hear(Self.book(bids: Self.bid, asks: Self.ask, checksum: 1))
        #expect(talk.statuses.last?.state == .live)
        talk.hear(Self.pair("A/USD", 3, 4))
        talk.hear(Self.book("update", checksum: Self.sum("30005000200012500")))
        #expect(talk.replay.feed.counters.checksumsRight == 1)
        #expect(talk.statuses.last == MarketStatus(.live, .unitsChanged))
    }

    @Test("decimals of the list of instruments count, older names and all")
    func listed() throws {
        var talk = try VenueTalk("kraken-v2")
        try talk.learn(list: #"{"result":{"AUSD":{"wsname":"A/USD","pair_decimals":1,"lot_decimals":2}}}"#)
        talk.hear(Self.book(bids: Self.bid, asks: Self.ask, checksum: Self.sum("305020125")))
        #expect(talk.replay.feed.counters.checksumsRight == 1)
    }

    @Test("no checksum is compared where nobody told of decimals")
    func untold() throws {
        var talk = try VenueTalk("kraken-v2")
        talk.hear(Self.book(bids: Self.bid, asks: Self.ask, checksum: 1))
        #expect(talk.replay.feed.counters.checksumsWrong == 0)
        #expect(talk.statuses.last?.state == .live)
    }

    @Test("a wrong checksum makes the book begin anew with its pair alone")
    func wrong() throws {
        var talk = try VenueTalk("kraken-v2")
        talk.hear(Self.pair("A/USD", 1, 2))
        talk.hear(Self.book(bids: Self.bid, asks: Self.ask, checksum: Self.sum("305020125")))
        talk.hear(Self.book("update", asks: #"{"price":3,"qty":0}"#, checksum: 7))
        #expect(talk.statuses.last == MarketStatus(.resyncing, .checksum))
        let frames = ["unsubscribe", "subscribe"].map {
            #"{"method":"\#($0)","params":{"channel":"book","symbol":["A/USD"],"depth":1000}}"#
        }
        #expect(talk.demands == [.resubscribe(rawSymbol: "A/USD", frames: frames)])
        talk.hear(Self.book(bids: Self.bid, asks: Self.ask, checksum: Self.sum("305020125")))
        #expect(talk.statuses.last?.state == .live)
    }

    @Test("what tells of units beyond all bounds is left out, and nothing else")
    func bounds() throws {
        var limits = VenueFeed.Limits()
        limits.instrumentsMost = 2
        var talk = try VenueTalk(KrakenV2Dialect(), limits: limits)
        for symbol in ["X/USD", "Y/USD", "A/USD"] { talk.hear(Self.pair(symbol, 1, 2)) }
        talk.hear(Self.book(bids: Self.bid, asks: Self.ask, checksum: 1))
        #expect(talk.statuses.last?.state == .live)
        talk.hear(Self.pair("A/USD", 18, 2))
        talk.hear(Self.book("update", checksum: 1))
        #expect(talk.statuses.last?.state == .live)
        #expect(talk.fault == nil)
    }

    // MARK: Books

    @Test("changes of one message are taken one after the other, and a second snapshot replaces all")
    func applies() throws {
        var talk = try VenueTalk("kraken-v2")
        talk.hear(Self.book(bids: Self.bid, asks: Self.ask))
        talk.hear(Self.book("update", asks: #"{"qty":5e-05,"price":3},{"price":3,"qty":0},{"price":4.5,"qty":1}"#))
        #expect(talk.replay.top(9, of: "A-USD", .ask) == [["4.5", "1"]])
        let events = talk.hear(Self.book(bids: #"{"price":1,"qty":1}"#))
        #expect(talk.replay.top(9, of: "A-USD", .bid) == [["1", "1"]])
        #expect(talk.replay.top(9, of: "A-USD", .ask).isEmpty)
        #expect(events.first?.eventNs == 1_791_273_896_000_569_000)
    }

    @Test("levels beyond the depth subscribed to are dropped")
    func depth() throws {
        var talk = try VenueTalk(KrakenV2Dialect(depth: 10))
        let asks = (1...12).map { "{\"price\":\($0),\"qty\":1}" }.joined(separator: ",")
        talk.hear(Self.book(asks: asks))
        #expect(talk.replay.top(99, of: "A-USD", .ask).count == 10)
    }

    // MARK: Trades and quotes

    @Test("the snapshot of trades is of the past, and numbers show what is missing")
    func trades() throws {
        var talk = try VenueTalk("kraken-v2")
        for frame in [Self.trade(7, type: "snapshot"), Self.trade(8), Self.trade(8), Self.trade(11, side: "sell")] {
            talk.hear(frame)
        }
        #expect(
            talk.trades == [
                "past buyer 0.5147 x 6423.46326 #7", "buyer 0.5147 x 6423.46326 #8",
                "gap seller 0.5147 x 6423.46326 #11",
            ]
        )
        #expect(talk.replay.feed.counters.missedTrades == 2)
    }

    @Test("a ticker is a quote with quantities, with a time where it has one")
    func quotes() throws {
        var talk = try VenueTalk("kraken-v2")
        let ticker =
            #"{"channel":"ticker","type":"update","data":[{"symbol":"A/USD","bid":2.5,"bid_qty":5.75119051,"#
            + #""ask":2.75,"ask_qty":3,"last":2.6}]}"#
        guard case .quote(let quote) = talk.hear(ticker).last?.payload else {
            Issue.record("no quote")
            return
        }
        #expect(quote.bid.price.ticks == 250)
        #expect(quote.ask.quantity.lots == 300_000_000)
        let timed = talk.hear(ticker.replacing(#""last""#, with: #""timestamp":"2026-08-12T19:29:02.066592Z","last""#))
        #expect(timed.last?.eventNs == 1_786_562_942_066_592_000)
    }

    @Test("a pair in maintenance is halted")
    func halts() throws {
        var talk = try VenueTalk("kraken-v2")
        talk.hear(Self.book(bids: Self.bid))
        talk.hear(Self.pair("A/USD", 1, 2, status: "maintenance"))
        #expect(talk.statuses.last?.state == .halted)
        talk.hear(Self.pair("A/USD", 1, 2, status: "post_only"))
        #expect(talk.statuses.last?.state == .live)
    }

    // MARK: What else the venue says

    @Test(
        "a refusal is reported in the venue's words",
        arguments: [
            #"{"error":"Currency pair not supported","method":"subscribe","success":false,"symbol":"X"}"#,
            #"{"success":false,"error":"Currency pair not supported"}"#,
        ]
    )
    func refusals(frame: String) throws {
        var talk = try VenueTalk("kraken-v2")
        talk.hear(frame)
        #expect(talk.demands == [.report(refusal: "Currency pair not supported")])
    }

    @Test(
        "what only says that the connection lives does nothing",
        arguments: [
            #"{"channel":"heartbeat"}"#, #"{"method":"pong","req_id":1}"#,
            #"{"channel":"status","type":"update","data":[{"system":"online"}]}"#,
            #"{"method":"subscribe","result":{"channel":"book","symbol":"A/USD","depth":10},"success":true}"#,
            #"{"method":"unsubscribe","result":{"channel":"book","symbol":"A/USD"},"success":true}"#,
            #"{"method":"subscribe","result":{"channel":"instrument"},"success":true}"#,
            #"{"channel":"ohlc","type":"update","data":[{}]}"#,
        ]
    )
    func quiet(frame: String) throws {
        var talk = try VenueTalk("kraken-v2")
        #expect(talk.hear(frame).isEmpty)
        #expect(talk.fault == nil)
        #expect(talk.demands.isEmpty)
    }

    @Test(
        "refuses what the venue does not document, and changes nothing",
        arguments: [
            ("{}", FrameFault.missing(field: "channel")), (#"{"channel":"fills"}"#, .unknownMessage),
            (#"{"method":"hello"}"#, .unknownMessage), (#"{"channel":"book","data":[]}"#, .wrong(field: "type")),
            (#"{"channel":"book","type":"update"}"#, .missing(field: "data")),
            (#"{"channel":"book","type":"update","data":[{"bids":[]}]}"#, .missing(field: "symbol")),
            (#"{"channel":"book","type":"update","data":[{"symbol":"A/USD"}]}"#, .missing(field: "bids")),
            (book("update", bids: #"{"price":1}"#), .missing(field: "qty")),
            (book("update", bids: #"{"qty":1}"#), .missing(field: "price")),
            (book("update", bids: #"{"price":1,"qty":-1}"#), .negativeQuantity),
            (book("update").replacing(#""timestamp""#, with: #""checksum":4294967296,"x""#), .wrong(field: "checksum")),
            (trade(1, side: "ask"), .wrong(field: "side")),
            (trade(1).replacing(#""trade_id":1,"#, with: ""), .missing(field: "trade_id")),
            (trade(1).replacing("6423", with: "-6423"), .negativeQuantity),
            (#"{"channel":"ticker","data":[{"symbol":"A/USD","bid":1,"ask":2}]}"#, .missing(field: "bid_qty")),
            (pair("A/USD", 19, 1), .wrong(field: "price_precision")),
            (pair("A/USD", 1, 256), .wrong(field: "qty_precision")),
            (#"{"channel":"instrument","data":{"pairs":[{"qty_precision":1}]}}"#, .missing(field: "symbol")),
        ]
    )
    func refuses(frame: String, fault: FrameFault) throws {
        var talk = try VenueTalk("kraken-v2")
        talk.hear(Self.book(bids: Self.bid, asks: Self.ask))
        let before = talk.replay.feed.counters
        #expect(talk.hear(frame).isEmpty)
        #expect(talk.fault == fault)
        var counters = before
        (counters.frames, counters.badFrames) = (before.frames + 1, 1)
        #expect(talk.replay.feed.counters == counters)
    }

    // MARK: What we send

    @Test("asks for the decimals with the books, and for past trades and every change of the best prices")
    func subscribes() {
        let subscription = VenueSubscription(
            rawSymbols: ["BTC/USD", "ETH/USD"],
            channels: [.book, .trades, .quotes],
            ownChannels: ["level3"]
        )
        #expect(KrakenV2Dialect().url(for: subscription) == "wss://ws.kraken.com/v2")
        let symbols = #""symbol":["BTC/USD","ETH/USD"]"#
        #expect(
            KrakenV2Dialect(depth: 25).subscribeFrames(for: subscription)
                == [
                    #""channel":"instrument""#, #""channel":"book",\#(symbols),"depth":25"#,
                    #""channel":"trade",\#(symbols),"snapshot":true"#,
                    #""channel":"ticker",\#(symbols),"event_trigger":"bbo""#, #""channel":"level3",\#(symbols)"#,
                ].map { #"{"method":"subscribe","params":{\#($0)}}"# }
        )
    }

    // MARK: Names

    @Test("reads Kraken's list under the names of version 2, and entries of the channel")
    func lists() throws {
        let text = #"""
            {"error":[],"result":{
            "XXBTZUSD":{"altname":"XBTUSD","wsname":"XBT/USD","pair_decimals":1,"lot_decimals":8,"tick_size":"0.1"},
            "XDGEUR":{"wsname":"XDG/EUR","pair_decimals":7,"lot_decimals":8,"tick_size":"0.0000005"},
            "own":{"symbol":"ETH/USD","price_precision":2,"qty_precision":8,"price_increment":0.01,"qty_increment":1e-7},
            "nameless":{"altname":"X"}}}
            """#
        let found = try Array(text.utf8).withUnsafeBytes {
            try VenueListing.instruments(in: $0, of: KrakenV2Dialect())
        }
        #expect(
            found.map { "\($0.rawSymbol) \($0.symbol) \($0.priceScale) \($0.quantityScale) \($0.tick) \($0.lot)" } == [
                "BTC/USD BTC-USD 1 8 1 1", "DOGE/EUR DOGE-EUR 7 8 5 1", "ETH/USD ETH-USD 2 8 1 10",
            ]
        )
    }

    @Test(
        "reads every entry of the list beside the captures",
        .enabled(if: Captures.arePresent, "the captures are not beside the package")
    )
    func wholeList() throws {
        let bytes = try Captures.bytes("instruments/kraken.json")
        let new = try bytes.withUnsafeBytes { try VenueListing.instruments(in: $0, of: KrakenV2Dialect()) }
        let old = try bytes.withUnsafeBytes { try VenueListing.instruments(in: $0, of: KrakenDialect()) }
        #expect(new.map(\.symbol) == old.map(\.symbol))
        #expect(new.map(\.priceScale) == old.map(\.priceScale))
        #expect(new.map(\.rawSymbol) == old.map { $0.rawSymbol.replacing("XBT", with: "BTC") })
    }
}
