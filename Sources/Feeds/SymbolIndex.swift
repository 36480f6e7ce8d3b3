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
        for index in 0..<name.count where bytes[entry.offset + index] != name[index] { return false }
        return true
    }

    /// FNV-1a, folded because the table looks at the low bits.
    private static func hash(_ name: UnsafeRawBufferPointer) -> UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in name { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        return hash ^ (hash >> 32)
    }
}
