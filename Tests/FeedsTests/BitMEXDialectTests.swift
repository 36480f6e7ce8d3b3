import Feeds
import Market
import Testing

private func rows(_ action: String, _ rows: String..., table: String = "orderBookL2") -> String {
    "{\"table\":\"\(table)\",\"action\":\"\(action)\",\"data\":[\(rows.joined(separator: ","))]}"
}

private func row(
    _ id: Int,
    _ side: String,
    size: Int? = nil,
    price: String? = nil,
    symbol: String = "XBTUSD"
) -> String {
    let size = size.map { ",\"size\":\($0)" } ?? ""
    let price = price.map { ",\"price\":\($0)" } ?? ""
    return "{\"symbol\":\"\(symbol)\",\"id\":\(id),\"side\":\"\(side)\"\(size)\(price)}"
}

private let partial = rows(
    "partial",
    row(1, "Sell", size: 10, price: "101.5"),
    row(2, "Sell", size: 20, price: "101"),
    row(3, "Buy", size: 30, price: "100.5")
)

@Suite("BitMEX")
struct BitMEXDialectTests {
    private func live() throws -> Talk {
        var talk = try Talk("bitmex")
        talk.hear(partial)
        return talk
    }

    // MARK: Books

    @Test("a level's id stands for its price once a partial or an insert told it")
    func ids() throws {
        var talk = try live()
        talk.hear(rows("update", row(2, "Sell", size: 21)))
        talk.hear(rows("insert", row(4, "Buy", size: 5, price: "1e2")))
        talk.hear(rows("delete", row(1, "Sell")))
        talk.hear(rows("update", row(4, "Buy", size: 6)))
        #expect(talk.replay.faults.isEmpty)
        #expect(talk.replay.top(5, of: "BTC-USD-PERP", .ask) == [["101", "21"]])
        #expect(talk.replay.top(5, of: "BTC-USD-PERP", .bid) == [["100.5", "30"], ["100", "6"]])
    }

    @Test("an update that tells a price moves nothing else")
    func priced() throws {
        var talk = try live()
        talk.hear(rows("update", row(2, "Sell", size: 7, price: "101")))
        #expect(talk.replay.top(1, of: "BTC-USD-PERP", .ask) == [["101", "7"]])
    }

    @Test("one id on both sides is two levels")
    func sides() throws {
        var talk = try live()
        talk.hear(rows("insert", row(2, "Buy", size: 9, price: "100")))
        talk.hear(rows("delete", row(2, "Sell")))
        talk.hear(rows("update", row(2, "Buy", size: 8)))
        #expect(talk.statuses.last?.state == .live)
        #expect(talk.replay.top(5, of: "BTC-USD-PERP", .bid) == [["100.5", "30"], ["100", "8"]])
        #expect(talk.replay.top(5, of: "BTC-USD-PERP", .ask) == [["101.5", "10"]])
    }

    @Test("a change of a level that nobody told of is a gap, and the book is subscribed to again")
    func unknownLevel() throws {
        var talk = try live()
        talk.hear(rows("update", row(9, "Sell", size: 1)))
        #expect(talk.statuses.last == MarketStatus(.resyncing, .gap))
        let frames = [
            #"{"op":"unsubscribe","args":["orderBookL2:XBTUSD"]}"#,
            #"{"op":"subscribe","args":["orderBookL2:XBTUSD"]}"#,
        ]
        #expect(talk.replay.actions.map(\.demand) == [.resubscribe(rawSymbol: "XBTUSD", frames: frames)])
        // Nothing is heard of until the next partial.
        talk.hear(rows("update", row(2, "Sell", size: 1)))
        #expect(talk.replay.top(1, of: "BTC-USD-PERP", .ask).isEmpty)
        let events = talk.hear(partial)
        #expect(talk.replay.top(1, of: "BTC-USD-PERP", .ask) == [["101", "20"]])
        #expect(events.first?.flags.contains(.gapBefore) == true)
    }

    @Test("removing a level that nobody told of changes nothing")
    func unknownDelete() throws {
        var talk = try live()
        talk.hear(rows("delete", row(9, "Sell")))
        #expect(talk.statuses.last?.state == .live)
        #expect(talk.replay.top(5, of: "BTC-USD-PERP", .ask).count == 2)
    }

