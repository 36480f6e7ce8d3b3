import Market
import Simulation
import Testing

@testable import Feeds

@Suite("The feed's writer")
struct FeedWriterTests {
    private static let instrument = Instrument(
        id: InstrumentID(0),
        venue: "kraken",
        symbol: "BTC-USD",
        rawSymbol: "XBT/USD",
        priceScale: 1,
        quantityScale: 8
    )

    private static func event(
        _ payload: MarketEvent.Payload,
        flags: EventFlags = .last,
        number: UInt64 = 0
    ) -> MarketEvent {
        MarketEvent(
            instrument: InstrumentID(0),
            flags: flags,
            eventNs: 1_767_225_600_123_456_789,
            receivedNs: 5,
            venueSequence: number,
            payload: payload
        )
    }

    private static func level(_ side: Side, _ price: Int64, _ quantity: Int64) -> LevelChange {
        LevelChange(side, price: Price(ticks: price), quantity: Quantity(lots: quantity))
    }

    private static let trade = Trade(
        price: Price(ticks: 500_001),
        quantity: Quantity(lots: 150_000_000),
        aggressor: .seller,
        id: TradeID("a-17/é") ?? TradeID()
    )

    @Test("writes protobuf as Python does, byte for byte")
    func writesGoldenBytes() throws {
        var writer = FeedWriter(.protobuf, isCounting: true)
        writer.write(FeedHello(name: "publisher 1.0", heartbeatMs: 5_000))
        #expect(writer.take() == (try MessageFeedTests.vector("hello")).framed)
        writer.declare(Self.instrument)
        #expect(writer.take() == (try MessageFeedTests.vector("declaration")).framed)
        writer.write(
            Self.event(.trade(Self.trade), flags: [.last, .historic], number: 77),
            levels: Span(),
            of: Self.instrument
        )
        var quoted = Self.event(
            .quote(
                Quote(
                    bid: Level(price: Price(ticks: 500_000), quantity: Quantity(lots: 5)),
                    ask: Level(price: Price(ticks: 500_002), quantity: Quantity(lots: 9))
                )
            )
        )
        quoted.eventNs = 0
        writer.write(quoted, levels: Span(), of: Self.instrument)
        writer.write(Self.event(.status(MarketStatus(.live, .started))), levels: Span(), of: Self.instrument)
        #expect(writer.take() == (try MessageFeedTests.vector("trade-quote-status")).framed)
        let book = [
            Self.level(.bid, 500_000, 5), Self.level(.bid, 499_990, 7), Self.level(.ask, 500_002, 9),
            Self.level(.ask, 500_010, 4),
        ]
        writer.write(
            Self.event(.bookSnapshot(top: .none), flags: [.last, .snapshot]),
            levels: book.span,
            of: Self.instrument
        )
        let changes = [Self.level(.bid, 500_000, 0), Self.level(.ask, 500_001, 1)]
        var changed = Self.event(.bookDelta(top: .none), number: 78)
        changed.eventNs += 1
        writer.write(changed, levels: changes.span, of: Self.instrument)
        #expect(writer.take() == (try MessageFeedTests.vector("book")).framed)
        var single = FeedWriter(.protobuf, isCounting: false)
        single.write(.noSnapshot, message: 7)
        #expect(single.take() == (try MessageFeedTests.vector("problem")).framed)
        #expect(single.take() == [])
    }

