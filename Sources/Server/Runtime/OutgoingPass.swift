import Hub
import Wire

/// A pass on its way out: its bytes, and who has yet to get them.
///
/// Used again from pass to pass, so that it asks for no memory once it has seen its largest.
struct OutgoingPass: ~Copyable {
    var pass = Pass()
    private(set) var begunNs: Int64 = 0
    /// When its bytes were made, nanoseconds since 1970 UTC.
    private(set) var encodedNs: Int64 = 0
    private var encoder: PassEncoder
    /// The first share that was not reached yet.
    private var next = 0
    /// By session, the place of the share that it has yet to get; empty until somebody asks.
    private var places: [Int32] = []
    private var arePlacesKnown = false
    private static let none: Int32 = -1

    /// - Parameter deflate: how public data are deflated for who takes them so; nil for never.
    init(deflate: DeflateSettings? = nil) { encoder = PassEncoder(deflate: deflate) }

    /// Whether somebody has yet to get a share.
    var isOnItsWay: Bool { next < pass.shares.count }

    /// Forgets everything, for the next pass.
    mutating func begin(atNs now: Int64) {
        pass.removeAll()
        next = 0
        arePlacesKnown = false
        begunNs = now
    }

    /// Makes the bytes of every push; `nowNs` is asked for the time when they are made, nanoseconds since 1970 UTC.
    mutating func encode(instruments: borrowing LegacyInstruments, nowNs: () -> Int64) {
        encoder.encode(pass, instruments: instruments)
        encodedNs = nowNs()
    }

    /// The place of the next share in ``Pass/shares``, which counts as sent from now on.
    mutating func takeNext() -> Int? {
        while next < pass.shares.count {
            let place = next
            next += 1
            guard arePlacesKnown else { return place }
            let session = pass.shares[place].session.index
            guard places[session] == Int32(place) else { continue }
            places[session] = Self.none
            return place
        }
        return nil
    }

    /// The same for the share of one session; nil when it has none, or got it.
    mutating func take(of session: SessionID) -> Int? {
        if !arePlacesKnown { findPlaces() }
        guard session.index < places.count else { return nil }
        let place = Int(places[session.index])
        guard place >= next, pass.shares[place].session == session else { return nil }
        places[session.index] = Self.none
        return place
    }

    /// O(shares), once a pass that is interrupted.
    private mutating func findPlaces() {
        arePlacesKnown = true
        let most = pass.shares[next...].reduce(0) { max($0, $1.session.index + 1) }
        if places.count < most { places += repeatElement(Self.none, count: most - places.count) }
        for place in places.indices { places[place] = Self.none }
        for place in next..<pass.shares.count { places[pass.shares[place].session.index] = Int32(place) }
    }

    /// Hands over the message with one share, ready to be written.
    mutating func withMessage<Result>(
        of share: Pass.Share,
        _ wishes: Client.Wishes,
        sentNs: Int64,
        _ body: (UnsafeRawBufferPointer) -> Result
    ) -> Result {
        encoder.withMessage(of: share, in: pass, wishes, encodedNs: encodedNs, sentNs: sentNs, body)
    }
}
