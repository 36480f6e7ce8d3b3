/// Peers that find each other by their ids: a PeerJS server without its sockets.
///
/// Pure: it is told of connections, messages and the time, and says what is to be told to whom. An id belongs to the connection that
/// has it, not to whoever names it: what a connection does that was replaced, or gave its id up, touches nobody.
///
/// A realm may span several nodes, each with a `Realm` of its own: see ``NodeMessage``.
public struct Realm: Sendable {
    struct Peer: Sendable {
        var link: LinkID
        var token: String
        var lastPingNs: Int64
        /// When it was taken, by this connection.
        var stamp: RealmStamp
        /// When it was first taken: ids are listed in that order.
        var listed: RealmStamp
    }

    struct Link: Sendable {
        /// Nil once it gave its id up, or another has it.
        var id: String?
        var badFrameCount = 0
    }

    public var settings: RealmSettings
    public let node: NodeID
    var peers: [String: Peer] = [:]
    var links: [LinkID: Link] = [:]
    /// Peers of other nodes.
    var remotes: [String: Remote] = [:]
    var waiting = WaitingMessages()
    var stampCount: UInt64 = 0
    private var cleanedNs: Int64
    private var lookedNs: Int64

    public init(settings: RealmSettings = RealmSettings(), node: NodeID = NodeID(0), atNs now: Int64) {
        self.settings = settings
        self.node = node
        cleanedNs = now
        lookedNs = now
    }

    /// Peers of this node.
    public var peerCount: Int { peers.count }
    /// Messages that wait for peers who are not there, and their bytes.
    public var waitingCount: Int { waiting.count }
    public var waitingBytes: Int { waiting.byteCount }

    /// The ids of all peers, other nodes' too, in the order in which they came.
    public var ids: [String] {
        let own = peers.map { ($0.key, $0.value.listed) }
        return (own + remotes.map { ($0.key, $0.value.stamp) }).sorted { $0.1 < $1.1 }.map(\.0)
    }

    public func isTaken(_ id: String) -> Bool { peers[id] != nil || remotes[id] != nil }

    /// The id that a connection has; nil when it has none any more.
    public func id(of link: LinkID) -> String? { links[link]?.id }

    // MARK: Coming

    /// Lets a connection in as a peer, or turns it away; refusals are told and then the connection is closed.
    ///
    /// The checks are those of the reference server, in its order. An id with the same token is taken over: the new connection is the
    /// peer from now on, with a clock of its own, and the old one is closed.
    public mutating func knock(_ link: LinkID, _ knock: Knock, atNs now: Int64, into effects: inout [RealmEffect]) {
        if knock.id.isEmpty || knock.token.isEmpty || knock.key.isEmpty {
            return refuse(link, .error(.incomplete), into: &effects)
        }
        guard knock.key == settings.key else { return refuse(link, .error(.wrongKey), into: &effects) }
        if let known = peers[knock.id] {
            guard known.token == knock.token else { return refuse(link, .idTaken, into: &effects) }
            links[known.link]?.id = nil
            effects.append(.close(known.link, .replaced))
        } else if let known = remotes[knock.id] {
            guard known.token == knock.token else { return refuse(link, .idTaken, into: &effects) }
        } else if peers.count >= settings.concurrentMost {
            return refuse(link, .error(.full), into: &effects)
        }
        stampCount += 1
        let stamp = RealmStamp(count: stampCount, node: node)
        remotes[knock.id] = nil
        let listed = peers[knock.id]?.listed ?? stamp
        peers[knock.id] = Peer(link: link, token: knock.token, lastPingNs: now, stamp: stamp, listed: listed)
        links[link] = Link(id: knock.id)
        effects.append(.tell(link, .open))
        effects.append(.send(.joined(id: knock.id, token: knock.token, stamp: stamp), to: nil))
        deliverWaiting(for: knock.id, into: &effects)
    }

    private func refuse(_ link: LinkID, _ word: SignalingWord, into effects: inout [RealmEffect]) {
        effects.append(.tell(link, word))
        effects.append(.close(link, .plain))
    }

