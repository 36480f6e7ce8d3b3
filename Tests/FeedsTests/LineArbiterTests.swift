import Feeds
import Market
import Simulation
import Testing

/// Two lines of one instrument, and whoever listens to what the arbiter passes on.
private struct Bench {
    var arbiter: LineArbiter
    static let instrument = InstrumentID(0)

    init(numbersAreShared: Bool) { arbiter = LineArbiter(numbersAreShared: numbersAreShared) }

    mutating func judge(
        _ payload: MarketEvent.Payload,
        _ line: Int,
        number: UInt64 = 0,
        flags: EventFlags = []
    ) -> (LineArbiter.Verdict, EventFlags) {
        var event = MarketEvent(
            instrument: Self.instrument,
            flags: flags,
            eventNs: 0,
            receivedNs: 1,
            venueSequence: number,
            payload: payload
        )
        let verdict = arbiter.judge(&event, from: line)
        return (verdict, event.flags)
    }

    mutating func trade(_ id: String, _ line: Int, flags: EventFlags = []) throws -> (LineArbiter.Verdict, EventFlags) {
        let id = try #require(TradeID(id))
        let trade = Trade(price: Price(ticks: 1), quantity: Quantity(lots: 1), aggressor: .buyer, id: id)
        return judge(.trade(trade), line, flags: flags)
    }

    mutating func snapshot(_ number: UInt64, _ line: Int) -> LineArbiter.Verdict {
        judge(.bookSnapshot(top: .none), line, number: number).0
    }

    mutating func delta(_ number: UInt64, _ line: Int) -> LineArbiter.Verdict {
        judge(.bookDelta(top: .none), line, number: number).0
    }

    mutating func status(
        _ state: MarketStatus.State,
        _ line: Int,
        _ reason: MarketStatus.Reason = .none
    )
        -> LineArbiter.Verdict
    {
        judge(.status(MarketStatus(state, reason)), line).0
    }

    /// The verdict on a status, and what it says when it passes.
    mutating func told(
        _ state: MarketStatus.State,
        _ line: Int,
        _ reason: MarketStatus.Reason
    ) -> (
        LineArbiter.Verdict, MarketStatus?
    ) {
        var event = MarketEvent(
            instrument: Self.instrument,
            eventNs: 0,
            receivedNs: 1,
            payload: .status(MarketStatus(state, reason))
        )
        let verdict = arbiter.judge(&event, from: line)
        guard case .status(let status) = event.payload else { return (verdict, nil) }
        return (verdict, status)
    }

    mutating func goLive(_ number: UInt64, _ line: Int) {
        _ = status(.connected, line, .started)
        _ = snapshot(number, line)
        _ = status(.live, line)
    }
}

@Suite("Two connections for the same instrument")
struct LineArbiterTests {
    @Test("a trade passes once, from whichever line brings it first")
    func trades() throws {
        var bench = Bench(numbersAreShared: true)
        #expect(try bench.trade("1", 0).0 == .pass)
        #expect(try bench.trade("1", 1).0 == .drop)
        #expect(try bench.trade("2", 1).0 == .pass)
        #expect(try bench.trade("2", 0).0 == .drop)
        #expect(bench.arbiter.counters.first[0] == 1)
        #expect(bench.arbiter.counters.late[0] == 1)
    }

    @Test("trades without names pass from the leading line alone, because two of them may be alike")
    func nameless() throws {
        var bench = Bench(numbersAreShared: false)
        bench.goLive(0, 0)
        bench.goLive(0, 1)
        #expect(try bench.trade("", 0).0 == .pass)
        #expect(try bench.trade("", 1).0 == .drop)
        #expect(try bench.trade("", 0).0 == .pass)
    }

    @Test("a trade after a lost connection bears no gap while the other line was there")
    func gapMark() throws {
        var bench = Bench(numbersAreShared: true)
        bench.goLive(1, 0)
        #expect(try bench.trade("7", 0, flags: .gapBefore).1.contains(.gapBefore))
        bench.goLive(1, 1)
        #expect(try !bench.trade("8", 0, flags: .gapBefore).1.contains(.gapBefore))
    }

    @Test("of shared numbers, a change passes that goes further than what was passed on")
    func firstWins() {
        var bench = Bench(numbersAreShared: true)
        bench.goLive(100, 0)
        bench.goLive(100, 1)
        #expect(bench.delta(103, 1) == .pass)
        #expect(bench.delta(102, 0) == .drop)
        #expect(bench.delta(105, 0) == .pass)
        #expect(bench.delta(105, 1) == .drop)
        #expect(bench.arbiter.leader(of: Bench.instrument) == 0)
    }

    @Test("a line that begins ahead is not mixed in before the other has come to where it began")
    func begunAhead() {
        var bench = Bench(numbersAreShared: true)
        bench.goLive(100, 0)
        bench.goLive(110, 1)
        // From 110 to 112: what happened between 100 and 110 would be missing.
        #expect(bench.delta(112, 1) == .drop)
        #expect(bench.delta(111, 0) == .pass)
        #expect(bench.delta(114, 1) == .drop)
        #expect(bench.delta(115, 0) == .pass)
        #expect(bench.delta(116, 1) == .pass)
    }

    @Test("a dying leader is followed by the other's whole book, and nobody hears of the loss")
    func takesOver() {
        var bench = Bench(numbersAreShared: true)
        bench.goLive(100, 0)
        bench.goLive(100, 1)
        #expect(bench.delta(102, 0) == .pass)
        #expect(bench.status(.disconnected, 0, .connectionLost) == .takeOver(by: 1))
        // Its book is at 100, which is told next; it goes on from there.
        #expect(bench.delta(101, 1) == .pass)
        #expect(bench.delta(104, 1) == .pass)
        #expect(bench.arbiter.counters.takeovers == 1)
    }

