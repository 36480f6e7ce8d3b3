import Foundation
import Market
import Testing

@testable import Wire

private func text(_ write: (inout OutputBytes) -> Void) -> String {
    var out = OutputBytes(capacity: 1)
    write(&out)
    return out.withBytes { String(decoding: $0, as: UTF8.self) }
}

private func time(_ ns: Int64) -> String {
    text { out in
        out.reserve(TextLength.timeMost)
        var at = out.end
        at.put(timeNs: ns)
        out.advance(to: at)
    }
}

@Suite("Text as clients read it")
struct TextWritingTests {
    @Test(
        "has decimals without trailing zeros and without exponents",
        arguments: [
            (5_000_000, 2, "50000"), (150_000_000, 8, "1.5"), (0, 0, "0"), (0, 18, "0"),
            (1, 18, "0.000000000000000001"),
            (-1, 2, "-0.01"), (-100, 2, "-1"), (10, 2, "0.1"), (99, 2, "0.99"), (100, 2, "1"), (101, 2, "1.01"),
            (.max, 0, "9223372036854775807"), (.min, 18, "-9.223372036854775808"), (.max, 18, "9.223372036854775807"),
            (1_000_000_000_000_000_000, 18, "1"), (120, 0, "120"),
        ] as [(Int64, UInt8, String)]
    )
    func decimals(units: Int64, scale: UInt8, expected: String) {
        #expect(text { $0.append(units: units, scale: scale) } == expected)
    }

    @Test("has the same decimals as the model writes", arguments: 0..<4 as Range<UInt64>)
    func sameDecimals(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        for _ in 0..<5_000 {
            let number = Market.Decimal(
                digits: Int64(bitPattern: random.anyLength()),
                scale: UInt8(random.next() % 19)
            )
            #expect(text { $0.append(units: number.digits, scale: number.scale) } == number.text)
        }
    }

    @Test("has whole numbers of every length")
    func integers() {
        var power: UInt64 = 1
        for _ in 0..<20 {
            for value in [power - 1, power, power + 1] { #expect(text { $0.append(decimal: value) } == String(value)) }
            power = power.multipliedReportingOverflow(by: 10).partialValue
        }
        #expect(text { $0.append(decimal: .max) } == "18446744073709551615")
    }

    @Test(
        "has times of RFC 3339 in UTC with microseconds",
        arguments: [
            (0, "1970-01-01T00:00:00.000000Z"), (-1, "1969-12-31T23:59:59.999999Z"),
            (1_767_323_045_123_456_789, "2026-01-02T03:04:05.123456Z"),
            (951_782_400_000_000_000, "2000-02-29T00:00:00.000000Z"),
            (4_107_542_399_999_999_999, "2100-02-28T23:59:59.999999Z"),
            (4_107_542_400_000_000_000, "2100-03-01T00:00:00.000000Z"),
            (.max, "2262-04-11T23:47:16.854775Z"), (.min, "1677-09-21T00:12:43.145224Z"),
        ] as [(Int64, String)]
    )
    func times(ns: Int64, expected: String) {
        #expect(time(ns) == expected)
    }

    @Test("has the calendar of the system", arguments: 0..<2 as Range<UInt64>)
    func calendar(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        var calendar = Calendar(identifier: .gregorian)
        calendar.timeZone = try #require(TimeZone(identifier: "UTC"))
        for _ in 0..<2_000 {
            let seconds = Int64.random(in: 0..<9_000_000_000, using: &random)
            let parts = calendar.dateComponents(
                [.year, .month, .day, .hour, .minute, .second],
                from: Date(timeIntervalSince1970: Double(seconds))
            )
            let numbers = [parts.year, parts.month, parts.day, parts.hour, parts.minute, parts.second].map { $0 ?? -1 }
            let expected = String(
                format: "%04d-%02d-%02dT%02d:%02d:%02d.000000Z",
                numbers[0],
                numbers[1],
                numbers[2],
                numbers[3],
                numbers[4],
                numbers[5]
            )
            #expect(time(seconds * 1_000_000_000) == expected)
        }
    }

    @Test(
        "has strings escaped as JSON wants them",
        arguments: [
            ("", #""""#), ("BTC-USD", #""BTC-USD""#), ("a\"b\\c", #""a\"b\\c""#), ("\n\r\t", #""\n\r\t""#),
            ("\u{0}\u{1F}\u{7F}", #""\u0000\u001f\u007f""#), ("é€😀", #""é€😀""#),
        ]
    )
    func strings(value: String, expected: String) {
        #expect(text { $0.append(json: value) } == expected)
    }

    @Test("is UTF-8 even where the bytes were not")
    func brokenBytes() {
        #expect(text { out in ([0x61, 0xFF] as [UInt8]).withUnsafeBytes { out.append(json: $0) } } == "\"a\u{FFFD}\"")
    }
}
