import Feeds
import Foundation
import Market
import Testing

/// The venue's own candles against those that are made of its trades.
///
/// Thirty seconds of recording hold no whole minute, so what can be compared is this: a minute that began while it was recorded,
/// at each of the venue's candles; and a minute that had begun before it, from the venue's first candle on, which stands in for
/// the trades before. The venue aggregates trades of one order and one price, and sends a candle between two of an aggregate at
/// times; only candles that end with the last trade of an aggregate can be compared.
@Suite("Candles of trades", .enabled(if: Captures.arePresent, "the captures are not beside the package"))
struct CandleGoldenTests {
    @Test("equal the venue's candle of the minute at every one that it sent", arguments: [nil, 0, 1] as [Int?])
    func equalsVenue(swappedFrom: Int?) throws {
        let golden: [GoldenCandle] = try Captures.rows("binance_futures/golden-binance_futures-A/candles.jsonl.gz")
        var replay = try Replay("binance-usdm")
        replay.play(try CaptureFile("binance_futures/binance_futures-A.cap.gz"))
        let parts = try Parts(of: "binance_futures/binance_futures-A.cap.gz")
        var compared = Compared()
        for symbol in Set(golden.map(\.symbol)) {
            let events = replay.recorder.events.filter { $0.instrument.symbol == symbol }
            let instrument = try #require(events.last?.instrument)
            // All in the units of the end, which are the finest.
            let trades = events.compactMap { line, event, was -> Parts.Timed? in
                guard case .trade(let trade) = event.payload else { return nil }
                return parts.timed(trade, event, line, from: was, to: instrument)
            }
            let candles = golden.filter { $0.symbol == symbol }
            compare(candles, trades, parts, instrument, swappedFrom, &compared)
        }
        #expect(compared.ofStartedMinutes == 5 && compared.continued == 12 && compared.closed == 2, "is: \(compared)")
    }

    private struct Compared {
        var ofStartedMinutes = 0
        var continued = 0
        var closed = 0
    }

    private func compare(
        _ golden: [GoldenCandle],
        _ trades: [Parts.Timed],
        _ parts: Parts,
        _ instrument: Instrument,
        _ swappedFrom: Int?,
        _ compared: inout Compared
    ) {
        guard let first = golden.first(where: { parts.lastTrade[$0.l] != nil }),
            let firstLast = parts.lastTrade[first.l]
        else { return }
        for candle in golden {
            guard let last = parts.lastTrade[candle.l] else { continue }
            var heard = Minutes()
            var stream = MarketStream(instrument: instrument.id)
            let isFirstMinute = candle.start_us == first.start_us
            if isFirstMinute {
                // The venue's first candle stands in for the trades before the recording.
                guard let slot = first.slot(instrument) else { continue }
                stream.resume([slot], minutes: [])
            }
            // What follows a closed candle must not change it, whatever the order.
            let (after, upTo) = (isFirstMinute ? firstLast : 0, candle.closed ? Int64.max : last)
            var counted = trades.filter { $0.firstID > after && $0.lastID <= upTo }
            if let swappedFrom, counted.count > swappedFrom {
                // The later trade of each two first; of one of the two ways it is across the minute's border too.
                for place in stride(from: swappedFrom, to: counted.count - 1, by: 2) {
                    counted.swapAt(place, place + 1)
                }
            }
            for trade in counted { stream.apply(trade.event, levels: Span(), into: &heard) }
            if candle.closed {
                stream.advance(toNs: (candle.start_us + 62_000_000) * 1_000 + 1_000_000_000, into: &heard)
                compared.closed += 1
            }
            guard candle.l != first.l else { continue }
            if isFirstMinute { compared.continued += 1 } else { compared.ofStartedMinutes += 1 }
            let ours = heard.last[candle.start_us * 1_000]
            #expect(ours.map { instrument.figures($0) } == candle.figures, "line \(candle.l)")
            #expect(ours?.isClosed == candle.closed, "line \(candle.l)")
            // One aggregate of the venue is several of its trades; that is the only figure that differs.
            let parts = counted.filter { CandleInterval.minute.openNs(of: $0.event.eventNs) == candle.start_us * 1_000 }
            let more = parts.reduce(0) { $0 + $1.lastID - $1.firstID }
            #expect(ours.map { Int64($0.tradeCount) + more } == Int64(candle.n), "line \(candle.l)")
        }
    }
}

