/// The past candles of one instrument: closed, of every length, each in a ring of its own.
///
/// Quiet stretches cost nothing: an empty candle that follows from the one before it is not kept but made again when it is asked
/// for. A value; copying it copies no candles until one of the copies changes.
public struct CandleHistory: Sendable {
    /// The most candles that one question is answered with.
    public static let answerMost = 1_000
    /// The day's figures are made of the minutes of 24 hours.
    public static func kept(_ interval: CandleInterval) -> Int { interval == .minute ? 1_440 : answerMost }

    /// Decimals of the prices and quantities here.
    public private(set) var priceScale: UInt8
    public private(set) var quantityScale: UInt8
    /// What a later run goes on with: see ``CandleMaker/slots``.
    public var slots: [CandleMaker.Slot] = []

    private var rings = InlineArray<6, Ring>(repeating: Ring())

    public init(priceScale: UInt8, quantityScale: UInt8) {
        self.priceScale = priceScale
        self.quantityScale = quantityScale
    }

    /// Bytes of memory that the candles take.
    public var byteCount: Int { rings.indices.reduce(0) { $0 + rings[$1].byteCount } }

    public var isEmpty: Bool { rings.indices.allSatisfy { rings[$0].count == 0 } && slots.isEmpty }

    /// When the newest candle ends; the beginning of time when there is none.
    public var lastNs: Int64 {
        CandleInterval.allCases.reduce(.min) { latest, interval in
            let ring = rings[Int(interval.rawValue)]
            let newest = ring.count > 0 ? interval.openNs(after: ring[ring.count - 1].openNs) : .min
            return max(latest, newest, slots.last { $0.candle.interval == interval }?.lastNs ?? .min)
        }
    }

    /// Takes in a closed candle in the order of time, or again one of the last, changed by a late trade.
    ///
    /// - Parameters:
    ///   - candle: the candle.
    ///   - bytesMost: what may be used in addition for it. Without room the oldest candle of its length gives way.
    /// - Returns: false when a candle was lost that would have been kept for longer, or this one, for want of memory.
    public mutating func put(_ candle: Candle, bytesMost: Int) -> Bool {
        let index = Int(candle.interval.rawValue)
        if candle.isEmpty, rings[index].implies(candle) { return true }
        return rings[index].put(Record(candle), most: Self.kept(candle.interval), bytesMost: bytesMost)
    }

    /// Candles that are kept, which may be fewer than ``past(_:limit:endNs:)`` gives: those that say something new, oldest first.
    public func kept(_ interval: CandleInterval, sinceNs: Int64 = .min) -> [Candle] {
        let ring = rings[Int(interval.rawValue)]
        return (ring.position(of: sinceNs)..<ring.count).map { ring[$0].candle(interval) }
    }

    /// The newest candles that open before `endNs`, oldest first and without a gap, at most `limit`.
    ///
    /// - Parameters:
    ///   - interval: their length.
    ///   - limit: at most ``answerMost`` is given.
    ///   - endNs: the start of an interval: the last candle given is the one before it. Nil means the last that is kept.
    /// - Returns: fewer than `limit` where less is known.
    public func past(_ interval: CandleInterval, limit: Int, endNs: Int64? = nil) -> [Candle] {
        let ring = rings[Int(interval.rawValue)]
        let most = min(limit, Self.answerMost)
        var place = endNs.map { ring.position(of: $0) - 1 } ?? ring.count - 1
        guard place >= 0, most > 0 else { return [] }
        var openNs = endNs.map { $0 - interval.lengthNs } ?? ring[place].openNs
        var candles: [Candle] = []
        candles.reserveCapacity(most)
        while candles.count < most, place >= 0 {
            let record = ring[place]
            if record.openNs >= openNs {
                candles.append(record.candle(interval))
                place -= 1
            } else {
                candles.append(record.implied(interval, atNs: openNs))
            }
            openNs -= interval.lengthNs
        }
        candles.reverse()
        return candles
    }

    /// Takes over finer units; false when a number does not fit, and then nothing changed.
    public mutating func rescale(priceScale: UInt8, quantityScale: UInt8) -> Bool {
        guard priceScale >= self.priceScale, quantityScale >= self.quantityScale else { return false }
        let price = Int64.power(ofTen: priceScale - self.priceScale)
        let quantity = Int64.power(ofTen: quantityScale - self.quantityScale)
        var scaled = rings
        for interval in CandleInterval.allCases {
            let index = Int(interval.rawValue)
            guard scaled[index].rescale(interval, price: price, quantity: quantity) else { return false }
        }
        var slots: [CandleMaker.Slot] = []
        for slot in self.slots {
            guard let slot = slot.scaled(price: price, quantity: quantity) else { return false }
            slots.append(slot)
        }
        rings = scaled
        self.slots = slots
        self.priceScale = priceScale
        self.quantityScale = quantityScale
        return true
    }

    // MARK: What is kept

    private struct Record: BitwiseCopyable {
        var openNs: Int64
        var open: Int64
        var high: Int64
        var low: Int64
        var close: Int64
        var volume: Int64
        var tradeCount: UInt32
        var missing: UInt8

