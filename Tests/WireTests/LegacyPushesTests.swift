import Hub
import Market
import Testing
import Wire

private func text(_ push: Push, _ levels: [LevelChange] = [], checksum: UInt32? = nil) -> String {
    var pass = Pass()
    var push = push
    push.checksum = checksum
    push = pass.append(push, levels: levels)
    var out = OutputBytes(capacity: 1)
    LegacyCodec.append(push, of: pass, instruments: LegacyInstruments(Samples.table), to: &out)
    return out.withBytes { String(decoding: $0, as: UTF8.self) }
}

@Suite("A push on the legacy channel")
struct LegacyPushesTests {
    @Test("of market data is exactly the frame that old clients know")
    func marketData() {
        let frame =
            #"{"type":"marketData","channel":"marketData","symbol":"BTC-USD","data":{"price":50000,"volume":1.5}}"#
        #expect(text(Samples.push(.trade(Samples.trade), .marketData)) == frame)
        #expect(text(Samples.push(.ticker(Samples.ticker), .marketData)) == frame)
    }

    @Test(
        "of market data has the feed's digits and never an exponent",
        arguments: [
            (1, 1, #"{"price":0.01,"volume":0.00000001}"#),
            (123_456, 0, #"{"price":1234.56,"volume":0}"#),
            (-3_763, 100_000_000, #"{"price":-37.63,"volume":1}"#),
            (.max, .max, #"{"price":92233720368547758.07,"volume":92233720368.54775807}"#),
        ] as [(Int64, Int64, String)]
    )
    func digits(price: Int64, quantity: Int64, data: String) {
        let trade = Trade(
            price: Price(ticks: price),
            quantity: Quantity(lots: quantity),
            aggressor: .unknown,
            id: TradeID()
        )
        let head = #"{"type":"marketData","channel":"marketData","symbol":"BTC-USD","data":"#
        #expect(text(Samples.push(.trade(trade), .marketData)) == head + data + "}")
    }

    @Test("of market data is nothing before the first trade")
    func noTrade() {
        #expect(text(Samples.push(.ticker(Ticker()), .marketData)) == "")
    }

    @Test("names the primary instrument by its symbol alone, another with its venue")
    func names() {
        #expect(text(Samples.push(.trade(Samples.trade), .trades)).contains(#""symbol":"BTC-USD","#))
        #expect(
            text(Samples.push(.trade(Samples.trade), .trades, instrument: 1)).contains(#""symbol":"BTC-USD@kraken","#)
        )
        #expect(
            text(Samples.push(.trade(Samples.trade), .trades, instrument: 2)).contains(#""symbol":"A\"\\\u0007é","#)
        )
    }

    @Test("names an instrument that a later table brought")
    func laterTable() throws {
        var table = Samples.table
        var instruments = LegacyInstruments(table)
        let id = try table.add(
            Instrument(id: InstrumentID(0), venue: "v", symbol: "NEW", rawSymbol: "n", priceScale: 0, quantityScale: 0)
        )
        instruments.welcome(from: table)
        var out = OutputBytes()
        let push = Samples.push(.trade(Samples.trade), .marketData, instrument: id.rawValue)
        LegacyCodec.append(push, of: Pass(), instruments: instruments, to: &out)
        #expect(out.withBytes { String(decoding: $0, as: UTF8.self) }.contains(#""symbol":"NEW","#))
    }

    @Test("of a ticker says null where nothing is there")
    func emptyTicker() {
        #expect(
            text(Samples.push(.ticker(Ticker()), .ticker)).contains(
                #""bid":null,"bidQuantity":null,"ask":null,"askQuantity":null,"last":null,"lastQuantity":null,"#
                    + #""open":null,"high":null,"low":null,"volume":null}}"#
            )
        )
    }

    @Test("has the receive time where the venue gives none")
    func receiveTime() {
        var push = Samples.push(.trade(Samples.trade), .trades)
        push.eventNs = 0
        #expect(text(push).contains(#""time":"2026-01-02T03:04:05.124956Z""#))
    }

    @Test("of a trade without id, and of one whose side is not known, says null")
    func unknownTrade() {
        let trade = Trade(price: .zero, quantity: .zero, aggressor: .unknown, id: TradeID())
        #expect(text(Samples.push(.trade(trade), .trades)).contains(#""side":null,"id":null}}"#))
    }

    @Test("of a book whose checksum comes later has none")
    func checksum() {
        #expect(text(Samples.push(.bookDelta, .book), Samples.levels).hasSuffix(#"[["50000.01","1"]]}}"#))
        #expect(
            text(Samples.push(.bookDelta, .book), [], checksum: 0).hasSuffix(#""bids":[],"asks":[],"checksum":0}}"#)
        )
    }

    /// Of the fields with these names.
    private static func picked(_ names: [String], _ push: Push, _ levels: [LevelChange] = []) -> String {
        var push = push
        push.fields = names.reduce(0) { fields, name in
            fields | 1 << UInt32(push.channel.fieldNames.firstIndex(of: name) ?? 31)
        }
        return text(push, levels, checksum: 7)
    }

    @Test("has the fields that its subscribers want, in their usual order, and nothing else of its data")
    func fields() {
        let trade = Samples.push(.trade(Samples.trade), .trades)
        let head = #"{"type":"trades","channel":"trades","symbol":"BTC-USD","data":"#
        #expect(Self.picked(["quantity", "price"], trade) == head + #"{"price":"50000","quantity":"1.5"}}"#)
        #expect(Self.picked(["id"], trade) == head + #"{"id":"123456789"}}"#)
        // Of one trade there is no high.
        #expect(Self.picked(["high"], trade) == head + "{}}")
        #expect(Self.picked(trade.channel.fieldNames, trade) == text(trade))
        let price = Self.picked(["price"], Samples.push(.trade(Samples.trade), .marketData))
        #expect(price.hasSuffix(#""data":{"price":50000}}"#))
        let book = Samples.push(.bookDelta, .book)
        let (bids, rest) = (
            Self.picked(["bids"], book, Samples.levels), Self.picked(["checksum"], book, Samples.levels)
        )
        #expect(bids.hasSuffix(#""data":{"bids":[["49999.99","0.25"],["49999","3"]]}}"#), "\(bids)")
        #expect(rest.hasSuffix(#""data":{"checksum":7}}"#))
        let units = Self.picked(
            ["instrument"],
            Samples.push(.status(MarketStatus(.live, .unitsChanged)), .status, instrument: 2)
        )
        #expect(
            units.hasPrefix(
                #"{"type":"status","channel":"status","symbol":"A\"\\\u0007é","data":{"instrument":{"id":2,"#
            )
        )
        #expect(units.hasSuffix("}}}") && !units.contains("reason"))
    }

    @Test("knows every key of its data by name, on every channel")
    func fieldNames() {
        let pushes: [(Push, [LevelChange])] = [
            (Samples.push(.ticker(Samples.ticker), .ticker), []), (Samples.push(.trade(Samples.trade), .trades), []),
            (Samples.push(.bookDelta, .book), Samples.levels), (Samples.push(.trade(Samples.trade), .marketData), []),
            (Samples.push(.status(MarketStatus(.live, .unitsChanged)), .status), []),
        ]
        for (push, levels) in pushes {
            #expect(Self.picked(push.channel.fieldNames, push, levels) == text(push, levels, checksum: 7))
        }
    }

    @Test("of units that changed carries the instrument")
    func unitsChanged() {
        let frame = text(Samples.push(.status(MarketStatus(.live, .unitsChanged)), .status, instrument: 2))
        #expect(frame.contains(#""tick":"0.000000000000000025","lot":"10""#))
        #expect(!text(Samples.push(.status(MarketStatus(.live, .gap)), .status)).contains("instrument"))
    }
}
