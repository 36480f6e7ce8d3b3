internal import Feeds
internal import Market

/// Turns market events into JSON lines, one row an event, with decimal text without trailing zeros.
struct RowWriter: MarketEventSink {
    /// The line of the recording that the next rows come from.
    var line = 0
    /// Rows written so far.
    private(set) var count = 0

    private let emits: Set<NormalizeOptions.Kind>
    private let bookDepth: Int
    private var bytes: [UInt8] = []
    /// By ``InstrumentID/index``: names and units as they are now, and the book as the events tell it.
    private var followed: [Followed?] = []

    private struct Followed {
        var instrument: Instrument
        var names: [UInt8]
        var book = OrderBook()
    }

    init(_ options: NormalizeOptions) {
        emits = options.emits
        bookDepth = options.bookDepth > 0 ? options.bookDepth : .max
    }

    mutating func flush(atLeast count: Int = 1, _ write: (UnsafeRawBufferPointer) -> Void) {
        guard bytes.count >= count else { return }
        bytes.withUnsafeBytes(write)
        bytes.removeAll(keepingCapacity: true)
    }

    // MARK: Events

    mutating func learn(_ instrument: Instrument) {
        let index = instrument.id.index
        while followed.count <= index { followed.append(nil) }
        guard followed[index] == nil else {
            followed[index]?.instrument = instrument
            return
        }
        var names: [UInt8] = []
        names += ",\"symbol\":".utf8
        names.appendQuoted(instrument.symbol)
        names += ",\"raw_symbol\":".utf8
        names.appendQuoted(instrument.rawSymbol)
        followed[index] = Followed(instrument: instrument, names: names)
    }

    mutating func receive(_ event: MarketEvent, levels: Span<LevelChange>) {
        let index = event.instrument.index
        guard followed.indices.contains(index), let instrument = followed[index]?.instrument else { return }
        switch event.payload {
        case .trade(let trade):
            guard emits.contains(.trades) else { return }
            begin("trade", index)
            add(trade, instrument)
            end(event)
        case .quote(let quote):
            guard emits.contains(.quotes) else { return }
            begin("quote", index)
            add("bid", [quote.bid], instrument)
            add("ask", [quote.ask], instrument)
            end(event)
        case .candle(let candle):
            guard emits.contains(.candles) else { return }
            begin("candle", index)
            add(candle, instrument)
            end(event)
        case .bookSnapshot, .bookDelta:
            guard emits.contains(.book) else { return }
            if case .bookSnapshot = event.payload {
                followed[index]?.book.removeAll()
                // Worst first: each then goes to the end, where a book grows for nothing.
                for place in levels.indices.reversed() { followed[index]?.book.apply(levels[place]) }
            } else {
                for place in levels.indices { followed[index]?.book.apply(levels[place]) }
            }
            guard let book = followed[index]?.book else { return }
            begin("book", index)
            add("bids", book.top(bookDepth, of: .bid), instrument)
            add("asks", book.top(bookDepth, of: .ask), instrument)
            end(event)
        case .status(let status):
            guard emits.contains(.status) else { return }
            begin("status", index)
            addText("state", status.state.name)
            addText("reason", status.reason.name)
            end(event)
        case .ticker, .order:
            return
        }
    }

    mutating func addFinalBook(_ book: OrderBook, of id: InstrumentID, _ levels: Int, receivedNs: Int64) {
        guard let instrument = followed[id.index]?.instrument else { return }
        begin("book", id.index)
        add("bids", book.top(levels, of: .bid), instrument)
        add("asks", book.top(levels, of: .ask), instrument)
        end(
            MarketEvent(
                instrument: id,
                flags: [.snapshot, .eventTimeMissing],
                eventNs: 0,
                receivedNs: receivedNs,
                payload: .bookSnapshot(top: Quote(of: book))
            )
        )
    }

    // MARK: Rows

    private mutating func begin(_ type: StaticString, _ index: Int) {
        add("{\"type\":\"")
        add(type)
        add("\",\"line\":")
        bytes.appendDecimal(Int64(line))
        if let names = followed[index]?.names { bytes += names }
    }

