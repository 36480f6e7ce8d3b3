internal import CZlib
internal import Glibc

/// A recording that consists of blocks, read block by block; what is damaged is told and passed over.
struct CaptureBlockFile: ~Copyable {
    enum Part {
        /// So many bytes of lines lie in the room that was given.
        case text(byteCount: Int)
        case lost(CaptureLoss)
    }

    private let file: Int32
    private let stream: UnsafeMutablePointer<z_stream>
    private var offset = 0
    private var packed: [UInt8] = []

    /// Nil for what is no file of blocks, to be read otherwise: a pipe, a plain file, another program's gzip.
    init?(path: String) {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        var about = stat()
        guard fstat(file, &about) == 0, about.st_mode & S_IFMT == S_IFREG,
            Self.read(file, CaptureBlock.signature.count, at: 0) == CaptureBlock.signature
        else {
            close(file)
            return nil
        }
        self.file = file
        stream = .allocate(capacity: 1)
        stream.initialize(to: z_stream())
        let status = inflateInit2_(stream, -MAX_WBITS, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
        guard status == Z_OK else { stop(because: "zlib does not start: \(status)") }
    }

    deinit {
        inflateEnd(stream)
        stream.deallocate()
        close(file)
    }

    /// The next whole block, or what is not one; nil at the end.
    ///
    /// `room` is asked for memory once the block's length is known.
    mutating func next(_ room: (Int) -> UnsafeMutableRawBufferPointer) -> Part? {
        let start = offset
        let head = Self.read(file, CaptureBlock.headBytes, at: start)
        guard !head.isEmpty else { return nil }
        let reason: String
        if head.count < CaptureBlock.headBytes {
            reason = "it ends in a block's head"
        } else if !head.starts(with: CaptureBlock.signature) {
            reason = "no block begins there"
        } else {
            let size = Int(head.withUnsafeBytes { CaptureBlock.number($0, at: CaptureBlock.signature.count) })
            switch take(start, size, room) {
            case .success(let count):
                offset = start + size
                return .text(byteCount: count)
            case .failure(let flaw): reason = flaw.reason
            }
        }
        let next = findBlock(from: start + 1)
        offset = next ?? size()
        return .lost(CaptureLoss(offset: start, byteCount: offset - start, reason: reason, isTail: next == nil))
    }

    private struct Flaw: Error {
        var reason: String
    }

    private mutating func take(
        _ start: Int,
        _ size: Int,
        _ room: (Int) -> UnsafeMutableRawBufferPointer
    ) -> Result<Int, Flaw> {
        let frame = CaptureBlock.headBytes + CaptureBlock.trailerBytes
        guard (frame...CaptureBlock.bytesMost).contains(size) else {
            return .failure(Flaw(reason: "a block says that it has \(size) bytes"))
        }
        packed = Self.read(file, size, at: start)
        guard packed.count == size else {
            return .failure(Flaw(reason: "a block of \(size) bytes ends after \(packed.count)"))
        }
        return packed.withUnsafeBytes { block in
            let checksum = CaptureBlock.number(block, at: size - 8)
            let length = Int(CaptureBlock.number(block, at: size - 4))
            guard length <= CaptureBlock.textBytesMost else {
                return .failure(Flaw(reason: "a block says that it holds \(length) bytes"))
            }
            let text = room(length)
            inflateReset(stream)
            let data = UnsafeRawBufferPointer(rebasing: block[CaptureBlock.headBytes..<(size - 8)])
            stream.pointee.next_in = UnsafeMutablePointer(
                mutating: data.baseAddress?.assumingMemoryBound(to: UInt8.self)
            )
            stream.pointee.avail_in = UInt32(data.count)
            stream.pointee.next_out = text.baseAddress?.assumingMemoryBound(to: UInt8.self)
            stream.pointee.avail_out = UInt32(length)
            let status = inflate(stream, Z_FINISH)
            guard status == Z_STREAM_END, stream.pointee.avail_in == 0, stream.pointee.avail_out == 0 else {
                return .failure(Flaw(reason: "a block cannot be unpacked"))
            }
            let found = crc32(0, text.baseAddress?.assumingMemoryBound(to: UInt8.self), UInt32(length))
            guard UInt32(truncatingIfNeeded: found) == checksum else {
                return .failure(Flaw(reason: "a block's checksum is wrong"))
            }
            return .success(length)
        }
    }

    /// The place of the next signature, whether its block is whole or not.
    private func findBlock(from start: Int) -> Int? {
        var place = start
        let pattern = CaptureBlock.signature
        while true {
            let chunk = Self.read(file, 1 << 20, at: place)
            guard chunk.count >= pattern.count else { return nil }
            var at = 0
            while at + pattern.count <= chunk.count {
                guard let first = chunk[at...(chunk.count - pattern.count)].firstIndex(of: pattern[0]) else { break }
                if chunk[first...].starts(with: pattern) { return place + first }
                at = first + 1
            }
            place += chunk.count - pattern.count + 1
        }
    }

    private func size() -> Int {
        var about = stat()
        return fstat(file, &about) == 0 ? Int(about.st_size) : offset
    }

    /// So many bytes of the file, or as many as there are.
    private static func read(_ file: Int32, _ count: Int, at place: Int) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: count) { room, filled in
            filled = 0
            while filled < count {
                let got = pread(file, room.baseAddress.map { $0 + filled }, count - filled, place + filled)
                guard got > 0 || (got < 0 && errno == EINTR) else { return }
                filled += max(0, got)
            }
        }
    }
}
