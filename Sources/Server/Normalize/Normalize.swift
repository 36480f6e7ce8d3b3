internal import Feeds
internal import Market

/// Writes what recordings of a venue say as JSON lines in the hub's own terms.
///
/// - Parameters:
///   - options: which recordings, and what of them.
///   - write: gets whole lines, many at a time; the bytes are valid during the call only.
///   - complain: gets one line of text for each bad line, with file and line number, and a summary at the end.
/// - Returns: what was read.
/// - Throws: ``NormalizeError``; rows made before that were written.
package func normalize(
    _ options: NormalizeOptions,
    write: (UnsafeRawBufferPointer) -> Void,
    complain: (String) -> Void
) throws(NormalizeError) -> NormalizeReport {
    if options.venue == FIXNormalizer.venue { return try FIXNormalizer.run(options, write: write, complain: complain) }
    if options.venue == DBNNormalizer.venue { return try DBNNormalizer.run(options, write: write, complain: complain) }
    guard let dialect = Venues.dialect(of: options.venue) else {
        throw .unknownVenue(options.venue, known: NormalizeOptions.venues)
    }
    var run = NormalizeRun(dialect, options)
    if let path = options.instrumentsPath { try run.readInstruments(path) }
    for (index, path) in options.files.enumerated() {
        if index > 0 { run.endRecording() }
        try run.read(path, write: write, complain: complain)
        guard !run.report.isStopped else { break }
    }
    if let levels = options.finalBooks { run.addFinalBooks(levels) }
    run.rows.flush(write)
    run.report.rows = run.rows.count
    complain("\(run.report.lines) lines, \(run.report.badLines) bad, \(run.report.rows) rows")
    return run.report
}

/// One run over recordings: the same path that a live connection takes, with rows at its end.
private struct NormalizeRun {
    var report = NormalizeReport()
    var rows: RowWriter

    private var feed: VenueFeed
    private var instruments = InstrumentTable()
    private var connections: Set<UInt32> = []
    private var actions: [FeedAction] = []
    private var receivedNs: Int64 = 0
    private let isStrict: Bool

    init(_ dialect: any VenueDialect, _ options: NormalizeOptions) {
        feed = VenueFeed(dialect)
        feed.passesQuotesWithoutSize = true
        rows = RowWriter(options)
        isStrict = options.isStrict
    }

    mutating func readInstruments(_ path: String) throws(NormalizeError) {
        var bytes: [UInt8] = []
        do throws(CaptureReader.Failure) {
            var reader = try CaptureReader(path: path)
            while let line = try reader.next() {
                guard case .text(let text) = line else {
                    throw CaptureReader.Failure.damaged(path: path, reason: "a line is too long")
                }
                bytes.append(contentsOf: text)
                bytes.append(UInt8(ascii: "\n"))
            }
        } catch {
            throw NormalizeError(error)
        }
        let dialect = feed.dialect
        let listed = bytes.withUnsafeBytes { text in
            Result { () throws(FrameFault) in try VenueListing.instruments(in: text, of: dialect) }
        }
        switch listed {
        case .failure(let fault): throw .badInstruments(path: path, reason: fault.description)
        case .success([]): throw .badInstruments(path: path, reason: "it has no entries")
        case .success(let all): for instrument in all { _ = try? instruments.add(instrument) }
        }
    }

    mutating func read(
        _ path: String,
        write: (UnsafeRawBufferPointer) -> Void,
        complain: (String) -> Void
    ) throws(NormalizeError) {
        do throws(CaptureReader.Failure) {
            var reader = try CaptureReader(path: path)
            while let line = try reader.next() {
                report.lines += 1
                rows.line = reader.lineNumber
                if let reason = take(line) {
                    report.badLines += 1
                    complain("\(path):\(reader.lineNumber): \(reason)")
                    if isStrict {
                        report.isStopped = true
                        return
                    }
                }
                rows.flush(atLeast: 64 << 10, write)
            }
        } catch {
            throw NormalizeError(error)
        }
    }

    /// Takes a line; tells why it is bad, if it is.
    private mutating func take(_ line: CaptureReader.Line) -> String? {
        guard case .text(let text) = line else {
            return CaptureRecord.Fault.lineTooLong(bytesMost: CaptureReader.lineBytesMost).description
        }
        do throws(CaptureRecord.Fault) {
            let record = try CaptureRecord(text)
            receivedNs = record.receivedNs
            switch record.kind {
            case .connect: connect(record)
            case .sent: break
            case .received: return receive(record)
            case .answer: return try receiveAnswer(record)
            }
        } catch {
            return error.description
        }
        return nil
    }

    private mutating func connect(_ record: CaptureRecord) {
        guard !connections.insert(record.connection).inserted else { return }
        feed.disconnected(record.connection, reason: .connectionLost, atNs: record.receivedNs, into: &rows)
    }

    private mutating func receive(_ record: CaptureRecord) -> String? {
        connections.insert(record.connection)
        do throws(FrameFault) {
            try feed.receive(
                record.payload,
                connection: record.connection,
                atNs: record.receivedNs,
                instruments: &instruments,
                actions: &actions,
                into: &rows
            )
        } catch {
            return error.description
        }
        return refusal()
    }

    private mutating func receiveAnswer(_ record: CaptureRecord) throws(CaptureRecord.Fault) -> String? {
        let (url, body) = try record.answer()
        guard let rawSymbol = feed.dialect.rawSymbol(ofSnapshotURL: url) else { return nil }
        do throws(FrameFault) {
            try feed.receiveSnapshot(
                body,
                rawSymbol: rawSymbol,
                connection: record.connection,
                atNs: record.receivedNs,
                instruments: &instruments,
                actions: &actions,
                into: &rows
            )
        } catch {
            return error.description
        }
        return refusal()
    }

    /// A recording cannot be asked for anything, but what the venue refused is worth a word.
    private mutating func refusal() -> String? {
        defer { actions.removeAll(keepingCapacity: true) }
        for case .report(let refusal) in actions.lazy.map(\.demand) { return "the venue refused: \(refusal)" }
        return nil
    }

    /// Ends a recording before the next: its connections are gone.
    mutating func endRecording() {
        for connection in connections.sorted() {
            feed.disconnected(connection, reason: .replayEnded, atNs: receivedNs, into: &rows)
        }
        connections = []
    }

    mutating func addFinalBooks(_ levels: Int) {
        for id in feed.instruments {
            guard let book = feed.book(of: id) else { continue }
            rows.addFinalBook(book, of: id, levels, receivedNs: receivedNs)
        }
    }
}

extension NormalizeError {
    init(_ failure: CaptureReader.Failure) {
        switch failure {
        case .cannotOpen(let path): self = .cannotRead(path: path)
        case .damaged(let path, let reason): self = .damaged(path: path, reason: reason)
        }
    }
}
