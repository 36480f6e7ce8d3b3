/// How much a log line matters.
package enum LogLevel: String, CaseIterable, Codable, Sendable, Comparable {
    case debug
    case info
    case warning
    case error

    package var rank: UInt8 {
        switch self {
        case .debug: 0
        case .info: 1
        case .warning: 2
        case .error: 3
        }
    }

    package static func < (left: Self, right: Self) -> Bool { left.rank < right.rank }
}

/// How log lines look.
package enum LogFormat: String, CaseIterable, Codable, Sendable {
    case json
    case text
}
