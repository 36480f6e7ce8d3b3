import Feeds
import Market
import Testing

@Suite("Lists of instruments")
struct VenueListingTests {
    static let files = [
        ("coinbase", "coinbase", "NMR-EUR NMR-EUR 4 3 1 1"), ("binance", "binance", "NKNUSDT NKN-USDT 4 0 1 1"),
        ("binance-usdm", "binance_futures", "BTCUSDT BTC-USDT-PERP 2 3 1 1"),
        ("kraken", "kraken", "ADA/XBT ADA-BTC 8 8 1 1"), ("okx", "okx", "UNI-USD-SWAP UNI-USD-PERP 3 0 1 1"),
        ("deribit", "deribit", "BTC-24SEP21-8000-P BTC-USD-20210924-8000-P 4 1 5 1"),
        ("bitmex", "bitmex", "XBTUSD BTC-USD-PERP 1 0 5 100"),
        ("bybit-v2", "bybit", "ETHUSDT ETH-USDT-PERP 2 2 5 1"),
    ]

    @Test(
        "reads the lists beside the captures",
        .enabled(if: Captures.arePresent, "the captures are not beside the package"),
        arguments: files
    )
    func lists(venue: String, file: String, wanted: String) throws {
        struct List: Decodable { var symbols: [String] }
        let path = "instruments/\(file).json"
        let dialect = try #require(Venues.dialect(of: venue))
        let found = try Captures.bytes(path).withUnsafeBytes { try VenueListing.instruments(in: $0, of: dialect) }
        let list: List = try Captures.value(path)
        #expect(found.map(\.rawSymbol).sorted() == list.symbols.sorted())
        let texts = found.map {
            "\($0.rawSymbol) \($0.symbol) \($0.priceScale) \($0.quantityScale) \($0.tick) \($0.lot)"
        }
        #expect(texts.contains(wanted), "\(texts)")
    }

    @Test(
        "all recorded lists go into one table, and each instrument is found by either name",
        .enabled(if: Captures.arePresent, "the captures are not beside the package")
    )
    func together() throws {
        var table = InstrumentTable()
        for (venue, file, _) in Self.files {
            let dialect = try #require(Venues.dialect(of: venue))
            let found = try Captures.bytes("instruments/\(file).json").withUnsafeBytes {
                try VenueListing.instruments(in: $0, of: dialect)
            }
            for instrument in found { _ = try table.add(instrument) }
        }
        #expect(table.all.count >= 26)
        for instrument in table.all {
            #expect(table.id(named: instrument.qualifiedSymbol) == instrument.id)
            #expect(table.id(named: instrument.rawSymbol + "@" + instrument.venue) == instrument.id)
            #expect(table.id(named: instrument.symbol) != nil)
            #expect(!instrument.terms.base.isEmpty && !instrument.terms.quote.isEmpty, "\(instrument)")
            #expect(!instrument.terms.settle.isEmpty)
        }
    }

    @Test(
        "tells the terms that the lists of spot venues and of Binance's contracts have",
        arguments: [
            (
                "coinbase",
                #"{"id":"BTC-USD","base_currency":"BTC","quote_currency":"USD","base_increment":"1","quote_increment":"1"}"#,
                "BTC-USD BTC-USD spot 0/1 0/1 BTC USD USD nil"
            ),
            (
                "kraken", #"{"wsname":"XBT/USD","base":"XXBT","quote":"ZUSD","pair_decimals":1,"lot_decimals":8}"#,
                "XBT/USD BTC-USD spot 1/1 8/1 BTC USD USD nil"
            ),
            (
                "binance", #"{"symbol":"BTCUSDT","baseAsset":"BTC","quoteAsset":"USDT","filters":STEPS}"#,
                "BTCUSDT BTC-USDT spot 1/1 0/1 BTC USDT USDT nil"
            ),
            (
                "binance-usdm",
                #"{"symbol":"BTCUSDT","contractType":"PERPETUAL","deliveryDate":4133404800000,"marginAsset":"USDT","#
                    + #""baseAsset":"BTC","quoteAsset":"USDT","filters":STEPS}"#,
                "BTCUSDT BTC-USDT-PERP perpetual 1/1 0/1 BTC USDT USDT nil"
            ),
            (
                "binance-usdm",
                #"{"symbol":"BTCUSDT_210924","contractType":"CURRENT_QUARTER","deliveryDate":1632470400000,"#
                    + #""marginAsset":"USDT","baseAsset":"BTC","quoteAsset":"USDT","filters":STEPS}"#,
                "BTCUSDT_210924 BTC-USDT-20210924 future 1/1 0/1 BTC USDT USDT nil until 1632470400"
            ),
        ]
    )
    func terms(venue: String, entry: String, wanted: String) throws {
        let steps = #"[{"filterType":"PRICE_FILTER","tickSize":"0.1"},{"filterType":"LOT_SIZE","stepSize":"1"}]"#
        let text = "[\(entry.replacing("STEPS", with: steps))]"
        let dialect = try #require(Venues.dialect(of: venue))
        let found = try Array(text.utf8).withUnsafeBytes { try VenueListing.instruments(in: $0, of: dialect) }
        #expect(found.map(\.inFull) == [wanted])
    }

    @Test("an auction's book beside that of its pair has a name of its own")
    func auction() throws {
        let entry = #""base_currency":"BTC","quote_currency":"USD","base_increment":"1","quote_increment":"1""#
        let text = #"[{"id":"BTC-USD",\#(entry)},{"id":"BTCAUCTION-USD",\#(entry)}]"#
        let found = try Array(text.utf8).withUnsafeBytes {
            try VenueListing.instruments(in: $0, of: CoinbaseDialect())
        }
        var table = InstrumentTable()
        for instrument in found { _ = try table.add(instrument) }
        #expect(table.all.map(\.symbol) == ["BTC-USD", "BTCAUCTION-USD"])
    }

    @Test("reads a venue's own answer, and keeps steps of several units")
    func own() throws {
        let text = #"[{"id":"A-B","base_increment":"0.5","quote_increment":"0.05","x":{"y":[1]}},{"id":"C-D"}]"#
        let found = try Array(text.utf8).withUnsafeBytes {
            try VenueListing.instruments(in: $0, of: CoinbaseDialect())
        }
        #expect(found.map(\.symbol) == ["A-B"])
        #expect(found.first?.tick == 5)
        #expect(found.first?.lot == 5)
    }

    @Test("leaves out what the feed would not follow by its name", arguments: ["", "A B", "Ä-B", #"\u0000"#])
    func unusable(name: String) throws {
        let text = "[{\"id\":\"\(name)\",\"base_increment\":\"1\",\"quote_increment\":\"1\"}]"
        let found = try Array(text.utf8).withUnsafeBytes {
            try VenueListing.instruments(in: $0, of: CoinbaseDialect())
        }
        #expect(found.isEmpty)
    }
}
