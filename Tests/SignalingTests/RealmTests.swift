import Signaling
import Testing

/// A realm with its peers' sockets: what each was told, and how each was closed.
struct Switchboard {
    var realm: Realm
    var nowNs: Int64 = 1_000_000_000_000
    private(set) var told: [LinkID: [SignalingWord]] = [:]
    private(set) var farewells: [LinkID: SignalingFarewell] = [:]
    private(set) var sent: [(message: NodeMessage, to: NodeID?)] = []
    private var linkCount: UInt64 = 0

    init(settings: RealmSettings = RealmSettings(), node: UInt32 = 0) {
        realm = Realm(settings: settings, node: NodeID(node), atNs: 1_000_000_000_000)
        linkCount = UInt64(node) * 1_000_000
    }

    mutating func knock(_ id: String, token: String = "t", key: String = "peerjs") -> LinkID {
        linkCount += 1
        let link = LinkID(linkCount)
        run { $0.knock(link, Knock(id: id, token: token, key: key), atNs: $1, into: &$2) }
        return link
    }

    /// What somebody hears at once who knocks.
    mutating func answer(_ id: String, token: String = "t", key: String = "peerjs") -> [String] {
        let link = knock(id, token: token, key: key)
        return heard(link)
    }

    mutating func say(_ kind: SignalingKind, from link: LinkID, to name: PeerName? = nil, _ payload: String = "") {
        run { realm, now, effects in
            realm.receive(kind, from: link, to: name, atNs: now, into: &effects) { src in
                Array("\(kind.name) \(src) \(payload)".utf8)
            }
        }
    }

    mutating func offer(_ payload: String, from link: LinkID, to id: String) {
        say(.offer, from: link, to: .id(id), payload)
    }

    mutating func nonsense(from link: LinkID) {
        run { realm, _, effects in realm.receiveNonsense(from: link, into: &effects) }
    }

    mutating func end(_ link: LinkID) { run { realm, _, effects in realm.closed(link, into: &effects) } }

    /// Lets time pass, as an owner does that looks ten times a second.
    mutating func wait(ms: Int64) {
        let until = nowNs + ms * 1_000_000
        while nowNs < until {
            nowNs = min(until, nowNs + 100_000_000)
            run { $0.advance(toNs: $1, into: &$2) }
        }
    }

    mutating func hear(_ message: NodeMessage, from node: UInt32) {
        run { realm, _, effects in realm.receive(message, from: NodeID(node), into: &effects) }
    }

    mutating func takeSent() -> [(message: NodeMessage, to: NodeID?)] {
        defer { sent = [] }
        return sent
    }

    private mutating func run(_ body: (inout Realm, Int64, inout [RealmEffect]) -> Void) {
        var effects: [RealmEffect] = []
        body(&realm, nowNs, &effects)
        for effect in effects {
            switch effect {
            case .tell(let link, let word): told[link, default: []].append(word)
            case .close(let link, let farewell): if farewells[link] == nil { farewells[link] = farewell }
            case .send(let message, let node): sent.append((message, node))
            }
        }
    }

    /// What a connection was told, relayed frames as texts and the rest in a word each.
    func heard(_ link: LinkID) -> [String] {
        (told[link] ?? []).map { word in
            switch word {
            case .open: "OPEN"
            case .error(let refusal): refusal.text
            case .idTaken: "ID-TAKEN"
            case .expire(.id(let id), let sender): "EXPIRE \(id) \(sender)"
            case .expire(.other(let text), let sender): "EXPIRE \(text)! \(sender)"
            case .relay(let text): String(decoding: text, as: UTF8.self)
            }
        }
    }
}

@Suite("A realm lets peers in")
struct RealmKnockTests {
    @Test("with OPEN, under their ids, and lists them in the order in which they came")
    func opens() {
        var board = Switchboard()
        let one = board.knock("one")
        _ = board.knock("two")
        #expect(board.heard(one) == ["OPEN"] && board.realm.ids == ["one", "two"])
        // A takeover keeps its place.
        _ = board.knock("one")
        #expect(board.realm.ids == ["one", "two"] && board.realm.peerCount == 2)
    }

