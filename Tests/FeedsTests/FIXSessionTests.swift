import Feeds
import Market
import Testing

/// A session under a clock of its own, and the venue on its other side.
private struct Wire {
    var session: FIXSession
    var now: Int64 = 1_704_189_600_000_000_000
    var effects: [FIXSession.Effect] = []
    /// The number of the venue's next message.
    var number: UInt64 = 1
    var isForFeed: [Bool] = []

    init(asking symbols: [String] = ["A", "B"], _ change: (inout FIXSession.Settings) -> Void = { _ in }) {
        var settings = FIXSession.Settings(sender: "HUB", target: "VENUE")
        settings.heartbeatSeconds = 10
        change(&settings)
        let subscription = VenueSubscription(rawSymbols: symbols, channels: [.book, .trades])
        session = FIXSession(FIXMarketDataDialect(depth: 5), subscription: subscription, settings: settings)
    }

    mutating func handle(_ event: FIXSession.Event) { session.handle(event, atNs: now, random: 0, into: &effects) }

    /// Time passes; the session is woken when it asked for it.
    mutating func advance(seconds: Double) {
        let until = now + Int64(seconds * 1e9)
        while let next = wait, next <= until {
            now = max(now, next)
            handle(.timer)
        }
        now = until
    }

    private var wait: Int64? {
        for case .wait(let untilNs) in effects.reversed() { return untilNs }
        return nil
    }

    /// The venue says something; `number` is its own unless told.
    mutating func venue(_ body: String, number told: UInt64? = nil, names: String = "49=VENUE|56=HUB") {
        let type = body.split(separator: "|", maxSplits: 1)
        let rest = type.count > 1 ? "|" + type[1] : ""
        let message = fix("\(type[0])|\(names)|34=\(told ?? number)\(rest)", begin: "FIX.4.4")
        if told == nil { number += 1 }
        raw(message)
    }

    mutating func raw(_ message: [UInt8]) {
        let isTaken = message.withUnsafeBytes { session.receive($0, atNs: now, random: 0, into: &effects) }
        isForFeed.append(isTaken)
    }

    /// What we sent since the last look, fields from 34 on without time, and other effects but waits.
    mutating func look() throws -> [String] {
        defer { effects.removeAll { if case .wait = $0 { false } else { true } } }
        return try effects.compactMap { effect in
            switch effect {
            case .wait: return nil
            case .send(let bytes):
                let fields = try bytes.withUnsafeBytes { try FIXFields($0) }
                #expect(fields.value(of: 49) == "HUB" && fields.value(of: 56) == "VENUE")
                let told = fields.all.filter { ![8, 9, 10, 49, 56, 52, 122].contains($0.tag) }
                return told.map { "\($0.tag)=\($0.value)" }.joined(separator: "|")
            case .connect: return "connect"
            case .close: return "close"
            case .lost(let reason): return "lost \(reason)"
            case .report(let text): return "report \(text)"
            }
        }
    }

    mutating func logOn() throws {
        handle(.start)
        handle(.connected)
        venue("35=A|98=0|108=10")
        _ = try look()
        #expect(session.state == .live)
    }
}

private let requestA = "262=A|263=1|264=5|265=1|267=4|269=0|269=1|269=2|269=3|146=1|55=A"

@Suite("A FIX session")
struct FIXSessionTests {
    @Test("connects, logs on with counts of one, and asks for each instrument")
    func logOn() throws {
        var wire = Wire {
            $0.username = "me"
            $0.password = "secret"
            $0.applicationVersion = "9"
        }
        wire.handle(.start)
        #expect(try wire.look() == ["connect"])
        wire.handle(.connected)
        #expect(try wire.look() == ["35=A|34=1|98=0|108=10|141=Y|553=me|554=secret|1137=9"])
        wire.venue("35=A|98=0|108=10|141=Y")
        let asked = try wire.look()
        #expect(asked == ["35=V|34=2|" + requestA, "35=V|34=3|" + requestA.replacing("=A", with: "=B")])
        wire.venue("35=W|55=A|268=1|269=0|270=1|271=1")
        #expect(wire.isForFeed == [true, true])
        #expect(wire.session.state == .live)
    }

    @Test("sends requests no faster than the venue wants them")
    func pace() throws {
        var wire = Wire { $0.sendEveryNs = 1_000_000_000 }
        try wire.logOn()
        wire.advance(seconds: 0.9)
        #expect(try wire.look().isEmpty)
        wire.advance(seconds: 0.2)
        #expect(try wire.look().count == 1)
    }

