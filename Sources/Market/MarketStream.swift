/// Turns what a feed says of one instrument into the numbered events that clients hear.
///
/// It numbers each source (trades, ticker, book, status, and candles of each interval) by itself, from 1 and without gaps, and
/// makes tickers and candles out of trades and books. One thread owns it, so the numbers are the same for every listener.
///
/// The rules:
/// * A ticker follows every trade and every change of the best prices. The venue's own quotes are used once it has sent one,
///   the top of the book until then.
/// * Candles follow the rules of ``CandleMaker``. Historic trades change none, derived ones do.
/// * The figures of the last 24 hours forget a minute when the clock says so, whether or not there is a trade.
/// * A status that says that the units changed starts the ticker anew. Day figures and candles go on in the new units when
///   ``changeUnits(price:quantity:)`` said before how many times finer they are, and begin anew when it did not. Sequences go
///   on.
public struct MarketStream: Sendable {
    public let instrument: InstrumentID
    public private(set) var ticker = Ticker()
    public private(set) var status = MarketStatus(.disconnected, .started)

    /// When a book event or quote was last received; nil before the first.
    public private(set) var quoteReceivedNs: Int64?

    private var sequences = Sequences()
    /// What comes next of these is said to follow a gap, because nobody listened for a while.
    private var gapAhead: (trades: Bool, book: Bool, orders: Bool) = (false, false, false)
    private var day = DayFigures()
    public private(set) var candles: CandleMaker
    private var hasVenueQuotes = false
    /// Whether day figures and candles are in the units that the next status speaks of.
    private var isInNewUnits = false

    private struct Sequences: Sendable, BitwiseCopyable {
        var trades: UInt64 = 0
        var ticker: UInt64 = 0
        var book: UInt64 = 0
        var status: UInt64 = 0
        var orders: UInt64 = 0
    }

    public init(instrument: InstrumentID) {
        self.instrument = instrument
        candles = CandleMaker(instrument: instrument)
    }

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
            if Self.take(&gapAhead.trades) { numbered.flags.insert(.gapBefore) }
            sink.receive(numbered, levels: Span())
            apply(trade, of: event, into: &sink)
        case .quote(let quote):
            hasVenueQuotes = true
            quoteReceivedNs = event.receivedNs
            guard quote != ticker.quote else { return }
            ticker.quote = quote
            sendTicker(like: event, extra: [], into: &sink)
        case .bookSnapshot(let top), .bookDelta(let top):
            sequences.book += 1
            quoteReceivedNs = event.receivedNs
            numbered.sequence = sequences.book
            if Self.take(&gapAhead.book) { numbered.flags.insert(.gapBefore) }
            sink.receive(numbered, levels: levels)
            guard !hasVenueQuotes, top != ticker.quote else { return }
            ticker.quote = top
            sendTicker(like: event, extra: .synthetic, into: &sink)
        case .status(let new):
            status = new
            if new.reason == .unitsChanged { forgetOldUnits() }
            if new.state == .disconnected {
                candles.stopListening()
            } else {
                candles.listen(receivedNs: event.receivedNs)
            }
            sequences.status += 1
            numbered.sequence = sequences.status
            sink.receive(numbered, levels: Span())
        case .order(let change):
            // A snapshot is one event, however many orders it has.
            if !event.flags.contains(.snapshot) || change.kind == .cleared { sequences.orders += 1 }
            numbered.sequence = sequences.orders
            if gapAhead.orders { numbered.flags.insert(.gapBefore) }
            if !event.flags.contains(.snapshot) || change.kind == .complete { gapAhead.orders = false }
            sink.receive(numbered, levels: Span())
        case .ticker, .candle:
            return
        }
    }

    /// Closes the candles whose interval is over at `nowNs`, the feed's clock, and lets the day's figures forget what is.
    public mutating func advance(toNs nowNs: Int64, into sink: inout some MarketEventSink) {
        candles.advance(toNs: nowNs, into: &sink)
        guard day.expire(atNs: candles.venueClock.venueNs(nowNs)) else { return }
        ticker.day = day.day
        let event = MarketEvent(instrument: instrument, eventNs: 0, receivedNs: nowNs, payload: .ticker(ticker))
        sendTicker(like: event, extra: .synthetic, into: &sink)
    }

    /// Goes on where an earlier run ended; both in the present units.
    ///
    /// - Parameters:
    ///   - slots: what its ``CandleMaker/slots`` were.
    ///   - minutes: its candles of a minute with trades, the newest too, in the order of time.
    public mutating func resume(_ slots: [CandleMaker.Slot], minutes: some Sequence<Candle>) {
        candles.resume(slots)
        day.resume(minutes)
        ticker.day = day.day
    }

    // MARK: From process to process

    /// Writes where the numbers are; candles and minutes go their own way, as for any later run.
    public func append(to state: inout StateWriter) {
        state.append(sequences)
        state.append(candles.sequences)
        state.append(ticker)
        state.append(status)
    }

    /// Goes on with the numbers of the process before; the next trade, book and order follow a gap.
    ///
    /// - Returns: the status that the process before told last.
    public mutating func goOn(from state: inout StateReader) throws(StateReader.Malformed) -> MarketStatus {
        sequences = try state.read()
        candles.sequences = try state.read()
        let known: Ticker = try state.read()
        (ticker.quote, ticker.last) = (known.quote, known.last)
        status = try state.read()
        gapAhead = (sequences.trades > 0, sequences.book > 0, sequences.orders > 0)
        return status
    }

    private static func take(_ flag: inout Bool) -> Bool {
        defer { flag = false }
        return flag
    }

    /// Takes over units that are so many times finer; the status that says so is to follow.
    public mutating func changeUnits(price: Int64, quantity: Int64) {
        candles.rescale(price: price, quantity: quantity)
        day.rescale(price: price, quantity: quantity)
        isInNewUnits = true
    }

    /// Whether a candle changed since this was last asked.
    public mutating func takeHasNewCandles() -> Bool { candles.takeIsChanged() }

    /// Figures in units of before must not mix with those of now.
    private mutating func forgetOldUnits() {
        ticker = Ticker()
        if isInNewUnits {
            ticker.day = day.day
        } else {
            day = DayFigures()
            candles.forget()
        }
        isInNewUnits = false
    }

    private mutating func apply(_ trade: Trade, of event: MarketEvent, into sink: inout some MarketEventSink) {
        ticker.last = Level(price: trade.price, quantity: trade.quantity)
        guard !event.flags.contains(.historic) else { return sendTicker(like: event, extra: [], into: &sink) }
        let timeNs = candles.timeNs(of: event)
        day.add(trade.price, trade.quantity, atNs: timeNs)
        ticker.day = day.day
        sendTicker(like: event, extra: [], into: &sink)
        candles.add(trade, of: event, atNs: timeNs, into: &sink)
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
