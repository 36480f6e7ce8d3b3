internal import Feeds
internal import Market

/// What a recording of one source says, record by record: the same decoder that a live connection has.
///
/// Between records it keeps what a recorder's marks mean: which connections are open, whether the next file goes on where the
/// last one ended, and that books are not to be trusted behind a gap.
struct RecordedTraffic {
    /// Venues whose recordings are understood.
    static var venues: [String] { Venues.all.map(\.venue) + [LineFeed.venue] }

    let venue: String
    /// The time of the last record.
    private(set) var receivedNs: Int64 = 0

    private var feed: VenueFeed?
    /// Of our own TCP feed, by connection.
    private var lineFeeds: [UInt32: LineFeed] = [:]
    /// The instruments of our own TCP feed, in the order of first hearing.
    private var lineInstruments: [InstrumentID] = []
    private var connections: Set<UInt32> = []
    private let endsWithFile: Bool
    private var isFileNew = false
    private var hasBegun = false
    private var file: RecordingMark?

    /// Nil when the venue is not known; `endsWithFile` says whether a file without marks is a recording of its own.
    init?(venue: String, endsWithFile: Bool) {
        guard Self.venues.contains(venue) else { return nil }
        self.venue = venue
        self.endsWithFile = endsWithFile
        feed = Venues.dialect(of: venue).map { VenueFeed($0) }
    }

    var passesQuotesWithoutSize: Bool {
        get { feed?.passesQuotesWithoutSize ?? false }
        set { feed?.passesQuotesWithoutSize = newValue }
    }

    var counters: VenueFeed.Counters { feed?.counters ?? VenueFeed.Counters() }

    var instruments: [InstrumentID] { feed?.instruments ?? lineInstruments }

    func book(of id: InstrumentID) -> OrderBook? { feed?.book(of: id) }

    // MARK: Files

    /// The records from here on are another file's.
    mutating func beginFile() { isFileNew = true }

    /// Ends what does not go on with this record; to be called before ``take(_:_:_:into:)``.
    mutating func begin(_ record: CaptureRecord, into sink: inout some MarketEventSink) {
        defer { isFileNew = false }
        guard isFileNew || record.kind == .mark else { return }
        let mark = record.kind == .mark ? RecordingMark(record.payload) : nil
        guard case .file? = mark else {
            if isFileNew, hasBegun, endsWithFile || file != nil { end(into: &sink) }
            if isFileNew { (file, hasBegun) = (nil, true) }
            return
        }
        if hasBegun, mark?.follows(file) != true { end(into: &sink) }
        (file, hasBegun) = (mark, true)
    }

    /// Ends a recording: its connections are gone.
    mutating func end(into sink: inout some MarketEventSink) {
        let open = connections
        connections = []
        for connection in open.sorted() { close(connection, .replayEnded, into: &sink) }
    }

    /// Forgets all books, because records are missing.
    mutating func lose(into sink: inout some MarketEventSink) {
        for connection in connections.union([0]).sorted() {
            feed?.disconnected(connection, reason: .ringOverflow, atNs: receivedNs, into: &sink)
            // Half a line that was begun has no other half.
            if lineFeeds[connection] != nil { lineFeeds[connection] = LineFeed() }
        }
    }

    // MARK: Records

    /// Takes a record that was unpacked; tells why it is bad, if it is.
    mutating func take(
        _ record: CaptureRecord,
        _ instruments: inout InstrumentTable,
        _ actions: inout [FeedAction],
        into sink: inout some MarketEventSink
    ) throws(CaptureRecord.Fault) -> String? {
        receivedNs = record.receivedNs
        switch record.kind {
        case .connect:
            if !connections.insert(record.connection).inserted {
                close(record.connection, .connectionLost, into: &sink)
            }
            if feed == nil { lineFeeds[record.connection] = LineFeed() }
            return nil
        case .received: return receive(record, &instruments, &actions, into: &sink)
        case .answer: return try receiveAnswer(record, &instruments, &actions, into: &sink)
        case .mark:
            take(RecordingMark(record.payload), of: record.connection, into: &sink)
            return nil
        case .sent, .packed: return nil
        }
    }

    private mutating func take(
        _ mark: RecordingMark?,
        of connection: UInt32,
        into sink: inout some MarketEventSink
    ) {
        switch mark {
        case .open: connections.insert(connection)
        case .lost(let reason):
            connections.remove(connection)
            close(connection, MarketStatus.Reason(recorded: reason), into: &sink)
            // A book that was asked for and never followed hangs on no connection.
            if connections.isEmpty { close(0, MarketStatus.Reason(recorded: reason), into: &sink) }
        case .gap: lose(into: &sink)
        case .file, nil: break
        }
    }

    private mutating func receive(
        _ record: CaptureRecord,
        _ instruments: inout InstrumentTable,
        _ actions: inout [FeedAction],
        into sink: inout some MarketEventSink
    ) -> String? {
        connections.insert(record.connection)
        do throws(FrameFault) {
            if feed == nil { return receiveLines(record, &instruments, into: &sink) }
            try feed?.receive(
                record.payload,
                connection: record.connection,
                atNs: record.receivedNs,
                instruments: &instruments,
                actions: &actions,
                into: &sink
            )
            return nil
        } catch {
            return error.description
        }
    }

    private mutating func receiveAnswer(
        _ record: CaptureRecord,
        _ instruments: inout InstrumentTable,
        _ actions: inout [FeedAction],
        into sink: inout some MarketEventSink
    ) throws(CaptureRecord.Fault) -> String? {
        let (url, body) = try record.answer()
        guard let rawSymbol = feed?.dialect.rawSymbol(ofSnapshotURL: url) else { return nil }
        do throws(FrameFault) {
            try feed?.receiveSnapshot(
                body,
                rawSymbol: rawSymbol,
                connection: record.connection,
                atNs: record.receivedNs,
                instruments: &instruments,
                actions: &actions,
                into: &sink
            )
            return nil
        } catch {
            return error.description
        }
    }

    // MARK: Our own TCP feed

    private mutating func receiveLines(
        _ record: CaptureRecord,
        _ instruments: inout InstrumentTable,
        into sink: inout some MarketEventSink
    ) -> String? {
        let before = lineFeeds[record.connection]?.instruments.count
        let verdict = lineFeeds[record.connection, default: LineFeed()].receive(
            record.payload,
            receivedNs: record.receivedNs,
            table: &instruments,
            into: &sink
        )
        if let now = lineFeeds[record.connection]?.instruments, now.count != before {
            lineInstruments += now.filter { !lineInstruments.contains($0) }
        }
        guard let first = verdict.refusals.first else { return nil }
        return "\(verdict.refusals.count) bad lines; the first is line \(first.line) of its connection: \(first.error)"
    }

    private mutating func close(
        _ connection: UInt32,
        _ reason: MarketStatus.Reason,
        into sink: inout some MarketEventSink
    ) {
        feed?.disconnected(connection, reason: reason, atNs: receivedNs, into: &sink)
        guard let closed = lineFeeds.removeValue(forKey: connection) else { return }
        let fedByOthers = Set(lineFeeds.values.flatMap(\.instruments))
        for id in closed.instruments where !fedByOthers.contains(id) {
            let event = MarketEvent(
                instrument: id,
                flags: .synthetic,
                eventNs: 0,
                receivedNs: receivedNs,
                payload: .status(MarketStatus(.disconnected, reason))
            )
            sink.receive(event, levels: Span())
        }
    }
}
