import Market
import Testing

@Suite("A trade's id")
struct TradeIDTests {
    @Test("keeps up to 64 bytes as they are", arguments: [0, 1, 63, 64])
    func keeps(count: Int) {
        let text = String(repeating: "x", count: count)
        let id = TradeID(text)
        #expect(id?.text == text && id.map { Int($0.count) } == count)
        #expect(id?.isEmpty == (count == 0))
    }

    @Test(
        "is refused above, bytes counting and not characters",
        arguments: [String(repeating: "x", count: 65), String(repeating: "é", count: 33)]
    )
    func refuses(text: String) {
        #expect(TradeID(text) == nil)
    }

    @Test("is a number's digits", arguments: [0, 9, 10, 1_234_567_890, .max] as [UInt64])
    func numbers(number: UInt64) {
        #expect(TradeID(number).text == String(number))
        #expect(TradeID(number) == TradeID(String(number)))
    }

    @Test("is equal by its bytes alone")
    func equality() {
        #expect(TradeID("a") != TradeID("b") && TradeID("a") != TradeID("aa") && TradeID("") == TradeID())
        #expect(TradeID("a") != TradeID("a\0"))
        #expect(Set([TradeID(1), TradeID("1"), TradeID(2)]).count == 2)
    }

    @Test("gives its bytes out")
    func bytes() {
        #expect(TradeID(120).withBytes { Array($0) } == [0x31, 0x32, 0x30])
    }
}

@Suite("A quote")
struct QuoteTests {
    @Test("is the top of a book, zero where a side is empty")
    func top() {
        var book = OrderBook()
        #expect(Quote(of: book) == .none)
        book.set(Quantity(lots: 3), at: Price(ticks: 10), of: .bid)
        #expect(Quote(of: book).bid == Level(price: Price(ticks: 10), quantity: Quantity(lots: 3)))
        #expect(Quote(of: book).ask == Quote.none.ask)
    }
}

@Suite("Event flags")
struct EventFlagsTests {
    @Test("have a name for each bit")
    func names() {
        let all: [EventFlags] = [
            .snapshot, .last, .gapBefore, .maybeBadBook, .stale, .eventTimeMissing, .historic, .synthetic, .checksumOK,
        ]
        #expect(all.map(\.rawValue) == EventFlags.names.indices.map { 1 << UInt16($0) })
    }
}