    @Test(
        "not without id, token and key",
        arguments: [("", "t", "peerjs"), ("a", "", "peerjs"), ("a", "t", "")]
    )
    func incomplete(id: String, token: String, key: String) {
        var board = Switchboard()
        let link = board.knock(id, token: token, key: key)
        #expect(board.heard(link) == ["No id, token, or key supplied to websocket server"])
        #expect(board.farewells[link] == .plain && board.realm.peerCount == 0)
    }

    @Test("not with another key, and not under an id that another has, by whatever token that one is known")
    func refused() {
        var board = Switchboard()
        let wrong = board.knock("a", key: "other")
        #expect(board.heard(wrong) == ["Invalid key provided"] && board.farewells[wrong] == .plain)
        let first = board.knock("a")
        let second = board.knock("a", token: "else")
        #expect(board.heard(second) == ["ID-TAKEN"] && board.farewells[second] == .plain)
        #expect(board.farewells[first] == nil && board.realm.id(of: first) == "a")
        // The parameters are looked at first, then the key, then the id.
        let answer1 = board.answer("a", token: "", key: "other")
        #expect(answer1.first?.hasPrefix("No id") == true)
        let answer2 = board.answer("a", token: "else", key: "other")
        #expect(answer2 == ["Invalid key provided"])
    }

    @Test("no more than are allowed, but for one who takes its own id over")
    func full() {
        var board = Switchboard(settings: RealmSettings(concurrentMost: 2))
        _ = board.knock("a")
        let b = board.knock("b")
        let late = board.knock("c")
        #expect(board.heard(late) == ["Server has reached its concurrent user limit"])
        #expect(board.farewells[late] == .plain)
        let answer3 = board.answer("a")
        #expect(answer3 == ["OPEN"])
        let answer4 = board.answer("a", token: "x")
        #expect(answer4 == ["ID-TAKEN"])
        board.end(b)
        let answer5 = board.answer("c")
        #expect(answer5 == ["OPEN"])
    }

    @Test("again at once under an id that is free, for any token")
    func freeAtOnce() {
        var board = Switchboard()
        board.end(board.knock("a"))
        let answer6 = board.answer("a", token: "else")
        #expect(answer6 == ["OPEN"])
    }

    @Test(
        "whatever their ids are",
        arguments: ["__proto__", "ä 😀\u{202e}", String(repeating: "x", count: 8_000), "\u{0}"]
    )
    func anyID(id: String) {
        var board = Switchboard()
        let (link, other) = (board.knock(id), board.knock("other"))
        board.offer("hello", from: other, to: id)
        #expect(board.heard(link) == ["OPEN", "OFFER other hello"])
    }
}

@Suite("A connection that takes its own id over")
struct RealmTakeoverTests {
    @Test("is the peer from then on, and the old one is closed and touches nobody")
    func takesOver() {
        var board = Switchboard()
        let (old, other) = (board.knock("a"), board.knock("b"))
        let new = board.knock("a")
        #expect(board.heard(new) == ["OPEN"] && board.farewells == [old: .replaced])
        board.offer("1", from: other, to: "a")
        #expect(board.heard(new) == ["OPEN", "OFFER b 1"] && board.heard(old) == ["OPEN"])
        // What it still says, its farewell and its end are nobody's.
        board.offer("2", from: old, to: "b")
        board.say(.leave, from: old)
        board.end(old)
        #expect(board.heard(other) == ["OPEN"] && board.realm.id(of: new) == "a")
        board.offer("3", from: new, to: "b")
        #expect(board.heard(other) == ["OPEN", "OFFER a 3"])
    }

    @Test("has a clock of its own")
    func clock() {
        var board = Switchboard(settings: RealmSettings(aliveTimeoutNs: 60_000_000_000))
        let old = board.knock("a")
        board.wait(ms: 59_000)
        let new = board.knock("a")
        board.end(old)
        board.wait(ms: 59_000)
        #expect(board.farewells[new] == nil)
        board.wait(ms: 1_400)
        #expect(board.farewells[new] == .plain && board.realm.peerCount == 0)
    }
}

