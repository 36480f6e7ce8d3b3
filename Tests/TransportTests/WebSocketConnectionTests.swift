import Glibc
import Synchronization
import Testing

@testable import Transport

extension WithLoops {
    @Suite("A WebSocket connection")
    struct WebSocketConnectionTests {
        /// What the pushing side did for one connection.
        private struct Pushed {
            var frames: UInt64 = 0
            var bytes = 0
            var blocks = 0
            var refusals = 0
        }

        /// What one reader saw.
        private struct Seen {
            var frames: UInt64 = 0
            var pings = 0
            var pongs = 0
            var fault: String?
        }

        private enum Pace: CaseIterable {
            case active
            case stopping
            case crawling
        }

        @Test("stays a sequence of whole frames in order for readers that stop, crawl and resume")
        func slowReaders() throws {
            let pushed = Guarded<[ConnectionID: Pushed]>([:])
            let isPushing = Atomic(true)
            let handler = Self.pushingHandler(pushed) { isPushing.load(ordering: .relaxed) }
            try withServer(handler: handler) { port, _, handler in
                let readers = Pace.allCases.flatMap { [$0, $0, $0] }
                let seen = Guarded([Seen](repeating: Seen(), count: readers.count))
                let threads = readers.enumerated().map { place, pace in
                    Worker {
                        let result = Self.read(port: port, pace: pace, isPushing: isPushing)
                        seen.withLock { $0[place] = result }
                    }
                }
                usleep(1_500_000)  // how long the stopping readers stand still
                let held = pushed.withLock { all in all.values.map(\.bytes) }
                usleep(500_000)
                isPushing.store(false, ordering: .relaxed)
                for thread in threads { thread.join() }

                let results = seen.withLock { $0 }
                for (result, pace) in zip(results, readers) {
                    #expect(result.fault == nil, "\(pace): \(result.fault ?? "")")
                    #expect(result.frames > 20, "\(pace) got \(result.frames) frames")
                    // Of the pings that come while something waits the newest is answered, as RFC 6455 5.5.3 lets it.
                    #expect(result.pongs > 0 && result.pongs <= result.pings, "\(pace): \(result.pongs) pongs")
                }
                #expect(results[0].pongs * 2 >= results[0].pings, "an active reader gets its pongs meanwhile")
                let ends = pushed.withLock { $0 }
                #expect(ends.values.map(\.frames).sorted() == results.map(\.frames).sorted(), "nothing lost or added")
                #expect(ends.values.filter { $0.blocks > 0 }.count >= 6, "the slow ones were blocked")
                #expect(ends.values.contains { $0.refusals > 0 })
                #expect(handler.notes.withLock { $0.writables } >= 6)
                // Three stood still: what was accepted for them is what the kernel holds and one remainder.
                let least = held.sorted().prefix(3)
                #expect(least.allSatisfy { $0 < 1_500_000 }, "accepted for stopped readers: \(least)")
            }
        }

        /// Pushes to everybody every millisecond while it is wanted.
        private static func pushingHandler(
            _ pushed: Guarded<[ConnectionID: Pushed]>,
            while isWanted: @escaping () -> Bool
        ) -> TestHandler {
            let handler = TestHandler()
            handler.socketClass = .browser(messageBytesMost: 1024)
            handler.onOpened = { id, loop in
                pushed.withLock { $0[id] = Pushed() }
                loop.schedulePass(afterNs: 1_000_000)
            }
            handler.onPass = { loop in
                guard isWanted() else { return }
                loop.schedulePass(afterNs: 1_000_000)
                pushed.withLock { all in
                    for id in all.keys.sorted(by: { $0.slot < $1.slot }) {
                        for _ in 0..<8 where !loop.isBlocked(id) { push(id, &all[id, default: Pushed()], loop) }
                        // A caller that forgets about the block is refused and does no harm.
                        guard loop.isBlocked(id) else { continue }
                        let wrong = [UInt8](repeating: 0xff, count: 9).withUnsafeBytes { loop.write($0, to: id) }
                        if wrong == .refused { all[id]?.refusals += 1 }
                    }
                }
            }
            return handler
        }

