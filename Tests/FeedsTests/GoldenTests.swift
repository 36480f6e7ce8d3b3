import Feeds
import Market
import Testing

/// A capture with what independent software made of it.
struct Golden: Sendable, CustomTestStringConvertible {
    var venue: String
    var capture: String
    var folder: String
    /// Lines played in this suite; the whole of the large ones is for release builds.
    var linesMost = Int.max
    var trades = "trades.jsonl.gz"
    var hasCheckpoints = true
    var hasTrades = true
    var hasQuotes = true
    /// The hub's names of what the golden files name their own way.
    var names: [String: String] = [:]
    /// Whether the golden files hold trades from before the subscription too.
    var hasPastTrades = true

    var testDescription: String { capture }

    static let all = [
        Golden(venue: "coinbase", capture: "coinbase/coinbase-A.cap.gz", folder: "coinbase/golden-coinbase-A"),
        Golden(
            venue: "binance",
            capture: "binance/binance-A.cap.gz",
            folder: "binance/golden-binance-A",
            hasCheckpoints: false
        ),
        Golden(
            venue: "binance",
            capture: "binance/binance-btcusdt-20240808.cap.gz",
            folder: "binance/golden-binance-btcusdt-20240808",
            trades: "trades_ccxt.jsonl.gz"
        ),
        Golden(
            venue: "binance-usdm",
            capture: "binance_futures/binance_futures-A.cap.gz",
            folder: "binance_futures/golden-binance_futures-A"
        ),
        Golden(
            venue: "binance-usdm",
            capture: "binance_futures/binance_futures-btcusdt-20240808.cap.gz",
            folder: "binance_futures/golden-binance_futures-btcusdt-20240808",
            trades: "trades_ccxt.jsonl.gz"
        ),
        Golden(venue: "kraken", capture: "kraken/kraken-A.cap.gz", folder: "kraken/golden-kraken-A"),
        Golden(venue: "okx", capture: "okx/okx-A.cap.gz", folder: "okx/golden-okx-A", hasCheckpoints: false),
        Golden(
            venue: "bitstamp",
            capture: "bitstamp/bitstamp-A.cap.gz",
            folder: "bitstamp/golden-bitstamp-A",
            hasCheckpoints: false,
            hasQuotes: false
        ),
        Golden(
            venue: "deribit",
            capture: "deribit/deribit-A.cap.gz",
            folder: "deribit/golden-deribit-A",
            hasCheckpoints: false,
            hasTrades: false,
            names: [
                "BTC-8000-21U24-put": "BTC-USD-20210924-8000-P", "BTC-30000-22H25-call": "BTC-USD-20220325-30000-C",
                "BTC-24000-21N30-put": "BTC-USD-20210730-24000-P", "ETH-2800-21N30-call": "ETH-USD-20210730-2800-C",
                "ETH-4000-21Q27-put": "ETH-USD-20210827-4000-P",
            ]
        ),
        Golden(
            venue: "bitmex",
            capture: "bitmex/bitmex-A.cap.gz",
            folder: "bitmex/golden-bitmex-A",
            names: ["XRP-BTC-21U24": "XRP-BTC-20210924"]
        ),
        Golden(
            venue: "bybit-v2",
            capture: "bybit/bybit-A.cap.gz",
            folder: "bybit/golden-bybit-A",
            hasQuotes: false
        ),
        Golden(
            venue: "kraken-futures",
            capture: "kraken_futures/kraken_futures-A.cap.gz",
            folder: "kraken_futures/golden-kraken_futures-A",
            names: ["ETH-USD-21Z31": "ETH-USD-20211231", "XRP-USD-21U24": "XRP-USD-20210924"],
            hasPastTrades: false
        ),
        Golden(
            venue: "kraken-v2",
            capture: "Fixtures/kraken-v2.cap.gz",
            folder: "Fixtures/golden-kraken-v2",
            hasPastTrades: false
        ),
        Golden(
            venue: "coinbase-advanced",
            capture: "Fixtures/coinbase-advanced.cap.gz",
            folder: "Fixtures/golden-coinbase-advanced",
            hasPastTrades: false
        ),
        Golden(
            venue: "gemini",
            capture: "Fixtures/gemini.cap.gz",
            folder: "Fixtures/golden-gemini",
            hasPastTrades: false
        ),
    ]

    func ours(_ symbol: String) -> String { names[symbol] ?? symbol }
}

struct GoldenTrade: Decodable {
    var l: Int
    var recv_ns: Int64
    var symbol: String?
    var raw_symbol: String?
    var side: String
    var price: String
    var qty: String
    var ts_us: Int64?
    var ts_ms: Int64?
    var id: String?

    var text: String {
        "\(l) \(recv_ns) \(side) \(price) \(qty) \((ts_us ?? 0) / 1_000 + (ts_ms ?? 0)) \(id ?? "")"
    }
}

struct GoldenCheckpoint: Decodable {
    var l: Int
    var symbol: String
    var bids: [[String]]
    var asks: [[String]]
}

