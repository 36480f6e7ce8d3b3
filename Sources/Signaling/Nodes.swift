/// One node of a realm that several hubs serve together.
public struct NodeID: Hashable, Sendable, Comparable {
    public var rawValue: UInt32

    public init(_ rawValue: UInt32) { self.rawValue = rawValue }

    public static func < (one: NodeID, other: NodeID) -> Bool { one.rawValue < other.rawValue }
}

/// When a peer came, by counters that follow each other as far as nodes have heard of each other (Lamport, "Time, clocks, and the ordering
/// of events in a distributed system", 1978).
public struct RealmStamp: Hashable, Sendable, Comparable {
    public var count: UInt64
    public var node: NodeID

    public init(count: UInt64, node: NodeID) {
        self.count = count
        self.node = node
    }

    public static func < (one: RealmStamp, other: RealmStamp) -> Bool {
        (one.count, one.node) < (other.count, other.node)
    }
}

/// What nodes of a realm tell each other, over a bus that keeps the order between any two of them and loses nothing.
public enum NodeMessage: Hashable, Sendable {
    /// A peer is at the sender's node from now on.
    case joined(id: String, token: String, stamp: RealmStamp)
    case left(id: String)
    /// A frame for a peer of the receiver.
    case relay(to: String, from: String, text: [UInt8])
    /// A message of a peer of the receiver to `name` waited in vain.
    case expired(PeerName, sender: String)
}

extension Realm {
    struct Remote: Sendable {
        var token: String
        var stamp: RealmStamp
    }

    /// What another node says.
    ///
    /// Of two peers that take an id at the same time at two nodes, both nodes keep the same one: with one token the later, as in any
    /// takeover, with two the earlier.
    public mutating func receive(
        _ message: NodeMessage,
        from other: NodeID,
        into effects: inout [RealmEffect]
    ) {
        switch message {
        case .joined(let id, let token, let stamp): joined(id, token, stamp, into: &effects)
        case .left(let id): if remotes[id]?.stamp.node == other { remotes[id] = nil }
        case .relay(let id, let sender, let text):
            // It has gone since: what its sender would be told later it is told now.
            guard let peer = peers[id] else {
                return effects.append(.send(.expired(.id(id), sender: sender), to: other))
            }
            effects.append(.tell(peer.link, .relay(text)))
        case .expired(let name, let sender):
            guard let peer = peers[sender] else { return }
            effects.append(.tell(peer.link, .expire(src: name, dst: sender)))
        }
    }

    private mutating func joined(_ id: String, _ token: String, _ stamp: RealmStamp, into effects: inout [RealmEffect])
    {
        stampCount = max(stampCount, stamp.count)
        if let own = peers[id] {
            let keepsOwn = own.token == token ? own.stamp > stamp : own.stamp < stamp
            guard !keepsOwn else { return }
            links[own.link]?.id = nil
            peers[id] = nil
            if own.token != token { effects.append(.tell(own.link, .idTaken)) }
            effects.append(.close(own.link, own.token == token ? .replaced : .plain))
        }
        if let known = remotes[id], known.token == token ? known.stamp > stamp : known.stamp < stamp { return }
        remotes[id] = Remote(token: token, stamp: stamp)
        deliverWaiting(for: id, into: &effects)
    }

    /// A node is gone, and its peers with it.
    public mutating func lost(_ node: NodeID) {
        remotes = remotes.filter { $0.value.stamp.node != node }
    }

    /// What a node is told that has just come: who is here.
    public func greeting(for node: NodeID) -> [RealmEffect] {
        peers.sorted { $0.value.stamp < $1.value.stamp }.map { id, peer in
            .send(.joined(id: id, token: peer.token, stamp: peer.stamp), to: node)
        }
    }
}
