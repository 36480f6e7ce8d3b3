import Glibc
import Testing

@testable import Transport

/// What a raw client heard, kept for the test's thread.
private final class Caller: RawClientHandler {
    struct Notes {
        var opened = 0
        var bytes: [UInt8] = []
        var reasons: [String] = []
    }
    let notes = Guarded(Notes())
    private let greeting: [UInt8]

    init(greeting: [UInt8]) { self.greeting = greeting }

    func opened(_ client: RawClient, on loop: IOLoop) {
        notes.withLock { $0.opened += 1 }
        client.send(greeting)
    }

    func received(_ bytes: UnsafeRawBufferPointer, from client: RawClient, on loop: IOLoop) {
        notes.withLock { $0.bytes += bytes }
    }

    func closed(_ client: RawClient, reason: String, on loop: IOLoop) {
        notes.withLock { $0.reasons.append(reason) }
    }
}

/// Counts what is read between two turns of its loop.
private final class TurnReader: RawClientHandler {
    struct Notes {
        var bytes = 0
        var mostOfATurn = 0
    }
    let notes = Guarded(Notes())
    private let own: TestHandler
    private let greeting: [UInt8]
    private var turn = 0
    private var bytesOfTurn = 0

    init(_ own: TestHandler, sends count: Int) {
        self.own = own
        greeting = [UInt8](repeating: 7, count: count)
    }

    func opened(_ client: RawClient, on loop: IOLoop) { client.send(greeting) }

    func received(_ bytes: UnsafeRawBufferPointer, from client: RawClient, on loop: IOLoop) {
        // So that much more is there than one turn should read.
        if notes.withLock({ $0.bytes }) == 0 { usleep(300_000) }
        let now = own.notes.withLock { $0.turns }
        if now != turn { (turn, bytesOfTurn) = (now, 0) }
        bytesOfTurn += bytes.count
        notes.withLock { notes in
            notes.bytes += bytes.count
            notes.mostOfATurn = max(notes.mostOfATurn, bytesOfTurn)
        }
    }

    func closed(_ client: RawClient, reason: String, on loop: IOLoop) {}
}

extension WithLoops {
    @Suite("A raw client")
    struct RawClientTests {
        private static func listener(_ tls: TLSSettings? = nil) -> ListenerSettings {
            ListenerSettings(host: "127.0.0.1", port: 0, kind: .rawTCP, tls: tls)
        }

        /// A loop that calls the port of another, which echoes what it hears.
        private static func call(
            _ tls: TLSSettings? = nil,
            greeting: [UInt8] = Array("hello".utf8),
            settings prepare: (inout RawClientSettings) -> Void = { _ in },
            _ check: (Caller) throws -> Void
        ) throws {
            try withServer(settings: listener(tls)) { port, loops, _ in
                var server = ServerAddress(host: "feed.test", port: port, isTLS: tls != nil, address: "127.0.0.1")
                if tls == nil { server.host = "127.0.0.1" }
                var settings = RawClientSettings(server: server)
                settings.waitingBytesMost = 8 << 20
                prepare(&settings)
                let caller = Caller(greeting: greeting)
                let loop = try IOLoop(index: 7, handler: TestHandler())
                _ = try loop.connectRaw(settings, handler: caller)
                let thread = Worker { loop.run() }
                defer {
                    loop.requestStop()
                    thread.join()
                }
                try check(caller)
            }
        }

        @Test(
            "sends and receives, plain and over TLS, also more than the kernel takes at once",
            arguments: [false, true]
        )
        func echoes(isTLS: Bool) throws {
            let authority = isTLS ? try TestAuthority() : nil
            let greeting = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
            try Self.call(authority?.server, greeting: greeting) {
                $0.authoritiesPath = authority?.authorityPath
            } _: { caller in
                #expect(eventually { caller.notes.withLock { $0.bytes.count } == greeting.count })
                #expect(caller.notes.withLock { $0.bytes } == greeting)
                #expect(caller.notes.withLock { $0.opened } == 1 && caller.notes.withLock { $0.reasons } == [])
            }
        }

