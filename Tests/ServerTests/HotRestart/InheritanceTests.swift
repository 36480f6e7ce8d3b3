import Market
import Testing
import Transport

@testable import Server

@Suite("What a hub inherits")
struct InheritanceTests {
    private static let inheritance = {
        var all = Inheritance()
        all.sockets = [
            Inheritance.Sockets(name: "web", host: "127.0.0.1", port: 0, boundPort: 8080, descriptors: [10, 11]),
            Inheritance.Sockets(name: "admin", host: "::1", port: 8081, boundPort: 8081, descriptors: [12]),
        ]
        all.recordingLock = 13
        all.ticketKeys = [1, 2, 3]
        all.clockOffsetNs = -5
        all.knowledge = Inheritance.Knowledge(epoch: 7, feed: [1], loops: [[2], []], candles: [3, 4])
        return all
    }()

    @Test("comes as it was sent, each socket with its listener")
    func roundTrip() throws {
        let message = Self.inheritance.message
        #expect(message.descriptors == [10, 11, 12, 13])
        var read = try Inheritance(message)
        #expect(read.recordingLock == 13 && read.ticketKeys == [1, 2, 3] && read.clockOffsetNs == -5)
        let knowledge = try #require(read.knowledge)
        #expect(knowledge.epoch == 7 && knowledge.feed == [1] && knowledge.loops == [[2], []])
        #expect(knowledge.candles == [3, 4])
        // By what was configured: another host or port is another listener.
        let others = [read.take("web", host: "0.0.0.0", port: 0), read.take("web", host: "127.0.0.1", port: 80)]
        #expect(others.compactMap(\.self).isEmpty)
        let taken = [read.take("web", host: "127.0.0.1", port: 0), read.take("web", host: "127.0.0.1", port: 0)]
        #expect(taken[0]?.boundPort == 8080 && taken[0]?.descriptors == [10, 11])
        #expect(taken[1] == nil && read.sockets.count == 1)
    }

    @Test("without what the other knew where this hub has it otherwise in memory")
    func withoutKnowledge() throws {
        var message = Self.inheritance.message
        var other = StateWriter()
        other.append(StateLayout.fingerprint)
        let place = try #require(
            message.bytes.indices.first { message.bytes[$0...].starts(with: other.bytes) }
        )
        message.bytes[place] ^= 1
        let read = try Inheritance(message)
        #expect(read.knowledge == nil && read.sockets.count == 2 && read.recordingLock == 13)
    }

    @Test("is refused when it is torn, of another format, or lacks sockets")
    func refusals() {
        let message = Self.inheritance.message
        for count in 0..<message.bytes.count - 1 {
            var torn = message
            torn.bytes = Array(message.bytes[..<count])
            // What stands behind the sockets may be missing as a whole, and no more than that.
            guard let read = try? Inheritance(torn) else { continue }
            #expect(read.knowledge == nil && read.sockets.count == 2)
        }
        var other = message
        other.bytes[0] = 99
        #expect(throws: StateReader.Malformed.self) { try Inheritance(other) }
        var fewer = message
        fewer.descriptors.removeLast(2)
        #expect(throws: StateReader.Malformed.self) { try Inheritance(fewer) }
        var wrong = message
        wrong.kind = 1
        #expect(throws: StateReader.Malformed.self) { try Inheritance(wrong) }
    }
}

@Suite("A thread that stands still")
struct StandStillTests {
    @Test("says what it knows, and goes on when it is let")
    func stands() {
        let (place, hasEnded) = (StandStill(), Guarded(false))
        #expect(!place.isWanted)
        place.ask()
        #expect(place.isWanted)
        let thread = JoinableThread(name: "stands") {
            place.stand([1, 2])
            hasEnded.withLock { $0 = true }
        }
        #expect(place.state(mostMs: 10_000) == [1, 2])
        #expect(!hasEnded.withLock { $0 })
        place.release()
        thread.join()
        #expect(hasEnded.withLock { $0 } && !place.isWanted)
    }

    @Test("that does not come in time is not waited for, and does not stand later")
    func comesTooLate() {
        let place = StandStill()
        place.ask()
        #expect(place.state(mostMs: 1) == nil)
        place.release()
        JoinableThread(name: "late") { place.stand([1]) }.join()
        #expect(!place.isWanted)
    }
}
