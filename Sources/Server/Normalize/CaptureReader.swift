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

    private let path: String
    private let file: gzFile
    private var buffer: UnsafeMutableRawBufferPointer
    /// What was read and not yet handed out.
    private var ready = 0..<0
    private var isAtEnd = false
    private var hasRead = false
    /// Why nothing can be read any more; told once the lines before the damage were handed out.
    private var damage: Failure?

    package init(path: String) throws(Failure) {
        guard let file = gzopen(path, "rb") else { throw .cannotOpen(path: path) }
        gzbuffer(file, 256 << 10)
        self.file = file
        self.path = path
        buffer = .allocate(byteCount: 1 << 20, alignment: 1)
    }

    deinit {
        gzclose_r(file)
        buffer.deallocate()
    }

    /// The next line without its end, valid until the next call; nil at the end of the file.
    ///
    /// It throws behind the last whole line before the damage; the file then gives no more lines.
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
            try fill()
            searched -= before - ready.lowerBound
        }
    }

    package enum Line {
        case text(UnsafeRawBufferPointer)
        case tooLong
    }

    private static func lineLength(in bytes: UnsafeRawBufferPointer) -> Int? {
        guard let start = bytes.baseAddress, let end = memchr(start, 10, bytes.count) else { return nil }
        return UnsafeRawPointer(end) - start
    }

    /// Reads another chunk behind what is ready, moving that to the front and making room where needed.
    private mutating func fill() throws(Failure) {
        if let damage { throw damage }
        if ready.lowerBound > 0 {
            buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: buffer[ready]))
            ready = 0..<ready.count
        }
        if ready.count == buffer.count {
            let larger = UnsafeMutableRawBufferPointer.allocate(byteCount: buffer.count * 2, alignment: 1)
            larger.copyMemory(from: UnsafeRawBufferPointer(buffer))
            buffer.deallocate()
            buffer = larger
        }
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
            return
        }
        hasRead = true
        ready = 0..<(ready.count + Int(count))
    }
}
