import Feeds
import Market
import Testing

/// Speaks a capture to a feed and keeps what comes out.
struct Replay {
    struct Recorder: MarketEventSink {
        /// With the instrument as it was then.
        var events: [(line: Int, event: MarketEvent, instrument: Instrument)] = []
        var known: [InstrumentID: Instrument] = [:]
        /// Of the last book event.
        var levels: [LevelChange] = []
        var line = 0
        var keepsBooks = false

        mutating func learn(_ instrument: Instrument) { known[instrument.id] = instrument }

        mutating func receive(_ event: MarketEvent, levels: Span<LevelChange>) {
            if keepsBooks, levels.count > 0 { self.levels = levels.indices.map { levels[$0] } }
            switch event.payload {
            case .bookDelta where !keepsBooks: return
            default: if let instrument = known[event.instrument] { events.append((line, event, instrument)) }
            }
        }
    }

    var feed: VenueFeed
    var table = InstrumentTable()
    var recorder = Recorder()
    var actions: [FeedAction] = []
    var faults: [(line: Int, fault: FrameFault)] = []

    init(_ venue: String) throws {
        let dialect = try #require(Venues.dialect(of: venue))
        feed = VenueFeed(dialect)
        feed.passesQuotesWithoutSize = true
    }

    mutating func play(
        _ file: CaptureFile,
        lines: Range<Int>? = nil,
        after: (inout Replay, Int) -> Void = { _, _ in }
    ) {
        for line in file.lines[lines ?? 0..<file.lines.count] {
            recorder.line = line.number
            file.bytes.withUnsafeBytes { all in
                play(line, UnsafeRawBufferPointer(rebasing: all[line.payload]))
            }
            after(&self, line.number)
        }
    }

    mutating func play(_ line: CaptureLine, _ payload: UnsafeRawBufferPointer) {
        do throws(FrameFault) {
            switch line.kind {
            case UInt8(ascii: "R"):
                try feed.receive(
                    payload,
                    connection: line.connection,
                    atNs: line.receivedNs,
                    instruments: &table,
                    actions: &actions,
                    into: &recorder
                )
            case UInt8(ascii: "H"):
                guard let tab = payload.firstIndex(of: 9) else { return }
                let url = String(decoding: payload[..<tab], as: UTF8.self)
                guard let rawSymbol = feed.dialect.rawSymbol(ofSnapshotURL: url) else { return }
                try feed.receiveSnapshot(
                    UnsafeRawBufferPointer(rebasing: payload[(tab + 1)...]),
                    rawSymbol: rawSymbol,
                    connection: line.connection,
                    atNs: line.receivedNs,
                    instruments: &table,
                    actions: &actions,
                    into: &recorder
                )
            default: break
            }
        } catch {
            faults.append((line.number, error))
        }
    }

    /// The best levels of a live book as decimal text without trailing zeros.
    func top(_ most: Int, of symbol: String, _ side: Side) -> [[String]] {
        guard let id = table.id(named: symbol), let book = feed.book(of: id) else { return [] }
        return book.top(most, of: side).map { [table[id].text($0.price), table[id].text($0.quantity)] }
    }
}

extension Instrument {
    /// Decimal text without trailing zeros.
    func text(_ price: Price) -> String { Decimal(digits: price.ticks, scale: priceScale).text }
    func text(_ quantity: Quantity) -> String { Decimal(digits: quantity.lots, scale: quantityScale).text }
}
