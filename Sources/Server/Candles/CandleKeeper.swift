package import Market

/// Collects what candle files say into histories, each with the units that are finest in it.
package struct CandleLoader {
    package private(set) var histories: [String: CandleHistory] = [:]
    /// Candles for which there was no memory, or whose numbers do not fit.
    package private(set) var lostCount = 0
    private var byteCount = 0
    private let bytesMost: Int

    package init(bytesMost: Int) { self.bytesMost = bytesMost }

    package mutating func take(_ block: CandleRecords.Block) {
        var history =
            histories.removeValue(forKey: block.name)
            ?? CandleHistory(priceScale: block.priceScale, quantityScale: block.quantityScale)
        defer { histories[block.name] = history }
        let price = max(block.priceScale, history.priceScale)
        let quantity = max(block.quantityScale, history.quantityScale)
        guard history.rescale(priceScale: price, quantityScale: quantity) else {
            lostCount += block.candles.count
            return
        }
        let factors = (
            price: Int64.power(ofTen: price - block.priceScale),
            quantity: Int64.power(ofTen: quantity - block.quantityScale)
        )
        for candle in block.candles {
            let before = history.byteCount
            guard let scaled = candle.scaled(price: factors.price, quantity: factors.quantity) else {
                lostCount += 1
                continue
            }
            if !history.put(scaled, bytesMost: bytesMost - byteCount) { lostCount += 1 }
            byteCount += history.byteCount - before
        }
        // Those of a length that a later block has take the place of an earlier one's.
        let new = Set(block.slots.map(\.candle.interval))
        let slots = block.slots.compactMap { $0.scaled(price: factors.price, quantity: factors.quantity) }
        history.slots = history.slots.filter { !new.contains($0.candle.interval) } + slots
    }
}

/// What changed in the histories since it was last written.
package struct CandleChanges {
    /// By ``InstrumentID/index``: the slots as they were last written.
    private var written: [[CandleMaker.Slot]] = []

    package init() {}

    /// Appends blocks that say what is new of one instrument.
    package mutating func append(_ id: InstrumentID, _ name: String, _ history: CandleHistory, to bytes: inout [UInt8])
    {
        while written.count <= id.index { written.append([]) }
        let known = written[id.index]
        var candles: [Candle] = []
        var slots: [CandleMaker.Slot] = []
        for interval in CandleInterval.allCases {
            let now = history.slots.filter { $0.candle.interval == interval }
            let then = known.filter { $0.candle.interval == interval }
            guard now != then else { continue }
            slots += now
            // A candle that was told before may have changed if it was one of the last two.
            let sinceNs = then.first?.candle.openNs ?? .min
            candles += history.kept(interval, sinceNs: sinceNs).filter { candle in
                !then.contains { $0.candle == candle }
            }
        }
        written[id.index] = history.slots
        guard !slots.isEmpty else { return }
        CandleRecords.append(
            name,
            priceScale: history.priceScale,
            quantityScale: history.quantityScale,
            candles: candles,
            slots: slots,
            to: &bytes
        )
    }
}
