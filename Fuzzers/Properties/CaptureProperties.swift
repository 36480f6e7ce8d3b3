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
            guard record.kind == .answer, let answer = try? record.answer() else { continue }
            precondition(record.payload.suffix(answer.body.count).elementsEqual(answer.body), "another body")
        }
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
            try readLines(path: "/proc/self/fd/\(file)") { lines.append($0) }
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
        try? readLines(path: "/proc/self/fd/\(file)") { read.append($0) }
        precondition(read.count <= whole.count, "more lines in a part than in the whole")
        // The last one may be cut where its packed data end with a whole block.
        precondition(zip(read.dropLast(), whole).allSatisfy { $0 == $1 }, "another line")
    }

    private static func readLines(path: String, _ take: ([UInt8]) -> Void) throws(CaptureReader.Failure) {
        var reader = try CaptureReader(path: path)
        var count = 0
        do throws(CaptureReader.Failure) {
            while let line = try reader.next() {
                count += 1
                precondition(reader.lineNumber == count, "lines are miscounted")
                guard case .text(let text) = line else { preconditionFailure("a line is too long for its file") }
                take([UInt8](text))
            }
        } catch {
            for _ in 0..<2 {
                guard let line = try? reader.next() else { continue }
                preconditionFailure("a line behind the damage: \(line)")
            }
            throw error
        }
    }
}
