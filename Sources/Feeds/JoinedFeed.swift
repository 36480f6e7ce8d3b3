public import Market

/// A venue's instruments as one or several connections bring them: each line followed by a ``VenueFeed`` of its own, and joined
/// into one stream by a ``LineArbiter``.
///
/// Lines have small numbers, which are used again. It performs nothing: what a line's feed wants is in its actions, under the
/// connection that the caller named.
public struct JoinedFeed: Sendable {
    public let dialect: any VenueDialect
    /// Whether quotes without quantities are passed on, with quantities of zero.
    public var passesQuotesWithoutSize = false
    private let makeFeed: @Sendable () -> VenueFeed
    private var feeds = [VenueFeed?](repeating: nil, count: LineArbiter.linesMost)
    /// What lines had seen that have ended.
    private var ended = VenueFeed.Counters()
    private var join: Join
    /// The line that took over books last; nil before any did.
    public private(set) var lastTakeover: Int?

    /// What the stream of all lines is.
    struct Join: Sendable {
        var arbiter: LineArbiter
        /// What listeners know of each instrument.
        var units: [InstrumentID: VenueFeed.Scales] = [:]
    }

    /// What a line's work leaves to do when it is done.
    struct Leftovers: Sendable {
        var takeovers: [(instrument: InstrumentID, line: Int)] = []
        var renewedUnits: [Instrument] = []

        var isEmpty: Bool { takeovers.isEmpty && renewedUnits.isEmpty }
    }

    /// - Parameters:
    ///   - dialect: how the venue speaks.
    ///   - makeFeed: makes the feed of a new line.
    public init(_ dialect: any VenueDialect, makeFeed: @escaping @Sendable () -> VenueFeed) {
        self.dialect = dialect
        self.makeFeed = makeFeed
        join = Join(arbiter: LineArbiter(numbersAreShared: dialect.rules.numbersAreShared))
    }

    /// The lines there are.
    public var lines: [Int] { feeds.indices.filter { feeds[$0] != nil } }

    /// Instruments heard of on any line, in the order of first hearing on the first of them.
    public var instruments: [InstrumentID] {
        var seen: Set<InstrumentID> = []
        return feeds.flatMap { $0?.instruments ?? [] }.filter { seen.insert($0).inserted }
    }

    /// The book that was passed on, while it is complete.
    public func book(of id: InstrumentID) -> OrderBook? {
        join.arbiter.leader(of: id).flatMap { feeds[$0]?.book(of: id) }
    }

    /// What all lines together have seen since the start, those that have ended too.
    public var counters: VenueFeed.Counters {
        feeds.reduce(into: ended) { sum, feed in
            if let feed { sum.add(feed.counters) }
        }
    }

    /// Which line was first, and how often one took over.
    public var lineCounters: LineArbiter.Counters { join.arbiter.counters }

    /// Instruments heard of on a line.
    public func instruments(ofLine line: Int) -> [InstrumentID] { feeds[line]?.instruments ?? [] }

    /// Whether a line can serve the book of an instrument.
    public func hasBook(_ line: Int, of id: InstrumentID) -> Bool { join.arbiter.hasBook(line, of: id) }

    // MARK: What happens

    /// Takes a frame that a line received; a line that is not there begins with it.
    ///
    /// What it leads to is in `actions`, also for other lines, each under the connection that the line's frames came by.
    /// - Throws: why the frame was not understood; see ``VenueFeed/receive(_:connection:atNs:instruments:actions:into:)``.
    public mutating func receive(
        _ text: UnsafeRawBufferPointer,
        line: Int,
        connection: UInt32,
        atNs now: Int64,
        instruments: inout InstrumentTable,
        actions: inout [FeedAction],
        into sink: inout some MarketEventSink
    ) throws(FrameFault) {
        try use(line, atNs: now, &actions, &sink) { feed, actions, sink throws(FrameFault) in
            try feed.receive(
                text,
                connection: connection,
                atNs: now,
                instruments: &instruments,
                actions: &actions,
                into: &sink
            )
        }
    }

    /// Takes the answer to a line's request for a book.
    public mutating func receiveSnapshot(
        _ body: UnsafeRawBufferPointer,
        rawSymbol: String,
        line: Int,
        connection: UInt32,
        atNs now: Int64,
        instruments: inout InstrumentTable,
        actions: inout [FeedAction],
        into sink: inout some MarketEventSink
    ) throws(FrameFault) {
        try use(line, atNs: now, &actions, &sink) { feed, actions, sink throws(FrameFault) in
            try feed.receiveSnapshot(
                body,
                rawSymbol: rawSymbol,
                connection: connection,
                atNs: now,
                instruments: &instruments,
                actions: &actions,
                into: &sink
            )
        }
    }

    /// Forgets the books that a line's connection told, if it told anything.
    public mutating func disconnected(
        _ connection: UInt32,
        line: Int,
        reason: MarketStatus.Reason,
        atNs now: Int64,
        into sink: inout some MarketEventSink
    ) {
        guard feeds[line] != nil else { return }
        var actions: [FeedAction] = []
        use(line, atNs: now, &actions, &sink) { feed, _, sink in
            feed.disconnected(connection, reason: reason, atNs: now, into: &sink)
        }
    }

