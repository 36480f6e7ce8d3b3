internal import Feeds
internal import Market

/// What a recording of one source says, record by record: the same decoder that a live connection has.
///
/// Between records it keeps what a recorder's marks mean: which connections are open, whether the next file goes on where the
/// last one ended, and that books are not to be trusted behind a gap.
struct RecordedTraffic {
    /// Venues whose recordings are understood; those of FIX have names of their own besides, see ``knows(_:)``.
    static var venues: [String] {
        Venues.all.map(\.venue) + [LineFeed.venue, ITCHFeed.venue, FIXMarketDataDialect.venue]
    }

    static func knows(_ venue: String) -> Bool { venues.contains(venue) || FIXMarketDataDialect.isVenue(venue) }

    let venue: String
    /// The time of the last record.
    private(set) var receivedNs: Int64 = 0

    /// One of these three: of a venue, of ITCH, of our own TCP feed.
    private var feed: JoinedFeed?
    private var itch: RecordedITCH?
    private var own: RecordedOwnFeed?
    /// How the source read what is recorded; a new run's first record may tell of others.
    private var settings = RecordedSettings()
    private var awaitsSettings = false
    /// What was seen by feeds that read otherwise.
    private var earlier = VenueFeed.Counters()
    private let tellsOrders: Bool
    private var connections: Set<UInt32> = []
    private let endsWithFile: Bool
    private var isFileNew = false
    private var hasBegun = false
    private var file: RecordingMark?

    /// Nil when the venue is not known.
    ///
    /// `endsWithFile` says whether a file without marks is a recording of its own, `tellsOrders` whether single orders are told
    /// where the venue has them.
    init?(venue: String, endsWithFile: Bool, tellsOrders: Bool) {
        guard Self.knows(venue) else { return nil }
        self.venue = venue
        self.endsWithFile = endsWithFile
        self.tellsOrders = tellsOrders
        if venue == LineFeed.venue {
            own = RecordedOwnFeed()
        } else if venue == ITCHFeed.venue {
            itch = RecordedITCH(settings, tellsOrders: tellsOrders)
        } else {
            feed = joined(Venues.dialect(of: venue) ?? FIXMarketDataDialect(venue: venue))
        }
    }

    var passesQuotesWithoutSize: Bool {
        get { feed?.passesQuotesWithoutSize ?? false }
        set { feed?.passesQuotesWithoutSize = newValue }
    }

    /// What was seen since the start, however it was read.
    var counters: VenueFeed.Counters {
        var sum = earlier
        sum.add(feed?.counters ?? itch?.feed.counters.common ?? VenueFeed.Counters())
        return sum
    }

    var instruments: [InstrumentID] { feed?.instruments ?? itch?.feed.instruments ?? own?.instruments ?? [] }

    func book(of id: InstrumentID) -> OrderBook? {
        feed?.book(of: id) ?? itch?.feed.book(of: id) ?? own?.book(of: id)
    }

    /// The single orders of an instrument; nil where the venue tells of none.
    func orders(of id: InstrumentID) -> [RestingOrder]? {
        guard let itch, itch.feed.settings.tellsOrders, itch.feed.book(of: id) != nil else { return nil }
        return itch.feed.orders(of: id)
    }

    private func joined(_ dialect: any VenueDialect) -> JoinedFeed {
        var joined = VenueReading(settings).joined(dialect)
        joined.passesQuotesWithoutSize = passesQuotesWithoutSize
        return joined
    }

    /// Reads all that comes as its source did; nothing may be open.
    private mutating func adopt(_ settings: RecordedSettings) {
        guard settings != self.settings else { return }
        earlier = counters
        self.settings = settings
        if let feed { self.feed = joined(feed.dialect) }
        if itch != nil { itch = RecordedITCH(settings, tellsOrders: tellsOrders) }
    }

    /// The line that a connection was.
    ///
    /// Our recorder numbers the lines of a venue from 1 on. In other recordings connections share the instruments among them,
    /// and one feed follows them all.
    private func line(_ connection: UInt32) -> Int {
        file != nil && (1...UInt32(LineArbiter.linesMost)).contains(connection) ? Int(connection) - 1 : 0
    }

    // MARK: Files

    /// The records from here on are another file's.
    mutating func beginFile() { isFileNew = true }

