import Feeds
import Testing

/// A client with its clock, and what it says and hears.
private struct Soup {
    var client: SoupBinClient
    var nowNs: Int64 = 1_000_000_000
    var effects: [SoupBinClient.Effect] = []
    var heard: [String] = []

    init(timeoutMs: Int? = nil) {
        client = SoupBinClient(.init(user: "user", password: "secret", heartbeatTimeoutMs: timeoutMs))
    }

    mutating func handle(_ event: SoupBinClient.Event) -> [SoupBinClient.Effect] {
        effects = []
        client.handle(event, atNs: nowNs, random: 1, into: &effects)
        return effects
    }

    mutating func receive(_ bytes: [UInt8], partBytes: Int = .max) -> [SoupBinClient.Effect] {
        effects = []
        var heard: [String] = []
        var start = 0
        while start < bytes.count {
            let end = min(
                bytes.count,
                start.addingReportingOverflow(partBytes).overflow ? bytes.count : start + partBytes
            )
            Array(bytes[start..<end]).withUnsafeBytes { part in
                client.receive(part, atNs: nowNs, random: 1, into: &effects, before: { _ in }) { message, number in
                    heard.append("\(number)=\(String(decoding: message, as: UTF8.self))")
                }
            }
            start = end
        }
        self.heard += heard
        return effects
    }

    mutating func logIn(_ session: String = "S1", _ next: UInt64 = 1) -> [SoupBinClient.Effect] {
        nowNs += 100_000_000_000
        _ = handle(.timer)
        _ = handle(.connected)
        return receive(Self.accepted(session, next))
    }

    static func packet(_ kind: Character, _ payload: String = "") -> [UInt8] {
        let bytes = Array(String(kind).utf8) + Array(payload.utf8)
        return [UInt8(bytes.count >> 8), UInt8(bytes.count & 255)] + bytes
    }

    static func accepted(_ session: String, _ next: UInt64) -> [UInt8] {
        packet("A", pad(session, 10) + pad("\(next)", 20))
    }

    static func pad(_ text: String, _ length: Int) -> String {
        String(repeating: " ", count: length - text.count) + text
    }
}

@Suite("A SoupBinTCP client")
struct SoupBinClientTests {
    @Test("logs in with what the server needs and hears messages numbered from where it accepts")
    func logsIn() {
        var soup = Soup()
        #expect(soup.handle(.start) == [.connect, .wait(untilNs: 11_000_000_000)])
        let login = soup.handle(.connected)
        let wanted = Soup.packet("L", "user  " + "secret    " + Soup.pad("", 10) + Soup.pad("1", 20))
        #expect(wanted.count == 49 && login.first == .send(wanted))
        let accepted = soup.receive(Soup.accepted("S1", 1))
        #expect(accepted.first == .loggedIn(session: "S1", next: 1, goesOn: false, missed: 0))
        _ = soup.receive(Soup.packet("S", "a") + Soup.packet("H") + Soup.packet("S", "b") + Soup.packet("+", "hello"))
        #expect(soup.heard == ["1=a", "2=b"] && soup.client.isLive)
    }

    @Test("adds the time-out that version 4 wants")
    func version4() {
        var soup = Soup(timeoutMs: 15_000)
        _ = soup.handle(.start)
        let wanted = Soup.packet("L", "user  " + "secret    " + Soup.pad("", 10) + Soup.pad("1", 20) + "15000")
        #expect(soup.handle(.connected).first == .send(wanted))
    }

    @Test("hears the same however the bytes are cut", arguments: [1, 2, 3, 7, 100])
    func cut(partBytes: Int) {
        var soup = Soup()
        _ = soup.handle(.start)
        _ = soup.handle(.connected)
        let texts = ["", "x", String(repeating: "y", count: 300), "z"]
        let bytes = Soup.accepted("S", 5) + texts.flatMap { Soup.packet("S", $0) }
        _ = soup.receive(bytes, partBytes: partBytes)
        #expect(soup.heard == zip(5..., texts).map { "\($0)=\($1)" })
    }

