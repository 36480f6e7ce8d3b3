internal import Feeds
internal import Market

/// Recorded connections of the hub's own feed, read and put together as live ones are.
struct RecordedOwnFeed {
    private enum Reader {
        case peer(FeedPeer)
        /// Its beginning is not in the recording, and nothing was read of it yet.
        case joined
        /// Nothing of it can be read: without its beginning, protobuf is neither cut into messages nor do numbers have names.
        case unreadable
    }

    private var desk = FeedDesk()
    private var readers: [UInt32: Reader] = [:]

    var instruments: [InstrumentID] { desk.instruments }

    func book(of id: InstrumentID) -> OrderBook? { desk.book(of: id) }

    /// A connection was opened.
    mutating func open(_ connection: UInt32) { readers[connection] = .peer(Self.peer(connection, nil)) }

    /// A connection was opened where the recording does not reach.
    mutating func join(_ connection: UInt32) { readers[connection] = .joined }

    /// Bytes of a connection are missing: what was begun has no end.
    mutating func lose(_ connection: UInt32, atNs now: Int64, into sink: inout some MarketEventSink) {
        desk.closed(connection, reason: .ringOverflow, atNs: now, into: &sink)
        if readers[connection] != nil { join(connection) }
    }

    mutating func close(
        _ connection: UInt32,
        _ reason: MarketStatus.Reason,
        atNs now: Int64,
        into sink: inout some MarketEventSink
    ) {
        readers[connection] = nil
        desk.closed(connection, reason: reason, atNs: now, into: &sink)
    }

    /// Takes bytes of a connection; tells why some of what they say is bad, if any is.
    mutating func receive(
        _ record: CaptureRecord,
        _ instruments: inout InstrumentTable,
        into sink: inout some MarketEventSink
    ) -> String? {
        let connection = record.connection
        let peer: FeedPeer
        switch readers[connection] {
        case .unreadable: return nil
        case .peer(let known): peer = known
        case nil:
            peer = Self.peer(connection, nil)
            readers[connection] = .peer(peer)
        case .joined:
            // Lengths and numbers are full of zeros, and JSON has none.
            guard !record.payload.contains(0) else {
                readers[connection] = .unreadable
                return "protobuf is not read without the beginning of its connection, which is not in the recording"
            }
            peer = Self.peer(connection, .json)
            readers[connection] = .peer(peer)
        }
        let verdict = withUnsafeMutablePointer(to: &desk) { desk in
            withUnsafeMutablePointer(to: &sink) { sink in
                var seat = Seat(desk: desk, sink: sink, connection: connection)
                return peer.receive(record.payload, atNs: record.receivedNs, table: &instruments, into: &seat)
            }
        }
        guard let first = verdict.refusals.first else { return nil }
        return
            "\(verdict.refusals.count) bad messages; the first is number \(first.line) of its connection: \(first.error)"
    }

    private static func peer(_ connection: UInt32, _ form: FeedForm?) -> FeedPeer {
        FeedPeer(
            number: connection,
            address: "",
            form: form,
            settings: LineFeed.Settings(),
            // Nobody waits.
            messagesPerSecondMost: .max
        )
    }

    /// Where a decoder tells what its connection says; valid while the desk and the sink stand where they do.
    private struct Seat<Sink: MarketEventSink>: MarketEventSink {
        let desk: UnsafeMutablePointer<FeedDesk>
        let sink: UnsafeMutablePointer<Sink>
        let connection: UInt32

        mutating func learn(_ instrument: Instrument) {
            desk.pointee.learn(instrument, from: connection)
            sink.pointee.learn(instrument)
        }

        mutating func receive(_ event: MarketEvent, levels: Span<LevelChange>) {
            desk.pointee.receive(event, levels: levels, from: connection, into: &sink.pointee)
        }
    }
}
