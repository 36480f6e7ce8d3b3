import Market

/// The names of an instrument's last trades, to know one that comes twice.
///
/// A trade's hash goes into one of 64 rows of eight, where it pushes out the oldest: of the last 128 names one in a thousand
/// is forgotten, of those before the last 1,000 nearly all. Costs one look at a row, and 4 KB from the first trade on.
struct RecentTrades: Sendable {
    private static let rows = 64
    private static let perRow = 8
    private var hashes: [UInt64] = []
    private var oldest = InlineArray<64, UInt8>(repeating: 0)

    /// Whether this name is among them; it is afterwards.
    mutating func holds(_ id: TradeID) -> Bool {
        if hashes.isEmpty { hashes = [UInt64](repeating: 0, count: Self.rows * Self.perRow) }
        let hash = Self.hash(id)
        let row = Int(truncatingIfNeeded: hash >> 58)
        let first = row * Self.perRow
        for place in first..<(first + Self.perRow) where hashes[place] == hash { return true }
        hashes[first + Int(oldest[row])] = hash
        oldest[row] = (oldest[row] + 1) & UInt8(Self.perRow - 1)
        return false
    }

    /// FNV-1a, its high bits mixed once more; never 0, which stands for no trade.
    private static func hash(_ id: TradeID) -> UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        id.withBytes { for byte in $0 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 } }
        hash = (hash ^ (hash >> 29)) &* 0x9E37_79B9_7F4A_7C15
        return max(1, hash)
    }
}