    mutating func deliverWaiting(for id: String, into effects: inout [RealmEffect]) {
        for message in waiting.take(for: .id(id)) {
            relay(message.text, from: message.sender, to: id, into: &effects)
        }
    }

    // MARK: Talking

    /// A message of a peer whose type is known.
    ///
    /// `destination` is nil where the message names nobody; `text` makes the frame as it goes out, where it is needed.
    public mutating func receive(
        _ kind: SignalingKind,
        from link: LinkID,
        to destination: PeerName?,
        atNs now: Int64,
        into effects: inout [RealmEffect],
        text: (_ src: String) -> [UInt8]
    ) {
        guard let id = links[link]?.id else { return }
        guard kind != .heartbeat else {
            peers[id]?.lastPingNs = now
            return
        }
        guard let destination else {
            if kind == .leave { giveUp(id, of: link, into: &effects) }
            return
        }
        if case .id(let name) = destination, isTaken(name) {
            return relay(text(id), from: id, to: name, into: &effects)
        }
        // A farewell, and word of one who waited in vain, are for those who are there.
        guard kind != .leave, kind != .expire else { return }
        let isKept = waiting.add(text(id), from: id, to: destination, atNs: now, settings)
        if !isKept { effects.append(.tell(link, .expire(src: destination, dst: id))) }
    }

    private func relay(_ text: [UInt8], from sender: String, to id: String, into effects: inout [RealmEffect]) {
        if let peer = peers[id] {
            effects.append(.tell(peer.link, .relay(text)))
        } else if let remote = remotes[id] {
            effects.append(.send(.relay(to: id, from: sender, text: text), to: remote.stamp.node))
        }
    }

    /// A frame that is no JSON object: the connection stays usable, up to a number of them.
    public mutating func receiveNonsense(from link: LinkID, into effects: inout [RealmEffect]) {
        guard links[link] != nil else { return }
        links[link]?.badFrameCount += 1
        effects.append(.tell(link, .error(.invalidMessage)))
        if links[link]?.badFrameCount ?? 0 >= settings.badFramesMost { effects.append(.close(link, .badFrames)) }
    }

    // MARK: Going

    /// A connection has ended; its id is free at once.
    public mutating func closed(_ link: LinkID, into effects: inout [RealmEffect]) {
        guard let known = links.removeValue(forKey: link), let id = known.id else { return }
        remove(id, into: &effects)
    }

    private mutating func giveUp(_ id: String, of link: LinkID, into effects: inout [RealmEffect]) {
        links[link]?.id = nil
        remove(id, into: &effects)
    }

    private mutating func remove(_ id: String, into effects: inout [RealmEffect]) {
        peers[id] = nil
        effects.append(.send(.left(id: id), to: nil))
    }

    // MARK: Time

    /// Looks after what time brings: peers that fell silent, messages that waited too long.
    ///
    /// To be called some times a second.
    public mutating func advance(toNs now: Int64, into effects: inout [RealmEffect]) {
        if now - lookedNs >= RealmSettings.aliveIntervalNs {
            lookedNs = now
            let silent = peers.filter { now - $0.value.lastPingNs >= settings.aliveTimeoutNs }
            for (id, peer) in silent.sorted(by: { $0.value.stamp < $1.value.stamp }) {
                links[peer.link]?.id = nil
                effects.append(.close(peer.link, .plain))
                remove(id, into: &effects)
            }
        }
        guard now - cleanedNs >= settings.cleanupIntervalNs else { return }
        cleanedNs = now
        for (sender, name) in waiting.expire(before: now - settings.expireTimeoutNs) {
            tellExpired(name, to: sender, into: &effects)
        }
    }

    /// Whoever has the sender's id now is told.
    func tellExpired(_ name: PeerName, to sender: String, into effects: inout [RealmEffect]) {
        if let peer = peers[sender] {
            effects.append(.tell(peer.link, .expire(src: name, dst: sender)))
        } else if let remote = remotes[sender] {
            effects.append(.send(.expired(name, sender: sender), to: remote.stamp.node))
        }
    }
}
