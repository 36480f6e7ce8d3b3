public import Hub
public import Market

// How a push of market data becomes bytes: by hand, because this is done for every change of every topic. Compared byte for byte
// with protobuf-c in the tests.

extension EnhancedCodec {
    /// The most bytes that a push takes without its payload's levels, instrument and trade id, and room to spare.
    private static let pushLengthMost = 256

    /// Appends one `pushes` field of a ``ServerFrame``: tag, length and the push.
    ///
    /// These bytes are the unit that subscribers share: any number of them, one after the other, is a valid frame.
    /// The table is that of the pass; it is read only for a status that says that units changed.
    public static func append(
        _ push: borrowing Push,
        of pass: borrowing Pass,
        instruments: borrowing [Instrument],
        to out: inout OutputBytes
    ) {
        out.reserve(pushLengthMost)
        if case .orderChange(let change) = push.payload { return append(change, push, to: &out) }
        let levelCount = push.levels.upperBound - push.levels.lowerBound
        // A level takes about twelve bytes: leave as much room for the length as it will most likely take.
        let lengthRoom = levelCount > 1200 ? 3 : levelCount > 6 ? 2 : 1
        let frame = out.openMessage(2, lengthRoom: lengthRoom)
        var at = out.end
        put(headOf: push, at: &at)
        switch push.payload {
        case .ticker(let ticker):
            Self.put(8, at: &at) { Self.put(ticker, at: &$0) }
        case .trade(let trade):
            Self.put(9, at: &at) { Self.put(trade, at: &$0) }
        case .candle(let candle):
            Self.put(12, at: &at) { Self.put(candle, at: &$0) }
        case .tradeAggregate(let trades):
            Self.put(14, at: &at) { Self.put(trades, at: &$0) }
        case .bookSnapshot, .bookDelta:
            let field: UInt8 = if case .bookSnapshot = push.payload { 10 } else { 11 }
            out.advance(to: at)
            let book = out.openMessage(field, lengthRoom: lengthRoom)
            append(pass.levels[Int(push.levels.lowerBound)..<Int(push.levels.upperBound)], to: &out)
            if let checksum = push.checksum {
                out.reserve(5)
                at = out.end
                at.put(3, present: checksum)
                out.advance(to: at)
            }
            out.close(book)
            at = out.end
        case .orderSnapshot:
            out.advance(to: at)
            let orders = pass.orders[Int(push.levels.lowerBound)..<Int(push.levels.upperBound)]
            append(orders, push.checksum, lengthRoom: lengthRoom, to: &out)
            at = out.end
        case .orderChange: break
        case .status(let status):
            out.advance(to: at)
            append(status, instruments[push.instrument.index], to: &out)
            at = out.end
        }
        out.advance(to: at)
        out.close(frame)
    }

    /// What every push begins with.
    @inline(__always)
    static func put(headOf push: borrowing Push, at: inout UnsafeMutablePointer<UInt8>) {
        at.put(1, varint: UInt64(push.topic.rawValue))
        at.put(2, varint: push.sequence)
        at.put(3, varint: push.previous)
        at.put(4, varint: push.skipped)
        at.put(5, fixed64: UInt64(bitPattern: push.eventNs))
        at.put(6, fixed64: UInt64(bitPattern: push.receivedNs))
        at.put(7, varint: UInt64(push.flags.rawValue))
    }

    /// Puts a message field of less than 128 bytes.
    @inline(__always)
    static func put(
        _ field: UInt8,
        at: inout UnsafeMutablePointer<UInt8>,
        _ content: (inout UnsafeMutablePointer<UInt8>) -> Void
    ) {
        at.put(field << 3 | WireKind.bytes)
        let length = at
        at += 1
        content(&at)
        assert(at - length <= 128, "the message's length does not fit one byte")
        length.pointee = UInt8(truncatingIfNeeded: at - length - 1)
    }

