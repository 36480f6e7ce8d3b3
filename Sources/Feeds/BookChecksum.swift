import Market

/// The checksums that venues make of their books.
extension FeedInstrument {
    func checksum(by method: VenueRules.ChecksumMethod) -> UInt32 {
        switch method {
        case .tenLevels: book.checksum
        case .twentyFiveLevels: twentyFiveLevelsChecksum
        }
    }

    /// OKX's: `bid price:quantity:ask price:quantity` rank by rank, a missing side left out, all joined by colons.
    private var twentyFiveLevelsChecksum: UInt32 {
        var sum = CRC32()
        var isFirst = true
        for rank in 0..<25 {
            for side in [Side.bid, .ask] where rank < book.depth(of: side) {
                let level = book.level(rank, of: side)
                if !isFirst { sum.add(UInt8(ascii: ":")) }
                isFirst = false
                sum.add(level.price.ticks, scale: priceScale)
                sum.add(UInt8(ascii: ":"))
                sum.add(level.quantity.lots, scale: quantityScale)
            }
        }
        return sum.value
    }
}

extension CRC32 {
    /// Adds the shortest decimal text of `digits` x 10^-`scale`: no zeros at its end, `0.5` rather than `.5`.
    fileprivate mutating func add(_ digits: Int64, scale: UInt8) {
        var (digits, scale) = (digits, scale)
        while scale > 0, digits % 10 == 0 {
            digits /= 10
            scale -= 1
        }
        let unit = powerOfTen(scale)
        add(decimal: digits / unit)
        guard scale > 0 else { return }
        add(UInt8(ascii: "."))
        var (rest, weight) = (digits % unit, unit / 10)
        while weight > 0 {
            add(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest / weight))
            rest %= weight
            weight /= 10
        }
    }
}
