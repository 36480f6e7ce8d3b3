/// The name of a file of a recording: `binance-20260131T235959.123456Z.cap.gz`, its source and when it was begun.
struct RecordingName: Hashable, Comparable {
    private static let suffix = ".cap.gz"

    let source: String
    /// `20260131T235959.123456Z`: in the order of time.
    let begun: String

    init(source: String, utcNs: Int64) {
        self.source = source
        begun = TimeText.text(utcNs: utcNs).filter { $0 != "-" && $0 != ":" }
    }

    /// Nil for any file that no recorder named.
    init?(_ file: String) {
        guard file.hasSuffix(Self.suffix) else { return nil }
        let stem = file.dropLast(Self.suffix.count)
        guard let dash = stem.lastIndex(of: "-") else { return nil }
        source = String(stem[..<dash])
        begun = String(stem[stem.index(after: dash)...])
        guard !source.isEmpty, begun.wholeMatch(of: /[0-9]{8}T[0-9]{6}\.[0-9]{6}Z/) != nil else { return nil }
    }

    var file: String { "\(source)-\(begun)\(Self.suffix)" }

    static func < (one: Self, other: Self) -> Bool { (one.begun, one.source) < (other.begun, other.source) }
}
