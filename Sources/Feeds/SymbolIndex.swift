/// Finds an instrument's place by the bytes of the venue's name for it, without making a `String`.
struct SymbolIndex: Sendable {
    /// What tells names apart at one look: a name's length with its first and its last eight bytes.
    ///
    /// They overlap in all usual names; of up to sixteen bytes they are all.
    private struct Key: Equatable {
        var count: Int
        var (first, last) = (UInt64(0), UInt64(0))

        init(_ name: UnsafeRawBufferPointer) {
            count = name.count
            if count >= 8 {
                first = name.loadUnaligned(as: UInt64.self)
                last = name.loadUnaligned(fromByteOffset: count &- 8, as: UInt64.self)
            } else if count >= 4 {
                first = UInt64(name.loadUnaligned(as: UInt32.self))
                last = UInt64(name.loadUnaligned(fromByteOffset: count &- 4, as: UInt32.self))
            } else {
                for byte in name { first = first << 8 | UInt64(byte) }
            }
        }

        var isWhole: Bool { count <= 16 }

        var hash: Int {
            let mixed = (first ^ UInt64(count)) &* 0x9E37_79B9_7F4A_7C15
            let hash = (mixed ^ last) &* 0xD6E8_FEB8_6659_FD93
            return Int(truncatingIfNeeded: hash ^ (hash >> 32))
        }
    }

    private struct Entry {
        var key: Key
        var offset: Int
    }

    private var bytes: [UInt8] = []
    private var entries: [Entry] = []
    /// Places of `entries` plus one, 0 for free; a power of two long and at most half full.
    private var table = [Int32](repeating: 0, count: 64)

    /// The place of a name, counted in the order of adding.
    func place(of name: UnsafeRawBufferPointer) -> Int? {
        let key = Key(name)
        var slot = key.hash & (table.count - 1)
        while table[slot] != 0 {
            let place = Int(table[slot]) - 1
            if entries[place].key == key, key.isWhole || isName(name, at: place) { return place }
            slot = (slot + 1) & (table.count - 1)
        }
        return nil
    }

    /// - Precondition: the name is not there yet.
    mutating func add(_ name: UnsafeRawBufferPointer) -> Int {
        entries.append(Entry(key: Key(name), offset: bytes.count))
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
        var slot = entries[place].key.hash & (table.count - 1)
        while table[slot] != 0 { slot = (slot + 1) & (table.count - 1) }
        table[slot] = Int32(place + 1)
    }

    private func isName(_ name: UnsafeRawBufferPointer, at place: Int) -> Bool {
        let offset = entries[place].offset
        return bytes[offset..<(offset + entries[place].key.count)].elementsEqual(name)
    }
}