    @Test("writes a line of JSON for each")
    func writesLines() {
        var writer = FeedWriter(.json, isCounting: true)
        writer.write(FeedHello(name: "a \"hub\"", heartbeatMs: 5_000))
        writer.declare(Self.instrument)
        writer.write(
            Self.event(.trade(Self.trade), flags: [.last, .historic], number: 77),
            levels: Span(),
            of: Self.instrument
        )
        let book = [Self.level(.ask, 500_002, 9), Self.level(.bid, 500_000, 0)]
        writer.write(Self.event(.bookDelta(top: .none)), levels: book.span, of: Self.instrument)
        writer.writeHeartbeat()
        let lines = String(decoding: writer.take(), as: UTF8.self).split(separator: "\n").map(String.init)
        #expect(
            lines == [
                #"{"type":"hello","seq":1,"version":1,"name":"a \"hub\"","heartbeat_ms":5000}"#,
                #"{"type":"instrument","seq":2,"symbol":"BTC-USD:kraken","name":"BTC-USD","venue":"kraken","raw_symbol":"XBT/USD","kind":"spot","price_scale":1,"quantity_scale":8}"#,
                #"{"type":"trade","seq":3,"symbol":"BTC-USD:kraken","time_ns":1767225600123456789,"flags":64,"venue_seq":77,"price":"50000.1","quantity":"1.50000000","side":"sell","id":"a-17/é"}"#,
                #"{"type":"delta","seq":4,"symbol":"BTC-USD:kraken","time_ns":1767225600123456789,"bids":[["50000.0","0.00000000"]],"asks":[["50000.2","0.00000009"]]}"#,
                #"{"type":"heartbeat","seq":5}"#,
            ]
        )
    }

    @Test("says what its own reader understands, in both forms", arguments: FeedForm.allCases, 0..<20 as Range<UInt64>)
    func roundTrips(form: FeedForm, seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var writer = FeedWriter(form, isCounting: true)
        var sent = FeedListener()
        writer.declare(Self.instrument)
        for step in 0..<60 {
            let most = step == 0 ? 3_000 : Int.random(in: 0...5, using: &random)
            let levels = (0..<most).map { index in
                Self.level(
                    index % 2 == 0 ? .bid : .ask,
                    step == 0 ? Int64(1 + index) : Int64.random(in: 1...3_000, using: &random),
                    step == 0 ? 1 : Int64.random(in: 0...3, using: &random)
                )
            }
            let event: MarketEvent
            switch step == 0 ? 1 : Int.random(in: 0...4, using: &random) {
            case 0: event = Self.event(.trade(Self.trade), flags: [.last, .historic], number: seed)
            case 1: event = Self.event(.bookSnapshot(top: .none), flags: [.last, .snapshot])
            case 2: event = Self.event(.bookDelta(top: .none), number: .max)
            case 3:
                let quantities = (0..<2).map { _ in Int64.random(in: 0...1, using: &random) }
                let sides = quantities.map {
                    $0 == 0 ? Quote.none.bid : Level(price: Price(ticks: 7), quantity: Quantity(lots: 3))
                }
                event = Self.event(.quote(Quote(bid: sides[0], ask: sides[1])))
            default: event = Self.event(.status(MarketStatus(.live, .none)))
            }
            switch event.payload {
            case .bookSnapshot, .bookDelta:
                writer.write(event, levels: levels.span, of: Self.instrument)
                sent.receive(event, levels: levels.span)
            default:
                writer.write(event, levels: Span(), of: Self.instrument)
                sent.receive(event, levels: Span())
            }
        }
        var house = FeedHouse()
        house.settings.venue = nil
        house.settings.messageBytesMost = 1 << 20
        let bytes = writer.take()
        let verdict = form == .json ? house.say(String(decoding: bytes, as: UTF8.self)) : house.send(bytes)
        #expect(verdict.refusals == [] && verdict.gap == nil)
        let id = InstrumentID(0)
        #expect(house.table.all.first?.qualifiedSymbol == "BTC-USD@kraken")
        #expect(house.heard.books[id]?.checksum == sent.books[id]?.checksum)
        #expect(house.heard.books[id]?.levels == sent.books[id]?.levels && house.heard.wrongTops == 0)
        func others(_ listener: FeedListener) -> [String] {
            listener.log.filter { !$0.contains("snapshot") && !$0.contains("delta") && !$0.contains("started") }
        }
        #expect(others(house.heard) == others(sent))
    }
}
