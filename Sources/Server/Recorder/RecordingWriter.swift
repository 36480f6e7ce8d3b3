/// How a recorder divides what it writes.
package struct RecordingLimits: Sendable, Hashable {
    /// A file is finished by the block that brings it here.
    package var fileBytesMost: Int
    /// A file is finished when it is this old.
    package var fileNsMost: Int64
    /// All recordings of the directory; the oldest finished files go before it is passed.
    package var diskBytesMost: Int
    /// What is written is forced to the disk so often; 0 for only when a file is finished.
    package var syncNs: Int64
    /// A block is written when its first record is this old: what a kill loses, with the wait for the recorder's turn.
    package var blockNs: Int64 = 500_000_000
    /// A block is written when it has this much text.
    package var blockBytes = 1 << 20
    /// Text of one source that is kept while the disk takes nothing; what comes then is left out.
    package var heldBytesMost = 8 << 20
    /// After a failure the disk is tried again so often.
    package var retryNs: Int64 = 1_000_000_000

    package init(fileBytesMost: Int, fileNsMost: Int64, diskBytesMost: Int, syncNs: Int64 = 0) {
        self.fileBytesMost = fileBytesMost
        self.fileNsMost = fileNsMost
        self.diskBytesMost = diskBytesMost
        self.syncNs = syncNs
    }
}

/// What happened to a recording, for logs and metrics.
package enum RecordingEvent: Hashable, Sendable {
    case opened(file: String)
    case wrote(source: Int, records: Int, bytes: Int)
    case finished(file: String, bytes: Int)
    /// The oldest went, to make room.
    case removed(file: String, bytes: Int)
    /// The first failure after all was well.
    case failed(DiskFailure)
    /// The disk takes blocks again after so long.
    case recovered(afterNs: Int64)
    /// So many records are left out since the disk failed; told when the gap is written down.
    case leftOut(source: Int, records: Int)
}

