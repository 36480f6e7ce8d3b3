public import Market

/// One connection of the hub's own TCP feed in its JSON form, a message a line; see Docs/feeds/tcp.md.
///
/// Instruments are made as lines name them, in the units that the first line's digits show or that a declaration gives. More
/// decimals later make the units finer: the table is changed and a status with the reason `unitsChanged` goes ahead of the
/// number. Nothing is allocated per trade or quote. A bad line is left out and costs its sender alone; ten within a minute cut
/// it off.
public struct LineFeed: Sendable {
    public static let venue = "tcp"
    /// Without the line feed, where settings say nothing else.
    public static let lineBytesMost = 4_096
    public static let symbolBytesMost = LineFeedSymbols.byteCountMost
    public static let scaleMost: UInt8 = 12
    public static let nestingMost = 32
    /// The connection is cut at this many bad lines within ``badLinesSpanNs``.
    public static let badLinesMost = 10
    public static let badLinesSpanNs: Int64 = 60_000_000_000
    /// The end of a line that is too long is looked for within this many bytes, or four times the longest line if that is more.
    public static let skippedBytesMost = 1 << 20

    public struct Settings: Sendable {
        /// Instruments that the source may make, over all connections.
        public var instrumentsMost: Int
        /// The longest message, without its line feed or length.
        public var messageBytesMost = LineFeed.lineBytesMost
        /// The venue of all instruments; nil for the one that a declaration names, ``LineFeed/venue`` where none does.
        public var venue: String? = LineFeed.venue

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
        /// Messages that ended.
        public var messageCount = 0
        /// What its numbers say is missing; the last of several.
        public var gap: LineFeedError?
        /// The peer introduced itself.
        public var hello: FeedHello?
        /// What the peer says of a message of ours; the last of several.
        public var problem: FeedProblem?

        public init(refusals: [Refusal] = [], isCut: Bool = false) {
            self.refusals = refusals
            self.isCut = isCut
        }
    }

    /// Lines that ended, the bad ones among them, without blank ones.
    public var lineCount: UInt64 { intake.conduct.messageCount }
    public var badLineCount: UInt64 { intake.conduct.badCount }

    var intake: FeedIntake
    var symbols = LineFeedSymbols()
    /// The beginning of a line whose end was not received yet.
    private var begun: [UInt8] = []
    /// Bytes of a line that was too long already and whose end was not found yet; nil while no line is skipped.
    private var skippedBytes: Int?

    public init(_ settings: Settings = Settings()) {
        intake = FeedIntake(settings)
        begun.reserveCapacity(Self.lineBytesMost)
    }

    /// The instruments that this connection has named, for saying that their source is gone when it closes.
    public var instruments: [InstrumentID] { intake.instruments }

    /// Whether a line was begun and not ended.
    public var isWithinMessage: Bool { !begun.isEmpty || skippedBytes != nil }

    /// Reads what a connection sent; lines may be cut anywhere between two calls.
    ///
    /// - Parameters:
    ///   - bytes: valid during the call.
    ///   - receivedNs: when they were read, nanoseconds since 1970 UTC.
    ///   - table: gets new instruments and finer units.
    ///   - sink: hears trades, quotes, books and statuses without numbers; the top beside a book is not filled in.
    /// - Returns: which lines were left out, and whether to close the connection.
    public mutating func receive(
        _ bytes: UnsafeRawBufferPointer,
        receivedNs: Int64,
        table: inout InstrumentTable,
        into sink: inout some MarketEventSink
    ) -> Verdict {
        var verdict = Verdict(isCut: intake.conduct.isCut)
        var start = 0
        while !intake.conduct.isCut, let end = Self.lineEnd(in: bytes, from: start) {
            let rest = UnsafeRawBufferPointer(rebasing: bytes[start..<end])
            start = end + 1
            if skippedBytes != nil {
                skippedBytes = nil
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
                skippedBytes = nil
            }
        }
        guard !intake.conduct.isCut, start < bytes.count else { return verdict }
        if let skipped = skippedBytes {
            skip(skipped + bytes.count - start, &verdict)
        } else {
            _ = keep(UnsafeRawBufferPointer(rebasing: bytes[start...]), receivedNs, &verdict)
        }
        return verdict
    }

    /// Keeps a part of a line until its end comes; a line that becomes too long is refused at once and its rest skipped.
    private mutating func keep(_ part: UnsafeRawBufferPointer, _ receivedNs: Int64, _ verdict: inout Verdict) -> Bool {
        let most = intake.settings.messageBytesMost
        guard begun.count + part.count <= most else {
            let count = begun.count + part.count
            begun.removeAll(keepingCapacity: true)
            intake.conduct.begin(&verdict)
            intake.conduct.refuse(.tooLong(most: most), atNs: receivedNs, &verdict)
            skip(count, &verdict)
            return false
        }
        begun.append(contentsOf: part)
        return true
    }

    /// Goes on looking for the end of a line, but not for ever.
    private mutating func skip(_ count: Int, _ verdict: inout Verdict) {
        skippedBytes = count
        guard count > max(Self.skippedBytesMost, 4 * intake.settings.messageBytesMost) else { return }
        intake.conduct.cut(&verdict)
    }

    private mutating func read(
        _ line: UnsafeRawBufferPointer,
        _ receivedNs: Int64,
        _ table: inout InstrumentTable,
        _ sink: inout some MarketEventSink,
        _ verdict: inout Verdict
    ) {
        if line.allSatisfy({ $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }) { return }
        intake.conduct.begin(&verdict)
        do throws(LineFeedError) {
            let most = intake.settings.messageBytesMost
            guard line.count <= most else { throw .tooLong(most: most) }
            try tell(try LineFeedSyntax(line), receivedNs, &table, &sink, &verdict)
        } catch {
            intake.conduct.refuse(error, atNs: receivedNs, &verdict)
        }
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
