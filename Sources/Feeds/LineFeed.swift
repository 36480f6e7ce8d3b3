public import Market

/// One connection of the hub's own TCP source: lines of JSON, each a trade or a quote; see Docs/feeds/tcp.md.
///
/// The venue is `tcp` and its instruments are made as lines name them, in the units that the first line's digits show. More
/// decimals later make the units finer: the table is changed and a status with the reason `unitsChanged` goes ahead of the
/// number. Nothing is allocated per line. A bad line is left out and costs its sender alone; ten within a minute cut it off.
public struct LineFeed: Sendable {
    public static let venue = "tcp"
    /// Without the line feed.
    public static let lineBytesMost = 4_096
    public static let symbolBytesMost = LineFeedSymbols.byteCountMost
    public static let scaleMost: UInt8 = 12
    public static let nestingMost = 32
    /// The connection is cut at this many bad lines within ``badLinesSpanNs``.
    public static let badLinesMost = 10
    public static let badLinesSpanNs: Int64 = 60_000_000_000

    public struct Settings: Sendable {
        /// Instruments that the source may make, over all connections.
        public var instrumentsMost: Int

        public init(instrumentsMost: Int = 10_000) { self.instrumentsMost = instrumentsMost }
    }

    /// A line that was left out, counted from 1, and why.
    public struct Refusal: Hashable, Sendable {
        public var line: UInt64
        public var error: LineFeedError

        public init(line: UInt64, error: LineFeedError) {
            self.line = line
            self.error = error
        }
    }

    /// What came of some bytes.
    public struct Verdict: Hashable, Sendable {
        /// In the order of their lines; at most ``LineFeed/badLinesMost``.
        public var refusals: [Refusal]
        /// Whether the connection is to be closed; what it sends further is not read.
        public var isCut: Bool

        public init(refusals: [Refusal] = [], isCut: Bool = false) {
            self.refusals = refusals
            self.isCut = isCut
        }
    }

    /// Lines that ended, the bad ones among them, without blank ones.
    public private(set) var lineCount: UInt64 = 0
    public private(set) var badLineCount: UInt64 = 0

    private let settings: Settings
    private var symbols = LineFeedSymbols()
    /// The beginning of a line whose end was not received yet.
    private var begun: [UInt8] = []
    /// Whether the line was too long already, and its rest is skipped.
    private var isSkipping = false
    private var isCut = false
    /// When the newest bad lines came, the oldest at ``badLineCount`` modulo the length.
    private var badLineTimes = InlineArray<10, Int64?>(repeating: nil)

    public init(_ settings: Settings = Settings()) {
        self.settings = settings
        begun.reserveCapacity(Self.lineBytesMost)
    }

    /// The instruments that this connection has named, for saying that their source is gone when it closes.
    public var instruments: [InstrumentID] { symbols.ids }

    /// Reads what a connection sent; lines may be cut anywhere between two calls.
    ///
    /// - Parameters:
    ///   - bytes: valid during the call.
    ///   - receivedNs: when they were read, nanoseconds since 1970 UTC.
    ///   - table: gets new instruments and finer units.
    ///   - sink: hears trades, quotes and statuses without numbers.
    /// - Returns: which lines were left out, and whether to close the connection.
    public mutating func receive(
        _ bytes: UnsafeRawBufferPointer,
        receivedNs: Int64,
        table: inout InstrumentTable,
        into sink: inout some MarketEventSink
    ) -> Verdict {
        var verdict = Verdict(isCut: isCut)
        var start = 0
        while !isCut, let end = Self.lineEnd(in: bytes, from: start) {
            let rest = UnsafeRawBufferPointer(rebasing: bytes[start..<end])
            start = end + 1
            if isSkipping {
                isSkipping = false
            } else if begun.isEmpty {
                read(rest, receivedNs, &table, &sink, &verdict)
            } else if keep(rest, receivedNs, &verdict) {
                // Out of self while it is read, so that nothing is copied.
                var line: [UInt8] = []
                swap(&line, &begun)
                line.withUnsafeBytes { read($0, receivedNs, &table, &sink, &verdict) }
                line.removeAll(keepingCapacity: true)
                swap(&line, &begun)
            } else {
                isSkipping = false
            }
        }
        if !isCut, !isSkipping, start < bytes.count {
            _ = keep(UnsafeRawBufferPointer(rebasing: bytes[start...]), receivedNs, &verdict)
        }
        return verdict
    }

