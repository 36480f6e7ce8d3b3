internal import Feeds
internal import Market

/// Writes what files of Databento's binary encoding say.
///
/// A row's `line` is the number of its record in its file.
struct DBNNormalizer {
    static let venue = "dbn"

    private var report = NormalizeReport()
    private var rows: RowWriter
    private var feed = VenueFeed(DBNDialect(venue: venue))
    private var instruments = InstrumentTable()
    private var definitions = 0
    private var nowNs: Int64 = 0
    private let isStrict: Bool

    private init(_ options: NormalizeOptions) {
        rows = RowWriter(options)
        isStrict = options.isStrict
    }

    /// Reads all files; what it throws ends the run, rows made before that were written.
    static func run(
        _ options: NormalizeOptions,
        write: (UnsafeRawBufferPointer) -> Void,
        complain: (String) -> Void
    ) throws(NormalizeError) -> NormalizeReport {
        if let path = options.instrumentsPath {
            throw .badInstruments(path: path, reason: "DBN tells instruments in files of its own, to be read first")
        }
        var run = DBNNormalizer(options)
        for (index, path) in options.files.enumerated() {
            if index > 0 {
                run.feed.disconnected(DBNStream.connection, reason: .replayEnded, atNs: run.nowNs, into: &run.rows)
            }
            do throws(NormalizeError) {
                try run.read(path, write, complain)
            } catch {
                run.rows.flush(write)
                throw error
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
        complain(
            "\(run.report.lines) records, \(run.report.badLines) bad, \(run.definitions) instruments defined, "
                + "\(run.report.rows) rows"
        )
        return run.report
    }

    private mutating func read(
        _ path: String,
        _ write: (UnsafeRawBufferPointer) -> Void,
        _ complain: (String) -> Void
    ) throws(NormalizeError) {
        var stream = DBNStream()
        var file: PackedFile
        do throws(CaptureReader.Failure) { file = try PackedFile(path: path) } catch { throw NormalizeError(error) }
        while true {
            let bytes: UnsafeRawBufferPointer?
            do throws(CaptureReader.Failure) { bytes = try file.next() } catch { throw NormalizeError(error) }
            do throws(DBNError) {
                guard let bytes else {
                    definitions += stream.definitions
                    return try stream.finish()
                }
                try take(bytes, &stream, path, complain)
            } catch {
                throw .damaged(path: path, reason: error.description)
            }
            rows.flush(atLeast: 64 << 10, write)
            guard !report.isStopped else { return }
        }
    }

    private mutating func take(
        _ bytes: UnsafeRawBufferPointer,
        _ stream: inout DBNStream,
        _ path: String,
        _ complain: (String) -> Void
    ) throws(DBNError) {
        var report = self.report
        let isStrict = isStrict
        defer { self.report = report }
        try stream.receive(
            bytes,
            feed: &feed,
            instruments: &instruments,
            into: &rows,
            begin: { number, rows in
                report.lines += 1
                rows.line = number
            },
            fault: { number, fault in
                report.badLines += 1
                complain("\(path):\(number): \(fault)")
                report.isStopped = isStrict
                return !isStrict
            }
        )
        nowNs = max(nowNs, stream.receivedNs)
    }
}
