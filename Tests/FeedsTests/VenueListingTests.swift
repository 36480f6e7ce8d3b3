import Feeds
import Market
import Testing

@Suite("Lists of instruments")
struct VenueListingTests {
    static let files = [
        ("coinbase", "coinbase", "NMR-EUR NMR-EUR 4 3 1 1"), ("binance", "binance", "NKNUSDT NKN-USDT 4 0 1 1"),
        ("binance-usdm", "binance_futures", "BTCUSDT BTC-USDT-PERP 2 3 1 1"),
        ("kraken", "kraken", "ADA/XBT ADA-BTC 8 8 1 1"),
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
