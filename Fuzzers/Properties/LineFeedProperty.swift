import Feeds
import JSON
import Market

extension FuzzProperty {
    /// The line feed hears the same however its lines are cut, refuses no more than it counts, and keeps its bounds.
    ///
    /// The first byte says into how long parts the rest is cut.
    static let lineFeed = FuzzProperty(name: "line-feed") { bytes in
        guard let first = bytes.first else { return }
        let lines = UnsafeRawBufferPointer(rebasing: bytes.dropFirst())
        var whole = LineFeedListener(partBytes: max(1, lines.count))
        whole.hear(lines)
        var cut = LineFeedListener(partBytes: Int(first) + 1)
        cut.hear(lines)
        precondition(whole.heard == cut.heard, "lines mean something else when they are cut")
        for line in lines.split(separator: UInt8(ascii: "\n")) { compareGrammar([UInt8](line)) }
        LineFeed.fuzz(bytes)
    }

    /// What the line feed takes for JSON, our clients' reader does too, and the other way round.
    private static func compareGrammar(_ line: [UInt8]) {
        var feed = LineFeed()
        var table = InstrumentTable()
        var sink = LineFeedListener.Sink()
        let verdict = (line + [UInt8(ascii: "\n")]).withUnsafeBytes {
            feed.receive($0, receivedNs: 1_700_000_000_000_000_000, table: &table, into: &sink)
        }
        guard feed.lineCount > 0 else { return }
        let limits = JSONLimits(bytesMost: .max, depthMost: .max, valuesMost: .max, membersMost: .max)
        let problem: JSONError.Problem? = line.withUnsafeBytes { line in
            do throws(JSONError) {
                let document = try JSONDocument(reading: line, limits: limits)
                return document.root.kind == .object ? nil : .ended
            } catch {
                return error.problem
            }
        }
        switch verdict.refusals.first?.error {
        case .tooLong, .nestedTooDeeply, .repeatedKey: break
        case .notJSON: precondition(problem != nil, "the line feed refuses JSON")
        default:
            // It leaves out keys that it does not know, however often they stand.
            if case .duplicateKey = problem { return }
            precondition(problem == nil, "the line feed takes what is no JSON: \(String(describing: problem))")
        }
    }
}

/// One connection, which sends bytes in parts of one length.
private struct LineFeedListener {
    let partBytes: Int
    private(set) var heard = Heard()
    private var feed = LineFeed(LineFeed.Settings(instrumentsMost: instrumentsMost))
    private var table = InstrumentTable()

    private static let instrumentsMost = 4

    init(partBytes: Int) { self.partBytes = partBytes }

    struct Heard: Equatable {
        var refusals: [LineFeed.Refusal] = []
        var events: [String] = []
        var instruments: [Instrument] = []
        var isCut = false
    }

    mutating func hear(_ lines: UnsafeRawBufferPointer) {
        var sink = Sink()
        var start = 0
        while start < lines.count {
            let end = min(start + partBytes, lines.count)
            let part = UnsafeRawBufferPointer(rebasing: lines[start..<end])
            let verdict = feed.receive(part, receivedNs: 1_700_000_000_000_000_000, table: &table, into: &sink)
            precondition(verdict.isCut || !heard.isCut, "a connection that was cut is open again")
            precondition(verdict.refusals.isEmpty || !heard.isCut, "a connection that was cut is read")
            heard.isCut = verdict.isCut
            heard.refusals += verdict.refusals
            start = end
        }
        (heard.events, heard.instruments) = (sink.events, table.all)
        precondition(feed.badLineCount == UInt64(heard.refusals.count), "refused lines are miscounted")
        precondition(feed.badLineCount <= min(feed.lineCount, UInt64(LineFeed.badLinesMost)), "too many bad lines")
        precondition(heard.isCut == (feed.badLineCount == LineFeed.badLinesMost), "cut too early or too late")
        precondition(table.all.count <= Self.instrumentsMost, "too many instruments")
        // Greetings, declarations and heartbeats are no data.
        precondition(sink.dataCount + heard.refusals.count <= Int(feed.lineCount), "more than was said")
        for instrument in table.all {
            precondition(instrument.priceScale <= LineFeed.scaleMost && instrument.quantityScale <= LineFeed.scaleMost)
        }
    }

    struct Sink: MarketEventSink {
        var events: [String] = []
        /// Trades and quotes.
        var dataCount = 0

        mutating func receive(_ event: MarketEvent, levels: Span<LevelChange>) {
            switch event.payload {
            case .bookSnapshot, .bookDelta:
                dataCount += 1
                events.append(
                    "\(event.instrument) \(event.eventNs) \(levels.indices.map { "\(levels[$0])" }.joined(separator: ","))"
                )
            case .trade(let trade):
                precondition(trade.price.ticks > 0 && !trade.quantity.isZero, "a trade of nothing")
                dataCount += 1
                events.append(
                    "\(event.instrument) \(event.eventNs) \(trade.price) \(trade.quantity) \(trade.aggressor) \(trade.id.text)"
                )
            case .quote(let quote):
                dataCount += 1
                events.append("\(event.instrument) \(event.eventNs) \(quote)")
            case .status(let status):
                events.append("\(event.instrument) \(status)")
            default:
                preconditionFailure("neither trade nor quote nor book nor status")
            }
        }
    }
}
