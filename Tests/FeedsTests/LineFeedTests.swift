import Feeds
import Market
import Simulation
import Testing

@Suite("The line feed")
struct LineFeedTests {
    private static let now: Int64 = 1_767_225_600_000_000_000
    private static let trade =
        #"{"type":"trade","symbol":"BTC-USD","price":"50000.1","quantity":"1.5","side":"buy","id":"a-17","time_ns":1767225599000000000}"#
    private static let quote =
        #"{"type":"quote","symbol":"BTC-USD","bid":50000.0,"bid_quantity":"2","ask":50000.1,"ask_quantity":0.75}"#

    @Test("makes a trade and its instrument of a line")
    func trade() throws {
        var reader = Reader()
        #expect(reader.receive(Self.trade + "\n").refusals == [])
        let instrument = try #require(reader.table.all.first)
        #expect(instrument.qualifiedSymbol == "BTC-USD@tcp")
        #expect(instrument.priceScale == 1 && instrument.quantityScale == 1)
        #expect(reader.feed.instruments == [instrument.id])
        #expect(reader.heard.statuses == [MarketStatus(.live, .started)])
        let (event, trade) = try #require(reader.heard.trades.first)
        #expect(trade.price.ticks == 500_001 && trade.quantity.lots == 15)
        #expect(trade.aggressor == .buyer && trade.id.text == "a-17")
        #expect(event.eventNs == 1_767_225_599_000_000_000 && event.receivedNs == Self.now && event.flags == .last)
        #expect(reader.feed.lineCount == 1 && reader.feed.badLineCount == 0)
    }

    @Test("makes a quote of a line, with numbers as text or as JSON numbers")
    func quote() throws {
        var reader = Reader()
        #expect(reader.receive(Self.quote + "\r\n \r\n\n").refusals == [])
        let (event, quote) = try #require(reader.heard.quotes.first)
        #expect(quote.bid == Level(price: Price(ticks: 500_000), quantity: Quantity(lots: 200)))
        #expect(quote.ask == Level(price: Price(ticks: 500_001), quantity: Quantity(lots: 75)))
        #expect(event.flags == [.last, .eventTimeMissing] && event.eventNs == 0)
        #expect(reader.feed.lineCount == 1, "blank lines do not count")
    }

    @Test(
        "takes an empty side of a quote as left out, null or without quantity",
        arguments: [
            #"{"type":"quote","symbol":"A","ask":"2","ask_quantity":"3"}"#,
            #"{"type":"quote","symbol":"A","ask":"2","ask_quantity":"3","bid":null,"bid_quantity":null}"#,
            #"{"type":"quote","symbol":"A","ask":"2","ask_quantity":"3","bid":"1","bid_quantity":0}"#,
        ]
    )
    func emptySide(line: String) throws {
        var reader = Reader()
        #expect(reader.receive(line + "\n").refusals == [])
        let (_, quote) = try #require(reader.heard.quotes.first)
        #expect(quote.bid == Quote.none.bid && quote.ask.price.ticks == 2)
    }

    @Test("reads the same however the bytes are cut", arguments: 1...260)
    func cuts(size: Int) {
        let text =
            Self.trade + "\n\n" + Self.quote + "\r\n" + #"{"type":"trade","symbol":"é"}"# + "\n" + Self.trade + "\n"
        var whole = Reader()
        let verdict = whole.receive(text)
        #expect(verdict.refusals == [.init(line: 3, error: .malformed(.symbol))])
        var cut = Reader()
        var refusals: [LineFeed.Refusal] = []
        let bytes = Array(text.utf8)
        // A first part of `size` bytes and the rest, and parts of `size` bytes.
        if size < bytes.count {
            var split = Reader()
            refusals = split.receive(Array(bytes[..<size])).refusals + split.receive(Array(bytes[size...])).refusals
            #expect(refusals == verdict.refusals && split.heard.log == whole.heard.log)
        }
        refusals = []
        for start in stride(from: 0, to: bytes.count, by: size) {
            refusals += cut.receive(Array(bytes[start..<min(start + size, bytes.count)])).refusals
        }
        #expect(refusals == verdict.refusals && cut.heard.log == whole.heard.log)
        #expect(cut.feed.lineCount == 4 && cut.feed.badLineCount == 1)
    }

