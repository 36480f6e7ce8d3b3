import Glibc
import Testing

@testable import Transport

extension WithLoops {
    @Suite("An I/O loop")
    struct IOLoopTests {
        @Test("shares its port with the others and ends with 1001 for everybody")
        func sharesPort() throws {
            let handler = TestHandler()
            var peers: [Peer] = []
            var ends: [IOLoop] = []
            try withServer(loops: 2, handler: handler) { port, loops, _ in
                for _ in 0..<60 {
                    let peer = try Peer(port: port)
                    try peer.upgrade()
                    peers.append(peer)
                }
                let idle = try Peer(port: port)
                #expect(try idle.request("/hello").status == 200)
                peers.append(idle)
                #expect(loops.allSatisfy { $0.connectionCount > 0 }, "\(loops.map(\.connectionCount))")
                #expect(loops.map(\.connectionCount).reduce(0, +) == 61)
                for loop in loops { loop.requestStop() }
                let start = monotonicSeconds()
                for peer in peers.dropLast() {
                    #expect(try peer.closeCode() == 1001)
                    peer.sendFrame(8, [3, 233])
                    #expect(peer.readToEnd())
                }
                #expect(idle.readToEnd())
                #expect(monotonicSeconds() - start < 2)
                ends = loops
            }
            #expect(handler.notes.withLock { $0.opened.count } == 60)
            #expect(handler.notes.withLock { $0.closed.count } == 60)
            #expect(ends.allSatisfy { $0.connectionCount == 0 })
        }

        @Test("ends in time although a client neither reads nor answers")
        func endsDespiteSilence() throws {
            let handler = TestHandler()
            let start = Guarded(0.0)
            try withServer(handler: handler) { port, loops, _ in
                let silent = try Peer(port: port)
                try silent.upgrade()
                let stuck = try Peer(port: port, receiveBuffer: 8192)
                try stuck.upgrade()
                #expect(eventually { handler.notes.withLock { $0.opened.count } == 2 })
                let id = handler.notes.withLock { $0.opened[1].id }
                handler.perform(on: loops[0]) { loop in
                    let frame = WebSocketFrame.bytes(.binary, [UInt8](repeating: 1, count: 8_000_000))
                    #expect(frame.withUnsafeBytes { loop.write($0, to: id) } == .blocked)
                }
                #expect(eventually { handler.notes.withLock { $0.wakes } > 0 })
                start.withLock { $0 = monotonicSeconds() }
                loops[0].requestStop()
                #expect(eventually { handler.notes.withLock { $0.closed.count } == 2 })
            }
            #expect(monotonicSeconds() - start.withLock { $0 } < 3.5)
        }

        @Test("turns, sweeps, wakes, passes and runs timers")
        func keepsTime() throws {
            try withServer { port, loops, handler in
                #expect(eventually { handler.notes.withLock { $0.sweeps } >= 5 })
                let fired = Guarded<[String]>([])
                handler.perform(on: loops[0]) { loop in
                    loop.schedulePass(afterNs: 5_000_000)
                    loop.schedulePass(afterNs: 1)
                    loop.after(30_000_000) { fired.withLock { $0.append("late") } }
                    loop.after(1_000_000) { fired.withLock { $0.append("early") } }
                    let cancelled = loop.after(2_000_000) { fired.withLock { $0.append("cancelled") } }
                    loop.after(0) { cancelled.cancel() }
                    loop.after(60_000_000_000) { fired.withLock { $0.append("never") } }
                }
                #expect(eventually { fired.withLock { $0.count } == 2 })
                #expect(fired.withLock { $0 } == ["early", "late"])
                #expect(handler.notes.withLock { $0.passes } == 1)
                let quiet = handler.notes.withLock { $0.turns }
                usleep(300_000)
                let later = handler.notes.withLock { $0.turns }
                #expect(later - quiet < 20, "an idle loop sleeps")
                handler.perform(on: loops[0]) { $0.keepTurning = true }
                #expect(eventually { handler.notes.withLock { $0.turns } > later + 1000 })
                handler.perform(on: loops[0]) { $0.keepTurning = false }
                let wakes = handler.notes.withLock { $0.wakes }
                let before = monotonicSeconds()
                for number in 1...100 {
                    loops[0].wake()
                    #expect(eventually { handler.notes.withLock { $0.wakes } >= wakes + number })
                }
                #expect(monotonicSeconds() - before < 2)
            }
        }

        @Test("can end before it has begun")
        func endsUnused() throws {
            for index in 0..<20 {
                let loop = try IOLoop(index: index, handler: TestHandler())
                try loop.listen(testListener())
                loop.requestStop()
                loop.run()
            }
        }

        @Test("leaves no descriptor open")
        func leavesNothing() throws {
            func descriptors() throws -> Int {
                Int(try ChildProcess.output(of: "ls /proc/\(getpid())/fd | wc -l").filter(\.isNumber)) ?? -1
            }
            try withServer { port, _, _ in _ = try Peer(port: port).request("/hello") }
            let rounds = 6
            let before = try descriptors()
            for _ in 0..<rounds {
                try withServer { port, _, _ in
                    let peers = try (0..<20).map { _ in try Peer(port: port) }
                    for peer in peers { try peer.upgrade() }
                }
            }
            // The test's own runtime may open one of its own meanwhile; a leak would be one a round.
            let after = try descriptors()
            #expect(after < before + rounds)
        }

        @Test("raises the descriptor limit to the hard limit")
        func raisesLimit() {
            let limit = raiseDescriptorLimit()
            var now = rlimit()
            getrlimit(__rlimit_resource_t(7), &now)
            #expect(limit > 0 && now.rlim_cur == now.rlim_max && UInt64(limit) == UInt64(now.rlim_cur))
        }
    }
}
