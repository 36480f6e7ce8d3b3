public import Market

/// Makes one stream of events out of two or more connections that bring the same instruments, each followed by a
/// ``VenueFeed`` of its own.
///
/// What comes first wins. A trade with a name passes once, whichever line brings it. Of a venue whose book numbers mean the
/// same on every connection, a change passes when it goes beyond what was passed on and begins no later, so that the books
/// stay exact while either line is ahead. Where numbers are no help one line leads, and the other is kept whole: when the
/// leader's book is lost the other takes over, and nobody hears of a gap.
///
/// It knows lines by small numbers, which are used again when a line has ended. It performs nothing.
public struct LineArbiter: Sendable {
    /// Lines at the same time: two, and a successor of each.
    public static let linesMost = 4

    public enum Verdict: Hashable, Sendable {
        case pass
        /// Another line brought it, or the line's word does not count now.
        case drop
        /// Not to be passed on: another line leads from now on, and its book comes next, as a snapshot.
        case takeOver(by: Int)
    }

    /// What was seen since the start.
    public struct Counters: Sendable, Hashable {
        /// Trades and book changes that a line brought first.
        public var first = PerLine()
        /// Those that another line had brought before.
        public var late = PerLine()
        /// Times that a line took over an instrument.
        public var takeovers = 0

        public init() {}
    }

    /// A count for each line.
    public struct PerLine: Sendable, Hashable {
        private var (a, b, c, d) = (0, 0, 0, 0)

        public subscript(line: Int) -> Int {
            get {
                switch line {
                case 0: a
                case 1: b
                case 2: c
                default: d
                }
            }
            set {
                switch line {
                case 0: a = newValue
                case 1: b = newValue
                case 2: c = newValue
                default: d = newValue
                }
            }
        }
    }

    private struct Line: Sendable {
        var status: MarketStatus?
        /// The number of the last change in the line's book.
        var reached: UInt64 = 0

        /// Whether its book can be served: a snapshot came and nothing ended it since.
        var hasBook = false
        var isConnected: Bool { status.map { $0.state != .disconnected } ?? false }
    }

    private struct Followed: Sendable {
        var lines = InlineArray<4, Line>(repeating: Line())
        /// The line whose book is what was passed on; nil before anything was.
        var leader: Int?
        /// The number of the last change passed on.
        var passed: UInt64 = 0
        var recent = RecentTrades()
        /// Whether a book was ever passed on; without one only the connection counts.
        var hasHadBook = false

        /// A line whose book can be served, other than `line`.
        func standby(besides line: Int) -> Int? {
            (0..<LineArbiter.linesMost).first { $0 != line && lines[$0].hasBook }
        }

        /// A line that is connected, other than `line`.
        func connected(besides line: Int) -> Int? {
            (0..<LineArbiter.linesMost).first { $0 != line && lines[$0].isConnected }
        }
    }

    private let numbersAreShared: Bool
    /// By instrument.
    private var followed: [Followed] = []
    public private(set) var counters = Counters()

    public init(numbersAreShared: Bool) { self.numbersAreShared = numbersAreShared }

    /// The line whose book clients have.
    public func leader(of instrument: InstrumentID) -> Int? {
        instrument.index < followed.count ? followed[instrument.index].leader : nil
    }

    /// Whether a line can serve the book of an instrument.
    public func hasBook(_ line: Int, of instrument: InstrumentID) -> Bool {
        instrument.index < followed.count && followed[instrument.index].lines[line].hasBook
    }

    /// Judges an event of a line.
    ///
    /// A trade's mark of a loss is taken off where another line was there all the time, a snapshot has one where no line had a
    /// book any more, and a status says how the line that leads now stands.
    public mutating func judge(_ event: inout MarketEvent, from line: Int) -> Verdict {
        let index = event.instrument.index
        while followed.count <= index { followed.append(Followed()) }
        switch event.payload {
        case .trade(let trade): return judge(trade, &event.flags, index, line)
        case .bookSnapshot: return judge(snapshot: event.venueSequence, &event.flags, index, line)
        case .bookDelta: return judge(delta: event.venueSequence, index, line)
        case .status(let status): return judge(status, &event, index, line)
        default: return followed[index].leader ?? line == line ? .pass : .drop
        }
    }

