import Feeds
import Market
import Testing

private func row(_ price: String, _ side: String, size: String? = nil) -> String {
    let size = size.map { ",\"size\":\($0)" } ?? ""
    return "{\"price\":\(price),\"symbol\":\"X\",\"id\":\"1\",\"side\":\"\(side)\"\(size)}"
}

private func frame(_ symbol: String, _ type: String, _ data: String, isText: Bool = true) -> String {
    let (number, time) = isText ? (#""726227745""#, #""1618677784994654""#) : ("726227745", "1618677784994654")
    return "{\"topic\":\"orderBookL2_25.\(symbol)\",\"type\":\"\(type)\",\"data\":\(data),\"cross_seq\":\(number),"
        + "\"timestamp_e6\":\(time)}"
}

private func changes(delete: String = "", update: String = "", insert: String = "") -> String {
    "{\"insert\":[\(insert)],\"update\":[\(update)],\"delete\":[\(delete)]}"
}

private let levels = row(#""10.5""#, "Buy", size: "1") + "," + row("11", "Sell", size: "2.5")

@Suite("Bybit v2")
struct BybitV2DialectTests {
    @Test("linear and inverse snapshots are the same in two forms, and so are numbers and texts")
    func forms() throws {
        var talk = try Talk("bybit-v2")
        let linear = talk.hear(frame("ETHUSDT", "snapshot", "{\"order_book\":[\(levels)]}"))
        let inverse = talk.hear(frame("EOSUSD", "snapshot", "[\(levels)]", isText: false), connection: 2)
        #expect(talk.replay.faults.isEmpty)
        for symbol in ["ETH-USDT-PERP", "EOS-USD-PERP"] {
            #expect(talk.replay.top(5, of: symbol, .bid) == [["10.5", "1"]])
            #expect(talk.replay.top(5, of: symbol, .ask) == [["11", "2.5"]])
        }
        let times = (linear + inverse).filter { $0.flags.contains(.snapshot) }.map(\.eventNs)
        #expect(times == [1_618_677_784_994_654_000, 1_618_677_784_994_654_000])
    }

    @Test("removals come before changes, changes before additions, however they stand")
    func order() throws {
        var talk = try Talk("bybit-v2")
        talk.hear(frame("EOSUSD", "snapshot", "[\(levels)]"))
        let same = row("10.5", "Buy")
        let delta = changes(
            delete: same,
            update: row("11", "Sell", size: "3"),
            insert: row("10.5", "Buy", size: "642.60004")
        )
        talk.hear(frame("EOSUSD", "delta", delta))
        #expect(talk.replay.top(5, of: "EOS-USD-PERP", .bid) == [["10.5", "642.60004"]])
        #expect(talk.replay.top(5, of: "EOS-USD-PERP", .ask) == [["11", "3"]])
    }

    @Test("a delta before its snapshot is refused")
    func early() throws {
        var talk = try Talk("bybit-v2")
        talk.hear(frame("EOSUSD", "delta", changes()))
        #expect(talk.fault == .unknownSymbol)
    }

    @Test("a book that begins anew is subscribed to again")
    func resubscribes() {
        #expect(
            BybitV2Dialect().resubscribeFrames(rawSymbol: "EOSUSD") == [
                #"{"op":"unsubscribe","args":["orderBookL2_25.EOSUSD"]}"#,
                #"{"op":"subscribe","args":["orderBookL2_25.EOSUSD"]}"#,
            ]
        )
    }

    @Test(
        "a trade's price and time come as text or number",
        arguments: [
            (#""7.207""#, #""1618677784983""#, "Sell", Aggressor.seller), ("7.207", "1618677784983", "Buy", .buyer),
        ]
    )
    func trades(price: String, time: String, side: String, aggressor: Aggressor) throws {
        var talk = try Talk("bybit-v2")
        let events = talk.hear(
            #"{"topic":"trade.XTZUSDT","data":[{"symbol":"XTZUSDT","price":\#(price),"size":0.9,"trade_time_ms":\#(time),"#
                + #""side":"\#(side)","trade_id":"34a0c539-d0f2-5fac-8ceb-0737c5e36a0f"}]}"#
        )
        guard let event = events.last, case .trade(let trade) = event.payload else {
            Issue.record("no trade")
            return
        }
        #expect(trade.aggressor == aggressor)
        #expect(trade.price.ticks == 7_207)
        #expect(event.eventNs == 1_618_677_784_983_000_000)
    }

    @Test(
        "says what is wrong with a frame",
        arguments: [
            ("{}", FrameFault.missing(field: "topic")), (#"{"success":"true"}"#, .wrong(field: "success")),
            (#"{"topic":"orders.A","data":[]}"#, .unknownMessage), (#"{"topic":"trade.A"}"#, .missing(field: "data")),
            (#"{"topic":"orderbook.A","data":[]}"#, .unknownMessage), (frame("A", "x", "[]"), .wrong(field: "type")),
            (frame("A", "snapshot", "{}"), .missing(field: "order_book")),
            (frame("A", "delta", #"{"delete":[]}"#), .missing(field: "delete")),
            (frame("A", "snapshot", "[\(row("1", "Buy"))]"), .missing(field: "size")),
            (frame("A", "snapshot", "[\(row("1", "buy", size: "1"))]"), .wrong(field: "side")),
            (frame("A", "snapshot", "[\(row("1", "Buy", size: "-1"))]"), .negativeQuantity),
            (#"{"topic":"trade.A","data":[{"side":"Buy","size":1,"price":1}]}"#, .missing(field: "symbol")),
            (#"{"topic":"trade.A","data":[{"symbol":"A","side":"Buy","size":1}]}"#, .missing(field: "trade_time_ms")),
            (#"{"topic":"trade.A","data":[{"symbol":"A","trade_time_ms":1}]}"#, .wrong(field: "side")),
        ]
    )
    func faults(text: String, fault: FrameFault) throws {
        var talk = try Talk("bybit-v2")
        talk.hear(text)
        #expect(talk.fault == fault)
        #expect(talk.replay.table.all.isEmpty)
    }

    @Test("takes answers, and reports a refusal in the venue's words")
    func answers() throws {
        var talk = try Talk("bybit-v2")
        talk.hear(#"{"success":true,"ret_msg":"","conn_id":"3","request":{"op":"subscribe","args":["trade.BCHUSDT"]}}"#)
        talk.hear(#"{"success":true,"ret_msg":"pong","conn_id":"3","request":{"op":"ping","args":null}}"#)
        #expect(talk.fault == nil)
        #expect(talk.replay.actions.isEmpty)
        talk.hear(
            #"{"success":false,"ret_msg":"error:topic:x","conn_id":"3","request":{"op":"subscribe","args":["x"]}}"#
        )
        #expect(talk.replay.actions.map(\.demand) == [.report(refusal: "error:topic:x")])
    }

    @Test("subscribes as recorded: a frame for each topic, at the address of the contracts' kind")
    func subscribes() {
        let dialect = BybitV2Dialect()
        let linear = VenueSubscription(rawSymbols: ["XTZUSDT", "ETHUSDT"], channels: [.trades, .quotes, .book])
        #expect(
            dialect.subscribeFrames(for: linear) == [
                #"{"op":"subscribe","args":["trade.XTZUSDT"]}"#, #"{"op":"subscribe","args":["trade.ETHUSDT"]}"#,
                #"{"op":"subscribe","args":["orderBookL2_25.XTZUSDT"]}"#,
                #"{"op":"subscribe","args":["orderBookL2_25.ETHUSDT"]}"#,
            ]
        )
        #expect(dialect.url(for: linear) == "wss://stream.bybit.com/realtime_public")
        let inverse = VenueSubscription(rawSymbols: ["EOSUSD"], channels: [.book])
        #expect(dialect.url(for: inverse) == "wss://stream.bybit.com/realtime")
    }

    @Test("a perpetual and a dated contract of one pair have names of their own")
    func collision() throws {
        let entry =
            #""base_currency":"BTC","quote_currency":"USD","price_filter":{"tick_size":"0.5"},"#
            + #""lot_size_filter":{"qty_step":1}"#
        let text =
            #"{"result":[{"name":"BTCUSD","alias":"BTCUSD",\#(entry)},{"name":"BTCUSDM21","alias":"BTCUSD0625",\#(entry)}]}"#
        let found = try Array(text.utf8).withUnsafeBytes { try VenueListing.instruments(in: $0, of: BybitV2Dialect()) }
        #expect(
            found.map(\.inFull) == [
                "BTCUSD BTC-USD-PERP perpetual 1/5 0/1 BTC USD BTC 1 inverse",
                "BTCUSDM21 BTC-USD-20210625 future 1/5 0/1 BTC USD BTC 1 inverse until 1624608000",
            ]
        )
        var table = InstrumentTable()
        for instrument in found { _ = try table.add(instrument) }
        #expect(BybitV2Dialect().symbol(ofRaw: "BTCUSDM21") == VenueSymbol("BTC-USD-20210625", .future))
    }

    @Test(
        "reads every entry of the recorded list",
        .enabled(if: Captures.arePresent, "the captures are not beside the package")
    )
    func list() throws {
        let found = try Captures.bytes("instruments/bybit.json").withUnsafeBytes {
            try VenueListing.instruments(in: $0, of: BybitV2Dialect())
        }
        #expect(
            found.sorted { $0.rawSymbol < $1.rawSymbol }.map(\.inFull) == [
                "EOSUSD EOS-USD-PERP perpetual 3/1 0/1 EOS USD EOS 1 inverse",
                "ETHUSDT ETH-USDT-PERP perpetual 2/5 2/1 ETH USDT USDT nil",
                "LINKUSDT LINK-USDT-PERP perpetual 3/1 1/1 LINK USDT USDT nil",
                "LTCUSDT LTC-USDT-PERP perpetual 2/1 1/1 LTC USDT USDT nil",
                "XTZUSDT XTZ-USDT-PERP perpetual 3/1 1/1 XTZ USDT USDT nil",
            ]
        )
    }
}
