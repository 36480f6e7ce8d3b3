import Feeds
import Testing

/// A sender of numbered texts, and a receiver with its clock.
private struct Mold {
    var receiver: MoldReceiver
    var nowNs: Int64 = 1
    var heard: [UInt64] = []
    var effects: [MoldReceiver.Effect] = []

    init(lines: Int = 1, canRequest: Bool = true, limits: MoldReceiver.Limits = .init()) {
        receiver = MoldReceiver(lines: lines, canRequest: canRequest, limits: limits)
    }

    mutating func receive(_ packet: [UInt8], line: Int = 0) {
        var heard: [UInt64] = []
        packet.withUnsafeBytes { bytes in
            receiver.receive(bytes, line: line, atNs: nowNs, into: &effects, before: { _ in }) { message, number in
                #expect(String(decoding: message, as: UTF8.self) == Mold.text(number))
                heard.append(number)
            }
        }
        self.heard += heard
    }

    mutating func advance(_ ns: Int64) {
        nowNs += ns
        var heard: [UInt64] = []
        receiver.advance(toNs: nowNs, into: &effects, before: { _ in }) { message, number in
            #expect(String(decoding: message, as: UTF8.self) == Mold.text(number))
            heard.append(number)
        }
        self.heard += heard
    }

    mutating func take() -> [MoldReceiver.Effect] {
        defer { effects = [] }
        return effects.filter { if case .wait = $0 { false } else { true } }
    }

    static func text(_ number: UInt64) -> String { String(repeating: "m", count: Int(number % 5)) + "\(number)" }

    static func packet(_ first: UInt64, _ count: Int, session: String = "S1", mark: UInt16? = nil) -> [UInt8] {
        var bytes = Array((session + String(repeating: " ", count: 10)).utf8.prefix(10))
        withUnsafeBytes(of: first.bigEndian) { bytes += $0 }
        withUnsafeBytes(of: (mark ?? UInt16(count)).bigEndian) { bytes += $0 }
        for number in first..<(first + UInt64(count)) {
            let text = Array(Mold.text(number).utf8)
            bytes += [0, UInt8(text.count)] + text
        }
        return bytes
    }

    static func end(_ next: UInt64) -> [UInt8] { packet(next, 0, mark: .max) }

    static func request(_ first: UInt64, _ count: UInt16, session: String = "S1") -> MoldReceiver.Effect {
        var bytes = Array((session + String(repeating: " ", count: 10)).utf8.prefix(10))
        withUnsafeBytes(of: first.bigEndian) { bytes += $0 }
        withUnsafeBytes(of: count.bigEndian) { bytes += $0 }
        return .request(bytes)
    }
}

@Suite("A MoldUDP64 receiver")
struct MoldReceiverTests {
    @Test("hears a session from its first message on")
    func hears() {
        var mold = Mold()
        mold.receive(Mold.packet(1, 3))
        #expect(mold.take() == [.heard, .began(session: "S1", isWhole: true)])
        mold.receive(Mold.packet(4, 0))
        mold.receive(Mold.packet(4, 2))
        mold.receive(Mold.packet(4, 2))
        mold.receive(Mold.packet(5, 2))
        #expect(mold.heard == [1, 2, 3, 4, 5, 6] && mold.receiver.counters.repeatedPackets == 1)
        mold.receive(Mold.end(7))
        mold.receive(Mold.end(7))
        #expect(mold.take() == [.ended])
    }

    @Test("asks again for what does not come by itself, and only for that")
    func asks() {
        var mold = Mold()
        mold.receive(Mold.packet(1, 1))
        mold.receive(Mold.packet(4, 2))
        _ = mold.take()
        mold.advance(4_999_999)
        #expect(mold.take().isEmpty)
        mold.advance(1)
        #expect(mold.take() == [Mold.request(2, 2)])
        mold.advance(99_999_999)
        #expect(mold.take().isEmpty)
        mold.advance(1)
        #expect(mold.take() == [Mold.request(2, 2)])
        mold.receive(Mold.packet(2, 1))
        mold.advance(1_000_000)
        #expect(mold.take() == [Mold.request(3, 1)])
        mold.receive(Mold.packet(3, 1))
        #expect(mold.heard == [1, 2, 3, 4, 5] && mold.take().isEmpty)
    }

    @Test("notices by a heartbeat that the last messages are lost")
    func heartbeat() {
        var mold = Mold()
        mold.receive(Mold.packet(1, 1))
        mold.receive(Mold.packet(4, 0))
        _ = mold.take()
        mold.advance(5_000_000)
        #expect(mold.take() == [Mold.request(2, 2)])
    }

    @Test("gives up what cannot be had, says so and goes on behind it")
    func givesUp() {
        var mold = Mold(canRequest: false)
        mold.receive(Mold.packet(1, 1))
        mold.receive(Mold.packet(3, 1))
        _ = mold.take()
        mold.advance(2_999_999_999)
        #expect(mold.take().isEmpty && mold.heard == [1])
        mold.receive(Mold.packet(7, 1))
        mold.advance(1)
        #expect(mold.take() == [.lost(2..<3)] && mold.heard == [1, 3])
        mold.advance(3_000_000_000)
        #expect(mold.take().contains(.lost(4..<7)) && mold.heard == [1, 3, 7])
        #expect(mold.receiver.counters.lostMessages == 4)
        mold.receive(Mold.packet(2, 1))
        #expect(mold.heard == [1, 3, 7], "what was given up is not wanted any more")
    }

