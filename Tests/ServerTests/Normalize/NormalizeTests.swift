import Foundation
import Server
import Testing

/// Recorded venue traffic beside the package.
private enum Captures {
    static let root = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "../shared/captures").standardizedFileURL

    static let arePresent = FileManager.default.fileExists(atPath: root.appending(path: "README.md").path)

    static func path(_ name: String) -> String { root.appending(path: name).path }
}

/// The keys of all rows.
private struct Row: Decodable {
    var type: String
    var line: Int
    var symbol: String
    var raw_symbol: String
    var side: String?
    var price: String?
    var quantity: String?
    var event_ns: Int64
    var received_ns: Int64
    var id: String?
    var flags: [String]
    var bids: [[String]]?
    var asks: [[String]]?
    var state: String?
    var reason: String?
}

private struct Output {
    var rows: [Row] = []
    var complaints: [String] = []
    var report = NormalizeReport()
}

private func run(_ options: NormalizeOptions) throws -> Output {
    var output = Output()
    var bytes: [UInt8] = []
    output.report = try normalize(
        options,
        write: { bytes.append(contentsOf: $0) },
        complain: { output.complaints.append($0) }
    )
    let decoder = JSONDecoder()
    output.rows = try bytes.split(separator: 10).map { try decoder.decode(Row.self, from: Data($0)) }
    #expect(output.report.rows == output.rows.count)
    return output
}

private func temporaryFile(_ text: String) throws -> String {
    let path = FileManager.default.temporaryDirectory.appending(path: "normalize-\(UUID().uuidString).cap").path
    try Data(text.utf8).write(to: URL(filePath: path))
    return path
}

@Suite("Normalizing recordings")
struct NormalizeTests {
    private static let snapshot =
        #"{"type":"snapshot","product_id":"A-B","bids":[["1.50","2"],["1.40","3"]],"asks":[["1.60","1.0"]]}"#
    private static let match =
        #"{"type":"match","trade_id":7,"side":"sell","size":"0.250","price":"1.55","product_id":"A-B","#
        + #""time":"2021-04-17T16:43:37.089723Z"}"#

    @Test("writes each kind of row with its keys, numbers without trailing zeros")
    func rows() throws {
        let update = #"{"type":"l2update","product_id":"A-B","changes":[["buy","1.50","0.00"]]}"#
        let path = try temporaryFile("5\t1\tR\t\(Self.snapshot)\n6\t1\tR\t\(Self.match)\n7\t1\tR\t\(update)")
        defer { try? FileManager.default.removeItem(atPath: path) }
        let output = try run(NormalizeOptions(venue: "coinbase", files: [path]))
        #expect(output.rows.map(\.type) == ["status", "book", "status", "status", "book", "trade", "book"])
        #expect(output.rows.map(\.line) == [1, 1, 1, 2, 2, 2, 3])
        let book = try #require(output.rows.dropFirst().first)
        #expect(book.bids == [["1.5", "2"], ["1.4", "3"]])
        #expect(book.asks == [["1.6", "1"]])
        #expect(book.flags == ["SNAPSHOT", "LAST", "TS_EVENT_MISSING"])
        #expect(output.rows[3].state == "live")
        #expect(output.rows[3].reason == "units_changed")
        let trade = output.rows[5]
        #expect(trade.side == "buy")
        #expect(trade.price == "1.55")
        #expect(trade.quantity == "0.25")
        #expect(trade.event_ns == 1_618_677_817_089_723_000)
        #expect(trade.received_ns == 6)
        #expect(trade.id == "7")
        #expect(output.rows[6].bids == [["1.4", "3"]])
        #expect(output.complaints == ["3 lines, 0 bad, 7 rows"])
    }

