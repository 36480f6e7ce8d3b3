import Feeds
import Market
import Testing

/// Captures in which something was taken out, doubled or broken: each must be noticed where it is.
@Suite("Faults in recordings", .enabled(if: Captures.arePresent, "the captures are not beside the package"))
struct FaultTests {
    private struct Manifest: Decodable {
        var file: String
        var detect_at_line: Int?
        var bad_lines: [Int]?
        var symbol: String?
    }

    private func entry(_ name: String) throws -> Manifest {
        let manifest: [Manifest] = try Captures.value("faults/MANIFEST.json")
        return try #require(manifest.first { $0.file.contains(name) })
    }

    private func resyncs(_ replay: Replay) -> [(line: Int, reason: MarketStatus.Reason, rawSymbol: String)] {
        replay.recorder.events.compactMap { line, event, instrument in
            guard case .status(let status) = event.payload, status.state == .resyncing else { return nil }
            return (line, status.reason, instrument.rawSymbol)
        }
    }

    @Test("a lost Binance update is a gap at the next one, and a new snapshot is asked for")
    func binanceGap() throws {
        let entry = try entry("binance-btcusdt-drop1")
        var replay = try Replay("binance")
        replay.play(try CaptureFile(entry.file))
        let first = try #require(resyncs(replay).first)
        #expect(first.line == entry.detect_at_line)
        #expect(first.reason == .gap)
        let url = "https://api.binance.com/api/v3/depth?symbol=BTCUSDT&limit=1000"
        #expect(replay.actions.contains { $0.demand == .fetchSnapshot(url: url, rawSymbol: "BTCUSDT") })
        let id = try #require(replay.table.id(named: "BTC-USDT"))
        #expect(replay.feed.book(of: id) == nil)
    }

    @Test("a doubled Binance update changes nothing")
    func binanceDouble() throws {
        let entry = try entry("binance-btcusdt-dup1")
        var replay = try Replay("binance")
        let doubled = try CaptureFile(entry.file)
        let lineCount = doubled.lines.count
        replay.play(doubled)
        #expect(resyncs(replay).isEmpty)
        // Those older than the snapshot, and the double.
        let file = try CaptureFile("binance/binance-btcusdt-20240808.cap.gz")
        var base = try Replay("binance")
        base.play(file, lines: 0..<(lineCount - 1))
        #expect(replay.feed.counters.repeatedUpdates == base.feed.counters.repeatedUpdates + 1)
        for side in Side.allCases {
            #expect(replay.top(1_000, of: "BTC-USDT", side) == base.top(1_000, of: "BTC-USDT", side))
        }
        #expect(replay.top(1, of: "BTC-USDT", .bid).count == 1)
    }

