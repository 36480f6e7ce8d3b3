internal import Feeds
internal import Market

/// Writes what ITCH files say; a row's line is the number of its message.
func normalizeITCH(
    _ options: NormalizeOptions,
    write: (UnsafeRawBufferPointer) -> Void,
    complain: (String) -> Void
) throws(NormalizeError) -> NormalizeReport {
    guard let midnightNs = options.sessionDate.flatMap(EasternTime.midnightNs(of:)) else {
        throw .badSessionDate(options.sessionDate)
    }
    var run = NormalizeITCHRun(options, midnightNs: midnightNs)
    for (index, path) in options.files.enumerated() {
        if index > 0 { run.beginFile() }
        try run.read(path, write: write, complain: complain)
        guard !run.report.isStopped else { break }
    }
    if let levels = options.finalBooks { run.addFinalBooks(levels) }
    run.rows.flush(write)
    run.report.rows = run.rows.count
    let counters = run.feed.counters
    if counters.unknownKinds > 0 { complain("\(counters.unknownKinds) messages of unknown kinds") }
    if counters.unknownOrders > 0 { complain("\(counters.unknownOrders) messages about orders that do not rest") }
    complain("\(run.report.lines) messages, \(run.report.badLines) bad, \(run.report.rows) rows")
    return run.report
}

private struct NormalizeITCHRun {
    var report = NormalizeReport()
    var rows: RowWriter
    var feed: ITCHFeed

    private var instruments = InstrumentTable()
    private let midnightNs: Int64
    private let isStrict: Bool

    init(_ options: NormalizeOptions, midnightNs: Int64) {
        var settings = ITCHFeed.Settings()
        settings.tellsOrders = false
        feed = ITCHFeed(settings, midnightNs: midnightNs)
        rows = RowWriter(options)
        self.midnightNs = midnightNs
        isStrict = options.isStrict
    }

    /// Another file of the same day is a session of its own.
    mutating func beginFile() {
        feed.beginSession(midnightNs: midnightNs, isWhole: true, atNs: midnightNs, into: &rows)
        report.lines = 0
    }

    mutating func read(
        _ path: String,
        write: (UnsafeRawBufferPointer) -> Void,
        complain: (String) -> Void
    ) throws(NormalizeError) {
        var framing = LengthFraming()
        do throws(CaptureReader.Failure) {
            var reader = try BinaryFileReader(path: path)
            while !report.isStopped, let bytes = try reader.next() {
                framing.receive(bytes) { message in
                    report.lines += 1
                    rows.line = report.lines
                    // The end of a session is a message of no length (Nasdaq, BinaryFILE 1.00).
                    guard !message.isEmpty, let reason = take(message) else { return true }
                    report.badLines += 1
                    complain("\(path):\(report.lines): \(reason)")
                    report.isStopped = isStrict
                    return !isStrict
                }
                rows.flush(atLeast: 64 << 10, write)
            }
        } catch {
            throw NormalizeError(error)
        }
        if framing.unfinishedBytes > 0, !report.isStopped {
            report.badLines += 1
            complain("\(path):\(report.lines + 1): the file ends inside a message")
            report.isStopped = isStrict
        }
    }

    /// Takes a message; tells why it is bad, if it is.
    private mutating func take(_ message: UnsafeRawBufferPointer) -> String? {
        do throws(ITCHFault) {
            try feed.receive(
                message,
                atNs: nil,
                sequence: UInt64(report.lines),
                instruments: &instruments,
                into: &rows
            )
            return nil
        } catch {
            // Kinds that a later version adds are counted.
            if case .unknownKind = error { return nil }
            return error.description
        }
    }

    mutating func addFinalBooks(_ levels: Int) {
        for id in feed.instruments {
            guard let book = feed.book(of: id) else { continue }
            rows.addFinalBook(book, of: id, levels, receivedNs: 0)
        }
    }
}