    @Test(
        "takes keys in any order, spaces, unknown keys and escapes",
        arguments: [
            #"{"quantity":"1","price":"2","id":"x","symbol":"A","type":"trade"}"#,
            "\t{ \"type\" : \"trade\" ,\"symbol\":\"A\", \"price\":2e0 ,\"quantity\":1E-0,\"id\":\"x\" } \r",
            #"{"n":[1,{"type":"quote","price":[]},null,true,false,-0.5e+3,"\"\\\ud83d\ude00"],"m":{},"type":"trade","symbol":"A","price":2,"quantity":1,"id":"x"}"#,
            #"{"\u0074ype":"tr\u0061de","symbol":"\u0041","price":"\u0032","quantity":1,"id":"\u0078"}"#,
            #"{"type":"trade","symbol":"A","price":"20e-1","quantity":"0.1e1","id":"x","bid":"nonsense","Price":7}"#,
        ]
    )
    func forms(line: String) throws {
        var reader = Reader()
        #expect(reader.receive(line + "\n").refusals == [])
        let (_, trade) = try #require(reader.heard.trades.first)
        #expect(trade.price == Price(ticks: reader.units(2, \.priceScale)) && trade.id.text == "x")
        #expect(trade.quantity == Quantity(lots: reader.units(1, \.quantityScale)) && trade.aggressor == .unknown)
    }

