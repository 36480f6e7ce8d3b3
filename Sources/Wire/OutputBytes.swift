/// The bytes that go out, in one growing piece of memory that its one owner uses again and again.
///
/// Room is asked for once (``reserve(_:)``), then bytes are put without any check. Memory is never given back before the end, so
/// the largest pass decides the size; who fills it bounds what is put in.
public struct OutputBytes: ~Copyable {
    @usableFromInline var base: UnsafeMutablePointer<UInt8>
    @usableFromInline var capacity: Int
    public private(set) var count: Int = 0

    /// - Precondition: `capacity` is above zero.
    public init(capacity: Int = 4096) {
        precondition(capacity > 0, "a buffer cannot grow from nothing")
        self.capacity = capacity
        base = .allocate(capacity: capacity)
    }

    deinit { base.deallocate() }

    public var isEmpty: Bool { count == 0 }

    /// Forgets the bytes and keeps the memory.
    public mutating func removeAll() { count = 0 }

    /// Forgets all bytes behind the first `length`.
    ///
    /// - Precondition: there are as many.
    public mutating func truncate(to length: Int) {
        precondition(length >= 0 && length <= count, "only bytes that are there can be forgotten")
        count = length
    }

    /// Makes sure that `more` bytes can be put without a check.
    @inline(__always)
    public mutating func reserve(_ more: Int) {
        if capacity - count < more { grow(by: more) }
    }

    @inline(never)
    private mutating func grow(by more: Int) {
        let wanted = max(capacity * 2, count + more)
        let larger = UnsafeMutablePointer<UInt8>.allocate(capacity: wanted)
        larger.update(from: base, count: count)
        base.deallocate()
        base = larger
        capacity = wanted
    }

    /// The bytes, until the next change.
    public func withBytes<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(UnsafeRawBufferPointer(start: base, count: count))
    }

    /// The bytes, to be patched in place.
    public mutating func withMutableBytes<Result, Failure: Error>(
        _ body: (UnsafeMutableRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(UnsafeMutableRawBufferPointer(start: base, count: count))
    }

    /// Leaves `length` zero bytes to be patched later, such as a frame header's; tells where they start.
    public mutating func leaveRoom(_ length: Int) -> Int {
        reserve(length)
        let start = count
        (base + count).initialize(repeating: 0, count: length)
        count += length
        return start
    }

    public mutating func append(_ bytes: UnsafeRawBufferPointer) {
        guard let start = bytes.baseAddress else { return }
        reserve(bytes.count)
        UnsafeMutableRawPointer(base + count).copyMemory(from: start, byteCount: bytes.count)
        count += bytes.count
    }

    public mutating func append(_ text: StaticString) {
        append(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    public mutating func append(_ text: String) {
        var text = text
        text.withUTF8 { append(UnsafeRawBufferPointer($0)) }
    }

    public mutating func append(_ byte: UInt8) {
        reserve(1)
        put(byte)
    }
}

// MARK: - Without a check

extension OutputBytes {
    /// Where the next byte goes; a writer moves a copy of it and gives it back to ``advance(to:)``.
    ///
    /// Kept in a local variable it stays in a register, which the buffer's own fields do not.
    @inline(__always)
    var end: UnsafeMutablePointer<UInt8> { base + count }

    @inline(__always)
    mutating func advance(to end: UnsafeMutablePointer<UInt8>) {
        count = end - base
        assert(count <= capacity, "more was put than was reserved")
    }

    @inline(__always)
    mutating func put(_ byte: UInt8) {
        assert(count < capacity, "more was put than was reserved")
        base[count] = byte
        count &+= 1
    }

    /// Moves everything from `start` on by `distance` bytes, forwards or back; ``reserve(_:)`` came before.
    mutating func shift(from start: Int, by distance: Int) {
        guard distance != 0 else { return }
        UnsafeMutableRawPointer(base + start + distance).copyMemory(from: base + start, byteCount: count - start)
        count += distance
    }
}

extension UnsafeMutablePointer<UInt8> {
    /// Puts a byte and moves behind it.
    @inline(__always)
    mutating func put(_ byte: UInt8) {
        pointee = byte
        self += 1
    }

    @inline(__always)
    mutating func put(_ text: StaticString) {
        let length = text.utf8CodeUnitCount
        UnsafeMutableRawPointer(self).copyMemory(from: text.utf8Start, byteCount: length)
        self += length
    }
}