    @Test("where no books are followed, the connection that is left speaks, and nobody hears of the loss")
    func withoutBooks() throws {
        var bench = Bench(numbersAreShared: true)
        #expect(bench.status(.connected, 0, .started) == .pass)
        #expect(bench.status(.connected, 1, .started) == .drop)
        #expect(try bench.trade("", 1).0 == .drop)
        let (verdict, status) = bench.told(.disconnected, 0, .connectionLost)
        #expect(verdict == .pass)
        #expect(status == MarketStatus(.connected, .started))
        #expect(try bench.trade("", 1).0 == .pass)
    }

    @Test("when a line ends that led, another leads; its trades do not pass twice")
    func ends() throws {
        var bench = Bench(numbersAreShared: false)
        bench.goLive(0, 0)
        bench.goLive(0, 1)
        bench.goLive(0, 2)
        bench.arbiter.end(0)
        #expect(bench.arbiter.leader(of: Bench.instrument) == 1)
        #expect(try bench.trade("", 1).0 == .pass)
        #expect(try bench.trade("", 2).0 == .drop)
    }

    @Test("a change of units says how the leading line stands, whoever met it")
    func units() {
        var bench = Bench(numbersAreShared: true)
        bench.goLive(100, 0)
        _ = bench.status(.connected, 1, .started)
        let (verdict, status) = bench.told(.connected, 1, .unitsChanged)
        #expect(verdict == .pass)
        #expect(status == MarketStatus(.live, .unitsChanged))
    }

    @Test("a halt that is told before the book is no book to take over with")
    func haltedWithoutBook() {
        var bench = Bench(numbersAreShared: true)
        bench.goLive(100, 0)
        _ = bench.status(.connected, 1, .started)
        _ = bench.status(.halted, 1, .venueRequest)
        #expect(!bench.arbiter.hasBook(1, of: Bench.instrument))
        #expect(bench.status(.disconnected, 0, .connectionLost) == .pass)
    }

    @Test("where numbers are no help the other line's whole book takes over")
    func wholeBook() {
        var bench = Bench(numbersAreShared: false)
        bench.goLive(0, 0)
        bench.goLive(0, 1)
        #expect(bench.delta(0, 1) == .drop)
        #expect(bench.delta(0, 0) == .pass)
        #expect(bench.status(.resyncing, 0, .checksum) == .takeOver(by: 1))
        #expect(bench.delta(0, 1) == .pass)
        // The old leader comes back and waits.
        #expect(bench.snapshot(0, 0) == .drop)
        #expect(bench.status(.live, 0) == .drop)
        #expect(bench.delta(0, 0) == .drop)
        #expect(bench.status(.disconnected, 1, .silence) == .takeOver(by: 0))
    }

    @Test("without another book the loss is told, and whoever is whole first leads")
    func bothLost() {
        var bench = Bench(numbersAreShared: true)
        bench.goLive(100, 0)
        #expect(bench.status(.connected, 1, .started) == .drop)
        #expect(bench.status(.disconnected, 0, .connectionLost) == .pass)
        #expect(bench.snapshot(120, 1) == .pass)
        #expect(bench.status(.live, 1) == .pass)
        #expect(bench.delta(121, 1) == .pass)
        #expect(bench.snapshot(125, 0) == .drop)
    }

    @Test(
        "the book that listeners make is one the venue had, whatever the lines lose",
        arguments: 0..<100 as Range<UInt64>
    )
    func property(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        // What each change of the venue, numbered from 1, did to a book of twenty prices.
        let changes = (0..<400).map { _ in
            LevelChange(
                .bid,
                price: Price(ticks: Int64.random(in: 1...20, using: &random)),
                quantity: Quantity(lots: Int64.random(in: 0...3, using: &random))
            )
        }
        // By how many of them happened.
        let books = changes.reduce(into: [OrderBook()]) { books, change in
            var next = books[books.count - 1]
            next.apply(change)
            books.append(next)
        }
        var bench = Bench(numbersAreShared: true)
        var reached: [Int?] = [nil, nil]
        var heard = OrderBook()
        var (isServed, time) = (false, 1)
        while time < changes.count {
            time += Int.random(in: 0...3, using: &random)
            time = min(time, changes.count)
            let line = Int.random(in: 0...1, using: &random)
            var passed: [(LineArbiter.Verdict, Int, [LevelChange]?)] = []
            if let at = reached[line] {
                if Int.random(in: 0..<40, using: &random) == 0 {
                    reached[line] = nil
                    let verdict = bench.status(.disconnected, line, .connectionLost)
                    if case .takeOver(let other) = verdict, let at = reached[other] {
                        heard = books[at]
                    } else if verdict == .pass {
                        isServed = false
                    }
                    continue
                }
                guard at < time else { continue }
                let to = Int.random(in: (at + 1)...time, using: &random)
                passed.append((bench.delta(UInt64(to), line), to, Array(changes[at..<to])))
                reached[line] = to
            } else {
                let to = Int.random(in: max(1, time - 5)...time, using: &random)
                _ = bench.status(.connected, line, .started)
                passed.append((bench.snapshot(UInt64(to), line), to, nil))
                _ = bench.status(.live, line)
                reached[line] = to
            }
            for (verdict, to, levels) in passed where verdict == .pass {
                if let levels {
                    for level in levels { heard.apply(level) }
                } else {
                    heard = books[to]
                }
                isServed = true
                guard heard.bids == books[to].bids else {
                    Issue.record("seed \(seed): not the venue's book at \(to)")
                    return
                }
            }
        }
        #expect(isServed || reached == [nil, nil])
    }
}
