internal import CZlib
internal import Glibc

/// Reads a file of binary messages in chunks, packed with gzip or plain.
package struct BinaryFileReader: ~Copyable {
    /// The most that ``next()`` gives at once.
    static let chunkBytes = 1 << 20

    private let path: String
    private let file: gzFile
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: chunkBytes, alignment: 16)
    private var hasRead = false

    package init(path: String) throws(CaptureReader.Failure) {
        guard let file = gzopen(path, "rb") else { throw .cannotOpen(path: path) }
        gzbuffer(file, 256 << 10)
        self.file = file
        self.path = path
    }

    deinit {
        gzclose_r(file)
        buffer.deallocate()
    }

    /// The next bytes, valid until the next call; nil at the end of the file.
    package mutating func next() throws(CaptureReader.Failure) -> UnsafeRawBufferPointer? {
        let count = gzread(file, buffer.baseAddress, UInt32(buffer.count))
        var code: Int32 = 0
        let reason = gzerror(file, &code).map { String(cString: $0) } ?? ""
        guard count >= 0, code == Z_OK || code == Z_STREAM_END else {
            // A directory can be opened but not read.
            throw code == Z_ERRNO && !hasRead ? .cannotOpen(path: path) : .damaged(path: path, reason: reason)
        }
        guard count > 0 else { return nil }
        hasRead = true
        return UnsafeRawBufferPointer(rebasing: buffer[..<Int(count)])
    }
}
