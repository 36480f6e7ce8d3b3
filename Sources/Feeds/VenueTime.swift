extension JSONScanner {
    /// Reads `2021-04-17T16:43:37.075687Z` as nanoseconds since 1970 UTC; up to nine decimals, or none.
    public static func isoTimeNs(
        _ value: FrameValue,
        in text: UnsafeRawBufferPointer
    ) throws(FrameFault) -> Int64 {
        let count = value.end - value.start - 2
        guard count >= 20, count <= 30, value.isString(in: text), let base = text.baseAddress else {
            throw .badTime(offset: value.start)
        }
        let bytes = (base + value.start + 1).assumingMemoryBound(to: UInt8.self)
        // Gathers the high bits of whatever is no digit, to be looked at once.
        var wrong: UInt8 = 0
        func digits(_ from: Int, _ count: Int) -> Int64 {
            var total: Int64 = 0
            for index in from..<(from + count) {
                let digit = bytes[index] &- UInt8(ascii: "0")
                wrong |= digit &+ 0x76 | digit
                total = total &* 10 &+ Int64(digit)
            }
            return total
        }
        let (year, month, day) = (digits(0, 4), digits(5, 2), digits(8, 2))
        let (hour, minute, second) = (digits(11, 2), digits(14, 2), digits(17, 2))
        let decimals = count - 21
        let fraction = decimals > 0 ? digits(20, decimals) : 0
        guard wrong & 0x80 == 0, decimals != 0, decimals < 0 || bytes[19] == UInt8(ascii: "."),
            bytes[4] == UInt8(ascii: "-"), bytes[7] == UInt8(ascii: "-"), bytes[10] == UInt8(ascii: "T"),
            bytes[13] == UInt8(ascii: ":"), bytes[16] == UInt8(ascii: ":"), bytes[count - 1] == UInt8(ascii: "Z"),
            year >= 1970, year <= 2261, month >= 1, month <= 12, day >= 1, day <= 31, hour < 24, minute < 60,
            second <= 60
        else { throw .badTime(offset: value.start) }
        let days = Int64(CalendarDate.days(Int(year), Int(month), Int(day)))
        let seconds = days &* 86_400 &+ hour &* 3_600 &+ minute &* 60 &+ second
        return seconds &* 1_000_000_000 &+ fraction &* powerOfTen(UInt8(truncatingIfNeeded: 9 - max(decimals, 0)))
    }

    /// Reads whole milliseconds since 1970 as nanoseconds.
    @inline(__always)
    mutating func millisecondsNs() throws(FrameFault) -> Int64 {
        let start = at
        let milliseconds = try unsigned()
        guard milliseconds <= 9_223_372_036_854 else { throw .badTime(offset: start) }
        return Int64(milliseconds) * 1_000_000
    }

    /// Reads seconds since 1970 with up to nine decimals as nanoseconds.
    @inline(__always)
    mutating func secondsNs() throws(FrameFault) -> Int64 {
        let start = at
        guard let time = try number().units(atScale: 9), time >= 0 else { throw .badTime(offset: start) }
        return time
    }
}
