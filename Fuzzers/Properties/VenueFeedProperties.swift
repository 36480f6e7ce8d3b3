import Feeds
import Market

extension FuzzProperty {
    /// One for each venue: whatever it sends, the books told of are the feed's own, and a refused frame changes nothing.
    ///
    /// An input is a session of lines: `L` and a list of instruments, `H SYMBOL ` and the answer to a request for a book,
    /// `D` for a lost connection, `T` for ten seconds without a word, and frames.
    static let venueFeeds = Venues.all.map { dialect in
        FuzzProperty(name: dialect.venue + "-feed") { text in
            var session = VenueSession(dialect)
            for line in text.split(separator: UInt8(ascii: "\n")) {
                session.take(UnsafeRawBufferPointer(rebasing: line))
            }
        }
    }
}

extension FuzzProperty {
    /// The same for FIX market data, whose messages stand in the input without length and sum, fields separated by bars.
    ///
    /// A line that begins with an exclamation mark is a message as it is.
    static let fixFeed = FuzzProperty(name: "fix-feed") { text in
        var session = VenueSession(FIXMarketDataDialect())
        for line in text.split(separator: UInt8(ascii: "\n")) {
            let bytes = UnsafeRawBufferPointer(rebasing: line)
            switch bytes.first {
            case UInt8(ascii: "!"): session.take(UnsafeRawBufferPointer(rebasing: bytes.dropFirst()))
            case .some(UInt8(ascii: "0")...UInt8(ascii: "9")): framed(bytes).withUnsafeBytes { session.take($0) }
            default: session.take(bytes)
            }
        }
    }

    /// A stream of FIX messages gives the same messages however it is cut, and every byte belongs to one or is skipped.
    ///
    /// The first byte says into how long parts the rest is cut.
    static let fixFraming = FuzzProperty(name: "fix-framing") { bytes in
        guard let first = bytes.first else { return }
        let stream = UnsafeRawBufferPointer(rebasing: bytes.dropFirst())
        let whole = cut(stream, partBytes: max(1, stream.count))
        let parts = cut(stream, partBytes: Int(first) + 1)
        precondition(whole.messages == parts.messages, "messages are other ones when the stream is cut")
        precondition(whole.skipped == parts.skipped, "other bytes are skipped when the stream is cut")
        let inMessages = whole.messages.reduce(0) { $0 + $1.count }
        precondition(inMessages + whole.skipped == stream.count, "bytes are lost")
    }

    private static func cut(_ stream: UnsafeRawBufferPointer, partBytes: Int) -> (messages: [[UInt8]], skipped: Int) {
        var framing = FIXFraming()
        var messages: [[UInt8]] = []
        for start in stride(from: 0, to: stream.count, by: partBytes) {
            let part = UnsafeRawBufferPointer(rebasing: stream[start..<min(stream.count, start + partBytes)])
            framing.receive(part) { messages.append(Array($0)) }
            precondition(framing.keptBytes <= 2 * FIXFraming.messageBytesMost, "too much is kept")
        }
        framing.finish { messages.append(Array($0)) }
        return (messages, framing.skippedBytes)
    }

    private static func framed(_ line: UnsafeRawBufferPointer) -> [UInt8] {
        var body = line.map { $0 == UInt8(ascii: "|") ? 1 : $0 }
        if body.last != 1 { body.append(1) }
        let head = Array("8=FIXT.1.1\u{1}9=\(body.count)\u{1}".utf8) + body
        let sum = String(head.reduce(UInt8(0)) { $0 &+ $1 })
        return head + Array("10=\(String(repeating: "0", count: 3 - sum.utf8.count))\(sum)\u{1}".utf8)
    }
}

extension FuzzProperty {
    /// A DBN stream means the same however it is cut, and the books told of are the feed's own.
    ///
    /// The first byte says into how long parts the rest is cut.
    static let dbnStream = FuzzProperty(name: "dbn-stream") { bytes in
        guard let first = bytes.first else { return }
        let stream = UnsafeRawBufferPointer(rebasing: bytes.dropFirst())
        let whole = heard(stream, partBytes: max(1, stream.count))
        let parts = heard(stream, partBytes: Int(first) + 1)
        precondition(whole == parts, "a stream means something else when it is cut")
    }

