extension JSONScanner {
    /// Reads `2021-04-17T16:43:37.075687Z` as nanoseconds since 1970 UTC; up to nine decimals, or none.
    public static func isoTimeNs(
        _ value: FrameValue,
        in text: UnsafeRawBufferPointer
    ) throws(FrameFault) -> Int64 {
        let count = value.end - value.start - 2
        guard count >= 20, count <= 30, count != 21, value.isString(in: text), let base = text.baseAddress else {
            throw .badTime(offset: value.start)
        }
        let start = base + value.start + 1
        // Eight characters at a time, less those of a template: digits, and zeros for what stands between them.
        @inline(always)
        func characters(at place: Int, less template: UInt64) -> UInt64 {
            UInt64(littleEndian: start.loadUnaligned(fromByteOffset: place, as: UInt64.self)) ^ template
        }
        @inline(always)
        func pair(_ place: UInt64, of characters: UInt64) -> Int64 {
            let digits = characters >> (8 &* place)
            return Int64((digits & 0xF) &* 10 &+ (digits >> 8 & 0xF))
        }
        // The first character is the lowest byte: `0000-00-`, `0-00-00T` and `00:00:00`.
        let months = characters(at: 0, less: 0x2D30_302D_3030_3030)
        let days = characters(at: 3, less: 0x5430_302D_3030_2D30)
        let clock = characters(at: 11, less: 0x3030_3A30_303A_3030)
        // Gathers whatever is no digit or differs from a template, to be looked at once.
        var wrong = nonDigits(months) | nonDigits(days) | nonDigits(clock)
        wrong |= months & 0xFF00_00FF_0000_0000 | days & 0xFF00_00FF_0000_FF00 | clock & 0x0000_FF00_00FF_0000
        let year = pair(0, of: months) &* 100 &+ pair(2, of: months)
        let (month, day) = (pair(5, of: months), pair(5, of: days))
        let (hour, minute, second) = (pair(0, of: clock), pair(3, of: clock), pair(6, of: clock))
        let decimals = count &- 21
        var fraction: Int64 = 0
        if decimals > 0 {
            // The eight characters before the Z, of which those before the point go: a fraction of eight digits, or the last
            // eight of nine.
            let others = UInt64(truncatingIfNeeded: max(0, 8 &- decimals))
            let last = characters(at: count &- 9, less: 0x3030_3030_3030_3030) >> (8 &* others)
            wrong |= nonDigits(last)
            fraction = eightDigits(last)
            if decimals == 9 {
                let first = UInt64(start.load(fromByteOffset: 20, as: UInt8.self) ^ UInt8(ascii: "0"))
                wrong |= nonDigits(first)
                fraction &+= Int64(first) &* 100_000_000
            } else {
                fraction &*= 10
            }
        }
        guard wrong == 0, decimals < 0 || start.load(fromByteOffset: 19, as: UInt8.self) == UInt8(ascii: "."),
            start.load(fromByteOffset: count &- 1, as: UInt8.self) == UInt8(ascii: "Z"),
            year >= 1970, year <= 2261, month >= 1, month <= 12, day >= 1, day <= 31, hour < 24, minute < 60,
            second <= 60
        else { throw .badTime(offset: value.start) }
        let wholeDays = Int64(CalendarDate.days(Int(year), Int(month), Int(day)))
        let seconds = wholeDays &* 86_400 &+ hour &* 3_600 &+ minute &* 60 &+ second
        return seconds &* 1_000_000_000 &+ fraction
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
