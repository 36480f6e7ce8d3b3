/// Writes times as RFC 3339 in UTC, with microseconds.
package enum TimeText {
    /// Appends `2026-01-31T23:59:59.123456Z`; what is below a microsecond is cut off.
    ///
    /// Years 0 to 9999, which Int64 nanoseconds never leave.
    package static func append(utcNs: Int64, to bytes: inout [UInt8]) {
        let (seconds, nanoseconds) = floored(utcNs, by: 1_000_000_000)
        let (days, secondOfDay) = floored(seconds, by: 86_400)
        let (year, month, day) = civil(daysSince1970: days)
        digits(year, 4, to: &bytes)
        bytes.append(UInt8(ascii: "-"))
        digits(month, 2, to: &bytes)
        bytes.append(UInt8(ascii: "-"))
        digits(day, 2, to: &bytes)
        bytes.append(UInt8(ascii: "T"))
        digits(secondOfDay / 3600, 2, to: &bytes)
        bytes.append(UInt8(ascii: ":"))
        digits(secondOfDay / 60 % 60, 2, to: &bytes)
        bytes.append(UInt8(ascii: ":"))
        digits(secondOfDay % 60, 2, to: &bytes)
        bytes.append(UInt8(ascii: "."))
        digits(nanoseconds / 1000, 6, to: &bytes)
        bytes.append(UInt8(ascii: "Z"))
    }

    package static func text(utcNs: Int64) -> String {
        var bytes: [UInt8] = []
        append(utcNs: utcNs, to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Nanoseconds since 1970 of an RFC 3339 time, `2026-01-31T23:59:59.5Z` or with an offset such as `+01:00`.
    ///
    /// Nil for anything else, for days that no calendar has, and for years that Int64 nanoseconds do not reach.
    package static func utcNs(of text: String) -> Int64? {
        let form =
            #/
            (\d{4})-(\d{2})-(\d{2})[Tt](\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,9}))?([Zz]|[+\-]\d{2}:\d{2})
            /#
        guard text.utf8.allSatisfy({ $0 < 0x80 }), let parts = text.wholeMatch(of: form)?.output,
            let year = Int64(parts.1), let month = Int64(parts.2), let day = Int64(parts.3),
            let hour = Int64(parts.4), let minute = Int64(parts.5), let second = Int64(parts.6),
            (1700...2250).contains(year), hour < 24, minute < 60, second <= 60
        else { return nil }
        // From the civil date to days, by looking: the reverse is here already and exact.
        let guess = (year - 1970) * 365 + (year - 1969) / 4
        let window = (guess - 70)...(guess + 440)
        guard let days = window.first(where: { civil(daysSince1970: $0) == (year, month, day) }) else { return nil }
        let decimals = (parts.7.map(String.init) ?? "").padding(to: 9)
        var seconds = days * 86_400 + hour * 3600 + minute * 60 + second
        if let sign = parts.8.first, sign == "+" || sign == "-" {
            let fields = parts.8.dropFirst().split(separator: ":").compactMap { Int64($0) }
            guard fields.count == 2, fields[0] < 24, fields[1] < 60 else { return nil }
            seconds -= (sign == "+" ? 1 : -1) * (fields[0] * 3600 + fields[1] * 60)
        }
        return seconds * 1_000_000_000 + (Int64(decimals) ?? 0)
    }

    private static func digits(_ number: Int64, _ count: Int, to bytes: inout [UInt8]) {
        var divisor: Int64 = 1
        for _ in 1..<count { divisor *= 10 }
        while divisor > 0 {
            bytes.append(UInt8(ascii: "0") + UInt8(number / divisor % 10))
            divisor /= 10
        }
    }

    private static func floored(_ number: Int64, by divisor: Int64) -> (quotient: Int64, remainder: Int64) {
        let (quotient, remainder) = number.quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
    }

    /// The Gregorian date; years are counted from March, so that the leap day is a year's last.
    private static func civil(daysSince1970: Int64) -> (year: Int64, month: Int64, day: Int64) {
        // Days from 0000-03-01 to 1970-01-01.
        let (era, dayOfEra) = floored(daysSince1970 + 719_468, by: 146_097)
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        let year = era * 400 + yearOfEra + (month <= 2 ? 1 : 0)
        return (year, month, dayOfYear - (153 * monthFromMarch + 2) / 5 + 1)
    }
}

extension String {
    /// With zeros behind it, to so many digits.
    fileprivate func padding(to count: Int) -> String {
        self + String(repeating: "0", count: max(0, count - self.count))
    }
}