    /// Keeps a part of a line until its end comes; a line that becomes too long is refused at once and its rest skipped.
    private mutating func keep(_ part: UnsafeRawBufferPointer, _ receivedNs: Int64, _ verdict: inout Verdict) -> Bool {
        guard begun.count + part.count <= Self.lineBytesMost else {
            begun.removeAll(keepingCapacity: true)
            isSkipping = true
            lineCount += 1
            refuse(.tooLong, receivedNs, &verdict)
            return false
        }
        begun.append(contentsOf: part)
        return true
    }

    private mutating func read(
        _ line: UnsafeRawBufferPointer,
        _ receivedNs: Int64,
        _ table: inout InstrumentTable,
        _ sink: inout some MarketEventSink,
        _ verdict: inout Verdict
    ) {
        if line.allSatisfy({ $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }) { return }
        lineCount += 1
        do throws(LineFeedError) {
            guard line.count <= Self.lineBytesMost else { throw .tooLong }
            try tell(try LineFeedSyntax(line), receivedNs, &table, &sink)
        } catch {
            refuse(error, receivedNs, &verdict)
        }
    }

    private mutating func refuse(_ error: LineFeedError, _ receivedNs: Int64, _ verdict: inout Verdict) {
        verdict.refusals.append(Refusal(line: lineCount, error: error))
        let place = Int(badLineCount % UInt64(Self.badLinesMost))
        badLineTimes[place] = receivedNs
        badLineCount += 1
        let oldest = badLineTimes[Int(badLineCount % UInt64(Self.badLinesMost))]
        guard let oldest, receivedNs - oldest < Self.badLinesSpanNs else { return }
        isCut = true
        verdict.isCut = true
    }

