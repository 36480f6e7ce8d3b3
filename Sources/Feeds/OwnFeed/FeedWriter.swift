public import Market

/// Writes the hub's own feed, in either form, for whoever reads it: see Docs/feeds/tcp.md.
///
/// What is written once may go to any number of readers. Messages are numbered through where the writer counts; those to a
/// single reader are not. A book with many levels becomes a snapshot of its first ones and changes that add the rest, so that no
/// message is long.
public struct FeedWriter: Sendable {
    /// Levels in one event.
    static let levelsMost = 1_000
    /// A protobuf message ends when its events have so many bytes.
    static let eventBytesMost = 16 * 1024

    public let form: FeedForm
    let isCounting: Bool
    var sequence: UInt64 = 0
    /// Whole messages.
    var finished: [UInt8] = []
    /// The `events` fields of a protobuf message that has not ended.
    private var events: [UInt8] = []
    private var scratch: [UInt8] = []

    public init(_ form: FeedForm, isCounting: Bool) {
        self.form = form
        self.isCounting = isCounting
    }

    public var byteCount: Int { finished.count + events.count }

    /// All messages written since the last time.
    public mutating func take() -> [UInt8] {
        endMessage()
        var taken: [UInt8] = []
        swap(&taken, &finished)
        return taken
    }

    // MARK: What can be said

    public mutating func write(_ hello: FeedHello) {
        switch form {
        case .json:
            beginLine("hello")
            number(",\"version\":", hello.version)
            text(",\"name\":", hello.name)
            number(",\"heartbeat_ms\":", hello.heartbeatMs)
            endLine()
        case .protobuf:
            event { bytes in
                ProtobufWriter.message(8, to: &bytes) { bytes in
                    ProtobufWriter.unsigned(hello.version, 1, to: &bytes)
                    ProtobufWriter.text(hello.name, 2, to: &bytes)
                    ProtobufWriter.unsigned(hello.heartbeatMs, 3, to: &bytes)
                }
            }
        }
    }

    public mutating func writeHeartbeat() {
        switch form {
        case .json:
            beginLine("heartbeat")
            endLine()
        case .protobuf:
            event { ProtobufWriter.message(9, to: &$0) { _ in } }
        }
    }

    /// Says why a message was not taken; `message` is its number on its connection, from 1 on, or 0 for none.
    public mutating func write(_ error: LineFeedError, message: UInt64) {
        switch form {
        case .json:
            beginLine("error")
            number(",\"code\":", UInt64(error.code))
            text(",\"reason\":", error.reason)
            text(",\"message\":", error.description)
            if message > 0 { number(",\"line\":", message) }
            endLine()
        case .protobuf:
            event { bytes in
                ProtobufWriter.message(16, to: &bytes) { bytes in
                    ProtobufWriter.unsigned(UInt64(error.code), 1, to: &bytes)
                    ProtobufWriter.text(error.reason, 2, to: &bytes)
                    ProtobufWriter.text(error.description, 3, to: &bytes)
                    ProtobufWriter.unsigned(message, 4, to: &bytes)
                }
            }
        }
    }

    /// Says what an instrument is, before anything of it and again when its units change.
    public mutating func declare(_ instrument: Instrument) {
        switch form {
        case .json:
            beginLine("instrument")
            text(",\"symbol\":", Self.key(of: instrument))
            text(",\"name\":", instrument.symbol)
            text(",\"venue\":", instrument.venue)
            text(",\"raw_symbol\":", instrument.rawSymbol)
            text(",\"kind\":", instrument.kind.name)
            number(",\"price_scale\":", UInt64(instrument.priceScale))
            number(",\"quantity_scale\":", UInt64(instrument.quantityScale))
            endLine()
        case .protobuf:
            event { bytes in
                ProtobufWriter.message(10, to: &bytes) { bytes in
                    ProtobufWriter.unsigned(Self.number(of: instrument.id), 1, to: &bytes)
                    ProtobufWriter.text(instrument.symbol, 2, to: &bytes)
                    ProtobufWriter.text(instrument.venue, 3, to: &bytes)
                    ProtobufWriter.text(instrument.rawSymbol, 4, to: &bytes)
                    ProtobufWriter.unsigned(UInt64(instrument.kind.rawValue), 5, to: &bytes)
                    ProtobufWriter.unsigned(UInt64(instrument.priceScale), 6, to: &bytes)
                    ProtobufWriter.unsigned(UInt64(instrument.quantityScale), 7, to: &bytes)
                    ProtobufWriter.unsigned(UInt64(bitPattern: instrument.tick), 8, to: &bytes)
                    ProtobufWriter.unsigned(UInt64(bitPattern: instrument.lot), 9, to: &bytes)
                }
            }
        }
    }

