import Market
import Testing

@Suite("A quantity")
struct QuantityTests {
    @Test("adds up to the most there is and no further")
    func saturates() {
        #expect(Quantity(lots: 2).saturatingAdding(Quantity(lots: 3)).lots == 5)
        #expect(Quantity(lots: .max - 1).saturatingAdding(Quantity(lots: 1)).lots == .max)
        #expect(Quantity(lots: .max).saturatingAdding(Quantity(lots: 1)).lots == .max)
        #expect(Quantity.zero.isZero && !Quantity(lots: 1).isZero && Quantity.zero < Quantity(lots: 1))
    }
}