    /// Looks for books of a line that stay crossed or without news; to be called about once a second.
    ///
    /// - Returns: whether there was one; otherwise nothing has changed.
    public mutating func advance(
        line: Int,
        toNs now: Int64,
        actions: inout [FeedAction],
        into sink: inout some MarketEventSink
    ) -> Bool {
        guard feeds[line] != nil else { return false }
        var isFound = false
        use(line, atNs: now, &actions, &sink) { feed, actions, sink in
            isFound = feed.advance(toNs: now, actions: &actions, into: &sink)
        }
        return isFound
    }

    /// Forgets a line, so that its number can be used again; its connection is to be told gone before.
    public mutating func end(_ line: Int) {
        if let feed = feeds[line].take() { ended.add(feed.counters) }
        join.arbiter.end(line)
    }

    // MARK: Joining

    /// Lets a line's feed work, and then does what that leads to for the others.
    private mutating func use<Sink: MarketEventSink, Failure: Error>(
        _ line: Int,
        atNs now: Int64,
        _ actions: inout [FeedAction],
        _ sink: inout Sink,
        _ body: (inout VenueFeed, inout [FeedAction], inout JudgingSink<Sink>) throws(Failure) -> Void
    ) throws(Failure) {
        if feeds[line] == nil { feeds[line] = makeFeed() }
        feeds[line]?.passesQuotesWithoutSize = passesQuotesWithoutSize
        var leftovers = Leftovers()
        defer { if !leftovers.isEmpty { settle(leftovers, after: line, atNs: now, &actions, &sink) } }
        try Self.use(&feeds[line], line, &join, &leftovers, &actions, &sink, body)
    }

    /// Each by its place: as values they would be copied with the first event.
    private static func use<Sink: MarketEventSink, Failure: Error>(
        _ feed: inout VenueFeed?,
        _ line: Int,
        _ join: inout Join,
        _ leftovers: inout Leftovers,
        _ actions: inout [FeedAction],
        _ sink: inout Sink,
        _ body: (inout VenueFeed, inout [FeedAction], inout JudgingSink<Sink>) throws(Failure) -> Void
    ) throws(Failure) {
        try withUnsafeMutablePointer(to: &sink) { sink throws(Failure) in
            try withUnsafeMutablePointer(to: &join) { join throws(Failure) in
                var judge = JudgingSink(line: line, join: join, sink: sink)
                defer { leftovers = judge.leftovers }
                // Made by the caller.
                try body(&feed!, &actions, &judge)
            }
        }
    }

    /// Gives other lines new units, and tells the books of lines that took over.
    private mutating func settle(
        _ leftovers: Leftovers,
        after line: Int,
        atNs now: Int64,
        _ actions: inout [FeedAction],
        _ sink: inout some MarketEventSink
    ) {
        for instrument in leftovers.renewedUnits {
            for other in lines where other != line {
                use(other, atNs: now, &actions, &sink) { feed, actions, sink in
                    feed.adopt(instrument, atNs: now, actions: &actions, into: &sink)
                }
            }
            // Clients have heard of new units, and need the book in them from whoever leads now; a single line has told it.
            if lines.count > 1, let leader = join.arbiter.leader(of: instrument.id) {
                restate(instrument.id, leader, atNs: now, &sink)
            }
        }
        for (instrument, leader) in leftovers.takeovers {
            lastTakeover = leader
            restate(instrument, leader, atNs: now, &sink)
        }
    }

    private mutating func restate(
        _ instrument: InstrumentID,
        _ line: Int,
        atNs now: Int64,
        _ sink: inout some MarketEventSink
    ) {
        // Not judged: it is what the arbiter asked for.
        feeds[line]?.restate(instrument, atNs: now, into: &sink)
    }
}

/// Judges the events of one line and passes on what counts; lives as long as the line works.
struct JudgingSink<Sink: MarketEventSink>: MarketEventSink {
    let line: Int
    let join: UnsafeMutablePointer<JoinedFeed.Join>
    let sink: UnsafeMutablePointer<Sink>
    var leftovers = JoinedFeed.Leftovers()

    mutating func receive(_ event: MarketEvent, levels: Span<LevelChange>) {
        var event = event
        switch join.pointee.arbiter.judge(&event, from: line) {
        case .pass: sink.pointee.receive(event, levels: levels)
        case .drop: break
        case .takeOver(let other): leftovers.takeovers.append((event.instrument, other))
        }
    }

    mutating func learn(_ instrument: Instrument) {
        let told = VenueFeed.Scales(price: instrument.priceScale, quantity: instrument.quantityScale)
        if let known = join.pointee.units.updateValue(told, forKey: instrument.id), known != told {
            leftovers.renewedUnits.append(instrument)
        }
        sink.pointee.learn(instrument)
    }
}
