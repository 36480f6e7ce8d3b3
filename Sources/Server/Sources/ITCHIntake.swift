import Feeds
import Market

/// Where messages of ITCH go, whatever brings them: the feed, what is told of it, and what operators see.
final class ITCHIntake {
    private(set) var feed: ITCHFeed
    let configuration: ITCHConfiguration
    private unowned let feedLoop: FeedLoop
    private let tap: RecordingTap
    /// Messages that the feed has read and the recorder has not, and when they were received.
    private var unrecorded = ITCHPacket()
    private var unrecordedNs: Int64 = 0
    /// The name of the one connection in recordings.
    private static let connection: UInt32 = 1
    /// The session as recordings name it.
    private var session = (name: "", midnightNs: Int64(0))
    private var counted = VenueFeed.Counters()
    private var reported = ITCHFeed.Counters()
    /// Bad messages told since the last sweep: a venue that sends nothing else must not fill the log.
    private var complaints = 0
    private static let complaintsMost = 10

    init(_ configuration: ITCHConfiguration, on feedLoop: FeedLoop, tap: RecordingTap) {
        self.configuration = configuration
        self.tap = tap
        self.feedLoop = feedLoop
        feed = ITCHFeed(ITCHFeed.Settings(configuration), midnightNs: 0)
    }

    /// The midnight that the messages of a session count from that begins now.
    private var midnightNs: Int64 {
        EasternTime.midnightNs(of: configuration.date) ?? EasternTime.midnightNs(before: feedLoop.clock.nowNs)
    }

    func beginSession(_ name: String, isWhole: Bool, atNs now: Int64? = nil) {
        feedLoop.log.info("itch-session", ["session": .text(name), "isWhole": .flag(isWhole)])
        let now = now ?? feedLoop.clock.nowNs
        record()
        session = (name, midnightNs)
        unrecorded.setSession(name)
        recordSession(isWhole ? .empty : .unknown, atNs: now)
        feed.beginSession(midnightNs: session.midnightNs, isWhole: isWhole, atNs: now, into: &feedLoop.publisher)
    }

    func lost(_ messages: UInt64) {
        feedLoop.log.warning("itch-messages-lost", ["messages": .count(messages)])
        let now = feedLoop.clock.nowNs
        record()
        tap.missed(messages, connection: Self.connection, atNs: now)
        feed.lost(atNs: now, into: &feedLoop.publisher)
    }

    func disconnected(_ reason: MarketStatus.Reason, atNs now: Int64? = nil) {
        let now = now ?? feedLoop.clock.nowNs
        record()
        tap.lost(reason, connection: Self.connection, atNs: now)
        feed.disconnected(reason: reason, atNs: now, into: &feedLoop.publisher)
    }

    func resumed() {
        let now = feedLoop.clock.nowNs
        record()
        recordSession(.kept, atNs: now)
        feed.resumed(atNs: now, into: &feedLoop.publisher)
    }

    /// Takes messages that were read at once; `body` is given what takes each of them.
    ///
    /// The table of instruments is taken out once for all of them.
    func takeMessages(
        atNs receivedNs: Int64?,
        _ body: ((UnsafeRawBufferPointer, UInt64) -> Void) -> Void
    ) {
        var table = feedLoop.publisher.table
        if let receivedNs { unrecordedNs = receivedNs }
        defer { record() }
        body { message, number in
            keep(message, number)
            do throws(ITCHFault) {
                try feed.receive(
                    message,
                    atNs: receivedNs,
                    sequence: number,
                    instruments: &table,
                    into: &feedLoop.publisher
                )
            } catch {
                complain(error, number)
            }
        }
    }

    // MARK: Recording

    /// Keeps a message for the recorder, in the packet of those that were read with it.
    private func keep(_ message: UnsafeRawBufferPointer, _ number: UInt64) {
        guard tap.isRecording else { return }
        if !unrecorded.takes(message, number) { record() }
        unrecorded.append(message, number)
    }

    /// Hands over what was kept, before something else is recorded.
    private func record() {
        guard !unrecorded.isEmpty else { return }
        unrecorded.bytes.withUnsafeBytes {
            tap.received($0, isText: false, connection: Self.connection, atNs: unrecordedNs)
        }
        unrecorded.removeAll()
    }

    private func recordSession(_ books: RecordedAddress.Books, atNs now: Int64) {
        guard tap.isRecording else { return }
        let server = configuration.mode == "soupbin" ? configuration.server : configuration.lines.first ?? ""
        let url = RecordedAddress.itch(
            "\(configuration.mode)://\(server)",
            session: session.name,
            .init(midnightNs: session.midnightNs, books: books)
        )
        tap.opened(url, connection: Self.connection, atNs: now)
    }

    private func complain(_ fault: ITCHFault, _ number: UInt64) {
        // Kinds of a later version are counted.
        if case .unknownKind = fault { return }
        complaints += 1
        guard complaints <= Self.complaintsMost else { return }
        feedLoop.log.warning("itch-bad-message", ["number": .count(number), "problem": .text(fault.description)])
    }

    /// To be called about once a second.
    func count() {
        complaints = 0
        let now = feed.counters
        feedLoop.metrics.count(now.common, since: counted, venue: ITCHFeed.venue)
        counted = now.common
        guard
            now.unknownOrders > reported.unknownOrders || now.unknownKinds > reported.unknownKinds
                || now.brokenTrades > reported.brokenTrades || now.refusedInstruments > reported.refusedInstruments
        else { return }
        feedLoop.log.warning(
            "itch-counts",
            [
                "unknownOrders": .count(now.unknownOrders), "unknownKinds": .count(now.unknownKinds),
                "brokenTrades": .count(now.brokenTrades), "refusedInstruments": .count(now.refusedInstruments),
            ]
        )
        reported = now
    }
}

extension ITCHFeed.Settings {
    init(_ configuration: ITCHConfiguration) {
        self.init()
        symbols = Set(configuration.symbols)
        tellsOrders = configuration.orders
        instrumentsMost = configuration.instrumentsMost
        limit(orders: configuration.ordersMost)
    }

    /// As a recording says; whether single orders are told is the reader's affair.
    init(_ recorded: RecordedSettings, tellsOrders: Bool) {
        self.init(ITCHConfiguration())
        self.tellsOrders = tellsOrders
        symbols = Set(recorded["symbols"]?.split(separator: ",").map(String.init) ?? [])
        if let most = recorded["instrumentsMost"].flatMap({ Int($0) }) { instrumentsMost = min(max(most, 1), 65_535) }
        if let most = recorded["ordersMost"].flatMap({ Int($0) }) { limit(orders: min(max(most, 1), 1_000_000_000)) }
    }

    var recorded: RecordedSettings {
        let usual = Self(ITCHConfiguration())
        var settings = RecordedSettings()
        if symbols != usual.symbols { settings["symbols"] = symbols.sorted().joined(separator: ",") }
        if instrumentsMost != usual.instrumentsMost { settings["instrumentsMost"] = "\(instrumentsMost)" }
        if ledger.ordersMost != usual.ledger.ordersMost { settings["ordersMost"] = "\(ledger.ordersMost)" }
        return settings
    }

    private mutating func limit(orders: Int) {
        ledger = OrderLedger.Limits(ordersMost: orders, levelsMost: max(1_000, orders / 4))
    }
}
