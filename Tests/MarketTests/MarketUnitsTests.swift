import Market
import Testing

@Suite("A change of units")
struct MarketUnitsTests {
    private struct Recorder: MarketEventSink {
        var events: [MarketEvent] = []
        mutating func receive(_ event: MarketEvent, levels: Span<LevelChange>) { events.append(event) }
    }

    private func trade(_ ticks: Int64) -> MarketEvent {
        let trade = Trade(price: Price(ticks: ticks), quantity: Quantity(lots: 1), aggressor: .buyer, id: TradeID())
        return MarketEvent(instrument: InstrumentID(0), eventNs: 1, receivedNs: 1, payload: .trade(trade))
    }

    @Test("begins ticker, day figures and candles of a stream anew, while the numbers go on")
    func figures() throws {
        var stream = MarketStream(instrument: InstrumentID(0))
        var recorder = Recorder()
        stream.apply(trade(10_000), levels: Span(), into: &recorder)
        let changed = MarketEvent.Payload.status(MarketStatus(.resyncing, .unitsChanged))
        let event = MarketEvent(instrument: InstrumentID(0), eventNs: 1, receivedNs: 1, payload: changed)
        stream.apply(event, levels: Span(), into: &recorder)
        #expect(stream.ticker == Ticker())
        recorder.events = []
        stream.apply(trade(100), levels: Span(), into: &recorder)
        #expect(stream.ticker.day?.high == Price(ticks: 100))
        for event in recorder.events {
            #expect(event.sequence == 2)
            if case .candle(let candle) = event.payload { #expect(candle.high == Price(ticks: 100)) }
        }
        #expect(recorder.events.count == 8)
    }

    @Test("A pattern looks at the instruments it is given, and a name without venue means the primary one")
    func among() throws {
        var table = InstrumentTable()
        for (symbol, venue) in [("BTC-USD", "kraken"), ("BTC-USD", "coinbase"), ("ETH-USD", "coinbase")] {
            _ = try table.add(
                Instrument(
                    id: InstrumentID(0),
                    venue: venue,
                    symbol: symbol,
                    rawSymbol: symbol,
                    priceScale: 2,
                    quantityScale: 2
                )
            )
        }
        #expect(table.ids(matching: "*").map(\.rawValue) == [0, 2])
        #expect(table.ids(matching: "*", among: table.all[1...]).map(\.rawValue) == [2])
        #expect(table.ids(matching: "B*@c*e", among: table.all[1...]).map(\.rawValue) == [1])
    }
}