struct GoldenFinal: Decodable {
    var levels: [Int]
    var seq: UInt64?
    var bids: [[String]]
    var asks: [[String]]
}

@Suite("Goldens", .enabled(if: Captures.arePresent, "the captures are not beside the package"))
struct GoldenTests {
    @Test("a capture gives the trades and books that independent software made of it", arguments: Golden.all)
    func golden(_ golden: Golden) throws {
        let file = try CaptureFile(golden.capture)
        var replay = try Replay(golden.venue)
        let checkpoints: [GoldenCheckpoint] =
            golden.hasCheckpoints
            ? try Captures.rows(golden.folder + "/book_checkpoints.jsonl.gz") : []
        let checkpointsByLine = Dictionary(grouping: checkpoints, by: \.l)
        var compared = 0
        replay.play(file) { replay, line in
            for checkpoint in checkpointsByLine[line] ?? [] {
                let symbol = golden.ours(checkpoint.symbol)
                #expect(replay.top(20, of: symbol, .bid) == checkpoint.bids, "line \(line)")
                #expect(replay.top(20, of: symbol, .ask) == checkpoint.asks, "line \(line)")
                compared += 1
            }
        }
        #expect(compared == checkpoints.count)
        #expect(replay.faults.isEmpty, "\(replay.faults.prefix(3))")
        #expect(replay.feed.counters.resyncs == 0)
        #expect(replay.feed.counters.checksumsWrong == 0)

        let finals: [String: GoldenFinal] = try Captures.value(golden.folder + "/book_final.json")
        for (goldenName, final) in finals {
            let symbol = golden.ours(goldenName)
            let id = try #require(replay.table.id(named: symbol))
            let book = try #require(replay.feed.book(of: id), "\(symbol) is not live")
            #expect(replay.top(20, of: symbol, .bid) == final.bids, "\(symbol)")
            #expect(replay.top(20, of: symbol, .ask) == final.asks, "\(symbol)")
            #expect([book.depth(of: .bid), book.depth(of: .ask)] == final.levels, "\(symbol)")
        }

        let trades: [GoldenTrade] =
            golden.hasTrades ? try Captures.rows(golden.folder + "/" + golden.trades) : []
        let ours = replay.recorder.events.compactMap { line, event, instrument -> String? in
            guard case .trade(let trade) = event.payload, golden.hasPastTrades || !event.flags.contains(.historic)
            else { return nil }
            return "\(line) \(event.receivedNs) \(trade.aggressor == .buyer ? "buy" : "sell") "
                + "\(instrument.text(trade.price)) \(instrument.text(trade.quantity)) "
                + "\(event.eventNs / 1_000_000) \(trade.id.text)"
        }
        #expect(ours.count == trades.count)
        for (our, golden) in zip(ours, trades) where our != golden.text {
            Issue.record("\(our) instead of \(golden.text)")
            break
        }
    }

    @Test(
        "quotes and candles are those that independent software read",
        arguments: Golden.all.filter {
            ($0.capture.contains("-A.") || $0.capture.hasPrefix("Fixtures/")) && $0.hasQuotes
        }
    )
    func quotesAndCandles(_ golden: Golden) throws {
        var replay = try Replay(golden.venue)
        replay.play(try CaptureFile(golden.capture))
        let quotes: [GoldenQuote] = try Captures.rows(golden.folder + "/tickers.jsonl.gz")
        let ours = replay.recorder.events.compactMap { line, event, instrument -> String? in
            guard case .quote(let quote) = event.payload else { return nil }
            return
                "\(line) \(instrument.symbol) \(instrument.text(quote.bid.price)) \(instrument.text(quote.ask.price))"
        }
        #expect(ours == quotes.map { "\($0.l) \(golden.ours($0.symbol)) \($0.bid) \($0.ask)" })
        guard golden.venue.hasPrefix("binance") else { return }
        let candles: [GoldenCandle] = try Captures.rows(golden.folder + "/candles.jsonl.gz")
        let ourCandles = replay.recorder.events.compactMap { line, event, instrument -> String? in
            guard case .candle(let candle) = event.payload else { return nil }
            let prices = [candle.open, candle.high, candle.low, candle.close].map { instrument.text($0) }
            return "\(line) \(instrument.symbol) \(candle.openNs / 1_000) \(prices.joined(separator: " ")) "
                + "\(instrument.text(candle.volume)) \(candle.isClosed) \(candle.tradeCount)"
        }
        #expect(!candles.isEmpty)
        #expect(ourCandles == candles.map(\.text))
    }
}

struct GoldenQuote: Decodable {
    var l: Int
    var symbol: String
    var bid: String
    var ask: String
}

struct GoldenCandle: Decodable {
    var l: Int
    var symbol: String
    var start_us: Int64
    var o: String
    var h: String
    var l_: String
    var c: String
    var v: String
    var closed: Bool
    var n: UInt32

    var text: String { "\(l) \(symbol) \(start_us) \(o) \(h) \(l_) \(c) \(v) \(closed) \(n)" }
}