        init(_ candle: Candle) {
            openNs = candle.openNs
            (open, high, low, close) = (candle.open.ticks, candle.high.ticks, candle.low.ticks, candle.close.ticks)
            volume = candle.volume.lots
            tradeCount = candle.tradeCount
            missing = candle.missing.rawValue
        }

        func candle(_ interval: CandleInterval) -> Candle {
            Candle(
                interval: interval,
                openNs: openNs,
                open: Price(ticks: open),
                high: Price(ticks: high),
                low: Price(ticks: low),
                close: Price(ticks: close),
                volume: Quantity(lots: volume),
                tradeCount: tradeCount,
                isClosed: true,
                missing: Candle.Missing(rawValue: missing)
            )
        }

        /// The empty candle of a later interval, when nothing is kept of those between.
        func implied(_ interval: CandleInterval, atNs openNs: Int64) -> Candle {
            let isDeaf = Candle.Missing(rawValue: missing).contains(.end)
            return Candle(
                interval: interval,
                openNs: openNs,
                emptyAt: Price(ticks: close),
                missing: isDeaf ? .all : []
            )
        }
    }

    private struct Ring {
        private var records: [Record] = []
        /// Where the oldest stands once the ring is full.
        private var start = 0
        private var room = 0

        var count: Int { records.count }
        var byteCount: Int { room * MemoryLayout<Record>.stride }

        /// By age, the oldest first.
        subscript(place: Int) -> Record {
            get { records[index(place)] }
            set { records[index(place)] = newValue }
        }

        private func index(_ place: Int) -> Int {
            let index = start + place
            return index < records.count ? index : index - records.count
        }

        /// The place of the first that opens at `openNs` or later.
        func position(of openNs: Int64) -> Int {
            var (low, high) = (0, count)
            while low < high {
                let middle = (low + high) / 2
                if self[middle].openNs < openNs { low = middle + 1 } else { high = middle }
            }
            return low
        }

        /// Whether an empty candle is what follows from those that are kept.
        func implies(_ candle: Candle) -> Bool {
            let place = position(of: candle.openNs)
            guard place > 0, place == count || self[place].openNs != candle.openNs else { return false }
            return self[place - 1].implied(candle.interval, atNs: candle.openNs) == candle
        }

        mutating func put(_ record: Record, most: Int, bytesMost: Int) -> Bool {
            let place = position(of: record.openNs)
            if place < count {
                if self[place].openNs == record.openNs {
                    self[place] = record
                    return true
                }
                // A late trade gave an interval its candle: the later ones, few, move up.
                guard place > 0 else { return true }
            }
            var isKept = true
            if count == room, room < most {
                let more = min(most, max(16, room * 2)) - room
                if more * MemoryLayout<Record>.stride <= bytesMost {
                    straighten()
                    room += more
                    records.reserveCapacity(room)
                } else {
                    isKept = false
                }
            }
            guard room > 0 else { return false }
            if count < room { straighten() }
            var at = place
            if count < room {
                records.append(record)
            } else {
                records[start] = record
                start = start + 1 == records.count ? 0 : start + 1
                at -= 1
            }
            // The new one stands last; those that are later go behind it.
            var last = count - 1
            while last > max(at, 0) {
                swap(last, last - 1)
                last -= 1
            }
            return isKept
        }

        private mutating func swap(_ one: Int, _ other: Int) { records.swapAt(index(one), index(other)) }

        private mutating func straighten() {
            guard start > 0 else { return }
            records = Array(records[start...] + records[..<start])
            start = 0
        }

        mutating func rescale(_ interval: CandleInterval, price: Int64, quantity: Int64) -> Bool {
            for place in records.indices {
                let candle = records[place].candle(interval)
                guard let scaled = candle.scaled(price: price, quantity: quantity) else { return false }
                records[place] = Record(scaled)
            }
            return true
        }
    }
}

/// Candles in a row, and the units that their numbers are in.
public struct PastCandles: Hashable, Sendable {
    /// Oldest first.
    public var candles: [Candle]
    public var priceScale: UInt8
    public var quantityScale: UInt8

    public init(_ candles: [Candle], priceScale: UInt8, quantityScale: UInt8) {
        self.candles = candles
        self.priceScale = priceScale
        self.quantityScale = quantityScale
    }

    /// The candles in an instrument's units; of those that the units are too coarse for, and all before them, none.
    public func inUnits(of instrument: Instrument) -> [Candle] {
        guard priceScale != instrument.priceScale || quantityScale != instrument.quantityScale else { return candles }
        var converted: [Candle] = []
        for candle in candles.reversed() {
            let prices = [candle.open, candle.high, candle.low, candle.close].compactMap { price in
                Decimal(digits: price.ticks, scale: priceScale).units(atScale: instrument.priceScale)
            }
            let volume = Decimal(digits: candle.volume.lots, scale: quantityScale)
            guard prices.count == 4, let lots = volume.units(atScale: instrument.quantityScale) else { break }
            var same = candle
            (same.open, same.high) = (Price(ticks: prices[0]), Price(ticks: prices[1]))
            (same.low, same.close) = (Price(ticks: prices[2]), Price(ticks: prices[3]))
            same.volume = Quantity(lots: lots)
            converted.append(same)
        }
        return converted.reversed()
    }
}