    @Test("keeps the session alive, answers tests, and tests a venue that is silent before it leaves")
    func heartbeats() throws {
        var wire = Wire()
        try wire.logOn()
        wire.venue("35=1|112=hello")
        #expect(try wire.look() == ["35=0|34=4|112=hello"])
        wire.advance(seconds: 9.9)
        #expect(try wire.look().isEmpty)
        wire.advance(seconds: 0.2)
        #expect(try wire.look() == ["35=0|34=5"])
        wire.advance(seconds: 2)
        let test = try wire.look()
        #expect(test.count == 1 && test[0].hasPrefix("35=1|34=6|112="))
        wire.venue("35=0|112=x")
        wire.advance(seconds: 11.9)
        #expect(try wire.look() == ["35=0|34=7"])
        wire.advance(seconds: 12.2)
        let end = try wire.look()
        #expect(end.contains { $0.hasPrefix("35=1|34=8") })
        #expect(end.suffix(2) == ["close", "lost silence"])
        #expect(wire.session.state == .pausing)
    }

    @Test("takes the venue's interval of heartbeats for its own")
    func interval() throws {
        var wire = Wire()
        wire.handle(.start)
        wire.handle(.connected)
        wire.venue("35=A|98=0|108=60")
        _ = try wire.look()
        wire.advance(seconds: 59)
        #expect(try wire.look().isEmpty)
        wire.advance(seconds: 2)
        #expect(try wire.look() == ["35=0|34=4"])
    }

    @Test("comes back with pauses that double, and begins both counts anew")
    func reconnects() throws {
        var wire = Wire { $0.steadyNs = 5_000_000_000 }
        try wire.logOn()
        for pause in [0.25, 0.5, 1, 2] {
            wire.handle(.closed)
            wire.advance(seconds: pause - 0.01)
            #expect(try !wire.look().contains("connect"))
            wire.advance(seconds: 0.02)
            #expect(try wire.look() == ["connect"])
        }
        wire.handle(.connected)
        #expect(try wire.look().first?.hasPrefix("35=A|34=1|") == true)
        wire.number = 1
        wire.venue("35=A|108=10")
        wire.advance(seconds: 6)
        wire.handle(.closed)
        #expect(wire.session.losses == 1)
        #expect(try wire.look().last == "lost connectionLost")
    }

    @Test("gives up a connection or a logon that takes too long", arguments: [false, true])
    func timeouts(isConnected: Bool) throws {
        var wire = Wire()
        wire.handle(.start)
        if isConnected { wire.handle(.connected) }
        wire.advance(seconds: 9.9)
        #expect(try !wire.look().contains("close"))
        wire.advance(seconds: 0.2)
        #expect(try wire.look().contains("close"))
    }

    @Test("asks for a hole in the venue's count, leaves what comes meanwhile, and goes on when it is filled")
    func resendRequest() throws {
        var wire = Wire()
        try wire.logOn()
        wire.isForFeed = []
        wire.venue("35=X|268=1|279=0|269=2|55=A|270=1|271=1", number: 4)
        #expect(try wire.look() == ["35=2|34=4|7=2|16=0"])
        wire.venue("35=0", number: 5)
        #expect(try wire.look().isEmpty)
        #expect(wire.isForFeed == [false, false])
        for number in UInt64(2)...5 { wire.venue("35=X|43=Y|268=1|279=0|269=2|55=A|270=1|271=1", number: number) }
        wire.venue("35=0", number: 6)
        #expect(wire.isForFeed == [false, false, true, true, true, true, true])
        // Nothing was missed: the books stay.
        #expect(try wire.look().isEmpty)
        // What comes twice is left out.
        wire.venue("35=X|43=Y|268=1|279=0|269=2|55=A|270=1|271=1", number: 3)
        #expect(wire.isForFeed.last == false)
        #expect(wire.session.state == .live)
    }