/// Turns records into files of blocks: one series of files for each source.
///
/// It is given the time and performs what it does on the disk it was given. While the disk fails it keeps up to
/// ``RecordingLimits/heldBytesMost`` of each source and tries again; what comes beyond that is left out, and a mark in the
/// recording says how much.
package final class RecordingWriter {
    private struct OpenFile {
        var number: Int32
        var name: String
        var begunNs: Int64
        var bytes = 0
        var syncedNs: Int64
        var isUnsynced = false
    }

    private struct Series {
        var source: String
        var venue: String
        var settings: RecordedSettings
        /// Files begun so far.
        var fileCount = 0
        var file: OpenFile?
        /// Lines that are not written yet.
        var text: [UInt8] = []
        var records = 0
        var firstNs: Int64 = 0
        /// Records left out since the last that was kept.
        var leftOut = 0
        /// The addresses of open connections, for the beginning of the next file.
        var connections: [UInt32: String] = [:]
    }

    private let disk: any RecordingDisk
    private let limits: RecordingLimits
    /// The same for all files that this writer makes.
    private let run: Int64
    private var series: [Series] = []
    /// Files that nobody writes to any more, oldest first.
    private var finished: [(name: RecordingName, bytes: Int)]
    private var packer = CaptureBlockPacker()
    private var events: [RecordingEvent] = []
    private var failingSinceNs: Int64?
    private var retryAtNs: Int64 = 0
    /// Bytes of all recordings in the directory.
    package private(set) var diskBytes: Int

    /// Takes over what lies in the directory; `run` is told in every file and must differ from that of any writer before.
    ///
    /// - Throws: when the directory cannot be listed.
    package init(_ disk: any RecordingDisk, _ limits: RecordingLimits, run: Int64) throws(DiskFailure) {
        self.disk = disk
        self.limits = limits
        self.run = run
        finished = try disk.recordings().compactMap { file in
            RecordingName(file.name).map { ($0, file.bytes) }
        }
        .sorted { $0.name < $1.name }
        diskBytes = finished.reduce(0) { $0 + $1.bytes }
    }

    /// Adds a source, which has the number of sources before it.
    package func addSource(_ name: String, venue: String, settings: RecordedSettings = RecordedSettings()) {
        series.append(Series(source: name, venue: venue, settings: settings))
    }

    package var isFailing: Bool { failingSinceNs != nil }

    /// What happened since this was last asked.
    package func takeEvents() -> [RecordingEvent] {
        defer { events.removeAll(keepingCapacity: true) }
        return events
    }

    // MARK: Records

    package func add(_ head: RecordHead, _ payload: UnsafeRawBufferPointer, atNs now: Int64) {
        let place = Int(head.source)
        note(head, payload)
        guard series[place].text.count < limits.heldBytesMost else {
            series[place].leftOut += 1
            return
        }
        if series[place].text.isEmpty { series[place].firstNs = now }
        if series[place].leftOut > 0 {
            let records = series[place].leftOut
            CaptureLine.append(.gap(records: records), atNs: head.receivedNs, to: &series[place].text)
            events.append(.leftOut(source: place, records: records))
            series[place].leftOut = 0
        }
        CaptureLine.append(head, payload, to: &series[place].text)
        series[place].records += 1
        if series[place].text.count >= limits.blockBytes { write(place, atNs: now) }
    }

    /// Keeps in mind which connections are open.
    private func note(_ head: RecordHead, _ payload: UnsafeRawBufferPointer) {
        let place = Int(head.source)
        switch CaptureRecord.Kind(rawValue: head.kind) {
        case .connect:
            series[place].connections[head.connection] = String(decoding: payload, as: UTF8.self)
        case .mark:
            switch RecordingMark(payload) {
            case .lost?, .ended?: series[place].connections[head.connection] = nil
            default: break
            }
        case .sent, .received, .answer, .packed, nil: break
        }
    }

    /// Writes what is due, finishes files that are old enough; to be called some times a second.
    package func tick(atNs now: Int64) {
        for place in series.indices {
            if !series[place].text.isEmpty, now - series[place].firstNs >= limits.blockNs { write(place, atNs: now) }
            guard let file = series[place].file else { continue }
            if file.bytes > 0, now - file.begunNs >= limits.fileNsMost {
                finish(place)
            } else if limits.syncNs > 0, file.isUnsynced, now - file.syncedNs >= limits.syncNs {
                sync(place, atNs: now)
            }
        }
    }

    /// Writes everything and finishes all files.
    package func finishAll(atNs now: Int64) {
        // A last try, whenever the disk was tried before.
        retryAtNs = now
        for place in series.indices {
            if series[place].leftOut > 0 {
                let records = series[place].leftOut
                CaptureLine.append(.gap(records: records), atNs: now, to: &series[place].text)
                events.append(.leftOut(source: place, records: records))
                series[place].leftOut = 0
            }
            if !series[place].text.isEmpty { write(place, atNs: now) }
            if series[place].file != nil { finish(place) }
        }
    }

    // MARK: Blocks

    private func write(_ place: Int, atNs now: Int64) {
        if failingSinceNs != nil, now < retryAtNs { return }
        do throws(DiskFailure) {
            try writeBlock(place, atNs: now)
            if let since = failingSinceNs {
                failingSinceNs = nil
                events.append(.recovered(afterNs: now - since))
            }
        } catch {
            retryAtNs = now + limits.retryNs
            guard failingSinceNs == nil else { return }
            failingSinceNs = now
            events.append(.failed(error))
        }
    }

    private func writeBlock(_ place: Int, atNs now: Int64) throws(DiskFailure) {
        if let file = series[place].file, file.bytes > 0, now - file.begunNs >= limits.fileNsMost { finish(place) }
        var block = packed(place, atNs: now)
        guard block.count <= limits.diskBytesMost else {
            // It never fits; the rest may.
            series[place].leftOut += series[place].records
            series[place].text.removeAll(keepingCapacity: true)
            series[place].records = 0
            return
        }
        // Nothing but the file itself may be in the way: then it is finished, and the block begins the next.
        while try !makeRoom(block.count, for: place) { block = packed(place, atNs: now) }
        if series[place].file == nil { try begin(place, atNs: now) }
        guard let file = series[place].file else { return }
        try disk.append(block, to: file.number, at: file.bytes)
        series[place].file?.bytes += block.count
        series[place].file?.isUnsynced = true
        diskBytes += block.count
        events.append(.wrote(source: place, records: series[place].records, bytes: block.count))
        series[place].text.removeAll(keepingCapacity: true)
        series[place].records = 0
        if file.bytes + block.count >= limits.fileBytesMost { finish(place) }
    }

    /// The block of a source's lines, with what a file begins with if it is the first of one.
    private func packed(_ place: Int, atNs now: Int64) -> [UInt8] {
        var block: [UInt8] = []
        guard series[place].file.map({ $0.bytes == 0 }) ?? true else {
            series[place].text.withUnsafeBytes { packer.pack($0, into: &block) }
            return block
        }
        let number = series[place].file == nil ? series[place].fileCount + 1 : series[place].fileCount
        var text: [UInt8] = []
        let mark = RecordingMark.file(
            source: series[place].source,
            venue: series[place].venue,
            run: run,
            number: number
        )
        let firstNs = firstNs(in: series[place].text) ?? now
        CaptureLine.append(mark, atNs: firstNs, to: &text)
        if !series[place].settings.isEmpty {
            CaptureLine.append(.settings(series[place].settings), atNs: firstNs, to: &text)
        }
        let isFirst = number == 1
        for (connection, url) in series[place].connections.sorted(by: { $0.key < $1.key }) where !isFirst {
            CaptureLine.append(.open(url: url), connection: connection, atNs: firstNs, to: &text)
        }
        text += series[place].text
        text.withUnsafeBytes { packer.pack($0, into: &block) }
        return block
    }

    /// The time of the first record, so that times in a file never run back because of its head.
    private func firstNs(in text: [UInt8]) -> Int64? {
        guard let end = text.firstIndex(of: UInt8(ascii: "\n")) else { return nil }
        return text.withUnsafeBytes { (try? CaptureRecord(UnsafeRawBufferPointer(rebasing: $0[..<end])))?.receivedNs }
    }

    // MARK: Files

    private func begin(_ place: Int, atNs now: Int64) throws(DiskFailure) {
        var name = RecordingName(source: series[place].source, utcNs: now)
        // A file of the same microsecond is somebody else's: a clock that was set back.
        for microsecond in 1...1000 {
            do throws(DiskFailure) {
                let number = try disk.create(name.file)
                series[place].fileCount += 1
                series[place].file = OpenFile(number: number, name: name.file, begunNs: now, syncedNs: now)
                events.append(.opened(file: name.file))
                return
            } catch {
                guard error.isTaken, microsecond < 1000 else { throw error }
                name = RecordingName(source: series[place].source, utcNs: now + Int64(microsecond) * 1000)
            }
        }
    }

    private func finish(_ place: Int) {
        guard let file = series[place].file else { return }
        series[place].file = nil
        guard file.bytes > 0 else {
            disk.close(file.number)
            do throws(DiskFailure) { try disk.remove(file.name) } catch { events.append(.failed(error)) }
            series[place].fileCount -= 1
            return
        }
        if file.isUnsynced {
            do throws(DiskFailure) { try disk.sync(file.number) } catch { events.append(.failed(error)) }
        }
        disk.close(file.number)
        guard let name = RecordingName(file.name) else { return }
        events.append(.finished(file: file.name, bytes: file.bytes))
        let index = finished.firstIndex { name < $0.name } ?? finished.count
        finished.insert((name, file.bytes), at: index)
    }

    private func sync(_ place: Int, atNs now: Int64) {
        guard let file = series[place].file else { return }
        series[place].file?.syncedNs = now
        do throws(DiskFailure) {
            try disk.sync(file.number)
            series[place].file?.isUnsynced = false
        } catch {
            events.append(.failed(error))
        }
    }

    /// Removes the oldest finished files until a block fits; false when the source's own file had to be finished for that.
    private func makeRoom(_ bytes: Int, for place: Int) throws(DiskFailure) -> Bool {
        var isOwnOpen = true
        while diskBytes + bytes > limits.diskBytesMost {
            if let oldest = finished.first {
                try disk.remove(oldest.name.file)
                finished.removeFirst()
                diskBytes -= oldest.bytes
                events.append(.removed(file: oldest.name.file, bytes: oldest.bytes))
                continue
            }
            // Only files in use are left: the largest is finished, and goes next.
            let open = series.indices.filter { (series[$0].file?.bytes ?? 0) > 0 }
            guard let largest = open.max(by: { (series[$0].file?.bytes ?? 0) < (series[$1].file?.bytes ?? 0) }) else {
                break
            }
            finish(largest)
            if largest == place { isOwnOpen = false }
        }
        return isOwnOpen
    }
}
