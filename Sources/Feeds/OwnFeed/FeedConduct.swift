import Market

/// How one connection of the hub's own feed behaves, whatever form its messages have: their numbers, the bad ones, and the
/// books it has begun.
struct FeedConduct: Sendable {
    /// Messages that ended, the bad ones among them.
    private(set) var messageCount: UInt64 = 0
    private(set) var badCount: UInt64 = 0
    private(set) var isCut = false
    /// When the newest bad messages came, the oldest at ``badCount`` modulo the length.
    private var badTimes = InlineArray<10, Int64?>(repeating: nil)
    /// Of the last message that was counted by its sender; 0 before it.
    private var lastSequence: UInt64 = 0
    /// Instruments whose book was stated and is followed.
    private var booked: Set<InstrumentID> = []
    /// Instruments whose next datum comes after a gap.
    private var gapped: Set<InstrumentID> = []

    mutating func begin(_ verdict: inout LineFeed.Verdict) {
        messageCount += 1
        verdict.messageCount += 1
    }

    mutating func refuse(_ error: LineFeedError, atNs now: Int64, _ verdict: inout LineFeed.Verdict) {
        verdict.refusals.append(LineFeed.Refusal(line: messageCount, error: error))
        badTimes[Int(badCount % UInt64(LineFeed.badLinesMost))] = now
        badCount += 1
        let oldest = badTimes[Int(badCount % UInt64(LineFeed.badLinesMost))]
        guard let oldest, now - oldest < LineFeed.badLinesSpanNs else { return }
        cut(&verdict)
    }

    /// Reads no more of this connection: what comes cannot be told apart.
    mutating func cut(_ verdict: inout LineFeed.Verdict) {
        isCut = true
        verdict.isCut = true
    }

    /// Takes a message's number.
    ///
    /// - Returns: the numbers around what is missing; nil when nothing is, or the message is not counted.
    /// - Throws: ``LineFeedError/repeatedSequence(expected:received:)`` when it was there already.
    mutating func take(sequence: UInt64) throws(LineFeedError) -> LineFeedError? {
        guard sequence != 0 else { return nil }
        let expected = lastSequence &+ 1
        guard lastSequence != 0, sequence != expected else {
            lastSequence = sequence
            return nil
        }
        guard sequence > lastSequence else { throw .repeatedSequence(expected: expected, received: sequence) }
        lastSequence = sequence
        return .gap(expected: expected, received: sequence)
    }

    /// Something of these instruments is missing.
    ///
    /// - Returns: those whose book is wrong now.
    mutating func lose(_ instruments: [InstrumentID]) -> [InstrumentID] {
        gapped.formUnion(instruments)
        let wrong = instruments.filter(booked.contains)
        booked.removeAll()
        return wrong
    }

    mutating func beginBook(of id: InstrumentID) { booked.insert(id) }
    mutating func endBook(of id: InstrumentID) { booked.remove(id) }
    func hasBook(of id: InstrumentID) -> Bool { booked.contains(id) }

    /// Whether the instrument's data are told for the first time after a gap.
    mutating func isAfterGap(_ id: InstrumentID) -> Bool { !gapped.isEmpty && gapped.remove(id) != nil }
}

/// How a peer introduces itself.
public struct FeedHello: Hashable, Sendable {
    public var version: UInt64
    /// At most ``nameBytesMost`` bytes, without control characters.
    public var name: String
    /// How often it says something at least; 0 for no promise.
    public var heartbeatMs: UInt64

    public static let versionSpoken: UInt64 = 1
    public static let nameBytesMost = 64

    public init(version: UInt64 = Self.versionSpoken, name: String, heartbeatMs: UInt64) {
        self.version = version
        self.name = name
        self.heartbeatMs = heartbeatMs
    }
}

/// What a peer says of something that it did not take.
public struct FeedProblem: Hashable, Sendable {
    public var code: UInt64
    /// At most ``textBytesMost`` bytes, without control characters.
    public var text: String

    public static let textBytesMost = 256

    public init(code: UInt64, text: String) {
        self.code = code
        self.text = text
    }
}

/// The two forms of the hub's own feed.
public enum FeedForm: String, Hashable, Sendable, CaseIterable {
    case json
    case protobuf

    /// The form that a connection's first byte shows: a length below 2^24 begins with zero, a line with a printable character.
    ///
    /// Nil when it can be neither.
    public init?(firstByte byte: UInt8) {
        switch byte {
        case 0: self = .protobuf
        case 0x09, 0x0A, 0x0D, 0x20...0x7E: self = .json
        default: return nil
        }
    }
}

/// Text of a peer for logs: at most so many bytes, control characters as spaces.
func feedText(_ bytes: UnsafeRawBufferPointer, bytesMost: Int) -> String {
    String(decoding: bytes.prefix(bytesMost).map { $0 < 0x20 || $0 == 0x7F ? 0x20 : $0 }, as: UTF8.self)
}
