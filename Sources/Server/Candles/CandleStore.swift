package import Market

/// The past candles of every instrument: the feed thread writes, I/O loops and the candle file's thread read.
///
/// A reader takes the histories of one instrument, which copies no candles, under a lock that is held for some ten
/// nanoseconds, and reads them outside. The feed thread takes the lock when a candle closes, not at every trade.
/// Bounded: with `bytesMost` in use the oldest candles give way to new ones, and an instrument that was never heard of before
/// has none; both are counted.
package final class CandleStore: Sendable {
    /// What an instrument goes on with, in its present units.
    package struct Resumption: Sendable {
        package var slots: [CandleMaker.Slot]
        package var minutes: [Candle]
    }

    fileprivate struct Entry: Sendable {
        var name: String
        /// In units as fine as the instrument's, or finer.
        var history: CandleHistory
        var priceScale: UInt8
        var quantityScale: UInt8
        /// What an earlier run left, while the instrument's units are too coarse for it.
        var waiting: [CandleMaker.Slot] = []
        var isKept: Bool
        var isChanged = false
    }

    private struct State: Sendable {
        var entries: [Entry] = []
        var changed: [InstrumentID] = []
        /// Of an earlier run, by the qualified symbol, until the instrument appears.
        var unclaimed: [String: CandleHistory]
        var byteCount = 0
        var lostCount = 0
    }

    package let bytesMost: Int
    private let passedVenues: Set<String>
    private let state: Guarded<State>

    /// - Parameters:
    ///   - bytesMost: memory for candles of all instruments together.
    ///   - kept: what an earlier run left, by the qualified symbol.
    ///   - passedVenues: venues that play the past again: their candles are not kept for a later run.
    package init(bytesMost: Int, kept: [String: CandleHistory] = [:], passedVenues: Set<String> = []) {
        self.bytesMost = bytesMost
        self.passedVenues = passedVenues
        var first = State(unclaimed: kept)
        first.byteCount = kept.values.reduce(0) { $0 + $1.byteCount }
        state = Guarded(first)
    }

    // MARK: The feed thread

    /// Makes room for the next instrument, whose id is the count so far.
    ///
    /// - Returns: what an earlier run left of it; nil when there is nothing, or in units finer than the instrument's.
    package func add(_ instrument: Instrument) -> Resumption? {
        let isKept = !passedVenues.contains(instrument.venue)
        return state.withLock { state in
            let (price, quantity) = (instrument.priceScale, instrument.quantityScale)
            var entry = Entry(
                name: instrument.qualifiedSymbol,
                history: CandleHistory(priceScale: price, quantityScale: quantity),
                priceScale: price,
                quantityScale: quantity,
                isKept: isKept
            )
            if isKept, let kept = state.unclaimed.removeValue(forKey: entry.name) {
                entry.history = kept
                entry.waiting = kept.slots
            }
            state.entries.append(entry)
            return state.entries[state.entries.count - 1].fit(&state.byteCount)
        }
    }

    /// Takes over an instrument's new units.
    ///
    /// - Returns: what an earlier run left of it, when the units are fine enough for it only now.
    package func changeUnits(of instrument: Instrument) -> Resumption? {
        state.withLock { state in
            state.entries[instrument.id.index].priceScale = instrument.priceScale
            state.entries[instrument.id.index].quantityScale = instrument.quantityScale
            return state.entries[instrument.id.index].fit(&state.byteCount)
        }
    }

    /// Takes in a closed candle, or again one that a late trade changed.
    package func put(_ candle: Candle, of id: InstrumentID) {
        let bytesMost = bytesMost
        state.withLock { state in
            let index = id.index
            guard let scaled = state.entries[index].scaled(candle) else { return }
            let before = state.entries[index].history.byteCount
            let isKept = state.entries[index].history.put(scaled, bytesMost: bytesMost - state.byteCount)
            state.byteCount += state.entries[index].history.byteCount - before
            if !isKept { state.lostCount += 1 }
        }
    }

    /// Shows what a later run would go on with.
    package func show(_ slots: [CandleMaker.Slot], of id: InstrumentID) {
        state.withLock { state in
            let index = id.index
            guard state.entries[index].isKept else { return }
            state.entries[index].history.slots = slots.compactMap { slot in
                state.entries[index].scaled(slot.candle).map {
                    CandleMaker.Slot(candle: $0, firstNs: slot.firstNs, lastNs: slot.lastNs)
                }
            }
            guard !state.entries[index].isChanged else { return }
            state.entries[index].isChanged = true
            state.changed.append(id)
        }
    }

    // MARK: Readers

    /// The past of one instrument; nil when it is not known.
    package func history(of id: InstrumentID) -> CandleHistory? {
        state.withLock { id.index < $0.entries.count ? $0.entries[id.index].history : nil }
    }

    /// The newest candles that open before `endNs`, the newest of all when it is nil: see ``CandleHistory``.
    package func past(_ id: InstrumentID, _ interval: CandleInterval, limit: Int, endNs: Int64?) -> PastCandles {
        guard let history = history(of: id) else { return PastCandles([], priceScale: 0, quantityScale: 0) }
        let candles = history.past(interval, limit: limit, endNs: endNs)
        return PastCandles(candles, priceScale: history.priceScale, quantityScale: history.quantityScale)
    }

    /// The instruments that were shown since this was last asked.
    package func takeChanged() -> [InstrumentID] {
        state.withLock { state in
            defer { state.changed.removeAll(keepingCapacity: true) }
            for id in state.changed { state.entries[id.index].isChanged = false }
            return state.changed
        }
    }

    /// The qualified symbol and the past of one instrument that is kept for a later run.
    package func keptHistory(of id: InstrumentID) -> (name: String, history: CandleHistory)? {
        state.withLock { state in
            guard id.index < state.entries.count, state.entries[id.index].isKept else { return nil }
            return (state.entries[id.index].name, state.entries[id.index].history)
        }
    }

    /// Everything that is kept for a later run, as a file would have it.
    package var records: [UInt8] {
        var bytes = CandleRecords.magic
        for index in 0..<instrumentCount {
            guard let kept = keptHistory(of: InstrumentID(UInt32(index))) else { continue }
            CandleRecords.append(kept.name, kept.history, to: &bytes)
        }
        for (name, history) in unclaimed { CandleRecords.append(name, history, to: &bytes) }
        return bytes
    }

    package var instrumentCount: Int { state.withLock { $0.entries.count } }
    /// What an earlier run left of instruments that were not heard of in this one.
    package var unclaimed: [String: CandleHistory] { state.withLock { $0.unclaimed } }
    /// Bytes in use.
    package var byteCount: Int { state.withLock { $0.byteCount } }
    /// Candles that were not kept for want of memory.
    package var lostCount: Int { state.withLock { $0.lostCount } }
}

