public import Market

/// One connection of the hub's own TCP feed in its protobuf form: messages of `Proto/market_feed.proto`, each with its length
/// before it in four bytes, the most significant first; see Docs/feeds/tcp.md.
///
/// A message that is no protobuf, or longer than it may be, has no effect at all; an event that cannot be taken is left out by
/// itself. Both are answered for as bad messages. Numbers are in the units that the sender declared, and are told in those of
/// the hub, which may be finer. Nothing is allocated per event but for declarations.
public struct MessageFeed: Sendable {
    static let lengthBytes = 4
    /// In one message.
    public static let eventsMost = 10_000
    /// In one message of either form.
    public static let levelsMost = 100_000

    var intake: FeedIntake
    /// By the sender's number of it.
    var declared: [UInt64: Declared] = [:]
    /// The beginning of a message whose end was not received yet, its length included.
    private var begun: [UInt8] = []
    /// The events of one message, and their levels, kept for their room.
    var events: [MessageEvent] = []
    var levels: [MessageLevel] = []

    struct Declared: Sendable {
        var id: InstrumentID
        var scales: LineFeedScales
    }

    public init(_ settings: LineFeed.Settings = LineFeed.Settings()) { intake = FeedIntake(settings) }

    /// The instruments that this connection has named.
    public var instruments: [InstrumentID] { intake.instruments }
    /// Messages that ended, the bad ones among them.
    public var messageCount: UInt64 { intake.conduct.messageCount }
    public var badMessageCount: UInt64 { intake.conduct.badCount }
    /// Whether a message was begun and not ended.
    public var isWithinMessage: Bool { !begun.isEmpty }

    /// Reads what a connection sent; messages may be cut anywhere between two calls.
    ///
    /// - Parameters:
    ///   - bytes: valid during the call.
    ///   - receivedNs: when they were read, nanoseconds since 1970 UTC.
    ///   - table: gets new instruments and finer units.
    ///   - sink: hears trades, quotes, books and statuses without numbers; the top beside a book is not filled in.
    /// - Returns: what was left out, and whether to close the connection.
    public mutating func receive(
        _ bytes: UnsafeRawBufferPointer,
        receivedNs: Int64,
        table: inout InstrumentTable,
        into sink: inout some MarketEventSink
    ) -> LineFeed.Verdict {
        var verdict = LineFeed.Verdict(isCut: intake.conduct.isCut)
        var start = 0
        while !intake.conduct.isCut, start < bytes.count {
            if begun.isEmpty {
                let rest = UnsafeRawBufferPointer(rebasing: bytes[start...])
                if let length = length(rest, receivedNs, &verdict), rest.count - Self.lengthBytes >= length {
                    let end = Self.lengthBytes + length
                    let body = UnsafeRawBufferPointer(rebasing: rest[Self.lengthBytes..<end])
                    read(body, receivedNs, &table, &sink, &verdict)
                    start += end
                    continue
                }
            }
            guard !intake.conduct.isCut else { break }
            start += keep(UnsafeRawBufferPointer(rebasing: bytes[start...]), receivedNs, &verdict)
            guard let length = complete else { continue }
            // Out of self while it is read, so that nothing is copied.
            var message: [UInt8] = []
            swap(&message, &begun)
            message.withUnsafeBytes { whole in
                let body = UnsafeRawBufferPointer(rebasing: whole[Self.lengthBytes..<Self.lengthBytes + length])
                read(body, receivedNs, &table, &sink, &verdict)
            }
            message.removeAll(keepingCapacity: true)
            swap(&message, &begun)
        }
        return verdict
    }

    /// The length that the bytes begin with; nil when it is not there yet, or so large that nothing more is read.
    private mutating func length(
        _ bytes: UnsafeRawBufferPointer,
        _ receivedNs: Int64,
        _ verdict: inout LineFeed.Verdict
    ) -> Int? {
        guard bytes.count >= Self.lengthBytes else { return nil }
        let length = Int(UInt32(bigEndian: bytes.loadUnaligned(as: UInt32.self)))
        let most = intake.settings.messageBytesMost
        guard length > most else { return length }
        intake.conduct.begin(&verdict)
        intake.conduct.refuse(.tooLong(most: most), atNs: receivedNs, &verdict)
        intake.conduct.cut(&verdict)
        return nil
    }

    /// The length of the begun message when all of it is there.
    private var complete: Int? {
        guard begun.count >= Self.lengthBytes else { return nil }
        let length = begun.withUnsafeBytes { Int(UInt32(bigEndian: $0.loadUnaligned(as: UInt32.self))) }
        return begun.count == Self.lengthBytes + length ? length : nil
    }

    /// Keeps bytes of a message until it is complete.
    ///
    /// - Returns: how many were its.
    private mutating func keep(
        _ bytes: UnsafeRawBufferPointer,
        _ receivedNs: Int64,
        _ verdict: inout LineFeed.Verdict
    ) -> Int {
        var taken = 0
        if begun.count < Self.lengthBytes {
            taken = min(Self.lengthBytes - begun.count, bytes.count)
            begun.append(contentsOf: bytes[..<taken])
        }
        let announced = begun.withUnsafeBytes { length($0, receivedNs, &verdict) }
        guard let announced else {
            if intake.conduct.isCut { begun = [] }
            return max(taken, 1)
        }
        let more = min(Self.lengthBytes + announced - begun.count, bytes.count - taken)
        begun.append(contentsOf: bytes[taken..<taken + more])
        return taken + more
    }

    private mutating func read(
        _ message: UnsafeRawBufferPointer,
        _ receivedNs: Int64,
        _ table: inout InstrumentTable,
        _ sink: inout some MarketEventSink,
        _ verdict: inout LineFeed.Verdict
    ) {
        intake.conduct.begin(&verdict)
        do throws(LineFeedError) {
            let sequence = try parse(message)
            if let gap = try intake.conduct.take(sequence: sequence) {
                verdict.gap = gap
                intake.lose(atNs: receivedNs, &sink)
            }
        } catch {
            return intake.conduct.refuse(error, atNs: receivedNs, &verdict)
        }
        // Out of self, so that an event and what it changes are not held at once.
        var told: [MessageEvent] = []
        swap(&told, &events)
        for event in told where !intake.conduct.isCut {
            do throws(LineFeedError) {
                try tell(event, receivedNs, &table, &sink, &verdict)
            } catch {
                intake.conduct.refuse(error, atNs: receivedNs, &verdict)
            }
        }
        swap(&told, &events)
    }
}
