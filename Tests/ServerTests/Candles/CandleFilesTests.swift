import Foundation
import Market
import Testing

@testable import Server

@Suite("Candle files")
final class CandleFilesTests {
    private static let second: Int64 = 1_000_000_000
    private static let nowNs: Int64 = 1_767_225_600_000_000_000
    private let directory = FileManager.default.temporaryDirectory.appending(path: "candles-\(UUID().uuidString)").path
    private var trades: [(id: Int, timeNs: Int64, ticks: Int64)] = []

    deinit { try? FileManager.default.removeItem(atPath: directory) }

    // MARK: A run of the hub, as far as candles go

    private struct Run: ~Copyable {
        var publisher: FeedPublisher
        let store: CandleStore
        var files: CandleFiles
        var changes = CandleChanges()
        var findings: [CandleFiles.Finding]

        init(_ directory: String, scale: UInt8 = 2, symbols: [String] = ["BTC-USD", "ETH-USD"]) throws {
            files = try CandleFiles(directory: directory)
            let (histories, findings, _) = files.load(bytesMost: 1 << 24, nowNs: CandleFilesTests.nowNs)
            self.findings = findings
            store = CandleStore(bytesMost: 1 << 24, kept: histories)
            publisher = FeedPublisher(outlets: [], board: InstrumentBoard(), candles: store)
            for (index, symbol) in symbols.enumerated() {
                publisher.learn(
                    Instrument(
                        id: InstrumentID(UInt32(index)),
                        venue: "test",
                        symbol: symbol,
                        rawSymbol: symbol,
                        priceScale: scale,
                        quantityScale: 0
                    )
                )
            }
        }

        mutating func trade(_ id: Int, _ ticks: Int64, atNs timeNs: Int64) {
            let trade = Trade(price: Price(ticks: ticks), quantity: Quantity(lots: 1), aggressor: .buyer, id: TradeID())
            let event = MarketEvent(
                instrument: InstrumentID(UInt32(id)),
                eventNs: timeNs,
                receivedNs: timeNs,
                payload: .trade(trade)
            )
            publisher.receive(event, levels: Span())
        }

        /// What the thread does twice a second.
        mutating func write(snapshot: Bool = false) throws {
            publisher.showCandles()
            if snapshot || files.isSnapshotDue {
                try files.beginJournal()
                var next = 0
                try files.writeSnapshot { bytes in
                    while let (name, history) = store.keptHistory(of: InstrumentID(UInt32(next))) {
                        if !history.isEmpty {
                            CandleRecords.append(
                                name,
                                priceScale: history.priceScale,
                                quantityScale: history.quantityScale,
                                candles: CandleInterval.allCases.flatMap { history.kept($0) },
                                slots: history.slots,
                                to: &bytes
                            )
                        }
                        next += 1
                    }
                }
            }
            var bytes: [UInt8] = []
            for id in store.takeChanged() {
                let (name, history) = try #require(store.keptHistory(of: id))
                changes.append(id, name, history, to: &bytes)
            }
            try files.append(bytes)
        }

        func past(_ id: Int, _ interval: CandleInterval) -> [Candle] {
            store.history(of: InstrumentID(UInt32(id)))?.past(interval, limit: 1_000) ?? []
        }
    }

