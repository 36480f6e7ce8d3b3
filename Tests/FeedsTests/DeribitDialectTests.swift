import Feeds
import Market
import Testing

@Suite("Deribit")
struct DeribitDialectTests {
    private static func frame(_ channel: String, _ data: String) -> String {
        #"{"jsonrpc":"2.0","method":"subscription","params":{"channel":"\#(channel)","data":\#(data)}}"#
    }

    private static func book(_ type: String, _ numbers: String, bids: String = "", asks: String = "") -> String {
        frame(
            "book.BTC-PERPETUAL.100ms",
            #"{"type":"\#(type)","timestamp":5,"instrument_name":"BTC-PERPETUAL"\#(numbers),"bids":[\#(bids)],"#
                + #""asks":[\#(asks)]}"#
        )
    }

    private static let snapshot = book(
        "snapshot",
        #","change_id":100"#,
        bids: #"["new",10.5,100.0]"#,
        asks: #"["new",11.0,200.0]"#
    )

    private static func numbers(_ previous: Int, _ last: Int) -> String {
        #","prev_change_id":\#(previous),"change_id":\#(last)"#
    }

    // MARK: Books

    @Test(
        "wants a change to name the last one as its previous",
        arguments: [
            (previous: 100, last: 105, MarketStatus.State.live, repeated: 0), (99, 105, .resyncing, 0),
            (101, 105, .resyncing, 0), (90, 100, .live, 1),
        ]
    )
    func continuity(previous: Int, last: Int, state: MarketStatus.State, repeated: Int) throws {
        var talk = try VenueDialogue("deribit")
        talk.hear(Self.snapshot)
        talk.hear(Self.book("change", Self.numbers(previous, last)))
        #expect(talk.statuses.last?.state == state)
        #expect(talk.replay.feed.counters.repeatedUpdates == repeated)
    }