        @Test("stays a sequence of whole frames over TLS too")
        func slowReaderOverTLS() throws {
            let authority = try TestAuthority()
            let pushed = Guarded<[ConnectionID: Pushed]>([:])
            let isPushing = Atomic(true)
            let handler = Self.pushingHandler(pushed) { isPushing.load(ordering: .relaxed) }
            try withServer(handler: handler, settings: testListener(tls: authority.server)) { port, _, handler in
                let command = "exec openssl s_client -quiet -connect 127.0.0.1:\(port) 2>/dev/null"
                let client = try ChildProcess("/bin/sh", ["-c", command])
                defer { client.end() }
                client.write("GET /ws HTTP/1.1\r\nHost: x\r\n\(Peer.upgradeHeaders)\r\n")
                while client.line() != "\r" {}
                #expect(eventually { pushed.withLock { $0.values.contains { $0.blocks > 0 } } }, "it stands still")
                var seen = Seen()
                var buffer: [UInt8] = []
                while seen.frames < 2000 {
                    guard client.read(into: &buffer, most: 5000) else { break }
                    while let frame = try ServerFrame(takingFrom: &buffer) { try Self.check(frame, &seen) }
                }
                isPushing.store(false, ordering: .relaxed)
                #expect(seen.frames >= 2000)
                #expect(handler.notes.withLock { $0.writables } > 0)
            }
        }

        private static func push(_ id: ConnectionID, _ pushed: inout Pushed, _ loop: IOLoop) {
            let sizes = [60, 90, 130, 900, 5000, 70_000]
            let size = sizes[Int(pushed.frames % 97 == 96 ? 5 : pushed.frames % 5)]
            var payload = [UInt8](repeating: UInt8(truncatingIfNeeded: pushed.frames), count: size)
            withUnsafeBytes(of: pushed.frames.bigEndian) { payload.replaceSubrange(0..<8, with: $0) }
            let frame = WebSocketFrame.bytes(.binary, payload)
            switch frame.withUnsafeBytes({ loop.write($0, to: id) }) {
            case .sent: break
            case .blocked: pushed.blocks += 1
            case .refused, .gone: return
            }
            pushed.frames += 1
            pushed.bytes += frame.count
        }

        /// Reads at its pace and holds every byte against what must come.
        private static func read(port: UInt16, pace: Pace, isPushing: borrowing Atomic<Bool>) -> Seen {
            var seen = Seen()
            do {
                let peer = try Peer(port: port, receiveBuffer: pace == .active ? nil : 16 * 1024)
                try peer.upgrade()
                let start = monotonicSeconds()
                var lastPing = start
                var quietSince = monotonicSeconds()
                while true {
                    let now = monotonicSeconds()
                    if now - lastPing > 0.05, isPushing.load(ordering: .relaxed) {
                        lastPing = now
                        peer.sendFrame(9, [UInt8(truncatingIfNeeded: seen.pings)])
                        seen.pings += 1
                    }
                    let standsStill = pace == .stopping && (0.2..<1.5).contains(now - start)
                    let crawls = pace == .crawling && isPushing.load(ordering: .relaxed)
                    if standsStill || crawls { usleep(20_000) }
                    if !standsStill, peer.read(most: crawls ? 700 : 65_536, within: 0.02) { quietSince = now }
                    while let frame = try ServerFrame(takingFrom: &peer.buffer) { try check(frame, &seen) }
                    if peer.isEnded { break }
                    let isOver = !isPushing.load(ordering: .relaxed)
                    if isOver, now - quietSince > 0.5, peer.buffer.isEmpty { break }
                    if now - start > 20 { throw Peer.Failure.timeout }
                }
            } catch {
                seen.fault = "\(error) after \(seen.frames) frames"
            }
            return seen
        }

