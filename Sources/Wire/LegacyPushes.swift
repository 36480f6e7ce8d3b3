public import Hub
public import Market

/// The instruments as legacy clients name them: the symbol alone where the instrument is the primary one of that symbol, the qualified
/// symbol otherwise.
///
/// One topic is shared by those who subscribed to `BTC-USD` and those who wrote `BTC-USD@kraken`, so the name in a frame is the
/// instrument's, not the subscriber's. Made anew, or brought up to date, when the table's version changes.
public struct LegacyInstruments: Sendable {
    /// By ``InstrumentID/index``, in a list of its own: a table that was shared would be copied whenever it changes.
    public private(set) var all: [Instrument] = []
    /// By ``InstrumentID/index``: the name as a JSON string with quotes.
    private var names: [[UInt8]] = []
    /// Beside the names, because an ``Instrument`` costs four counted references to look at.
    private var scales: [Scales] = []

    struct Scales {
        var price: UInt8
        var quantity: UInt8
    }

    public init(_ table: InstrumentTable) { welcome(from: table) }

    /// Takes the instruments that a later table has in addition.
    public mutating func welcome(from table: InstrumentTable) {
        let new = table.all[all.count...]
        names += new.map(Self.name(in: table))
        scales += new.map(Self.scales)
        all += new
    }

    /// Takes over an instrument's new units.
    public mutating func rescale(_ id: InstrumentID, from table: InstrumentTable) {
        all[id.index] = table[id]
        scales[id.index] = Self.scales(of: table[id])
    }

    private static func scales(of instrument: Instrument) -> Scales {
        Scales(price: instrument.priceScale, quantity: instrument.quantityScale)
    }

    private static func name(in table: InstrumentTable) -> (Instrument) -> [UInt8] {
        { instrument in
            let isPrimary = table.id(named: instrument.symbol) == instrument.id
            var out = OutputBytes(capacity: 64)
            out.append(json: isPrimary ? instrument.symbol : instrument.qualifiedSymbol)
            return out.withBytes { Array($0) }
        }
    }

    func scales(of id: InstrumentID) -> Scales { scales[id.index] }

    func putName(of id: InstrumentID, to out: inout OutputBytes) {
        names[id.index].withUnsafeBytes { out.append($0) }
    }
}

// A push of market data as JSON: `{"type":CHANNEL,"channel":CHANNEL,"symbol":SYMBOL,"data":{...}}`, keys in this order.

