import Glibc

/// Why the disk did not do what a recorder asked of it.
package struct DiskFailure: Error, Hashable, Sendable {
    /// `write`, `create` and so on.
    package var operation: String
    /// `errno`.
    package var code: Int32

    package var isFull: Bool { code == ENOSPC || code == EDQUOT }

    /// The name is another file's already.
    package var isTaken: Bool { code == EEXIST }

    package var reason: String { "\(operation): \(String(cString: strerror(code)))" }
}

/// The one directory that a recorder writes to.
package protocol RecordingDisk: AnyObject {
    /// Every recording there is, with its size.
    func recordings() throws(DiskFailure) -> [(name: String, bytes: Int)]
    /// Makes a file that does not exist; the number stands for it from then on.
    func create(_ name: String) throws(DiskFailure) -> Int32
    /// Writes a whole block behind the `size` bytes that the file has; on failure the file has those bytes still.
    func append(_ block: [UInt8], to file: Int32, at size: Int) throws(DiskFailure)
    /// Returns when what was written would outlive a loss of power.
    func sync(_ file: Int32) throws(DiskFailure)
    func close(_ file: Int32)
    func remove(_ name: String) throws(DiskFailure)
}

/// A directory of the file system, which one recorder at a time may use.
package final class RecordingDirectory: RecordingDisk {
    /// Why it cannot be used, and what to do.
    package struct Refusal: Error {
        package var message: String
    }

    private let descriptor: Int32

    /// What holds the lock, for a successor: whoever has the descriptor shares it.
    package var lock: Int32 { descriptor }

    /// Makes the directory if need be (its parent must exist), and locks it until this goes.
    ///
    /// A lock of the hub before this one belongs to this from now on.
    /// - Throws: why it cannot be used.
    package init(path: String, sharing lock: Int32? = nil) throws(Refusal) {
        // The lock goes with the descriptor's open file, which both have.
        if let lock {
            descriptor = lock
            return
        }
        if mkdir(path, 0o750) != 0, errno != EEXIST { throw Self.refusal(path, "cannot be made") }
        descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Self.refusal(path, "cannot be opened") }
        guard faccessat(descriptor, ".", W_OK | X_OK, 0) == 0 else {
            let refusal = Self.refusal(path, "cannot be written to")
            Glibc.close(descriptor)
            throw refusal
        }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            let refusal =
                errno == EWOULDBLOCK
                ? Refusal(message: "another hub records into \(path); give each its own record.directory")
                : Self.refusal(path, "cannot be locked")
            Glibc.close(descriptor)
            throw refusal
        }
    }

    deinit { Glibc.close(descriptor) }

    /// Whether a descriptor is that of a directory.
    static func isDirectory(_ descriptor: Int32, _ path: String) -> Bool {
        var (one, other) = (stat(), stat())
        return fstat(descriptor, &one) == 0 && stat(path, &other) == 0 && one.st_dev == other.st_dev
            && one.st_ino == other.st_ino
    }

    private static func refusal(_ path: String, _ what: String) -> Refusal {
        Refusal(message: "record.directory \(path) \(what): \(String(cString: strerror(errno)))")
    }

    package func recordings() throws(DiskFailure) -> [(name: String, bytes: Int)] {
        // The stream takes the descriptor that it is given.
        guard let stream = fdopendir(openat(descriptor, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) else {
            throw DiskFailure(operation: "list", code: errno)
        }
        defer { closedir(stream) }
        var found: [(name: String, bytes: Int)] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: entry.pointee.d_name) { place in
                place.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            var about = stat()
            guard RecordingName(name) != nil, fstatat(descriptor, name, &about, AT_SYMLINK_NOFOLLOW) == 0,
                about.st_mode & S_IFMT == S_IFREG
            else { continue }
            found.append((name, Int(about.st_size)))
        }
        return found
    }

    package func create(_ name: String) throws(DiskFailure) -> Int32 {
        let file = openat(descriptor, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o640)
        guard file >= 0 else { throw DiskFailure(operation: "create", code: errno) }
        return file
    }

    package func append(_ block: [UInt8], to file: Int32, at size: Int) throws(DiskFailure) {
        var written = 0
        while written < block.count {
            let count = block.withUnsafeBytes { bytes in
                pwrite(file, bytes.baseAddress.map { $0 + written }, bytes.count - written, size + written)
            }
            if count > 0 {
                written += count
            } else if count == 0 || errno != EINTR {
                let code = count == 0 ? ENOSPC : errno
                // A reader would find the next block behind a part of one, too.
                _ = ftruncate(file, size)
                throw DiskFailure(operation: "write", code: code)
            }
        }
    }

    package func sync(_ file: Int32) throws(DiskFailure) {
        // The directory too: a file without its name would be lost as well.
        guard fdatasync(file) == 0, fsync(descriptor) == 0 else { throw DiskFailure(operation: "sync", code: errno) }
    }

    package func close(_ file: Int32) { Glibc.close(file) }

    package func remove(_ name: String) throws(DiskFailure) {
        guard unlinkat(descriptor, name, 0) == 0 || errno == ENOENT else {
            throw DiskFailure(operation: "remove", code: errno)
        }
    }
}