        @Test("lets the loop do its other work while a server sends without end", arguments: [false, true])
        func takesTurns(isTLS: Bool) throws {
            let authority = isTLS ? try TestAuthority() : nil
            try withServer(settings: Self.listener(authority?.server)) { port, _, _ in
                let host = isTLS ? "feed.test" : "127.0.0.1"
                let server = ServerAddress(host: host, port: port, isTLS: isTLS, address: "127.0.0.1")
                var settings = RawClientSettings(server: server)
                settings.authoritiesPath = authority?.authorityPath
                let own = TestHandler()
                let reader = TurnReader(own, sends: 3_000_000)
                let loop = try IOLoop(index: 7, handler: own)
                _ = try loop.connectRaw(settings, handler: reader)
                let thread = Worker { loop.run() }
                defer {
                    loop.requestStop()
                    thread.join()
                }
                #expect(eventually { reader.notes.withLock { $0.bytes } == 3_000_000 })
                #expect(reader.notes.withLock { $0.mostOfATurn } <= 512 * 1024)
            }
        }

        @Test("is told when nobody listens, and when the loop stops")
        func failures() throws {
            try Self.call(settings: { $0.server.port = 1 }) { caller in
                #expect(eventually { caller.notes.withLock { $0.reasons.count } == 1 })
                #expect(
                    caller.notes.withLock { $0.reasons.first } == "cannot connect to 127.0.0.1:1: Connection refused"
                )
            }
            let caller = Caller(greeting: [])
            try withServer(settings: Self.listener()) { port, _, _ in
                let loop = try IOLoop(index: 7, handler: TestHandler())
                let server = ServerAddress(host: "127.0.0.1", port: port, isTLS: false)
                _ = try loop.connectRaw(RawClientSettings(server: server), handler: caller)
                let thread = Worker { loop.run() }
                #expect(eventually { caller.notes.withLock { $0.opened } == 1 })
                loop.requestStop()
                thread.join()
            }
            #expect(caller.notes.withLock { $0.reasons } == ["the hub stops"])
        }

        @Test("takes no certificate of a stranger, nor one for another name")
        func strangers() throws {
            let authority = try TestAuthority()
            try Self.call(authority.server) { caller in
                #expect(eventually { caller.notes.withLock { $0.reasons.count } == 1 })
                let reason = try #require(caller.notes.withLock { $0.reasons.first })
                #expect(reason.contains("unable to get local issuer certificate"))
            }
            try Self.call(authority.server) {
                $0.authoritiesPath = authority.authorityPath
                $0.server.host = "other.test"
            } _: { caller in
                #expect(eventually { caller.notes.withLock { $0.reasons.count } == 1 })
                let reason = try #require(caller.notes.withLock { $0.reasons.first })
                #expect(reason.contains("hostname mismatch"))
            }
        }

        @Test("gives up a server that does not answer")
        func silence() throws {
            let caller = Caller(greeting: [])
            let loop = try IOLoop(index: 7, handler: TestHandler())
            // Plain TCP connects; TLS waits for ever.
            let server = ServerAddress(host: "127.0.0.1", port: Self.deafPort(), isTLS: true)
            var settings = RawClientSettings(server: server)
            settings.connectTimeoutSeconds = 1
            _ = try loop.connectRaw(settings, handler: caller)
            let thread = Worker { loop.run() }
            #expect(eventually { caller.notes.withLock { $0.reasons.count } == 1 })
            let reason = caller.notes.withLock { $0.reasons.first }
            #expect(reason?.hasSuffix("no connection within 1 s") == true)
            loop.requestStop()
            thread.join()
        }

        /// A port that accepts and never says a word.
        private static func deafPort() -> UInt16 {
            let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_addr.s_addr = inet_addr("127.0.0.1")
            var length = socklen_t(MemoryLayout<sockaddr_in>.size)
            withUnsafeMutablePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                    _ = bind(descriptor, pointer, length)
                    _ = listen(descriptor, 8)
                    _ = getsockname(descriptor, pointer, &length)
                }
            }
            return UInt16(bigEndian: address.sin_port)
        }

        @Test("is admitted with a certificate of the listener's authority only")
        func clientCertificates() throws {
            let (authority, stranger) = (try TestAuthority(), try TestAuthority())
            var tls = authority.server
            tls.clientAuthoritiesPath = authority.authorityPath
            for (certificate, isAdmitted) in [(authority.server, true), (stranger.server, false), (nil, false)] {
                try Self.call(tls) {
                    $0.authoritiesPath = authority.authorityPath
                    $0.certificate = certificate
                } _: { caller in
                    if isAdmitted {
                        #expect(eventually { caller.notes.withLock { $0.bytes } == Array("hello".utf8) })
                    } else {
                        // TLS 1.3 lets a client believe itself connected until it reads.
                        #expect(eventually { caller.notes.withLock { $0.reasons.count } == 1 })
                        #expect(caller.notes.withLock { $0.bytes } == [])
                    }
                }
            }
        }
    }
}
