public import Market

/// Reads a DBN stream into a feed: names instruments by its metadata and records, and enters those it defines into the table.
public struct DBNStream: Sendable {
    public private(set) var framing = DBNFraming()
    /// Instruments that records defined and the table took.
    public private(set) var definitions = 0
    /// When the last record was received.
    public private(set) var receivedNs: Int64 = 0
    private var symbols = DBNSymbols()
    private var hasNames = false
    private var isStopped = false
    private var frame: [UInt8] = []

    /// A stream is one connection.
    public static let connection: UInt32 = 1

    public init() {}

    public var metadata: DBNMetadata? { framing.metadata }

    /// Takes bytes of the stream.
    ///
    /// - Parameters:
    ///   - chunk: any part of the stream behind the one before.
    ///   - feed: a feed of ``DBNDialect``.
    ///   - instruments: gets the instruments that are heard of.
    ///   - sink: gets what happened; its times of receiving are Databento's.
    ///   - begin: called ahead of each record with its number, from 1.
    ///   - fault: called behind a record that was refused, with its number and why; tells whether to go on.
    /// - Throws: why nothing can be read any more.
    public mutating func receive<Sink: MarketEventSink>(
        _ chunk: UnsafeRawBufferPointer,
        feed: inout VenueFeed,
        instruments: inout InstrumentTable,
        into sink: inout Sink,
        begin: (Int, inout Sink) -> Void,
        fault: (Int, FrameFault) -> Bool
    ) throws(DBNError) {
        var framing = self.framing
        defer { self.framing = framing }
        var number = framing.records
        // Names are known once the metadata is whole, which may be in this very chunk.
        var pending: [[UInt8]] = []
        if framing.metadata == nil {
            var damage: DBNError?
            do throws(DBNError) {
                try framing.receive(chunk) { pending.append(Array($0)) }
            } catch {
                // What was whole before the damage counts.
                damage = error
            }
            if let metadata = framing.metadata, !hasNames {
                symbols = DBNSymbols(metadata)
                hasNames = true
            }
            for record in pending {
                number += 1
                record.withUnsafeBytes { take($0, number, framing.metadata, &feed, &instruments, &sink, begin, fault) }
            }
            if let damage { throw damage }
            return
        }
        let metadata = framing.metadata
        try framing.receive(chunk) { record in
            number += 1
            take(record, number, metadata, &feed, &instruments, &sink, begin, fault)
        }
    }

    public func finish() throws(DBNError) { try framing.finish() }

    private mutating func take<Sink: MarketEventSink>(
        _ bytes: UnsafeRawBufferPointer,
        _ number: Int,
        _ metadata: DBNMetadata?,
        _ feed: inout VenueFeed,
        _ instruments: inout InstrumentTable,
        _ sink: inout Sink,
        _ begin: (Int, inout Sink) -> Void,
        _ fault: (Int, FrameFault) -> Bool
    ) {
        guard let metadata, !isStopped else { return }
        begin(number, &sink)
        let record = DBNRecord(bytes: bytes)
        do throws(FrameFault) {
            switch record.kind {
            case .definition:
                let instrument = try record.definition(version: metadata.version, venue: feed.dialect.venue)
                symbols.learn(instrument.rawSymbol, of: record.instrument)
                enter(instrument, &instruments, limit: feed.limits.instrumentsMost)
            case .symbolMapping:
                symbols.learn(try record.mappedSymbol(version: metadata.version), of: record.instrument)
            default: break
            }
            receivedNs = record.receivedNs
            let symbol = symbols.symbol(of: record.instrument, atNs: receivedNs)
            DBNDialect.frame(of: bytes, symbol: symbol, version: metadata.version, into: &frame)
            var actions: [FeedAction] = []
            let framed = frame
            let result = framed.withUnsafeBytes { framed in
                Result { () throws(FrameFault) in
                    try feed.receive(
                        framed,
                        connection: Self.connection,
                        atNs: receivedNs,
                        instruments: &instruments,
                        actions: &actions,
                        into: &sink
                    )
                }
            }
            try result.get()
        } catch {
            // No book follows an order that was not understood.
            if record.kind == .order {
                feed.disconnected(Self.connection, reason: .gap, atNs: record.receivedNs, into: &sink)
            }
            isStopped = !fault(number, error)
        }
    }

    /// A definition that comes again, or whose name is taken, changes nothing.
    private mutating func enter(_ instrument: Instrument, _ instruments: inout InstrumentTable, limit: Int) {
        guard instruments.id(venue: instrument.venue, rawSymbol: instrument.rawSymbol) == nil,
            instruments.count(ofVenue: instrument.venue) < limit
        else { return }
        var named = instrument
        if (try? instruments.add(named)) == nil {
            // The venue's own name where the hub's is taken: two things never share a name.
            named.symbol = named.rawSymbol
            guard (try? instruments.add(named)) != nil else { return }
        }
        definitions += 1
    }
}