    @Test("a lost Kraken update is a wrong checksum, and only that book begins anew")
    func krakenChecksum() throws {
        let entry = try entry("kraken-A-drop1")
        var replay = try Replay("kraken")
        replay.play(try CaptureFile(entry.file))
        let all = resyncs(replay)
        let first = try #require(all.first)
        #expect(first.line == entry.detect_at_line)
        #expect(first.reason == .checksum)
        #expect(first.rawSymbol == entry.symbol)
        #expect(all.count == 1)
        guard case .resubscribe(let rawSymbol, let frames) = replay.actions.first?.demand else {
            Issue.record("no resubscription")
            return
        }
        #expect(rawSymbol == "ADA/XBT")
        #expect(
            frames == [
                #"{"event":"unsubscribe","pair":["ADA/XBT"],"subscription":{"name":"book","depth":1000}}"#,
                #"{"event":"subscribe","pair":["ADA/XBT"],"subscription":{"name":"book","depth":1000}}"#,
            ]
        )
        let others = try #require(replay.table.id(named: "XMR-USD"))
        #expect(replay.feed.book(of: others) != nil)
    }

    @Test("a lost OKX update is a wrong checksum, and only that book begins anew")
    func okxChecksum() throws {
        let entry = try entry("okx-A-drop1")
        var replay = try Replay("okx")
        replay.play(try CaptureFile(entry.file))
        let all = resyncs(replay)
        #expect(all.map(\.line) == [entry.detect_at_line])
        #expect(all.map(\.reason) == [.checksum])
        #expect(all.map(\.rawSymbol) == [entry.symbol])
        #expect(replay.actions.count == 1)
        guard case .resubscribe(let rawSymbol, let frames) = replay.actions.first?.demand else {
            Issue.record("no resubscription")
            return
        }
        #expect(rawSymbol == "BTC-USDT")
        let argument = #"[{"channel":"books","instId":"BTC-USDT"}]"#
        #expect(frames == ["unsubscribe", "subscribe"].map { #"{"op":"\#($0)","args":\#(argument)}"# })
        let other = try #require(replay.table.id(named: "UNI-USD-PERP"))
        #expect(replay.feed.book(of: other) != nil)
    }

    @Test("a lost Deribit change is a gap at the next one, and only that book begins anew")
    func deribitGap() throws {
        let entry = try entry("deribit-A-drop1")
        var replay = try Replay("deribit")
        replay.play(try CaptureFile(entry.file))
        let all = resyncs(replay)
        #expect(all.map(\.line) == [entry.detect_at_line])
        #expect(all.map(\.reason) == [.gap])
        #expect(all.map(\.rawSymbol) == [entry.symbol])
        guard case .resubscribe(let rawSymbol, _) = replay.actions.first?.demand else {
            Issue.record("no resubscription")
            return
        }
        #expect(rawSymbol == entry.symbol)
        let other = try #require(replay.table.id(named: "ETH-USD-20210730-2800-C"))
        #expect(replay.feed.book(of: other) != nil)
    }

    @Test("a lost Kraken Futures update is a gap at the next one, and only that book begins anew")
    func krakenFuturesGap() throws {
        let entry = try entry("kraken_futures-A-drop1")
        var replay = try Replay("kraken-futures")
        replay.play(try CaptureFile(entry.file))
        let all = resyncs(replay)
        let first = try #require(all.first)
        #expect(first.line == entry.detect_at_line)
        #expect(first.reason == .gap)
        #expect(first.rawSymbol == entry.symbol)
        #expect(all.count == 1)
        let frames = [
            #"{"event":"unsubscribe","feed":"book","product_ids":["PI_ETHUSD"]}"#,
            #"{"event":"subscribe","feed":"book","product_ids":["PI_ETHUSD"]}"#,
        ]
        #expect(replay.actions.map(\.demand) == [.resubscribe(rawSymbol: "PI_ETHUSD", frames: frames)])
        let lost = try #require(replay.table.id(named: "ETH-USD-PERP"))
        #expect(replay.feed.book(of: lost) == nil)
        let others = try #require(replay.table.id(named: "LTC-USD-PERP"))
        #expect(replay.feed.book(of: others) != nil)
    }

    @Test("broken Coinbase lines are counted one by one and change nothing")
    func coinbaseMalformed() throws {
        let entry = try entry("coinbase-A-malformed")
        var replay = try Replay("coinbase")
        replay.play(try CaptureFile(entry.file))
        #expect(replay.faults.map(\.line) == entry.bad_lines)
        #expect(replay.feed.counters.badFrames == entry.bad_lines?.count)
        let finals: [String: GoldenFinal] = try Captures.value("coinbase/golden-coinbase-A/book_final.json")
        for (symbol, final) in finals {
            #expect(replay.top(20, of: symbol, .bid) == final.bids, "\(symbol)")
            #expect(replay.top(20, of: symbol, .ask) == final.asks, "\(symbol)")
        }
        let trades: [GoldenTrade] = try Captures.rows("coinbase/golden-coinbase-A/trades.jsonl.gz")
        #expect(replay.feed.counters.trades == trades.count)
        #expect(resyncs(replay).isEmpty)
    }
}