    @Test("puts, changes and deletes levels, whatever amount a deletion tells")
    func levels() throws {
        var talk = try VenueDialogue("deribit")
        talk.hear(Self.snapshot)
        let bids = #"["change",10.5,70.0],["new",10.0,10.0]"#
        talk.hear(Self.book("change", Self.numbers(100, 101), bids: bids, asks: #"["delete",11.0,5.0]"#))
        #expect(talk.bids("BTC-USD-PERP") == [["10.5", "70"], ["10", "10"]])
        #expect(talk.asks("BTC-USD-PERP").isEmpty)
    }

    @Test("a gap makes the book be subscribed to again")
    func gap() throws {
        var talk = try VenueDialogue("deribit")
        talk.hear(Self.snapshot)
        talk.hear(Self.book("change", Self.numbers(101, 105)))
        let frames = ["unsubscribe", "subscribe"].map {
            #"{"jsonrpc":"2.0","id":0,"method":"public/\#($0)","params":{"channels":["book.BTC-PERPETUAL.100ms"]}}"#
        }
        #expect(talk.demand == .resubscribe(rawSymbol: "BTC-PERPETUAL", frames: frames))
        #expect(talk.hear(Self.snapshot).first?.flags.contains(.gapBefore) == true)
    }

    @Test("reads a frame whose data come before what they are")
    func order() throws {
        var talk = try VenueDialogue("deribit")
        talk.hear(
            #" { "params" : { "data" : { "asks" : [ ] , "bids" : [ [ "new" , 1 , 2e1 ] ] , "change_id" : 1 , "#
                + #""instrument_name" : "A_B" , "type" : "snapshot" } , "channel" : "book.A_B.raw" } , "#
                + #""method" : "subscription" } "#
        )
        #expect(talk.fault == nil)
        #expect(talk.bids("A-B") == [["1", "20"]])
    }

    // MARK: Trades and quotes

    private static func trade(_ sequence: Int, _ direction: String = "sell") -> String {
        #"{"trade_seq":\#(sequence),"trade_id":"ETH-\#(sequence)","timestamp":1626993723804,"tick_direction":2,"#
            + #""price":2003.5,"mark_price":2003.61,"instrument_name":"ETH-PERPETUAL","index_price":2006.72,"#
            + #""direction":"\#(direction)","amount":10.0}"#
    }

    @Test("reads all trades of a frame; a hole in their numbers shows a loss")
    func trades() throws {
        var talk = try VenueDialogue("deribit")
        let first = talk.hear(Self.frame("trades.ETH-PERPETUAL.100ms", "[\(Self.trade(7)),\(Self.trade(8, "buy"))]"))
        let trades = first.compactMap { if case .trade(let trade) = $0.payload { trade } else { nil } }
        #expect(trades.map(\.aggressor) == [.seller, .buyer])
        #expect(trades.map(\.id.text) == ["ETH-7", "ETH-8"])
        #expect(trades.map(\.quantity.lots) == [10, 10])
        #expect(first.last?.venueSequence == 8)
        #expect(first.last?.eventNs == 1_626_993_723_804_000_000)
        #expect(first.last?.flags == .last)
        let second = talk.hear(Self.frame("trades.ETH-PERPETUAL.100ms", "[\(Self.trade(11))]"))
        #expect(second.last?.flags == [.gapBefore, .last])
        #expect(talk.replay.feed.counters.missedTrades == 2)
    }

    private static func ticker(_ state: String, bid: String = "0.0015") -> String {
        frame(
            "ticker.A-PERPETUAL.100ms",
            #"{"timestamp":5,"state":"\#(state)","instrument_name":"A-PERPETUAL","best_bid_price":\#(bid),"#
                + #""best_bid_amount":4714.0,"best_ask_price":0.0025,"best_ask_amount":873.0}"#
        )
    }

    @Test(
        "takes best prices of a ticker, and no price for nothing",
        arguments: [("0.0015", 15), ("null", 0), ("0.0", 0)]
    )
    func quotes(bid: String, ticks: Int64) throws {
        var talk = try VenueDialogue("deribit")
        guard case .quote(let quote) = talk.hear(Self.ticker("open", bid: bid)).last?.payload else {
            Issue.record("no quote: \(talk.replay.faults)")
            return
        }
        #expect(quote.bid.price.ticks == ticks)
        #expect(quote.ask == Level(price: Price(ticks: 25), quantity: Quantity(lots: 873)))
    }

    @Test("tells when trading stops and when it goes on")
    func halts() throws {
        var talk = try VenueDialogue("deribit")
        for state in ["open", "closed", "closed", "open"] { talk.hear(Self.ticker(state)) }
        #expect(
            talk.statuses == [
                MarketStatus(.connected, .started), MarketStatus(.halted, .venueRequest),
                MarketStatus(.connected, .venueRequest),
            ]
        )
    }

    // MARK: What is beside the data

    @Test("answers what the venue wants answered, and nothing else")
    func heartbeats() throws {
        var talk = try VenueDialogue("deribit")
        talk.hear(#"{"jsonrpc":"2.0","method":"heartbeat","params":{"type":"heartbeat"}}"#)
        #expect(talk.replay.actions.isEmpty)
        talk.hear(#"{"params":{"type":"test_request"},"method":"heartbeat","jsonrpc":"2.0"}"#)
        #expect(talk.demand == .send(#"{"jsonrpc":"2.0","id":2,"method":"public/test","params":{}}"#))
    }

    @Test(
        "understands results and refusals",
        arguments: [
            (#"{"jsonrpc":"2.0","id":1,"result":"ok","usIn":1,"usOut":2,"usDiff":1,"testnet":false}"#, nil),
            (#"{"jsonrpc":"2.0","id":2,"result":{"version":"1.2.26"}}"#, nil),
            (#"{"jsonrpc":"2.0","id":0,"result":["book.A-PERPETUAL.raw","ticker.A-PERPETUAL.raw",5,"book."]}"#, nil),
            (frame("platform_state", #"{"maintenance":true}"#), nil),
            (frame("book.A-PERPETUAL.none.10.100ms", #"{"bids":[[1,2]]}"#), nil),
            (
                #"{"jsonrpc":"2.0","id":0,"error":{"code":-32602,"message":"Invalid params"}}"#,
                FeedAction.Demand.report(refusal: "Invalid params")
            ),
            (#"{"id":0,"error":{"code":-32602}}"#, .report(refusal: #"{"code":-32602}"#)),
        ]
    )
    func answers(text: String, demand: FeedAction.Demand?) throws {
        var talk = try VenueDialogue("deribit")
        talk.hear(text)
        #expect(talk.fault == nil)
        #expect(talk.demand == demand)
    }

    @Test("a book that waits belongs to the connection that acknowledged it")
    func subscribed() throws {
        var talk = try VenueDialogue("deribit")
        talk.hear(Self.ticker("open"))
        talk.hear(#"{"jsonrpc":"2.0","id":0,"result":["book.A-PERPETUAL.raw"]}"#, connection: 7)
        talk.replay.feed.disconnected(7, reason: .silence, atNs: 5, into: &talk.replay.recorder)
        #expect(talk.statuses.last == MarketStatus(.disconnected, .silence))
    }

    @Test(
        "refuses what is not as documented",
        arguments: [
            ("[]", FrameFault.unexpected(byte: UInt8(ascii: "["), offset: 0)), ("{}", .missing(field: "method")),
            (#"{"method":"dance"}"#, .unknownMessage), (#"{"id":5}"#, .missing(field: "method")),
            (#"{"method":"subscription","params":{"channel":"book.A.raw"}}"#, .missing(field: "data")),
            (#"{"method":"subscription","params":{"data":{}}}"#, .missing(field: "channel")),
            (#"{"method":"subscription"}"#, .missing(field: "data")),
            (#"{"method":"x","params":{"channel":"x","data":{}}}"#, .wrong(field: "method")),
            (#"{"method":"subscription","params":{"channel":"x","data":1,"data":1}}"#, .wrong(field: "data")),
            (frame("book.A.raw", "{}"), .missing(field: "instrument_name")),
            (frame("book.A.raw", #"{"instrument_name":"A"}"#), .wrong(field: "type")),
            (frame("book.A.raw", #"{"instrument_name":"A","type":"change","bids":[]}"#), .missing(field: "levels")),
            (book("change", #","change_id":5"#), .missing(field: "prev_change_id")),
            (book("snapshot", ""), .missing(field: "change_id")),
            (book("snapshot", #","change_id":0"#), .wrong(field: "change_id")),
            (book("snapshot", #","change_id":1"#, bids: "[]"), .missing(field: "action")),
            (book("snapshot", #","change_id":1"#, bids: #"["old",1,1]"#), .wrong(field: "action")),
            (book("snapshot", #","change_id":1"#, bids: #"["new"]"#), .missing(field: "price")),
            (book("snapshot", #","change_id":1"#, bids: #"["new",1]"#), .missing(field: "amount")),
            (book("snapshot", #","change_id":1"#, bids: #"["new",1,-1]"#), .negativeQuantity),
            (frame("trades.A.raw", #"[{"instrument_name":"A"}]"#), .wrong(field: "direction")),
            (
                frame("trades.A.raw", #"[{"instrument_name":"A","direction":"buy","price":1,"amount":1}]"#),
                .missing(field: "trade_seq")
            ),
            (frame("ticker.A.raw", #"{"instrument_name":"A"}"#), .missing(field: "best_bid_price")),
        ]
    )
    func refusals(text: String, fault: FrameFault) throws {
        var talk = try VenueDialogue("deribit")
        talk.hear(text)
        #expect(talk.fault == fault)
        #expect(talk.replay.table.all.isEmpty)
    }

    // MARK: What is sent

    @Test("asks for heartbeats, then for all channels in one request, or for five hundred at a time")
    func subscribing() {
        let dialect = DeribitDialect()
        let heartbeat = #"{"jsonrpc":"2.0","id":1,"method":"public/set_heartbeat","params":{"interval":10}}"#
        let few = VenueSubscription(
            rawSymbols: ["A", "B"],
            channels: [.book, .trades],
            ownChannels: ["ticker.{instrument_name}.raw", "platform_state"]
        )
        let channels =
            #"["book.A.100ms","book.B.100ms","trades.A.100ms","trades.B.100ms","ticker.A.raw","ticker.B.raw","#
            + #""platform_state"]"#
        #expect(
            dialect.subscribeFrames(for: few) == [
                heartbeat,
                #"{"jsonrpc":"2.0","id":0,"method":"public/subscribe","params":{"channels":\#(channels)}}"#,
            ]
        )
        let many = VenueSubscription(rawSymbols: (0..<501).map { "A\($0)" }, channels: [.book])
        #expect(dialect.subscribeFrames(for: many).count == 3)
    }

    @Test("begins a book anew on the channel that it came by")
    func resubscribing() {
        let raw = VenueSubscription(rawSymbols: ["A"], channels: [], ownChannels: ["book.{instrument_name}.raw"])
        let frames = DeribitDialect().resubscribeFrames(rawSymbol: "A", in: raw)
        #expect(frames?.count == 2)
        #expect(frames?.allSatisfy { $0.contains(#"["book.A.raw"]"#) } == true)
        let usual = VenueSubscription(rawSymbols: ["A"], channels: [.book])
        #expect(DeribitDialect().resubscribeFrames(rawSymbol: "A", in: usual) == nil)
    }

    // MARK: Names

    @Test(
        "gives instruments the hub's names",
        arguments: [
            ("BTC-PERPETUAL", "BTC-USD-PERP", Instrument.Kind.perpetual),
            ("BTC_USDC-PERPETUAL", "BTC-USDC-PERP", .perpetual),
            ("BTC-24SEP21", "BTC-USD-20210924", .future), ("ETH-3JAN25", "ETH-USD-20250103", .future),
            ("BTC-24SEP21-8000-P", "BTC-USD-20210924-8000-P", .option),
            ("XRP_USDC-30JUN23-0d625-C", "XRP-USDC-20230630-0.625-C", .option), ("BTC_USDC", "BTC-USDC", .spot),
            ("BTC", "BTC", .spot), ("BTC-FS-24SEP21_PERP", "BTC-FS-24SEP21_PERP", .spot),
            ("BTC-31FEB21", "BTC-31FEB21", .spot), ("BTC-24SEP21-8000-X", "BTC-24SEP21-8000-X", .spot),
            ("-", "-", .spot),
            ("A_B_C", "A_B_C", .spot),
        ]
    )
    func names(rawSymbol: String, symbol: String, kind: Instrument.Kind) {
        #expect(DeribitDialect().symbol(ofRaw: rawSymbol) == VenueSymbol(symbol, kind))
    }

    @Test(
        "reads every entry of the recorded list, and infers the same names without it",
        .enabled(if: Captures.arePresent, "the captures are not beside the package")
    )
    func listing() throws {
        func line(
            _ raw: String,
            _ symbol: String,
            _ lot: String,
            _ base: String,
            _ expiryMs: Int,
            _ tail: String
        ) -> String {
            "\(raw) \(symbol) option 4/5 \(lot) \(base)/USD/\(base) none linear \(expiryMs) \(tail)"
        }
        let text = try Captures.bytes("instruments/deribit.json")
        #expect(
            try listed(text, of: DeribitDialect()) == [
                line("BTC-30JUL21-24000-P", "BTC-USD-20210730-24000-P", "1/1", "BTC", 1_627_632_000_000, "24000 put"),
                line("BTC-24SEP21-8000-P", "BTC-USD-20210924-8000-P", "1/1", "BTC", 1_632_470_400_000, "8000 put"),
                line("BTC-25MAR22-30000-C", "BTC-USD-20220325-30000-C", "1/1", "BTC", 1_648_195_200_000, "30000 call"),
                line("ETH-30JUL21-2800-C", "ETH-USD-20210730-2800-C", "0/1", "ETH", 1_627_632_000_000, "2800 call"),
                line("ETH-27AUG21-4000-P", "ETH-USD-20210827-4000-P", "0/1", "ETH", 1_630_051_200_000, "4000 put"),
            ]
        )
        for one in try text.withUnsafeBytes({ try VenueListing.instruments(in: $0, of: DeribitDialect()) }) {
            #expect(DeribitDialect().symbol(ofRaw: one.rawSymbol) == VenueSymbol(one.symbol, one.kind))
        }
    }

    @Test("reads perpetuals, futures, spot and linear options, and leaves combinations out")
    func ownListing() throws {
        let common = #""tick_size":0.5,"min_trade_amount":10,"base_currency":"BTC""#
        let text = #"""
            {"jsonrpc":"2.0","result":[
            {"instrument_name":"BTC-PERPETUAL","kind":"future","settlement_period":"perpetual","quote_currency":"USD",
             "counter_currency":"USD","settlement_currency":"BTC","instrument_type":"reversed","contract_size":10.0,
             "expiration_timestamp":32503708800000,\#(common)},
            {"instrument_name":"BTC-24SEP21","kind":"future","settlement_period":"month","quote_currency":"USD",
             "expiration_timestamp":1632470400000,\#(common)},
            {"instrument_name":"BTC_USDC-PERPETUAL","kind":"future","settlement_period":"perpetual",
             "counter_currency":"USDC","settlement_currency":"USDC","instrument_type":"linear",\#(common)},
            {"instrument_name":"BTC_USDC","kind":"spot","counter_currency":"USDC","instrument_type":"linear",\#(common)},
            {"instrument_name":"BTC_USDC-24SEP21-0d5-C","kind":"option","counter_currency":"USDC","option_type":"call",
             "strike":0.5,"instrument_type":"linear","expiration_timestamp":1632470400000,\#(common)},
            {"instrument_name":"BTC-FS-24SEP21_PERP","kind":"future_combo",\#(common)}],"usIn":1}
            """#
        let steps = "1/5 0/10"
        #expect(
            try listed(Array(text.utf8), of: DeribitDialect()) == [
                "BTC-PERPETUAL BTC-USD-PERP perpetual \(steps) BTC/USD/BTC 1 inverse 0 none none",
                "BTC-24SEP21 BTC-USD-20210924 future \(steps) BTC/USD/BTC 1 inverse 1632470400000 none none",
                "BTC_USDC-PERPETUAL BTC-USDC-PERP perpetual \(steps) BTC/USDC/USDC none linear 0 none none",
                "BTC_USDC BTC-USDC spot \(steps) BTC/USDC/USDC none linear 0 none none",
                "BTC_USDC-24SEP21-0d5-C BTC-USDC-20210924-0.5-C option \(steps) BTC/USDC/USDC none linear 1632470400000 "
                    + "0.5 call",
            ]
        )
    }
}
