import Feeds
import Market

/// Speaks single frames to a feed of one venue and keeps what comes out.
struct VenueDialogue {
    var replay: Replay

    init(_ venue: String) throws {
        replay = try Replay(venue)
        replay.recorder.keepsBooks = true
    }

    /// What a frame gives.
    @discardableResult
    mutating func hear(_ text: String, connection: UInt32 = 1, atNs now: Int64 = 1) -> [MarketEvent] {
        play("R", text, connection, now)
    }

    /// What the answer to a request for a book gives.
    @discardableResult
    mutating func answer(_ url: String, _ body: String, atNs now: Int64 = 1) -> [MarketEvent] {
        play("H", "\(url)\t\(body)", 0, now)
    }

    private mutating func play(
        _ kind: Unicode.Scalar,
        _ text: String,
        _ connection: UInt32,
        _ now: Int64
    ) -> [MarketEvent] {
        let before = replay.recorder.events.count
        let line = CaptureLine(
            number: 1,
            receivedNs: now,
            connection: connection,
            kind: UInt8(ascii: kind),
            payload: 0..<0
        )
        // A buffer of its own, so that reading behind the end is seen.
        Array(text.utf8).withUnsafeBytes { replay.play(line, $0) }
        return replay.recorder.events[before...].map(\.event)
    }

    /// Everything that was said of books' states.
    var statuses: [MarketStatus] {
        replay.recorder.events.compactMap { if case .status(let status) = $0.event.payload { status } else { nil } }
    }

    var fault: FrameFault? { replay.faults.last?.fault }

    /// What the feed asked for last.
    var demand: FeedAction.Demand? { replay.actions.last?.demand }

    func bids(_ symbol: String) -> [[String]] { replay.top(1_000, of: symbol, .bid) }
    func asks(_ symbol: String) -> [[String]] { replay.top(1_000, of: symbol, .ask) }
}

/// One line for each instrument of a venue's list, with all that was read of it.
func listed(_ text: [UInt8], of venue: any VenueDialect) throws -> [String] {
    let found = try text.withUnsafeBytes { try VenueListing.instruments(in: $0, of: venue) }
    return found.map { one in
        let terms = one.terms
        var parts = [one.rawSymbol, one.symbol, "\(one.kind)"]
        parts += ["\(one.priceScale)/\(one.tick)", "\(one.quantityScale)/\(one.lot)"]
        parts += ["\(terms.base)/\(terms.quote)/\(terms.settle)", terms.contractSize?.text ?? "none"]
        parts += [terms.isInverse ? "inverse" : "linear", "\(terms.expiryNs / 1_000_000)"]
        parts += [terms.strike?.text ?? "none", terms.right.map { "\($0)" } ?? "none"]
        return parts.joined(separator: " ")
    }
}