        private static func check(_ frame: ServerFrame, _ seen: inout Seen) throws {
            switch frame.first {
            case 0x8a: seen.pongs += 1
            case 0x82:
                let number = frame.payload.prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
                let fill = UInt8(truncatingIfNeeded: number)
                guard number == seen.frames, frame.payload.dropFirst(8).allSatisfy({ $0 == fill }) else {
                    throw ServerFrame.Malformed(description: "frame \(number) where \(seen.frames) was due")
                }
                seen.frames += 1
            default: throw ServerFrame.Malformed(description: "opcode \(frame.first)")
            }
        }

        @Test("echoes text and binary", arguments: [0, 1, 125, 126, 4095, 4096, 4097, 65_535, 65_536, 200_000])
        func echoes(count: Int) throws {
            try withServer { port, _, _ in
                let peer = try Peer(port: port)
                try peer.upgrade()
                let payload = (0..<count).map { UInt8(truncatingIfNeeded: $0 % 127) }
                peer.sendFrame(1, payload)
                #expect(try peer.frame() == ServerFrame(first: 0x81, payload: payload))
                peer.sendFrame(2, payload)
                #expect(try peer.frame() == ServerFrame(first: 0x82, payload: payload))
            }
        }

        @Test("joins the parts of a message, whatever comes between them")
        func joinsParts() throws {
            try withServer { port, _, _ in
                let peer = try Peer(port: port)
                try peer.upgrade()
                peer.sendFrame(1, Array("one ".utf8), isFinal: false)
                peer.sendFrame(9, Array("ping".utf8))
                peer.sendFrame(0, [], isFinal: false)
                peer.sendFrame(0, Array("two".utf8))
                #expect(try peer.frame() == ServerFrame(first: 0x8a, payload: Array("ping".utf8)))
                #expect(try peer.frame() == ServerFrame(first: 0x81, payload: Array("one two".utf8)))
                for byte in Peer.frame(2, Array("slowly".utf8)) { peer.send([byte]) }
                #expect(try peer.frame() == ServerFrame(first: 0x82, payload: Array("slowly".utf8)))
            }
        }

        private static let zeros = [UInt8](repeating: 0, count: 256 * 1024 + 1)
        struct Offence: CustomTestStringConvertible {
            var testDescription: String
            var code: Int
            var bytes: [UInt8]

            init(_ code: Int, _ what: String, _ bytes: [UInt8]) {
                testDescription = "\(what): \(code)"
                self.code = code
                self.bytes = bytes
            }
        }

        private static let offences = [
            Offence(1009, "long frame", Peer.frame(2, zeros)),
            Offence(
                1009,
                "long message in two frames",
                Peer.frame(2, Array(zeros.prefix(200_000)), isFinal: false) + Peer.frame(0, zeros)
            ),
            Offence(
                1009,
                "absurd length",
                [0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4, 5]
            ),
            Offence(1007, "wrong UTF-8", Peer.frame(1, [0xc3, 0x28])),
            Offence(1007, "UTF-8 cut off", Peer.frame(1, [0xe2, 0x82])),
            Offence(
                1007,
                "wrong UTF-8 in the second part",
                Peer.frame(1, [0x61], isFinal: false) + Peer.frame(0, [0xff])
            ),
            Offence(1002, "not masked", [0x81, 1, 0x61]),
            Offence(1002, "a ping that is not masked", [0x89, 0]),
            Offence(1002, "half a close code", Peer.frame(8, [3])),
            Offence(1005, "a goodbye without a code", Peer.frame(8, [])),
            Offence(1002, "continuation of nothing", Peer.frame(0, [1])),
            Offence(1002, "unknown opcode", Peer.frame(3, [1])),
            Offence(1002, "a message inside a message", Peer.frame(1, [1], isFinal: false) + Peer.frame(1, [1])),
            Offence(1002, "ping in parts", Peer.frame(9, [1], isFinal: false)),
            Offence(1002, "compressed without agreement", [0xc1, 0x81, 1, 2, 3, 4, 5]),
            Offence(1000, "goodbye", Peer.frame(8, [3, 232])),
            Offence(1002, "reserved close code", Peer.frame(8, [3, 237])),
        ]

