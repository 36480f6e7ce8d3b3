import Hub
import Market

/// A client that applies what it is sent in order, and compares each push with the recorded history of its instrument.
struct Client {
    struct Heard {
        var push: Push
        var levels: [LevelChange]
    }

    /// What a client knows of one topic.
    struct Topic {
        var description: TopicDescription
        /// The last sequence it has.
        var last: UInt64
        var book = OrderBook()
        var heard: [Heard] = []
        var hasHeard = false
        /// It goes on from what the client had: no first state comes.
        var isRecovered = false
    }

    var session: SessionID
    let format: Format
    var topics: [TopicID: Topic] = [:]
    var faults: [String] = []
    /// How many messages came, first states included.
    var shareCount = 0

    init(session: SessionID, format: Format) {
        self.session = session
        self.format = format
    }

    var heard: [Heard] { topics.values.flatMap(\.heard) }
    /// Of the only topic.
    var only: Topic? { topics.count == 1 ? topics.values.first : nil }

    mutating func note(_ outcome: SymbolOutcome) {
        guard case .success(let description) = outcome.result, topics[description.id] == nil else { return }
        topics[description.id] = Topic(description: description, last: description.sequence)
    }

    /// Notes the outcome of a wish to go on from what `known` says.
    mutating func note(_ outcome: SymbolOutcome, goingOnFrom known: Topic) {
        guard outcome.recovery?.isRecovered == true, case .success(let description) = outcome.result else {
            return note(outcome)
        }
        topics[description.id] = Topic(
            description: description,
            last: known.last,
            book: known.book,
            hasHeard: true,
            isRecovered: true
        )
    }

    /// Notes that a topic's state is told anew.
    mutating func note(_ resynced: TopicSequence) {
        topics[resynced.topic]?.description.sequence = resynced.sequence
        topics[resynced.topic]?.last = resynced.sequence
        topics[resynced.topic]?.hasHeard = false
        topics[resynced.topic]?.isRecovered = false
    }

    mutating func forget() { for id in topics.keys { topics[id]?.heard = [] } }

    mutating func take(
        _ share: Pass.Share,
        of pass: Pass,
        isFirst: Bool,
        histories: [History],
        table: InstrumentTable
    ) {
        shareCount += 1
        let indices = pass.order[Int(share.range.lowerBound)..<Int(share.range.upperBound)]
        if zip(indices, indices.dropFirst()).contains(where: { $0 >= $1 }) { fault("pushes out of order: \(indices)") }
        var unchecked: Set<TopicID> = []
        for index in indices {
            let push = pass.pushes[Int(index)]
            let levels = Array(pass.levels[Int(push.levels.lowerBound)..<Int(push.levels.upperBound)])
            guard var topic = topics[push.topic] else {
                fault("a push of a topic never subscribed to: \(push)")
                continue
            }
            topics[push.topic] = nil
            check(push, on: topic, isFirst: isFirst && !topic.isRecovered)
            check(push, levels, on: &topic, histories[push.instrument.index], table[push.instrument])
            if push.channel == .book {
                if push.checksum == nil { unchecked.insert(push.topic) } else { unchecked.remove(push.topic) }
            }
            topic.last = push.sequence
            topic.hasHeard = true
            topic.heard.append(Heard(push: push, levels: levels))
            topics[push.topic] = topic
        }
        if !unchecked.isEmpty { fault("last book pushes without a checksum: \(unchecked)") }
    }

    private mutating func check(_ push: Push, on topic: Topic, isFirst: Bool) {
        let view = topic.description.view
        if push.format != format || push.channel != view.channel || push.instrument != topic.description.instrument.id {
            fault("not what was subscribed to: \(push)")
        }
        if isFirst {
            if push.previous != 0 || push.skipped != 0 || push.sequence != topic.description.sequence {
                fault("not a first state: \(push) after \(topic.description.sequence)")
            }
            if !push.flags.contains(.snapshot) { fault("a first state without its flag: \(push)") }
            return
        }
        // A whole book may come later than the answer: then it is the first that is heard, and begins the count.
        if !topic.hasHeard, case .bookSnapshot = push.payload, push.previous == 0 {
            if push.skipped != 0 || push.sequence < topic.last || !push.flags.contains(.snapshot) {
                fault("not a late first state: \(push) after \(topic.last)")
            }
            return
        }
        if push.previous != topic.last { fault("previous is not \(topic.last): \(push)") }
        if push.sequence != push.previous &+ 1 &+ push.skipped { fault("skipped is wrong: \(push)") }
        if view.delivery == .every, view.channel != .book, push.skipped != 0 { fault("EVERY skipped: \(push)") }
    }