@Suite("A realm passes on")
struct RealmRelayTests {
    @Test(
        "offers, answers and candidates, in order, and to the sender itself",
        arguments: [SignalingKind.offer, .answer, .candidate]
    )
    func relays(kind: SignalingKind) {
        var board = Switchboard()
        let (a, b) = (board.knock("a"), board.knock("b"))
        for number in 1...3 { board.say(kind, from: a, to: .id("b"), "\(number)") }
        board.say(kind, from: a, to: .id("a"), "self")
        #expect(board.heard(b) == ["OPEN"] + (1...3).map { "\(kind.name) a \($0)" })
        #expect(board.heard(a) == ["OPEN", "\(kind.name) a self"])
    }

    @Test("LEAVE and EXPIRE to who is there, and drops them otherwise", arguments: [SignalingKind.leave, .expire])
    func relaysOrDrops(kind: SignalingKind) {
        var board = Switchboard()
        let (a, b) = (board.knock("a"), board.knock("b"))
        board.say(kind, from: a, to: .id("b"), "x")
        board.say(kind, from: a, to: .id("nobody"), "x")
        #expect(board.heard(b) == ["OPEN", "\(kind.name) a x"])
        board.wait(ms: 10_000)
        #expect(board.heard(a) == ["OPEN"] && board.realm.waitingCount == 0)
    }

    @Test("nothing that names nobody", arguments: [SignalingKind.offer, .answer, .candidate, .expire])
    func namesNobody(kind: SignalingKind) {
        var board = Switchboard()
        let a = board.knock("a")
        board.say(kind, from: a)
        board.wait(ms: 10_000)
        #expect(board.heard(a) == ["OPEN"] && board.farewells.isEmpty)
    }

    @Test("no heartbeat, even one that names somebody")
    func heartbeat() {
        var board = Switchboard()
        let (a, b) = (board.knock("a"), board.knock("b"))
        board.say(.heartbeat, from: a, to: .id("b"))
        #expect(board.heard(a) == ["OPEN"] && board.heard(b) == ["OPEN"])
    }

    @Test("nothing more of who gave its id up by LEAVE, whose socket stays open")
    func leave() {
        var board = Switchboard()
        let (a, b) = (board.knock("a"), board.knock("b"))
        board.say(.leave, from: a)
        #expect(board.farewells.isEmpty && board.realm.ids == ["b"])
        board.offer("ghost", from: a, to: "b")
        #expect(board.heard(b) == ["OPEN"])
        // Its end frees nobody else's id.
        let new = board.knock("a", token: "else")
        board.end(a)
        board.offer("1", from: b, to: "a")
        #expect(board.heard(new) == ["OPEN", "OFFER b 1"])
    }

    @Test("frames behind one that is none, up to a number of those")
    func nonsense() {
        var board = Switchboard(settings: RealmSettings(badFramesMost: 3))
        let (a, b) = (board.knock("a"), board.knock("b"))
        board.nonsense(from: a)
        board.nonsense(from: a)
        board.offer("still here", from: a, to: "b")
        #expect(board.heard(a) == ["OPEN", "Invalid message", "Invalid message"] && board.farewells.isEmpty)
        #expect(board.heard(b) == ["OPEN", "OFFER a still here"])
        board.nonsense(from: a)
        #expect(board.farewells[a] == .badFrames)
    }
}

@Suite("A message to a peer that is not there")
struct RealmWaitingTests {
    @Test("waits for it, and comes right behind OPEN, in order, also when its sender has gone")
    func delivered() {
        var board = Switchboard()
        let a = board.knock("a")
        board.offer("1", from: a, to: "b")
        board.say(.candidate, from: a, to: .id("b"), "2")
        board.end(a)
        let b = board.knock("b", token: "any")
        #expect(board.heard(b) == ["OPEN", "OFFER a 1", "CANDIDATE a 2"] && board.realm.waitingCount == 0)
        board.end(b)
        let answer7 = board.answer("b")
        #expect(answer7 == ["OPEN"])
    }

