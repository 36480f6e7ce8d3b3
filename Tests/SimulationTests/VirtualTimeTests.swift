import Simulation
import Testing

@Suite("Virtual time")
struct VirtualTimeTests {
    @Test("gives what is due in the order of time, and of asking at one time, and stops at the limit")
    func order() {
        var time = VirtualTime<String>(nowNs: 100)
        time.schedule("late", atNs: 300)
        time.schedule("first", afterNs: 50)
        time.schedule("second", atNs: 150)
        time.schedule("past", atNs: 7)
        #expect(time.nextDueNs == 100, "what is past is due at once")
        var seen: [String] = []
        while let task = time.next(untilNs: 200) { seen.append("\(task) at \(time.nowNs)") }
        #expect(seen == ["past at 100", "first at 150", "second at 150"])
        #expect(time.nowNs == 200 && time.nextDueNs == 300)
        #expect(time.next(untilNs: 150) == nil && time.nowNs == 200, "the clock never goes back")
        #expect(time.next(untilNs: 300) == "late" && time.nowNs == 300 && time.nextDueNs == nil)
    }
}

@Suite("Seeded random")
struct SeededRandomTests {
    /// The first outputs of SplitMix64 for the seed 1234567, as its authors' reference code prints them.
    @Test("is SplitMix64")
    func reference() {
        var random = SeededRandom(seed: 1_234_567)
        #expect(
            [random.next(), random.next(), random.next()] == [
                6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423,
            ]
        )
    }
}
