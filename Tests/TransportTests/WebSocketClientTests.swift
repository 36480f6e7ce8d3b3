import Glibc
import Testing

@testable import Transport

/// Notes what a client's WebSocket goes through.
final class TestClient: WebSocketClientHandler, @unchecked Sendable {
    struct Notes {
        var opened: [ClientID] = []
        var messages: [(bytes: [UInt8], isText: Bool)] = []
        var pongs: [[UInt8]] = []
        var reasons: [String] = []
        var writables = 0
    }

    let notes = Guarded(Notes())

    func opened(_ client: ClientID, on loop: IOLoop) { notes.withLock { $0.opened.append(client) } }

    func received(_ message: UnsafeRawBufferPointer, isText: Bool, from client: ClientID, on loop: IOLoop) {
        notes.withLock { $0.messages.append((Array(message), isText)) }
    }

    func ponged(_ payload: UnsafeRawBufferPointer, from client: ClientID, on loop: IOLoop) {
        notes.withLock { $0.pongs.append(Array(payload)) }
    }

    func writable(_ client: ClientID, on loop: IOLoop) { notes.withLock { $0.writables += 1 } }

    func closed(_ client: ClientID, reason: String, on loop: IOLoop) { notes.withLock { $0.reasons.append(reason) } }
}

extension WithLoops {
    @Suite("A WebSocket to a server")
    struct WebSocketClientTests {
        private func connect(
            _ loop: IOLoop,
            _ handler: TestHandler,
            _ settings: WebSocketClientSettings
        ) -> TestClient {
            let client = TestClient()
            handler.perform(on: loop) { loop in _ = loop.connect(settings, handler: client) }
            return client
        }

        private func settings(
            _ port: UInt16,
            path: String = "/ws",
            tls: TestAuthority? = nil
        ) -> WebSocketClientSettings {
            var settings = WebSocketClientSettings(
                server: ServerAddress(
                    host: tls == nil ? "127.0.0.1" : "feed.test",
                    port: port,
                    path: path,
                    isTLS: tls != nil,
                    address: "127.0.0.1"
                )
            )
            settings.authoritiesPath = tls?.authorityPath
            settings.connectTimeoutSeconds = 2
            return settings
        }

        @Test("exchanges messages of any size and is closed", arguments: [false, true])
        func exchanges(overTLS: Bool) throws {
            let authority = overTLS ? try TestAuthority() : nil
            try withServer(settings: testListener(tls: authority?.server)) { port, loops, handler in
                var settings = settings(port, tls: authority)
                settings.subprotocol = "market-hub.v1.json"
                let client = connect(loops[0], handler, settings)
                #expect(
                    eventually { client.notes.withLock { $0.opened.count } == 1 },
                    "\(client.notes.withLock { $0.reasons })"
                )
                let id = try #require(client.notes.withLock { $0.opened.first })
                for count in [0, 1, 5, 125, 126, 4096, 65_536, 200_000] {
                    let payload = (0..<count).map { UInt8(truncatingIfNeeded: 32 + $0 % 90) }
                    let have = client.notes.withLock { $0.messages.count }
                    handler.perform(on: loops[0]) { loop in
                        let result = loop.send(text: String(decoding: payload, as: UTF8.self), to: id)
                        #expect(result == .sent || result == .blocked)
                    }
                    #expect(eventually { client.notes.withLock { $0.messages.count } == have + 1 })
                    let last = try #require(client.notes.withLock { $0.messages.last })
                    #expect(last.isText && last.bytes == payload, "\(count)")
                }
                handler.perform(on: loops[0]) { loop in
                    _ = loop.send(binary: [1, 2, 255], to: id)
                    _ = loop.ping(id, payload: [9, 9])
                }
                #expect(eventually { client.notes.withLock { $0.pongs } == [[9, 9]] })
                #expect(client.notes.withLock { $0.messages.last?.bytes } == [1, 2, 255])
                #expect(loops[0].connectionCount == 1, "our own end does not count")
                handler.perform(on: loops[0]) { $0.close(id) }
                #expect(eventually { client.notes.withLock { $0.reasons.count } == 1 })
                #expect(eventually { handler.notes.withLock { $0.closed.count } == 1 })
            }
        }

        @Test("learns why the server closes")
        func learnsCode() throws {
            let handler = TestHandler()
            handler.onOpened = { id, loop in loop.close(id, code: 3001, reason: "restart") }
            try withServer(handler: handler) { port, loops, handler in
                let client = connect(loops[0], handler, settings(port))
                #expect(eventually { client.notes.withLock { $0.reasons.count } == 1 })
                #expect(client.notes.withLock { $0.reasons } == ["closed by the server with 3001: restart"])
            }
        }

        @Test("is closed when a message is too long")
        func boundsMessages() throws {
            let handler = TestHandler()
            handler.onOpened = { id, loop in
                _ = WebSocketFrame.bytes(.binary, [UInt8](repeating: 1, count: 5001))
                    .withUnsafeBytes { loop.write($0, to: id) }
            }
            try withServer(handler: handler) { port, loops, handler in
                var settings = settings(port)
                settings.messageBytesMost = 5000
                let client = connect(loops[0], handler, settings)
                #expect(eventually { client.notes.withLock { $0.reasons.count } == 1 })
                #expect(client.notes.withLock { $0.messages.isEmpty })
            }
        }