    @Test("expires 5 to 6 seconds after the first to that peer, and each sender is told once for each")
    func expires() {
        var board = Switchboard()
        let (a, c) = (board.knock("a"), board.knock("c"))
        board.offer("1", from: a, to: "b")
        board.wait(ms: 4_000)
        board.offer("2", from: a, to: "b")
        board.offer("3", from: c, to: "b")
        board.say(.offer, from: a, to: .other("5"))
        board.wait(ms: 900)
        #expect(board.heard(a) == ["OPEN"])
        board.wait(ms: 1_200)
        #expect(board.heard(a) == ["OPEN", "EXPIRE b a"] && board.heard(c) == ["OPEN", "EXPIRE b c"])
        board.wait(ms: 4_000)
        #expect(board.heard(a) == ["OPEN", "EXPIRE b a", "EXPIRE 5! a"])
        #expect(board.realm.waitingCount == 0 && board.realm.waitingBytes == 0)
        let answer8 = board.answer("b")
        #expect(answer8 == ["OPEN"])
    }

    @Test("is told of to whoever has its sender's id by then")
    func newHolder() {
        var board = Switchboard()
        let old = board.knock("a")
        board.offer("1", from: old, to: "b")
        board.end(old)
        let new = board.knock("a", token: "else")
        board.wait(ms: 7_000)
        #expect(board.heard(new) == ["OPEN", "EXPIRE b a"])
    }

    @Test("past any bound is not kept, and its sender is told at once; nobody else's are touched")
    func bounds() {
        func board(_ change: (inout RealmSettings) -> Void) -> Switchboard {
            var settings = RealmSettings()
            change(&settings)
            return Switchboard(settings: settings)
        }
        var few = board { $0.waitingMost = 2 }
        let a = few.knock("a")
        for number in 1...3 { few.offer("\(number)", from: a, to: "b") }
        #expect(few.heard(a) == ["OPEN", "EXPIRE b a"])
        let answer9 = few.answer("b")
        #expect(answer9 == ["OPEN", "OFFER a 1", "OFFER a 2"])
        var short = board { $0.waitingBytesMost = 20 }
        let b = short.knock("a")
        short.offer("0123456789", from: b, to: "b")
        short.offer("0123456789", from: b, to: "b")
        short.offer("0123456789", from: b, to: "c")
        #expect(short.heard(b) == ["OPEN", "EXPIRE b a"] && short.realm.waitingCount == 2)
        var names = board { $0.absentMost = 2 }
        let (c, d) = (names.knock("c"), names.knock("d"))
        for name in ["x", "y", "z", "y"] { names.offer("", from: c, to: name) }
        names.offer("", from: d, to: "z")
        #expect(names.heard(c) == ["OPEN", "EXPIRE z c"] && names.heard(d) == ["OPEN"])
        // What expired makes room.
        names.wait(ms: 7_000)
        names.offer("", from: c, to: "z")
        #expect(names.realm.waitingCount == 1)
        var all = board { $0.waitingBytesInAllMost = 25 }
        let (e, f) = (all.knock("e"), all.knock("f"))
        all.offer("0123456789", from: e, to: "x")
        all.offer("0123456789", from: f, to: "y")
        #expect(all.heard(f) == ["OPEN", "EXPIRE y f"] && all.realm.waitingBytes == 18)
    }
}

@Suite("A peer that falls silent")
struct RealmAliveTests {
    @Test("is closed without a word, and its id is free; only HEARTBEAT keeps it")
    func closes() {
        var board = Switchboard()
        let (silent, busy, alive) = (board.knock("silent"), board.knock("busy"), board.knock("alive"))
        for _ in 0..<9 {
            board.wait(ms: 9_900)
            board.say(.heartbeat, from: alive)
            board.offer("x", from: busy, to: "alive")
        }
        #expect(board.farewells.isEmpty)
        board.wait(ms: 1_300)
        #expect(board.farewells == [silent: .plain, busy: .plain] && board.realm.ids == ["alive"])
        #expect(board.heard(silent) == ["OPEN"])
        let answer10 = board.answer("busy", token: "else")
        #expect(answer10 == ["OPEN"])
    }
}

