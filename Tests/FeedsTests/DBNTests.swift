import Feeds
import Foundation
import Market
import Testing

/// A feed that is told a DBN stream, and what came of it as one line an event.
private struct DBNReplay {
    var feed = VenueFeed(DBNDialect())
    var table = InstrumentTable()
    var recorder = Replay.Recorder()
    var stream = DBNStream()
    var faults: [String] = []

    init() { recorder.keepsBooks = true }

    mutating func receive(_ bytes: [UInt8], partBytes: Int = .max) throws {
        var start = 0
        while start < bytes.count {
            let end = start + min(partBytes, bytes.count - start)
            var faults = self.faults
            defer { self.faults = faults }
            try Array(bytes[start..<end]).withUnsafeBytes { part in
                try stream.receive(
                    part,
                    feed: &feed,
                    instruments: &table,
                    into: &recorder,
                    begin: { number, recorder in recorder.line = number },
                    fault: { number, fault in
                        faults.append("\(number): \(fault)")
                        return true
                    }
                )
            }
            start = end
        }
        try stream.finish()
    }

    var lines: [String] {
        recorder.events.map { line, event, instrument in
            func level(_ level: Level) -> String {
                "\(instrument.text(level.price))x\(instrument.text(level.quantity))"
            }
            let what =
                switch event.payload {
                case .trade(let trade):
                    "trade \(instrument.text(trade.price))x\(instrument.text(trade.quantity)) \(trade.aggressor)"
                case .quote(let quote): "quote \(level(quote.bid)) \(level(quote.ask))"
                case .bookSnapshot(let top): "snapshot \(level(top.bid)) \(level(top.ask))"
                case .bookDelta(let top): "delta \(level(top.bid)) \(level(top.ask))"
                case .candle(let candle):
                    "candle \(candle.interval.name) \(candle.openNs) \(instrument.text(candle.open)) "
                        + "\(instrument.text(candle.high)) \(instrument.text(candle.low)) "
                        + "\(instrument.text(candle.close)) \(instrument.text(candle.volume))"
                case .status(let status): "\(status.state) \(status.reason)"
                case .ticker: "ticker"
                case .order(let order): "order \(order.kind)"
                }
            return "\(line) \(instrument.rawSymbol) \(event.eventNs) \(event.receivedNs) \(event.venueSequence) \(what)"
        }
    }

    func book(_ symbol: String, _ side: Side) -> String? {
        guard let id = table.id(named: symbol), let book = feed.book(of: id) else { return nil }
        return book.top(100, of: side)
            .map { "\(table[id].text($0.price))x\(table[id].text($0.quantity))" }.joined(separator: " ")
    }
}

private func fixture(_ name: String) throws -> [UInt8] {
    let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    return Array(try Data(contentsOf: folder.appending(path: "Fixtures/\(name)")))
}

/// The rows are those that databento_dbn 0.72.0 (PyPI) prints of each file:
/// `python -c "import databento_dbn as d; r = d.DBNDecoder(); r.write(open(FILE, 'rb').read()); print(*r.decode(), sep='\n')"`.
@Suite("DBN files of others", .enabled(if: Captures.arePresent, "the captures are not beside the package"))
struct DBNGoldenTests {
    private func replay(_ name: String) throws -> DBNReplay {
        var replay = DBNReplay()
        try replay.receive(Captures.bytes("dbn/test_data.\(name).dbn"))
        #expect(replay.faults.isEmpty)
        return replay
    }

