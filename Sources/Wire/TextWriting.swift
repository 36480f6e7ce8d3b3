/// Numbers, times and texts as JSON has them, put without allocation.
///
/// `put` wants room that was reserved before and counts on what each says it takes at most; `append` reserves by itself.
enum TextLength {
    /// `-9223372036854775808`.
    static let integerMost = 20
    /// A decimal of scale 18: sign, 19 digits, a point and a leading zero.
    static let decimalMost = 22
    /// `2026-01-02T03:04:05.123456Z`; the year of a 64-bit nanosecond time has four digits.
    static let timeMost = 27
}

extension UnsafeMutablePointer<UInt8> {
    /// Puts a whole number.
    mutating func put(decimal value: UInt64) {
        var left = value
        let length = digitCount(value)
        var place = self + length
        while left >= 100 {
            let (quotient, pair) = left.quotientAndRemainder(dividingBy: 100)
            place -= 2
            place.putPair(UInt8(truncatingIfNeeded: pair))
            left = quotient
        }
        if left >= 10 {
            place -= 2
            place.putPair(UInt8(truncatingIfNeeded: left))
        } else {
            place -= 1
            place.pointee = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: left)
        }
        self += length
    }

    /// Puts `units` of 10^-`scale` as the shortest decimal: no trailing zeros, never an exponent, `0.5` rather than `.5`.
    mutating func put(units: Int64, scale: UInt8) {
        if units < 0 { put(UInt8(ascii: "-")) }
        var (left, places) = (units.magnitude, Int(scale))
        while places > 0 {
            let (quotient, digit) = left.quotientAndRemainder(dividingBy: 10)
            guard digit == 0 else { break }
            left = quotient
            places -= 1
        }
        guard places > 0 else { return put(decimal: left) }
        let length = digitCount(left)
        if length <= places {
            // All digits stand behind the point: 0.00ddd.
            put(UInt8(ascii: "0"))
            put(UInt8(ascii: "."))
            for _ in length..<places { put(UInt8(ascii: "0")) }
            put(decimal: left)
        } else {
            let start = self
            put(decimal: left)
            let point = start + (length - places)
            UnsafeMutableRawPointer(point + 1).copyMemory(from: point, byteCount: places)
            point.pointee = UInt8(ascii: ".")
            self += 1
        }
    }

    /// Puts nanoseconds since 1970 as RFC 3339 UTC text with microseconds; what is below one is cut off.
    mutating func put(timeNs: Int64) {
        let (days, nsOfDay) = divide(timeNs, by: 86_400_000_000_000)
        let (year, month, day) = civil(days)
        put(digits: UInt64(year), 4)
        put(UInt8(ascii: "-"))
        put(digits: UInt64(month), 2)
        put(UInt8(ascii: "-"))
        put(digits: UInt64(day), 2)
        put(UInt8(ascii: "T"))
        let seconds = UInt64(nsOfDay / 1_000_000_000)
        put(digits: seconds / 3600, 2)
        put(UInt8(ascii: ":"))
        put(digits: seconds / 60 % 60, 2)
        put(UInt8(ascii: ":"))
        put(digits: seconds % 60, 2)
        put(UInt8(ascii: "."))
        put(digits: UInt64(nsOfDay % 1_000_000_000) / 1000, 6)
        put(UInt8(ascii: "Z"))
    }

    @inline(__always)
    private func putPair(_ value: UInt8) {
        self[0] = UInt8(ascii: "0") + value / 10
        self[1] = UInt8(ascii: "0") + value % 10
    }

    private mutating func put(digits value: UInt64, _ length: Int) {
        var left = value
        for place in stride(from: length - 1, through: 0, by: -1) {
            self[place] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: left % 10)
            left /= 10
        }
        self += length
    }
}

/// How many decimal digits a number has.
private func digitCount(_ value: UInt64) -> Int {
    var count = 1
    var left = value
    while left >= 10_000 {
        left /= 10_000
        count += 4
    }
    return left >= 1000 ? count + 3 : left >= 100 ? count + 2 : left >= 10 ? count + 1 : count
}

/// Quotient and remainder, rounded down.
private func divide(_ value: Int64, by length: Int64) -> (Int64, Int64) {
    let (quotient, remainder) = value.quotientAndRemainder(dividingBy: length)
    return remainder < 0 ? (quotient - 1, remainder + length) : (quotient, remainder)
}

/// The Gregorian date of a day counted from 1970-01-01.
///
/// Years are counted from March, so that the leap day is their last, in cycles of 400 years of 146,097 days.
private func civil(_ days: Int64) -> (year: Int64, month: Int64, day: Int64) {
    let daysBefore1970 = Int64(719_468)
    let (cycle, dayOfCycle) = divide(days + daysBefore1970, by: 146_097)
    let yearOfCycle = (dayOfCycle - dayOfCycle / 1460 + dayOfCycle / 36_524 - dayOfCycle / 146_096) / 365
    let dayOfYear = dayOfCycle - (365 * yearOfCycle + yearOfCycle / 4 - yearOfCycle / 100)
    let monthFromMarch = (5 * dayOfYear + 2) / 153
    let day = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
    let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
    return (yearOfCycle + cycle * 400 + (month <= 2 ? 1 : 0), month, day)
}

extension OutputBytes {
    mutating func append(decimal value: UInt64) {
        reserve(TextLength.integerMost)
        var at = end
        at.put(decimal: value)
        advance(to: at)
    }

    /// Appends a JSON string with its quotes; what is not UTF-8 becomes U+FFFD.
    mutating func append(json text: String) {
        var text = text
        text.withUTF8 { append(jsonUTF8: UnsafeRawBufferPointer($0)) }
    }

    /// Appends bytes that should be UTF-8 as a JSON string with its quotes; what is not UTF-8 becomes U+FFFD.
    mutating func append(json bytes: UnsafeRawBufferPointer) {
        if bytes.allSatisfy({ $0 < 0x80 }) { return append(jsonUTF8: bytes) }
        append(json: String(decoding: bytes, as: UTF8.self))
    }

    private mutating func append(jsonUTF8 bytes: UnsafeRawBufferPointer) {
        reserve(bytes.count * 6 + 2)
        var at = end
        at.put(UInt8(ascii: "\""))
        for byte in bytes {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                at.put(UInt8(ascii: "\\"))
                at.put(byte)
            case 0x0A: at.put(#"\n"#)
            case 0x0D: at.put(#"\r"#)
            case 0x09: at.put(#"\t"#)
            case 0..<0x20, 0x7F:
                at.put(#"\u00"#)
                at.put(hexDigit(byte >> 4))
                at.put(hexDigit(byte & 15))
            default: at.put(byte)
            }
        }
        at.put(UInt8(ascii: "\""))
        advance(to: at)
    }

    private func hexDigit(_ value: UInt8) -> UInt8 {
        value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + value - 10
    }
}