    @Test("goes on after a loss with the first message it has not heard")
    func goesOn() {
        var soup = Soup()
        _ = soup.handle(.start)
        _ = soup.handle(.connected)
        _ = soup.receive(Soup.accepted("S1", 1) + Soup.packet("S", "a") + Soup.packet("S", "b") + [0, 9, 83])
        let lost = soup.handle(.closed)
        #expect(lost.first == .lost(.connection))
        soup.nowNs += 1_000_000_000
        #expect(soup.handle(.timer).first == .connect)
        let wanted = Soup.packet("L", "user  " + "secret    " + Soup.pad("S1", 10) + Soup.pad("3", 20))
        #expect(soup.handle(.connected).first == .send(wanted))
        #expect(
            soup.receive(Soup.accepted("S1", 3)).first == .loggedIn(session: "S1", next: 3, goesOn: true, missed: 0)
        )
        _ = soup.receive(Soup.packet("S", "c"))
        #expect(soup.heard == ["1=a", "2=b", "3=c"])
    }

    @Test("says how many messages are missed when the server cannot go on, or another session is there")
    func missed() {
        var soup = Soup()
        _ = soup.handle(.start)
        _ = soup.handle(.connected)
        _ = soup.receive(Soup.accepted("S1", 1) + Soup.packet("S", "a"))
        _ = soup.handle(.closed)
        #expect(soup.logIn("S1", 7).first == .loggedIn(session: "S1", next: 7, goesOn: true, missed: 5))
        _ = soup.handle(.closed)
        #expect(soup.logIn("S2", 1).first == .loggedIn(session: "S2", next: 1, goesOn: false, missed: 0))
        _ = soup.handle(.closed)
        #expect(soup.logIn("S3", 9).first == .loggedIn(session: "S3", next: 9, goesOn: false, missed: 8))
        _ = soup.handle(.closed)
        let back = soup.logIn("S3", 1)
        #expect(back.first == .close && back.contains(.lost(.protocolError("a session that goes back"))))
    }

    @Test("says something every second and gives up a server that is silent for fifteen")
    func heartbeats() {
        var soup = Soup()
        _ = soup.handle(.start)
        _ = soup.handle(.connected)
        _ = soup.receive(Soup.accepted("S1", 1))
        for _ in 0..<14 {
            soup.nowNs += 1_000_000_000
            #expect(soup.handle(.timer).first == .send(Soup.packet("R")))
        }
        soup.nowNs += 999_999_999
        #expect(!soup.handle(.timer).contains(.close))
        soup.nowNs += 1
        #expect(soup.handle(.timer).prefix(2) == [.close, .lost(.silence)])
    }

    @Test("asks for another session when its own is not there, and waits long when it is not wanted")
    func rejected() {
        var soup = Soup()
        _ = soup.handle(.start)
        _ = soup.handle(.connected)
        _ = soup.receive(Soup.accepted("S1", 4))
        _ = soup.handle(.closed)
        soup.nowNs += 10_000_000_000
        _ = soup.handle(.timer)
        _ = soup.handle(.connected)
        #expect(soup.receive(Soup.packet("J", "S")).prefix(2) == [.close, .lost(.sessionNotAvailable)])
        soup.nowNs += 10_000_000_000
        _ = soup.handle(.timer)
        let wanted = Soup.packet("L", "user  " + "secret    " + Soup.pad("", 10) + Soup.pad("1", 20))
        #expect(soup.handle(.connected).first == .send(wanted))
        #expect(soup.receive(Soup.packet("J", "A")).prefix(2) == [.close, .lost(.notAuthorized)])
        soup.nowNs += 59_000_000_000
        #expect(!soup.handle(.timer).contains(.connect))
        soup.nowNs += 1_000_000_000
        #expect(soup.handle(.timer).first == .connect)
    }

    @Test("says that a session has ended, and begins with the next")
    func ends() {
        var soup = Soup()
        _ = soup.handle(.start)
        _ = soup.handle(.connected)
        let effects = soup.receive(
            Soup.accepted("S1", 1) + Soup.packet("S", "a") + Soup.packet("Z") + Soup.packet("S", "b")
        )
        #expect(effects.dropFirst().prefix(1) == [.ended] || effects.contains(.ended))
        #expect(soup.heard == ["1=a"] && soup.client.session.isEmpty)
        #expect(soup.logIn("S2", 1).first == .loggedIn(session: "S2", next: 1, goesOn: false, missed: 0))
    }

    static let nonsense: [[UInt8]] = [
        [0, 0], Soup.packet("S", "early"), Soup.packet("A", "short"), Soup.packet("?"),
        Soup.packet("A", Soup.pad("S", 10) + Soup.pad("0", 20)),
        Soup.packet("A", Soup.pad("S", 10) + Soup.pad("x", 20)),
    ]

    @Test("leaves a server that says nonsense", arguments: nonsense)
    func leaves(bytes: [UInt8]) {
        var soup = Soup()
        _ = soup.handle(.start)
        _ = soup.handle(.connected)
        let effects = soup.receive(bytes)
        guard effects.first == .close, case .lost(.protocolError)? = effects.dropFirst().first else {
            Issue.record("\(effects)")
            return
        }
        #expect(soup.heard.isEmpty)
    }

    @Test("says goodbye")
    func stops() {
        var soup = Soup()
        _ = soup.handle(.start)
        _ = soup.handle(.connected)
        _ = soup.receive(Soup.accepted("S1", 1))
        #expect(soup.handle(.stop) == [.send(Soup.packet("O")), .close])
        #expect(soup.handle(.start).isEmpty)
    }
}
