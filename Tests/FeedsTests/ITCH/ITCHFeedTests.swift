import Feeds
import Market
import Testing

@Suite("The ITCH feed")
struct ITCHFeedTests {
    @Test("follows a stock from its directory on, under its own name and the hub's")
    func follows() throws {
        var replay = ITCHReplay()
        replay.play(ITCHBytes.directory("ABC"))
        let instrument = try #require(replay.sink.learnt.first)
        #expect(instrument.symbol == "ABC-USD" && instrument.rawSymbol == "ABC" && instrument.venue == "itch")
        #expect(instrument.kind == .spot && instrument.priceScale == 4 && instrument.quantityScale == 0)
        #expect(replay.sink.statuses[instrument.id] == MarketStatus(.live, .none))
        replay.play(ITCHBytes.add(7, "B", 100, at: 123_400))
        #expect(replay.sink.books[instrument.id]?.bestBid == level(123_400, 100))
        let event = try #require(replay.sink.events.last { if case .bookDelta = $0.payload { true } else { false } })
        #expect(event.eventNs == ITCHRecording.midnightNs + 1 && event.venueSequence == 2 && event.flags == .last)
    }

    @Test("tells a trade by the resting side, once, and none for what is not printed")
    func trades() throws {
        var replay = ITCHReplay()
        replay.play(ITCHBytes.directory("ABC"))
        replay.play(ITCHBytes.add(1, "B", 100, at: 1_000))
        replay.play(ITCHBytes.add(2, "S", 100, at: 1_100))
        replay.play(ITCHBytes.executed(1, 40, match: 11))
        replay.play(ITCHBytes.executed(2, 30, match: 12, printable: "Y", at: 1_050))
        replay.play(ITCHBytes.executed(2, 20, match: 13, printable: "N", at: 1_050))
        replay.play(cross(shares: 20, match: 14))
        replay.play(cross(shares: 0, match: 15))
        let trades = replay.sink.events.compactMap { event in
            if case .trade(let trade) = event.payload { trade } else { nil }
        }
        #expect(trades.map(\.price.ticks) == [1_000, 1_050, 1_075])
        #expect(trades.map(\.aggressor) == [.seller, .buyer, .unknown])
        #expect(trades.map(\.id.text) == ["11", "12", "14"])
        let id = try replay.id("ABC")
        #expect(replay.feed.orders(of: id).map(\.quantity.lots) == [60, 50])
        #expect(replay.sink.orders[id]?.map(\.quantity.lots) == [60, 50])
        #expect(!replay.feed.isDoubtful(id))
    }

