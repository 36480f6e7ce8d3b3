/// A day of the Gregorian calendar.
struct CalendarDate: Hashable, Sendable {
    /// 1970 to 2261.
    let year: Int
    let month: Int
    let day: Int

    /// Nil for a day that no calendar has.
    init?(year: Int, month: Int, day: Int) {
        guard (1970...2261).contains(year), (1...12).contains(month), day >= 1 else { return nil }
        self.year = year
        self.month = month
        self.day = day
        guard day <= 31, CalendarDate(daysSince1970: daysSince1970) == self else { return nil }
    }

    /// Reads eight digits, `20210730`, or six, `210730`.
    init?(digits text: Substring) {
        guard text.utf8.count == 6 || text.utf8.count == 8, text.allSatisfy({ $0.isASCII && $0.isNumber }),
            let number = Int(text)
        else { return nil }
        let year = number / 10_000
        self.init(year: text.utf8.count == 6 ? 2_000 + year : year, month: number / 100 % 100, day: number % 100)
    }

    /// The day that a time falls on in UTC.
    init(ofNs timeNs: Int64) { self.init(daysSince1970: Int(timeNs / 86_400_000_000_000)) }

    /// Counts years from March, so that the leap day comes last.
    init(daysSince1970 days: Int) {
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

    var daysSince1970: Int { Self.days(year, month, day) }

    /// Days from 1970-01-01 to a date, which need not be one: the 31st of February is the third of March.
    static func days(_ year: Int, _ month: Int, _ day: Int) -> Int {
        let shifted = month <= 2 ? year - 1 : year
        let yearOfEra = shifted % 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        return shifted / 400 * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }

    /// Midnight UTC at its start, nanoseconds since 1970.
    var startNs: Int64 { Int64(daysSince1970) * 86_400_000_000_000 }

    /// `20210730`.
    var text: String { String(year * 10_000 + month * 100 + day) }

    /// The month's last Friday, on which quarterly contracts of most venues end.
    static func lastFriday(year: Int, month: Int) -> CalendarDate? {
        let next =
            month == 12
            ? CalendarDate(year: year + 1, month: 1, day: 1)
            : CalendarDate(year: year, month: month + 1, day: 1)
        guard let next, (1...12).contains(month) else { return nil }
        let last = next.daysSince1970 - 1
        // The first of January 1970 was a Thursday, six days behind a Friday.
        return CalendarDate(daysSince1970: last - (last + 6) % 7)
    }

    /// The month that a futures exchange's letter stands for, F for January to Z for December.
    static func month(ofLetter letter: Character) -> Int? {
        Array("FGHJKMNQUVXZ").firstIndex(of: letter).map { $0 + 1 }
    }

    /// The month of `JAN` to `DEC`.
    static func month(named name: Substring) -> Int? {
        ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
            .firstIndex(of: name.uppercased()).map { $0 + 1 }
    }
}
