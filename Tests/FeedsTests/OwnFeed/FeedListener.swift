import Feeds
import Market

/// Hears what a feed tells, one line an event, in words that tests compare.
struct FeedListener: MarketEventSink {
    var log: [String] = []
    var events: [MarketEvent] = []
    var books: [InstrumentID: OrderBook] = [:]
    /// Tops beside book events that are not those of the book.
    var wrongTops = 0

    mutating func receive(_ event: MarketEvent, levels: Span<LevelChange>) {
        events.append(event)
        let flags = EventFlags.names.enumerated().filter { event.flags.rawValue >> UInt16($0.offset) & 1 == 1 }
            .map(\.element).filter { $0 != "LAST" && $0 != "TS_EVENT_MISSING" }
        var words = ["\(event.instrument.rawValue)"]
        switch event.payload {
        case .trade(let trade):
            words += ["trade", "\(trade.price.ticks)", "\(trade.quantity.lots)", "\(trade.aggressor)", trade.id.text]
        case .quote(let quote):
            words += ["quote", Self.text(quote.bid), Self.text(quote.ask)]
        case .bookSnapshot(let top), .bookDelta(let top):
            if case .bookSnapshot = event.payload {
                words.append("snapshot")
                books[event.instrument, default: OrderBook()].removeAll()
            } else {
                words.append("delta")
            }
            for index in levels.indices {
                books[event.instrument, default: OrderBook()].apply(levels[index])
                let side = levels[index].side == .bid ? "b" : "a"
                words.append("\(side)\(levels[index].price.ticks)x\(levels[index].quantity.lots)")
            }
            if Quote(of: books[event.instrument] ?? OrderBook()) != top { wrongTops += 1 }
        case .status(let status): words += ["status", "\(status.state)", "\(status.reason)"]
        case .ticker, .candle, .order: words.append("unexpected")
        }
        log.append((words + flags).joined(separator: " "))
    }

    private static func text(_ level: Level) -> String { "\(level.price.ticks)x\(level.quantity.lots)" }
}

/// One source with its connections, in one form or the other, as the hub has it.
struct FeedHouse {
    static let nowNs: Int64 = 1_767_225_600_000_000_000

    var desk = FeedDesk()
    var table = InstrumentTable()
    var heard = FeedListener()
    var lines: [UInt32: LineFeed] = [:]
    var messages: [UInt32: MessageFeed] = [:]
    var settings = LineFeed.Settings(instrumentsMost: 100)

    /// What a decoder tells goes over the desk.
    struct Seat: MarketEventSink {
        var desk: FeedDesk
        var heard: FeedListener
        let connection: UInt32

        mutating func learn(_ instrument: Instrument) { desk.learn(instrument, from: connection) }
        mutating func receive(_ event: MarketEvent, levels: Span<LevelChange>) {
            desk.receive(event, levels: levels, from: connection, into: &heard)
        }
    }

    @discardableResult
    mutating func say(_ text: String, on connection: UInt32 = 1) -> LineFeed.Verdict {
        var seat = Seat(desk: desk, heard: heard, connection: connection)
        defer { (desk, heard) = (seat.desk, seat.heard) }
        var feed = lines[connection] ?? LineFeed(settings)
        defer { lines[connection] = feed }
        return Array((text + "\n").utf8).withUnsafeBytes {
            feed.receive($0, receivedNs: Self.nowNs, table: &table, into: &seat)
        }
    }

    @discardableResult
    mutating func send(_ bytes: [UInt8], on connection: UInt32 = 1) -> LineFeed.Verdict {
        var seat = Seat(desk: desk, heard: heard, connection: connection)
        defer { (desk, heard) = (seat.desk, seat.heard) }
        var feed = messages[connection] ?? MessageFeed(settings)
        defer { messages[connection] = feed }
        return bytes.withUnsafeBytes { feed.receive($0, receivedNs: Self.nowNs, table: &table, into: &seat) }
    }

    mutating func close(_ connection: UInt32) {
        desk.closed(connection, reason: .connectionLost, atNs: Self.nowNs, into: &heard)
    }

    /// What was heard since the last time.
    mutating func news() -> [String] {
        defer { heard.log = [] }
        return heard.log
    }
}

extension [UInt8] {
    /// With the length before it.
    var framed: [UInt8] {
        [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: count >> $0) } + self
    }
}
