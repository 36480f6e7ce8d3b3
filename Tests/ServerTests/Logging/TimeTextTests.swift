import Server
import Testing

@Suite("The time in a log line")
struct TimeTextTests {
    @Test(
        "writes times as RFC 3339 with microseconds",
        arguments: [
            (0, "1970-01-01T00:00:00.000000Z"), (-1, "1969-12-31T23:59:59.999999Z"),
            (951_782_400_000_000_000, "2000-02-29T00:00:00.000000Z"),
            (951_868_799_999_999_999, "2000-02-29T23:59:59.999999Z"),
            (4_107_542_400_000_000_000, "2100-03-01T00:00:00.000000Z"),
            (1_769_903_999_000_001_000, "2026-01-31T23:59:59.000001Z"), (.max, "2262-04-11T23:47:16.854775Z"),
            (.min, "1677-09-21T00:12:43.145224Z"),
        ] as [(Int64, String)]
    )
    func times(utcNs: Int64, expected: String) { #expect(TimeText.text(utcNs: utcNs) == expected) }
}
