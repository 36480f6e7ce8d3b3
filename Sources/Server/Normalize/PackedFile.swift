internal import CZlib
internal import Glibc

/// Reads the bytes of a file, packed with gzip or plain, part by part.
struct PackedFile: ~Copyable {
    static let partBytes = 256 << 10

    private let path: String
    private let file: gzFile
    private var buffer: UnsafeMutableRawBufferPointer

    init(path: String) throws(CaptureReader.Failure) {
        guard let file = gzopen(path, "rb") else { throw .cannotOpen(path: path) }
        gzbuffer(file, 256 << 10)
        self.file = file
        self.path = path
        buffer = .allocate(byteCount: Self.partBytes, alignment: 8)
    }

    deinit {
        gzclose_r(file)
        buffer.deallocate()
    }

    /// The next bytes, valid until the next call; nil at the end of the file.
    mutating func next() throws(CaptureReader.Failure) -> UnsafeRawBufferPointer? {
        let count = gzread(file, buffer.baseAddress, UInt32(buffer.count))
        guard count <= 0 else { return UnsafeRawBufferPointer(rebasing: buffer[..<Int(count)]) }
        var code: Int32 = 0
        let reason = gzerror(file, &code).map { String(cString: $0) } ?? ""
        if count < 0 || (code != Z_OK && code != Z_STREAM_END) {
            // A directory can be opened but not read.
            if code == Z_ERRNO { throw .cannotOpen(path: path) }
            throw .damaged(path: path, reason: reason)
        }
        return nil
    }
}