    @Test("changes before the partial of an instrument are left alone")
    func early() throws {
        var talk = try Talk("bitmex")
        for action in ["update", "insert"] { talk.hear(rows(action, row(1, "Sell", size: 1, price: "5"))) }
        talk.hear(rows("delete", row(1, "Sell")))
        #expect(talk.replay.faults.isEmpty)
        #expect(talk.replay.feed.counters.unusedUpdates == 3)
        #expect(talk.replay.table.all.isEmpty)
    }

    @Test("the changes that another connection tells leave the ids alone")
    func otherConnection() throws {
        var talk = try live()
        talk.hear(rows("delete", row(2, "Sell")), connection: 2)
        talk.hear(rows("update", row(2, "Sell", size: 22)))
        #expect(talk.statuses.last?.state == .live)
        #expect(talk.replay.top(1, of: "BTC-USD-PERP", .ask) == [["101", "22"]])
    }

    @Test("rows of two instruments are two books")
    func instruments() throws {
        var talk = try Talk("bitmex")
        talk.hear(
            rows(
                "partial",
                row(1, "Sell", size: 10, price: "101"),
                row(2, "Buy", size: 20, price: "100"),
                row(3, "Buy", size: 5, price: "0.00001814", symbol: "XRPU21")
            )
        )
        #expect(talk.replay.top(5, of: "BTC-USD-PERP", .bid) == [["100", "20"]])
        #expect(talk.replay.top(5, of: "XRP-BTC-20210924", .bid) == [["0.00001814", "5"]])
    }

