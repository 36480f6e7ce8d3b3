import Feeds
import Glibc

/// Recordings that are to be played together: a series of files for each source.
struct Replay {
    private(set) var series: [CaptureConfiguration] = []
    /// The time of the first record of all.
    private(set) var firstNs: Int64 = .max
    private(set) var seekNs: Int64?
    private(set) var untilNs: Int64?
    private let options: ReplayOptions

    /// Why nothing can be played, and what to do.
    struct Refusal: Error {
        var message: String
    }

    /// Looks at every file: whose traffic it is, and where it stands in its series.
    init(_ options: ReplayOptions) throws(Refusal) {
        self.options = options
        var found: [RecordedFile] = []
        for path in options.paths {
            for file in try Self.files(at: path) { found.append(try RecordedFile(file, options.venue)) }
        }
        if let venue = options.venue { found.removeAll { $0.venue != venue } }
        guard !found.isEmpty else {
            throw Refusal(message: "there is no recording at \(options.paths.joined(separator: ", "))")
        }
        try group(found)
        firstNs = found.compactMap(\.firstNs).min() ?? 0
        seekNs = options.seek.map { $0.ns(firstNs: firstNs) }
        untilNs = options.until.map { $0.ns(firstNs: firstNs) }
        if let untilNs, untilNs < seekNs ?? firstNs {
            throw Refusal(message: "--until lies before the beginning; nothing would be played")
        }
    }

    func makeSources() -> [any MarketSource] {
        let clock = ReplayClock(
            speedFactor: options.speedFactor,
            isLooping: options.isLooping,
            seekNs: seekNs,
            untilNs: untilNs
        )
        return series.compactMap { CaptureSource($0, clock: clock) }
    }

    private mutating func group(_ found: [RecordedFile]) throws(Refusal) {
        var sources: [String] = []
        var files: [String: [RecordedFile]] = [:]
        for file in found {
            let source = file.source ?? "files without marks"
            if files[source] == nil { sources.append(source) }
            files[source, default: []].append(file)
        }
        for source in sources {
            guard let own = files[source], let venue = own.first?.venue else { continue }
            guard own.allSatisfy({ $0.venue == venue }) else {
                throw Refusal(message: "the files are of several venues; name one with --venue")
            }
            guard !series.contains(where: { $0.venue == venue }) else {
                throw Refusal(message: "there are several recordings of \(venue); give the files of one")
            }
            var configuration = CaptureConfiguration()
            configuration.venue = venue
            // Those of a recorder know their order, others are in the order given.
            configuration.files = own.enumerated()
                .sorted { ($0.element.order, $0.offset) < ($1.element.order, $1.offset) }.map(\.element.path)
            series.append(configuration)
        }
        guard let list = options.instrumentsPath else { return }
        guard series.count == 1 else {
            throw Refusal(message: "--instruments is one venue's list; name the venue with --venue")
        }
        series[0].instrumentsFile = list
    }

    /// The file itself, or the recordings in a directory by their names.
    private static func files(at path: String) throws(Refusal) -> [String] {
        guard let folder = opendir(path) else {
            guard access(path, R_OK) == 0 else {
                let reason = String(cString: strerror(errno))
                throw Refusal(message: "\(path): \(reason); give recordings, or a directory of them")
            }
            return [path]
        }
        defer { closedir(folder) }
        var names: [String] = []
        while let entry = readdir(folder) {
            let name = withUnsafePointer(to: entry.pointee.d_name) { place in
                place.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name.hasSuffix(".cap.gz") || name.hasSuffix(".cap") { names.append(name) }
        }
        return names.sorted().map { path.hasSuffix("/") ? path + $0 : "\(path)/\($0)" }
    }
}

/// What the beginning of a recording says of it.
private struct RecordedFile {
    let path: String
    var venue = ""
    /// The recorder's name of the series; nil for a file without marks.
    var source: String?
    /// The recorder's run, and the number in it.
    var order = Order()
    var firstNs: Int64?

    struct Order: Comparable {
        var run: Int64 = 0
        var number = 0

        static func < (one: Self, other: Self) -> Bool { (one.run, one.number) < (other.run, other.number) }
    }

    /// Lines after which a file that has not said whose it is never will.
    private static let linesMost = 10_000

    /// Reads the beginning of a file; `named` is the venue of one that does not say whose it is.
    ///
    /// - Throws: why it cannot be played.
    init(_ path: String, _ named: String?) throws(Replay.Refusal) {
        self.path = path
        var isKnown = false
        do throws(CaptureReader.Failure) {
            var reader = try CaptureReader(path: path)
            while !isKnown, reader.lineNumber < Self.linesMost, let line = try reader.next() {
                guard case .text(let text) = line, let record = try? CaptureRecord(text) else { continue }
                if firstNs == nil { firstNs = record.receivedNs }
                isKnown = learn(record) || named != nil
            }
        } catch {
            // What was read of a damaged file says enough, or the venue is named.
            guard isKnown || (named != nil && firstNs != nil) else {
                throw Replay.Refusal(message: NormalizeError(error).description)
            }
        }
        if venue.isEmpty { venue = named ?? "" }
        guard !venue.isEmpty else {
            throw Replay.Refusal(message: "\(path) does not say whose traffic it is; name the venue with --venue")
        }
    }

    /// Whether the record says whose traffic it is.
    private mutating func learn(_ record: CaptureRecord) -> Bool {
        let url: String
        switch record.kind {
        case .mark:
            guard case .file(let source, let venue, let run, let number)? = RecordingMark(record.payload),
                RecordedTraffic.knows(venue)
            else { return false }
            (self.source, self.venue, order) = (source, venue, Order(run: run, number: number))
            return true
        case .connect: url = String(decoding: record.payload, as: UTF8.self)
        case .answer:
            guard let answer = try? record.answer() else { return false }
            url = answer.url
        case .sent, .received, .packed: return false
        }
        guard let manner = VenueManners.manner(ofURL: url) else { return false }
        venue = manner.venue
        return true
    }
}
