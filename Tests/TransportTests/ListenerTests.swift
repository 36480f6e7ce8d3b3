import Glibc
import Testing

@testable import Transport

extension WithLoops {
    @Suite("A listener")
    struct ListenerTests {
        private static func hasty() -> ListenerSettings {
            var settings = testListener()
            settings.headerTimeoutSeconds = 1
            settings.keepAliveSeconds = 1
            settings.bodySeconds = 1
            return settings
        }

        @Test(
            "closes those who do not get on in time",
            arguments: [
                "", "GET /hello HTTP/1.1\r\nHos", "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\nabc",
                "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n", "GET /hello HTTP/1.1\r\nHost: x\r\n\r\nGET /he",
            ]
        )
        func timesOut(beginning: String) throws {
            try withServer(settings: Self.hasty()) { port, loops, _ in
                let peer = try Peer(port: port)
                if !beginning.isEmpty { peer.send(beginning) }
                let start = monotonicSeconds()
                #expect(peer.readToEnd(within: 4))
                #expect(monotonicSeconds() - start > 0.5)
                #expect(eventually { loops[0].connectionCount == 0 })
            }
        }

        @Test("closes one who sends a header byte by byte")
        func endsDribbling() throws {
            try withServer(settings: Self.hasty()) { port, _, _ in
                let peer = try Peer(port: port)
                peer.send("GET /hello HTTP/1.1\r\nX: ")
                let start = monotonicSeconds()
                while !peer.isEnded, monotonicSeconds() - start < 4 {
                    peer.send("a")
                    peer.read(within: 0.1)
                }
                #expect(peer.isEnded)
            }
        }

        @Test(
            "closes one who does not begin with TLS, or says nothing at all there",
            arguments: ["", "GET / HTTP/1.1\r\n"]
        )
        func timesOutTLS(beginning: String) throws {
            let authority = try TestAuthority()
            var settings = Self.hasty()
            settings.tls = authority.server
            try withServer(settings: settings) { port, loops, _ in
                let peer = try Peer(port: port)
                peer.send(beginning)
                #expect(peer.readToEnd(within: 4))
                #expect(eventually { loops[0].connectionCount == 0 })
            }
        }

        @Test("leaves an open WebSocket alone")
        func leavesWebSocket() throws {
            try withServer(settings: Self.hasty()) { port, _, _ in
                let peer = try Peer(port: port)
                try peer.upgrade()
                #expect(!peer.readToEnd(within: 2.5))
                peer.sendFrame(1, [65])
                #expect(try peer.frame().payload == [65])
            }
        }

        @Test("answers 503 above the most, and serves again below it")
        func refusesSurplus() throws {
            try withServer(prepare: { $0.connectionsMost = 2 }) { port, loops, _ in
                let first = try Peer(port: port)
                let second = try Peer(port: port)
                try first.upgrade()
                #expect(try second.request("/hello").status == 200)
                let third = try Peer(port: port)
                let answer = try third.request("/hello")
                #expect(answer.status == 503 && answer.headers["connection"] == "close")
                #expect(third.readToEnd())
                let fourth = try Peer(port: port)
                #expect(throws: (any Error).self) { try fourth.upgrade() }
                // Even those who are too many to be refused politely get their answer.
                let idle = try (0..<70).map { _ in try Peer(port: port) }
                #expect(eventually { loops[0].connectionCount == 66 })
                #expect(try idle[69].answer().status == 503)
                for peer in idle { peer.close() }
                second.close()
                #expect(eventually { loops[0].connectionCount == 1 })
                #expect(try Peer(port: port).request("/hello").status == 200)
            }
        }

