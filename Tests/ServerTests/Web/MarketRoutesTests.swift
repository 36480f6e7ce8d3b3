import Foundation
import Market
import Testing
import Transport

@testable import Server

@Suite("The markets by HTTP")
struct MarketRoutesTests {
    private let store = CandleStore(bytesMost: 1 << 24)
    private let indexes = IndexBoard()
    private let table: InstrumentTable

    init() throws {
        var table = InstrumentTable()
        for (symbol, venue) in [("BTC-USD", "kraken"), ("BTC-USD", "index")] {
            let instrument = Instrument(
                id: InstrumentID(0),
                venue: venue,
                symbol: symbol,
                rawSymbol: symbol,
                kind: venue == "index" ? .index : .spot,
                priceScale: 2,
                quantityScale: 1
            )
            let id = try table.add(instrument)
            _ = store.add(table[id])
        }
        self.table = table
        for minute in 0..<1_200 as Range<Int64> where minute % 3 != 1 {
            store.put(Self.candle(minute), of: InstrumentID(0))
        }
    }

    private static func candle(_ minute: Int64, isClosed: Bool = true) -> Candle {
        let price = Price(ticks: 100 + minute)
        var candle = Candle(
            interval: .minute,
            openNs: minute * 60_000_000_000,
            first: price,
            quantity: Quantity(lots: 15)
        )
        candle.isClosed = isClosed
        return candle
    }

    private func get(
        _ path: String,
        _ query: [(String, String)] = [],
        newest: Candle? = nil
    ) throws -> (Int, [String: Any]) {
        let response = MarketRoutes(candles: store, indexes: indexes).respond(
            to: path,
            query: { name in query.first { $0.0 == name }?.1 },
            table: table,
            newestCandle: { _, _ in newest },
            requestID: { "r-1" }
        )
        let body = try JSONSerialization.jsonObject(with: Data(response.body)) as? [String: Any]
        return (Int(response.status), try #require(body))
    }

    @Test("give past candles and the newest, oldest first and without a gap", arguments: [1, 2, 10, 999, 1_000])
    func candles(limit: Int) throws {
        let newest = Self.candle(1_200, isClosed: false)
        let query = [("interval", "1m"), ("limit", "\(limit)")]
        let (status, body) = try get("/api/v1/markets/BTC-USD/candles", query, newest: newest)
        #expect(status == 200 && body["symbol"] as? String == "BTC-USD@kraken" && body["interval"] as? String == "1m")
        let candles = try #require(body["candles"] as? [[String: Any]])
        #expect(candles.count == limit)
        let last = try #require(candles.last)
        #expect(last["start"] as? String == "1970-01-01T20:00:00.000000Z" && last["closed"] as? Bool == false)
        #expect(last["open"] as? String == "13" && last["volume"] as? String == "1.5" && last["count"] as? Int == 1)
        let starts = candles.compactMap { $0["start"] as? String }
        #expect(starts == starts.sorted() && Set(starts).count == limit)
        if limit >= 10 {
            // Minute 1,198 had no trade: the close of 1,197, no volume.
            let empty = candles[limit - 3]
            #expect(
                empty["close"] as? String == "12.97" && empty["volume"] as? String == "0" && empty["count"] as? Int == 0
            )
        }
    }

    @Test("give minutes and a thousand of them when nothing else is said, and none where nothing was traded")
    func defaults() throws {
        let (_, body) = try get("/api/v1/markets/BTC-USD@kraken/candles")
        #expect((body["candles"] as? [Any])?.count == 1_000)
        let (status, none) = try get("/api/v1/markets/BTC-USD@index/candles", [("interval", "1d")])
        #expect(status == 200 && (none["candles"] as? [Any])?.isEmpty == true)
    }

    @Test(
        "refuse what cannot be answered, with the number and what would pass",
        arguments: [
            ("/api/v1/markets/XYZ/candles", "interval", "1m", 404, 102),
            ("/api/v1/markets/XYZ", "interval", "1m", 404, 102),
            ("/api/v1/markets//candles", "interval", "1m", 404, 102),
            ("/api/v1/markets/BTC-USD/candles", "interval", "2m", 400, 106),
            ("/api/v1/markets/BTC-USD/candles", "interval", "", 400, 106),
            ("/api/v1/markets/BTC-USD/candles", "limit", "0", 400, 106),
            ("/api/v1/markets/BTC-USD/candles", "limit", "1001", 400, 106),
            ("/api/v1/markets/BTC-USD/candles", "limit", "+5", 400, 106),
            ("/api/v1/markets/BTC-USD/candles", "limit", "99999999999999999999", 400, 106),
            ("/api/v1/markets/BTC-USD/other", "limit", "5", 404, nil),
            ("/api/v1/markets/BTC-USD/candles/x", "limit", "5", 404, nil),
        ] as [(String, String, String, Int, Int?)]
    )
    func refuses(path: String, name: String, value: String, status: Int, code: Int?) throws {
        let (answered, body) = try get(path, [(name, value)])
        #expect(answered == status && body["code"] as? Int == code && body["requestId"] as? String == "r-1")
        #expect((body["detail"] as? String)?.isEmpty == false)
    }

    @Test("show what an index is made of")
    func index() throws {
        let settings = CompositeIndex.Settings(staleNs: 1_000_000_000, leastSources: 1, priceScale: 2)
        func level(_ ticks: Int64) -> Level { Level(price: Price(ticks: ticks), quantity: Quantity(lots: 1)) }
        let sources = [
            CompositeIndex.Source(
                quote: Quote(bid: level(100), ask: level(101)),
                priceScale: 1,
                state: .live,
                receivedNs: 5_000_000_000
            ),
            CompositeIndex.Source(
                quote: Quote(bid: level(100), ask: level(101)),
                priceScale: 1,
                state: .live,
                receivedNs: 3_000_000_000
            ),
        ]
        let reading = CompositeIndex(settings).reading(of: sources, atNs: 5_000_000_000)
        let report = IndexBoard.Report(
            timeNs: 5_000_000_000,
            settings: settings,
            names: ["BTC-USD@a", "BTC-USD@b"],
            reading: reading
        )
        indexes.show(report, of: InstrumentID(1))
        let (status, body) = try get("/api/v1/markets/BTC-USD@index")
        #expect(status == 200)
        let index = try #require(body["index"] as? [String: Any])
        #expect(
            index["value"] as? String == "10.05" && (index["time"] as? String)?.hasPrefix("1970-01-01T00:00:05") == true
        )
        let shown = try #require(index["sources"] as? [[String: Any]])
        #expect(shown.map { $0["symbol"] as? String } == ["BTC-USD@a", "BTC-USD@b"])
        #expect(shown.map { $0["counts"] as? Bool } == [true, false])
        #expect(shown[1]["reason"] as? String == "stale" && shown[1]["ageMs"] as? Int == 2_000)
        #expect(shown[0]["mid"] as? String == "10.05" && shown[0]["reason"] is NSNull)
        let (_, plain) = try get("/api/v1/markets/BTC-USD@kraken")
        #expect(plain["index"] == nil && (plain["instrument"] as? [String: Any])?["venue"] as? String == "kraken")
    }
}
