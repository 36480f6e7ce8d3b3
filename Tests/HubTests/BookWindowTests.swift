import Hub
import Market
import Testing

@Suite("A book window")
struct BookWindowTests {
    private func window(
        bids: [(Int64, Int64)],
        asks: [(Int64, Int64)],
        depth: UInt32 = 0,
        step: Int64 = 1
    ) -> BookWindow {
        var book = OrderBook()
        for bid in bids { book.set(Quantity(lots: bid.1), at: Price(ticks: bid.0), of: .bid) }
        for ask in asks { book.set(Quantity(lots: ask.1), at: Price(ticks: ask.0), of: .ask) }
        var window = BookWindow()
        window.show(book, depth: depth, step: step)
        return window
    }

    @Test(
        "shows so many levels a side, best first",
        arguments: [(1, 1), (2, 2), (3, 3), (4, 3), (0, 3)] as [(UInt32, Int)]
    )
    func depth(depth: UInt32, count: Int) {
        let levels: [(Int64, Int64)] = [(1, 1), (2, 2), (3, 3)]
        let window = window(bids: levels, asks: levels, depth: depth)
        #expect(window.bids == Array([level(3, 3), level(2, 2), level(1, 1)].prefix(count)))
        #expect(window.asks == Array([level(1, 1), level(2, 2), level(3, 3)].prefix(count)))
    }

    @Test("counts depth in gathered levels and sums each over the whole book")
    func depthOfGroups() {
        let asks: [(Int64, Int64)] = [(1, 1), (2, 1), (10, 1), (11, 5), (20, 7), (21, 1)]
        #expect(window(bids: [], asks: asks, depth: 2, step: 10).asks == [level(10, 3), level(20, 12)])
    }

    @Test("gathers prices at the ends of the number line without harm")
    func extremes() {
        let window = window(bids: [(.min + 1, 1)], asks: [(.max - 1, 1)], step: 1_000_000_000)
        #expect(window.bids == [level(.min, 1)])
        #expect(window.asks == [level(.max, 1)])
    }

    @Test("has the checksum of a book of the same levels", arguments: [0, 9, 10, 11])
    func checksum(count: Int64) {
        var book = OrderBook()
        for rank in 0..<count {
            book.set(Quantity(lots: rank + 1), at: Price(ticks: -rank), of: .bid)
            book.set(Quantity(lots: rank + 1), at: Price(ticks: 5 + rank), of: .ask)
        }
        var window = BookWindow()
        window.show(book, depth: 0, step: 1)
        #expect(window.checksum == book.checksum)
    }

    @Test("tells what must be set to become another, bids first, best first")
    func changes() {
        let old = window(bids: [(3, 1), (2, 1)], asks: [(5, 1), (6, 1)])
        let new = window(bids: [(4, 1), (2, 2)], asks: [(6, 1), (7, 1)])
        var changes: [LevelChange] = []
        old.changes(to: new, into: &changes)
        let expected: [(Side, Int64, Int64)] = [(.bid, 4, 1), (.bid, 3, 0), (.bid, 2, 2), (.ask, 5, 0), (.ask, 7, 1)]
        #expect(
            changes == expected.map { LevelChange($0.0, price: Price(ticks: $0.1), quantity: Quantity(lots: $0.2)) }
        )
        changes = []
        new.changes(to: new, into: &changes)
        #expect(changes.isEmpty)
    }
}