    @Test("begins all books anew when the venue fills a hole with nothing")
    func gapFill() throws {
        var wire = Wire()
        try wire.logOn()
        wire.venue("35=0", number: 9)
        #expect(try wire.look() == ["35=2|34=4|7=2|16=0"])
        wire.venue("35=4|43=Y|123=Y|36=10", number: 2)
        let done = try wire.look()
        #expect(done.first == "lost gap")
        #expect(
            done.dropFirst().map { String($0.prefix(12)) } == [
                "35=V|34=5|26", "35=V|34=6|26", "35=V|34=7|26", "35=V|34=8|26",
            ]
        )
        wire.venue("35=0", number: 10)
        #expect(wire.isForFeed.last == true)
    }

    @Test("leaves a venue that is asked for nothing and fills a hole with nothing, for a session that begins anew")
    func gapFillUnasked() throws {
        var wire = Wire(asking: [])
        try wire.logOn()
        wire.venue("35=0", number: 9)
        wire.venue("35=4|43=Y|123=Y|36=10", number: 2)
        #expect(try wire.look() == ["35=2|34=2|7=2|16=0", "close", "lost gap"])
        wire.advance(seconds: 0.5)
        #expect(try wire.look() == ["connect"])
    }

    @Test("leaves a venue alone that refuses eight times in a row, and tries once when its time is over")
    func breaker() throws {
        var wire = Wire()
        wire.handle(.start)
        for _ in 0..<8 {
            while wire.session.state != .connecting { wire.advance(seconds: 0.25) }
            wire.handle(.connected)
            wire.number = 1
            wire.venue("35=5|58=no")
        }
        #expect(wire.session.gate.openings == 1)
        _ = try wire.look()
        wire.advance(seconds: 59.9)
        #expect(try wire.look().isEmpty)
        wire.advance(seconds: 0.2)
        #expect(try wire.look() == ["connect"])
        // A session that stays closes the breaker.
        wire.handle(.connected)
        wire.number = 1
        wire.venue("35=A|108=10")
        for _ in 0..<4 {
            wire.advance(seconds: 10)
            wire.venue("35=0")
        }
        #expect(wire.session.gate.breaker == .closed)
    }

    @Test("leaves a venue that does not fill a hole")
    func unfilled() throws {
        var wire = Wire()
        try wire.logOn()
        wire.venue("35=0", number: 9)
        for number in UInt64(10)...18 {
            wire.advance(seconds: 1)
            wire.venue("35=0", number: number)
        }
        #expect(wire.session.state == .live)
        wire.advance(seconds: 1.1)
        #expect(try wire.look().suffix(2) == ["close", "lost gap"])
    }

    @Test("takes a new count from a reset, and leaves when one goes back")
    func reset() throws {
        var wire = Wire()
        try wire.logOn()
        wire.venue("35=4|36=100", number: 50)
        #expect(try wire.look().first == "lost gap")
        wire.venue("35=0", number: 100)
        #expect(wire.isForFeed.last == true)
        wire.venue("35=4|36=3", number: 101)
        #expect(try wire.look().contains("close"))
    }

    @Test("leaves a venue whose count goes back, or which names others", arguments: [true, false])
    func refuses(isNumber: Bool) throws {
        var wire = Wire()
        try wire.logOn()
        if isNumber { wire.venue("35=0", number: 1) } else { wire.venue("35=0", names: "49=OTHER|56=HUB") }
        let end = try wire.look()
        #expect(end.first?.hasPrefix("35=5|34=4|58=") == true)
        #expect(end.suffix(2) == ["close", "lost venueRequest"])
    }

    @Test("fills what the venue asks for again with nothing, and makes requests anew")
    func filled() throws {
        var wire = Wire()
        try wire.logOn()
        wire.venue("35=2|7=2|16=0")
        let sent = try wire.look()
        #expect(sent.first == "35=4|34=2|43=Y|123=Y|36=4")
        #expect(sent.count == 5)
        #expect(sent.dropFirst().first?.hasPrefix("35=V|34=4|") == true)
        // Numbers that were never used are no question.
        wire.venue("35=2|7=900|16=0")
        #expect(try wire.look().isEmpty)
    }

    @Test("ends when the venue logs out, with its reason, also before the logon")
    func logout() throws {
        var wire = Wire()
        try wire.logOn()
        wire.venue("35=5|58=maintenance")
        #expect(
            try wire.look() == ["report the venue logs out: maintenance", "35=5|34=4", "close", "lost venueRequest"]
        )
        var other = Wire()
        other.handle(.start)
        other.handle(.connected)
        other.venue("35=5|58=wrong password")
        #expect(try other.look().suffix(2) == ["report no logon but 35=5 wrong password", "close"])
        var stopped = Wire()
        try stopped.logOn()
        stopped.handle(.stop)
        #expect(try stopped.look() == ["35=5|34=4", "lost connectionLost", "close"])
        #expect(stopped.session.state == .stopped)
    }

    @Test("asks for a book again when the feed wants it, once")
    func demand() throws {
        var wire = Wire { $0.sendEveryNs = 1_000_000_000 }
        try wire.logOn()
        wire.advance(seconds: 3)
        _ = try wire.look()
        let frames = FIXMarketDataDialect(depth: 5).resubscribeFrames(rawSymbol: "A")
        for _ in 0..<3 { wire.handle(.demanded(.resubscribe(rawSymbol: "A", frames: frames))) }
        wire.advance(seconds: 4.9)
        let sent = try wire.look()
        #expect(sent.map { String($0.prefix(20)) } == ["35=V|34=4|262=A|263=", "35=V|34=5|262=A|263="])
        // The second one waited for its time.
        wire.advance(seconds: 2)
        #expect(try wire.look().count == 2)
        wire.handle(.demanded(.reconnect(.venueRequest)))
        #expect(try wire.look() == ["close", "lost venueRequest"])
    }

    @Test("hands a garbled message to the feed, which counts it, and asks again for it by its number")
    func garbled() throws {
        var wire = Wire()
        try wire.logOn()
        var message = fix("35=X|49=VENUE|56=HUB|34=2|268=1|279=0|269=2|55=A|270=1|271=1")
        message[message.count - 3] ^= 1
        wire.raw(message)
        #expect(wire.isForFeed.last == true)
        wire.venue("35=0", number: 3)
        #expect(try wire.look() == ["35=2|34=4|7=2|16=0"])
    }
}
