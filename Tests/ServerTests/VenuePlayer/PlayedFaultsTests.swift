import Server
import Testing

@Suite("Faults of a played venue")
struct PlayedFaultsTests {
    @Test("each happens once, when its line or a later one is played, in the order of lines")
    func once() {
        var faults = PlayedFaults([.init(kind: .cut, line: 9), .init(kind: .garbage, line: 5)], seed: 1)
        let happened = [4, 5, 5, 12, 12].map { faults.due(atLine: $0) }
        #expect(happened == [nil, .garbage, nil, .cut, nil])
    }

    @Test(
        "garbage is UTF-8, never the frame itself, and the same for the same seed",
        arguments: 0..<50 as Range<UInt64>
    )
    func garbage(seed: UInt64) {
        let frame = Array("{\"a\":\"é\",\"b\":[1,2,3]}".utf8)
        var faults = PlayedFaults([], seed: seed)
        let garbage = faults.garbage(from: frame[...])
        #expect(garbage.count == 3)
        for text in garbage {
            #expect(String(validating: text, as: UTF8.self) != nil)
            #expect(text != frame)
        }
        var same = PlayedFaults([], seed: seed)
        let again = same.garbage(from: frame[...])
        #expect(again == garbage)
    }
}

@Suite("The rate of a client's messages")
struct InboundRateTests {
    @Test("a window counts any second")
    func window() {
        var rate = InboundRate(.window(mostPerSecond: 5), atNs: 0)
        let burst = (0..<5).map { _ in rate.take(atNs: 500_000_000) }
        #expect(burst == [true, true, true, true, true])
        let later = [1_499_999_999, 1_500_000_000].map { rate.take(atNs: $0) }
        #expect(later == [false, true])
    }

    @Test("a bucket takes a burst, then as many as flow in")
    func bucket() {
        var rate = InboundRate(.bucket(perSecond: 10, burst: 3), atNs: 0)
        let taken = [0, 0, 0, 0, 50_000_000, 150_000_000].map { rate.take(atNs: $0) }
        #expect(taken == [true, true, true, false, false, true])
    }
}