        @Test("says that a port is busy, unless our own loops hold it")
        func findsBusyPort() throws {
            let holder = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            defer { close(holder) }
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
            var length = socklen_t(MemoryLayout<sockaddr_in>.size)
            let bound = withUnsafeMutablePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                    bind(holder, address, length) == 0 && getsockname(holder, address, &length) == 0
                }
            }
            #expect(bound)
            let port = UInt16(bigEndian: address.sin_port)
            let loop = try IOLoop(index: 0, handler: TestHandler())
            #expect(throws: TransportError.portBusy(host: "127.0.0.1", port: port)) {
                try loop.listen(ListenerSettings(host: "127.0.0.1", port: port))
            }
            #expect(throws: TransportError.address(host: "nowhere")) {
                try loop.listen(ListenerSettings(host: "nowhere", port: 0))
            }
            let tls = TLSSettings(certificatePath: "/no/certificate", keyPath: "/no/key")
            let failure = #expect(throws: TransportError.self) {
                try loop.listen(ListenerSettings(host: "127.0.0.1", port: 0, tls: tls))
            }
            guard case .certificate(path: "/no/certificate", keyPath: "/no/key", _)? = failure else {
                Issue.record("not the certificate's fault: \(String(describing: failure))")
                return
            }
            loop.requestStop()
            loop.run()
        }

        @Test("says that a port is busy which another process shares", .timeLimit(.minutes(1)))
        func findsForeignSharer() throws {
            // A child of ours that listens with SO_REUSEPORT, as another hub would.
            let script = """
                import socket, sys
                s = socket.socket()
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                s.bind(("127.0.0.1", 0)); s.listen()
                print(s.getsockname()[1], flush=True)
                sys.stdin.read()
                """
            let child = try ChildProcess("/usr/bin/python3", ["-c", script])
            defer { child.end() }
            let port = try #require(UInt16(child.line()))
            let loop = try IOLoop(index: 0, handler: TestHandler())
            #expect(throws: TransportError.portBusy(host: "127.0.0.1", port: port)) {
                try loop.listen(ListenerSettings(host: "127.0.0.1", port: port))
            }
            loop.requestStop()
            loop.run()
        }

        @Test("takes over a socket that listens already")
        func adopts() throws {
            let loop = try IOLoop(index: 0, handler: TestHandler())
            let port = try loop.listen(testListener())
            let copy = dup(loop.listeners[0].descriptor)
            loop.requestStop()
            loop.run()
            var settings = testListener()
            settings.adoptDescriptor = copy
            try withServer(settings: settings) { adopted, _, _ in
                #expect(adopted == port)
                let answer = try Peer(port: port).request("/hello")
                #expect(answer.status == 200)
            }
        }

        @Test("speaks TLS 1.2 and 1.3, HTTP/1.1 only, and resumes sessions on any loop")
        func resumesTLS() throws {
            let authority = try TestAuthority()
            try withServer(loops: 2, settings: testListener(tls: authority.server)) { port, _, _ in
                for version in ["-tls1_2", "-tls1_3"] {
                    var reused = 0
                    var loops: Set<String> = []
                    let session = authority.folder + "/session\(version)"
                    let common =
                        "openssl s_client -connect 127.0.0.1:\(port) -servername feed.test -ign_eof \(version) "
                        + "-CAfile \(authority.authorityPath) -verify_return_error -verify_hostname feed.test "
                        + "-alpn h2,http/1.1"
                    let get = "printf 'GET /loop HTTP/1.1\\r\\nHost: feed.test\\r\\n\\r\\n' | "
                    let first = try ChildProcess.output(of: get + common + " -sess_out \(session) 2>&1")
                    #expect(first.contains("HTTP/1.1 200 OK"), "\(first)")
                    #expect(first.contains("ALPN protocol: http/1.1"))
                    for _ in 0..<8 {
                        let again = try ChildProcess.output(of: get + common + " -sess_in \(session) 2>&1")
                        if again.contains("Reused, TLS") { reused += 1 }
                        loops.insert(again.contains("\r\n\r\n0") ? "0" : "1")
                    }
                    #expect(reused == 8, "\(version): resumed \(reused) of 8 on loops \(loops)")
                }
                let old = try ChildProcess.output(
                    of: "openssl s_client -connect 127.0.0.1:\(port) -tls1_1 -cipher ALL:@SECLEVEL=0 </dev/null 2>&1"
                )
                #expect(!old.contains("HTTP/1.1"))
                #expect(old.contains("alert") || old.contains("error"))
            }
        }
    }
}