    @Test("reads a recording with the settings that its file names, and looks at its timers where it was done live")
    func settings() throws {
        let first = [
            "0\t0\tM\tfile\tcoinbase\tcoinbase\t1\t1", "0\t0\tM\tsettings\tquietMs=1", "1\t1\tC\twss://a",
            "2\t1\tR\t\(Self.snapshot)", "1000002\t1\tM\twatched", "1000003\t1\tM\twatched", "2000003\t1\tM\twatched",
            "2000004\t1\tM\tlost\tsilence", "2000004\t1\tM\tended",
        ]
        // Another run, which calls no book quiet.
        let second = [
            "3000000\t0\tM\tfile\tcoinbase\tcoinbase\t2\t1", "3000000\t1\tC\twss://a",
            "3000001\t1\tR\t\(Self.snapshot)",
            "9000000\t1\tM\twatched",
        ]
        let paths = try [first, second].map { try temporaryFile($0.joined(separator: "\n") + "\n") }
        defer { for path in paths { try? FileManager.default.removeItem(atPath: path) } }
        var options = NormalizeOptions(venue: "coinbase", files: paths)
        options.emits = [.status]
        let output = try run(options)
        let told = output.rows.map { "\($0.line) \($0.state ?? "") \($0.reason ?? "")" }
        #expect(
            told == [
                "4 connected started", "4 live none", "6 stale silence", "7 resyncing silence",
                "8 disconnected silence",
                "3 connected started", "3 live none",
            ]
        )
        #expect(output.complaints == ["13 lines, 0 bad, 7 rows"])
    }

    @Test("reports bad lines with file and number, goes on, and stops only when strict")
    func badLines() throws {
        let lines = [
            "5\t1\tR\t\(Self.match)", "", "x\t1\tR\t{}", "5\t1\tQ\t{}", "5\t1\tR", "5\t1\tR\t{", "5\t0\tH\tno tab",
            "99999999999999999999\t1\tR\t{}", "5\t4294967296\tR\t{}",
            "6\t1\tR\t\(Self.match.replacing("7", with: "8"))",
        ]
        let path = try temporaryFile(lines.joined(separator: "\n") + "\n")
        defer { try? FileManager.default.removeItem(atPath: path) }
        var options = NormalizeOptions(venue: "coinbase", files: [path])
        options.emits = [.trades]
        let output = try run(options)
        #expect(output.report.lines == 10)
        #expect(output.report.badLines == 8)
        #expect(output.rows.count == 2)
        #expect(
            output.complaints.dropLast().map { $0.split(separator: ":")[1] } == [
                "2", "3", "4", "5", "6", "7", "8", "9",
            ]
        )
        #expect(output.report.exitStatus == 0)
        options.isStrict = true
        let strict = try run(options)
        #expect(strict.rows.count == 1)
        #expect(strict.report.lines == 2)
        #expect(strict.report.exitStatus == 1)
    }

    @Test("says what is wrong with the command")
    func errors() throws {
        #expect(throws: NormalizeError.cannotRead(path: "/no/such/file")) {
            try run(NormalizeOptions(venue: "kraken", files: ["/no/such/file"]))
        }
        #expect(throws: NormalizeError.self) { try run(NormalizeOptions(venue: "krakn", files: [])) }
        #expect(throws: NormalizeError.self) { try run(NormalizeOptions(venue: "kraken", files: ["/tmp"])) }
    }

    @Test("reads packed recordings, and tells of one that ends too early")
    func damaged() throws {
        guard Captures.arePresent else { return }
        let whole = try Data(contentsOf: URL(filePath: Captures.path("binance/binance-A.cap.gz")))
        let path = FileManager.default.temporaryDirectory.appending(path: "cut-\(UUID().uuidString).cap.gz").path
        try whole.prefix(whole.count / 2).write(to: URL(filePath: path))
        defer { try? FileManager.default.removeItem(atPath: path) }
        #expect(throws: NormalizeError.self) { try run(NormalizeOptions(venue: "binance", files: [path])) }
    }

    @Test("reads the whole lines of a recording that was cut before its end, then says so")
    func cut() throws {
        // Two lines and the beginning of a third, packed without compression and left without an end.
        let lines = "1\t1\tR\t{}\n2\t1\tR\t{}\n3\t1\tR"
        let size = UInt16(lines.utf8.count)
        var bytes: [UInt8] = [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 3, 1]
        for part in [size, ~size] { bytes += [UInt8(part & 0xFF), UInt8(part >> 8)] }
        let path = FileManager.default.temporaryDirectory.appending(path: "cut-\(UUID().uuidString).cap.gz").path
        try Data(bytes + lines.utf8).write(to: URL(filePath: path))
        defer { try? FileManager.default.removeItem(atPath: path) }
        var reader = try CaptureReader(path: path)
        for number in 1...2 {
            guard case .text(let text)? = try reader.next() else {
                Issue.record("line \(number) is missing")
                return
            }
            #expect(String(decoding: text, as: UTF8.self) == "\(number)\t1\tR\t{}")
        }
        for _ in 0..<2 {
            do {
                _ = try reader.next()
                Issue.record("nothing was said of the end")
            } catch CaptureReader.Failure.damaged {
                continue
            }
        }
    }

    @Test("reads a file of FIX messages, whose times of receiving are those of sending")
    func fix() throws {
        func message(_ body: String) -> String {
            let head = "8=FIX.4.4|9=\(body.utf8.count)|" + body
            let sum = String(head.replacing("|", with: "\u{1}").utf8.reduce(UInt8(0)) { $0 &+ $1 })
            return head + "10=" + String(repeating: "0", count: 3 - sum.count) + sum + "|"
        }
        let messages = [
            message("35=W|52=20240102-10:00:00.5|1181=1|55=A|268=2|269=0|270=1.5|271=2|269=1|270=1.6|271=1|"),
            message("35=X|52=20240102-10:00:01|1181=2|268=1|279=0|269=2|55=A|270=1.55|271=0.25|1003=T|"),
            message("35=X|52=20240102-10:00:01|1181=2|268=1|279=0|269=2|55=A|270=1.55|271=0.25|1003=T|"),
            message("35=X|52=20240102-10:00:02|1181=3|268=1|279=0|269=0|55=A|270=x|271=1|"),
        ]
        let file = try temporaryFile(("noise" + messages.joined()).replacing("|", with: "\u{1}"))
        defer { try? FileManager.default.removeItem(atPath: file) }
        var options = NormalizeOptions(venue: "fix", files: [file])
        options.finalBooks = 5
        let output = try run(options)
        #expect(output.report.lines == 4)
        #expect(output.report.badLines == 1)
        #expect(output.complaints.first == "\(file):4: no number, or one too long, at offset 75")
        #expect(
            output.complaints.dropFirst() == [
                "\(file): 5 bytes belong to no message", "4 messages, 1 bad, 1 repeated, 0 gaps, 7 rows",
            ]
        )
        #expect(output.rows.map(\.type) == ["status", "book", "status", "status", "book", "trade", "book"])
        #expect(output.rows.map(\.line) == [1, 1, 1, 2, 2, 2, 4])
        #expect(output.rows[1].received_ns == 1_704_189_600_500_000_000)
        #expect(output.rows[5].received_ns == 1_704_189_601_000_000_000)
        #expect(output.rows[5].price == "1.55")
        options.isStrict = true
        #expect(try run(options).report.exitStatus == 1)
        options.instrumentsPath = file
        #expect(throws: NormalizeError.self) { try run(options) }
        #expect(throws: NormalizeError.cannotRead(path: "/no/such")) {
            try run(NormalizeOptions(venue: "fix", files: ["/no/such"]))
        }
    }

    @Test("reads DBN files, stops at the first bad record when strict, and says what to do with packed ones")
    func dbn() throws {
        let fixtures = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "Fixtures")
        let good = fixtures.appending(path: "trades-ts-out.v1.dbn")
        var options = NormalizeOptions(venue: "dbn", files: [good.path])
        let output = try run(options)
        #expect(output.rows.map(\.line) == [1, 1, 2, 3])
        #expect(output.rows.dropFirst().map(\.price) == ["3720.25", "3720.5", "3720.5"])
        #expect(output.complaints == ["3 records, 0 bad, 0 instruments defined, 4 rows"])
        var bytes = try Data(contentsOf: good)
        bytes[bytes.count - 2 * 56 + 1] = 0x7F
        let bad = FileManager.default.temporaryDirectory.appending(path: "bad-\(UUID().uuidString).dbn")
        defer { try? FileManager.default.removeItem(at: bad) }
        try bytes.write(to: bad)
        options.files = [bad.path]
        let tolerant = try run(options)
        #expect(tolerant.rows.count == 3 && tolerant.report.badLines == 1 && tolerant.report.exitStatus == 0)
        #expect(tolerant.complaints.first == "\(bad.path):2: an unknown kind of message")
        options.isStrict = true
        let strict = try run(options)
        #expect(strict.rows.count == 2 && strict.report.exitStatus == 1)
        try Data([0x28, 0xB5, 0x2F, 0xFD, 0, 0, 0, 0]).write(to: bad)
        do {
            _ = try run(options)
            Issue.record("nothing was said of the packing")
        } catch let error as NormalizeError {
            #expect(error.description.contains("zstd -d"))
        }
    }

    @Test(
        "gives the trades and books of the goldens, with a list of instruments and without",
        .enabled(if: Captures.arePresent, "the captures are not beside the package"),
        arguments: [
            ("coinbase", "coinbase/coinbase-A.cap.gz", "coinbase/golden-coinbase-A", "coinbase"),
            ("binance", "binance/binance-A.cap.gz", "binance/golden-binance-A", "binance"),
            (
                "binance-usdm", "binance_futures/binance_futures-A.cap.gz", "binance_futures/golden-binance_futures-A",
                "binance_futures"
            ),
            ("kraken", "kraken/kraken-A.cap.gz", "kraken/golden-kraken-A", "kraken"),
            ("okx", "okx/okx-A.cap.gz", "okx/golden-okx-A", "okx"),
            ("bitstamp", "bitstamp/bitstamp-A.cap.gz", "bitstamp/golden-bitstamp-A", "bitstamp"),
        ],
        [true, false]
    )
    func goldens(capture: (venue: String, path: String, golden: String, list: String), hasList: Bool) throws {
        struct Final: Decodable {
            var bids: [[String]]
            var asks: [[String]]
        }
        var options = NormalizeOptions(venue: capture.venue, files: [Captures.path(capture.path)])
        options.finalBooks = 20
        options.emits = [.trades, .book]
        if hasList { options.instrumentsPath = Captures.path("instruments/\(capture.list).json") }
        let output = try run(options)
        #expect(output.report.badLines == 0)
        let file = URL(filePath: Captures.path(capture.golden + "/book_final.json"))
        let finals = try JSONDecoder().decode([String: Final].self, from: Data(contentsOf: file))
        for (symbol, final) in finals {
            // The last two rows of a book: after its last update, and at the end.
            for row in output.rows.filter({ $0.type == "book" && $0.symbol == symbol }).suffix(2) {
                #expect(row.bids == final.bids, "\(symbol)")
                #expect(row.asks == final.asks, "\(symbol)")
            }
        }
        let stats = try JSONSerialization.jsonObject(
            with: Data(contentsOf: URL(filePath: Captures.path(capture.golden + "/stats.json")))
        )
        let callbacks = (stats as? [String: Any])?["callbacks"] as? [String: Int]
        #expect(output.rows.filter { $0.type == "trade" }.count == callbacks?["trades"])
    }
}
