import Market

/// A decimal number of a venue, exactly as written but for zeros at its end.
public struct VenueNumber: Hashable, Sendable, BitwiseCopyable {
    /// The digits without point and without zeros behind the last decimal that counts.
    public var digits: Int64
    /// Decimals that count: 1 for `0.10`.
    public var scale: UInt8
    /// Decimals as written, at most 18: 2 for `0.10`.
    public var written: UInt8

    public init(digits: Int64, scale: UInt8, written: UInt8) {
        self.digits = digits
        self.scale = scale
        self.written = written
    }

    /// Stands where a venue's message names a level and leaves its price out.
    static let absent = VenueNumber(digits: .min, scale: 0, written: 0)

    /// The same number in units of 10^-scale; nil when it has more decimals or does not fit.
    @inline(always)
    func units(atScale wanted: UInt8) -> Int64? {
        guard wanted >= scale else { return nil }
        let (units, overflow) = digits.multipliedReportingOverflow(by: powerOfTen(wanted - scale))
        return overflow ? nil : units
    }
}

/// Ten to the power of `exponent`, which is at most 18; a switch because it becomes a table without a start-up cost.
@inline(always)
func powerOfTen(_ exponent: UInt8) -> Int64 {
    switch exponent {
    case 0: 1
    case 1: 10
    case 2: 100
    case 3: 1_000
    case 4: 10_000
    case 5: 100_000
    case 6: 1_000_000
    case 7: 10_000_000
    case 8: 100_000_000
    case 9: 1_000_000_000
    case 10: 10_000_000_000
    case 11: 100_000_000_000
    case 12: 1_000_000_000_000
    case 13: 10_000_000_000_000
    case 14: 100_000_000_000_000
    case 15: 1_000_000_000_000_000
    case 16: 10_000_000_000_000_000
    case 17: 100_000_000_000_000_000
    default: 1_000_000_000_000_000_000
    }
}

extension JSONScanner {
    /// Reads a decimal number, bare or in quotes.
    ///
    /// Eight digits are taken at a time. Numbers with up to seven digits before and eight behind the point, nearly all,
    /// take the short way; the rest go through ``Decimal``.
    @inline(__always)
    public mutating func number() throws(FrameFault) -> VenueNumber {
        let start = at
        let isQuoted = byte == UInt8(ascii: "\"")
        var place = isQuoted ? at + 1 : at
        guard count >= 8, place < count else { return try longNumber() }
        let whole = paddedWord(at: place) ^ 0x3030_3030_3030_3030
        let wholeCount = Self.digitCount(whole)
        // A leading zero stands alone: the long way refuses another.
        guard wholeCount > 0, wholeCount < 8, wholeCount == 1 || base[place] != UInt8(ascii: "0") else {
            return try longNumber()
        }
        place &+= wholeCount
        var digits = Self.eightDigits(whole << (64 - 8 * UInt64(wholeCount)))
        var (scale, written) = (0, 0)
        if place < count, base[place] == UInt8(ascii: ".") {
            place &+= 1
            guard place < count else { return try longNumber() }
            let part = paddedWord(at: place) ^ 0x3030_3030_3030_3030
            written = Self.digitCount(part)
            guard written > 0 else { return try longNumber() }
            place &+= written
            let aligned = part << (64 - 8 * UInt64(written))
            if aligned != 0 {
                let zeros = aligned.leadingZeroBitCount >> 3
                scale = written - zeros
                digits =
                    digits * powerOfTen(UInt8(truncatingIfNeeded: scale))
                    + Self.eightDigits(aligned << (8 * UInt64(zeros)))
            }
        }
        guard place < count else { return try longNumber() }
        if isQuoted {
            guard base[place] == UInt8(ascii: "\"") else { return try longNumber() }
            place &+= 1
        } else {
            // More digits or an exponent: the long way knows what is allowed.
            let follower = base[place]
            guard follower == UInt8(ascii: ",") || follower == UInt8(ascii: "]") || follower == UInt8(ascii: "}") else {
                return try longNumber()
            }
        }
        step(place - start)
        return VenueNumber(
            digits: digits,
            scale: UInt8(truncatingIfNeeded: scale),
            written: UInt8(truncatingIfNeeded: written)
        )
    }

    /// How many of the first bytes are below ten, of a word whose bytes are characters with the digit zero taken off.
    @inline(always)
    private static func digitCount(_ word: UInt64) -> Int {
        nonDigits(word).trailingZeroBitCount >> 3
    }

    /// Marks the bytes that are ten or above; marks above the lowest can be wrong.
    @inline(always)
    static func nonDigits(_ word: UInt64) -> UInt64 {
        ((word &+ 0x7676_7676_7676_7676) | word) & 0x8080_8080_8080_8080
    }

    /// The value of eight digits, one a byte, the first lowest.
    @inline(always)
    static func eightDigits(_ word: UInt64) -> Int64 {
        let pairs = (word &* 10) &+ (word >> 8)
        let low = (pairs & 0x0000_00FF_0000_00FF) &* 0x000F_4240_0000_0064
        let high = ((pairs >> 16) & 0x0000_00FF_0000_00FF) &* 0x0000_2710_0000_0001
        return Int64((low &+ high) >> 32)
    }

    @inline(never)
    private mutating func longNumber() throws(FrameFault) -> VenueNumber {
        let start = at
        guard byte != UInt8(ascii: "n"), byte != UInt8(ascii: "t"), byte != UInt8(ascii: "f") else { throw fault }
        guard !isAtArray, !isAtObject else { throw fault }
        let place = try value()
        guard let decimal = Decimal(place.bytes(in: text)) else { throw .badNumber(offset: start) }
        var (digits, scale) = (decimal.digits, decimal.scale)
        while scale > 0, digits % 10 == 0 {
            digits /= 10
            scale -= 1
        }
        return VenueNumber(digits: digits, scale: scale, written: decimal.scale)
    }

    /// Reads a whole number of zero or more, bare or in quotes.
    @inline(__always)
    mutating func unsigned() throws(FrameFault) -> UInt64 {
        let start = at
        let isQuoted = byte == UInt8(ascii: "\"")
        if isQuoted { step() }
        var (total, count) = (UInt64(0), 0)
        while byte &- UInt8(ascii: "0") < 10 {
            let digit = UInt64(byte &- UInt8(ascii: "0"))
            if count >= 19 {
                let (tenfold, overflow) = total.multipliedReportingOverflow(by: 10)
                let (sum, carried) = tenfold.addingReportingOverflow(digit)
                guard !overflow, !carried else { throw .badNumber(offset: start) }
                total = sum
            } else {
                total = total &* 10 &+ digit
            }
            count += 1
            step()
        }
        guard count > 0, byte != UInt8(ascii: "."), byte | 0x20 != UInt8(ascii: "e") else {
            throw at < count ? .badNumber(offset: start) : .truncated
        }
        if isQuoted { try expect(UInt8(ascii: "\"")) }
        return total
    }
}
