import Feeds
import Testing

private let second: Int64 = 1_000_000_000

@Suite("How much nonsense a connection may bring")
struct FaultBudgetTests {
    @Test("ten faults a second are reported, and the next report tells how many were not")
    func reports() {
        var budget = FaultBudget()
        let verdicts = (0..<15).map { _ in budget.spend(.truncated, atNs: 0) }
        #expect(verdicts.prefix(10).allSatisfy { $0 == .report(untold: 0) })
        #expect(verdicts.suffix(5).allSatisfy { $0 == .keepQuiet })
        let next = budget.spend(.truncated, atNs: second)
        #expect(next == .report(untold: 5))
    }

    @Test("a thousand within ten seconds end the connection, spread over more they do not")
    func cutOff() {
        var quick = FaultBudget()
        let verdicts = (0..<1_000).map { quick.spend(.truncated, atNs: $0 * second / 101) }
        #expect(verdicts.firstIndex(of: .cutOff) == 999)
        var slow = FaultBudget()
        let others = (0..<3_000).map { slow.spend(.truncated, atNs: $0 * second / 90) }
        #expect(!others.contains(.cutOff))
    }

    @Test("more instruments than are followed end it at once")
    func tooMany() {
        var budget = FaultBudget()
        let verdict = budget.spend(.tooManyInstruments, atNs: 0)
        #expect(verdict == .cutOff)
    }
}