extension CandleStore.Entry {
    /// A candle of the instrument in the history's units; nil when a number does not fit.
    fileprivate func scaled(_ candle: Candle) -> Candle? {
        candle.scaled(
            price: .power(ofTen: history.priceScale - priceScale),
            quantity: .power(ofTen: history.quantityScale - quantityScale)
        )
    }

    /// Brings the history into units as fine as the instrument's, and gives out what waits when both are in the same.
    fileprivate mutating func fit(_ byteCount: inout Int) -> CandleStore.Resumption? {
        let price = max(priceScale, history.priceScale)
        let quantity = max(quantityScale, history.quantityScale)
        let factors = (
            Int64.power(ofTen: price - history.priceScale), Int64.power(ofTen: quantity - history.quantityScale)
        )
        if history.rescale(priceScale: price, quantityScale: quantity) {
            waiting = waiting.compactMap { $0.scaled(price: factors.0, quantity: factors.1) }
        } else {
            // Numbers that do not fit any more: the past begins anew.
            byteCount -= history.byteCount
            history = CandleHistory(priceScale: price, quantityScale: quantity)
            waiting = []
        }
        guard !waiting.isEmpty, price == priceScale, quantity == quantityScale else { return nil }
        defer { waiting = [] }
        let open = waiting.lazy.map(\.candle).filter { $0.interval == .minute && !$0.isClosed && !$0.isEmpty }
        return CandleStore.Resumption(slots: waiting, minutes: history.kept(.minute) + open)
    }
}