    @Test("trades")
    func trades() throws {
        let replay = try replay("trades")
        #expect(
            replay.lines == [
                "1 ESH1 0 1609160400099150057 0 connected started",
                "1 ESH1 1609160400098821953 1609160400099150057 1170380 trade 3720.25x5 seller",
                "2 ESH1 1609160400107665963 1609160400108142648 1170414 trade 3720.25x21 seller",
            ]
        )
        let metadata = try #require(replay.stream.metadata)
        #expect(metadata.version == 2 && metadata.dataset == "GLBX.MDP3" && metadata.schema == 4)
        #expect(metadata.startNs == 1_609_160_400_000_000_000 && metadata.endNs == 1_609_200_000_000_000_000)
        #expect(metadata.limit == 2 && metadata.requestedNaming == 1 && metadata.naming == 0)
        #expect(!metadata.hasSendingTimes && metadata.symbolBytes == 71 && metadata.symbols == ["ESH1"])
        #expect(metadata.partial.isEmpty && metadata.notFound.isEmpty)
        #expect(metadata.mappings.map(\.symbol) == ["ESH1"])
        let interval = try #require(metadata.mappings.first?.intervals.first)
        #expect(interval.firstDay == 20_201_228 && interval.endDay == 20_201_229 && interval.symbol == "5482")
    }

    @Test("the top of the book")
    func depth1() throws {
        #expect(
            try replay("mbp-1").lines == [
                "1 ESH1 0 1609160400006136329 0 connected started",
                "1 ESH1 1609160400006001487 1609160400006136329 1170362 quote 3720.25x24 3720.5x11",
                "2 ESH1 1609160400006146661 1609160400006246513 1170364 quote 3720.25x24 3720.5x12",
            ]
        )
    }

    @Test("ten levels")
    func depth10() throws {
        let replay = try replay("mbp-10")
        #expect(
            replay.lines == [
                "1 ESH1 0 1609160400000704060 0 connected started",
                "1 ESH1 1609160400000429831 1609160400000704060 1170352 snapshot 3720.25x24 3720.5x10",
                "1 ESH1 0 1609160400000704060 0 live none",
                "2 ESH1 1609160400000435673 1609160400000750544 1170356 snapshot 3720.25x24 3720.5x10",
            ]
        )
        #expect(
            replay.book("ESH1", .bid) == "3720.25x24 3720x30 3719.75x32 3719.5x39 3719.25x50 3719x42 3718.75x44 "
                + "3718.5x64 3718.25x53 3718x67"
        )
        #expect(
            replay.book("ESH1", .ask) == "3720.5x10 3720.75x34 3721x39 3721.25x28 3721.5x33 3721.75x45 3722x55 "
                + "3722.25x59 3722.5x49 3722.75x44"
        )
    }

    @Test("orders without the record that clears the book are not used")
    func orders() throws {
        let replay = try replay("mbo.v3")
        #expect(replay.stream.metadata?.version == 3)
        #expect(replay.stream.framing.records == 2)
        #expect(replay.feed.counters.unusedUpdates == 2)
        #expect(replay.lines.isEmpty)
    }

    @Test("candles")
    func candles() throws {
        #expect(
            try replay("ohlcv-1s").lines == [
                "1 ESH1 0 1609160400000000000 0 connected started",
                "1 ESH1 1609160401000000000 1609160400000000000 0 "
                    + "candle 1s 1609160400000000000 372025 372050 372025 372050 57",
                "2 ESH1 1609160402000000000 1609160401000000000 0 "
                    + "candle 1s 1609160401000000000 372050 372050 372050 372050 13",
            ]
        )
    }

    @Test("states")
    func states() throws {
        #expect(
            try replay("status").lines == [
                "1 ESH1 0 1609113600000000000 0 connected started",
                "2 ESH1 0 1609190100007055917 0 halted venueRequest",
                "4 ESH1 0 1609191000007282029 0 connected venueRequest",
            ]
        )
    }

    @Test("definitions")
    func definitions() throws {
        let replay = try replay("definition")
        // The number of the instrument is another one on the next day.
        #expect(replay.stream.metadata?.dataset == "XNAS.ITCH")
        #expect(replay.stream.metadata?.mappings.first?.intervals.count == 62)
        #expect(replay.stream.framing.records == 2)
        #expect(replay.stream.definitions == 1)
        let id = try #require(replay.table.id(venue: "dbn", rawSymbol: "MSFT"))
        let share = replay.table[id]
        #expect(share.symbol == "MSFT" && share.kind == .spot && share.lot == 100 && share.tick == 1)
        #expect(share.terms.expiryNs == 0 && share.terms.contractSize == nil)
    }
}

@Suite("DBN streams")
struct DBNTests {
    // Both fixtures were written by databento_dbn 0.72.0 (PyPI): its record types' bytes one behind the other.

