import Testing

@testable import Server

/// A directory in memory that can be full or broken.
private final class MemoryDisk: RecordingDisk {
    var files: [String: [UInt8]] = [:]
    var names: [Int32: String] = [:]
    var synced: [String] = []
    /// What the next operations of a kind answer.
    var failures: [String: Int32] = [:]
    private var last: Int32 = 0

    private func check(_ operation: String) throws(DiskFailure) {
        if let code = failures[operation] { throw DiskFailure(operation: operation, code: code) }
    }

    func recordings() throws(DiskFailure) -> [(name: String, bytes: Int)] { files.map { ($0.key, $0.value.count) } }

    func create(_ name: String) throws(DiskFailure) -> Int32 {
        try check("create")
        guard files[name] == nil else { throw DiskFailure(operation: "create", code: 17) }
        files[name] = []
        last += 1
        names[last] = name
        return last
    }

    func append(_ block: [UInt8], to file: Int32, at size: Int) throws(DiskFailure) {
        try check("write")
        guard let name = names[file], files[name]?.count == size else {
            Issue.record("a block is written to the wrong place")
            return
        }
        files[name]?.append(contentsOf: block)
    }

    func sync(_ file: Int32) throws(DiskFailure) {
        try check("sync")
        synced.append(names[file] ?? "")
    }

    func close(_ file: Int32) { names[file] = nil }

    func remove(_ name: String) throws(DiskFailure) {
        try check("remove")
        files[name] = nil
    }
}

private let full: Int32 = 28
private let secondNs: Int64 = 1_000_000_000
private let limits = RecordingLimits(fileBytesMost: 1 << 20, fileNsMost: 3600 * secondNs, diskBytesMost: 1 << 30)

private func writer(_ disk: MemoryDisk, _ limits: RecordingLimits = limits, run: Int64 = 1) throws -> RecordingWriter {
    let writer = try RecordingWriter(disk, limits, run: run)
    writer.addSource("kraken", venue: "kraken")
    writer.addSource("tcp", venue: "tcp")
    return writer
}

extension RecordingWriter {
    fileprivate func add(
        _ kind: CaptureRecord.Kind,
        _ text: String,
        source: UInt16 = 0,
        connection: UInt32 = 1,
        atNs now: Int64
    ) {
        let head = RecordHead(kind, source: source, connection: connection, atNs: now)
        Array(text.utf8).withUnsafeBytes { add(head, $0, atNs: now) }
    }
}

/// The lines of all files of a source, in the order of their names; nil for a damaged part.
private func lines(_ disk: MemoryDisk, _ source: String = "kraken") throws -> [[String?]] {
    try disk.files.filter { $0.key.hasPrefix(source) }.sorted { $0.key < $1.key }.map { try lines(of: $0.value) }
}

private func lines(of bytes: [UInt8]) throws -> [String?] {
    let path = try TemporaryFile(bytes)
    var found: [String?] = []
    var reader = try CaptureReader(path: path.path)
    while let line = try reader.next() {
        if case .text(let text) = line {
            found.append(String(decoding: text, as: UTF8.self))
        } else {
            found.append(nil)
        }
    }
    return found
}

@Suite("Writer of recordings")
struct RecordingWriterTests {
    private let disk = MemoryDisk()

