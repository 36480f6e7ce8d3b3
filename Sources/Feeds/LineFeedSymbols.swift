import Market

/// The instruments that one connection has named, found by the bytes of their symbols without allocation.
///
/// Open addressing with linear probing, at most half full. Entries are never removed.
struct LineFeedSymbols: Sendable {
    static let byteCountMost = 32

    /// A symbol's bytes, filled up with zeros, which no symbol holds.
    struct Symbol: Hashable, Sendable {
        fileprivate var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)

        /// Nil when it is empty, too long, or has another character than letters, digits, `-`, `.`, `_`, `/` and `:`.
        init?(_ bytes: UnsafeRawBufferPointer) {
            guard (1...LineFeedSymbols.byteCountMost).contains(bytes.count) else { return nil }
            for byte in bytes {
                switch byte {
                case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                    UInt8(ascii: "-")...UInt8(ascii: ":"), UInt8(ascii: "_"):
                    continue
                default:
                    return nil
                }
            }
            withUnsafeMutableBytes(of: &words) { $0.copyMemory(from: bytes) }
        }

        var text: String {
            withUnsafeBytes(of: words) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        }

        fileprivate var hash: UInt64 {
            var mixed = words.0 &* 0x9E37_79B9_7F4A_7C15
            mixed = (mixed ^ mixed >> 32 ^ words.1) &* 0xBF58_476D_1CE4_E5B9
            mixed = (mixed ^ mixed >> 29 ^ words.2) &* 0x94D0_49BB_1331_11EB
            mixed = (mixed ^ mixed >> 31 ^ words.3) &* 0x9E37_79B9_7F4A_7C15
            return mixed ^ mixed >> 32
        }

        static func == (left: Symbol, right: Symbol) -> Bool { left.words == right.words }

        func hash(into hasher: inout Hasher) { hasher.combine(hash) }
    }

    private struct Entry {
        var symbol: Symbol
        var id: InstrumentID
    }

    /// In the order in which they were first named.
    private(set) var ids: [InstrumentID] = []
    private var slots: [Entry?] = Array(repeating: nil, count: 64)

    subscript(symbol: Symbol) -> InstrumentID? { slots[slot(of: symbol)]?.id }

    /// - Precondition: the symbol is not known yet.
    mutating func add(_ symbol: Symbol, _ id: InstrumentID) {
        ids.append(id)
        if 2 * ids.count > slots.count {
            let old = slots
            slots = Array(repeating: nil, count: 2 * old.count)
            for case let entry? in old { slots[slot(of: entry.symbol)] = entry }
        }
        slots[slot(of: symbol)] = Entry(symbol: symbol, id: id)
    }

    /// Where the symbol is, or would be.
    private func slot(of symbol: Symbol) -> Int {
        var slot = Int(truncatingIfNeeded: symbol.hash) & (slots.count - 1)
        while let entry = slots[slot], entry.symbol != symbol { slot = (slot + 1) & (slots.count - 1) }
        return slot
    }
}