    @Test("lets a replacement inherit side and stock")
    func replaces() throws {
        var replay = ITCHReplay()
        replay.play(ITCHBytes.directory("ABC"))
        replay.play(ITCHBytes.add(1, "S", 100, at: 1_000))
        var made = ITCHBytes("U")
        made.add(UInt64(1))
        made.add(UInt64(2))
        made.add(UInt32(70))
        made.add(UInt32(900))
        replay.play(made.bytes)
        let id = try replay.id("ABC")
        #expect(replay.sink.books[id]?.top(9, of: .ask) == [level(900, 70)])
        #expect(
            replay.sink.orders[id] == [
                RestingOrder(id: 2, side: .ask, price: Price(ticks: 900), quantity: Quantity(lots: 70))
            ]
        )
    }

    @Test("says when trading stops and goes on")
    func halts() throws {
        var replay = ITCHReplay()
        replay.play(ITCHBytes.directory("ABC"))
        let id = try replay.id("ABC")
        for (state, wanted) in [
            ("H", MarketStatus(.halted, .venueRequest)), ("P", MarketStatus(.halted, .venueRequest)),
            ("T", MarketStatus(.live, .none)), ("Q", MarketStatus(.halted, .venueRequest)),
            ("T", MarketStatus(.live, .none)),
        ] {
            replay.play(ITCHBytes.tradingAction(state))
            #expect(replay.sink.statuses[id] == wanted)
        }
        for (market, action, state) in [
            ("B", "H", MarketStatus.State.live), ("Q", "H", .halted), ("Q", "T", .live),
        ] {
            var made = ITCHBytes("h")
            made.add("ABC", 8)
            made.add(market + action, 2)
            replay.play(made.bytes)
            #expect(replay.sink.statuses[id]?.state == state)
        }
    }

    static let losses: [[UInt8]] = [
        ITCHBytes.executed(99, 1, match: 1), ITCHBytes.deleted(99), ITCHBytes.executed(1, 101, match: 1),
        ITCHBytes.add(1, "B", 1, at: 1), Array(ITCHBytes.deleted(1).dropLast()),
    ]

    @Test("marks an instrument whose messages cannot be whole, alone, until a session begins anew", arguments: losses)
    func marks(message: [UInt8]) throws {
        var replay = ITCHReplay()
        replay.play(ITCHBytes.directory("ABC"))
        replay.play(ITCHBytes.directory("XYZ", locate: 2))
        replay.play(ITCHBytes.add(1, "B", 100, at: 1_000))
        let (id, other) = (try replay.id("ABC"), try replay.id("XYZ"))
        replay.play(message)
        #expect(replay.feed.isDoubtful(id) && !replay.feed.isDoubtful(other))
        #expect(replay.sink.statuses[id] == MarketStatus(.resyncing, .gap))
        #expect(replay.sink.bookFlags[id]?.contains([.maybeBadBook, .snapshot, .gapBefore]) == true)
        replay.play(ITCHBytes.add(5, "S", 100, at: 2_000))
        #expect(replay.sink.bookFlags[id]?.contains(.maybeBadBook) == true)
        #expect(replay.sink.bookFlags[other]?.contains(.maybeBadBook) == false)
        let counted = replay.feed.counters
        #expect(counted.common.resyncs == 1 && counted.unknownOrders + counted.common.badFrames == 1)
        replay.feed.beginSession(
            midnightNs: ITCHRecording.midnightNs,
            isWhole: true,
            atNs: 5,
            into: &replay.sink
        )
        #expect(!replay.feed.isDoubtful(id) && replay.sink.books[id]?.isEmpty == true)
        #expect(replay.sink.orders[id] == [] && replay.sink.statuses[id] == MarketStatus(.live, .none))
        #expect(replay.feed.ledger.count == 0 && replay.feed.ledger.isConsistent)
    }

    @Test("trusts no stock that it hears of after a loss")
    func later() throws {
        var replay = ITCHReplay()
        replay.play(ITCHBytes.executed(1, 1, match: 1, locate: 3))
        replay.play(ITCHBytes.add(2, "B", 100, at: 1_000, stock: "LATE", locate: 3))
        #expect(replay.feed.isDoubtful(try replay.id("LATE")))
        #expect(replay.sink.statuses[try replay.id("LATE")] == MarketStatus(.resyncing, .gap))
    }

    @Test("says that a connection is gone, and that it is back, without forgetting orders")
    func disconnects() throws {
        var replay = ITCHReplay()
        replay.play(ITCHBytes.directory("ABC"))
        replay.play(ITCHBytes.add(1, "B", 100, at: 1_000))
        let id = try replay.id("ABC")
        replay.feed.disconnected(reason: .connectionLost, atNs: 1, into: &replay.sink)
        #expect(replay.sink.statuses[id] == MarketStatus(.disconnected, .connectionLost))
        replay.feed.resumed(atNs: 2, into: &replay.sink)
        #expect(replay.sink.statuses[id] == MarketStatus(.live, .none))
        replay.play(ITCHBytes.executed(1, 100, match: 1))
        #expect(!replay.feed.isDoubtful(id) && replay.sink.books[id]?.isEmpty == true)
    }

    @Test("follows only the stocks it was told to, and skips kinds it does not know")
    func filters() throws {
        var settings = ITCHFeed.Settings()
        settings.symbols = ["XYZ"]
        settings.tellsOrders = false
        var replay = ITCHReplay(settings)
        replay.play(ITCHBytes.directory("ABC"))
        replay.play(ITCHBytes.add(1, "B", 100, at: 1_000))
        replay.play(ITCHBytes.executed(1, 100, match: 1))
        replay.play(ITCHBytes.directory("XYZ", locate: 2))
        replay.play(ITCHBytes.add(2, "B", 100, at: 1_000, stock: "XYZ", locate: 2))
        replay.play(ITCHBytes("z").bytes)
        #expect(replay.table.all.map(\.rawSymbol) == ["XYZ"] && replay.feed.ledger.count == 1)
        #expect(replay.feed.counters.unknownKinds == 1 && replay.feed.counters.common.badFrames == 0)
        let id = try replay.id("XYZ")
        #expect(!replay.feed.isDoubtful(id) && replay.sink.orders.isEmpty)
    }

    @Test("keeps its bounds: instruments, orders, names", arguments: ["A*B", "A@B", "", "TOO"])
    func bounds(stock: String) throws {
        var settings = ITCHFeed.Settings()
        settings.instrumentsMost = 1
        settings.ledger = OrderLedger.Limits(ordersMost: 2)
        var replay = ITCHReplay(settings)
        replay.play(ITCHBytes.directory("ABC"))
        replay.play(ITCHBytes.directory(stock, locate: 2))
        #expect(replay.feed.counters.refusedInstruments == 1 && replay.table.all.count == 1)
        for order: UInt64 in 1...3 { replay.play(ITCHBytes.add(order, "B", 1, at: 1)) }
        #expect(replay.feed.ledger.count == 2)
        #expect(replay.sink.statuses[try replay.id("ABC")] == MarketStatus(.resyncing, .bufferOverflow))
    }

    private func level(_ ticks: Int64, _ lots: Int64) -> Level {
        Level(price: Price(ticks: ticks), quantity: Quantity(lots: lots))
    }

    private func cross(shares: UInt64, match: UInt64) -> [UInt8] {
        var made = ITCHBytes("Q")
        made.add(shares)
        made.add("ABC", 8)
        made.add(UInt32(1_075))
        made.add(match)
        made.add("O", 1)
        return made.bytes
    }
}