    @Test(
        "passes an id on as it is written",
        arguments: [
            (#""""#, ""), (#""t/1""#, "t/1"), (#""t\/1""#, "t/1"), (#""\u00e9""#, "é"), (#""é""#, "é"),
            (#""\ud83d\ude00""#, "😀"), ("17", "17"), ("-1.50e+7", "-1.50e+7"),
            ("18446744073709551616", "18446744073709551616"),
            ("null", ""), ("\"" + String(repeating: "i", count: 64) + "\"", String(repeating: "i", count: 64)),
        ]
    )
    func ids(written: String, meant: String) throws {
        var reader = Reader()
        #expect(reader.receive(line(#""id":\#(written)"#) + "\n").refusals == [])
        #expect(try #require(reader.heard.trades.first).trade.id.text == meant)
    }

    @Test("leaves a bad line out and says why", arguments: Self.badLines)
    func refuses(line: String, error: LineFeedError) {
        var reader = Reader()
        let verdict = reader.receive(line + "\n" + Self.trade + "\n")
        #expect(verdict.refusals == [.init(line: 1, error: error)])
        #expect(!verdict.isCut)
        #expect(reader.heard.trades.count == 1, "the line behind it counts")
        #expect(reader.table.all.map(\.symbol) == ["BTC-USD"], "a bad line makes no instrument")
        #expect(!error.reason.isEmpty && !error.description.isEmpty)
    }

    static let badLines: [(String, LineFeedError)] = [
        ("x", .notJSON(offset: 0)), ("{", .notJSON(offset: 1)), ("{}", .missing(.symbol)), ("[]", .notJSON(offset: 0)),
        ("{} {}", .notJSON(offset: 3)), (#"{"a":1,}"#, .notJSON(offset: 7)), (#"{"a" 1}"#, .notJSON(offset: 5)),
        (#"{"a":01}"#, .notJSON(offset: 6)), (#"{"a":+1}"#, .notJSON(offset: 5)), (#"{"a":1.}"#, .notJSON(offset: 7)),
        (#"{"a":.5}"#, .notJSON(offset: 5)), (#"{"a":1e}"#, .notJSON(offset: 7)), (#"{"a":tru}"#, .notJSON(offset: 8)),
        (#"{"a":"\x"}"#, .notJSON(offset: 7)), (#"{"a":"\u12g4"}"#, .notJSON(offset: 10)),
        (#"{"a":"\ud83d"}"#, .notJSON(offset: 12)), (#"{"a":"\ude00"}"#, .notJSON(offset: 12)),
        (#"{"a":"\ud83d\u0041"}"#, .notJSON(offset: 18)), ("{\"a\":\"\t\"}", .notJSON(offset: 6)),
        (#"{"a":"b"#, .notJSON(offset: 7)), (#"{"a":[1 2]}"#, .notJSON(offset: 8)), (#"{a:1}"#, .notJSON(offset: 1)),
        (#"{"a":"# + String(repeating: "[", count: 32), .nestedTooDeeply),
        (line(#""price":"3""#), .repeatedKey(.price)),
        (#"{"type":"trade","price":"1","quantity":"1"}"#, .missing(.symbol)),
        (#"{"symbol":"A","price":"1","quantity":"1"}"#, .missing(.type)),
        (#"{"type":"trade","symbol":"A","quantity":"1"}"#, .missing(.price)),
        (#"{"type":"trade","symbol":"A","price":"1"}"#, .missing(.quantity)),
        (#"{"type":"trade","symbol":"A"}"#, .missing(.price)),
        (#"{"type":"quote","symbol":"A"}"#, .missing(.bid)),
        (#"{"type":"quote","symbol":"A","bid":"1"}"#, .missing(.bidQuantity)),
        (#"{"type":"quote","symbol":"A","ask_quantity":"1"}"#, .missing(.ask)),
        (#"{"type":"order","symbol":"A"}"#, .malformed(.type)), (#"{"type":1,"symbol":"A"}"#, .malformed(.type)),
        (#"{"type":"trade","symbol":""}"#, .malformed(.symbol)),
        (#"{"type":"trade","symbol":"A*"}"#, .malformed(.symbol)),
        (#"{"type":"trade","symbol":"A@b"}"#, .malformed(.symbol)),
        (#"{"type":"trade","symbol":7}"#, .malformed(.symbol)),
        (#"{"type":"trade","symbol":"A B"}"#, .malformed(.symbol)),
        (#"{"type":"trade","symbol":"A\u0000"}"#, .malformed(.symbol)),
        (#"{"type":"trade","symbol":""# + String(repeating: "A", count: 33) + #""}"#, .malformed(.symbol)),
        (line(#""side":"bid""#), .malformed(.side)), (line(#""side":["buy"]"#), .malformed(.side)),
        (line("\"id\":\"" + String(repeating: "i", count: 65) + "\""), .malformed(.id)),
        (line("\"id\":" + String(repeating: "1", count: 65)), .malformed(.id)),
        (line(#""id":"\n""#), .malformed(.id)), (line(#""id":true"#), .malformed(.id)),
        (line(#""time_ns":0"#), .malformed(.time)), (line(#""time_ns":1.5"#), .malformed(.time)),
        (line(#""time_ns":-1"#), .malformed(.time)), (line(#""time_ns":1767312000000000001"#), .fromTheFuture),
        (line(#""time_ns":9223372036854775808"#), .malformed(.time)),
        (line(#""time_ns":9223372036854775807"#), .fromTheFuture),
        (numbers("0", "1"), .notPositive(.price)), (numbers("-1", "1"), .notPositive(.price)),
        (numbers("1", "0.00"), .notPositive(.quantity)), (numbers("1", "-1"), .notPositive(.quantity)),
        (numbers(#""""#, "1"), .malformed(.price)), (numbers(#""1x""#, "1"), .malformed(.price)),
        (numbers(#"" 1""#, "1"), .malformed(.price)), (numbers(#""01""#, "1"), .malformed(.price)),
        (numbers(#""NaN""#, "1"), .malformed(.price)), (numbers("{}", "1"), .malformed(.price)),
        (numbers("1e999999999999999999999", "1"), .malformed(.price)), (numbers("1e-99", "1"), .malformed(.price)),
        (numbers("9223372036854775808", "1"), .malformed(.price)),
        (numbers("9223372036854775807", "1"), .tooManyDecimals(.price)),
        (numbers("1e18", "1"), .tooManyDecimals(.price)),
        (numbers("1", "0.0000000000001"), .tooManyDecimals(.quantity)),
        (numbers("1", "99999.000000000001"), .tooManyDecimals(.quantity)),
        ("{\"a\":\"\u{FFFD}\"}", .missing(.symbol)),
    ]

    @Test(
        "refuses bytes that are not UTF-8",
        arguments: [[0xFF], [0xC3], [0xED, 0xA0, 0x80], [0xC0, 0x80]] as [[UInt8]]
    )
    func refusesBadUTF8(bytes: [UInt8]) {
        var reader = Reader()
        let verdict = reader.receive(Array(#"{"a":""#.utf8) + bytes + Array("\"}\n".utf8))
        #expect(verdict.refusals == [.init(line: 1, error: .notJSON(offset: 6))])
    }

    @Test("never traps on numbers, whatever the known scale is")
    func overflows() {
        let texts = [
            "9223372036854775807", "9223372036854775806.5", "922337203685477580.7", "-9223372036854775808", "1e18",
            "1e-18",
            "9.223372036854775807", "0.000000000000000001", "1e308", "123456789012345678901234567890", "0e999", "0.1",
            "5",
        ]
        var reader = Reader()
        _ = reader.receive(line("", symbol: "B", price: "1.5", quantity: "1.5") + "\n")
        for (index, text) in texts.enumerated() {
            for other in texts {
                reader.now += 60_000_000_000
                _ = reader.receive(
                    line("\"time_ns\":\(text)", symbol: "A\(index)", price: text, quantity: other) + "\n"
                )
                _ = reader.receive(line("", symbol: "B", price: text, quantity: other) + "\n")
                _ = reader.receive(
                    #"{"type":"quote","symbol":"B","bid":\#(text),"bid_quantity":\#(other),"ask":\#(other),"ask_quantity":\#(text)}"#
                        + "\n"
                )
            }
        }
        #expect(reader.heard.trades.count == 12)
    }

    @Test("makes units finer when decimals are lost otherwise, and says so first")
    func growsUnits() throws {
        var reader = Reader()
        _ = reader.receive(numbers("10.5", "1") + "\n" + numbers("10.500", "1.0") + "\n")
        #expect(reader.heard.statuses.count == 1, "zeros at the end need no finer units")
        #expect(reader.receive(numbers("10.505", "0.25") + "\n").refusals == [])
        #expect(reader.table.all[0].priceScale == 3 && reader.table.all[0].quantityScale == 2)
        #expect(reader.heard.statuses.last == MarketStatus(.live, .unitsChanged))
        #expect(reader.heard.log.suffix(2).map { String($0.prefix(6)) } == ["status", "trade "])
        #expect(reader.heard.trades.last?.trade.price.ticks == 10_505)
        #expect(reader.receive(numbers("10.5", "1") + "\n").refusals == [])
        #expect(reader.heard.trades.last?.trade.price.ticks == 10_500)
        let refused = reader.receive(numbers("9223372036854775.807", "0.1") + "\n" + numbers("1000000", "1e17") + "\n")
        #expect(refused.refusals.map(\.error) == [.tooLarge(.quantity)])
        #expect(reader.table.all[0].quantityScale == 2)
    }

    @Test("refuses a line that is too long at once, and reads on behind it", arguments: [1, 100, 4_096, 5_000, 20_000])
    func longLines(size: Int) {
        func padded(_ count: Int) -> [UInt8] {
            let text = line("")
            return Array((text + String(repeating: " ", count: count - text.utf8.count) + "\n").utf8)
        }
        var reader = Reader()
        let bytes = padded(4_096) + padded(4_097) + padded(9_000) + padded(4_096)
        var refusals: [LineFeed.Refusal] = []
        for start in stride(from: 0, to: bytes.count, by: size) {
            refusals += reader.receive(Array(bytes[start..<min(start + size, bytes.count)])).refusals
        }
        #expect(
            refusals == [.init(line: 2, error: .tooLong(most: 4_096)), .init(line: 3, error: .tooLong(most: 4_096))]
        )
        #expect(reader.heard.trades.count == 2 && reader.feed.lineCount == 4)
    }

    @Test("cuts the connection at ten bad lines within a minute and reads no more")
    func cutsOff() {
        var reader = Reader()
        #expect(!reader.receive(String(repeating: "x\n", count: 9)).isCut)
        let verdict = reader.receive("x\n" + Self.trade + "\n")
        #expect(verdict.isCut && verdict.refusals.count == 1)
        #expect(reader.heard.trades.isEmpty)
        #expect(reader.receive(Self.trade + "\n") == LineFeed.Verdict(isCut: true))
        #expect(reader.feed.badLineCount == 10)
    }

    @Test(
        "lets a tenth bad line be when the first is a minute old",
        arguments: [(59_999_999_999, true), (60_000_000_000, false)] as [(Int64, Bool)]
    )
    func forgives(agoNs: Int64, isCut: Bool) {
        var reader = Reader()
        _ = reader.receive("x\n")
        reader.now += agoNs
        #expect(!reader.receive(String(repeating: "x\n", count: 8)).isCut)
        #expect(reader.receive("x\n").isCut == isCut)
        #expect(reader.receive("x\n").isCut, "the last ten came at once")
    }

    @Test("makes no more instruments than its setting says, over all connections")
    func boundsInstruments() {
        var reader = Reader(settings: .init(instrumentsMost: 100))
        for index in 0..<100 { #expect(reader.receive(line("", symbol: "S\(index)") + "\n").refusals == []) }
        #expect(
            reader.receive(line("", symbol: "S100") + "\n").refusals.map(\.error) == [.tooManyInstruments(most: 100)]
        )
        #expect(reader.receive(line("", symbol: "S7") + "\n").refusals == [])
        reader.feed = LineFeed(.init(instrumentsMost: 100))
        #expect(reader.receive(line("", symbol: "S99") + "\n").refusals == [], "another connection may name it")
        #expect(reader.receive(line("", symbol: "T") + "\n").refusals.count == 1)
        #expect(reader.table.all.count == 100 && reader.feed.instruments == [InstrumentID(99)])
    }

    @Test("stands any bytes", arguments: 0..<40 as Range<UInt64>)
    func standsAnything(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let seeds = Self.badLines.map(\.0) + [Self.trade, Self.quote]
        for _ in 0..<100 {
            var bytes: [UInt8] = [UInt8.random(in: 0...255, using: &random)]
            for _ in 0..<4 { bytes += Array((seeds.randomElement(using: &random) ?? "").utf8) + [0x0A] }
            for _ in 0..<Int.random(in: 0...8, using: &random) {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            bytes.withUnsafeBytes { LineFeed.fuzz($0) }
        }
    }
}

/// A trade line with further members behind the required ones.
private func line(_ members: String, symbol: String = "A", price: String = "2", quantity: String = "1") -> String {
    #"{"type":"trade","symbol":"\#(symbol)","price":\#(price),"quantity":\#(quantity)"#
        + (members.isEmpty ? "}" : ",\(members)}")
}

private func numbers(_ price: String, _ quantity: String) -> String { line("", price: price, quantity: quantity) }

private struct Reader {
    var feed: LineFeed
    var table = InstrumentTable()
    var heard = Heard()
    var now: Int64 = 1_767_225_600_000_000_000

    init(settings: LineFeed.Settings = .init()) { feed = LineFeed(settings) }

    mutating func receive(_ text: String) -> LineFeed.Verdict { receive(Array(text.utf8)) }

    mutating func receive(_ bytes: [UInt8]) -> LineFeed.Verdict {
        bytes.withUnsafeBytes { feed.receive($0, receivedNs: now, table: &table, into: &heard) }
    }

    /// A whole number in the units of the only instrument.
    func units(_ number: Int64, _ scale: KeyPath<Instrument, UInt8>) -> Int64 {
        (0..<table.all[0][keyPath: scale]).reduce(number) { units, _ in units * 10 }
    }
}

private struct Heard: MarketEventSink {
    var trades: [(event: MarketEvent, trade: Trade)] = []
    var quotes: [(event: MarketEvent, quote: Quote)] = []
    var statuses: [MarketStatus] = []
    var log: [String] = []

    mutating func receive(_ event: MarketEvent, levels: Span<LevelChange>) {
        switch event.payload {
        case .trade(let trade):
            trades.append((event, trade))
            log.append("trade \(trade.price.ticks) \(trade.quantity.lots) \(trade.id.text) \(event.eventNs)")
        case .quote(let quote):
            quotes.append((event, quote))
            log.append("quote \(quote.bid) \(quote.ask)")
        case .status(let status):
            statuses.append(status)
            log.append("status \(status)")
        case .ticker, .candle, .bookSnapshot, .bookDelta, .order:
            log.append("unexpected")
        }
    }
}