/// What the recorded frames say that the hub does not keep: which of the venue's trades an aggregate is and a candle ends with.
private struct Parts {
    struct Timed {
        var event: MarketEvent
        var firstID: Int64
        var lastID: Int64
    }

    private var aggregates: [Int: (Int64, Int64)] = [:]
    /// The venue's last trade in its candle of a line, where that is the last of an aggregate.
    private(set) var lastTrade: [Int: Int64] = [:]

    init(of capture: String) throws {
        let file = try CaptureFile(capture)
        for line in file.lines where line.kind == UInt8(ascii: "R") {
            let text = String(decoding: file.bytes[line.payload], as: UTF8.self)
            if text.contains(#""e":"kline""#) { lastTrade[line.number] = number("L", text) }
            guard text.contains(#""e":"aggTrade""#) else { continue }
            let (first, last) = (try #require(number("f", text)), try #require(number("l", text)))
            aggregates[line.number] = (first, last)
        }
        let ends = Set(aggregates.values.map(\.1))
        lastTrade = lastTrade.filter { ends.contains($0.value) }
    }

    private func number(_ key: String, _ text: String) -> Int64? {
        guard let start = text.range(of: "\"\(key)\":")?.upperBound else { return nil }
        return Int64(text[start...].prefix { $0.isNumber })
    }

    func timed(_ trade: Trade, _ event: MarketEvent, _ line: Int, from was: Instrument, to now: Instrument) -> Timed? {
        guard let (first, last) = aggregates[line],
            let ticks = Market.Decimal(digits: trade.price.ticks, scale: was.priceScale).units(atScale: now.priceScale),
            let lots = Market.Decimal(digits: trade.quantity.lots, scale: was.quantityScale).units(
                atScale: now.quantityScale
            )
        else { return nil }
        var event = event
        var trade = trade
        (trade.price, trade.quantity) = (Price(ticks: ticks), Quantity(lots: lots))
        event.payload = .trade(trade)
        return Timed(event: event, firstID: first, lastID: last)
    }
}

private struct Minutes: MarketEventSink {
    var last: [Int64: Candle] = [:]

    mutating func receive(_ event: MarketEvent, levels: Span<LevelChange>) {
        guard case .candle(let candle) = event.payload, candle.interval == .minute else { return }
        last[candle.openNs] = candle
    }
}

extension Instrument {
    fileprivate func figures(_ candle: Candle) -> [String] {
        [candle.open, candle.high, candle.low, candle.close].map { text($0) } + [text(candle.volume)]
    }
}

extension GoldenCandle {
    fileprivate var figures: [String] { [o, h, l_, c, v] }

    fileprivate func slot(_ instrument: Instrument) -> CandleMaker.Slot? {
        let prices = [o, h, l_, c].compactMap { Market.Decimal($0)?.units(atScale: instrument.priceScale) }
        guard prices.count == 4, let lots = Market.Decimal(v)?.units(atScale: instrument.quantityScale) else {
            return nil
        }
        let candle = Candle(
            interval: .minute,
            openNs: start_us * 1_000,
            open: Price(ticks: prices[0]),
            high: Price(ticks: prices[1]),
            low: Price(ticks: prices[2]),
            close: Price(ticks: prices[3]),
            volume: Quantity(lots: lots),
            tradeCount: n,
            isClosed: false
        )
        return CandleMaker.Slot(candle: candle, firstNs: candle.openNs, lastNs: candle.openNs)
    }
}