@Suite("A realm over several nodes")
struct RealmNodesTests {
    /// Carries what nodes say to each other until nothing is left to say.
    private func carry(_ boards: inout [Switchboard]) {
        while true {
            var isQuiet = true
            for from in boards.indices {
                for (message, to) in boards[from].takeSent() {
                    isQuiet = false
                    for index in boards.indices where index != from && (to == nil || boards[index].realm.node == to) {
                        boards[index].hear(message, from: UInt32(from))
                    }
                }
            }
            if isQuiet { return }
        }
    }

    private func nodes() -> [Switchboard] { [Switchboard(node: 0), Switchboard(node: 1)] }

    @Test("passes messages from node to node, and those that waited")
    func relays() {
        var boards = nodes()
        let a = boards[0].knock("a")
        boards[0].offer("early", from: a, to: "b")
        carry(&boards)
        let b = boards[1].knock("b")
        carry(&boards)
        boards[1].say(.answer, from: b, to: .id("a"), "late")
        carry(&boards)
        #expect(boards[1].heard(b) == ["OPEN", "OFFER a early"])
        #expect(boards[0].heard(a) == ["OPEN", "ANSWER b late"])
        #expect(boards[0].realm.ids == ["a", "b"] && boards[1].realm.ids == ["a", "b"])
    }

    @Test("refuses an id that a peer of another node has, and lets it be taken over with its token")
    func ids() {
        var boards = nodes()
        let old = boards[0].knock("a")
        carry(&boards)
        let answer11 = boards[1].answer("a", token: "else")
        #expect(answer11 == ["ID-TAKEN"])
        let new = boards[1].knock("a")
        carry(&boards)
        #expect(boards[1].heard(new) == ["OPEN"] && boards[0].farewells[old] == .replaced)
        boards[0].end(old)
        carry(&boards)
        #expect(boards[1].realm.id(of: new) == "a" && boards[0].realm.ids == ["a"])
    }

    @Test("keeps one peer where two nodes let one in at the same time")
    func conflict() {
        for token in ["t", "else"] {
            var boards = nodes()
            let links = [boards[0].knock("a"), boards[1].knock("a", token: token)]
            carry(&boards)
            let holders = boards.indices.filter { boards[$0].realm.id(of: links[$0]) == "a" }
            #expect(holders.count == 1)
            let loser = 1 - (holders.first ?? 0)
            #expect(boards[loser].farewells[links[loser]] == (token == "t" ? .replaced : .plain))
        }
    }

    @Test("tells a sender at once when the peer went while its message was on the way")
    func wentMeanwhile() {
        var boards = nodes()
        let (a, b) = (boards[0].knock("a"), boards[1].knock("b"))
        carry(&boards)
        boards[1].end(b)
        boards[0].offer("1", from: a, to: "b")
        // The farewell and the message cross.
        let crossing = [boards[0].takeSent(), boards[1].takeSent()]
        for (message, _) in crossing[0] { boards[1].hear(message, from: 0) }
        for (message, _) in crossing[1] { boards[0].hear(message, from: 1) }
        carry(&boards)
        #expect(boards[0].heard(a) == ["OPEN", "EXPIRE b a"])
    }

    @Test("greets a node that comes, and forgets the peers of one that is gone")
    func greets() {
        var (one, two) = (Switchboard(node: 0), Switchboard(node: 1))
        _ = one.knock("a")
        for effect in one.realm.greeting(for: NodeID(1)) {
            if case .send(let message, NodeID(1)) = effect { two.hear(message, from: 0) }
        }
        #expect(two.realm.ids == ["a"])
        two.realm.lost(NodeID(0))
        #expect(two.realm.ids.isEmpty)
        let answer12 = two.answer("a", token: "else")
        #expect(answer12 == ["OPEN"])
    }
}
