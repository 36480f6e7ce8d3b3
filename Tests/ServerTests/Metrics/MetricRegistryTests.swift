import FoundationEssentials
import Server
import Testing

@Suite("The metrics")
struct MetricRegistryTests {
    private static func text(_ registry: MetricRegistry) -> String {
        String(decoding: registry.scrape(), as: UTF8.self)
    }

    private static func lines(_ registry: MetricRegistry, of family: MetricFamily) -> [String] {
        text(registry).split(separator: "\n").map(String.init).filter { $0.hasPrefix(family.name) }
    }

    @Test("sums each series over the threads' blocks, with help and type above")
    func sums() {
        let registry = MetricRegistry()
        let (one, two) = (registry.makeBlock(), registry.makeBlock())
        let legacy = registry.counter(.messagesSent, "legacy")
        let enhanced = registry.counter(.messagesSent, "enhanced")
        let open = registry.gauge(.connectionsOpen, "legacy")
        one.add(2, to: legacy)
        two.add(to: legacy)
        two.add(5, to: enhanced)
        one.add(3, to: open)
        two.add(-1, to: open)
        two.add(1, to: open)
        two.set(7, in: open)
        #expect(
            Self.text(registry) == """
                # HELP market_hub_connections_open Connections open now.
                # TYPE market_hub_connections_open gauge
                market_hub_connections_open{channel="legacy"} 10
                # HELP market_hub_messages_sent_total Messages sent to clients.
                # TYPE market_hub_messages_sent_total counter
                market_hub_messages_sent_total{channel="enhanced"} 5
                market_hub_messages_sent_total{channel="legacy"} 3
                # HELP market_hub_metrics_overflow_total Counts of series for which there was no room.
                # TYPE market_hub_metrics_overflow_total counter
                market_hub_metrics_overflow_total 0

                """
        )
    }

    @Test("gives one slot to one series, whenever it is asked for")
    func sameSlot() {
        let registry = MetricRegistry()
        let first = registry.counter(.feedGaps, "kraken")
        let block = registry.makeBlock()
        #expect(registry.counter(.feedGaps, "kraken") == first)
        let late = registry.counter(.feedGaps, "binance")
        #expect(late != first)
        block.add(to: late)
        #expect(Self.lines(registry, of: .feedGaps).contains("market_hub_feed_gaps_total{venue=\"binance\"} 1"))
    }

    @Test("escapes what labels hold")
    func escapes() {
        let registry = MetricRegistry()
        _ = registry.counter(.feedGaps, "a\\b\"c\nd")
        #expect(Self.lines(registry, of: .feedGaps) == [#"market_hub_feed_gaps_total{venue="a\\b\"c\nd"} 0"#])
    }

    @Test(
        "puts a duration into the first bucket whose bound it does not exceed",
        arguments: [
            (-5, 0), (0, 0), (1, 0), (1024, 0), (1025, 1), (2048, 1), (2049, 2), (1 << 35, 25), (1 << 35 + 1, 26),
            (.max, 26),
        ] as [(Int64, Int)]
    )
    func buckets(durationNs: Int64, expected: Int) {
        #expect(HistogramBuckets.index(ofNs: durationNs) == expected)
        if expected < HistogramBuckets.boundedCount {
            #expect(durationNs <= HistogramBuckets.boundNs(expected))
        }
    }

    @Test("shows a histogram cumulatively, in seconds")
    func histogram() {
        let registry = MetricRegistry()
        let block = registry.makeBlock()
        let lag = registry.histogram(.feedLag, "kraken")
        for duration in [500, 1024, 3000, 60_000_000_000] as [Int64] { block.observe(ns: duration, in: lag) }
        let lines = Self.lines(registry, of: .feedLag)
        #expect(lines.count == HistogramBuckets.boundedCount + 3)
        #expect(lines[0] == "market_hub_feed_lag_seconds_bucket{venue=\"kraken\",le=\"1.024e-06\"} 2")
        #expect(lines[1] == "market_hub_feed_lag_seconds_bucket{venue=\"kraken\",le=\"2.048e-06\"} 2")
        #expect(lines[2] == "market_hub_feed_lag_seconds_bucket{venue=\"kraken\",le=\"4.096e-06\"} 3")
        #expect(lines[25] == "market_hub_feed_lag_seconds_bucket{venue=\"kraken\",le=\"34.359738368\"} 3")
        #expect(lines[26] == "market_hub_feed_lag_seconds_bucket{venue=\"kraken\",le=\"+Inf\"} 4")
        #expect(lines[27] == "market_hub_feed_lag_seconds_sum{venue=\"kraken\"} 60.000004524")
        #expect(lines[28] == "market_hub_feed_lag_seconds_count{venue=\"kraken\"} 4")
    }

    @Test("shares one slot among what has no room, and says how much that is")
    func overflow() {
        let registry = MetricRegistry()
        let block = registry.makeBlock()
        var slots: Set<CounterSlot> = []
        for number in 0..<MetricRegistry.slotsMost { slots.insert(registry.counter(.feedGaps, "\(number)")) }
        #expect(slots.count < MetricRegistry.slotsMost)
        block.add(3, to: registry.counter(.feedGaps, "one more"))
        block.observe(ns: 5, in: registry.histogram(.feedLag, "and another"))
        #expect(Self.lines(registry, of: .metricsOverflow) == ["market_hub_metrics_overflow_total 4"])
        #expect(!Self.text(registry).contains("one more"))
    }

    @Test("reads numbers that are not counted when it is scraped, the newest way to read them")
    func readings() {
        let registry = MetricRegistry()
        registry.read(.logDrops) { 1 }
        registry.read(.logDrops) { 2.5 }
        #expect(Self.lines(registry, of: .logDrops) == ["market_hub_log_drops_total 2.5"])
    }

    @Test("counts from many threads without losing one")
    func threads() async {
        let registry = MetricRegistry()
        let slot = registry.counter(.pushes, "legacy")
        await withTaskGroup { group in
            for _ in 0..<4 {
                group.addTask {
                    let block = registry.makeBlock()
                    for _ in 0..<10_000 { block.add(to: slot) }
                }
            }
            group.addTask { for _ in 0..<50 { _ = registry.scrape() } }
        }
        #expect(Self.lines(registry, of: .pushes) == ["market_hub_pushes_total{channel=\"legacy\"} 40000"])
    }

    @Test("tells what the system knows of the process")
    func process() throws {
        let registry = MetricRegistry()
        ProcessMetrics.register(in: registry, version: "1.2.3")
        func value(_ family: MetricFamily) throws -> Double {
            let line = try #require(Self.lines(registry, of: family).first)
            return try #require(line.split(separator: " ").last.flatMap { Double($0) })
        }
        #expect(try (1e6...1e11).contains(value(.residentBytes)))
        #expect(try value(.virtualBytes) > value(.residentBytes))
        #expect(try (3...100_000).contains(value(.openDescriptors)))
        #expect(try value(.descriptorsMost) >= 64)
        #expect(try (1...10_000).contains(value(.threads)))
        #expect(try value(.processorSeconds) > 0)
        let now = Double(Log.realTimeNs()) / 1e9
        #expect(try (now - 86_400...now + 5).contains(value(.startTime)))
        #expect(Self.lines(registry, of: .buildInfo) == ["market_hub_build_info{version=\"1.2.3\"} 1"])
    }

    @Test("documents every family with kind, labels and help in Docs/METRICS.md, and no other")
    func documentation() throws {
        let root = #filePath.components(separatedBy: "/Tests/ServerTests/")[0]
        let text = try String(decoding: Data(contentsOf: URL(filePath: "\(root)/Docs/METRICS.md")), as: UTF8.self)
        let rows = text.split(separator: "\n").filter { $0.hasPrefix("| `") }.map(String.init)
        let expected = MetricFamily.all.map { family in
            let labels = family.labels.map { "`\($0)`" }.joined(separator: ", ")
            return "| `\(family.name)` | \(family.kind.rawValue) | \(labels.isEmpty ? "–" : labels) | \(family.help) |"
        }
        #expect(rows == expected)
        #expect(Set(MetricFamily.all.map(\.name)).count == MetricFamily.all.count)
    }
}
