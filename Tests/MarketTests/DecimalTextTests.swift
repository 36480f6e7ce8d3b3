import Market
import Testing

@Suite("A decimal")
struct DecimalTextTests {
    static let readings: [(String, Int64, UInt8)] = [
        ("0", 0, 0), ("-0", 0, 0), ("0.10", 10, 2), ("-12.50", -1_250, 2), ("50000.1", 500_001, 1),
        ("007.5".dropped(2), 75, 1),
        ("1e-8", 1, 8), ("5e-05", 5, 5), ("5E+3", 5_000, 0), ("1.5e1", 15, 0), ("1.25e1", 125, 1), ("1.5e-2", 15, 3),
        ("0e5", 0, 0), ("0e-99", 0, 18), ("0.00000000", 0, 8), ("1e18", 1_000_000_000_000_000_000, 0),
        ("9223372036854775807", .max, 0), ("-9223372036854775807", -.max, 0), ("9.223372036854775807", .max, 18),
        ("0.000000000000000001", 1, 18), ("0.1000000000000000000", 100_000_000_000_000_000, 18), ("10e-19", 1, 18),
    ]

    @Test("is read with the digits that stand there", arguments: readings)
    func reads(text: String, digits: Int64, scale: UInt8) {
        #expect(Decimal(text) == Decimal(digits: digits, scale: scale))
    }

    @Test(
        "is nothing else",
        arguments: [
            "", "-", "+1", ".5", "1.", "-.5", "1.e5", "01", "-01", "00", "00.5", " 1", "1 ", "1,5", "0x10", "1e", "1e+",
            "1e-",
            "e5", "1e5.0", "1..2", "1.2.3", "--1", "NaN", "Infinity", "1\u{0}", "١", "9223372036854775808",
            "-9223372036854775808", "92233720368547758070", "1e19", "1e-19", "0.0000000000000000001", "1e999", "1e-999",
            "1e0000", "123456789012345678901234567890",
        ]
    )
    func refuses(text: String) {
        #expect(Decimal(text) == nil)
    }

    @Test(
        "is written as short as it can be, and padded with all its decimals",
        arguments: [
            (0, 0, "0", "0"), (0, 3, "0", "0.000"), (5, 1, "0.5", "0.5"), (50, 2, "0.5", "0.50"),
            (-50, 2, "-0.5", "-0.50"),
            (1_250, 2, "12.5", "12.50"), (-1, 8, "-0.00000001", "-0.00000001"), (500_000, 1, "50000", "50000.0"),
            (.max, 18, "9.223372036854775807", "9.223372036854775807"),
            (.min, 0, "-9223372036854775808", "-9223372036854775808"),
            (.min, 19 - 1, "-9.223372036854775808", "-9.223372036854775808"), (100, 0, "100", "100"),
        ] as [(Int64, UInt8, String, String)]
    )
    func writes(digits: Int64, scale: UInt8, text: String, padded: String) {
        let decimal = Decimal(digits: digits, scale: scale)
        #expect(decimal.text == text)
        #expect(decimal.paddedText == padded)
    }

    @Test(
        "is turned into other units without loss, or not at all",
        arguments: [
            (15, 1, 1, 15), (15, 1, 3, 1_500), (1_500, 3, 1, 15), (1_501, 3, 1, nil), (0, 5, 0, 0), (-20, 1, 0, -2),
            (1, 0, 18, 1_000_000_000_000_000_000), (10, 0, 18, nil), (.max, 0, 0, .max), (.max, 0, 1, nil),
            (.min, 0, 1, nil),
        ] as [(Int64, UInt8, UInt8, Int64?)]
    )
    func rescales(digits: Int64, scale: UInt8, wanted: UInt8, units: Int64?) {
        #expect(Decimal(digits: digits, scale: scale).units(atScale: wanted) == units)
    }

    @Test(
        "is read back from what it writes",
        arguments: [0, 1, -1, 10, 99, 12_345, -1_000_000, .max, -.max] as [Int64]
    )
    func roundTrips(digits: Int64) throws {
        for scale in UInt8(0)...18 {
            let decimal = Decimal(digits: digits, scale: scale)
            #expect(Decimal(decimal.paddedText) == decimal)
            let short = try #require(Decimal(decimal.text))
            #expect(short.units(atScale: scale) == digits)
        }
    }
}

extension String {
    fileprivate func dropped(_ count: Int) -> String { String(dropFirst(count)) }
}