    @Test("a partial without rows is the empty book of the instrument in its filter")
    func empty() throws {
        var talk = try live()
        talk.hear(#"{"table":"orderBookL2","action":"partial","filter":{"symbol":"XBTUSD"},"data":[]}"#)
        #expect(talk.statuses.last?.state == .live)
        #expect(talk.replay.top(5, of: "BTC-USD-PERP", .ask).isEmpty)
        talk.hear(rows("insert", row(7, "Sell", size: 1, price: "99")))
        #expect(talk.replay.top(5, of: "BTC-USD-PERP", .ask) == [["99", "1"]])
    }

    @Test("the latest time of the rows is the book's")
    func time() throws {
        var talk = try Talk("bitmex")
        let events = talk.hear(
            #"{"action":"partial","data":[{"timestamp":"2023-09-19T00:00:01.500Z","id":1,"price":5,"size":1,"#
                + #""side":"Buy","symbol":"XBTUSD"},{"timestamp":"2023-09-19T00:00:00.500Z","id":2,"price":4,"size":1,"#
                + #""side":"Buy","symbol":"XBTUSD"}],"table":"orderBookL2_25"}"#
        )
        #expect(events.contains { $0.eventNs == 1_695_081_601_500_000_000 })
    }

    // MARK: Trades and quotes

    @Test(
        "a partial's trade is from before, and a trade without side has none",
        arguments: [
            ("partial", "Buy", Aggressor.buyer, true), ("insert", "Sell", .seller, false),
            ("insert", "", .unknown, false),
        ]
    )
    func trades(action: String, side: String, aggressor: Aggressor, isHistoric: Bool) throws {
        var talk = try Talk("bitmex")
        let events = talk.hear(
            rows(
                action,
                #"{"timestamp":"2021-07-22T22:36:11.685Z","symbol":"XBTUSD","side":"\#(side)","size":100,"#
                    + #""price":32180.5,"trdMatchID":"6e70bebe-235e-08a6-d11b-e1042bf1f2ed"}"#,
                table: "trade"
            )
        )
        guard let event = events.last, case .trade(let trade) = event.payload else {
            Issue.record("no trade")
            return
        }
        #expect(trade.aggressor == aggressor)
        #expect(trade.id.text == "6e70bebe-235e-08a6-d11b-e1042bf1f2ed")
        #expect(event.eventNs == 1_626_993_371_685_000_000)
        #expect(event.flags.contains(.historic) == isHistoric)
    }

    @Test("each row of a quote frame is a quote, and an empty side has neither price nor quantity")
    func quotes() throws {
        var talk = try Talk("bitmex")
        let events = talk.hear(
            rows(
                "insert",
                #"{"timestamp":"2021-07-22T22:36:10.087Z","symbol":"XBTUSD","bidSize":3,"bidPrice":100,"askPrice":101,"askSize":4}"#,
                #"{"timestamp":"2021-07-22T22:36:10.404Z","symbol":"XBTUSD","bidSize":3,"bidPrice":100,"askPrice":null,"askSize":null}"#,
                table: "quote"
            )
        )
        let quotes = events.compactMap { if case .quote(let quote) = $0.payload { quote } else { nil } }
        #expect(quotes.count == 2)
        #expect(quotes.first?.ask == Level(price: Price(ticks: 101), quantity: Quantity(lots: 4)))
        #expect(quotes.last?.ask == Level(price: Price(ticks: 0), quantity: .zero))
        #expect(quotes.last?.bid.quantity.lots == 3)
    }

    // MARK: Other frames

    @Test(
        "says what is wrong with a frame",
        arguments: [
            ("{}", FrameFault.missing(field: "table")), ("pon", .unexpected(byte: 0x70, offset: 0)),
            (#"{"table":"position","action":"insert","data":[]}"#, .unknownMessage),
            (#"{"table":"trade","data":[]}"#, .missing(field: "action")),
            (rows("change", row(1, "Buy")), .wrong(field: "action")),
            (#"{"table":"trade","action":"insert"}"#, .missing(field: "data")),
            (rows("delete", table: "trade"), .wrong(field: "action")),
            (rows("partial", row(1, "Buy", size: 1)), .missing(field: "price")),
            (rows("partial", row(1, "Buy", price: "1")), .missing(field: "size")),
            (rows("partial", row(1, "buy", size: 1, price: "1")), .wrong(field: "side")),
            (rows("partial", row(1, "Buy", size: -1, price: "1")), .negativeQuantity),
            (rows("partial", #"{"id":1,"side":"Buy","size":1,"price":1}"#), .missing(field: "symbol")),
            (rows("partial", #"{"symbol":"A","side":"Buy","size":1,"price":1}"#), .missing(field: "id")),
            (rows("partial", row(1 << 62, "Buy", size: 1, price: "1")), .wrong(field: "id")),
            (
                rows("insert", #"{"symbol":"A","side":"Buy","size":1,"price":1}"#, table: "trade"),
                .missing(field: "timestamp")
            ),
            (rows("insert", #"{"symbol":"A","side":1,"size":1,"price":1}"#, table: "trade"), .wrong(field: "side")),
            (rows("insert", #"{"symbol":"A"}"#, table: "quote"), .missing(field: "timestamp")),
            (#"{"success":1,"subscribe":"trade:A"}"#, .wrong(field: "success")),
            (#"{"success":true}"#, .missing(field: "subscribe")),
        ]
    )
    func faults(text: String, fault: FrameFault) throws {
        var talk = try Talk("bitmex")
        talk.hear(text)
        #expect(talk.fault == fault)
        #expect(talk.replay.table.all.isEmpty)
    }

    @Test(
        "takes what the venue says besides",
        arguments: [
            "pong", #"{"info":"Welcome","version":"1"}"#, #"{"success":true,"unsubscribe":"trade:XBTUSD"}"#,
            #"{"success":true,"subscribe":"trade:XBTUSD","request":{"op":"subscribe"}}"#,
            #"{"success":true,"subscribe":"announcement"}"#, #"{"table":"instrument","action":"update","data":[{}]}"#,
        ]
    )
    func besides(text: String) throws {
        var talk = try Talk("bitmex")
        talk.hear(text)
        #expect(talk.fault == nil)
        #expect(talk.replay.actions.isEmpty)
    }

    @Test("reports a refusal in the venue's words")
    func refusal() throws {
        var talk = try Talk("bitmex")
        talk.hear(#"{"status":400,"error":"Unknown table: ordrBook","meta":{},"request":{"op":"subscribe"}}"#)
        #expect(talk.replay.actions.map(\.demand) == [.report(refusal: "Unknown table: ordrBook")])
    }

    @Test("subscribes with one frame for each table, and asks whether the venue lives")
    func subscribes() throws {
        let dialect = BitMEXDialect()
        let subscription = VenueSubscription(rawSymbols: ["XBTUSD", "XRPU21"], channels: [.book, .quotes, .trades])
        #expect(
            dialect.subscribeFrames(for: subscription) == [
                #"{"op":"subscribe","args":["orderBookL2:XBTUSD","orderBookL2:XRPU21"]}"#,
                #"{"op":"subscribe","args":["quote:XBTUSD","quote:XRPU21"]}"#,
                #"{"op":"subscribe","args":["trade:XBTUSD","trade:XRPU21"]}"#,
            ]
        )
        #expect(dialect.rules.pingText == "ping")
    }

    // MARK: Names

    @Test(
        "makes the hub's name of the venue's",
        arguments: [
            ("XBTUSD", "BTC-USD-PERP", Instrument.Kind.perpetual), ("ETHUSDT", "ETH-USDT-PERP", .perpetual),
            ("XBTEUR", "BTC-EUR-PERP", .perpetual), ("XBTU21", "BTC-USD-20210924", .future),
            ("XRPU21", "XRP-BTC-20210924", .future), ("ETHUSDTZ25", "ETH-USDT-20251226", .future),
            ("XBT_USDT", "BTC-USDT", .spot), (".BXBT", ".BXBT", .index), ("USD", "USD", .perpetual),
            ("XBT_", "XBT_", .perpetual),
        ]
    )
    func names(raw: String, symbol: String, kind: Instrument.Kind) {
        #expect(BitMEXDialect().symbol(ofRaw: raw) == VenueSymbol(symbol, kind))
    }

    @Test(
        "reads every entry of the recorded list",
        .enabled(if: Captures.arePresent, "the captures are not beside the package")
    )
    func list() throws {
        let found = try Captures.bytes("instruments/bitmex.json").withUnsafeBytes {
            try VenueListing.instruments(in: $0, of: BitMEXDialect())
        }
        let texts = found.sorted { $0.rawSymbol < $1.rawSymbol }.map(\.inFull)
        #expect(
            texts == [
                "BCHUSD BCH-USD-PERP perpetual 2/5 0/1 BCH USD BTC 0.000001",
                "EOSUSDT EOS-USDT-PERP perpetual 4/5 0/1 EOS USDT BTC 0.0001",
                "MATICUSDT MATIC-USDT-PERP perpetual 4/1 0/1 MATIC USDT BTC 0.0001",
                "XBTUSD BTC-USD-PERP perpetual 1/5 0/100 BTC USD BTC 1 inverse",
                "XRPU21 XRP-BTC-20210924 future 8/1 0/1 XRP BTC BTC 1 until 1632484800",
            ]
        )
    }

    @Test(
        "reads other kinds, and leaves out what has no book",
        arguments: [
            (#""typ":"IFXXXP","underlying":"XBT","quoteCurrency":"USDT""#, "X BTC-USDT spot 1/5 0/1 BTC USDT USDT nil"),
            (
                #""typ":"FFWCSX","underlying":"XBT","quoteCurrency":"USDT","underlyingToPositionMultiplier":1000000"#,
                "X BTC-USDT-PERP perpetual 1/5 0/1 BTC USDT USDT 0.000001"
            ),
            (
                #""typ":"OPECCS","underlying":"XBT","quoteCurrency":"USD","optionStrikePrice":24000,"#
                    + #""expiry":"2021-07-30T12:00:00.000Z""#,
                "X BTC-USD-20210730-24000-P option 1/5 0/1 BTC USD USDT nil until 1627646400"
            ),
            (#""typ":"MRCXXX","underlying":"XBT","quoteCurrency":"USD""#, ""),
            (#""typ":"FFCCSX","underlying":"XBT","quoteCurrency":"USD""#, ""),
            (#""typ":"FFWCSX","underlying":"","quoteCurrency":"USD""#, ""),
        ]
    )
    func kinds(fields: String, wanted: String) throws {
        let text = "[{\"symbol\":\"X\",\"tickSize\":0.5,\"lotSize\":1,\"settlCurrency\":\"USDt\",\(fields)}]"
        let found = try Array(text.utf8).withUnsafeBytes { try VenueListing.instruments(in: $0, of: BitMEXDialect()) }
        #expect(found.map(\.inFull).joined() == wanted)
    }
}

extension Instrument {
    /// Names, steps and terms in one line.
    var inFull: String {
        var words = [rawSymbol, symbol, "\(kind)", "\(priceScale)/\(tick)", "\(quantityScale)/\(lot)"]
        words += [terms.base, terms.quote, terms.settle, terms.contractSize?.text ?? "nil"]
        if terms.isInverse { words.append("inverse") }
        if terms.expiryNs > 0 { words.append("until \(terms.expiryNs / 1_000_000_000)") }
        return words.joined(separator: " ")
    }
}