    private mutating func end(_ event: MarketEvent) {
        add(",\"event_ns\":")
        bytes.appendDecimal(event.eventNs)
        add(",\"received_ns\":")
        bytes.appendDecimal(event.receivedNs)
        if case .trade(let trade) = event.payload {
            add(",\"id\":")
            if trade.id.isEmpty { add("null") } else { bytes.appendQuoted(trade.id.text) }
        }
        add(",\"flags\":[")
        var isFirst = true
        for (bit, name) in EventFlags.names.enumerated() where event.flags.rawValue & (1 << UInt16(bit)) != 0 {
            add(isFirst ? "\"" : ",\"")
            bytes += name.utf8
            add("\"")
            isFirst = false
        }
        add("]}\n")
        count += 1
    }

    private mutating func add(_ trade: Trade, _ instrument: Instrument) {
        switch trade.aggressor {
        case .buyer: addText("side", "buy")
        case .seller: addText("side", "sell")
        case .unknown: add(",\"side\":null")
        }
        addNumber("price", trade.price.ticks, instrument.priceScale)
        addNumber("quantity", trade.quantity.lots, instrument.quantityScale)
    }

    private mutating func add(_ candle: Candle, _ instrument: Instrument) {
        addText("interval", candle.interval.name)
        add(",\"open_ns\":")
        bytes.appendDecimal(candle.openNs)
        addNumber("open", candle.open.ticks, instrument.priceScale)
        addNumber("high", candle.high.ticks, instrument.priceScale)
        addNumber("low", candle.low.ticks, instrument.priceScale)
        addNumber("close", candle.close.ticks, instrument.priceScale)
        addNumber("volume", candle.volume.lots, instrument.quantityScale)
        add(",\"trades\":")
        bytes.appendDecimal(Int64(candle.tradeCount))
        add(candle.isClosed ? ",\"closed\":true" : ",\"closed\":false")
    }

    /// Adds levels as `[["price","quantity"],...]`, a single one as `["price","quantity"]` under `bid` and `ask`.
    ///
    /// A venue that tells prices only gives `null` for the quantity.
    private mutating func add(_ key: StaticString, _ levels: [Level], _ instrument: Instrument) {
        let isList = key.utf8CodeUnitCount == 4
        add(",\"")
        add(key)
        add(isList ? "\":[" : "\":")
        for (place, level) in levels.enumerated() {
            add(place == 0 ? "[\"" : ",[\"")
            bytes.appendDecimal(level.price.ticks, scale: instrument.priceScale)
            if !isList, level.quantity.isZero, level.price != .zero {
                add("\",null]")
                continue
            }
            add("\",\"")
            bytes.appendDecimal(level.quantity.lots, scale: instrument.quantityScale)
            add("\"]")
        }
        if isList { add("]") }
    }

    private mutating func addNumber(_ key: StaticString, _ digits: Int64, _ scale: UInt8) {
        add(",\"")
        add(key)
        add("\":\"")
        bytes.appendDecimal(digits, scale: scale)
        add("\"")
    }

    private mutating func addText(_ key: StaticString, _ text: String) {
        add(",\"")
        add(key)
        add("\":\"")
        bytes += text.utf8
        add("\"")
    }

    private mutating func add(_ text: StaticString) {
        bytes.append(contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }
}

extension [UInt8] {
    fileprivate mutating func appendDecimal(_ number: Int64) {
        appendDecimal(number, scale: 0)
    }

    /// Appends units of 10^-scale as decimal text without trailing zeros.
    fileprivate mutating func appendDecimal(_ number: Int64, scale: UInt8) {
        if number < 0 { append(UInt8(ascii: "-")) }
        var left = number.magnitude
        var places = Int(scale)
        while places > 0, left % 10 == 0 {
            left /= 10
            places -= 1
        }
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 40) { digits in
            var length = 0
            repeat {
                let (quotient, digit) = left.quotientAndRemainder(dividingBy: 10)
                digits[length] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: digit)
                length += 1
                left = quotient
            } while left > 0 || length <= places
            while length > 0 {
                if length == places { append(UInt8(ascii: ".")) }
                length -= 1
                append(digits[length])
            }
        }
    }

    fileprivate mutating func appendQuoted(_ text: String) {
        append(UInt8(ascii: "\""))
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": self += ("\\" + String(scalar)).utf8
            case "\u{0}"..<"\u{20}":
                let digits = String(scalar.value, radix: 16)
                self += ("\\u" + String(repeating: "0", count: 4 - digits.count) + digits).utf8
            default: self += String(scalar).utf8
            }
        }
        append(UInt8(ascii: "\""))
    }
}