    private struct DBNHeard: Equatable {
        var records = 0
        var faults: [Int] = []
        var counters = VenueFeed.Counters()
        var instruments: [Instrument] = []
        var metadata: DBNMetadata?
    }

    private static func heard(_ stream: UnsafeRawBufferPointer, partBytes: Int) -> DBNHeard {
        var heard = DBNHeard()
        var limits = VenueFeed.Limits()
        limits.instrumentsMost = 4
        var feed = VenueFeed(DBNDialect(), limits: limits)
        var table = InstrumentTable()
        var replica = BookReplica()
        var dbn = DBNStream()
        do throws(DBNError) {
            for start in stride(from: 0, to: stream.count, by: partBytes) {
                try dbn.receive(
                    UnsafeRawBufferPointer(rebasing: stream[start..<min(stream.count, start + partBytes)]),
                    feed: &feed,
                    instruments: &table,
                    into: &replica,
                    begin: { number, replica in
                        precondition(number == heard.records + 1, "records are miscounted")
                        heard.records = number
                        replica.begin()
                    },
                    fault: { number, _ in
                        heard.faults.append(number)
                        return true
                    }
                )
            }
            try dbn.finish()
        } catch {
            // What was whole before the damage was heard all the same.
        }
        replica.compare(with: feed, table)
        (heard.counters, heard.instruments, heard.metadata) = (feed.counters, table.all, dbn.metadata)
        return heard
    }
}

/// A feed of small bounds with a client behind it that rebuilds its books from the events.
private struct VenueSession {
    private var feed: VenueFeed
    private var table = InstrumentTable()
    private var replica = BookReplica()
    private var connection: UInt32 = 1
    private var nowNs: Int64 = 1_700_000_000_000_000_000
    private var frames = 0
    private var badFrames = 0

    private static let limits: VenueFeed.Limits = {
        var limits = VenueFeed.Limits()
        limits.instrumentsMost = 4
        limits.levelsMost = 12
        limits.waitingUpdatesMost = 4
        limits.waitingLevelsMost = 12
        return limits
    }()

    init(_ dialect: any VenueDialect) {
        feed = VenueFeed(dialect, limits: Self.limits)
        feed.passesQuotesWithoutSize = true
    }

    mutating func take(_ line: UnsafeRawBufferPointer) {
        let rest = UnsafeRawBufferPointer(rebasing: line.dropFirst())
        var actions: [FeedAction] = []
        nowNs += 1_000_000
        replica.begin()
        switch line.first {
        case UInt8(ascii: "L"):
            let listed = (try? VenueListing.instruments(in: rest, of: feed.dialect)) ?? []
            for instrument in listed.prefix(8) { _ = try? table.add(instrument) }
        case UInt8(ascii: "D"):
            feed.disconnected(connection, reason: .connectionLost, atNs: nowNs, into: &replica)
            connection += 1
        case UInt8(ascii: "T"):
            nowNs += 10_000_000_000
            let before = (actions, feed.counters)
            let isFound = feed.advance(toNs: nowNs, actions: &actions, into: &replica)
            precondition(
                isFound || before == (actions, feed.counters),
                "a change that is not told of is in no recording"
            )
        case UInt8(ascii: "H"):
            let words = rest.split(separator: UInt8(ascii: " "), maxSplits: 1)
            guard words.count == 2 else { return }
            receive(UnsafeRawBufferPointer(rebasing: words[1]), String(decoding: words[0], as: UTF8.self), &actions)
        default:
            receive(line, nil, &actions)
        }
        check(actions)
    }

