import Feeds
import Testing

@Suite("The scanner")
struct JSONScannerTests {
    private func read(_ text: String) throws -> FrameValue {
        try Array(text.utf8).withUnsafeBytes { bytes in
            var scanner = JSONScanner(bytes)
            let value = try scanner.value()
            try scanner.finish()
            return value
        }
    }

    @Test(
        "takes what RFC 8259 allows",
        arguments: [
            "null", "true", "false", "0", "-0", "1", "-1.5", "1e5", "1E-5", "0.0001e+10", #""""#,
            #""a\"b\\\/\b\f\n\r\t\u00e9""#,
            "[]", "{}", "[1,2]", " [ 1 , 2 ] ", #"{"a":1}"#, #" { "a" : [ { } , [ ] ] } "#,
            #""a string of more than eight bytes""#,
            String(repeating: "[", count: 64) + String(repeating: "]", count: 64),
        ]
    )
    func good(text: String) throws { _ = try read(text) }

    @Test(
        "refuses what RFC 8259 does not allow",
        arguments: [
            "", " ", "nul", "nulll", "tru", "TRUE", "01", "-", "+1", "1.", ".5", "1e", "1e+", "--1", "0x1", "1 2",
            "[1,]", "[,1]",
            "[1 2]", "[", "]", "{", "}", "{,}", #"{"a"}"#, #"{"a":}"#, #"{"a":1,}"#, #"{a:1}"#, #"{"a":1 "b":2}"#,
            #"{1:2}"#, "[}", "{]",
            #"""#, #""a"#, #""\x""#, #""\u12g4""#, #""\u12"#, "\"\n\"", "\"1234567\u{1}\"", "'a'", "\u{0}", "[1]\u{0}",
            "NaN",
            String(repeating: "[", count: 65) + String(repeating: "]", count: 65),
            String(repeating: "[", count: 100_000),
        ]
    )
    func bad(text: String) { #expect(throws: FrameFault.self) { try read(text) } }

    @Test("refuses leading zeros however long the number is", arguments: ["00", "01.5", "0012345.50", "00000000.1"])
    func leadingZeros(text: String) {
        for spelling in ["\"\(text)\"", "\"\(text)\"         "] {
            #expect(throws: FrameFault.self) {
                try Array(spelling.utf8).withUnsafeBytes { bytes in
                    var scanner = JSONScanner(bytes)
                    _ = try scanner.number()
                }
            }
        }
    }

    @Test(
        "reads decimals exactly, quoted or not, wherever they end",
        arguments: [
            ("0", 0, 0, 0), ("7", 7, 0, 0), ("0.10", 1, 1, 2), ("61837.63000000", 6_183_763, 2, 8),
            ("0.02000000", 2, 2, 8),
            ("0.00000000", 0, 0, 8), ("0.000022900", 229, 7, 9), ("13355.87450757", 1_335_587_450_757, 8, 8),
            ("1234567.12345678", 123_456_712_345_678, 8, 8), ("12345678.5", 123_456_785, 1, 1), ("1e-8", 1, 8, 8),
            ("5E+3", 5_000, 0, 0), ("-12.50", -125, 1, 2), ("100", 100, 0, 0), ("9223372036854775807", Int64.max, 0, 0),
        ]
    )
    func decimals(text: String, digits: Int64, scale: UInt8, written: UInt8) throws {
        let wanted = VenueNumber(digits: digits, scale: scale, written: written)
        for padding in ["", ",", "]", "},                                "] {
            for spelling in [text + padding, "\"\(text)\"\(padding)"] {
                let found = try Array(spelling.utf8).withUnsafeBytes { bytes in
                    var scanner = JSONScanner(bytes)
                    return try scanner.number()
                }
                #expect(found == wanted, "\(spelling)")
            }
        }
    }

    @Test(
        "refuses what is no decimal",
        arguments: [
            "", "a", "\"\"", "\"a\"", "\"1", "1.", "\"1.\"", "\".5\"", "\"1.2.3\"", "\"1 \"", "\" 1\"", "null", "[1]",
            "{}", "00.5", "\"00.5\"",
            "9223372036854775808", "\"12345678901234567890\"", "1e99", "\"0.0000000000000000001\"", "\"1a345678\"",
        ]
    )
    func notDecimals(text: String) {
        #expect(throws: FrameFault.self) {
            _ = try Array(text.utf8).withUnsafeBytes { bytes in
                var scanner = JSONScanner(bytes)
                let number = try scanner.number()
                try scanner.finish()
                return number
            }
        }
    }

    @Test(
        "reads times",
        arguments: [
            ("2021-04-17T16:43:37.075687Z", 1_618_677_817_075_687_000), ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T23:59:59.999999999Z", 951_868_799_999_999_999),
            ("2024-12-31T00:00:00.5Z", 1_735_603_200_500_000_000),
            ("2024-12-31T00:00:00.1234567Z", 1_735_603_200_123_456_700),
            ("2024-12-31T00:00:00.12345678Z", 1_735_603_200_123_456_780),
            ("2024-12-31T00:00:00.123456789Z", 1_735_603_200_123_456_789),
            ("2261-12-31T23:59:60.000000001Z", 9_214_646_400_000_000_001),
        ] as [(String, Int64)]
    )
    func times(text: String, wanted: Int64) throws {
        let found = try Array("\"\(text)\"".utf8).withUnsafeBytes { bytes in
            var scanner = JSONScanner(bytes)
            return try JSONScanner.isoTimeNs(scanner.value(), in: bytes)
        }
        #expect(found == wanted)
    }

    @Test(
        "refuses what is no time",
        arguments: [
            "", "2021", "2021-04-17 16:43:37Z", "2021-13-17T16:43:37Z", "2021-04-17T24:43:37Z", "1969-04-17T16:43:37Z",
            "2021-04-17T16:43:37.Z", "2021-04-17T16:43:37.0123456789Z", "2021-04-17T16:43:37", "2o21-04-17T16:43:37Z",
            "2021-04-17t16:43:37Z", "2021/04-17T16:43:37Z", "2021-04/17T16:43:37Z", "2021-04-17T16-43:37Z",
            "2021-04-17T16:43-37Z", "2021-04-17T16:43:37.0z", "2021-04-17T16:43:37,0Z", "2021-04-17T16:43:3/Z",
            "2021-04-17T16:43:37.x1234567Z", "2021-04-17T16:43:37.x12345678Z", "2021-04-17T16:43:37.01234:Z",
            "2021-04-32T16:43:37Z", "2021-00-17T16:43:37Z", "2262-04-17T16:43:37Z", "2021-04-17T16:60:37Z",
            "2021-04-17T16:43:61Z",
        ]
    )
    func notTimes(text: String) {
        #expect(throws: FrameFault.self) {
            try Array("\"\(text)\"".utf8).withUnsafeBytes { bytes in
                var scanner = JSONScanner(bytes)
                return try JSONScanner.isoTimeNs(scanner.value(), in: bytes)
            }
        }
    }

    @Test("resolves escapes where a name is wanted")
    func escapes() throws {
        let text = #""XBT\/\u0043\"\n""#
        let found = try Array(text.utf8).withUnsafeBytes { bytes in
            var scanner = JSONScanner(bytes)
            return try scanner.value().string(in: bytes)
        }
        #expect(found == "XBT/C\"\n")
    }
}
