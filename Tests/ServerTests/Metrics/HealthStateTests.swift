import Server
import Testing

@Suite("The health of the hub")
struct HealthStateTests {
    private static let ms: Int64 = 1_000_000

    @Test(
        "is alive while every watched thread gives signs of life",
        arguments: [(5000, 200), (5001, 503)] as [(Int64, Int)]
    )
    func live(ageMs: Int64, status: Int) {
        let health = HealthState(stallMs: 5000)
        let (loop, feed) = (health.watch(thread: "io-0", atNs: 0), health.watch(thread: "feed", atNs: 0))
        loop.beat(atNs: 100 * Self.ms)
        feed.beat(atNs: (100 + ageMs) * Self.ms)
        let report = health.report(.live, isVerbose: false, atNs: (100 + ageMs) * Self.ms)
        #expect(report.status == status)
        if status == 200 {
            #expect(report.text == "livez check passed\n")
        } else {
            #expect(
                report.text == """
                    [-] thread io-0: last sign of life 5001 ms ago
                    [+] thread feed: last sign of life 0 ms ago
                    livez check failed

                    """
            )
            health.forget(loop)
            #expect(health.report(.live, isVerbose: false, atNs: (100 + ageMs) * Self.ms).status == 200)
        }
    }

    @Test("takes another bound for silence while it runs")
    func stall() {
        let health = HealthState(stallMs: 5000)
        _ = health.watch(thread: "io-0", atNs: 0)
        health.setStall(ms: 10)
        #expect(health.report(.live, isVerbose: false, atNs: 11 * Self.ms).status == 503)
    }

    @Test("is ready when it serves and data flows, and shows every source when asked")
    func ready() {
        let health = HealthState(stallMs: 5000)
        _ = health.watch(thread: "io-0", atNs: 0)
        health.setSource("synthetic", .live)
        health.setSource("kraken", .connecting)
        health.setSource("binance", .failed(reason: "no\nroute"))
        #expect(health.report(.ready, isVerbose: false, atNs: 0).status == 503)
        health.setPhase(.serving)
        health.setSource("kraken", .stale(reason: "gap"))
        #expect(health.report(.ready, isVerbose: false, atNs: 0).text == "readyz check passed\n")
        #expect(
            health.report(.ready, isVerbose: true, atNs: 2 * Self.ms).text == """
                [+] thread io-0: last sign of life 2 ms ago
                [+] phase: serving
                [+] sources: 1 of 3 deliver
                    source synthetic: live
                    source kraken: stale, gap
                    source binance: failed, no route
                readyz check passed

                """
        )
        health.setPhase(.draining)
        #expect(health.report(.ready, isVerbose: false, atNs: 0).status == 503)
        #expect(health.report(.live, isVerbose: false, atNs: 0).status == 200)
    }

    @Test(
        "is ready with one flowing source or none configured, not when all fail",
        arguments: [
            ([], 200), ([.connecting], 503), ([.connecting, .live], 200), ([.finished], 200),
            ([.failed(reason: "x"), .stale(reason: "y")], 503),
        ] as [([HealthState.SourceState], Int)]
    )
    func sources(states: [HealthState.SourceState], status: Int) {
        let health = HealthState(stallMs: 5000)
        health.setPhase(.serving)
        for (index, state) in states.enumerated() { health.setSource("\(index)", state) }
        #expect(health.report(.ready, isVerbose: false, atNs: 0).status == status)
    }
}
