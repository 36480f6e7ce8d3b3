/// Turns what a feed says of one instrument into the numbered events that clients hear.
///
/// It numbers each source (trades, ticker, book, status, and candles of each interval) by itself, from 1 and without gaps, and
/// makes tickers and candles out of trades and books. One thread owns it, so the numbers are the same for every listener.
///
/// The rules:
/// * A ticker follows every trade and every change of the best prices. The venue's own quotes are used once it has sent one,
///   the top of the book until then.
/// * Candles count a trade by its event time, or its receive time where the venue gives none. A trade of a later interval
///   closes the candle; so does the clock, two seconds after the interval's end. A trade older than the open candle is too
///   late and changes no candle. Historic trades change none either.
/// * A status that says that the units changed starts ticker, day figures and candles anew: the numbers they hold have
///   another meaning now. Sequences go on.
public struct MarketStream: Sendable {
    public let instrument: InstrumentID
    public private(set) var ticker = Ticker()
    public private(set) var status = MarketStatus(.disconnected, .started)

    private var sequences = Sequences()
    private var day = DayFigures()
    private var candles = InlineArray<6, Candle?>(repeating: nil)
    private var hasVenueQuotes = false
    private static let candleGraceNs: Int64 = 2_000_000_000

    private struct Sequences: Sendable {
        var trades: UInt64 = 0
        var ticker: UInt64 = 0
        var book: UInt64 = 0
        var status: UInt64 = 0
        var orders: UInt64 = 0
        var candles = InlineArray<6, UInt64>(repeating: 0)
    }

    public init(instrument: InstrumentID) { self.instrument = instrument }

    /// Numbers of the last event of each source, as they stand now.
    public var bookSequence: UInt64 { sequences.book }
    public var tickerSequence: UInt64 { sequences.ticker }
    public var statusSequence: UInt64 { sequences.status }
    public var ordersSequence: UInt64 { sequences.orders }

    /// Passes one event of a feed on, numbered, with the tickers and candles that follow from it.
    ///
    /// - Parameters:
    ///   - event: a trade, quote, book event or status without number; a venue's own candle is left out.
    ///   - levels: the levels of a book event.
    ///   - sink: told in the order trade or book, ticker, candles.
    public mutating func apply(
        _ event: MarketEvent,
        levels: Span<LevelChange>,
        into sink: inout some MarketEventSink
    ) {
        var numbered = event
        switch event.payload {
        case .trade(let trade):
            sequences.trades += 1
            numbered.sequence = sequences.trades
            sink.receive(numbered, levels: Span())
            apply(trade, of: event, into: &sink)
        case .quote(let quote):
            hasVenueQuotes = true
            guard quote != ticker.quote else { return }
            ticker.quote = quote
            sendTicker(like: event, extra: [], into: &sink)
        case .bookSnapshot(let top), .bookDelta(let top):
            sequences.book += 1
            numbered.sequence = sequences.book
            sink.receive(numbered, levels: levels)
            guard !hasVenueQuotes, top != ticker.quote else { return }
            ticker.quote = top
            sendTicker(like: event, extra: .synthetic, into: &sink)
        case .status(let new):
            status = new
            if new.reason == .unitsChanged { forgetOldUnits() }
            sequences.status += 1
            numbered.sequence = sequences.status
            sink.receive(numbered, levels: Span())
        case .order(let change):
            // A snapshot is one event, however many orders it has.
            if !event.flags.contains(.snapshot) || change.kind == .cleared { sequences.orders += 1 }
            numbered.sequence = sequences.orders
            sink.receive(numbered, levels: Span())
        case .ticker, .candle:
            return
        }
    }

    /// Closes the candles whose interval is over at `nowNs`, the feed's clock.
    public mutating func closeCandles(atNs nowNs: Int64, into sink: inout some MarketEventSink) {
        for interval in CandleInterval.allCases {
            guard let candle = candles[Int(interval.rawValue)], !candle.isClosed,
                nowNs - interval.lengthNs - Self.candleGraceNs >= candle.openNs
            else { continue }
            close(candle, receivedNs: nowNs, into: &sink)
        }
    }

    /// Figures in units of before must not mix with those of now.
    private mutating func forgetOldUnits() {
        ticker = Ticker()
        day = DayFigures()
        candles = InlineArray(repeating: nil)
    }

    private mutating func apply(_ trade: Trade, of event: MarketEvent, into sink: inout some MarketEventSink) {
        let timeNs = event.eventNs == 0 ? event.receivedNs : event.eventNs
        ticker.last = Level(price: trade.price, quantity: trade.quantity)
        guard !event.flags.contains(.historic) else { return sendTicker(like: event, extra: [], into: &sink) }
        day.add(trade.price, trade.quantity, atNs: timeNs)
        ticker.day = day.day
        sendTicker(like: event, extra: [], into: &sink)
        for interval in CandleInterval.allCases {
            let index = Int(interval.rawValue)
            let openNs = interval.openNs(of: timeNs)
            if var candle = candles[index], openNs <= candle.openNs {
                guard openNs == candle.openNs, !candle.isClosed else { continue }
                candle.add(trade.price, trade.quantity)
                candles[index] = candle
            } else {
                if let candle = candles[index], !candle.isClosed {
                    close(candle, receivedNs: event.receivedNs, into: &sink)
                }
                candles[index] = Candle(
                    interval: interval,
                    openNs: openNs,
                    first: trade.price,
                    quantity: trade.quantity
                )
            }
            if let candle = candles[index] {
                send(candle, eventNs: event.eventNs, receivedNs: event.receivedNs, into: &sink)
            }
        }
    }

    private mutating func close(_ candle: Candle, receivedNs: Int64, into sink: inout some MarketEventSink) {
        var closed = candle
        closed.isClosed = true
        candles[Int(candle.interval.rawValue)] = closed
        send(closed, eventNs: endNs(of: closed), receivedNs: receivedNs, into: &sink)
    }

    private func endNs(of candle: Candle) -> Int64 {
        let (endNs, overflow) = candle.openNs.addingReportingOverflow(candle.interval.lengthNs)
        return overflow ? .max : endNs
    }

    private mutating func send(
        _ candle: Candle,
        eventNs: Int64,
        receivedNs: Int64,
        into sink: inout some MarketEventSink
    ) {
        let index = Int(candle.interval.rawValue)
        sequences.candles[index] += 1
        let event = MarketEvent(
            instrument: instrument,
            flags: .synthetic,
            eventNs: eventNs,
            receivedNs: receivedNs,
            sequence: sequences.candles[index],
            payload: .candle(candle)
        )
        sink.receive(event, levels: Span())
    }

    private mutating func sendTicker(
        like event: MarketEvent,
        extra: EventFlags,
        into sink: inout some MarketEventSink
    ) {
        sequences.ticker += 1
        let flags = event.flags.subtracting([.snapshot, .checksumOK]).union(extra)
        let ticked = MarketEvent(
            instrument: instrument,
            flags: flags,
            eventNs: event.eventNs,
            receivedNs: event.receivedNs,
            venueSequence: event.venueSequence,
            sequence: sequences.ticker,
            payload: .ticker(ticker)
        )
        sink.receive(ticked, levels: Span())
    }
}