extension LegacyCodec {
    /// Appends one datum, one JSON text; the caller frames it or puts it into a batch.
    ///
    /// Appends nothing when there is nothing to say: market data of an instrument without a trade yet. The market data channel takes a
    /// trade or a ticker; of an aggregate the volume is that of all its trades.
    public static func append(
        _ push: borrowing Push,
        of pass: borrowing Pass,
        instruments: borrowing LegacyInstruments,
        to out: inout OutputBytes
    ) {
        let start = out.count
        defer { if push.fields != 0 { LegacyFields.keep(push.fields, of: push.channel, from: start, in: &out) } }
        let scales = instruments.scales(of: push.instrument)
        if push.channel == .marketData {
            guard let last = latestTrade(push.payload) else { return }
            out.append(#"{"type":"marketData","channel":"marketData","symbol":"#)
            instruments.putName(of: push.instrument, to: &out)
            out.append(#","data":{"price":"#)
            out.append(units: last.price.ticks, scale: scales.price)
            out.append(#","volume":"#)
            out.append(units: last.quantity.lots, scale: scales.quantity)
            return out.append("}}")
        }
        out.append(opening(of: push.channel))
        instruments.putName(of: push.instrument, to: &out)
        out.append(#","data":{"time":""#)
        out.append(timeNs: push.eventNs == 0 ? push.receivedNs : push.eventNs)
        out.append(#"","sequence":"#)
        out.append(decimal: push.sequence)
        switch push.payload {
        case .ticker(let ticker): append(ticker, scales, to: &out)
        case .trade(let trade): append(trade, scales, to: &out)
        case .tradeAggregate(let trades): append(trades, scales, to: &out)
        case .candle(let candle): append(candle, scales, to: &out)
        case .bookSnapshot, .bookDelta:
            out.append(#","previous":"#)
            out.append(decimal: push.previous)
            let isSnapshot = if case .bookSnapshot = push.payload { true } else { false }
            out.append(isSnapshot ? #","kind":"snapshot""# : #","kind":"update""#)
            let levels = pass.levels[Int(push.levels.lowerBound)..<Int(push.levels.upperBound)]
            append(levels, scales, to: &out)
            if let checksum = push.checksum {
                out.append(#","checksum":"#)
                out.append(decimal: UInt64(checksum))
            }
        case .status(let status): append(status, instruments.all[push.instrument.index], to: &out)
        // Of a channel that no legacy client can listen to.
        case .orderSnapshot, .orderChange: break
        }
        out.append("}}")
    }

    private static func latestTrade(_ payload: Push.Payload) -> Level? {
        switch payload {
        case .trade(let trade): Level(price: trade.price, quantity: trade.quantity)
        case .tradeAggregate(let trades): Level(price: trades.last, quantity: trades.volume)
        case .ticker(let ticker): ticker.last.quantity.isZero ? nil : ticker.last
        case .candle, .bookSnapshot, .bookDelta, .status, .orderSnapshot, .orderChange: nil
        }
    }

    private static func opening(of channel: Channel) -> StaticString {
        switch channel {
        case .marketData: #"{"type":"marketData","channel":"marketData","symbol":"#
        case .ticker: #"{"type":"ticker","channel":"ticker","symbol":"#
        case .trades: #"{"type":"trades","channel":"trades","symbol":"#
        case .book: #"{"type":"book","channel":"book","symbol":"#
        case .candles: #"{"type":"candles","channel":"candles","symbol":"#
        case .status: #"{"type":"status","channel":"status","symbol":"#
        case .orders: #"{"type":"bookOrders","channel":"bookOrders","symbol":"#
        }
    }

    private static func append(_ ticker: Ticker, _ scales: LegacyInstruments.Scales, to out: inout OutputBytes) {
        append(#","bid":"#, #","bidQuantity":"#, ticker.quote.bid, scales, to: &out)
        append(#","ask":"#, #","askQuantity":"#, ticker.quote.ask, scales, to: &out)
        append(#","last":"#, #","lastQuantity":"#, ticker.last, scales, to: &out)
        guard let day = ticker.day else {
            return out.append(#","open":null,"high":null,"low":null,"volume":null"#)
        }
        append(#","open":"#, day.open, scales, to: &out)
        append(#","high":"#, day.high, scales, to: &out)
        append(#","low":"#, day.low, scales, to: &out)
        append(#","volume":"#, day.volume, scales, to: &out)
    }

    private static func append(_ trade: Trade, _ scales: LegacyInstruments.Scales, to out: inout OutputBytes) {
        append(#","price":"#, trade.price, scales, to: &out)
        append(#","quantity":"#, trade.quantity, scales, to: &out)
        switch trade.aggressor {
        case .buyer: out.append(#","side":"buy","id":"#)
        case .seller: out.append(#","side":"sell","id":"#)
        case .unknown: out.append(#","side":null,"id":"#)
        }
        if trade.id.isEmpty { return out.append("null") }
        trade.id.withBytes { out.append(json: $0) }
    }

    private static func append(_ trades: TradeAggregate, _ scales: LegacyInstruments.Scales, to out: inout OutputBytes)
    {
        append(#","price":"#, trades.last, scales, to: &out)
        append(#","quantity":"#, trades.volume, scales, to: &out)
        append(#","high":"#, trades.high, scales, to: &out)
        append(#","low":"#, trades.low, scales, to: &out)
        out.append(#","count":"#)
        out.append(decimal: UInt64(trades.count))
    }

    /// `{"type":"candles","channel":"candles","symbol":SYMBOL,"interval":"1m","history":[{...}]}`: past candles, oldest first.
    public static func append(
        history: PastCandles,
        _ interval: CandleInterval,
        of instrument: InstrumentID,
        instruments: borrowing LegacyInstruments,
        to out: inout OutputBytes
    ) {
        out.append(opening(of: .candles))
        instruments.putName(of: instrument, to: &out)
        out.append(#","interval":"#)
        out.append(json: interval.name)
        out.append(#","history":"#)
        append(history, to: &out)
        out.append("}")
    }

    /// A list of candles, decimals as text.
    public static func append(_ past: PastCandles, to out: inout OutputBytes) {
        let scales = LegacyInstruments.Scales(price: past.priceScale, quantity: past.quantityScale)
        out.append("[")
        for (index, candle) in past.candles.enumerated() {
            out.append(index > 0 ? #",{"start":""# : #"{"start":""#)
            appendFigures(candle, scales, to: &out)
            out.append("}")
        }
        out.append("]")
    }

    private static func append(_ candle: Candle, _ scales: LegacyInstruments.Scales, to out: inout OutputBytes) {
        out.append(#","interval":"#)
        out.append(json: candle.interval.name)
        out.append(#","start":""#)
        appendFigures(candle, scales, to: &out)
    }

    private static func appendFigures(_ candle: Candle, _ scales: LegacyInstruments.Scales, to out: inout OutputBytes) {
        out.append(timeNs: candle.openNs)
        out.append(#"""#)
        append(#","open":"#, candle.open, scales, to: &out)
        append(#","high":"#, candle.high, scales, to: &out)
        append(#","low":"#, candle.low, scales, to: &out)
        append(#","close":"#, candle.close, scales, to: &out)
        append(#","volume":"#, candle.volume, scales, to: &out)
        out.append(#","count":"#)
        out.append(decimal: UInt64(candle.tradeCount))
        out.append(candle.isClosed ? #","closed":true"# : #","closed":false"#)
        if candle.isPartial { out.append(#","partial":true"#) }
    }

    private static func append(
        _ levels: ArraySlice<LevelChange>,
        _ scales: LegacyInstruments.Scales,
        to out: inout OutputBytes
    ) {
        for side in [Side.bid, .ask] {
            out.append(side == .bid ? #","bids":["# : #"],"asks":["#)
            let levelLengthMost = 8 + 2 * TextLength.decimalMost
            out.reserve(levels.count * levelLengthMost)
            var at = out.end
            var isFirst = true
            for level in levels where level.side == side {
                at.put(isFirst ? #"[""# : #",[""#)
                isFirst = false
                at.put(units: level.price.ticks, scale: scales.price)
                at.put(#"",""#)
                at.put(units: level.quantity.lots, scale: scales.quantity)
                at.put(#""]"#)
            }
            out.advance(to: at)
        }
        out.append("]")
    }

    private static func append(_ status: MarketStatus, _ instrument: Instrument, to out: inout OutputBytes) {
        out.append(#","state":"#)
        out.append(json: status.state.name)
        out.append(#","reason":"#)
        out.append(json: status.reason.name)
        guard status.reason == .unitsChanged else { return }
        out.append(#","instrument":"#)
        append(instrument, to: &out)
    }

    /// Appends a side of the quote, or nulls when nothing is there.
    private static func append(
        _ priceKey: StaticString,
        _ quantityKey: StaticString,
        _ level: Level,
        _ scales: LegacyInstruments.Scales,
        to out: inout OutputBytes
    ) {
        if level.quantity.isZero {
            out.append(priceKey)
            out.append("null")
            out.append(quantityKey)
            return out.append("null")
        }
        append(priceKey, level.price, scales, to: &out)
        append(quantityKey, level.quantity, scales, to: &out)
    }

    private static func append(
        _ key: StaticString,
        _ price: Price,
        _ scales: LegacyInstruments.Scales,
        to out: inout OutputBytes
    ) {
        out.append(key, quoted: price.ticks, scale: scales.price)
    }

    private static func append(
        _ key: StaticString,
        _ quantity: Quantity,
        _ scales: LegacyInstruments.Scales,
        to out: inout OutputBytes
    ) {
        out.append(key, quoted: quantity.lots, scale: scales.quantity)
    }
}

extension OutputBytes {
    /// Appends `units` of 10^-`scale` as the shortest decimal.
    mutating func append(units: Int64, scale: UInt8) {
        reserve(TextLength.decimalMost)
        var at = end
        at.put(units: units, scale: scale)
        advance(to: at)
    }

    /// Appends a key as it is written and a decimal in quotes.
    fileprivate mutating func append(_ key: StaticString, quoted units: Int64, scale: UInt8) {
        reserve(key.utf8CodeUnitCount + TextLength.decimalMost + 2)
        var at = end
        at.put(key)
        at.put(UInt8(ascii: "\""))
        at.put(units: units, scale: scale)
        at.put(UInt8(ascii: "\""))
        advance(to: at)
    }

    mutating func append(timeNs: Int64) {
        reserve(TextLength.timeMost)
        var at = end
        at.put(timeNs: timeNs)
        advance(to: at)
    }
}
