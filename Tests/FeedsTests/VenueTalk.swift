import Feeds
import Market
import Testing

/// Speaks single frames to the feed of a venue.
struct VenueTalk {
    var replay: Replay

    init(_ venue: String, limits: VenueFeed.Limits = .init()) throws {
        try self.init(#require(Venues.dialect(of: venue)), limits: limits)
    }

    init(_ dialect: any VenueDialect, limits: VenueFeed.Limits = .init()) throws {
        replay = try Replay(dialect.venue)
        replay.feed = VenueFeed(dialect, limits: limits)
        replay.feed.passesQuotesWithoutSize = true
        replay.recorder.keepsBooks = true
    }

    /// - Returns: the events that a frame leads to.
    @discardableResult
    mutating func hear(_ text: String, connection: UInt32 = 1, atNs now: Int64 = 1) -> [MarketEvent] {
        let before = replay.recorder.events.count
        let line = CaptureLine(
            number: 1,
            receivedNs: now,
            connection: connection,
            kind: UInt8(ascii: "R"),
            payload: 0..<0
        )
        Array(text.utf8).withUnsafeBytes { replay.play(line, $0) }
        return replay.recorder.events[before...].map(\.event)
    }

    /// Has the instruments of a list known from the start.
    mutating func learn(list: String) throws {
        let dialect = replay.feed.dialect
        let listed = try Array(list.utf8).withUnsafeBytes { try VenueListing.instruments(in: $0, of: dialect) }
        for instrument in listed { _ = try replay.table.add(instrument) }
    }

    var statuses: [MarketStatus] {
        replay.recorder.events.compactMap { if case .status(let status) = $0.event.payload { status } else { nil } }
    }

    /// `buyer 1.5 x 2 #id` of all trades so far, with the units that the instrument has now.
    var trades: [String] {
        replay.recorder.events.compactMap { _, event, instrument in
            guard case .trade(let trade) = event.payload else { return nil }
            let past = event.flags.contains(.historic) ? "past " : ""
            let gap = event.flags.contains(.gapBefore) ? "gap " : ""
            return "\(gap)\(past)\(trade.aggressor) \(instrument.text(trade.price)) x "
                + "\(instrument.text(trade.quantity)) #\(trade.id.text)"
        }
    }

    var fault: FrameFault? { replay.faults.last?.fault }
    var demands: [FeedAction.Demand] { replay.actions.map(\.demand) }
}
