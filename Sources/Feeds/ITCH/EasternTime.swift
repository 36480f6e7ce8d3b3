/// When a trading day of the United States begins: ITCH counts nanoseconds from midnight in New York.
///
/// Daylight saving time as in 15 U.S.C. 260a since 2007: from the second Sunday of March to the first Sunday of November. Both
/// changes are at two in the morning, so that midnight of the day itself is still as the day before.
public enum EasternTime {
    private static let hourNs: Int64 = 3_600_000_000_000
    private static let dayNs: Int64 = 24 * hourNs

    /// Nanoseconds since 1970 UTC of the midnight that begins a date written `2010-12-24`; nil when it is none, or is not in
    /// 1971 to 2261.
    public static func midnightNs(of date: String) -> Int64? {
        let bytes = Array(date.utf8)
        guard bytes.count == 10, bytes[4] == UInt8(ascii: "-"), bytes[7] == UInt8(ascii: "-") else { return nil }
        func number(_ range: Range<Int>) -> Int? {
            var total = 0
            for byte in bytes[range] {
                guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { return nil }
                total = total * 10 + Int(byte - UInt8(ascii: "0"))
            }
            return total
        }
        guard let year = number(0..<4), let month = number(5..<7), let day = number(8..<10),
            year >= 1971, let date = CalendarDate(year: year, month: month, day: day)
        else { return nil }
        return midnightNs(ofDay: Int64(date.daysSince1970))
    }

    /// The last midnight in New York at or before a time given in nanoseconds since 1970 UTC.
    public static func midnightNs(before timeNs: Int64) -> Int64 {
        let day = (timeNs - 4 * hourNs) / dayNs
        let midnight = midnightNs(ofDay: day)
        return midnight <= timeNs ? midnight : midnightNs(ofDay: day - 1)
    }

    private static func midnightNs(ofDay day: Int64) -> Int64 {
        let year = CalendarDate(daysSince1970: Int(day)).year
        // 1970-01-01 was a Thursday.
        func sunday(_ number: Int64, ofMonth month: Int) -> Int64 {
            let first = Int64(CalendarDate.days(year, month, 1))
            return first + (10 - first % 7) % 7 + 7 * (number - 1)
        }
        let isSummer = day > sunday(2, ofMonth: 3) && day <= sunday(1, ofMonth: 11)
        return day * dayNs + (isSummer ? 4 : 5) * hourNs
    }
}
