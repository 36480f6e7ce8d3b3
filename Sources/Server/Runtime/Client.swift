import Hub
import Transport

/// One WebSocket client of an I/O loop.
struct Client {
    // What a delivery looks at comes first, together: with ten thousand clients each line of memory is waited for.
    let connection: ConnectionID
    let session: SessionID
    let format: Format
    /// Whether a legacy client wants one array a pass instead of one frame a value.
    var isBatching = false
    /// Whether its frames tell when they were encoded.
    var wantsTimings = false
    /// Whether the connection takes no bytes now; then everything waits in ``outbox`` or is conflated.
    var isBlocked = false
    /// More is on its way to it than may be; then only what may be conflated waits.
    var isOutOfCredit = false
    /// Why the close has been asked for; nothing is written or read any more then.
    var closeReason: CloseReason?
    /// Set where it takes compressed messages; see ``IOLoop/deflateWindowBits(of:)``.
    var deflateWindowBits: Int?
    var lastSentNs: Int64
    var credit = Credit()
    // What is looked at now and then.
    var outbox = Outbox()
    /// When it fell behind, nanoseconds since 1970 UTC; nil while it is not.
    var behindSinceNs: Int64?
    var requests: TokenBucket
    /// When bad frames began to be counted, and how many came since.
    var badFramesSinceNs: Int64
    var badFrameCount = 0
    /// When requests above the rate began to be counted, and how many came since.
    var floodSinceNs: Int64
    var floodCount = 0
    var lastHeardNs: Int64
    var lastPingNs: Int64

    var isClosing: Bool { closeReason != nil }
    /// Whether it is told less than everything at present.
    var isHeldBack: Bool { isBlocked || isOutOfCredit }

    init(connection: ConnectionID, session: SessionID, format: Format, requestsBurst: Int, atNs now: Int64) {
        self.connection = connection
        self.session = session
        self.format = format
        requests = TokenBucket(burst: requestsBurst, atNs: now)
        badFramesSinceNs = now
        floodSinceNs = now
        lastHeardNs = now
        lastSentNs = now
        lastPingNs = now
    }
}

// What a delivery needs, in one look each: a client is large, and looked at piece by piece it would be copied.
extension Client {
    /// How it wants its messages.
    struct Wishes: Equatable {
        var format: Format
        var isBatch: Bool
        var wantsTimings: Bool
        var windowBits: Int?
    }

    /// Where a message goes, and what goes with it.
    struct Writing {
        var connection: ConnectionID
        var format: Format
        var isBlocked: Bool
        /// The payload of a ping that follows the message; nil where none is due.
        var marker: [UInt8]?
        var isCreditUsedUp: Bool
    }

    /// Nil when the session has ended since, and another begun in its place.
    // Mutating, so that it works where the client lies.
    mutating func wishes(of session: SessionID) -> Wishes? {
        guard session == self.session else { return nil }
        return Wishes(
            format: format,
            isBatch: isBatching,
            wantsTimings: wantsTimings,
            windowBits: deflateWindowBits
        )
    }

    /// Counts a message that is about to be written; nil when nothing may be written any more.
    mutating func beginWriting(bytes: Int, atNs now: Int64) -> Writing? {
        guard !isClosing else { return nil }
        lastSentNs = now
        let marker = credit.marker(behind: bytes, atNs: now)
        credit.send(bytes)
        return Writing(
            connection: connection,
            format: format,
            isBlocked: isBlocked,
            marker: marker,
            isCreditUsedUp: credit.isUsedUp
        )
    }
}

/// Why the hub ends a client's connection; the raw value is the WebSocket close code (Proto/close_codes.csv).
enum CloseReason: UInt16 {
    case policy = 1008
    case restart = 3001
    case tooSlow = 3008
    case silent = 3012
    case flooding = 3013

    var text: String {
        switch self {
        case .policy: "too many bad frames"
        case .restart: "the hub ends or starts anew"
        case .tooSlow: "too slow for what must not be lost"
        case .silent: "nothing heard"
        case .flooding: "too many requests above the rate"
        }
    }
}
