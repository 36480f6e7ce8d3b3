internal import Market

/// What a recorder says between the records of a venue's traffic: the payload of a record of kind ``CaptureRecord/Kind/mark``.
///
/// A word and its fields, separated by tabs. Words that are not known mean nothing, so that older readers read on.
package enum RecordingMark: Hashable, Sendable {
    /// The first line of every file: which series it belongs to, and its number in it.
    ///
    /// `run` is the same for all files of one source that one recorder wrote, and no other; numbers count from 1.
    case file(source: String, venue: String, run: Int64, number: Int)
    /// How the source reads what is recorded, where that is not as usual; behind the first line of a file.
    case settings(RecordedSettings)
    /// A connection that an earlier file says of that it was opened is open still.
    case open(url: String)
    /// The connection is gone.
    case lost(reason: String)
    /// The connection is given up for good: its number may be another's from here on.
    case ended
    /// Books were looked at, and some of the connection's found to have been crossed or quiet for too long.
    case watched
    /// Before this line so many records are missing.
    case gap(records: Int)
    /// So many messages were lost on the way from the venue, and will not come.
    case missed(messages: UInt64)
    /// A message that the session kept to itself, so that no feed read it: a logon, one that came before, one behind a hole.
    case kept(message: String)

    /// Nil for a word that is not known, or whose fields are not.
    package init?(_ payload: UnsafeRawBufferPointer) {
        let fields = payload.split(separator: UInt8(ascii: "\t"), omittingEmptySubsequences: false)
            .map { String(decoding: $0, as: UTF8.self) }
        switch (fields[0], fields.count) {
        case ("file", 5):
            guard let run = Int64(fields[3]), let number = Int(fields[4]), number > 0 else { return nil }
            self = .file(source: fields[1], venue: fields[2], run: run, number: number)
        case ("settings", 2...): self = .settings(RecordedSettings(fields: fields[1...]))
        case ("ended", 1): self = .ended
        case ("watched", 1): self = .watched
        case ("open", 2): self = .open(url: fields[1])
        case ("lost", 2): self = .lost(reason: fields[1])
        case ("missed", 2):
            guard let messages = UInt64(fields[1]), messages > 0 else { return nil }
            self = .missed(messages: messages)
        case ("kept", 2...): self = .kept(message: fields[1...].joined(separator: "\t"))
        case ("gap", 2):
            guard let records = Int(fields[1]), records > 0 else { return nil }
            self = .gap(records: records)
        default: return nil
        }
    }

    /// As it stands in a file.
    package var payload: String {
        switch self {
        case .file(let source, let venue, let run, let number): "file\t\(source)\t\(venue)\t\(run)\t\(number)"
        case .settings(let settings): (["settings"] + settings.fields).joined(separator: "\t")
        case .ended: "ended"
        case .watched: "watched"
        case .open(let url): "open\t\(url)"
        case .lost(let reason): "lost\t\(reason)"
        case .gap(let records): "gap\t\(records)"
        case .missed(let messages): "missed\t\(messages)"
        case .kept(let message): "kept\t\(message)"
        }
    }

    /// Whether a file that begins with this mark goes on where the one with `earlier` ended.
    func follows(_ earlier: RecordingMark?) -> Bool {
        guard case .file(let source, let venue, let run, let number) = self,
            case .file(source, venue, run, let before)? = earlier
        else { return false }
        return number == before + 1
    }
}

extension MarketStatus.Reason {
    /// The reason of that name, as recordings write it; the connection's loss for any other.
    init(recorded name: String) {
        self = Self.allCases.first { $0.name == name } ?? .connectionLost
    }
}
