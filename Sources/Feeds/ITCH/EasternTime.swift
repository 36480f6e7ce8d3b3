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
        func number(_ range: Range<Int>) -> Int64? {
            var total: Int64 = 0
            for byte in bytes[range] {
                guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { return nil }
                total = total * 10 + Int64(byte - UInt8(ascii: "0"))
            }
            return total
        }
        guard let year = number(0..<4), let month = number(5..<7), let day = number(8..<10),
            (1971...2261).contains(year), (1...12).contains(month), (1...31).contains(day)
        else { return nil }
        let days = CivilDate.days(year, month, day)
        guard CivilDate(days: days) == CivilDate(year: year, month: month, day: day) else { return nil }
        return midnightNs(ofDay: days)
    }

    /// The last midnight in New York at or before a time given in nanoseconds since 1970 UTC.
    public static func midnightNs(before timeNs: Int64) -> Int64 {
        let day = (timeNs - 4 * hourNs) / dayNs
        let midnight = midnightNs(ofDay: day)
        return midnight <= timeNs ? midnight : midnightNs(ofDay: day - 1)
    }

    private static func midnightNs(ofDay day: Int64) -> Int64 {
        let year = CivilDate(days: day).year
        // 1970-01-01 was a Thursday.
        func sunday(_ number: Int64, ofMonth month: Int64) -> Int64 {
            let first = CivilDate.days(year, month, 1)
            return first + (10 - first % 7) % 7 + 7 * (number - 1)
        }
        let isSummer = day > sunday(2, ofMonth: 3) && day <= sunday(1, ofMonth: 11)
        return day * dayNs + (isSummer ? 4 : 5) * hourNs
    }
}

/// A date of the Gregorian calendar, from 1970 on.
struct CivilDate: Hashable {
    var year: Int64
    var month: Int64
    var day: Int64

    init(year: Int64, month: Int64, day: Int64) {
        self.year = year
        self.month = month
        self.day = day
    }

    /// The date so many days after 1970-01-01.
    init(days: Int64) {
        // Years from March, so that the leap day comes last; 400 years have 146,097 days.
        let shifted = days + 719_468
        let era = shifted / 146_097
        let dayOfEra = shifted % 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
        month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    }

    static func days(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
        let shifted = month <= 2 ? year - 1 : year
        let yearOfEra = shifted % 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        return shifted / 400 * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }
}
