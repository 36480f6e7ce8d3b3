import Foundation
import Hub
import Testing

private let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()

private func text(_ path: String) throws -> String {
    try String(contentsOf: root.appendingPathComponent(path), encoding: .utf8)
}

/// The rows of a table without quoted cells, without its header.
private func rows(_ path: String) throws -> [[String]] {
    try text(path).split(separator: "\n").dropFirst().map { line in
        line.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    }
}

@Suite("The tables of errors")
struct ErrorTablesTests {
    @Test("have the same codes, reasons and kinds as the hub")
    func equalCode() throws {
        let table = try rows("Proto/errors.csv")
        let code = Refusal.Code.allCases.map { ["\($0.rawValue)", $0.reason, $0.isTemporary ? "yes" : "no"] }
        #expect(table.map { Array($0.prefix(3)) } == code)
    }

    @Test(
        "say the same in Proto and in Docs/ERRORS.md",
        arguments: [("Proto/errors.csv", "| code | reason |"), ("Proto/close_codes.csv", "| code | name |")]
    )
    func equalPage(path: String, header: String) throws {
        let lines = try text("Docs/ERRORS.md").components(separatedBy: "\n")
        let start = try #require(lines.firstIndex { $0.hasPrefix(header) })
        let page = lines[(start + 2)...].prefix { $0.hasPrefix("|") }
        let table = try rows(path)
        #expect(table.allSatisfy { $0.count == 5 && $0.allSatisfy { !$0.isEmpty } })
        #expect(Array(page) == table.map { "| \($0[0]) | `\($0[1])` | \($0[2]) | \($0[3]) | \($0[4]) |" })
    }

    @Test("have close codes that a server may send, each once and in order")
    func closeCodes() throws {
        let codes = try rows("Proto/close_codes.csv").compactMap { $0.first.flatMap { Int($0) } }
        #expect(codes == Set(codes).sorted())
        #expect(codes.allSatisfy { (1000...1011).contains($0) || (3000...3999).contains($0) })
    }
}
