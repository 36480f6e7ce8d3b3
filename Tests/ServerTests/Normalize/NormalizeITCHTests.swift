import Foundation
import Server
import Testing

private let captures = URL(filePath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().appending(path: "../shared/captures").standardizedFileURL
private let recording = captures.appending(path: "itch/ritch-ALC-BOB.itch50.gz").path

@Suite(
    "Normalizing ITCH",
    .enabled(if: FileManager.default.fileExists(atPath: recording), "no captures beside the package")
)
struct NormalizeITCHTests {
    private struct Row: Decodable {
        var type: String
        var line: Int
        var symbol: String
        var raw_symbol: String
        var price: String?
        var event_ns: Int64
        var received_ns: Int64
        var flags: [String]
    }

    private func run(_ options: NormalizeOptions) throws -> (rows: [Row], complaints: [String], report: NormalizeReport)
    {
        var bytes: [UInt8] = []
        var complaints: [String] = []
        let report = try normalize(
            options,
            write: { bytes.append(contentsOf: $0) },
            complain: { complaints.append($0) }
        )
        let decoder = JSONDecoder()
        let rows = try bytes.split(separator: 10).map { try decoder.decode(Row.self, from: Data($0)) }
        return (rows, complaints, report)
    }

    private func options(_ files: [String]) -> NormalizeOptions {
        var options = NormalizeOptions(venue: "itch", files: files)
        options.sessionDate = "2010-12-24"
        return options
    }

    @Test("writes rows as for other venues, at the time of New York's day")
    func rows() throws {
        var options = options([recording])
        options.finalBooks = 3
        let (rows, complaints, report) = try run(options)
        #expect(report.lines == 8_382 && report.badLines == 0 && report.rows == rows.count)
        #expect(rows.count { $0.type == "trade" } == 3_705)
        let first = try #require(rows.first { $0.type == "trade" })
        #expect(first.symbol == "BOB-USD" && first.raw_symbol == "BOB")
        // 09:07:37.604189 or later in New York, which is five hours behind in winter.
        #expect((1_293_166_800_000_000_000..<1_293_253_200_000_000_000).contains(first.event_ns))
        #expect(first.received_ns == first.event_ns)
        #expect(rows.suffix(2).allSatisfy { $0.type == "book" && $0.flags.contains("SNAPSHOT") })
        #expect(complaints.last == "8382 messages, 0 bad, \(rows.count) rows")
    }

    @Test("says where a file is cut, and what of it came before")
    func cut() throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "cut-\(UUID().uuidString).itch50").path
        let head = [0, 12, 83] + [UInt8](repeating: 0, count: 11) + [0, 19, 68]
        try Data(head).write(to: URL(filePath: path))
        var options = options([path])
        let (_, complaints, report) = try run(options)
        #expect(report.lines == 1 && report.badLines == 1 && !report.isStopped)
        #expect(complaints.first == "\(path):2: the file ends inside a message")
        options.isStrict = true
        #expect(try run(options).report.exitStatus == 1)
    }

    @Test("wants the day", arguments: [nil, "2010-02-30", "today"] as [String?])
    func date(date: String?) throws {
        var options = NormalizeOptions(venue: "itch", files: [recording])
        options.sessionDate = date
        #expect(throws: NormalizeError.badSessionDate(date)) { _ = try run(options) }
    }
}
