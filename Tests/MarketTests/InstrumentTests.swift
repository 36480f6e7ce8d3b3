import Market
import Testing

@Suite("The instrument table")
struct InstrumentTests {
    private static func instrument(_ symbol: String, _ venue: String, raw: String? = nil) -> Instrument {
        Instrument(
            id: InstrumentID(99),
            venue: venue,
            symbol: symbol,
            rawSymbol: raw ?? symbol,
            priceScale: 2,
            quantityScale: 8
        )
    }

    private static func table() throws -> InstrumentTable {
        var table = InstrumentTable()
        for (symbol, venue, raw) in [
            ("BTC-USD", "kraken", "XBT/USD"), ("ETH-USD", "kraken", "ETH/USD"), ("BTC-USD", "coinbase", "BTC-USD"),
            ("BTC-EUR", "coinbase", "BTC-EUR"), ("BTC-USDT", "binance", "BTCUSDT"),
            ("BTC-USDT-PERP", "binance-usdm", "BTCUSDT"),
        ] {
            _ = try table.add(instrument(symbol, venue, raw: raw))
        }
        return table
    }

    @Test("gives dense ids in the order of adding, and a version to each change")
    func adds() throws {
        var table = try Self.table()
        #expect(table.all.map(\.id.rawValue) == [0, 1, 2, 3, 4, 5])
        #expect(table.version == 6)
        #expect(table[InstrumentID(4)].rawSymbol == "BTCUSDT")
        table.rescale(InstrumentID(4), priceScale: 5, quantityScale: 3)
        #expect(table.version == 7)
        #expect(table[InstrumentID(4)].priceScale == 5 && table[InstrumentID(4)].quantityScale == 3)
        #expect(table[InstrumentID(4)].tick == 1 && table[InstrumentID(4)].lot == 1, "finer than was known")
        var stepped = Self.instrument("SOL-USD", "kraken")
        (stepped.tick, stepped.lot) = (5, 200)
        let id = try table.add(stepped)
        table.rescale(id, priceScale: 4, quantityScale: 6)
        #expect(table[id].tick == 500 && table[id].lot == 2, "the same steps in other units")
        #expect(table.count(ofVenue: "kraken") == 3 && table.count(ofVenue: "nowhere") == 0)
    }

    @Test("finds by venue and raw symbol, by name at a venue, and by name at the first venue")
    func finds() throws {
        let table = try Self.table()
        #expect(table.id(venue: "kraken", rawSymbol: "XBT/USD") == InstrumentID(0))
        #expect(table.id(venue: "binance-usdm", rawSymbol: "BTCUSDT") == InstrumentID(5))
        #expect(table.id(venue: "coinbase", rawSymbol: "XBT/USD") == nil)
        #expect(table.id(named: "BTC-USD@coinbase") == InstrumentID(2))
        #expect(table.id(named: "BTC-USD") == InstrumentID(0))
        #expect(table.id(named: "") == nil && table.id(named: "BTC-USD@") == nil && table.id(named: "@kraken") == nil)
    }

    @Test(
        "finds by the venue's own name too: at the venue, and alone where no other venue has it",
        arguments: [
            ("XBT/USD@kraken", 0), ("XBT/USD", 0), ("BTCUSDT@binance", 4), ("BTCUSDT@binance-usdm", 5),
            ("BTCUSDT", nil),
            ("BTC-USD", 0), ("BTC-USD@coinbase", 2), ("XBT/USD@coinbase", nil), ("BTCUSDT@", nil),
            ("BTCUSDT@@binance", nil),
        ] as [(String, UInt32?)]
    )
    func findsByRawName(name: String, id: UInt32?) throws {
        #expect(try Self.table().id(named: name)?.rawValue == id)
    }

    @Test("the hub's name of one instrument comes before the venue's name of another")
    func order() throws {
        var table = InstrumentTable()
        _ = try table.add(Self.instrument("A-B", "one", raw: "X-Y"))
        _ = try table.add(Self.instrument("X-Y", "two", raw: "C"))
        #expect(table.id(named: "X-Y") == InstrumentID(1))
        #expect(table.id(named: "X-Y@one") == InstrumentID(0))
    }

    @Test("refuses two of one venue under one name, with both named, and stays as it was")
    func refusesCollisions() throws {
        var table = try Self.table()
        let taken = InstrumentTable.Refusal.symbolTaken(
            symbol: "BTC-USD",
            venue: "kraken",
            rawSymbol: "BTC/USD",
            holder: "XBT/USD"
        )
        #expect(throws: taken) { try table.add(Self.instrument("BTC-USD", "kraken", raw: "BTC/USD")) }
        #expect("\(taken)" == "BTC/USD of kraken cannot be called BTC-USD: XBT/USD is")
        let known = InstrumentTable.Refusal.rawSymbolTaken(
            rawSymbol: "XBT/USD",
            venue: "kraken",
            symbol: "XBT-USD",
            holder: "BTC-USD"
        )
        #expect("\(known)" == "XBT/USD of kraken cannot be XBT-USD: it is BTC-USD already")
        #expect(throws: known) { try table.add(Self.instrument("XBT-USD", "kraken", raw: "XBT/USD")) }
        // One's name is the venue's name of another.
        let crossed = InstrumentTable.Refusal.symbolTaken(
            symbol: "XBT/USD",
            venue: "kraken",
            rawSymbol: "C",
            holder: "XBT/USD"
        )
        #expect(throws: crossed) { try table.add(Self.instrument("XBT/USD", "kraken", raw: "C")) }
        let inverted = InstrumentTable.Refusal.symbolTaken(
            symbol: "BTC-USD",
            venue: "kraken",
            rawSymbol: "BTC-USD",
            holder: "XBT/USD"
        )
        #expect(throws: inverted) { try table.add(Self.instrument("D", "kraken", raw: "BTC-USD")) }
        #expect(table.all.count == 6 && table.version == 6 && table.ids(matching: "*@kraken").count == 2)
    }

    @Test(
        "matches wildcards: at the first venue without @, at the fitting venues with it",
        arguments: [
            ("*", [0, 1, 3, 4, 5]), ("BTC-*", [0, 3, 4, 5]), ("*@kraken", [0, 1]), ("*@*", [0, 1, 2, 3, 4, 5]),
            ("BTC-USD@*", [0, 2]), ("*-USD", [0, 1]), ("B*-USD*", [0, 4, 5]), ("*@binance*", [4, 5]),
            ("*@binance", [4]),
            ("BTC-USD", [0]), ("BTC-USD@coinbase", [2]), ("***", [0, 1, 3, 4, 5]), ("*T*D*", [0, 1, 4, 5]), ("", []),
            ("@", []),
            ("*@", []), ("btc-*", []), ("BTC", []), ("USD", []), ("*U", []), ("*@kraken@x", []), ("BTC-USD*T*P", [5]),
        ] as [(String, [UInt32])]
    )
    func wildcards(pattern: String, ids: [UInt32]) throws {
        #expect(try Self.table().ids(matching: pattern).map(\.rawValue) == ids)
    }

    @Test("answers a pattern of many stars in time")
    func hostilePattern() throws {
        var table = InstrumentTable()
        _ = try table.add(Self.instrument(String(repeating: "a", count: 200), "v"))
        let pattern = String(repeating: "a*", count: 100) + "b"
        #expect(table.ids(matching: pattern) == [])
    }

    @Test("says the name that means one instrument only")
    func qualifies() {
        #expect(Self.instrument("BTC-USD", "kraken").qualifiedSymbol == "BTC-USD@kraken")
    }
}