    private mutating func check(
        _ push: Push,
        _ levels: [LevelChange],
        on topic: inout Topic,
        _ history: History,
        _ instrument: Instrument
    ) {
        let number = Int(push.sequence)
        let view = topic.description.view
        switch push.payload {
        case .ticker(let ticker):
            if history.tickers[number] != ticker { fault("another ticker: \(push)") }
        case .trade(let trade):
            if history.trades[number] != trade { fault("another trade: \(push)") }
        case .tradeAggregate(let aggregate):
            let old = history.lastTradesInOldUnits.last { $0 < number } ?? 0
            let trades = history.trades[(max(old, Int(push.previous)) + 1)...number].compactMap(\.self)
            if Self.sum(trades) != aggregate { fault("aggregate is not of \(trades): \(push)") }
        case .candle(let candle):
            if view.candleInterval != candle.interval { fault("another interval: \(push)") }
            if history.candles[Int(candle.interval.rawValue)][number] != candle { fault("another candle: \(push)") }
        case .status(let status):
            if history.statuses[number] != status { fault("another status: \(push)") }
        case .orderSnapshot, .orderChange: fault("an instrument without single orders has some: \(push)")
        case .bookSnapshot:
            if levels.contains(where: \.quantity.isZero) { fault("an empty level in a snapshot") }
            if !push.flags.contains(.snapshot) { fault("a snapshot without its flag") }
            topic.book = OrderBook()
            for level in levels where !topic.book.apply(level) { fault("a level twice: \(level)") }
            if !Self.areBestFirst(levels) { fault("levels out of order: \(levels)") }
            check(push, topic, history, instrument)
        case .bookDelta:
            if push.flags.contains(.snapshot) { fault("a delta with a snapshot's flag") }
            for level in levels where !topic.book.apply(level) { fault("a level that does not change: \(level)") }
            if !Self.areBestFirst(levels) { fault("levels out of order: \(levels)") }
            check(push, topic, history, instrument)
        }
    }

    private mutating func check(_ push: Push, _ topic: Topic, _ history: History, _ instrument: Instrument) {
        let view = topic.description.view
        let number = Int(push.sequence)
        let expected = History.window(history.books[number], view, tick: instrument.tick)
        let isAsExpected = topic.book.bids == expected.bids && topic.book.asks == expected.asks
        if !isAsExpected, !(topic.book.isEmpty && history.lastBooksInOldUnits.contains { $0 >= number }) {
            fault("the book at \(number) is \(topic.book), not \(expected)")
        }
        if let checksum = push.checksum, checksum != topic.book.checksum { fault("another checksum: \(push)") }
        if case .bookSnapshot = push.payload, push.checksum == nil { fault("a snapshot without checksum: \(push)") }
        guard view.delivery == .every, push.previous > 0, push.skipped > 0, push.sequence > topic.last else { return }
        // Whoever joined behind a change of units was shown nothing.
        let wasShown =
            history.lastBooksInOldUnits.contains(Int(push.previous)) ? OrderBook() : history.books[Int(push.previous)]
        let base = History.window(wasShown, view, tick: instrument.tick)
        for hidden in (push.previous + 1)..<push.sequence {
            let window = History.window(history.books[Int(hidden)], view, tick: instrument.tick)
            if window.bids != base.bids || window.asks != base.asks { fault("EVERY hid \(hidden)") }
        }
    }

    private static func sum(_ trades: [Trade]) -> TradeAggregate? {
        guard let first = trades.first else { return nil }
        return trades.dropFirst().reduce(into: TradeAggregate(first)) { $0.add($1) }
    }

    /// Bids first, each side from its best price on, no price twice.
    private static func areBestFirst(_ levels: [LevelChange]) -> Bool {
        zip(levels, levels.dropFirst()).allSatisfy { one, next in
            switch (one.side, next.side) {
            case (.bid, .ask): true
            case (.ask, .bid): false
            case (.bid, .bid): one.price > next.price
            case (.ask, .ask): one.price < next.price
            }
        }
    }

    mutating func fault(_ text: String) { faults.append("session \(session.slot): \(text)") }
}
