import Glibc
import Testing

@testable import Transport

extension WithLoops {
    @Suite("A fetch")
    struct HTTPFetchTests {
        private func fetch(
            _ request: HTTPFetch,
            _ loop: IOLoop,
            _ handler: TestHandler
        ) throws -> Result<HTTPFetchReply, ClientFailure> {
            let result = Guarded<[Result<HTTPFetchReply, ClientFailure>]>([])
            handler.perform(on: loop) { loop in
                loop.fetch(request) { answer in result.withLock { $0.append(answer) } }
            }
            #expect(eventually { !result.withLock { $0.isEmpty } })
            usleep(10_000)
            #expect(result.withLock { $0.count } == 1)
            return try #require(result.withLock { $0.first })
        }

        private func request(_ port: UInt16, _ path: String, _ authority: TestAuthority? = nil) -> HTTPFetch {
            var fetch = HTTPFetch(
                server: ServerAddress(
                    host: authority == nil ? "127.0.0.1" : "feed.test",
                    port: port,
                    path: path,
                    isTLS: authority != nil,
                    address: "127.0.0.1"
                )
            )
            fetch.authoritiesPath = authority?.authorityPath
            fetch.timeoutSeconds = 2
            return fetch
        }

        @Test("brings the whole answer", arguments: [false, true])
        func fetches(overTLS: Bool) throws {
            let authority = overTLS ? try TestAuthority() : nil
            try withServer(settings: testListener(tls: authority?.server)) { port, loops, handler in
                let hello = try fetch(request(port, "/hello?name=x%20y", authority), loops[0], handler).get()
                #expect(hello.status == 200 && String(decoding: hello.body, as: UTF8.self) == "hello x y")
                #expect(hello.contentType == "text/plain; charset=utf-8")
                let host = try fetch(request(port, "/host", authority), loops[0], handler).get()
                #expect(String(decoding: host.body, as: UTF8.self) == "\(overTLS ? "feed.test" : "127.0.0.1"):\(port)")
                let big = try fetch(request(port, "/big", authority), loops[0], handler).get()
                #expect(big.body == TestHandler.big)
                #expect(try fetch(request(port, "/nothing", authority), loops[0], handler).get().status == 404)
                #expect(try fetch(request(port, "/close", authority), loops[0], handler).get().status == 200)
                var small = request(port, "/big", authority)
                small.bytesMost = 899_999
                #expect(try fetch(small, loops[0], handler) == .failure(.tooLarge(bytesMost: 899_999)))
                small.bytesMost = 900_000
                #expect(try fetch(small, loops[0], handler).get().body.count == 900_000)
            }
        }

        @Test("fails with its reason")
        func fails() throws {
            let authority = try TestAuthority()
            let silent = try SilentServer()
            try withServer(settings: testListener(tls: authority.server)) { port, loops, handler in
                #expect(try fetch(request(silent.port, "/"), loops[0], handler) == .failure(.timedOut))
                var wrong = request(port, "/hello", authority)
                wrong.server.host = "other.test"
                guard case .failure(.refused(let reason)) = try fetch(wrong, loops[0], handler) else {
                    Issue.record("accepted a certificate for another name")
                    return
                }
                #expect(reason.lowercased().contains("mismatch"), "\(reason)")
                guard case .failure(.refused) = try fetch(request(1, "/"), loops[0], handler) else {
                    Issue.record("nobody listens there")
                    return
                }
            }
        }

        @Test(
            "reads every kind of body and notices one that is cut short",
            arguments: [
                (
                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3\r\n yo\r\n0\r\n\r\n",
                    "hello yo"
                ),
                ("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end", "until the end"),
                ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ""),
                ("HTTP/1.1 429 Slow\r\nContent-Length: 2\r\nRetry-After: 7\r\n\r\nno", "no"),
                ("HTTP/1.1 302 Found\r\nLocation: /hello\r\nContent-Length: 2\r\n\r\ngo", "go"),
                ("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\ncut", nil),
                ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe", nil),
                ("nonsense\r\n\r\n", nil),
                ("", nil),
            ]
        )
        func reads(answer: String, body: String?) throws {
            try withServer { _, loops, handler in
                let server = try CannedServer(answer)
                defer { server.join() }
                let result = try fetch(request(server.port, "/"), loops[0], handler)
                if let body {
                    #expect(try String(decoding: result.get().body, as: UTF8.self) == body)
                } else {
                    #expect(throws: ClientFailure.self) { try result.get() }
                }
            }
        }
    }
}

/// Answers its one client with given bytes and hangs up.
final class CannedServer {
    let port: UInt16
    private let worker: Worker

    init(_ answer: String) throws {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isListening = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                bind(descriptor, address, length) == 0 && listen(descriptor, 4) == 0
                    && getsockname(descriptor, address, &length) == 0
            }
        }
        guard isListening else { throw Peer.Failure.connect(errno) }
        port = UInt16(bigEndian: address.sin_port)
        worker = Worker {
            var watched = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            if poll(&watched, 1, 5000) > 0 {
                let client = accept(descriptor, nil, nil)
                var request = [UInt8](repeating: 0, count: 4096)
                _ = recv(client, &request, request.count, 0)
                let bytes = Array(answer.utf8)
                _ = send(client, bytes, bytes.count, Int32(MSG_NOSIGNAL))
                close(client)
            }
            close(descriptor)
        }
    }

    func join() { worker.join() }
}