    /// Forgets a line, so that its number can be used again; its books are to be told lost before.
    public mutating func end(_ line: Int) {
        for index in followed.indices {
            followed[index].lines[line] = Line()
            guard followed[index].leader == line else { continue }
            followed[index].leader = followed[index].standby(besides: line) ?? followed[index].connected(besides: line)
        }
    }

    // MARK: Kinds

    private mutating func judge(_ trade: Trade, _ flags: inout EventFlags, _ index: Int, _ line: Int) -> Verdict {
        guard !trade.id.isEmpty else {
            // Two trades may be alike: only one line's word counts.
            return followed[index].leader ?? line == line ? .pass : .drop
        }
        guard !followed[index].recent.holds(trade.id) else {
            counters.late[line] += 1
            return .drop
        }
        counters.first[line] += 1
        let others = 0..<Self.linesMost
        if flags.contains(.gapBefore), others.contains(where: { $0 != line && followed[index].lines[$0].isConnected }) {
            flags.remove(.gapBefore)
        }
        return .pass
    }

    private mutating func judge(
        snapshot number: UInt64,
        _ flags: inout EventFlags,
        _ index: Int,
        _ line: Int
    ) -> Verdict {
        let leader = followed[index].leader
        let wasServed = leader.map { followed[index].lines[$0].hasBook } ?? false
        followed[index].lines[line].reached = number
        followed[index].lines[line].hasBook = true
        if wasServed, leader != line { return .drop }
        if followed[index].hasHadBook, !wasServed { flags.insert(.gapBefore) }
        followed[index].leader = line
        followed[index].hasHadBook = true
        followed[index].passed = number
        return .pass
    }

    private mutating func judge(delta number: UInt64, _ index: Int, _ line: Int) -> Verdict {
        let before = followed[index].lines[line].reached
        followed[index].lines[line].reached = number
        guard numbersAreShared, number > 0 else {
            let leads = followed[index].leader ?? line == line
            if leads { (followed[index].leader, followed[index].passed) = (line, number) }
            return leads ? .pass : .drop
        }
        let passed = followed[index].passed
        guard number > passed, before <= passed else {
            if number <= passed { counters.late[line] += 1 }
            return .drop
        }
        counters.first[line] += 1
        followed[index].leader = line
        followed[index].passed = number
        return .pass
    }

    private mutating func judge(
        _ status: MarketStatus,
        _ event: inout MarketEvent,
        _ index: Int,
        _ line: Int
    ) -> Verdict {
        followed[index].lines[line].status = status
        switch status.state {
        case .disconnected, .connected, .resyncing: followed[index].lines[line].hasBook = false
        case .live, .stale, .halted: break
        }
        if status.reason == .unitsChanged {
            // Of the state, the leader's word counts.
            if let leader = followed[index].leader, let its = followed[index].lines[leader].status {
                event.payload = .status(MarketStatus(its.state, .unitsChanged))
            }
            return .pass
        }
        guard let leader = followed[index].leader, leader != line else {
            if !followed[index].lines[line].hasBook, let other = followed[index].standby(besides: line) {
                return takeOver(by: other, index)
            }
            followed[index].leader = line
            guard status.state == .disconnected, let other = followed[index].connected(besides: line) else {
                return .pass
            }
            followed[index].leader = other
            // Trades and quotes go on; a book that clients had is lost all the same until the other's is complete.
            if !followed[index].hasHadBook, let its = followed[index].lines[other].status {
                event.payload = .status(its)
            }
            return .pass
        }
        guard !followed[index].lines[leader].hasBook else { return .drop }
        // The leader has no book: whoever has one leads, and of two without, the leader speaks.
        guard followed[index].lines[line].hasBook else { return .drop }
        followed[index].leader = line
        return .pass
    }

    private mutating func takeOver(by line: Int, _ index: Int) -> Verdict {
        counters.takeovers += 1
        followed[index].leader = line
        // Its whole book, though it may be a little behind: what is served is then a book that the line has.
        followed[index].passed = followed[index].lines[line].reached
        return .takeOver(by: line)
    }
}
