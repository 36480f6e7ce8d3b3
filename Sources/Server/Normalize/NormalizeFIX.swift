internal import Feeds
internal import Market

/// Writes what files of FIX messages say: messages one behind the other, without the lines of a capture.
///
/// A row's `line` is the number of its message, and the time of receiving is that of sending (52), as the file has none.
struct FIXNormalizer {
    private(set) var report = NormalizeReport()
    private var rows: RowWriter
    private var feed: VenueFeed
    private var instruments = InstrumentTable()
    private var actions: [FeedAction] = []
    private var nowNs: Int64 = 0
    private let isStrict: Bool
    /// All files are one connection each.
    private var connection: UInt32 = 1

    init(_ options: NormalizeOptions) {
        rows = RowWriter(options)
        feed = VenueFeed(FIXMarketDataDialect(venue: options.venue))
        isStrict = options.isStrict
    }

    /// Reads all files; what it throws ends the run, rows made before that were written.
    static func run(
        _ options: NormalizeOptions,
        write: (UnsafeRawBufferPointer) -> Void,
        complain: (String) -> Void
    ) throws(NormalizeError) -> NormalizeReport {
        if let path = options.instrumentsPath {
            throw .badInstruments(path: path, reason: "FIX venues have no list of instruments")
        }
        var run = FIXNormalizer(options)
        for (index, path) in options.files.enumerated() {
            if index > 0 { run.reconnect(.replayEnded) }
            do throws(CaptureReader.Failure) {
                try run.read(path, write, complain)
            } catch {
                run.rows.flush(write)
                throw NormalizeError(error)
            }
            guard !run.report.isStopped else { break }
        }
        if let levels = options.finalBooks {
            for id in run.feed.instruments {
                guard let book = run.feed.book(of: id) else { continue }
                run.rows.addFinalBook(book, of: id, levels, receivedNs: run.nowNs)
            }
        }
        run.rows.flush(write)
        run.report.rows = run.rows.count
        let counters = run.feed.counters
        complain(
            "\(run.report.lines) messages, \(run.report.badLines) bad, \(counters.repeatedFrames) repeated, "
                + "\(counters.frameGaps) gaps, \(run.report.rows) rows"
        )
        return run.report
    }

    private mutating func read(
        _ path: String,
        _ write: (UnsafeRawBufferPointer) -> Void,
        _ complain: (String) -> Void
    ) throws(CaptureReader.Failure) {
        var file = try PackedFile(path: path)
        var framing = FIXFraming()
        defer {
            if framing.skippedBytes > 0 { complain("\(path): \(framing.skippedBytes) bytes belong to no message") }
        }
        while let bytes = try file.next() {
            framing.receive(bytes) { take($0, path, complain) }
            rows.flush(atLeast: 64 << 10, write)
            guard !report.isStopped else { return }
        }
        framing.finish { take($0, path, complain) }
    }

    private mutating func take(_ message: UnsafeRawBufferPointer, _ path: String, _ complain: (String) -> Void) {
        guard !report.isStopped else { return }
        report.lines += 1
        rows.line = report.lines
        nowNs = FIXMarketDataDialect.sendingNs(of: message) ?? nowNs
        if let problem = problem(with: message) {
            report.badLines += 1
            complain("\(path):\(report.lines): \(problem)")
            report.isStopped = isStrict
        }
    }

    /// Takes a message; tells why it is bad, if it is.
    private mutating func problem(with message: UnsafeRawBufferPointer) -> String? {
        do throws(FrameFault) {
            try feed.receive(
                message,
                connection: connection,
                atNs: nowNs,
                instruments: &instruments,
                actions: &actions,
                into: &rows
            )
        } catch {
            return error.description
        }
        defer { actions.removeAll(keepingCapacity: true) }
        for demand in actions.map(\.demand) {
            switch demand {
            case .report(let refusal): return "the venue refused: \(refusal)"
            // A file cannot be asked for anything, but its counts begin anew.
            case .reconnect(.venueRequest): reconnect(.venueRequest)
            default: break
            }
        }
        return nil
    }

    private mutating func reconnect(_ reason: MarketStatus.Reason) {
        feed.disconnected(connection, reason: reason, atNs: nowNs, into: &rows)
        connection += 1
    }
}
