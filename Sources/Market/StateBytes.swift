/// Writes what a hub knows for the process that takes its place on the same machine.
///
/// Plain values go as they lie in memory: who reads must have the same ``StateLayout/fingerprint``.
public struct StateWriter: Sendable {
    public private(set) var bytes: [UInt8] = []

    public init() {}

    public mutating func append(_ value: some BitwiseCopyable) {
        withUnsafeBytes(of: value) { bytes.append(contentsOf: $0) }
    }

    public mutating func append(_ values: [some BitwiseCopyable]) {
        append(UInt64(values.count))
        values.withUnsafeBytes { bytes.append(contentsOf: $0) }
    }

    public mutating func append(_ text: String) { append(Array(text.utf8)) }

    /// Appends bytes that are read by a reader of their own.
    public mutating func append(_ part: StateWriter) { append(part.bytes) }
}

/// Reads what a ``StateWriter`` wrote, in the same order.
public struct StateReader: Sendable {
    /// Bytes are missing, or are not what was written.
    public struct Malformed: Error {
        public init() {}
    }

    private let bytes: [UInt8]
    private var at = 0

    public init(_ bytes: [UInt8]) { self.bytes = bytes }

    public var isAtEnd: Bool { at == bytes.count }

    public mutating func read<Value: BitwiseCopyable>(_ type: Value.Type = Value.self) throws(Malformed) -> Value {
        let place = try take(MemoryLayout<Value>.size)
        return bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: place, as: Value.self) }
    }

    public mutating func readAll<Value: BitwiseCopyable>(of type: Value.Type = Value.self) throws(Malformed) -> [Value]
    {
        let count = try read(UInt64.self)
        let stride = MemoryLayout<Value>.stride
        guard count <= UInt64(bytes.count / stride) else { throw Malformed() }
        let place = try take(Int(count) * stride)
        return bytes.withUnsafeBytes { bytes in
            (0..<Int(count)).map { bytes.loadUnaligned(fromByteOffset: place + $0 * stride, as: Value.self) }
        }
    }

    public mutating func readText() throws(Malformed) -> String {
        String(decoding: try readAll(of: UInt8.self), as: UTF8.self)
    }

    /// The rest of a part that was appended as one.
    public mutating func readPart() throws(Malformed) -> StateReader { StateReader(try readAll(of: UInt8.self)) }

    private mutating func take(_ count: Int) throws(Malformed) -> Int {
        guard count <= bytes.count - at else { throw Malformed() }
        defer { at += count }
        return at
    }
}

/// How the values of a hub's state lie in memory.
public enum StateLayout {
    /// Raised with every change of what is written, in which order, or what a number in it means.
    static let version: UInt64 = 1

    /// The same in two programs where one reads what the other wrote.
    ///
    /// It follows from the sizes of all plain values and the places of their fields, so that a change of one changes it; cases of an
    /// enumeration count by their number.
    public static let fingerprint: UInt64 = {
        var numbers: [Int?] = [Int(version)]
        func mix(_ more: Int?...) { numbers += more }
        func size<Value>(_ type: Value.Type) { mix(MemoryLayout<Value>.size, MemoryLayout<Value>.stride) }
        size(Trade.self)
        mix(
            MemoryLayout<Trade>.offset(of: \.price),
            MemoryLayout<Trade>.offset(of: \.quantity),
            MemoryLayout<Trade>.offset(of: \.aggressor),
            MemoryLayout<Trade>.offset(of: \.id)
        )
        size(Ticker.self)
        mix(
            MemoryLayout<Ticker>.offset(of: \.quote),
            MemoryLayout<Ticker>.offset(of: \.last),
            MemoryLayout<Ticker>.offset(of: \.day)
        )
        size(Candle.self)
        mix(
            MemoryLayout<Candle>.offset(of: \.openNs),
            MemoryLayout<Candle>.offset(of: \.open),
            MemoryLayout<Candle>.offset(of: \.high),
            MemoryLayout<Candle>.offset(of: \.low),
            MemoryLayout<Candle>.offset(of: \.close),
            MemoryLayout<Candle>.offset(of: \.volume),
            MemoryLayout<Candle>.offset(of: \.tradeCount)
        )
        size(LevelChange.self)
        mix(
            MemoryLayout<LevelChange>.offset(of: \.price),
            MemoryLayout<LevelChange>.offset(of: \.quantity),
            MemoryLayout<LevelChange>.offset(of: \.side)
        )
        size(Level.self)
        size(RestingOrder.self)
        size(OrderChange.self)
        size(MarketStatus.self)
        mix(MarketStatus.State.allCases.count, MarketStatus.Reason.allCases.count, CandleInterval.allCases.count)
        mix(Side.allCases.count, Instrument.Kind.allCases.count)
        size(Decimal.self)
        return fingerprint(of: numbers)
    }()

    /// One number for many (FNV-1a over whole numbers); nil is a number of its own.
    public static func fingerprint(of numbers: [Int?]) -> UInt64 {
        numbers.reduce(0xcbf2_9ce4_8422_2325) { sum, number in
            (sum ^ UInt64(bitPattern: Int64(number ?? -1))) &* 0x0000_0100_0000_01b3
        }
    }
}

extension Instrument {
    /// Everything but the id, which is its place among those that were written.
    public func append(to state: inout StateWriter) {
        for text in [venue, symbol, rawSymbol, terms.base, terms.quote, terms.settle] { state.append(text) }
        state.append(kind.rawValue)
        state.append(priceScale)
        state.append(quantityScale)
        state.append(tick)
        state.append(lot)
        state.append(terms.contractSize)
        state.append(terms.isInverse)
        state.append(terms.expiryNs)
        state.append(terms.strike)
        state.append(terms.right?.rawValue ?? 0)
        state.append(hasSingleOrders)
    }

    public init(from state: inout StateReader) throws(StateReader.Malformed) {
        let (venue, symbol, rawSymbol) = (try state.readText(), try state.readText(), try state.readText())
        var terms = Terms()
        terms.base = try state.readText()
        terms.quote = try state.readText()
        terms.settle = try state.readText()
        guard let kind = Kind(rawValue: try state.read()) else { throw StateReader.Malformed() }
        self.init(
            id: InstrumentID(0),
            venue: venue,
            symbol: symbol,
            rawSymbol: rawSymbol,
            kind: kind,
            priceScale: try state.read(),
            quantityScale: try state.read(),
            tick: try state.read(),
            lot: try state.read()
        )
        terms.contractSize = try state.read()
        terms.isInverse = try state.read()
        terms.expiryNs = try state.read()
        terms.strike = try state.read()
        terms.right = OptionRight(rawValue: try state.read())
        self.terms = terms
        hasSingleOrders = try state.read()
    }
}
