import Signaling
import Testing

/// Twenty ids that come, go, take each other's place, fall silent, and talk, in any order.
///
/// Beside the realm runs a plain model that knows only who has which id. Every message has a number, so that its fate can be told.
@Suite("Whatever peers do")
struct RealmPropertyTests {
    @Test(
        "no message is lost, doubled, out of order or with the wrong peer",
        arguments: 1...100 as ClosedRange<UInt64>
    )
    func messagesKeepTheirWay(seed: UInt64) {
        var run = RandomRun(seed: seed)
        for _ in 0..<400 {
            run.step()
            if let fault = run.fault {
                Issue.record("seed \(seed): \(fault)")
                return
            }
        }
        run.settle()
        if let fault = run.fault { Issue.record("seed \(seed): \(fault)") }
    }
}

private struct RandomRun {
    private struct Message {
        var sender: String
        var receiver: String
        /// Where it came; nil while it has not.
        var arrived: LinkID?
    }

    private var board: Switchboard
    private var state: UInt64
    private let ids = (0..<20).map { "peer\($0)" }
    /// The model: who has an id, and with which token.
    private var holders: [String: (link: LinkID, token: String)] = [:]
    /// Connections that are open, with or without an id.
    private var open: [LinkID] = []
    private var messages: [Message] = []
    private var seen: [LinkID: Int] = [:]
    /// The last number that a connection heard of a sender.
    private var last: [LinkID: [String: Int]] = [:]
    /// Pairs of sender and receiver of which it was told that something expired, and when by count of messages.
    private var expired: [String: [(receiver: String, count: Int)]] = [:]
    /// By id: how many messages there were when it was left without a holder.
    private var goneAt: [String: [Int]] = [:]
    private(set) var fault: String?

    init(seed: UInt64) {
        state = seed
        board = Switchboard(settings: RealmSettings(aliveTimeoutNs: 20_000_000_000))
    }

    private mutating func below(_ bound: Int) -> Int {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = (state ^ (state >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return Int((mixed ^ (mixed >> 31)) % UInt64(bound))
    }

    private mutating func anyID() -> String { ids[below(ids.count)] }

    mutating func step() {
        switch below(100) {
        case ..<15: knock()
        case ..<75: offer()
        case ..<80: if !open.isEmpty { end(open[below(open.count)]) }
        case ..<83: leave()
        case ..<92: wait(Int64(100 * (1 + below(10))))
        case ..<94: wait(Int64(1_000 * (1 + below(7))))
        default: for link in open where below(2) == 0 { board.say(.heartbeat, from: link) }
        }
        look()
    }

    private mutating func knock() {
        let id = anyID()
        let token = "token\(below(2))"
        let known = holders[id]
        let link = board.knock(id, token: token)
        if let known, known.token != token {
            if board.heard(link) != ["ID-TAKEN"] { fault = "\(id) was given to another" }
            return
        }
        if board.heard(link).first != "OPEN" { fault = "\(id) was not let in" }
        if let known {
            if board.farewells[known.link] != .replaced { fault = "the old connection of \(id) stays" }
            open.removeAll { $0 == known.link }
            // Its end comes later, or never.
            if below(2) == 0 { board.end(known.link) }
        }
        holders[id] = (link, token)
        open.append(link)
    }

    private mutating func offer() {
        guard !open.isEmpty else { return }
        let (link, receiver) = (open[below(open.count)], anyID())
        guard let sender = holders.first(where: { $0.value.link == link })?.key else {
            // It gave its id up: nothing it says may arrive.
            return board.offer("-1", from: link, to: receiver)
        }
        messages.append(Message(sender: sender, receiver: receiver))
        board.offer("\(messages.count - 1)", from: link, to: receiver)
    }

    private mutating func end(_ link: LinkID) {
        open.removeAll { $0 == link }
        for (id, holder) in holders where holder.link == link { lose(id) }
        board.end(link)
    }

    private mutating func leave() {
        guard !open.isEmpty else { return }
        let link = open[below(open.count)]
        for (id, holder) in holders where holder.link == link { lose(id) }
        board.say(.leave, from: link)
    }

    private mutating func wait(_ ms: Int64) {
        board.wait(ms: ms)
        // Who fell silent was closed.
        for (id, holder) in holders where board.farewells[holder.link] != nil {
            lose(id)
            open.removeAll { $0 == holder.link }
            board.end(holder.link)
        }
    }

    private mutating func lose(_ id: String) {
        holders[id] = nil
        goneAt[id, default: []].append(messages.count)
    }

    /// Reads what came since.
    private mutating func look() {
        for link in open {
            let heard = board.heard(link)
            for word in heard.dropFirst(seen[link] ?? 0) { take(word, by: link) }
            seen[link] = heard.count
        }
        let ids = Set(holders.keys)
        if Set(board.realm.ids) != ids {
            fault = "the realm has \(Set(board.realm.ids).symmetricDifference(ids)) otherwise"
        }
    }

    private mutating func take(_ word: String, by link: LinkID) {
        let parts = word.split(separator: " ").map(String.init)
        switch parts.first {
        case "OFFER":
            guard let number = Int(parts[2]), messages.indices.contains(number) else {
                fault = "something came of who has no id"
                return
            }
            let message = messages[number]
            if message.sender != parts[1] || holders[message.receiver]?.link != link {
                fault = "\(number) came to the wrong peer"
            }
            if message.arrived != nil { fault = "\(number) came twice" }
            if let before = last[link]?[message.sender], before > number { fault = "\(number) came behind \(before)" }
            last[link, default: [:]][message.sender] = number
            messages[number].arrived = link
        case "EXPIRE": expired[parts[2], default: []].append((parts[1], messages.count))
        default: break
        }
    }

    /// Lets everything come to rest; what did not arrive has expired, and its sender was told if somebody was there to be told.
    mutating func settle() {
        for id in ids where holders[id] == nil {
            let link = board.knock(id)
            holders[id] = (link, "t")
            open.append(link)
        }
        look()
        // Nobody is absent: nothing waits any more.
        if board.realm.waitingCount != 0 || board.realm.waitingBytes != 0 { fault = "something waits for who is there" }
        for (number, message) in messages.enumerated() where message.arrived == nil {
            let isTold =
                expired[message.sender]?.contains { $0.receiver == message.receiver && $0.count > number } ?? false
            // Who was not there when it expired could not be told.
            let wasAway = goneAt[message.sender]?.contains { $0 > number } ?? false
            if !isTold, !wasAway { fault = "\(number) is lost, and \(message.sender) was not told" }
        }
    }
}
