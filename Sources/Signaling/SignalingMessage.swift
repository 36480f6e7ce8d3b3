/// A connection of a peer, by a number that its owner gave it and gives no other.
public struct LinkID: Hashable, Sendable, BitwiseCopyable {
    public var rawValue: UInt64

    @inlinable
    public init(_ rawValue: UInt64) { self.rawValue = rawValue }
}

/// Whom a message is for, as it was written.
///
/// Only a string can be a peer's id. Anything else that is truthy in JavaScript is nobody's name: a message to it waits and expires
/// like one to an absent peer.
public enum PeerName: Hashable, Sendable {
    case id(String)
    /// The JSON text, such as `5` or `["a"]`.
    case other(String)
}

/// What peers say to each other.
public enum SignalingKind: UInt8, Hashable, Sendable, CaseIterable {
    case heartbeat
    case offer
    case answer
    case candidate
    case leave
    case expire

    /// As it stands in a frame.
    public var name: String {
        switch self {
        case .heartbeat: "HEARTBEAT"
        case .offer: "OFFER"
        case .answer: "ANSWER"
        case .candidate: "CANDIDATE"
        case .leave: "LEAVE"
        case .expire: "EXPIRE"
        }
    }
}

/// What somebody who wants to be a peer names in its request.
public struct Knock: Hashable, Sendable {
    public var id: String
    public var token: String
    public var key: String

    public init(id: String, token: String, key: String) {
        self.id = id
        self.token = token
        self.key = key
    }
}

/// What a realm wants done; its owner does it, in this order.
public enum RealmEffect: Hashable, Sendable {
    case tell(LinkID, SignalingWord)
    case close(LinkID, SignalingFarewell)
    /// For another node of the realm, or for all.
    case send(NodeMessage, to: NodeID?)
}

/// What a peer is told.
public enum SignalingWord: Hashable, Sendable {
    case open
    case error(SignalingRefusal)
    case idTaken
    /// A message from `dst` to `src` waited in vain.
    case expire(src: PeerName, dst: String)
    /// A frame that another peer sent, as it goes out.
    case relay([UInt8])
}

/// Why a peer is not let in, or not understood; the texts are those of the reference server, which clients show.
public enum SignalingRefusal: UInt8, Hashable, Sendable, CaseIterable {
    case incomplete
    case wrongKey
    case full
    case invalidMessage

    public var text: String {
        switch self {
        case .incomplete: "No id, token, or key supplied to websocket server"
        case .wrongKey: "Invalid key provided"
        case .full: "Server has reached its concurrent user limit"
        case .invalidMessage: "Invalid message"
        }
    }
}

/// How a connection ends.
public enum SignalingFarewell: UInt8, Hashable, Sendable, CaseIterable {
    /// A close frame without a status, as the reference server closes.
    case plain
    /// The same peer is connected anew: this one must not connect again by itself.
    case replaced
    /// Too many frames that are no messages.
    case badFrames
}
