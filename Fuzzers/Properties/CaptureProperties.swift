import Glibc
import Server

extension FuzzProperty {
    /// A line of a capture that was read is written as a line that is read as the same.
    static let captureRecord = FuzzProperty(name: "capture-record") { text in
        for line in text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
            guard let record = try? CaptureRecord(UnsafeRawBufferPointer(rebasing: line)) else { continue }
            precondition(record.receivedNs >= 0, "a time before 1970")
            let head = "\(record.receivedNs)\t\(record.connection)\t"
            let again = head.utf8 + [record.kind.rawValue, UInt8(ascii: "\t")] + record.payload
            again.withUnsafeBytes { again in
                guard let read = try? CaptureRecord(again) else { preconditionFailure("what we write, we read") }
                precondition(read.receivedNs == record.receivedNs && read.connection == record.connection)
                precondition(read.kind == record.kind && read.payload.elementsEqual(record.payload))
            }
            checkPacking(record)
            guard record.kind == .answer, let answer = try? record.answer() else { continue }
            precondition(record.payload.suffix(answer.body.count).elementsEqual(answer.body), "another body")
        }
    }

    /// What a packed record holds is written as a record that holds the same.
    private static func checkPacking(_ record: CaptureRecord) {
        let (room, otherRoom) = (UnpackingRoom(), UnpackingRoom())
        guard let inner = try? record.unpacked(in: room) else {
            precondition(record.kind == .packed, "only what is packed can be badly packed")
            return
        }
        precondition(inner.kind != .packed, "packed twice")
        let head = RecordHead(
            inner.kind,
            connection: inner.connection,
            isBinary: inner.isBinary,
            atNs: inner.receivedNs
        )
        var line: [UInt8] = []
        CaptureLine.append(head, inner.payload, to: &line)
        precondition(line.last == UInt8(ascii: "\n") && !line.dropLast().contains(UInt8(ascii: "\n")), "not one line")
        line.dropLast().withUnsafeBytes { line in
            guard let read = try? CaptureRecord(line).unpacked(in: otherRoom) else {
                preconditionFailure("what we write, we read")
            }
            precondition(read.kind == inner.kind && read.isBinary == inner.isBinary, "another kind")
            precondition(read.payload.elementsEqual(inner.payload), "another payload")
        }
    }

    /// Of blocks that were cut short, or in which a byte was changed, every whole one is read and all else is told of.
    ///
    /// The first four bytes say how long the blocks are, where the file is cut or which byte is changed.
    static let captureBlocks = FuzzProperty(name: "capture-blocks") { bytes in
        guard bytes.count > 4 else { return }
        let size = 1 + Int(bytes[0]) * 4
        let texts = stride(from: 4, to: bytes.count, by: size).map { start in
            let part = UnsafeRawBufferPointer(rebasing: bytes[start..<min(bytes.count, start + size)])
            return part.filter { $0 != UInt8(ascii: "\n") } + [UInt8(ascii: "\n")]
        }
        var packer = CaptureBlockPacker()
        let blocks = texts.map { text in
            var block: [UInt8] = []
            text.withUnsafeBytes { packer.pack($0, into: &block) }
            return block
        }
        var file = blocks.flatMap(\.self)
        let place = (Int(bytes[2]) << 8 | Int(bytes[3])) % file.count
        let isCut = bytes[1] == 0
        if isCut { file.removeSubrange(place...) } else { file[place] ^= bytes[1] }
        var (expected, start, isHurt) = ([[UInt8]](), 0, false)
        for (text, block) in zip(texts, blocks) {
            let isWhole = isCut ? start + block.count <= place : !(start..<(start + block.count)).contains(place)
            if isWhole { expected.append([UInt8](text.dropLast())) } else { isHurt = isHurt || !isCut || start < place }
            start += block.count
        }
        // A file that does not begin with a block is another kind of file.
        guard file.count >= 16, isCut || place >= 16 else { return }
        var (lines, losses) = ([[UInt8]](), 0)
        withFile(file) { path in
            do throws(CaptureReader.Failure) {
                losses = try readLines(path: path) { lines.append($0) }
            } catch {
                preconditionFailure("a file of blocks is read to its end: \(error)")
            }
        }
        // Some bits of a block mean nothing: those that fill the last byte of the packed data.
        if !isCut, losses == 0 {
            precondition(lines == texts.map { [UInt8]($0.dropLast()) }, "damage was not told")
            return
        }
        precondition(lines == expected, "\(lines.count) lines instead of \(expected.count)")
        precondition((losses > 0) == isHurt, "\(losses) losses told")
    }

    private static func withFile(_ bytes: [UInt8], _ body: (String) -> Void) {
        guard let stream = tmpfile() else { preconditionFailure("no place for a file") }
        defer { fclose(stream) }
        precondition(write(fileno(stream), bytes, bytes.count) == bytes.count, "no space for a file")
        body("/proc/self/fd/\(fileno(stream))")
    }

    /// A plain file's lines are those between its line feeds, and a packed one that is damaged gives no line after the damage.
    static let captureReader = FuzzProperty(name: "capture-reader") { bytes in
        guard let stream = tmpfile() else { preconditionFailure("no place for a file") }
        defer { fclose(stream) }
        let file = fileno(stream)
        precondition(bytes.isEmpty || write(file, bytes.baseAddress, bytes.count) == bytes.count, "no space for a file")
        let isPacked = bytes.starts(with: [0x1F, 0x8B])
        do throws(CaptureReader.Failure) {
            var lines: [[UInt8]] = []
            let losses = try readLines(path: "/proc/self/fd/\(file)") { lines.append($0) }
            precondition(losses == 0 || isPacked, "a plain file has no blocks")
            guard !isPacked else {
                checkCut(bytes, file, lines)
                return
            }
            var expected = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
            // A file ends with a line feed, or with a line that lacks its own.
            if expected.last?.isEmpty == true { expected.removeLast() }
            precondition(lines.count == expected.count, "\(lines.count) lines instead of \(expected.count)")
            precondition(zip(lines, expected).allSatisfy { $0.elementsEqual($1) }, "another line")
        } catch {
            precondition(isPacked, "a plain file is damaged: \(error)")
        }
    }

    /// A packed file that was cut short gives lines of the whole one, from the first on.
    private static func checkCut(_ bytes: UnsafeRawBufferPointer, _ file: CInt, _ whole: [[UInt8]]) {
        // Where bytes behind the packed data follow, nothing is lost with them.
        guard ftruncate(file, bytes.count / 2) == 0 else { preconditionFailure("no way to cut a file") }
        var read: [[UInt8]] = []
        let isOfBlocks = bytes.starts(with: [0x1F, 0x8B, 8, 4, 0, 0, 0, 0, 0, 0xFF, 8, 0, 0x4D, 0x48, 4, 0])
        _ = try? readLines(path: "/proc/self/fd/\(file)") { read.append($0) }
        // Within a block that is cut short another one may begin, whose lines the whole file does not have.
        guard !isOfBlocks else { return }
        precondition(read.count <= whole.count, "more lines in a part than in the whole")
        // The last one may be cut where its packed data end with a whole block.
        precondition(zip(read.dropLast(), whole).allSatisfy { $0 == $1 }, "another line")
    }

    /// The number of damaged parts.
    private static func readLines(path: String, _ take: ([UInt8]) -> Void) throws(CaptureReader.Failure) -> Int {
        var reader = try CaptureReader(path: path)
        var count = 0
        do throws(CaptureReader.Failure) {
            while let line = try reader.next() {
                if case .lost(let loss) = line {
                    precondition(loss.byteCount > 0, "nothing was lost")
                    continue
                }
                count += 1
                precondition(reader.lineNumber == count, "lines are miscounted")
                guard case .text(let text) = line else { preconditionFailure("a line is too long for its file") }
                take([UInt8](text))
            }
            return reader.lossCount
        } catch {
            for _ in 0..<2 {
                guard let line = try? reader.next() else { continue }
                preconditionFailure("a line behind the damage: \(line)")
            }
            throw error
        }
    }
}
