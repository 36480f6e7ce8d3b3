/// Finds an instrument's place by the bytes of the venue's name for it, without making a `String`.
struct SymbolIndex: Sendable {
    private struct Entry {
        var hash: UInt64
        var offset: Int
        var count: Int
    }

    private var bytes: [UInt8] = []
    private var entries: [Entry] = []
    /// Places of `entries` plus one, 0 for free; a power of two long and at most half full.
    private var table = [Int32](repeating: 0, count: 64)

    /// The place of a name, counted in the order of adding.
    func place(of name: UnsafeRawBufferPointer) -> Int? {
        let hash = Self.hash(name)
        var slot = Int(truncatingIfNeeded: hash) & (table.count - 1)
        while table[slot] != 0 {
            let place = Int(table[slot]) - 1
            if entries[place].hash == hash, isName(name, at: place) { return place }
            slot = (slot + 1) & (table.count - 1)
        }
        return nil
    }

    /// - Precondition: the name is not there yet.
    mutating func add(_ name: UnsafeRawBufferPointer) -> Int {
        entries.append(Entry(hash: Self.hash(name), offset: bytes.count, count: name.count))
        bytes.append(contentsOf: name)
        if entries.count * 2 > table.count { table = [Int32](repeating: 0, count: table.count * 2) }
        if table.allSatisfy({ $0 == 0 }) {
            entries.indices.forEach { enter($0) }
        } else {
            enter(entries.count - 1)
        }
        return entries.count - 1
    }

    private mutating func enter(_ place: Int) {
        var slot = Int(truncatingIfNeeded: entries[place].hash) & (table.count - 1)
        while table[slot] != 0 { slot = (slot + 1) & (table.count - 1) }
        table[slot] = Int32(place + 1)
    }

    private func isName(_ name: UnsafeRawBufferPointer, at place: Int) -> Bool {
        let entry = entries[place]
        guard entry.count == name.count else { return false }
        return bytes.withUnsafeBytes { bytes in
            var index = 0
            while index < name.count {
                guard bytes[entry.offset &+ index] == name[index] else { return false }
                index &+= 1
            }
            return true
        }
    }

    /// Mixes the first and the last eight bytes, which overlap in all usual names; the rest is left to the comparison.
    private static func hash(_ name: UnsafeRawBufferPointer) -> UInt64 {
        var (first, last) = (UInt64(0), UInt64(0))
        if name.count >= 8 {
            first = name.loadUnaligned(as: UInt64.self)
            last = name.loadUnaligned(fromByteOffset: name.count - 8, as: UInt64.self)
        } else {
            for byte in name { first = first << 8 | UInt64(byte) }
        }
        let mixed = (first ^ UInt64(name.count)) &* 0x9E37_79B9_7F4A_7C15
        let hash = (mixed ^ last) &* 0xD6E8_FEB8_6659_FD93
        return hash ^ (hash >> 32)
    }
}
