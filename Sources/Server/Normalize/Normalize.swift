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
    // Two venues have files of their own formats besides recordings.
    let (isITCH, isFIX) = (options.venue == ITCHFeed.venue, FIXMarketDataDialect.isVenue(options.venue))
    if isITCH || isFIX, let first = options.files.first, !CaptureReader.isCapture(path: first) {
        if isITCH { return try normalizeITCH(options, write: write, complain: complain) }
        return try FIXNormalizer.run(options, write: write, complain: complain)
    }
    if options.venue == DBNNormalizer.venue { return try DBNNormalizer.run(options, write: write, complain: complain) }
    guard let traffic = RecordedTraffic(venue: options.venue, endsWithFile: true, tellsOrders: false) else {
        throw .unknownVenue(options.venue, known: NormalizeOptions.venues)
    }
    var run = NormalizeRun(traffic, options)
    if let path = options.instrumentsPath { try run.readInstruments(path) }
    for path in options.files {
        run.traffic.beginFile()
        try run.read(path, write: write, complain: complain)
        guard !run.report.isStopped else { break }
    }
    if let levels = options.finalBooks { run.addFinalBooks(levels) }
    run.rows.flush(write)
    run.report.rows = run.rows.count
    let lost = run.report.lostParts > 0 ? ", \(run.report.lostParts) damaged parts" : ""
    complain("\(run.report.lines) lines, \(run.report.badLines) bad\(lost), \(run.report.rows) rows")
    return run.report
}

/// One run over recordings: the same path that a live connection takes, with rows at its end.
private struct NormalizeRun {
    var report = NormalizeReport()
    var rows: RowWriter

    var traffic: RecordedTraffic

    private var instruments = InstrumentTable()
    private var actions: [FeedAction] = []
    private let room = UnpackingRoom()
    private let isStrict: Bool

    init(_ traffic: RecordedTraffic, _ options: NormalizeOptions) {
        self.traffic = traffic
        self.traffic.passesQuotesWithoutSize = true
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
        guard let dialect = Venues.dialect(of: traffic.venue) else {
            throw .badInstruments(path: path, reason: "\(traffic.venue) has no list of instruments")
        }
        let listed = bytes.withUnsafeBytes { text in
            Result { () throws(FrameFault) in try VenueListing.instruments(in: text, of: dialect) }
        }
        switch listed {
        case .failure(let fault): throw .badInstruments(path: path, reason: fault.description)
        case .success([]): throw .badInstruments(path: path, reason: "it has no entries")
        case .success(let all):
            for instrument in all {
                do throws(InstrumentTable.Refusal) { _ = try instruments.add(instrument) } catch {
                    throw .badInstruments(path: path, reason: error.description)
                }
            }
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
                if case .lost = line { report.lostParts += 1 } else { report.lines += 1 }
                if let reason = take(line, reader.lineNumber) {
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
    private mutating func take(_ line: CaptureReader.Line, _ number: Int) -> String? {
        let text: UnsafeRawBufferPointer
        switch line {
        case .text(let whole): text = whole
        case .tooLong:
            rows.line = number
            return CaptureRecord.Fault.lineTooLong(bytesMost: CaptureReader.lineBytesMost).description
        case .lost(let loss):
            traffic.lose(into: &rows)
            return loss.description
        }
        do throws(CaptureRecord.Fault) {
            let record = try CaptureRecord(text).unpacked(in: room)
            // What ends with the file before belongs to its last line.
            traffic.begin(record, into: &rows)
            rows.line = number
            let problem = try traffic.take(record, &instruments, &actions, into: &rows)
            return problem ?? refusal()
        } catch {
            rows.line = number
            return error.description
        }
    }

    /// A recording cannot be asked for anything, but what the venue refused is worth a word.
    private mutating func refusal() -> String? {
        defer { actions.removeAll(keepingCapacity: true) }
        for case .report(let refusal) in actions.lazy.map(\.demand) { return "the venue refused: \(refusal)" }
        return nil
    }

    mutating func addFinalBooks(_ levels: Int) {
        for id in traffic.instruments {
            guard let book = traffic.book(of: id) else { continue }
            rows.addFinalBook(book, of: id, levels, receivedNs: traffic.receivedNs)
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
