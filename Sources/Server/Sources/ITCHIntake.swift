import Feeds
import Market

/// Where messages of ITCH go, whatever brings them: the feed, what is told of it, and what operators see.
final class ITCHIntake {
    private(set) var feed: ITCHFeed
    let configuration: ITCHConfiguration
    private unowned let feedLoop: FeedLoop
    private var counted = VenueFeed.Counters()
    private var reported = ITCHFeed.Counters()
    /// Bad messages told since the last sweep: a venue that sends nothing else must not fill the log.
    private var complaints = 0
    private static let complaintsMost = 10

    init(_ configuration: ITCHConfiguration, on feedLoop: FeedLoop) {
        self.configuration = configuration
        self.feedLoop = feedLoop
        var settings = ITCHFeed.Settings()
        settings.symbols = Set(configuration.symbols)
        settings.tellsOrders = configuration.orders
        settings.instrumentsMost = configuration.instrumentsMost
        settings.ledger = OrderLedger.Limits(
            ordersMost: configuration.ordersMost,
            levelsMost: max(1_000, configuration.ordersMost / 4)
        )
        feed = ITCHFeed(settings, midnightNs: 0)
    }

    /// The midnight that the messages of a session count from that begins now.
    private var midnightNs: Int64 {
        EasternTime.midnightNs(of: configuration.date) ?? EasternTime.midnightNs(before: feedLoop.clock.nowNs)
    }

    func beginSession(_ name: String, isWhole: Bool, atNs now: Int64? = nil) {
        feedLoop.log.info("itch-session", ["session": .text(name), "isWhole": .flag(isWhole)])
        feed.beginSession(
            midnightNs: midnightNs,
            isWhole: isWhole,
            atNs: now ?? feedLoop.clock.nowNs,
            into: &feedLoop.publisher
        )
    }

    func lost(_ messages: UInt64) {
        feedLoop.log.warning("itch-messages-lost", ["messages": .count(messages)])
        feed.lost(atNs: feedLoop.clock.nowNs, into: &feedLoop.publisher)
    }

    func disconnected(_ reason: MarketStatus.Reason, atNs now: Int64? = nil) {
        feed.disconnected(reason: reason, atNs: now ?? feedLoop.clock.nowNs, into: &feedLoop.publisher)
    }

    func resumed() { feed.resumed(atNs: feedLoop.clock.nowNs, into: &feedLoop.publisher) }

    /// Takes messages that were read at once; `body` is given what takes each of them.
    ///
    /// The table of instruments is taken out once for all of them.
    func takeMessages(
        atNs receivedNs: Int64?,
        _ body: ((UnsafeRawBufferPointer, UInt64) -> Void) -> Void
    ) {
        var table = feedLoop.publisher.table
        body { message, number in
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
