import Market
import Testing

@Suite("An order book")
struct OrderBookTests {
    @Test("ranks levels from the best, whatever order they came in")
    func ranks() {
        let book = book(bids: [99, 97, 100, 98], asks: [103, 101, 104, 102])
        #expect(book.top(2, of: .bid).map(\.price.ticks) == [100, 99])
        #expect(book.top(9, of: .ask).map(\.price.ticks) == [101, 102, 103, 104])
        #expect(book.level(3, of: .bid).price.ticks == 97 && book.level(0, of: .ask).price.ticks == 101)
        #expect(book.bestBid?.price.ticks == 100 && book.bestAsk?.price.ticks == 101)
        #expect(book.depth(of: .bid) == 4 && book.depth(of: .ask) == 4)
        #expect(!book.isCrossed && !book.isEmpty && book.isConsistent)
    }

    @Test("says whether a change changed it", arguments: Side.allCases)
    func says(side: Side) {
        var book = OrderBook()
        var answers: [Bool] = []
        for lots: Int64 in [0, 1, 1, 2] {
            answers.append(book.set(Quantity(lots: lots), at: Price(ticks: 5), of: side))
        }
        #expect(answers == [false, true, false, true], "an unknown level is removed already")
        #expect(book.quantity(at: Price(ticks: 5), of: side) == Quantity(lots: 2))
        #expect(book.quantity(at: Price(ticks: 4), of: side) == .zero)
        #expect(book.quantity(at: Price(ticks: 6), of: side) == .zero)
        let hasRemoved = book.apply(LevelChange(side, price: Price(ticks: 5), quantity: .zero))
        #expect(hasRemoved && book.isEmpty && book.bestBid == nil && book.bestAsk == nil)
    }

    @Test(
        "is crossed when the best bid is at or above the best ask",
        arguments: [(99, 100, false), (100, 100, true), (101, 100, true)] as [(Int64, Int64, Bool)]
    )
    func crosses(bid: Int64, ask: Int64, isCrossed: Bool) {
        #expect(book(bids: [bid], asks: [ask]).isCrossed == isCrossed)
        #expect(!book(bids: [bid], asks: []).isCrossed && !book(bids: [], asks: [ask]).isCrossed)
    }

    @Test("drops the worst levels and tells which", arguments: Side.allCases)
    func truncates(side: Side) {
        var book = book(bids: [1, 2, 3, 4, 5], asks: [6, 7, 8, 9, 10])
        var gone: [Int64] = []
        book.truncate(side, to: 5) { gone.append($0.price.ticks) }
        #expect(gone.isEmpty)
        book.truncate(side, to: 3) { gone.append($0.price.ticks) }
        #expect(gone.sorted() == (side == .bid ? [1, 2] : [9, 10]))
        #expect(book.depth(of: side) == 3 && book.depth(of: side == .bid ? .ask : .bid) == 5)
        book.truncate(side, to: 0)
        #expect(book.depth(of: side) == 0)
        book.removeAll()
        #expect(book.isEmpty)
    }

    @Test("is a value: a copy does not follow")
    func isValue() {
        var book = book(bids: [1], asks: [2])
        let copy = book
        book.removeAll()
        #expect(copy.bestBid?.price.ticks == 1 && copy.bestAsk?.price.ticks == 2)
    }

    @Test("equals a plain dictionary after any changes", arguments: 0..<20 as Range<UInt64>, [5, 40, 2_000] as [Int64])
    func equalsDictionary(seed: UInt64, span: Int64) {
        var state = seed &* 0x9E37_79B9_7F4A_7C15 | 1
        func draw(_ bound: Int64) -> Int64 {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            return Int64(state >> 1) % bound
        }
        var book = OrderBook()
        var wrongAnswers = 0
        var plain: [Side: [Int64: Int64]] = [.bid: [:], .ask: [:]]
        for _ in 0..<2_000 {
            let (side, ticks, lots): (Side, Int64, Int64) = (draw(2) == 0 ? .bid : .ask, draw(span) - span / 2, draw(4))
            let old = plain[side]?[ticks] ?? 0
            plain[side]?[ticks] = lots == 0 ? nil : lots
            let hasChanged = book.set(Quantity(lots: lots), at: Price(ticks: ticks), of: side)
            if hasChanged != (old != lots) { wrongAnswers += 1 }
        }
        #expect(wrongAnswers == 0 && book.isConsistent)
        for side in Side.allCases {
            let prices = (plain[side] ?? [:]).keys.sorted { side == .bid ? $0 > $1 : $0 < $1 }
            #expect(book.top(.max, of: side).map(\.price.ticks) == prices)
            let lots = prices.map { plain[side]?[$0] }
            #expect(prices.indices.map { book.level($0, of: side).quantity.lots } == lots)
            #expect(prices.map { book.quantity(at: Price(ticks: $0), of: side).lots } == lots)
        }
    }

    /// The example of Kraken's documentation of its first WebSocket API, "Book Checksum": its text there makes 974947235.
    @Test("has Kraken's checksum")
    func checksum() {
        let asks: [Int64] = [5_005, 5_010, 5_015, 5_020, 5_025, 5_030, 5_035, 5_040, 5_045, 5_050]
        let bids: [Int64] = [5_000, 4_995, 4_990, 4_980, 4_975, 4_970, 4_965, 4_960, 4_955, 4_950]
        var example = book(bids: bids, asks: asks, lots: 500)
        #expect(example.checksum == 974_947_235)
        example.set(Quantity(lots: 9), at: Price(ticks: 4_000), of: .bid)
        example.set(Quantity(lots: 9), at: Price(ticks: 6_000), of: .ask)
        #expect(example.checksum == 974_947_235, "the eleventh level does not count")
        example.set(Quantity(lots: 501), at: Price(ticks: 4_950), of: .bid)
        #expect(example.checksum != 974_947_235, "the tenth does")
    }

    @Test("has a checksum of what is there when there are fewer than ten levels")
    func shortChecksum() {
        #expect(OrderBook().checksum == 0)
        var expected = CRC32()
        for byte in "10111001".utf8 { expected.add(byte) }
        #expect(book(bids: [100], asks: [101]).checksum == expected.value, "asks first: 101 1 100 1")
    }

    @Test("takes finer units, all levels or none")
    func rescales() {
        var finer = book(bids: [99, -2], asks: [101], lots: 3)
        #expect(rescale(&finer, price: 100, quantity: 10))
        #expect(finer.top(2, of: .bid).map(\.price.ticks) == [9_900, -200] && finer.bestAsk?.quantity.lots == 30)
        var large = book(bids: [99], asks: [.max / 10])
        #expect(!rescale(&large, price: 100, quantity: 1) && !rescale(&large, price: 10, quantity: 1, headroom: 2))
        #expect(large.bestBid?.price.ticks == 99 && large.bestAsk?.price.ticks == .max / 10)
        #expect(rescale(&large, price: 10, quantity: 1))
        #expect(large.bestBid?.price.ticks == 990)
    }

    private func rescale(_ book: inout OrderBook, price: Int64, quantity: Int64, headroom: Int64 = 1) -> Bool {
        book.rescale(priceFactor: price, quantityFactor: quantity, headroom: headroom)
    }

    private func book(bids: [Int64], asks: [Int64], lots: Int64 = 1) -> OrderBook {
        var book = OrderBook()
        for ticks in bids { book.set(Quantity(lots: lots), at: Price(ticks: ticks), of: .bid) }
        for ticks in asks { book.set(Quantity(lots: lots), at: Price(ticks: ticks), of: .ask) }
        return book
    }
}