    /// At most 110 bytes.
    @inline(__always)
    private static func put(_ ticker: Ticker, at: inout UnsafeMutablePointer<UInt8>) {
        at.put(1, signed: ticker.quote.bid.price.ticks)
        at.put(2, varint: UInt64(bitPattern: ticker.quote.bid.quantity.lots))
        at.put(3, signed: ticker.quote.ask.price.ticks)
        at.put(4, varint: UInt64(bitPattern: ticker.quote.ask.quantity.lots))
        at.put(5, signed: ticker.last.price.ticks)
        at.put(6, varint: UInt64(bitPattern: ticker.last.quantity.lots))
        guard let day = ticker.day else { return }
        at.put(7, signed: day.open.ticks)
        at.put(8, signed: day.high.ticks)
        at.put(9, signed: day.low.ticks)
        at.put(10, varint: UInt64(bitPattern: day.volume.lots))
    }

    /// At most 89 bytes.
    @inline(__always)
    private static func put(_ trade: Trade, at: inout UnsafeMutablePointer<UInt8>) {
        at.put(1, signed: trade.price.ticks)
        at.put(2, varint: UInt64(bitPattern: trade.quantity.lots))
        at.put(3, varint: UInt64(trade.aggressor.rawValue))
        guard !trade.id.isEmpty else { return }
        at.put(4 << 3 | WireKind.bytes)
        at.put(trade.id.count)
        trade.id.withBytes { bytes in
            UnsafeMutableRawBufferPointer(start: at, count: bytes.count).copyMemory(from: bytes)
            at += bytes.count
        }
    }

    /// At most 50 bytes.
    @inline(__always)
    private static func put(_ trades: TradeAggregate, at: inout UnsafeMutablePointer<UInt8>) {
        at.put(1, signed: trades.high.ticks)
        at.put(2, signed: trades.low.ticks)
        at.put(3, signed: trades.last.ticks)
        at.put(4, varint: UInt64(bitPattern: trades.volume.lots))
        at.put(5, varint: UInt64(trades.count))
    }

    /// At most 76 bytes.
    @inline(__always)
    private static func put(_ candle: Candle, at: inout UnsafeMutablePointer<UInt8>) {
        at.put(1, varint: UInt64(candle.interval.wireValue))
        at.put(2, fixed64: UInt64(bitPattern: candle.openNs))
        at.put(3, signed: candle.open.ticks)
        at.put(4, signed: candle.high.ticks)
        at.put(5, signed: candle.low.ticks)
        at.put(6, signed: candle.close.ticks)
        at.put(7, varint: UInt64(bitPattern: candle.volume.lots))
        at.put(8, varint: UInt64(candle.tradeCount))
        at.put(9, varint: candle.isClosed ? 1 : 0)
        at.put(10, varint: candle.isPartial ? 1 : 0)
    }

    /// Appends a message field for each candle.
    static func append(_ field: UInt8, _ candles: [Candle], to out: inout OutputBytes) {
        let candleLengthMost = 80
        out.reserve(candles.count * candleLengthMost + WireKind.slack)
        var at = out.end
        for candle in candles { put(field, at: &at) { put(candle, at: &$0) } }
        out.advance(to: at)
    }

    /// Bids, then asks: protobuf-c's order, which is the order of the field numbers.
    private static func append(_ levels: ArraySlice<LevelChange>, to out: inout OutputBytes) {
        let levelLengthMost = 2 + 2 * (1 + WireKind.varintLengthMost)
        out.reserve(levels.count * levelLengthMost + WireKind.slack)
        var at = out.end
        levels.withUnsafeBufferPointer { levels in
            for side in [Side.bid, .ask] {
                let field: UInt8 = side == .bid ? 1 : 2
                for level in levels where level.side == side {
                    put(field, at: &at) { at in
                        at.put(1, signed: level.price.ticks)
                        at.put(2, varint: UInt64(bitPattern: level.quantity.lots))
                    }
                }
            }
        }
        out.advance(to: at)
    }

    private static func append(_ status: MarketStatus, _ instrument: Instrument, to out: inout OutputBytes) {
        out.message(13) { out in
            out.field(1, UInt32(status.state.rawValue))
            out.field(2, UInt32(status.reason.rawValue))
            if status.reason == .unitsChanged { append(3, instrument, to: &out) }
        }
    }
}

extension CandleInterval {
    /// The number of this interval in the protobuf contract.
    var wireValue: UInt8 { rawValue + 1 }
}
