import Glibc
package import Market

/// The files that keep candles from one run to the next; for the thread that may block.
///
/// A snapshot has everything as of one moment, a journal what changed since: `candles-7.snapshot` and `candles-7.journal`. When
/// the journal has grown, the next snapshot is written beside, moved into place whole, and only then the old pair is removed.
/// On disk is therefore at most twice what memory holds, and one journal.
package struct CandleFiles: ~Copyable {
    /// Why nothing is kept on disk.
    package enum Failure: Error, Equatable {
        case system(operation: String, path: String, code: Int32)

        package var message: String {
            switch self {
            case .system(let operation, let path, let code):
                "cannot \(operation) \(path): \(String(cString: strerror(code)))"
            }
        }
    }

    /// What was told while reading.
    package enum Finding: Equatable, Sendable {
        /// The end of a journal was half written when its hub was killed.
        case torn(file: String, bytes: Int)
        /// Bytes are not what was written: the file stands aside as `damaged-…`; what was sound in it is used.
        case damaged(file: String, badBlocks: Int, setAsideAs: String)
        case unreadable(file: String, reason: String)
    }

    static let idleDaysMost: Int64 = 30
    static let journalBytesLeast = 4 << 20
    static let fileBytesMost = 2 << 30

    private let directory: String
    private var generation: Int
    private var journal: Int32 = -1
    private var journalBytes = 0
    private var snapshotBytes = 0

    /// Makes the directory if it is not there.
    package init(directory: String) throws(Failure) {
        self.directory = directory
        guard mkdir(directory, 0o755) == 0 || errno == EEXIST else {
            throw .system(operation: "make the directory", path: directory, code: errno)
        }
        guard access(directory, R_OK | W_OK | X_OK) == 0 else {
            throw .system(operation: "use the directory", path: directory, code: errno)
        }
        generation = 0
    }

    deinit { if journal >= 0 { close(journal) } }

    // MARK: Reading

    /// Reads what an earlier run left; nothing in it keeps the hub from starting.
    ///
    /// Instruments without a candle within ``idleDaysMost`` of `nowNs` are forgotten: many are listed for a week only.
    package mutating func load(
        bytesMost: Int,
        nowNs: Int64
    ) -> (histories: [String: CandleHistory], findings: [Finding], lostCount: Int) {
        var loader = CandleLoader(bytesMost: bytesMost)
        var findings: [Finding] = []
        let names = fileNames()
        let snapshots = names.compactMap { number(of: $0, "snapshot") }
        let journals = names.compactMap { number(of: $0, "journal") }
        generation = (snapshots + journals).max() ?? 0
        let newest = snapshots.max()
        if let newest { read("candles-\(newest).snapshot", mayBeTorn: false, &loader, &findings) }
        for journal in journals.sorted() where journal >= newest ?? 0 {
            read("candles-\(journal).journal", mayBeTorn: true, &loader, &findings)
        }
        let oldestNs = nowNs - Self.idleDaysMost * CandleInterval.day.lengthNs
        return (loader.histories.filter { $1.lastNs >= oldestNs }, findings, loader.lostCount)
    }

    private func read(_ name: String, mayBeTorn: Bool, _ loader: inout CandleLoader, _ findings: inout [Finding]) {
        let bytes: [UInt8]
        do throws(FileError) {
            bytes = try FileError.readFile(path(name), bytesMost: Self.fileBytesMost)
        } catch {
            findings.append(.unreadable(file: name, reason: error.message))
            return
        }
        let outcome = CandleRecords.read(bytes) { loader.take($0) }
        let isTorn = outcome.tornBytes > 0 || !outcome.hasMagic && bytes.count < CandleRecords.magic.count
        if outcome.badBlockCount == 0, outcome.hasMagic || mayBeTorn && isTorn, mayBeTorn || !isTorn {
            if isTorn, bytes.count > 0 { findings.append(.torn(file: name, bytes: max(1, outcome.tornBytes))) }
            return
        }
        // One name for each kind, so that there are never many.
        let aside = mayBeTorn ? "damaged-candles.journal" : "damaged-candles.snapshot"
        let bad = max(1, outcome.badBlockCount)
        guard rename(path(name), path(aside)) == 0 else {
            findings.append(.unreadable(file: name, reason: String(cString: strerror(errno))))
            return
        }
        findings.append(.damaged(file: name, badBlocks: bad, setAsideAs: aside))
    }

    private func fileNames() -> [String] {
        guard let handle = opendir(directory) else { return [] }
        defer { closedir(handle) }
        var names: [String] = []
        while let entry = readdir(handle) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            names.append(name)
        }
        return names
    }

    private func number(of name: String, _ kind: String) -> Int? {
        let parts = name.split(separator: ".")
        guard parts.count == 2, parts[1] == kind, parts[0].hasPrefix("candles-") else { return nil }
        return Int(parts[0].dropFirst("candles-".count))
    }

    private func path(_ name: String) -> String { directory + "/" + name }

    // MARK: Writing

    /// Whether the journal is as long as everything else: then a snapshot is due.
    package var isSnapshotDue: Bool { journal < 0 || journalBytes > max(Self.journalBytesLeast, snapshotBytes) }

    /// Lets a snapshot be due, under the next number.
    package mutating func forgetJournal() {
        if journal >= 0 { close(journal) }
        journal = -1
    }

    /// Begins a new journal; what is shown from here on must go into it, or into the snapshot that follows.
    package mutating func beginJournal() throws(Failure) {
        forgetJournal()
        generation += 1
        let name = path("candles-\(generation).journal")
        journal = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard journal >= 0 else { throw .system(operation: "write", path: name, code: errno) }
        journalBytes = 0
        try append(CandleRecords.magic)
    }

    /// Appends blocks to the journal and waits until they are on disk; after an error nothing of them is there.
    package mutating func append(_ bytes: [UInt8]) throws(Failure) {
        guard journal >= 0 else { return }
        let name = path("candles-\(generation).journal")
        do throws(Failure) {
            try Self.write(bytes, to: journal, name)
        } catch {
            // A whole number of blocks again, whatever was written of these.
            if ftruncate(journal, off_t(journalBytes)) == 0 { _ = lseek(journal, off_t(journalBytes), SEEK_SET) }
            throw error
        }
        journalBytes += bytes.count
    }

    /// Puts a snapshot into place and removes what it makes superfluous.
    ///
    /// `fill` is called until it has appended nothing more to the bytes it is given.
    package mutating func writeSnapshot(_ fill: (inout [UInt8]) -> Void) throws(Failure) {
        let (partial, whole) = (path("candles.partial"), path("candles-\(generation).snapshot"))
        let file = open(partial, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard file >= 0 else { throw .system(operation: "write", path: partial, code: errno) }
        defer { close(file) }
        var bytes = CandleRecords.magic
        var count = 0
        while !bytes.isEmpty {
            try Self.write(bytes, to: file, partial)
            count += bytes.count
            bytes.removeAll(keepingCapacity: true)
            fill(&bytes)
        }
        guard rename(partial, whole) == 0 else { throw .system(operation: "rename", path: partial, code: errno) }
        try syncDirectory()
        snapshotBytes = count
        for name in fileNames() {
            let number = number(of: name, "snapshot") ?? number(of: name, "journal")
            if let number, number < generation { unlink(path(name)) }
        }
    }

    private func syncDirectory() throws(Failure) {
        let handle = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard handle >= 0 else { throw .system(operation: "open", path: directory, code: errno) }
        defer { close(handle) }
        guard fsync(handle) == 0 else { throw .system(operation: "sync", path: directory, code: errno) }
    }

    private static func write(_ bytes: [UInt8], to file: Int32, _ name: String) throws(Failure) {
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.write(file, $0.baseAddress.map { $0 + done }, bytes.count - done)
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw .system(operation: "write", path: name, code: errno) }
            done += count
        }
        guard fdatasync(file) == 0 else { throw .system(operation: "sync", path: name, code: errno) }
    }
}
