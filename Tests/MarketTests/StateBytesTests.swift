import Market
import Testing

@Suite("What a process hands to its successor")
struct StateBytesTests {
    private static func instrument(_ symbol: String = "BTC-USD", scale: UInt8 = 2) -> Instrument {
        var instrument = Instrument(
            id: InstrumentID(0),
            venue: "kraken",
            symbol: symbol,
            rawSymbol: symbol.replacing("-", with: "/"),
            kind: .option,
            priceScale: scale,
            quantityScale: 8,
            tick: 5,
            lot: 10
        )
        instrument.terms.base = "BTC"
        instrument.terms.settle = "USD"
        instrument.terms.contractSize = Decimal(digits: 1, scale: 3)
        instrument.terms.isInverse = true
        instrument.terms.expiryNs = 1_700_000_000_000_000_000
        instrument.terms.strike = Decimal(digits: 50_000, scale: 0)
        instrument.terms.right = .put
        instrument.hasSingleOrders = true
        return instrument
    }

    @Test("is read as it was written: numbers, lists, texts, instruments")
    func roundTrip() throws {
        var writer = StateWriter()
        writer.append(UInt16(7))
        writer.append([Level(price: Price(ticks: -3), quantity: Quantity(lots: 4))])
        writer.append("Grüße")
        Self.instrument().append(to: &writer)
        var part = StateWriter()
        part.append(Int64.min)
        writer.append(part)
        var reader = StateReader(writer.bytes)
        #expect(try reader.read(UInt16.self) == 7)
        #expect(try reader.readAll(of: Level.self) == [Level(price: Price(ticks: -3), quantity: Quantity(lots: 4))])
        #expect(try reader.readText() == "Grüße")
        #expect(try Instrument(from: &reader) == Self.instrument())
        var inner = try reader.readPart()
        #expect(try inner.read(Int64.self) == .min && inner.isAtEnd && reader.isAtEnd)
    }

    @Test("is refused where bytes are missing, and a count is not believed")
    func refusesTornBytes() {
        var writer = StateWriter()
        Self.instrument().append(to: &writer)
        for count in 0..<writer.bytes.count {
            var reader = StateReader(Array(writer.bytes[..<count]))
            #expect(throws: StateReader.Malformed.self) { try Instrument(from: &reader) }
        }
        var reader = StateReader([UInt8](repeating: 0xff, count: 64))
        #expect(throws: StateReader.Malformed.self) { try reader.readAll(of: Level.self) }
    }

    @Test("an instrument keeps its id, and takes over what its source says of it now")
    func inheritsInstruments() throws {
        var table = InstrumentTable()
        let first = try table.inherit(Self.instrument("ETH-USD"))
        let id = try table.inherit(Self.instrument())
        #expect(table.isInherited(first) && table.isInherited(id))
        #expect(table.leastScales["BTC-USD@kraken"]?.price == 2)
        var now = Self.instrument(scale: 3)
        now.kind = .spot
        #expect(try table.add(now) == id)
        #expect(table[id].kind == .spot && table[id].priceScale == 3 && !table.isInherited(id))
        // Only once: two sources must not share a name.
        #expect(throws: InstrumentTable.Refusal.self) { try table.add(now) }
        #expect(table.isInherited(first) && table.all.count == 2)
    }

    @Test("numbers go on, and what comes first is said to follow a gap")
    func numbersGoOn() throws {
        struct Heard: MarketEventSink {
            var events: [MarketEvent] = []
            mutating func receive(_ event: MarketEvent, levels: Span<LevelChange>) { events.append(event) }
        }
        func event(_ payload: MarketEvent.Payload, _ ns: Int64) -> MarketEvent {
            MarketEvent(instrument: InstrumentID(0), eventNs: ns, receivedNs: ns, payload: payload)
        }
        let trade = Trade(price: Price(ticks: 9), quantity: Quantity(lots: 1), aggressor: .buyer, id: TradeID())
        var (before, heard) = (MarketStream(instrument: InstrumentID(0)), Heard())
        before.apply(event(.status(MarketStatus(.live, .none)), 1), levels: Span(), into: &heard)
        before.apply(event(.trade(trade), 2), levels: Span(), into: &heard)
        before.apply(event(.bookSnapshot(top: .none), 3), levels: Span(), into: &heard)
        var writer = StateWriter()
        before.append(to: &writer)
        var (after, reader) = (MarketStream(instrument: InstrumentID(0)), StateReader(writer.bytes))
        #expect(try after.goOn(from: &reader) == MarketStatus(.live, .none))
        heard.events = []
        for ns in 4...5 as ClosedRange<Int64> {
            after.apply(event(.trade(trade), ns), levels: Span(), into: &heard)
            after.apply(event(.bookDelta(top: .none), ns), levels: Span(), into: &heard)
        }
        func numbers(_ isMeant: (MarketEvent.Payload) -> Bool) -> [String] {
            heard.events.filter { isMeant($0.payload) }.map {
                "\($0.sequence)\($0.flags.contains(.gapBefore) ? "!" : "")"
            }
        }
        #expect(numbers { if case .trade = $0 { true } else { false } } == ["2!", "3"])
        #expect(numbers { if case .bookDelta = $0 { true } else { false } } == ["2!", "3"])
        let seconds = numbers { if case .candle(let candle) = $0 { candle.interval == .second } else { false } }
        #expect(seconds == ["2", "3"])
    }
}