        @Test("is closed with the right code", arguments: offences)
        func closesWithCode(offence: Offence) throws {
            try withServer { port, _, handler in
                let peer = try Peer(port: port)
                try peer.upgrade()
                peer.send(offence.bytes)
                #expect(try peer.closeCode() == offence.code)
                peer.sendFrame(8, [UInt8(offence.code >> 8), UInt8(offence.code & 255)])
                #expect(peer.readToEnd(within: 4))
                #expect(eventually { handler.notes.withLock { $0.closed.count } == 1 })
            }
        }

        @Test("takes a message of exactly the most")
        func takesTheMost() throws {
            try withServer { port, _, _ in
                let peer = try Peer(port: port)
                try peer.upgrade()
                let payload = [UInt8](repeating: 5, count: 256 * 1024)
                peer.sendFrame(2, payload)
                #expect(try peer.frame() == ServerFrame(first: 0x82, payload: payload))
            }
        }

        @Test("answers pings, hears pongs, and can be closed and aborted by its owner")
        func ownerActs() throws {
            try withServer { port, loops, handler in
                let peer = try Peer(port: port)
                try peer.upgrade()
                #expect(eventually { handler.notes.withLock { $0.opened.count } == 1 })
                let id = handler.notes.withLock { $0.opened[0].id }
                handler.perform(on: loops[0]) { loop in #expect(loop.ping(id, payload: [1, 2, 3]) == .sent) }
                #expect(try peer.frame() == ServerFrame(first: 0x89, payload: [1, 2, 3]))
                peer.sendFrame(10, [1, 2, 3])
                #expect(eventually { handler.notes.withLock { $0.pongs } == [[1, 2, 3]] })
                handler.perform(on: loops[0]) { loop in
                    loop.close(id, code: 3001, reason: "restart")
                    #expect([UInt8](repeating: 0, count: 2).withUnsafeBytes { loop.write($0, to: id) } == .gone)
                    loop.close(id, code: 3002)
                }
                let frame = try peer.frame()
                #expect(frame.first == 0x88 && frame.payload == [0x0b, 0xb9] + Array("restart".utf8))
                peer.sendFrame(8, [0x0b, 0xb9])
                #expect(peer.readToEnd())
                #expect(eventually { handler.notes.withLock { $0.closed } == [id] })

                let other = try Peer(port: port)
                try other.upgrade()
                #expect(eventually { handler.notes.withLock { $0.opened.count } == 2 })
                let second = handler.notes.withLock { $0.opened[1].id }
                #expect(second != id)
                handler.perform(on: loops[0]) { $0.abort(second) }
                #expect(other.readToEnd())
                #expect(eventually { handler.notes.withLock { $0.closed } == [id, second] })
                #expect(loops[0].connectionCount == 0)
            }
        }

        @Test("that reads nothing is ended when it is to be closed")
        func closesABlockedOne() throws {
            let handler = TestHandler()
            handler.onOpened = { id, loop in
                let frame = WebSocketFrame.bytes(.binary, [UInt8](repeating: 1, count: 8_000_000))
                #expect(frame.withUnsafeBytes { loop.write($0, to: id) } == .blocked)
                loop.close(id, code: 3008)
            }
            try withServer(handler: handler) { port, _, handler in
                let peer = try Peer(port: port, receiveBuffer: 8192)
                try peer.upgrade()
                #expect(eventually(within: 4) { handler.notes.withLock { $0.closed.count } == 1 })
            }
        }

        @Test("learns of a peer that hangs up without a word")
        func losesPeer() throws {
            try withServer { port, _, handler in
                let peer = try Peer(port: port)
                try peer.upgrade()
                #expect(eventually { handler.notes.withLock { $0.opened.count } == 1 })
                peer.close()
                #expect(eventually { handler.notes.withLock { $0.closed.count } == 1 })
            }
        }
    }
}

extension ServerFrame {
    init(first: UInt8, payload: [UInt8]) {
        self.first = first
        self.payload = payload
    }
}
