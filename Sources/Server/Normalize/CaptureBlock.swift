internal import CZlib

/// How a recorder packs lines: every block is a gzip member of its own (RFC 1952), with its length in the header.
///
/// So `zcat` reads a recording, each block has its checksum, and a reader finds the next block behind a damaged one. The
/// length stands in an extra field (RFC 1952, 2.3.1.1) with the identification `MH`: four bytes, least first, of the whole
/// member. A block holds whole lines.
package enum CaptureBlock {
    /// Packed, with head and trailer; a longer one is damaged.
    static let bytesMost = 48 << 20
    /// Unpacked; a longer one is damaged.
    static let textBytesMost = 40 << 20
    static let headBytes = 20
    static let trailerBytes = 8
    /// What every head begins with: deflate, an extra field and nothing else, no time, and the field's identification.
    static let signature: [UInt8] = [
        0x1F, 0x8B, 8, 4, 0, 0, 0, 0, 0, 0xFF, 8, 0, UInt8(ascii: "M"), UInt8(ascii: "H"), 4, 0,
    ]

    static func number(_ bytes: UnsafeRawBufferPointer, at place: Int) -> UInt32 {
        UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: place, as: UInt32.self))
    }

    static func append(_ number: UInt32, to bytes: inout [UInt8]) {
        withUnsafeBytes(of: number.littleEndian) { bytes.append(contentsOf: $0) }
    }
}

/// Packs text into blocks, one after the other, with the same memory.
package struct CaptureBlockPacker: ~Copyable {
    /// Fast: a recorder has to keep up with bursts, and level 6 saves a tenth more for three times the work.
    private static let level: Int32 = 2
    private let stream: UnsafeMutablePointer<z_stream>

    package init() {
        stream = .allocate(capacity: 1)
        stream.initialize(to: z_stream())
        let size = Int32(MemoryLayout<z_stream>.size)
        let status = deflateInit2_(
            stream,
            Self.level,
            Z_DEFLATED,
            -MAX_WBITS,
            8,
            Z_DEFAULT_STRATEGY,
            ZLIB_VERSION,
            size
        )
        // It can only lack memory, or be another library than was compiled against.
        guard status == Z_OK else { stop(because: "zlib does not start: \(status)") }
    }

    deinit {
        deflateEnd(stream)
        stream.deallocate()
    }

    /// The block of some lines.
    ///
    /// - Precondition: at most ``CaptureBlock/textBytesMost``.
    package mutating func pack(_ text: UnsafeRawBufferPointer, into block: inout [UInt8]) {
        precondition(text.count <= CaptureBlock.textBytesMost, "a block of \(text.count) bytes")
        deflateReset(stream)
        let packedMost = Int(deflateBound(stream, UInt(text.count)))
        let sizeMost = CaptureBlock.headBytes + packedMost + CaptureBlock.trailerBytes
        block = [UInt8](unsafeUninitializedCapacity: sizeMost) { room, count in
            stream.pointee.next_in = UnsafeMutablePointer(
                mutating: text.baseAddress?.assumingMemoryBound(to: UInt8.self)
            )
            stream.pointee.avail_in = UInt32(text.count)
            stream.pointee.next_out = room.baseAddress.map { $0 + CaptureBlock.headBytes }
            stream.pointee.avail_out = UInt32(packedMost)
            let status = deflate(stream, Z_FINISH)
            guard status == Z_STREAM_END else { stop(because: "zlib took more room than it said: \(status)") }
            let packed = packedMost - Int(stream.pointee.avail_out)
            let checksum = crc32(0, text.baseAddress?.assumingMemoryBound(to: UInt8.self), UInt32(text.count))
            var frame = CaptureBlock.signature
            let size = CaptureBlock.headBytes + packed + CaptureBlock.trailerBytes
            CaptureBlock.append(UInt32(size), to: &frame)
            CaptureBlock.append(UInt32(truncatingIfNeeded: checksum), to: &frame)
            CaptureBlock.append(UInt32(text.count), to: &frame)
            let memory = UnsafeMutableRawBufferPointer(room)
            memory.copyBytes(from: frame.prefix(CaptureBlock.headBytes))
            UnsafeMutableRawBufferPointer(rebasing: memory[(CaptureBlock.headBytes + packed)...])
                .copyBytes(from: frame.suffix(CaptureBlock.trailerBytes))
            count = size
        }
    }
}

/// A part of a recording that is no whole block.
package struct CaptureLoss: Hashable, Sendable {
    /// Where it begins in the file.
    package var offset: Int
    package var byteCount: Int
    package var reason: String
    /// Nothing whole follows: what a recorder leaves that was killed while it wrote.
    package var isTail: Bool
}

extension CaptureLoss: CustomStringConvertible {
    package var description: String {
        isTail
            ? "the last \(byteCount) bytes, from \(offset) on, are no whole block (\(reason)): "
                + "the recorder was cut off there"
            : "\(byteCount) bytes from \(offset) on are damaged (\(reason)): their records are lost"
    }
}