    @Test("writes a block when its first record is half a second old, each with its own checksum")
    func blocks() throws {
        let writer = try writer(disk)
        writer.add(.connect, "wss://a", atNs: 0)
        writer.tick(atNs: 499_999_999)
        #expect(disk.files.isEmpty, "too early")
        writer.add(.received, "{}", atNs: 499_999_999)
        writer.tick(atNs: 500_000_000)
        let first = try #require(disk.files.values.first).count
        writer.add(.received, "[]", atNs: 600_000_000)
        writer.tick(atNs: 1_100_000_000)
        #expect(disk.files.keys.sorted() == ["kraken-19700101T000000.500000Z.cap.gz"])
        #expect(
            try lines(disk) == [
                [
                    "0\t0\tM\tfile\tkraken\tkraken\t1\t1", "0\t1\tC\twss://a", "499999999\t1\tR\t{}",
                    "600000000\t1\tR\t[]",
                ]
            ]
        )
        // A file that is cut within its second block has its first.
        let bytes = try #require(disk.files.values.first)
        #expect(try lines(of: Array(bytes[..<(bytes.count - 1)])).map { $0 == nil } == [false, false, false, true])
        #expect(try lines(of: Array(bytes[..<first])).count == 3)
    }

    @Test("writes a block at once when it is large")
    func largeBlocks() throws {
        var limits = limits
        limits.blockBytes = 100
        let writer = try writer(disk, limits)
        writer.add(.received, String(repeating: "x", count: 50), atNs: 0)
        #expect(disk.files.isEmpty)
        writer.add(.received, String(repeating: "x", count: 50), atNs: 1)
        #expect(disk.files.count == 1)
    }

    @Test("says at the beginning of each file how its source reads, and which connections are open")
    func settings() throws {
        var limits = limits
        limits.fileBytesMost = 1
        let writer = try RecordingWriter(disk, limits, run: 1)
        writer.addSource("kraken", venue: "kraken", settings: RecordedSettings(fields: ["quietMs=5"]))
        writer.add(.connect, "wss://a", connection: 1, atNs: 0)
        writer.add(.connect, "wss://b", connection: 2, atNs: 0)
        writer.tick(atNs: secondNs)
        writer.add(.mark, "ended", connection: 1, atNs: secondNs)
        writer.tick(atNs: 2 * secondNs)
        writer.add(.received, "{}", connection: 2, atNs: 2 * secondNs)
        writer.finishAll(atNs: 3 * secondNs)
        let heads = try lines(disk).map { $0.prefix(3).map { $0?.split(separator: "\t", maxSplits: 3).last ?? "" } }
        #expect(
            heads == [
                ["file\tkraken\tkraken\t1\t1", "settings\tquietMs=5", "wss://a"],
                ["file\tkraken\tkraken\t1\t2", "settings\tquietMs=5", "open\twss://b"],
                ["file\tkraken\tkraken\t1\t3", "settings\tquietMs=5", "open\twss://b"],
            ]
        )
    }

    @Test("has a series of files for each source")
    func series() throws {
        let writer = try writer(disk)
        writer.add(.received, "a", source: 0, atNs: 0)
        writer.add(.received, "b\n", source: 1, atNs: 0)
        writer.finishAll(atNs: 1)
        #expect(try lines(disk, "kraken") == [["0\t0\tM\tfile\tkraken\tkraken\t1\t1", "0\t1\tR\ta"]])
        #expect(try lines(disk, "tcp") == [["0\t0\tM\tfile\ttcp\ttcp\t1\t1", "0\t1\tB\tR\tYgo="]])
        #expect(disk.names.isEmpty && disk.synced.count == 2, "every file is forced to the disk and closed")
    }

    @Test("begins a new file at a size, and says there which connections are open")
    func rotatesBySize() throws {
        var limits = limits
        limits.fileBytesMost = 1
        let writer = try writer(disk, limits)
        writer.add(.connect, "wss://a", connection: 1, atNs: 0)
        writer.add(.connect, "wss://b", connection: 2, atNs: 0)
        writer.tick(atNs: secondNs)
        writer.add(.mark, "lost\tgap", connection: 2, atNs: 2 * secondNs)
        writer.tick(atNs: 3 * secondNs)
        writer.add(.received, "{}", connection: 1, atNs: 4 * secondNs)
        writer.finishAll(atNs: 5 * secondNs)
        let all = try lines(disk).map {
            $0.compactMap { $0.map { String($0.split(separator: "\t", maxSplits: 1)[1]) } }
        }
        #expect(
            all == [
                ["0\tM\tfile\tkraken\tkraken\t1\t1", "1\tC\twss://a", "2\tC\twss://b"],
                ["0\tM\tfile\tkraken\tkraken\t1\t2", "1\tM\topen\twss://a", "2\tM\tlost\tgap"],
                ["0\tM\tfile\tkraken\tkraken\t1\t3", "1\tM\topen\twss://a", "1\tR\t{}"],
            ]
        )
    }

    @Test("finishes a file at an age, also when nothing more comes")
    func rotatesByAge() throws {
        var limits = limits
        limits.fileNsMost = 10 * secondNs
        let writer = try writer(disk, limits)
        writer.add(.received, "1", atNs: 0)
        writer.tick(atNs: secondNs)
        writer.tick(atNs: 11 * secondNs - 1)
        #expect(disk.names.count == 1)
        writer.tick(atNs: 11 * secondNs)
        #expect(disk.names.isEmpty)
        writer.add(.received, "2", atNs: 12 * secondNs)
        writer.tick(atNs: 13 * secondNs)
        #expect(try lines(disk).map { $0.last } == ["0\t1\tR\t1", "12000000000\t1\tR\t2"])
        let finished = writer.takeEvents().compactMap { if case .finished(let file, _) = $0 { file } else { nil } }
        #expect(finished == ["kraken-19700101T000001.000000Z.cap.gz"])
    }

    @Test("keeps to the bound of the disk: the oldest finished files go, also those of earlier runs")
    func diskBound() throws {
        disk.files["kraken-19690101T000000.000000Z.cap.gz"] = Array(repeating: 0, count: 900)
        disk.files["notes.txt"] = Array(repeating: 0, count: 5_000)
        disk.files["mine-1.cap.gz"] = Array(repeating: 0, count: 5_000)
        var limits = limits
        (limits.diskBytesMost, limits.fileBytesMost) = (1_000, 200)
        let writer = try writer(disk, limits)
        var removed: [String] = []
        for number in 1...100 {
            let now = Int64(number) * secondNs
            // Every block is new to the packer, so that sizes are alike.
            writer.add(.received, "\(number &* 2_654_435_761)", atNs: now)
            writer.add(.received, "\(number &* 40_503)", source: 1, atNs: now)
            writer.tick(atNs: now + secondNs)
            let own = disk.files.filter { RecordingName($0.key) != nil }
            let bytes = own.reduce(0) { $0 + $1.value.count }
            #expect(bytes <= 1_000 && bytes == writer.diskBytes, "after \(number)")
            for case .removed(let file, _) in writer.takeEvents() { removed.append(file) }
        }
        #expect(removed.first == "kraken-19690101T000000.000000Z.cap.gz")
        let inOrder = removed.compactMap { RecordingName($0)?.begun }
        #expect(inOrder == inOrder.sorted() && removed.count > 10)
        #expect(disk.files["notes.txt"]?.count == 5_000 && disk.files["mine-1.cap.gz"]?.count == 5_000)
        #expect(try lines(disk).last?.last == "100000000000\t1\tR\t\(100 &* 2_654_435_761)")
    }

    @Test("finishes its own file when nothing else is left to go")
    func ownFileGoes() throws {
        var limits = limits
        (limits.diskBytesMost, limits.fileBytesMost) = (400, 10_000)
        let writer = try writer(disk, limits)
        for number in 1...20 {
            writer.add(.received, "\(number &* 2_654_435_761)", atNs: Int64(number) * secondNs)
            writer.tick(atNs: Int64(number + 1) * secondNs)
            #expect(writer.diskBytes <= 400)
        }
        #expect(try lines(disk).last?.last == "20000000000\t1\tR\t\(20 &* 2_654_435_761)")
        #expect(!writer.isFailing)
    }

    @Test(
        "loses nothing to a disk that is full for a while, and says so once",
        arguments: ["write", "create", "remove"]
    )
    func diskFull(operation: String) throws {
        var limits = limits
        if operation == "remove" { (limits.diskBytesMost, limits.fileBytesMost) = (200, 60) }
        let writer = try writer(disk, limits)
        if operation == "remove" {
            writer.add(.received, "before", atNs: 0)
            writer.tick(atNs: secondNs)
        }
        disk.failures[operation] = full
        for number in 2..<20 {
            writer.add(.received, "\(number)", atNs: Int64(number) * secondNs)
            writer.tick(atNs: Int64(number) * secondNs + secondNs / 2)
        }
        #expect(writer.isFailing)
        let told = writer.takeEvents().filter { if case .failed = $0 { true } else { false } }
        #expect(told == [.failed(DiskFailure(operation: operation, code: full))])
        disk.failures = [:]
        writer.tick(atNs: 21 * secondNs)
        #expect(!writer.isFailing)
        #expect(writer.takeEvents().contains { if case .recovered = $0 { true } else { false } })
        let records = try #require(try lines(disk).last).dropFirst().map { $0?.split(separator: "\t").last }
        // The first ones found room beside what could not be removed, and went with it afterwards.
        #expect(records == (2..<20).suffix(records.count).map { "\($0)" })
        #expect(operation == "remove" ? records.count > 14 : records.count == 18)
    }

    @Test("keeps a bounded part of what a failing disk does not take, and marks the gap")
    func heldBound() throws {
        var limits = limits
        (limits.heldBytesMost, limits.blockBytes) = (1_000, 100)
        let writer = try writer(disk, limits)
        disk.failures["write"] = full
        for number in 0..<1_000 { writer.add(.received, "\(number)", atNs: Int64(number)) }
        disk.failures = [:]
        writer.tick(atNs: 2 * secondNs)
        writer.add(.received, "after", atNs: 3 * secondNs)
        writer.finishAll(atNs: 4 * secondNs)
        let found = try #require(try lines(disk).last).compactMap { $0.map { $0.split(separator: "\t") } }
        let kept = found.dropFirst().prefix { $0[2] == "R" }
        #expect(kept.map { $0[3] } == (0..<kept.count).map { "\($0)" })
        #expect(kept.count > 50 && kept.count < 120)
        let rest = found.dropFirst(1 + kept.count).map { $0.dropFirst(2).joined(separator: " ") }
        #expect(rest == ["M gap \(1_000 - kept.count)", "R after"])
        #expect(writer.takeEvents().contains(.leftOut(source: 0, records: 1_000 - kept.count)))
    }

    @Test("tells of a gap at the very end too")
    func gapAtTheEnd() throws {
        var limits = limits
        limits.heldBytesMost = 10
        let writer = try writer(disk, limits)
        for number in 0..<5 { writer.add(.received, "\(number)", atNs: 0) }
        writer.finishAll(atNs: 1)
        #expect(try lines(disk).last?.last == "1\t0\tM\tgap\t3")
    }

    @Test("forces what it wrote to the disk as often as it is told")
    func syncs() throws {
        var limits = limits
        limits.syncNs = 5 * secondNs
        let writer = try writer(disk, limits)
        for number in 0..<20 {
            writer.add(.received, "\(number)", atNs: Int64(number) * secondNs)
            writer.tick(atNs: Int64(number) * secondNs + secondNs / 2)
        }
        #expect((3...4).contains(disk.synced.count))
        disk.synced = []
        for number in 20..<40 { writer.tick(atNs: Int64(number) * secondNs) }
        #expect(disk.synced.count <= 1, "nothing new, nothing to force")
    }

    @Test("takes the next microsecond when a name is taken")
    func takenName() throws {
        disk.files["kraken-19700101T000001.000000Z.cap.gz"] = [1, 2, 3]
        let writer = try writer(disk)
        writer.add(.received, "a", atNs: 0)
        writer.tick(atNs: secondNs)
        #expect(disk.files["kraken-19700101T000001.000000Z.cap.gz"] == [1, 2, 3])
        #expect(disk.files["kraken-19700101T000001.000001Z.cap.gz"] != nil)
    }
}
