/// Finds a place in a pool by a 64-bit key: open addressing, at most half full, without allocation once it is large enough.
///
/// Keys need not be unique where the caller tells entries apart by their slots.
struct SlotTable: Sendable {
    private struct Entry: Sendable, BitwiseCopyable {
        var key: UInt64
        /// Negative when free.
        var slot: Int32
    }

    private static let free = Entry(key: 0, slot: -1)
    /// A power of two long.
    private var entries: [Entry]
    private var shift: UInt64
    private(set) var count = 0

    init() {
        entries = Array(repeating: Self.free, count: 64)
        shift = 64 - 6
    }

    /// The slot under a key for which `isWanted` holds; -1 when there is none.
    @inline(__always)
    func slot(of key: UInt64, where isWanted: (Int32) -> Bool = { _ in true }) -> Int32 {
        entries.withUnsafeBufferPointer { entries in
            var index = Self.home(key, shift)
            while entries[index].slot >= 0 {
                if entries[index].key == key, isWanted(entries[index].slot) { return entries[index].slot }
                index = (index &+ 1) & (entries.count &- 1)
            }
            return -1
        }
    }

    /// - Precondition: the slot is not negative and not there yet.
    mutating func add(_ slot: Int32, under key: UInt64) {
        if (count + 1) * 2 > entries.count { grow() }
        let mask = entries.count - 1
        let shift = shift
        entries.withUnsafeMutableBufferPointer { entries in
            var index = Self.home(key, shift)
            while entries[index].slot >= 0 { index = (index &+ 1) & mask }
            entries[index] = Entry(key: key, slot: slot)
        }
        count += 1
    }

    /// - Precondition: the slot is there under this key.
    mutating func remove(_ slot: Int32, under key: UInt64) {
        let mask = entries.count - 1
        let shift = shift
        entries.withUnsafeMutableBufferPointer { entries in
            var hole = Self.home(key, shift)
            while entries[hole].slot != slot {
                precondition(entries[hole].slot >= 0, "a slot is not in the table")
                hole = (hole &+ 1) & mask
            }
            // Those behind the hole move up when their home lies at or before it, so that no search ends early.
            var index = hole
            while true {
                index = (index &+ 1) & mask
                guard entries[index].slot >= 0 else { break }
                let distance = (index &- Self.home(entries[index].key, shift)) & mask
                guard distance >= (index &- hole) & mask else { continue }
                entries[hole] = entries[index]
                hole = index
            }
            entries[hole] = Self.free
        }
        count -= 1
    }

    mutating func removeAll() {
        for index in entries.indices { entries[index] = Self.free }
        count = 0
    }

    /// Makes the table twice as long, in O(*n*).
    private mutating func grow() {
        let old = entries
        entries = Array(repeating: Self.free, count: old.count * 2)
        shift -= 1
        count = 0
        for entry in old where entry.slot >= 0 { add(entry.slot, under: entry.key) }
    }

    @inline(__always)
    private static func home(_ key: UInt64, _ shift: UInt64) -> Int {
        Int(truncatingIfNeeded: (key &* 0x9E37_79B9_7F4A_7C15) &>> shift)
    }
}
