/// Names one connection of one loop for as long as it lives, and nothing afterwards.
///
/// A slot is used again, a generation is not: an old identity finds nobody.
public struct ConnectionID: Hashable, Sendable, BitwiseCopyable {
    public var slot: UInt32
    public var generation: UInt32

    public init(slot: UInt32, generation: UInt32) {
        self.slot = slot
        self.generation = generation
    }

    /// As the pointer-sized value that libwebsockets keeps for us with each of its connections.
    var packed: UnsafeMutableRawPointer? {
        UnsafeMutableRawPointer(bitPattern: UInt(generation) << 32 | UInt(slot))
    }

    init?(packed: UnsafeMutableRawPointer?) {
        let bits = UInt(bitPattern: packed)
        guard bits >> 32 != 0 else { return nil }
        self.init(slot: UInt32(truncatingIfNeeded: bits), generation: UInt32(truncatingIfNeeded: bits >> 32))
    }
}

/// Everything a loop knows about one of its sockets.
struct Socket {
    /// What is spoken.
    enum Role {
        case http
        case webSocket
        case raw
        case httpClient
    }

    /// How far along its life it is.
    enum Phase: Equatable {
        /// Not yet introduced to the owner: a handshake or a plain HTTP exchange.
        case young
        case open
        /// Asked to close with this code; waits for the end of the turn, or for the remainder of a write.
        case closing(code: UInt16)
        /// Nothing more is heard from it or said to it.
        case gone
    }

    /// libwebsockets' own connection; set once it has introduced it, and no more once ``peer`` is set.
    var wsi: OpaquePointer?
    /// The connection since it is a WebSocket; while it is young, libwebsockets has yet to let go of it.
    var peer: WebSocketPeer?
    var role: Role
    var phase = Phase.young
    var listener: UInt16 = 0
    var tag: UInt8 = 0
    /// The remainder of a write waits; the owner is told when it is gone.
    var isBlocked = false
    /// Accepted above the most, only to be told 503.
    var isSurplus = false
    var isAborting = false
    /// Whether a whole request header came.
    var hasAsked = false
    /// What a WebSocket was closed with, by us or the peer; zero while it was not.
    var closeCode: UInt16 = 0
    /// When the sweep ends the connection; zero for never.
    var deadlineNs: UInt64 = 0
    var closeReason: [UInt8] = []
    /// 0 where no compression was agreed on.
    var deflateWindowBits: UInt8 = 0
    var peerAddress: String
    var exchange: HTTPExchange?
    var client: ClientConnection?
}

/// The sockets of one loop, by identity in constant time.
struct SocketTable {
    private var slots: [Socket] = []
    /// Odd while the slot is taken, even while it is free.
    private var generations: [UInt32] = []
    private var free: [UInt32] = []
    /// Connections that listeners accepted and that are still there.
    private(set) var acceptedCount = 0
    private(set) var count = 0

    mutating func add(role: Socket.Role, peerAddress: String, listener: UInt16 = 0) -> ConnectionID {
        let socket = Socket(role: role, listener: listener, peerAddress: peerAddress)
        count += 1
        if role != .httpClient { acceptedCount += 1 }
        if let slot = free.popLast() {
            slots[Int(slot)] = socket
            generations[Int(slot)] &+= 1
            return ConnectionID(slot: slot, generation: generations[Int(slot)])
        }
        slots.append(socket)
        generations.append(1)
        return ConnectionID(slot: UInt32(slots.count - 1), generation: 1)
    }

    /// Forgets a socket; does nothing when it is forgotten already.
    mutating func remove(_ id: ConnectionID) {
        guard contains(id) else { return }
        let slot = Int(id.slot)
        count -= 1
        if slots[slot].role != .httpClient { acceptedCount -= 1 }
        slots[slot] = Socket(role: slots[slot].role, phase: .gone, peerAddress: "")
        generations[slot] &+= 1
        free.append(id.slot)
    }

    func contains(_ id: ConnectionID) -> Bool {
        Int(id.slot) < generations.count && generations[Int(id.slot)] == id.generation && id.generation & 1 == 1
    }

    /// How a connection is written to.
    enum Writing {
        case gone
        case blocked
        case peer(WebSocketPeer)
        /// By libwebsockets.
        case raw
    }

    /// In one look, because it is asked for every delivery.
    func writing(to id: ConnectionID) -> Writing {
        let slot = Int(id.slot)
        guard contains(id), slots[slot].phase == .open else { return .gone }
        if slots[slot].isBlocked { return .blocked }
        return slots[slot].peer.map(Writing.peer) ?? .raw
    }

    /// The socket of an identity that is known to be present.
    subscript(id: ConnectionID) -> Socket {
        _read {
            precondition(contains(id), "a socket that is gone")
            yield slots[Int(id.slot)]
        }
        _modify {
            precondition(contains(id), "a socket that is gone")
            yield &slots[Int(id.slot)]
        }
    }

    /// Everybody present; O(*n*), for the sweep and the end.
    var identities: [ConnectionID] {
        generations.indices.compactMap { slot in
            generations[slot] & 1 == 0
                ? nil : ConnectionID(slot: UInt32(slot), generation: generations[slot])
        }
    }
}