@Suite("Broken ITCH", .enabled(if: Captures.arePresent, "the captures are not beside the package"))
struct ITCHMutationTests {
    @Test(
        "flipped, cut, lost and repeated messages stop nothing and leave no inconsistent book",
        arguments: 1...6 as ClosedRange<UInt64>
    )
    func mutations(seed: UInt64) throws {
        let recording = try ITCHRecording()
        var random = Seeded(state: seed)
        var replay = ITCHReplay()
        var broken = 0
        for message in recording.messages {
            var bytes = message
            guard random.next() % 20 == 0 else {
                replay.play(bytes)
                continue
            }
            broken += 1
            switch random.next() % 5 {
            case 0: bytes[Int(random.next() % UInt64(bytes.count))] ^= 1 << UInt8(random.next() % 8)
            case 1: bytes.removeLast(1 + Int(random.next() % UInt64(bytes.count)))
            case 2: bytes = []
            case 3: replay.play(bytes)
            default: continue
            }
            replay.play(bytes)
        }
        #expect(broken > 300 && replay.faults.count > 50)
        #expect(replay.feed.ledger.isConsistent)
        for id in replay.feed.instruments {
            #expect(replay.sink.books[id]?.top(.max, of: .bid) == replay.feed.book(of: id)?.top(.max, of: .bid))
            let isMarked = replay.sink.bookFlags[id]?.contains(.maybeBadBook) == true
            #expect(isMarked == replay.feed.isDoubtful(id))
        }
        // Both miss a message or more by now.
        #expect(replay.feed.instruments.allSatisfy(replay.feed.isDoubtful))
    }

    @Test("one lost message is noticed when its order is named again, or nobody ever could")
    func oneLost() throws {
        // Only what names orders that rest: the recording itself lacks some.
        let clean = try Self.cleanMessages()
        var whole = ITCHReplay()
        for message in clean { whole.play(message) }
        let ids = whole.feed.instruments
        #expect(!ids.contains(where: whole.feed.isDoubtful) && ids.count == 2)
        var (noticed, unseen) = (0, 0)
        for lost in stride(from: 10, to: clean.count, by: 397) {
            var replay = ITCHReplay()
            for (index, message) in clean.enumerated() where index != lost { replay.play(message) }
            let isNoticed = ids.contains(where: replay.feed.isDoubtful)
            let isRight = ids.allSatisfy { replay.feed.orders(of: $0) == whole.feed.orders(of: $0) }
            if isNoticed {
                noticed += 1
            } else if !isRight {
                unseen += 1
                // What was lost is never spoken of again: the session's numbers would tell, a file has none.
                let kind = clean[lost][0]
                #expect(
                    [
                        UInt8(ascii: "A"), UInt8(ascii: "F"), UInt8(ascii: "U"), UInt8(ascii: "D"), UInt8(ascii: "X"),
                        UInt8(ascii: "E"),
                    ].contains(kind)
                )
            }
        }
        #expect(noticed > 2 && unseen > 2)
    }

    private static func cleanMessages() throws -> [[UInt8]] {
        let recording = try ITCHRecording()
        var replay = ITCHReplay()
        return recording.messages.filter { message in
            let before = replay.feed.counters.unknownOrders
            replay.play(message)
            return replay.feed.counters.unknownOrders == before
        }
    }
}

/// The same seed breaks the same bytes.
private struct Seeded: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