    /// Ends what does not go on with this record; to be called before ``take(_:_:_:into:)``.
    mutating func begin(_ record: CaptureRecord, into sink: inout some MarketEventSink) {
        defer { isFileNew = false }
        guard isFileNew || awaitsSettings || record.kind == .mark else { return }
        let mark = record.kind == .mark ? RecordingMark(record.payload) : nil
        guard case .file? = mark else {
            if isFileNew, hasBegun, endsWithFile || file != nil { end(into: &sink) }
            if isFileNew { (file, hasBegun, awaitsSettings) = (nil, true, true) }
            if awaitsSettings {
                awaitsSettings = false
                if case .settings(let settings)? = mark { adopt(settings) } else { adopt(RecordedSettings()) }
            }
            return
        }
        if mark?.follows(file) != true {
            if hasBegun { end(into: &sink) }
            awaitsSettings = true
        }
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
        itch?.lose(atNs: receivedNs, into: &sink)
        for connection in connections.union([0]).sorted() {
            disconnect(connection, .ringOverflow, into: &sink)
            own?.lose(connection, atNs: receivedNs, into: &sink)
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
            let url = String(decoding: record.payload, as: UTF8.self)
            return connect(url, record.connection, isHeardFromHere: false, into: &sink)
        case .received: return receive(record, &instruments, &actions, into: &sink)
        case .answer: return try receiveAnswer(record, &instruments, &actions, into: &sink)
        case .mark:
            take(RecordingMark(record.payload), of: record.connection, &actions, into: &sink)
            return nil
        case .sent, .packed: return nil
        }
    }

    /// A connection was opened, now or where the recording does not reach; tells why its address means nothing, if it should.
    private mutating func connect(
        _ url: String,
        _ connection: UInt32,
        isHeardFromHere: Bool,
        into sink: inout some MarketEventSink
    ) -> String? {
        let isNew = connections.insert(connection).inserted
        if itch != nil {
            guard let session = RecordedAddress.itchSession(of: url) else { return "\(url) is no session of ITCH" }
            itch?.begin(session, isHeardFromHere: isHeardFromHere, atNs: receivedNs, into: &sink)
            return nil
        }
        if !isNew { close(connection, .connectionLost, into: &sink) }
        connections.insert(connection)
        if isHeardFromHere { own?.join(connection) } else { own?.open(connection) }
        if FIXMarketDataDialect.isVenue(venue) { adopt(RecordedAddress.fixDialect(of: url, venue: venue)) }
        return nil
    }

    /// Reads the books of a FIX server from here on as they were read live.
    private mutating func adopt(_ dialect: FIXMarketDataDialect) {
        guard let known = feed?.dialect as? FIXMarketDataDialect,
            known.depth != dialect.depth || known.keying != dialect.keying
        else { return }
        earlier = counters
        feed = joined(dialect)
    }

    private mutating func take(
        _ mark: RecordingMark?,
        of connection: UInt32,
        _ actions: inout [FeedAction],
        into sink: inout some MarketEventSink
    ) {
        switch mark {
        case .open(let url):
            // One that is known goes on from the file before.
            guard !connections.contains(connection) else { return }
            _ = connect(url, connection, isHeardFromHere: true, into: &sink)
        case .missed: itch?.lose(atNs: receivedNs, into: &sink)
        case .lost(let reason):
            connections.remove(connection)
            close(connection, MarketStatus.Reason(recorded: reason), into: &sink)
            // A book that was asked for and never followed hangs on no connection.
            if connections.isEmpty { close(0, MarketStatus.Reason(recorded: reason), into: &sink) }
        case .gap: lose(into: &sink)
        case .watched:
            let line = line(connection)
            _ = feed?.advance(line: line, toNs: receivedNs, actions: &actions, into: &sink)
        case .ended:
            let line = line(connection)
            if connections.remove(connection) != nil { close(connection, .connectionLost, into: &sink) }
            feed?.end(line)
        case .file, .settings, .kept, nil: break
        }
    }

    private mutating func receive(
        _ record: CaptureRecord,
        _ instruments: inout InstrumentTable,
        _ actions: inout [FeedAction],
        into sink: inout some MarketEventSink
    ) -> String? {
        connections.insert(record.connection)
        if own != nil { return own?.receive(record, &instruments, into: &sink) }
        if itch != nil {
            return itch?.receive(record.payload, atNs: record.receivedNs, &instruments, into: &sink)
        }
        let line = line(record.connection)
        do throws(FrameFault) {
            try feed?.receive(
                record.payload,
                line: line,
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
        let line = line(record.connection)
        do throws(FrameFault) {
            try feed?.receiveSnapshot(
                body,
                rawSymbol: rawSymbol,
                line: line,
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

    private mutating func close(
        _ connection: UInt32,
        _ reason: MarketStatus.Reason,
        into sink: inout some MarketEventSink
    ) {
        disconnect(connection, reason, into: &sink)
        own?.close(connection, reason, atNs: receivedNs, into: &sink)
        // What concerns no connection concerns no session.
        if connection > 0 { itch?.close(reason, atNs: receivedNs, into: &sink) }
    }

    private mutating func disconnect(
        _ connection: UInt32,
        _ reason: MarketStatus.Reason,
        into sink: inout some MarketEventSink
    ) {
        let line = line(connection)
        feed?.disconnected(connection, line: line, reason: reason, atNs: receivedNs, into: &sink)
    }
}
