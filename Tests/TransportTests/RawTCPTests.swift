import Glibc
import Synchronization
import Testing

@testable import Transport

extension WithLoops {
    @Suite("A raw TCP connection")
    struct RawTCPTests {
        private static func listener() -> ListenerSettings {
            ListenerSettings(host: "127.0.0.1", port: 0, tag: 9, kind: .rawTCP)
        }

        @Test("carries bytes both ways and ends at either end")
        func echoes() throws {
            try withServer(settings: Self.listener()) { port, loops, handler in
                let peer = try Peer(port: port)
                #expect(eventually { handler.notes.withLock { $0.peers } == ["127.0.0.1 9"] })
                for text in ["{\"a\":1}\n", "GET / HTTP/1.1\r\n\r\n", "\u{0}\u{1}"] {
                    peer.send(text)
                    #expect(eventually { peer.read(within: 0.05) || !peer.buffer.isEmpty })
                    while peer.buffer.count < text.utf8.count { peer.read(within: 1) }
                    #expect(peer.buffer == Array(text.utf8))
                    peer.buffer = []
                }
                peer.close()
                #expect(eventually { handler.notes.withLock { $0.closed.count } == 1 })
                #expect(loops[0].connectionCount == 0)
            }
        }

        @Test("is closed by its owner after what was written")
        func closes() throws {
            let handler = RawCloser()
            let loop = try IOLoop(index: 0, handler: handler)
            let port = try loop.listen(Self.listener())
            let thread = Worker { loop.run() }
            let peer = try Peer(port: port, receiveBuffer: 8192)
            #expect(peer.readToEnd())
            #expect(peer.buffer.count == 3_000_000, "the remainder leaves first")
            loop.requestStop()
            thread.join()
        }

        @Test("that is blocked does not make its loop spin, and drains in order")
        func drains() throws {
            let handler = TestHandler()
            try withServer(handler: handler, settings: Self.listener()) { port, _, handler in
                let peer = try Peer(port: port, receiveBuffer: 8192)
                let sent = Guarded(0)
                let isOver = Atomic(false)
                let descriptor = peer.descriptor
                // Sends until nobody takes any more: the echo has nowhere to go.
                let sender = Worker {
                    var chunk = [UInt8](repeating: 7, count: 4096)
                    while !isOver.load(ordering: .relaxed) {
                        var watched = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                        guard poll(&watched, 1, 50) > 0 else { continue }
                        let count = Glibc.send(
                            descriptor,
                            &chunk,
                            chunk.count,
                            Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT)
                        )
                        if count > 0 { sent.withLock { $0 += count } }
                    }
                }
                #expect(
                    eventually {
                        let before = sent.withLock { $0 }
                        usleep(200_000)
                        return before > 0 && before == sent.withLock { $0 }
                    }
                )
                let turns = handler.notes.withLock { $0.turns }
                usleep(300_000)
                #expect(handler.notes.withLock { $0.turns } - turns < 60)
                isOver.store(true, ordering: .relaxed)
                sender.join()
                let all = sent.withLock { $0 }
                while peer.buffer.count < all, peer.read(within: 2) {}
                #expect(peer.buffer.count == all)
                #expect(handler.notes.withLock { $0.writables } > 0)
            }
        }
    }
}

private final class RawCloser: IOLoopHandler {
    func respond(to request: HTTPRequest, on loop: IOLoop) -> HTTPResponse { HTTPResponse(status: 404) }
    func admit(_ request: HTTPRequest, on loop: IOLoop) -> UpgradeDecision { .refuse(HTTPResponse(status: 404)) }
    func opened(_ connection: ConnectionID, tag: UInt8, request: HTTPRequest, on loop: IOLoop) {}
    func received(_ message: UnsafeRawBufferPointer, isText: Bool, from connection: ConnectionID, on loop: IOLoop) {}
    func closed(_ connection: ConnectionID, on loop: IOLoop) {}

    func rawOpened(_ connection: ConnectionID, peerAddress: String, tag: UInt8, on loop: IOLoop) {
        _ = [UInt8](repeating: 1, count: 3_000_000).withUnsafeBytes { loop.write($0, to: connection) }
        loop.close(connection, code: 0)
    }
}
