import Testing

@testable import Server

@Suite("Points of a replay")
struct ReplayPointTests {
    @Test(
        "are times and offsets",
        arguments: [
            ("+10s", .offset(10_000_000_000)), ("+1h30m", .offset(5_400_000_000_000)),
            ("+2.5s", .offset(2_500_000_000)),
            ("+250ms", .offset(250_000_000)), ("+0s", .offset(0)), ("+1d2us3ns", .offset(86_400_000_002_003)),
            ("1970-01-01T00:00:00Z", .time(0)), ("2021-04-17T16:43:37.075687Z", .time(1_618_677_817_075_687_000)),
            ("2024-02-29T23:59:59.000000001z", .time(1_709_251_199_000_000_001)),
            ("2021-04-17T18:43:37+02:00", .time(1_618_677_817_000_000_000)),
            ("2021-04-17T11:13:37-05:30", .time(1_618_677_817_000_000_000)),
        ] as [(String, ReplayPoint)]
    )
    func read(text: String, point: ReplayPoint) { #expect(ReplayPoint(text) == point) }

    @Test(
        "that mean nothing are refused",
        arguments: [
            "", "+", "+10", "+s", "+1x", "10s", "-10s", "+1.2.3s", "+9999999999999999h", "2021-04-17",
            "2021-04-17T16:43:37",
            "2023-02-29T00:00:00Z", "2021-13-01T00:00:00Z", "2021-04-17T24:00:00Z", "2021-04-17T16:43:37.Z", "now",
            "2021-04-17T16:43:37+0200",
        ]
    )
    func refused(text: String) { #expect(ReplayPoint(text) == nil) }

    @Test(
        "of every time that is written are the time again",
        arguments: [0, 951_782_399, 951_868_800, 4_102_444_800] as [Int64]
    )
    func roundTrip(seconds: Int64) {
        let ns = seconds * 1_000_000_000 + 123_456_000
        #expect(TimeText.utcNs(of: TimeText.text(utcNs: ns)) == ns)
    }
}
