import Feeds
import Market

extension FuzzProperty {
    /// The feed's protobuf form says the same however its bytes are cut, keeps its bounds, and its books are what was told.
    ///
    /// The first byte says into how long parts the rest is cut.
    static let messageFeed = FuzzProperty(name: "message-feed") { bytes in
        guard let first = bytes.first else { return }
        let messages = UnsafeRawBufferPointer(rebasing: bytes.dropFirst())
        var whole = MessageFeedListener()
        whole.hear(messages, partBytes: max(1, messages.count))
        var cut = MessageFeedListener()
        cut.hear(messages, partBytes: Int(first) + 1)
        precondition(whole.heard == cut.heard, "messages mean something else when they are cut")
    }
}

/// One source with one connection, which sends bytes in parts of one length.
private struct MessageFeedListener {
    private(set) var heard = Heard()
    private static let instrumentsMost = 4
    private static let levelsMost = 64

    struct Heard: Equatable {
        var refusals: [LineFeed.Refusal] = []
        var problems: [FeedProblem] = []
        var events: [String] = []
        var instruments: [Instrument] = []
        var messageCount: UInt64 = 0
        var isCut = false
    }

    mutating func hear(_ messages: UnsafeRawBufferPointer, partBytes: Int) {
        var settings = LineFeed.Settings(instrumentsMost: Self.instrumentsMost)
        settings.venue = nil
        settings.messageBytesMost = 512
        var limits = FeedDesk.Limits()
        limits.levelsMost = Self.levelsMost
        var feed = MessageFeed(settings)
        var table = InstrumentTable()
        var seat = Seat(desk: FeedDesk(limits: limits))
        var start = 0
        while start < messages.count {
            let end = min(start + partBytes, messages.count)
            let part = UnsafeRawBufferPointer(rebasing: messages[start..<end])
            let verdict = feed.receive(part, receivedNs: 1_700_000_000_000_000_000, table: &table, into: &seat)
            precondition(verdict.isCut || !heard.isCut, "a connection that was cut is open again")
            precondition(verdict.refusals.isEmpty || !heard.isCut, "a connection that was cut is read")
            heard.isCut = verdict.isCut
            heard.refusals += verdict.refusals
            start = end
        }
        precondition(feed.badMessageCount == UInt64(heard.refusals.count), "refusals are miscounted")
        precondition(heard.refusals.count <= LineFeed.badLinesMost, "too many bad messages")
        precondition(table.all.count <= Self.instrumentsMost, "too many instruments")
        precondition(seat.desk.levelCount <= Self.levelsMost * Self.instrumentsMost, "too many levels")
        (heard.events, heard.instruments) = (seat.events, table.all)
        heard.messageCount = feed.messageCount
        seat.desk.closed(1, reason: .connectionLost, atNs: 0, into: &seat.told)
        precondition(seat.desk.levelCount == 0, "levels of a connection that is gone")
    }

    struct Seat: MarketEventSink {
        var desk: FeedDesk
        var told = Told()
        var events: [String] { told.events }

        init(desk: FeedDesk) { self.desk = desk }

        mutating func learn(_ instrument: Instrument) { desk.learn(instrument, from: 1) }
        mutating func receive(_ event: MarketEvent, levels: Span<LevelChange>) {
            desk.receive(event, levels: levels, from: 1, into: &told)
            guard case .live = told.state[event.instrument] else { return }
            precondition(
                desk.book(of: event.instrument)?.levels == told.books[event.instrument]?.levels,
                "the book is not what was told"
            )
        }
    }

    struct Told: MarketEventSink {
        var events: [String] = []
        var books: [InstrumentID: OrderBook] = [:]
        var state: [InstrumentID: MarketStatus.State] = [:]

        mutating func receive(_ event: MarketEvent, levels: Span<LevelChange>) {
            switch event.payload {
            case .bookSnapshot, .bookDelta:
                if case .bookSnapshot = event.payload { books[event.instrument] = OrderBook() }
                for index in levels.indices { books[event.instrument, default: OrderBook()].apply(levels[index]) }
                events.append("\(event.instrument) \(event.eventNs) \(event.payload) \(levels.count)")
            case .trade(let trade):
                precondition(trade.price.ticks > 0 && !trade.quantity.isZero, "a trade of nothing")
                events.append("\(event.instrument) \(event.eventNs) \(trade.price) \(trade.quantity) \(trade.id.text)")
            case .quote(let quote): events.append("\(event.instrument) \(event.eventNs) \(quote)")
            case .status(let status):
                // A book is known from here on only by its snapshot.
                books[event.instrument] = status.state == .live ? books[event.instrument] : nil
                state[event.instrument] = status.reason == .unitsChanged ? nil : status.state
                if status.reason == .unitsChanged { books[event.instrument] = nil }
                events.append("\(event.instrument) \(status)")
            case .ticker, .candle, .order: preconditionFailure("neither trade nor quote nor book nor status")
            }
        }
    }
}
