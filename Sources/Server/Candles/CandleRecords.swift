package import Market

/// How candles lie in a file: blocks, each of one instrument, each with its own checksum.
///
/// A file begins with ``magic``. A block is the length of its content and that content's CRC32, four bytes each, and the content:
/// the length of the instrument's qualified symbol, the symbol, decimals of price and quantity, and records to the end. All
/// numbers are little endian. A record says what a candle is now: the last one of an interval counts, so that a block may be
/// read twice.
package enum CandleRecords {
    package static let magic: [UInt8] = Array("MHCNDL01".utf8)
    static let recordBytes = 72
    static let contentBytesMost = 1 << 20
    private static let isClosedBit: UInt8 = 1
    private static let isSlotBit: UInt8 = 2

    /// What one block says.
    package struct Block {
        package var name: String
        package var priceScale: UInt8
        package var quantityScale: UInt8
        package var candles: [Candle]
        package var slots: [CandleMaker.Slot]
    }

    /// What reading a file came to.
    package struct Outcome: Sendable, Equatable {
        package var blockCount = 0
        /// Blocks whose checksum does not fit, or whose content is none.
        package var badBlockCount = 0
        /// Bytes behind the last whole block: the writer was interrupted.
        package var tornBytes = 0
        package var hasMagic = true
    }

    // MARK: Writing

    /// Appends blocks with the candles and slots of one instrument, several when they do not fit one.
    package static func append(
        _ name: String,
        priceScale: UInt8,
        quantityScale: UInt8,
        candles: [Candle],
        slots: [CandleMaker.Slot],
        to bytes: inout [UInt8]
    ) {
        let perBlock = 8_000
        var first = 0
        repeat {
            let part = candles[first..<min(first + perBlock, candles.count)]
            first += part.count
            let start = bytes.count
            bytes.append(contentsOf: repeatElement(0, count: 8))
            let text = Array(name.utf8.prefix(255))
            bytes.append(UInt8(text.count))
            bytes += text
            bytes += [priceScale, quantityScale]
            for candle in part { append(candle, 0, .max, .min, to: &bytes) }
            if first >= candles.count {
                for slot in slots { append(slot.candle, isSlotBit, slot.firstNs, slot.lastNs, to: &bytes) }
            }
            let content = bytes[(start + 8)...]
            put(UInt32(content.count), at: start, in: &bytes)
            put(checksum(content), at: start + 4, in: &bytes)
        } while first < candles.count
    }

    /// Appends blocks with everything of one instrument.
    package static func append(_ name: String, _ history: CandleHistory, to bytes: inout [UInt8]) {
        guard !history.isEmpty else { return }
        append(
            name,
            priceScale: history.priceScale,
            quantityScale: history.quantityScale,
            candles: CandleInterval.allCases.flatMap { history.kept($0) },
            slots: history.slots,
            to: &bytes
        )
    }

    private static func append(
        _ candle: Candle,
        _ bits: UInt8,
        _ firstNs: Int64,
        _ lastNs: Int64,
        to bytes: inout [UInt8]
    ) {
        bytes.append(candle.interval.rawValue)
        bytes.append(bits | (candle.isClosed ? isClosedBit : 0))
        bytes.append(candle.missing.rawValue)
        bytes.append(0)
        let numbers = [
            candle.openNs, candle.open.ticks, candle.high.ticks, candle.low.ticks, candle.close.ticks,
            candle.volume.lots, firstNs, lastNs,
        ]
        for number in numbers { withUnsafeBytes(of: number.littleEndian) { bytes.append(contentsOf: $0) } }
        // Behind what is of eight bytes.
        withUnsafeBytes(of: candle.tradeCount.littleEndian) { bytes.append(contentsOf: $0) }
        assert(4 + numbers.count * 8 + 4 == recordBytes)
    }

    private static func put(_ number: UInt32, at place: Int, in bytes: inout [UInt8]) {
        for index in 0..<4 { bytes[place + index] = UInt8(truncatingIfNeeded: number >> (8 * index)) }
    }

    private static func checksum(_ bytes: ArraySlice<UInt8>) -> UInt32 {
        var sum = CRC32()
        for byte in bytes { sum.add(byte) }
        return sum.value
    }

    // MARK: Reading

    /// Hands over every block whose checksum fits.
    package static func read(_ bytes: [UInt8], into body: (Block) -> Void) -> Outcome {
        var outcome = Outcome()
        guard bytes.count >= magic.count, Array(bytes[..<magic.count]) == magic else {
            outcome.hasMagic = false
            return outcome
        }
        var at = magic.count
        while at < bytes.count {
            guard bytes.count - at >= 8 else { break }
            let (length, sum) = (Int(number(at, in: bytes)), number(at + 4, in: bytes))
            guard length <= contentBytesMost, length <= bytes.count - at - 8 else { break }
            let content = bytes[(at + 8)..<(at + 8 + length)]
            if checksum(content) == sum, let block = block(content) {
                outcome.blockCount += 1
                body(block)
            } else if at + 8 + length == bytes.count {
                break
            } else {
                outcome.badBlockCount += 1
            }
            at += 8 + length
        }
        outcome.tornBytes = bytes.count - at
        return outcome
    }

    private static func number(_ place: Int, in bytes: [UInt8]) -> UInt32 {
        (0..<4).reduce(0) { $0 | UInt32(bytes[place + $1]) << (8 * UInt32($1)) }
    }

    private static func block(_ content: ArraySlice<UInt8>) -> Block? {
        guard let length = content.first.map(Int.init), content.count >= 3 + length else { return nil }
        let names = content.dropFirst()
        let rest = names.dropFirst(length)
        let scales = Array(rest.prefix(2))
        let records = Array(rest.dropFirst(2))
        let stride = recordBytes
        guard scales.allSatisfy({ $0 <= 18 }), records.count % stride == 0 else { return nil }
        var block = Block(
            name: String(decoding: names.prefix(length), as: UTF8.self),
            priceScale: scales[0],
            quantityScale: scales[1],
            candles: [],
            slots: []
        )
        for start in Swift.stride(from: 0, to: records.count, by: stride) {
            guard let (slot, isSlot) = record(records, at: start) else { return nil }
            if isSlot { block.slots.append(slot) } else { block.candles.append(slot.candle) }
        }
        return block
    }

    private static func record(_ bytes: [UInt8], at start: Int) -> (CandleMaker.Slot, isSlot: Bool)? {
        let numbers = (0..<8).map { index in
            (0..<8).reduce(Int64(0)) { $0 | Int64(bytes[start + 4 + index * 8 + $1]) << (8 * Int64($1)) }
        }
        guard let interval = CandleInterval(rawValue: bytes[start]), numbers[5] >= 0,
            numbers[0] % interval.lengthNs == 0
        else { return nil }
        let bits = bytes[start + 1]
        let candle = Candle(
            interval: interval,
            openNs: numbers[0],
            open: Price(ticks: numbers[1]),
            high: Price(ticks: numbers[2]),
            low: Price(ticks: numbers[3]),
            close: Price(ticks: numbers[4]),
            volume: Quantity(lots: numbers[5]),
            tradeCount: number(start + 68, in: bytes),
            isClosed: bits & isClosedBit != 0,
            missing: Candle.Missing(rawValue: bytes[start + 2]).intersection(.all)
        )
        return (CandleMaker.Slot(candle: candle, firstNs: numbers[6], lastNs: numbers[7]), bits & isSlotBit != 0)
    }
}