    /// Where the next line ends, eight bytes at a time.
    private static func lineEnd(in bytes: UnsafeRawBufferPointer, from start: Int) -> Int? {
        var at = start
        while at + 8 <= bytes.count {
            let word = bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self) ^ 0x0A0A_0A0A_0A0A_0A0A
            let zeros = (word &- 0x0101_0101_0101_0101) & ~word & 0x8080_8080_8080_8080
            if zeros != 0 { return at + UInt64(littleEndian: zeros).trailingZeroBitCount / 8 }
            at += 8
        }
        while at < bytes.count {
            if bytes[at] == UInt8(ascii: "\n") { return at }
            at += 1
        }
        return nil
    }

    // MARK: What a line means

    private mutating func tell(
        _ line: LineFeedSyntax,
        _ receivedNs: Int64,
        _ table: inout InstrumentTable,
        _ sink: inout some MarketEventSink
    ) throws(LineFeedError) {
        let eventNs = try line.time(atMost: receivedNs &+ Self.aheadMostNs)
        let symbol = try line.symbol()
        switch try line.kind() {
        case .trade:
            guard let amount = try line.amount(.price, .quantity) else { throw .missing(.price) }
            guard amount.quantity.digits > 0 else { throw .notPositive(.quantity) }
            let aggressor = try line.aggressor()
            let tradeID = try line.tradeID()
            let (id, level, _) = try settle(symbol, amount, nil, receivedNs, &table, &sink)
            let trade = Trade(price: level.price, quantity: level.quantity, aggressor: aggressor, id: tradeID)
            send(.trade(trade), of: id, eventNs, receivedNs, &sink)
        case .quote:
            let bid = try line.amount(.bid, .bidQuantity)
            let ask = try line.amount(.ask, .askQuantity)
            guard bid != nil || ask != nil else { throw .missing(.bid) }
            let (id, bidLevel, askLevel) = try settle(symbol, bid, ask, receivedNs, &table, &sink)
            send(.quote(Quote(bid: bidLevel, ask: askLevel)), of: id, eventNs, receivedNs, &sink)
        }
    }

    private static let aheadMostNs: Int64 = 86_400_000_000_000

    /// Finds the line's instrument and its levels in the instrument's units, and makes or rescales the instrument if need be.
    ///
    /// An absent level and one without quantity are the empty side's.
    private mutating func settle(
        _ symbol: LineFeedSymbols.Symbol,
        _ first: LineFeedAmount?,
        _ second: LineFeedAmount?,
        _ receivedNs: Int64,
        _ table: inout InstrumentTable,
        _ sink: inout some MarketEventSink
    ) throws(LineFeedError) -> (id: InstrumentID, first: Level, second: Level) {
        let named = symbols[symbol]
        let known = named ?? table.id(venue: Self.venue, rawSymbol: symbol.text)
        let old = known.map { LineFeedScales(of: $0, in: table) }
        var scales = old ?? LineFeedScales()
        if let first { try scales.widen(for: first, isNew: known == nil) }
        if let second { try scales.widen(for: second, isNew: known == nil) }
        let firstLevel = try scales.level(first)
        let secondLevel = try scales.level(second)
        // From here on nothing fails but the table itself.
        let id: InstrumentID
        if let known { id = known } else { id = try make(symbol, scales, &table) }
        if named == nil {
            symbols.add(symbol, id)
            sink.learn(table[id])
            send(.status(MarketStatus(.live, .started)), of: id, receivedNs, receivedNs, &sink)
        }
        if let old, old != scales {
            table.rescale(id, priceScale: scales.price, quantityScale: scales.quantity)
            sink.learn(table[id])
            send(.status(MarketStatus(.live, .unitsChanged)), of: id, receivedNs, receivedNs, &sink)
        }
        return (id, firstLevel, secondLevel)
    }

    private func make(
        _ symbol: LineFeedSymbols.Symbol,
        _ scales: LineFeedScales,
        _ table: inout InstrumentTable
    ) throws(LineFeedError) -> InstrumentID {
        guard table.count(ofVenue: Self.venue) < settings.instrumentsMost else {
            throw .tooManyInstruments(most: settings.instrumentsMost)
        }
        let text = symbol.text
        let instrument = Instrument(
            id: InstrumentID(0),
            venue: Self.venue,
            symbol: text,
            rawSymbol: text,
            priceScale: scales.price,
            quantityScale: scales.quantity
        )
        do {
            return try table.add(instrument)
        } catch {
            throw .malformed(.symbol)
        }
    }

    /// Tells an event; without a time of its own when `eventNs` is nil.
    private func send(
        _ payload: MarketEvent.Payload,
        of id: InstrumentID,
        _ eventNs: Int64?,
        _ receivedNs: Int64,
        _ sink: inout some MarketEventSink
    ) {
        let event = MarketEvent(
            instrument: id,
            flags: eventNs == nil ? [.last, .eventTimeMissing] : .last,
            eventNs: eventNs ?? 0,
            receivedNs: receivedNs,
            payload: payload
        )
        sink.receive(event, levels: Span())
    }

    /// Reads any bytes as a fuzzer gives them, cut into reads as their first byte says.
    ///
    /// Public because the fuzzers are a package of their own. Beyond not trapping, it holds the feed to its bounds.
    public static func fuzz(_ bytes: UnsafeRawBufferPointer) {
        // Counts, because the thread sanitizer of Swift 6.3 takes the address of a value without a size for one that is shared.
        struct Silence: MarketEventSink {
            var count = 0
            mutating func receive(_ event: MarketEvent, levels: Span<LevelChange>) { count &+= 1 }
        }
        guard let first = bytes.first else { return }
        var feed = LineFeed(Settings(instrumentsMost: 4))
        var table = InstrumentTable()
        var sink = Silence()
        var start = 1
        while start < bytes.count {
            let end = min(start + Int(first) + 1, bytes.count)
            let part = UnsafeRawBufferPointer(rebasing: bytes[start..<end])
            let verdict = feed.receive(part, receivedNs: Int64(start) * 1_000_000_000, table: &table, into: &sink)
            precondition(verdict.refusals.count <= badLinesMost && table.all.count <= 4)
            start = end
        }
    }
}
