internal import CZlib
internal import Glibc

/// Reads the lines of a capture, packed with gzip or plain, without ever holding more than one line and a chunk.
package struct CaptureReader: ~Copyable {
    /// Why a file cannot be read on.
    package enum Failure: Error, Hashable, Sendable {
        case cannotOpen(path: String)
        /// The packed data is damaged or ends too early.
        case damaged(path: String, reason: String)
    }

    /// A longer line is bad and skipped.
    package static let lineBytesMost = 16 << 20

    /// The number of the line read last, from 1.
    package private(set) var lineNumber = 0

    /// Parts of the file that were no whole block, so far.
    package private(set) var lossCount = 0

    private let path: String
    /// Nil when the file consists of blocks.
    private let file: gzFile?
    private var blocks: CaptureBlockFile?
    private var buffer: UnsafeMutableRawBufferPointer
    /// What was read and not yet handed out.
    private var ready = 0..<0
    private var isAtEnd = false
    private var hasRead = false
    /// Why nothing can be read any more; told once the lines before the damage were handed out.
    private var damage: Failure?

    package init(path: String) throws(Failure) {
        blocks = CaptureBlockFile(path: path)
        if blocks == nil {
            guard let file = gzopen(path, "rb") else { throw .cannotOpen(path: path) }
            gzbuffer(file, 256 << 10)
            self.file = file
        } else {
            file = nil
        }
        self.path = path
        buffer = .allocate(byteCount: 1 << 20, alignment: 1)
    }

    deinit {
        if let file { gzclose_r(file) }
        buffer.deallocate()
    }

    /// The next line without its end, valid until the next call; nil at the end of the file.
    ///
    /// A file of blocks is read to its end, whatever is damaged in it. Of any other it throws behind the last whole line before
    /// the damage; the file then gives no more lines.
    package mutating func next() throws(Failure) -> Line? {
        var searched = ready.lowerBound
        var isTooLong = false
        while true {
            let unsearched = UnsafeRawBufferPointer(rebasing: buffer[searched..<ready.upperBound])
            if let length = Self.lineLength(in: unsearched) {
                let line = UnsafeRawBufferPointer(rebasing: buffer[ready.lowerBound..<(searched + length)])
                ready = (searched + length + 1)..<ready.upperBound
                lineNumber += 1
                return isTooLong ? .tooLong : .text(line)
            }
            searched = ready.upperBound
            if isAtEnd {
                guard !ready.isEmpty || isTooLong else { return nil }
                let line = UnsafeRawBufferPointer(rebasing: buffer[ready])
                ready = ready.upperBound..<ready.upperBound
                lineNumber += 1
                return isTooLong ? .tooLong : .text(line)
            }
            if ready.count > Self.lineBytesMost {
                isTooLong = true
                ready = ready.upperBound..<ready.upperBound
            }
            let before = ready.lowerBound
            if let loss = try fill() {
                lossCount += 1
                // A line that began before the damage has no end.
                ready = 0..<0
                return .lost(loss)
            }
            searched -= before - ready.lowerBound
        }
    }

    package enum Line {
        case text(UnsafeRawBufferPointer)
        case tooLong
        /// A part of the file that cannot be read; it has no number.
        case lost(CaptureLoss)
    }

    private static func lineLength(in bytes: UnsafeRawBufferPointer) -> Int? {
        guard let start = bytes.baseAddress, let end = memchr(start, 10, bytes.count) else { return nil }
        return UnsafeRawPointer(end) - start
    }

    /// Reads another chunk or block behind what is ready, moving that to the front and making room where needed.
    private mutating func fill() throws(Failure) -> CaptureLoss? {
        if let damage { throw damage }
        if ready.lowerBound > 0 {
            buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: buffer[ready]))
            ready = 0..<ready.count
        }
        guard let file else { return fillFromBlock() }
        makeRoom(for: 1)
        let room = min(buffer.count - ready.count, 1 << 20)
        let count = gzread(file, buffer.baseAddress.map { $0 + ready.count }, UInt32(room))
        var code: Int32 = 0
        let reason = gzerror(file, &code).map { String(cString: $0) } ?? ""
        if count < 0 || (code != Z_OK && code != Z_STREAM_END) {
            // A directory can be opened but not read.
            let isUnreadable = code == Z_ERRNO && !hasRead
            damage = isUnreadable ? .cannotOpen(path: path) : .damaged(path: path, reason: reason)
        }
        // A recording that was cut short is worth all that came before the cut.
        guard count > 0 else {
            if let damage { throw damage }
            isAtEnd = true
            return nil
        }
        hasRead = true
        ready = 0..<(ready.count + Int(count))
        return nil
    }

    private mutating func fillFromBlock() -> CaptureLoss? {
        var larger: UnsafeMutableRawBufferPointer?
        let (kept, buffer) = (ready.count, buffer)
        let part = blocks?.next { needed in
            guard kept + needed > buffer.count else { return UnsafeMutableRawBufferPointer(rebasing: buffer[kept...]) }
            larger?.deallocate()
            let room = UnsafeMutableRawBufferPointer.allocate(
                byteCount: max(kept + needed, buffer.count * 2),
                alignment: 1
            )
            room.copyMemory(from: UnsafeRawBufferPointer(rebasing: buffer[..<kept]))
            larger = room
            return UnsafeMutableRawBufferPointer(rebasing: room[kept...])
        }
        if let larger {
            self.buffer.deallocate()
            self.buffer = larger
        }
        switch part {
        case nil: isAtEnd = true
        case .lost(let loss): return loss
        case .text(let count): ready = 0..<(kept + count)
        }
        return nil
    }

    private mutating func makeRoom(for count: Int) {
        guard ready.count + count > buffer.count else { return }
        let larger = UnsafeMutableRawBufferPointer.allocate(byteCount: buffer.count * 2, alignment: 1)
        larger.copyMemory(from: UnsafeRawBufferPointer(buffer))
        buffer.deallocate()
        buffer = larger
    }
}

extension CaptureReader {
    /// Whether a file begins as a capture does: with a block, or with a time in digits and a tab.
    ///
    /// False for one that cannot be read, and for a pipe, whose beginning could not be read again.
    static func isCapture(path: String) -> Bool {
        var status = stat()
        guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return false }
        if CaptureBlockFile(path: path) != nil { return true }
        guard var file = try? PackedFile(path: path), let bytes = try? file.next() else { return false }
        let digits = bytes.prefix(20).prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
        return !digits.isEmpty && digits.count < bytes.count && bytes[digits.count] == UInt8(ascii: "\t")
    }
}
