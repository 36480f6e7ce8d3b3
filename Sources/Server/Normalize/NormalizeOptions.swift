import Feeds

/// What to make of recordings.
package struct NormalizeOptions: Sendable, Hashable {
    /// A kind of row.
    package enum Kind: String, CaseIterable, Sendable {
        case trades
        case quotes
        case book
        case candles
        case status
    }

    /// The venue's name, which ``knows(_:)`` knows.
    package var venue: String
    /// The day of ITCH files, `2019-01-30`: their messages tell the time of day alone.
    package var sessionDate: String?
    /// The venue's list of instruments; without one, units are inferred from the digits.
    package var instrumentsPath: String?
    package var emits = Set(Kind.allCases)
    /// Levels of each side in a book row; 0 for all.
    package var bookDepth = 20
    /// Levels of each side of the books printed at the end; nil for none.
    package var finalBooks: Int?
    /// Stop at the first bad line.
    package var isStrict = false
    package var files: [String]

    /// Those whose recordings can be normalized: all that can be connected to, and what comes in files of its own format.
    package static let venues = RecordedTraffic.venues + [DBNNormalizer.venue]

    /// Whether a name is one of ``venues``, or that of a FIX server.
    package static func knows(_ venue: String) -> Bool { venues.contains(venue) || RecordedTraffic.knows(venue) }

    package init(venue: String = "", files: [String] = []) {
        self.venue = venue
        self.files = files
    }
}

/// How a run ended.
package struct NormalizeReport: Sendable, Hashable {
    package var lines = 0
    /// Lines that were not understood, and damaged parts of the file.
    package var badLines = 0
    /// Parts of recordings that were no whole block.
    package var lostParts = 0
    package var rows = 0
    /// A strict run met a bad line and stopped there.
    package var isStopped = false

    public init() {}

    /// 0 when all was read, 1 when a strict run stopped.
    package var exitStatus: Int32 { isStopped ? 1 : 0 }
}

/// Why recordings cannot be read at all.
package enum NormalizeError: Error, Hashable, Sendable {
    case unknownVenue(String, known: [String])
    case cannotRead(path: String)
    case damaged(path: String, reason: String)
    case badInstruments(path: String, reason: String)
    /// An ITCH file needs its day.
    case badSessionDate(String?)

    /// 2 for what the caller can mend in the command, 1 for a damaged file.
    package var exitStatus: Int32 {
        switch self {
        case .unknownVenue, .cannotRead, .badInstruments, .badSessionDate: 2
        case .damaged: 1
        }
    }
}

extension NormalizeError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .unknownVenue(let venue, let known):
            "unknown venue \"\(venue)\"; known are \(known.joined(separator: ", "))"
        case .cannotRead(let path): "cannot read \(path): give the path of a capture, packed with gzip or plain"
        case .damaged(let path, let reason): "\(path) is damaged: \(reason)"
        case .badSessionDate(let date):
            date.map { "\"\($0)\" is no date; write one such as 2019-01-30" }
                ?? "ITCH messages tell the time of day alone: give their day with --date, such as --date 2019-01-30"
        case .badInstruments(let path, let reason): "\(path) is not a list of instruments of this venue: \(reason)"
        }
    }
}