    /// Hands over a frame, or the answer to a request for an instrument's book.
    private mutating func receive(_ bytes: UnsafeRawBufferPointer, _ rawSymbol: String?, _ actions: inout [FeedAction])
    {
        let (counters, known, listed) = (feed.counters, feed.instruments, table.all)
        frames += 1
        do throws(FrameFault) {
            if let rawSymbol {
                try feed.receiveSnapshot(
                    bytes,
                    rawSymbol: rawSymbol,
                    connection: connection,
                    atNs: nowNs,
                    instruments: &table,
                    actions: &actions,
                    into: &replica
                )
            } else {
                try feed.receive(
                    bytes,
                    connection: connection,
                    atNs: nowNs,
                    instruments: &table,
                    actions: &actions,
                    into: &replica
                )
            }
        } catch {
            badFrames += 1
            var expected = counters
            expected.frames += 1
            expected.badFrames += 1
            // A live book that cannot follow the frame begins anew.
            (expected.gaps, expected.resyncs) = (feed.counters.gaps, feed.counters.resyncs)
            // Its number counts all the same.
            expected.frameGaps = feed.counters.frameGaps
            precondition(feed.counters == expected, "a frame was refused (\(error)) and counted as something else too")
            precondition(
                feed.instruments == known && table.all == listed,
                "a refused frame (\(error)) left an instrument"
            )
            precondition(!replica.hasHeardData, "a refused frame (\(error)) was told on")
        }
    }

    private func check(_ actions: [FeedAction]) {
        precondition(feed.counters.frames == frames && feed.counters.badFrames == badFrames, "frames are miscounted")
        precondition(feed.instruments.count <= Self.limits.instrumentsMost, "too many instruments")
        let waiting = feed.waitingMost
        precondition(waiting.updates <= Self.limits.waitingUpdatesMost, "\(waiting.updates) updates wait")
        precondition(waiting.levels <= Self.limits.waitingLevelsMost, "\(waiting.levels) levels wait")
        precondition(actions.count <= 2 * Self.limits.instrumentsMost, "\(actions.count) demands")
        for action in actions {
            guard case .fetchSnapshot(let url, let rawSymbol) = action.demand else { continue }
            precondition(feed.dialect.rawSymbol(ofSnapshotURL: url) == rawSymbol, "\(url) asks for something else")
        }
        replica.compare(with: feed, table)
    }
}

/// Rebuilds books from events alone, as a client does.
private struct BookReplica: MarketEventSink {
    private(set) var learned: [InstrumentID: Instrument] = [:]
    private(set) var books: [InstrumentID: OrderBook] = [:]
    /// Whether anything but a status was heard since the last ``begin()``.
    private(set) var hasHeardData = false

    mutating func begin() { hasHeardData = false }

    /// Makes sure that the books told of are the feed's.
    func compare(with feed: VenueFeed, _ table: InstrumentTable) {
        for id in feed.instruments {
            precondition(learned[id] == table[id], "units that nobody was told of")
            guard let book = feed.book(of: id) else { continue }
            precondition(book.isConsistent, "an inconsistent book")
            for side in Side.allCases {
                precondition(book.depth(of: side) <= feed.limits.levelsMost, "too deep a book")
            }
            guard let told = books[id] else { preconditionFailure("a live book that nobody was told of") }
            precondition(told.bids == book.bids && told.asks == book.asks, "the book told of is another")
        }
    }

    mutating func learn(_ instrument: Instrument) {
        precondition(!instrument.symbol.isEmpty && !instrument.rawSymbol.isEmpty, "an instrument without name")
        learned[instrument.id] = instrument
    }

    mutating func receive(_ event: MarketEvent, levels: Span<LevelChange>) {
        let id = event.instrument
        precondition(learned[id] != nil, "an event ahead of its instrument")
        precondition(
            event.eventNs >= 0 && (event.eventNs == 0) == event.flags.contains(.eventTimeMissing),
            "a wrong time"
        )
        switch event.payload {
        case .status(let status):
            precondition(levels.isEmpty)
            if [.disconnected, .resyncing].contains(status.state) || status.reason == .unitsChanged { books[id] = nil }
            return
        case .bookSnapshot(let top):
            var book = OrderBook()
            for index in levels.indices {
                precondition(!levels[index].quantity.isZero, "a snapshot has a level without quantity")
                precondition(book.apply(levels[index]), "a snapshot has a level twice")
            }
            precondition(top == Quote(of: book), "another top")
            books[id] = book
        case .bookDelta(let top):
            guard var book = books[id] else { preconditionFailure("changes of a book that was not told of") }
            for index in levels.indices { book.apply(levels[index]) }
            precondition(top == Quote(of: book), "another top")
            books[id] = book
        default:
            precondition(levels.isEmpty)
        }
        hasHeardData = true
    }
}