    @Test("of version 1, with times of sending behind each record")
    func version1() throws {
        var replay = DBNReplay()
        try replay.receive(fixture("trades-ts-out.v1.dbn"))
        #expect(
            replay.lines
                == [
                    "1 ESH1 0 1609160400000000008 0 connected started",
                    "1 ESH1 1609160400000000007 1609160400000000008 7 trade 3720.25x5 seller",
                    "2 ESH1 1609160400000000008 1609160400000000009 8 trade 3720.5x1 buyer",
                    "3 ESH1 1609160400000000009 1609160400000000010 9 trade 3720.5x2 unknown",
                ].map { $0 }
        )
        let metadata = try #require(replay.stream.metadata)
        #expect(metadata.version == 1 && metadata.hasSendingTimes && metadata.symbolBytes == 22)
        #expect(metadata.endNs == nil && metadata.limit == nil)
    }

    @Test(
        "of mixed records: names, definitions, orders, halts, quotes, errors, candles",
        arguments: [1, 7, 100, 5_000]
    )
    func mixture(partBytes: Int) throws {
        var replay = DBNReplay()
        try replay.receive(fixture("mixture.v3.dbn"), partBytes: partBytes)
        let events = replay.lines.map { $0.split(separator: " ", maxSplits: 4).map(String.init) }
        #expect(
            events.map { "\($0[0]) \($0[4])" } == [
                "5 0 connected started", "5 2 snapshot 0x0 0x0", "5 0 live none", "6 3 delta 3720.25x5 0x0",
                "7 4 delta 3720.25x12 0x0", "8 5 delta 3720.25x12 3720.5x4", "9 6 trade 3720.5x3 buyer",
                "11 6 delta 3720.25x12 3720.5x1", "12 7 delta 3720.25x5 3720.5x1", "13 8 delta 3720x6 3720.5x1",
                "14 0 halted venueRequest", "15 0 live venueRequest", "16 10 trade 3720x2 seller",
                "16 10 quote 3720x6 0x0", "18 0 candle 1d 1609113600000000000 3720 3730 3710 3725.5 123",
                "19 0 resyncing gap",
            ]
        )
        #expect(events.allSatisfy { $0[1] == "ESH1" })
        #expect(replay.faults.isEmpty)
        #expect(replay.recorder.events.contains { $0.line == 13 && $0.event.flags.contains(.maybeBadBook) })
        // The order that came ahead of the clearing; a cancellation of an order that nobody told of ends the book.
        #expect(replay.feed.counters.unusedUpdates == 1)
        #expect(replay.feed.counters.gaps == 1)
        #expect(replay.stream.definitions == 2)
        let future = replay.table[try #require(replay.table.id(named: "ES-USD-20210319"))]
        #expect(future.kind == .future && future.rawSymbol == "ESH1" && future.priceScale == 2 && future.tick == 25)
        #expect(future.terms.contractSize?.text == "50" && future.terms.settle == "USD")
        let option = replay.table[try #require(replay.table.id(named: "ES-USD-20210319-3700-C"))]
        #expect(option.kind == .option && option.rawSymbol == "ESH1_C3700" && option.terms.settle == "EUR")
        #expect(option.terms.right == .call && option.terms.strike?.text == "3700" && option.tick == 5)
    }

    @Test("go by the number of an instrument that nothing names on that day")
    func unnamed() throws {
        var bytes = try fixture("trades-ts-out.v1.dbn")
        // The mapping's last day.
        let day = withUnsafeBytes(of: UInt32(20_201_229).littleEndian) { Array($0) }
        let place = try #require(bytes.indices.first { bytes[$0...].starts(with: day) })
        bytes[place] -= 1
        var replay = DBNReplay()
        try replay.receive(bytes)
        #expect(replay.recorder.events.allSatisfy { $0.instrument.rawSymbol == "5482" })
    }

    @Test(
        "are refused when they are something else",
        arguments: [
            ([0x28, 0xB5, 0x2F, 0xFD, 0, 0, 0, 0], DBNError.packed), (Array("DBZ\u{1}....".utf8), .notDBN),
            (Array("{\"a\":1}\n".utf8), .notDBN), ([0x44, 0x42, 0x4E, 0, 0, 0, 0, 0], .unknownVersion(0)),
            ([0x44, 0x42, 0x4E, 4, 0, 0, 0, 0], .unknownVersion(4)),
            ([0x44, 0x42, 0x4E, 3, 0xFF, 0xFF, 0xFF, 0xFF], .badMetadata("length")),
            ([0x44, 0x42, 0x4E, 3, 4, 0, 0, 0, 1, 2, 3, 4], .badMetadata("length")), ([], .truncated(record: 0)),
            ([0x44, 0x42], .truncated(record: 0)),
        ] as [([UInt8], DBNError)]
    )
    func strangers(bytes: [UInt8], error: DBNError) throws {
        for part in [1, 1_000] {
            var replay = DBNReplay()
            #expect(throws: error) { try replay.receive(bytes, partBytes: part) }
        }
        #expect("\(DBNError.packed)".contains("zstd -d"))
    }

    @Test("tell of an end inside a record, and give what came before", arguments: [1, 15, 16, 55])
    func truncated(cut: Int) throws {
        let bytes = try fixture("trades-ts-out.v1.dbn")
        var replay = DBNReplay()
        #expect(throws: DBNError.truncated(record: 3)) { try replay.receive(Array(bytes.dropLast(cut))) }
        #expect(replay.feed.counters.trades == 2)
    }

    @Test("end with a record whose length is none, and refuse one that is too short for its kind")
    func lengths() throws {
        let bytes = try fixture("trades-ts-out.v1.dbn")
        let last = bytes.count - 56
        var short = bytes
        short[last] = 3
        var replay = DBNReplay()
        #expect(throws: DBNError.badLength(record: 3, bytes: 12)) { try replay.receive(short) }
        // What came before it in the same part is heard.
        #expect(replay.feed.counters.trades == 2)
        short = Array(bytes.prefix(last + 16))
        short[last] = 4
        var other = DBNReplay()
        try other.receive(short)
        #expect(other.faults == ["3: the text ends inside a value"])
        var unknown = bytes
        unknown[last + 1] = 0x7F
        var third = DBNReplay()
        try third.receive(unknown)
        #expect(third.faults == ["3: an unknown kind of message"])
    }

    @Test("claim no memory for counts that lie")
    func counts() throws {
        let bytes = try fixture("trades-ts-out.v1.dbn")
        // Behind the prefix and the fixed part: the counts of symbols, partial, not found, mappings, intervals.
        for place in [8 + 104, 8 + 104 + 26, 8 + 104 + 30, 8 + 104 + 34, 8 + 104 + 38 + 22] {
            var lie = bytes
            for index in 0..<4 { lie[place + index] = 0xFF }
            var replay = DBNReplay()
            #expect(throws: DBNError.self) { try replay.receive(lie) }
        }
    }

    @Test("never stop the feed, whatever bits are turned", arguments: [1, 2, 3, 4])
    func mutations(seed: UInt64) throws {
        var state = seed
        func random(_ below: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % below
        }
        let streams = [try fixture("mixture.v3.dbn"), try fixture("trades-ts-out.v1.dbn")]
        var outcomes = (ended: 0, faulty: 0, whole: 0)
        for round in 0..<1_500 {
            var bytes = streams[round % 2]
            for _ in 0...random(4) { bytes[random(bytes.count)] ^= UInt8(1 << random(8)) }
            if random(4) == 0 { bytes = Array(bytes.prefix(random(bytes.count))) }
            var replay = DBNReplay()
            do {
                try replay.receive(bytes, partBytes: 1 + random(3_000))
                if replay.faults.isEmpty { outcomes.whole += 1 } else { outcomes.faulty += 1 }
            } catch is DBNError {
                outcomes.ended += 1
            }
            for id in replay.feed.instruments {
                if let book = replay.feed.book(of: id) { #expect(book.isConsistent) }
            }
        }
        #expect(outcomes.ended > 100 && outcomes.faulty > 20 && outcomes.whole > 100)
    }
}
