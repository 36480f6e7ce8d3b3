internal import CMarketHubProto

/// The memory that protobuf-c may take to read one frame: one block, used from its start on and given back as a whole.
///
/// So a small hostile frame cannot make the hub allocate much, and nothing that protobuf-c took can be left behind. When the block is
/// used up, unpacking fails.
struct ProtobufArena {
    private var next: UnsafeMutableRawPointer
    private let end: UnsafeMutableRawPointer
    private static let alignment = 16

    /// Calls `body` with an allocator that is good for `capacity` bytes; what it allocated is valid until `body` returns.
    static func with<Result>(
        capacity: Int,
        _ body: (UnsafeMutablePointer<ProtobufCAllocator>) -> Result
    ) -> Result {
        let block = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: alignment)
        defer { block.deallocate() }
        var arena = ProtobufArena(next: block, end: block + capacity)
        return withUnsafeMutablePointer(to: &arena) { arena in
            var allocator = ProtobufCAllocator(
                alloc: { arena, size in
                    arena?.assumingMemoryBound(to: ProtobufArena.self).pointee.take(size)
                },
                free: { _, _ in },
                allocator_data: arena
            )
            return body(&allocator)
        }
    }

    private mutating func take(_ size: Int) -> UnsafeMutableRawPointer? {
        guard size >= 0, size <= end - next else { return nil }
        let taken = next
        let rounded = (size + Self.alignment - 1) & ~(Self.alignment - 1)
        next = rounded <= end - next ? next + rounded : end
        return taken
    }
}