    private func files(_ kind: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: directory).filter { $0.hasSuffix(kind) }.sorted()
    }

    private func damage(_ name: String, _ change: (inout Data) -> Void) throws {
        let url = URL(filePath: directory).appending(path: name)
        var data = try Data(contentsOf: url)
        change(&data)
        try data.write(to: url)
    }

    /// Trades two instruments for some minutes, written every half second, with a snapshot in between.
    private func firstRun() throws -> (past: [[Candle]], slots: [CandleMaker.Slot]) {
        var run = try Run(directory)
        for step in 0..<600 as Range<Int64> {
            let timeNs = Self.nowNs + step * Self.second / 2
            run.trade(0, 1_000 + step % 37, atNs: timeNs)
            if step % 50 == 7 { run.trade(1, 500 + step, atNs: timeNs) }
            try run.write(snapshot: step == 300)
        }
        return (
            CandleInterval.allCases.flatMap { [run.past(0, $0), run.past(1, $0)] },
            run.publisher.streams[0].candles.slots
        )
    }

    // MARK: Specifications

    @Test("bring back all that was written, without a word from the hub that it ends")
    func bringsBack() throws {
        let (past, slots) = try firstRun()
        let run = try Run(directory)
        #expect(run.findings.isEmpty)
        #expect(CandleInterval.allCases.flatMap { [run.past(0, $0), run.past(1, $0)] } == past)
        #expect(past[0].count > 290 && past[3].count == 4 && !past[1].isEmpty)
        var resumed = slots
        for index in resumed.indices where !resumed[index].candle.isClosed {
            resumed[index].candle.missing.insert(.end)
        }
        #expect(run.publisher.streams[0].candles.slots == resumed)
        #expect(run.publisher.streams[0].ticker.day?.volume.lots == 600)
        #expect(try files("snapshot").count == 1 && files("journal").count == 1)
    }

    @Test("go on over three runs, and a snapshot makes the files before it superfluous")
    func goesOn() throws {
        _ = try firstRun()
        for next in 1...2 as ClosedRange<Int64> {
            var run = try Run(directory)
            run.trade(0, 900, atNs: Self.nowNs + 300 * Self.second + next * Self.second)
            try run.write()
        }
        let run = try Run(directory)
        let day = try #require(run.publisher.streams[0].candles.newest(.day))
        #expect(day.tradeCount == 602 && day.low.ticks == 900 && day.missing == .end)
        #expect(run.publisher.streams[0].ticker.day?.volume.lots == 602)
        #expect(try files("snapshot").count == 1 && files("journal").count == 1)
    }

    @Test("lose what was half written when the hub was killed, and nothing else", arguments: [1, 7, 20, 60])
    func torn(bytes: Int) throws {
        let (past, _) = try firstRun()
        try damage(try files("journal")[0]) { $0.removeLast(bytes) }
        let run = try Run(directory)
        #expect(run.findings.count == 1, "\(run.findings)")
        guard case .torn = run.findings[0] else {
            Issue.record("\(run.findings)")
            return
        }
        #expect(past[0].count - run.past(0, .second).count <= 1)
    }

    @Test("set a damaged file aside, say so, and use what is sound in it")
    func damaged() throws {
        _ = try firstRun()
        let name = try files("snapshot")[0]
        // In the content of the first block, which is the first instrument's.
        try damage(name) { $0[200] ^= 0x40 }
        let run = try Run(directory)
        #expect(
            run.findings
                == [.damaged(file: name, badBlocks: 1, setAsideAs: "damaged-candles.snapshot")]
        )
        #expect(!run.past(1, .second).isEmpty && !run.past(0, .second).isEmpty, "the other block, and the journal")
        #expect(try files("damaged-candles.snapshot").count == 1)
    }

    @Test("are never a reason not to start", arguments: [0, 3, 8, 100])
    func garbage(count: Int) throws {
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        for name in ["candles-3.snapshot", "candles-3.journal", "candles-x.journal", "candles-4.journal"] {
            let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 37) }
            try Data(bytes).write(to: URL(filePath: directory).appending(path: name))
        }
        var run = try Run(directory)
        #expect(run.past(0, .second).isEmpty)
        run.trade(0, 5, atNs: Self.nowNs)
        try run.write()
        let next = try Run(directory)
        #expect(next.publisher.streams[0].candles.newest(.second)?.close.ticks == 5)
    }

    @Test("have no byte whose change goes unseen")
    func everyByte() {
        var bytes = CandleRecords.magic
        let candle = Candle(interval: .second, openNs: 0, first: Price(ticks: 7), quantity: Quantity(lots: 3))
        for name in ["A", "B", "C"] {
            CandleRecords.append(name, priceScale: 2, quantityScale: 3, candles: [candle], slots: [], to: &bytes)
        }
        for place in CandleRecords.magic.count..<bytes.count {
            var changed = bytes
            changed[place] ^= 0xFF
            var names: [String] = []
            let outcome = CandleRecords.read(changed) { names.append($0.name) }
            #expect(outcome.badBlockCount > 0 || outcome.tornBytes > 0, "byte \(place)")
            #expect(names.count <= 2 && Set(names).isSubset(of: ["A", "B", "C"]))
        }
    }

    @Test("wait for an instrument whose units are coarser than they were, and join what was traded meanwhile")
    func unitsWait() throws {
        var first = try Run(directory, scale: 2, symbols: ["BTC-USD"])
        first.trade(0, 1_050, atNs: Self.nowNs + 1)
        try first.write()
        var run = try Run(directory, scale: 1, symbols: ["BTC-USD"])
        run.trade(0, 100, atNs: Self.nowNs + 2 * Self.second)
        #expect(run.publisher.streams[0].candles.newest(.minute)?.open.ticks == 100)
        var instrument = run.publisher.table[InstrumentID(0)]
        instrument.priceScale = 2
        run.publisher.learn(instrument)
        let minute = try #require(run.publisher.streams[0].candles.newest(.minute))
        #expect([minute.open, minute.high, minute.low, minute.close].map(\.ticks) == [1_050, 1_050, 1_000, 1_000])
        #expect(minute.tradeCount == 2 && minute.missing == .all)
    }

    @Test("forget an instrument that was idle for long, and keep one that did not appear")
    func forgetsIdle() throws {
        _ = try firstRun()
        var files = try CandleFiles(directory: directory)
        #expect(
            files.load(bytesMost: 1 << 24, nowNs: Self.nowNs + 29 * CandleInterval.day.lengthNs).histories.count == 2
        )
        #expect(files.load(bytesMost: 1 << 24, nowNs: Self.nowNs + 31 * CandleInterval.day.lengthNs).histories.isEmpty)
        let bounded = files.load(bytesMost: 4_000, nowNs: Self.nowNs)
        #expect(bounded.lostCount > 0 && bounded.histories.values.reduce(0) { $0 + $1.byteCount } <= 4_000)
    }
}