        @Test("answers the newest ping, and of several at once that one", arguments: [false, true])
        func answersPings(overTLS: Bool) throws {
            let authority = overTLS ? try TestAuthority() : nil
            let handler = TestHandler()
            handler.onOpened = { id, loop in
                let pings = (1...3).flatMap { WebSocketFrame.bytes(.ping, [UInt8](repeating: 7, count: 40 * $0)) }
                _ = pings.withUnsafeBytes { loop.write($0, to: id) }
            }
            try withServer(handler: handler, settings: testListener(tls: authority?.server)) { port, loops, handler in
                _ = connect(loops[0], handler, settings(port, tls: authority))
                #expect(eventually { handler.notes.withLock { $0.pongs.last?.count } == 120 })
                // As many as there were reads, which may cut the three anywhere.
                let counts = handler.notes.withLock { $0.pongs.map(\.count) }
                #expect(counts == counts.sorted() && counts.count <= 3)
            }
        }

        @Test("tells when a server that was slow has read", arguments: [false, true])
        func waitsForRoom(overTLS: Bool) throws {
            let authority = overTLS ? try TestAuthority() : nil
            let handler = TestHandler()
            let received = Guarded(0)
            handler.onReceived = { message, _, _, _ in received.withLock { $0 += message.count } }
            try withServer(handler: handler, settings: testListener(tls: authority?.server)) { port, loops, handler in
                let client = connect(loops[0], handler, settings(port, tls: authority))
                #expect(eventually { client.notes.withLock { $0.opened.count } == 1 })
                let id = try #require(client.notes.withLock { $0.opened.first })
                let sent = Guarded(0)
                let message = [UInt8](repeating: 3, count: 200_000)
                handler.perform(on: loops[0]) { loop in
                    // Server and client share the loop: nobody reads meanwhile.
                    for _ in 0..<100 {
                        let result = loop.send(binary: message, to: id)
                        #expect(result == .sent || result == .blocked)
                        sent.withLock { $0 += 1 }
                        guard result == .sent else { break }
                    }
                    #expect(loop.send(binary: message, to: id) == .refused)
                }
                #expect(eventually { client.notes.withLock { $0.writables } == 1 })
                let count = sent.withLock { $0 }
                #expect(count < 100, "the kernel took all of it")
                #expect(eventually { received.withLock { $0 } == count * message.count })
                handler.perform(on: loops[0]) { #expect($0.send(binary: [1], to: id) == .sent) }
                #expect(eventually { received.withLock { $0 } == count * message.count + 1 })
            }
        }

        @Test("is refused and told why")
        func isRefused() throws {
            let authority = try TestAuthority()
            let stranger = try TestAuthority()
            try withServer(settings: testListener(tls: authority.server)) { port, loops, handler in
                var wrongName = settings(port, tls: authority)
                wrongName.server.host = "other.test"
                var plain = settings(port)
                plain.server.isTLS = false
                var nobody = settings(1)
                nobody.connectTimeoutSeconds = 1
                let cases: [(String, WebSocketClientSettings, String)] = [
                    ("wrong name", wrongName, "mismatch"),
                    ("unknown authority", settings(port, tls: stranger), "cert"),
                    ("plain to TLS", plain, ""),
                    ("nobody listens", nobody, "cannot connect to 127.0.0.1:1"),
                    ("refused path", settings(port, path: "/secret", tls: authority), "answered 401"),
                    ("unknown path", settings(port, path: "/nope", tls: authority), "answered 404"),
                ]
                for (name, settings, hint) in cases {
                    let client = connect(loops[0], handler, settings)
                    #expect(eventually { client.notes.withLock { $0.reasons.count } == 1 }, "\(name)")
                    let notes = client.notes.withLock { $0 }
                    #expect(notes.opened.isEmpty, "\(name)")
                    let reason = notes.reasons.first ?? ""
                    #expect(hint.isEmpty ? !reason.isEmpty : reason.lowercased().contains(hint), "\(name): \(reason)")
                }
                // And the right one still works.
                let client = connect(loops[0], handler, settings(port, tls: authority))
                #expect(eventually { client.notes.withLock { $0.opened.count } == 1 })
            }
        }

        @Test("is given up when the server says nothing")
        func timesOut() throws {
            let silent = try SilentServer()
            let authority = try TestAuthority()
            try withServer { _, loops, handler in
                for tls in [nil, authority] {
                    let start = monotonicSeconds()
                    let client = connect(loops[0], handler, settings(silent.port, tls: tls))
                    #expect(eventually { client.notes.withLock { $0.reasons.count } == 1 })
                    #expect((1.5..<4).contains(monotonicSeconds() - start))
                    #expect(client.notes.withLock { $0.reasons.first }?.isEmpty == false)
                }
            }
        }

        @Test("does not keep a loop from ending", arguments: [false, true])
        func endsWithLoop(isConnected: Bool) throws {
            let silent = try SilentServer()
            let client = TestClient()
            try withServer { port, loops, handler in
                let settings = settings(isConnected ? port : silent.port)
                handler.perform(on: loops[0]) { loop in _ = loop.connect(settings, handler: client) }
                if isConnected {
                    #expect(eventually { client.notes.withLock { $0.opened.count } == 1 })
                } else {
                    usleep(100_000)
                }
            }
            #expect(client.notes.withLock { $0.reasons.count } == 1)
        }
    }
}

/// Listens and never says a word.
final class SilentServer {
    let port: UInt16
    private let descriptor: Int32

    init() throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let descriptor = descriptor
        let isListening = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                bind(descriptor, address, length) == 0 && listen(descriptor, 16) == 0
                    && getsockname(descriptor, address, &length) == 0
            }
        }
        guard isListening else { throw Peer.Failure.connect(errno) }
        port = UInt16(bigEndian: address.sin_port)
    }

    deinit { close(descriptor) }
}
