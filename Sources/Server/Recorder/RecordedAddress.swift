internal import Feeds

/// What a recording needs to know of a connection that is no WebSocket, besides where it led to: it stands in the recorded
/// address, which each file of a series repeats.
///
/// `fix://10.1.2.3:9876?depth=10&keying=automatic`, `soupbin://10.1.2.3:5000/S1?midnight=1548824400000000000&books=empty`.
struct RecordedAddress: Hashable {
    private var base: String
    private var values: [(name: String, value: String)]

    private init(_ base: String, _ values: [(name: String, value: String)]) {
        self.base = base
        self.values = values
    }

    /// Nil without a `?`.
    private init?(_ text: String) {
        guard let mark = text.firstIndex(of: "?") else { return nil }
        base = String(text[..<mark])
        values = text[text.index(after: mark)...].split(separator: "&").map { part in
            let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            return (String(pair[0]), pair.count > 1 ? String(pair[1]) : "")
        }
    }

    var text: String { base + "?" + values.map { "\($0.name)=\($0.value)" }.joined(separator: "&") }

    private subscript(name: String) -> String? { values.first { $0.name == name }?.value }

    private static func host(_ host: String, _ port: UInt16) -> String {
        host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    }

    static func == (one: Self, other: Self) -> Bool { one.text == other.text }
    func hash(into hasher: inout Hasher) { hasher.combine(text) }
}

// MARK: FIX

extension RecordedAddress {
    /// A FIX session, and how its books were read.
    static func fix(host: String, port: UInt16, _ dialect: FIXMarketDataDialect) -> String {
        RecordedAddress(
            "fix://" + Self.host(host, port),
            [("depth", String(dialect.depth ?? 0)), ("keying", dialect.keying.rawValue)]
        ).text
    }

    /// The dialect of a recorded address; one as it comes where the address does not say how books were read.
    static func fixDialect(of url: String, venue: String) -> FIXMarketDataDialect {
        let address = RecordedAddress(url)
        let depth = address?["depth"].flatMap { Int($0) } ?? 0
        return FIXMarketDataDialect(
            venue: venue,
            keying: address?["keying"].flatMap(FIXMarketDataDialect.Keying.init(rawValue:)) ?? .automatic,
            depth: depth > 0 ? depth : nil
        )
    }
}

// MARK: ITCH

extension RecordedAddress {
    /// What the books are when a session of ITCH begins, or goes on.
    enum Books: String {
        /// Empty: the session is heard from its first message on.
        case empty
        /// Not known: what was before was not heard.
        case unknown
        /// As they were: the session goes on with the message after the last one heard.
        case kept
    }

    struct ITCHSession: Hashable {
        /// Nanoseconds since 1970 UTC that the messages' times count from.
        var midnightNs: Int64
        var books: Books
    }

    /// A session of ITCH; `server` is its address with the protocol in front.
    static func itch(_ server: String, session: String, _ meaning: ITCHSession) -> String {
        let name = session.filter { $0.isASCII && ($0.isLetter || $0.isNumber) }
        return RecordedAddress(
            "\(server)/\(name)",
            [("midnight", String(meaning.midnightNs)), ("books", meaning.books.rawValue)]
        ).text
    }

    /// Nil for an address that is none of ITCH.
    static func itchSession(of url: String) -> ITCHSession? {
        guard let address = RecordedAddress(url), let midnightNs = address["midnight"].flatMap({ Int64($0) }),
            let books = address["books"].flatMap(Books.init(rawValue:))
        else { return nil }
        return ITCHSession(midnightNs: midnightNs, books: books)
    }
}
