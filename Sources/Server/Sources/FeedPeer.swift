import Feeds
import Market
import Transport

/// One connection of the hub's own feed, whoever opened it: its form, its decoder, and what it is answered.
final class FeedPeer {
    private enum Decoder {
        /// Nothing came yet.
        case undecided
        case lines(LineFeed)
        case messages(MessageFeed)
    }

    /// Names the connection at the source's desk.
    let number: UInt32
    let address: String
    /// When bytes came last that ended a message, or a blank line; nanoseconds of the monotonic clock.
    private(set) var heardNs: Int64
    private(set) var saidNs: Int64
    /// The peer introduced itself, so that it reads what it is sent.
    private(set) var hello: FeedHello?

    /// Nil while it is not known.
    private(set) var form: FeedForm?

    private let settings: LineFeed.Settings
    private var decoder = Decoder.undecided
    /// Messages that may still come now; below zero the sender has to wait.
    private var budget: Double
    private let messagesPerSecondMost: Double
    private var budgetNs: Int64

    /// Without a form, the one that the first byte shows is taken.
    init(number: UInt32, address: String, form: FeedForm?, settings: LineFeed.Settings, messagesPerSecondMost: Int) {
        let now = HubClock.monotonicNs
        self.number = number
        self.address = address
        self.form = form
        self.settings = settings
        self.messagesPerSecondMost = Double(messagesPerSecondMost)
        budget = Double(messagesPerSecondMost)
        (heardNs, saidNs, budgetNs) = (now, now, now)
    }

    /// Messages that ended.
    var messageCount: UInt64 {
        switch decoder {
        case .undecided: 0
        case .lines(let feed): feed.lineCount
        case .messages(let feed): feed.messageCount
        }
    }

    /// The instruments it has named.
    var instruments: [InstrumentID] {
        switch decoder {
        case .undecided: []
        case .lines(let feed): feed.instruments
        case .messages(let feed): feed.instruments
        }
    }

    /// Reads bytes; what they say goes to `sink`.
    func receive(
        _ bytes: UnsafeRawBufferPointer,
        atNs now: Int64,
        table: inout InstrumentTable,
        into sink: inout some MarketEventSink
    ) -> LineFeed.Verdict {
        guard let first = bytes.first else { return LineFeed.Verdict() }
        if case .undecided = decoder {
            guard let found = form ?? FeedForm(firstByte: first) else {
                return LineFeed.Verdict(refusals: [LineFeed.Refusal(line: 1, error: .unknownForm)], isCut: true)
            }
            form = found
            decoder = found == .json ? .lines(LineFeed(settings)) : .messages(MessageFeed(settings))
        }
        // Out of self while it reads, so that nothing is copied.
        var taken = Decoder.undecided
        swap(&taken, &decoder)
        let verdict: LineFeed.Verdict
        var isWhole = false
        switch taken {
        case .undecided: verdict = LineFeed.Verdict()
        case .lines(var feed):
            taken = .undecided
            verdict = feed.receive(bytes, receivedNs: now, table: &table, into: &sink)
            isWhole = !feed.isWithinMessage
            decoder = .lines(feed)
        case .messages(var feed):
            taken = .undecided
            verdict = feed.receive(bytes, receivedNs: now, table: &table, into: &sink)
            decoder = .messages(feed)
        }
        if verdict.messageCount > 0 || isWhole { heardNs = HubClock.monotonicNs }
        if let said = verdict.hello { hello = said }
        return verdict
    }

    /// Counts messages against the rate.
    ///
    /// - Returns: how long the sender has to wait; 0 for not at all.
    func charge(_ count: Int) -> UInt64 {
        let now = HubClock.monotonicNs
        budget = min(messagesPerSecondMost, budget + Double(now - budgetNs) / 1_000_000_000 * messagesPerSecondMost)
        budgetNs = now
        budget -= Double(count)
        return budget >= 0 ? 0 : UInt64(-budget / messagesPerSecondMost * 1_000_000_000) + 1_000_000
    }

    /// What the peer is told, in its form; empty while that is not known.
    func words(_ write: (inout FeedWriter) -> Void) -> [UInt8] {
        guard let form else { return [] }
        var writer = FeedWriter(form, isCounting: false)
        write(&writer)
        saidNs = HubClock.monotonicNs
        return writer.take()
    }

    /// The errors to answer with, and a greeting for a greeting.
    func answer(to verdict: LineFeed.Verdict, _ greeting: FeedHello) -> [UInt8] {
        guard verdict.hello != nil || !verdict.refusals.isEmpty || verdict.gap != nil else { return [] }
        // Whoever spoke in no form at all is told in the one that people read.
        if form == nil { form = .json }
        return words { writer in
            if verdict.hello != nil { writer.write(greeting) }
            if let gap = verdict.gap { writer.write(gap, message: 0) }
            for refusal in verdict.refusals { writer.write(refusal.error, message: refusal.line) }
        }
    }
}

/// What the connections of one source of the hub's own feed share, and the way from them to the publisher.
final class FeedRoom {
    fileprivate(set) var desk = FeedDesk()
    /// Instruments that another source of this hub has: what is said of them here is left out.
    fileprivate var foreign: Set<InstrumentID> = []
    private let name: String

    init(name: String) { self.name = name }

    func seat(of connection: UInt32, on feed: FeedLoop) -> FeedSeat {
        FeedSeat(room: self, feed: feed, connection: connection)
    }

    func closed(_ connection: UInt32, reason: MarketStatus.Reason, atNs now: Int64, on feed: FeedLoop) {
        desk.closed(connection, reason: reason, atNs: now, into: &feed.publisher)
    }

    fileprivate func refuse(_ instrument: Instrument, on feed: FeedLoop) {
        guard foreign.insert(instrument.id).inserted else { return }
        feed.log.error(
            "feed-instrument-taken",
            [
                "source": .text(name), "symbol": .text(instrument.qualifiedSymbol),
                "remedy": "another source of this hub has it; give one of them another venue",
            ]
        )
    }
}

/// Where a decoder tells what its connection says.
struct FeedSeat: MarketEventSink {
    fileprivate let room: FeedRoom
    fileprivate let feed: FeedLoop
    fileprivate let connection: UInt32

    mutating func learn(_ instrument: Instrument) {
        let table = feed.publisher.table
        let isOurs = room.desk.knows(instrument.id) || instrument.id.index >= table.all.count
        // Of a process before this one it may be anybody's: the first who names it has it.
        guard isOurs || table.isInherited(instrument.id) else {
            return room.refuse(instrument, on: feed)
        }
        room.desk.learn(instrument, from: connection)
        feed.publisher.learn(instrument)
    }

    mutating func receive(_ event: MarketEvent, levels: Span<LevelChange>) {
        guard room.foreign.isEmpty || !room.foreign.contains(event.instrument) else { return }
        room.desk.receive(event, levels: levels, from: connection, into: &feed.publisher)
    }
}