    @Test("who joins late asks for the beginning, or says that it is missing", arguments: [true, false])
    func late(canRequest: Bool) {
        var mold = Mold(canRequest: canRequest)
        mold.receive(Mold.packet(900, 2))
        if canRequest {
            #expect(mold.take() == [.heard, .began(session: "S1", isWhole: true)] && mold.heard.isEmpty)
            mold.advance(5_000_000)
            #expect(mold.take() == [Mold.request(1, 899)])
        } else {
            #expect(mold.take() == [.heard, .began(session: "S1", isWhole: false)] && mold.heard == [900, 901])
        }
    }

    @Test("takes the first of two lines")
    func lines() {
        var mold = Mold(lines: 2)
        for first: UInt64 in 1...10 {
            mold.receive(Mold.packet(first, 1), line: first == 4 ? 1 : 0)
            mold.receive(Mold.packet(first, 1), line: 1)
        }
        #expect(mold.heard == Array(1...10))
        #expect(mold.receiver.counters.firstOnLine == [9, 1] && mold.receiver.counters.repeatedPackets == 10)
        #expect(mold.take().allSatisfy { if case .request = $0 { false } else { true } })
    }

    @Test("begins anew with another session, and hears nothing more of the old")
    func sessions() {
        var mold = Mold()
        mold.receive(Mold.packet(1, 2))
        mold.receive(Mold.packet(1, 1, session: "S2"))
        mold.receive(Mold.packet(3, 1))
        mold.receive(Mold.packet(2, 1, session: "S2"))
        #expect(mold.heard == [1, 2, 1, 2])
        #expect(mold.take().contains(.began(session: "S2", isWhole: true)))
    }

    @Test("says when nothing is heard any more, and when something is again")
    func silence() {
        var mold = Mold()
        mold.receive(Mold.packet(1, 1))
        _ = mold.take()
        mold.advance(4_999_999_999)
        #expect(mold.take().isEmpty)
        mold.advance(1)
        #expect(mold.take() == [.silent])
        mold.receive(Mold.packet(2, 0))
        #expect(mold.take() == [.heard])
    }

    @Test("keeps its bounds, and has what it dropped sent again")
    func bounds() {
        var limits = MoldReceiver.Limits()
        limits.packetsMost = 4
        var mold = Mold(limits: limits)
        mold.receive(Mold.packet(1, 1))
        for first: UInt64 in 3...20 { mold.receive(Mold.packet(first, 1)) }
        #expect(mold.receiver.counters.droppedPackets == 14)
        mold.receive(Mold.packet(2, 1))
        #expect(mold.heard == Array(1...6))
        _ = mold.take()
        mold.advance(5_000_000)
        #expect(mold.take().contains(Mold.request(7, 14)))
    }

    static let bad: [[UInt8]] = [
        [], Array(Mold.packet(1, 1).dropLast()), Mold.packet(1, 1) + [0], Array(Mold.packet(1, 1).prefix(19)),
        Mold.packet(0, 0), Mold.packet(1 << 62, 0), Mold.packet(5_000_000_000, 0),
    ]

    @Test("refuses a packet that is not what its header says", arguments: bad)
    func refuses(packet: [UInt8]) {
        var mold = Mold()
        mold.receive(Mold.packet(1, 1))
        mold.receive(packet)
        #expect(mold.receiver.counters.badPackets == 1 && mold.heard == [1])
        mold.receive(Mold.packet(2, 1))
        #expect(mold.heard == [1, 2])
    }

    @Test(
        "hears everything once and in order over lines that lose, repeat and delay",
        arguments: 1...20 as ClosedRange<UInt64>
    )
    func lossyLines(seed: UInt64) {
        var random = LineDice(state: seed)
        var mold = Mold(lines: 2)
        let total: UInt64 = 2_000
        /// Packets under way, with the time when they come.
        var underWay: [(atNs: Int64, line: Int, packet: [UInt8])] = []
        var sent: UInt64 = 1
        var steps = 0
        while mold.receiver.next <= total, steps < 60_000 {
            steps += 1
            if sent <= total, steps % 3 == 0 {
                let count = min(Int(random.next() % 5), Int(total - sent + 1))
                for line in 0..<2 where random.next() % 10 < 7 {
                    let delay = Int64(random.next() % 8_000_000)
                    underWay.append((mold.nowNs + delay, line, Mold.packet(sent, count)))
                    if random.next() % 10 == 0 {
                        underWay.append((mold.nowNs + 2 * delay, line, Mold.packet(sent, count)))
                    }
                }
                sent += UInt64(count)
            } else if steps % 50 == 0 {
                underWay.append((mold.nowNs, 0, Mold.packet(sent, 0)))
            }
            mold.nowNs += 200_000
            let due = underWay.filter { $0.atNs <= mold.nowNs }
            underWay.removeAll { $0.atNs <= mold.nowNs }
            for packet in due { mold.receive(packet.packet, line: packet.line) }
            mold.advance(0)
            for case .request(let bytes) in mold.take() where random.next() % 10 < 6 {
                let first = bytes[10..<18].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
                let count = Int(bytes[18]) << 8 | Int(bytes[19])
                // An answer is one packet with what fits.
                underWay.append((mold.nowNs + 3_000_000, 0, Mold.packet(first, min(count, 20))))
            }
        }
        #expect(mold.heard == Array(1...total), "after \(steps) steps")
        #expect(mold.receiver.counters.lostMessages == 0 && mold.receiver.counters.requests > 0)
    }
}

/// The same seed, the same line.
private struct LineDice: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