    /// Writes a trade, a quote, a status or a book event; tickers and candles the reader makes for itself, and
    /// single orders are not published.
    public mutating func write(_ event: MarketEvent, levels: Span<LevelChange>, of instrument: Instrument) {
        switch event.payload {
        case .trade, .quote, .status: write(event, levels, 0..<0, isFirst: true, instrument)
        case .bookSnapshot, .bookDelta:
            var start = 0
            repeat {
                let end = min(start + Self.levelsMost, levels.count)
                write(event, levels, start..<end, isFirst: start == 0, instrument)
                start = end
            } while start < levels.count
        case .ticker, .candle, .order: return
        }
    }

    private mutating func write(
        _ event: MarketEvent,
        _ levels: Span<LevelChange>,
        _ range: Range<Int>,
        isFirst: Bool,
        _ instrument: Instrument
    ) {
        switch form {
        case .json: writeLine(event, levels, range, isFirst: isFirst, instrument)
        case .protobuf: writeEvent(event, levels, range, isFirst: isFirst)
        }
    }

    /// What the reader is told of flags; the others it finds for itself.
    static func flags(of event: MarketEvent) -> UInt64 {
        UInt64(event.flags.intersection(FeedDatum.flagsKnown).subtracting(.last).rawValue)
    }

    // MARK: Protobuf

    /// The number of an instrument in the protobuf form; 0 means none.
    static func number(of id: InstrumentID) -> UInt64 { UInt64(id.rawValue) + 1 }

    private mutating func event(_ body: (inout [UInt8]) -> Void) {
        ProtobufWriter.message(2, to: &events, body)
        if events.count >= Self.eventBytesMost { endMessage() }
    }

    private mutating func endMessage() {
        guard !events.isEmpty else { return }
        scratch.removeAll(keepingCapacity: true)
        if isCounting {
            sequence += 1
            ProtobufWriter.unsigned(sequence, 1, to: &scratch)
        }
        let length = UInt32(scratch.count + events.count)
        for shift: UInt32 in [24, 16, 8, 0] { finished.append(UInt8(truncatingIfNeeded: length >> shift)) }
        finished += scratch
        finished += events
        events.removeAll(keepingCapacity: true)
    }

    private mutating func writeEvent(
        _ told: MarketEvent,
        _ levels: Span<LevelChange>,
        _ range: Range<Int>,
        isFirst: Bool
    ) {
        // A span cannot be captured: the payload is written first.
        var payload: [UInt8] = []
        swap(&payload, &scratch)
        payload.removeAll(keepingCapacity: true)
        let number: UInt32
        switch told.payload {
        case .trade(let trade):
            number = 11
            ProtobufWriter.signed(trade.price.ticks, 1, to: &payload)
            ProtobufWriter.unsigned(UInt64(trade.quantity.lots), 2, to: &payload)
            ProtobufWriter.unsigned(UInt64(trade.aggressor.rawValue), 3, to: &payload)
            ProtobufWriter.text(trade.id.text, 4, to: &payload)
        case .quote(let quote):
            number = 12
            ProtobufWriter.signed(quote.bid.price.ticks, 1, to: &payload)
            ProtobufWriter.unsigned(UInt64(quote.bid.quantity.lots), 2, to: &payload)
            ProtobufWriter.signed(quote.ask.price.ticks, 3, to: &payload)
            ProtobufWriter.unsigned(UInt64(quote.ask.quantity.lots), 4, to: &payload)
        case .status(let status):
            number = 15
            ProtobufWriter.unsigned(UInt64(status.state.rawValue), 1, to: &payload)
            ProtobufWriter.unsigned(UInt64(status.reason.rawValue), 2, to: &payload)
        case .bookSnapshot, .bookDelta, .ticker, .candle, .order:
            if case .bookSnapshot = told.payload, isFirst { number = 13 } else { number = 14 }
            for index in range {
                let level = levels[index]
                ProtobufWriter.message(level.side == .bid ? 1 : 2, to: &payload) { bytes in
                    ProtobufWriter.signed(level.price.ticks, 1, to: &bytes)
                    ProtobufWriter.unsigned(UInt64(level.quantity.lots), 2, to: &bytes)
                }
            }
        }
        event { bytes in
            ProtobufWriter.unsigned(Self.number(of: told.instrument), 1, to: &bytes)
            ProtobufWriter.fixed(UInt64(bitPattern: told.eventNs), 2, to: &bytes)
            ProtobufWriter.unsigned(Self.flags(of: told), 3, to: &bytes)
            ProtobufWriter.unsigned(told.venueSequence, 4, to: &bytes)
            ProtobufWriter.message(number, to: &bytes) { $0 += payload }
        }
        if scratch.isEmpty { swap(&payload, &scratch) }
    }
}
