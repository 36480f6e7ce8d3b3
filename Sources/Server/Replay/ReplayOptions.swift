/// Which recordings to play to subscribers, and from where to where.
package struct ReplayOptions: Hashable, Sendable {
    package var configuration = ConfigurationOptions()
    /// Files, or directories of them.
    package var paths: [String] = []
    /// Whose traffic it is, where the recordings do not say; of several only this one's.
    package var venue: String?
    package var instrumentsPath: String?
    /// 0 is as fast as it goes.
    package var speedFactor = 1.0
    package var isLooping = false
    package var seek: ReplayPoint?
    package var until: ReplayPoint?

    package init() {}
}

/// A place in a recording.
package enum ReplayPoint: Hashable, Sendable {
    /// Nanoseconds since 1970 UTC.
    case time(Int64)
    /// Nanoseconds since the first record.
    case offset(Int64)

    /// Reads `2026-01-31T12:00:00.5Z`, or `+1h2m3.5s`.
    package init?(_ text: String) {
        if text.hasPrefix("+") {
            guard let ns = Self.durationNs(text.dropFirst()) else { return nil }
            self = .offset(ns)
        } else {
            guard let ns = TimeText.utcNs(of: text) else { return nil }
            self = .time(ns)
        }
    }

    package func ns(firstNs: Int64) -> Int64 {
        switch self {
        case .time(let ns): ns
        case .offset(let ns): firstNs.addingReportingOverflow(ns).overflow ? .max : firstNs + ns
        }
    }

    /// Numbers with units, `1h2m3.5s`, `250ms`; nil for anything else.
    private static func durationNs(_ text: Substring) -> Int64? {
        let units: [(name: Substring, ns: Double)] = [
            ("ns", 1), ("us", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3_600e9), ("d", 86_400e9),
        ]
        var (rest, total) = (text, 0.0)
        guard !rest.isEmpty else { return nil }
        while !rest.isEmpty {
            let digits = rest.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
            rest = rest.dropFirst(digits.count)
            let name = rest.prefix { $0.isLetter }
            rest = rest.dropFirst(name.count)
            guard let number = Double(digits), let unit = units.first(where: { $0.name == name }) else { return nil }
            total += (number * unit.ns).rounded()
        }
        return Int64(exactly: total)
    }
}
