internal import Feeds
internal import Market

/// A recorded session of ITCH: the packets that its feed read, and what was said of the session between them.
struct RecordedITCH {
    private(set) var feed: ITCHFeed
    /// Whether it was told when the session's times count from.
    private var hasSession = false

    init(_ settings: RecordedSettings, tellsOrders: Bool) {
        feed = ITCHFeed(ITCHFeed.Settings(settings, tellsOrders: tellsOrders), midnightNs: 0)
    }

    /// A session begins, or goes on; `isHeardFromHere` says that what came before is not in the recording.
    mutating func begin(
        _ session: RecordedAddress.ITCHSession,
        isHeardFromHere: Bool,
        atNs now: Int64,
        into sink: inout some MarketEventSink
    ) {
        if session.books == .kept, hasSession, !isHeardFromHere { return feed.resumed(atNs: now, into: &sink) }
        hasSession = true
        feed.beginSession(
            midnightNs: session.midnightNs,
            isWhole: session.books == .empty && !isHeardFromHere,
            atNs: now,
            into: &sink
        )
    }

    /// Takes the messages of a packet; tells why some are bad, if any are.
    mutating func receive(
        _ packet: UnsafeRawBufferPointer,
        atNs now: Int64,
        _ instruments: inout InstrumentTable,
        into sink: inout some MarketEventSink
    ) -> String? {
        guard hasSession else { return "messages of ITCH without a session before them" }
        var (badCount, firstProblem) = (0, "")
        let isWhole = ITCHPacket.read(packet) { message, number in
            do throws(ITCHFault) {
                try feed.receive(message, atNs: now, sequence: number, instruments: &instruments, into: &sink)
            } catch {
                // Kinds that a later version adds are counted.
                if case .unknownKind = error { return }
                if badCount == 0 { firstProblem = "message \(number): \(error.description)" }
                badCount += 1
            }
        }
        if !isWhole { return "the lengths in the packet do not add up" }
        return badCount == 0 ? nil : "\(badCount) bad messages; the first is \(firstProblem)"
    }

    /// Messages are missing, by the venue's count or in the recording.
    mutating func lose(atNs now: Int64, into sink: inout some MarketEventSink) { feed.lost(atNs: now, into: &sink) }

    mutating func close(_ reason: MarketStatus.Reason, atNs now: Int64, into sink: inout some MarketEventSink) {
        feed.disconnected(reason: reason, atNs: now, into: &sink)
    }
}
