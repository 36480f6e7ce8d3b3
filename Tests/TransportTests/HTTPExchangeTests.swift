import Testing

@testable import Transport

extension WithLoops {
    @Suite("An HTTP exchange")
    struct HTTPExchangeTests {
        @Test("knows method, path, query, headers and where it comes from")
        func knowsRequest() throws {
            try withServer { port, _, _ in
                let peer = try Peer(port: port)
                let answer = try peer.request(
                    "//a/../about?x=1&y=a%20b+c&z",
                    headers: "X-Request-Id: 42\r\nUser-Agent: test agent\r\n"
                )
                #expect(answer.text == "GET|/about|x=1y=a b cz=|42|test agent|127.0.0.1|3|false")
                #expect(answer.headers["date"]?.hasSuffix(" GMT") == true)
                #expect(try peer.request("/%61bout", method: "DELETE").text.hasPrefix("DELETE|/about||-|-|"))
                #expect(try peer.request("/about", method: "OPTIONS").text.hasPrefix("OPTIONS|"))
            }
        }

        @Test("follows another on the same connection, also sent ahead")
        func keepsAlive() throws {
            try withServer { port, loops, _ in
                let peer = try Peer(port: port)
                for name in ["a", "b", "c"] { #expect(try peer.request("/hello?name=\(name)").text == "hello \(name)") }
                let paths = ["/hello?name=1", "/body", "/asset", "/big", "/nothing", "/hello?name=2"]
                peer.send(paths.map { "GET \($0) HTTP/1.1\r\nHost: x\r\n\r\n" }.joined())
                let answers = try paths.map { _ in try peer.answer() }
                #expect(answers.map(\.status) == [200, 200, 200, 200, 404, 200])
                #expect(answers[0].text == "hello 1" && answers[5].text == "hello 2")
                #expect(answers[3].body == TestHandler.big)
                #expect(loops[0].connectionCount == 1)
                #expect(try peer.request("/close").headers["connection"] == "close")
                #expect(peer.readToEnd())
            }
        }

        @Test("keeps an answer back for its time, and those sent ahead behind it")
        func keepsAnswerBack() throws {
            try withServer { port, loops, _ in
                let peer = try Peer(port: port)
                let start = loops[0].nowNs
                peer.send(["/late", "/hello", "/late"].map { "GET \($0) HTTP/1.1\r\nHost: x\r\n\r\n" }.joined())
                #expect(try peer.answer().text == "better late")
                #expect(loops[0].nowNs - start >= 100_000_000)
                #expect(try peer.answer().text == "hello you")
                #expect(try peer.answer().text == "better late")
                #expect(loops[0].nowNs - start >= 200_000_000)
                #expect(try peer.request("/late", method: "HEAD").headers["content-length"] == "11")
                let gone = try Peer(port: port)
                gone.send("GET /late HTTP/1.1\r\nHost: x\r\n\r\n")
                gone.close()
                #expect(try peer.request("/late").status == 200)
            }
        }

        @Test("sends a large body whole to a reader that takes its time")
        func sendsLargeBody() throws {
            try withServer { port, _, _ in
                let peer = try Peer(port: port, receiveBuffer: 8192)
                peer.send("GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
                while peer.buffer.count < 100_000 { #expect(peer.read(most: 1000, within: 2)) }
                #expect(try peer.answer().body == TestHandler.big)
                #expect(try peer.request("/big", method: "HEAD").headers["content-length"] == "900000")
                #expect(try peer.request("/hello").status == 200)
            }
        }

        @Test("takes a body that comes in pieces")
        func takesBody() throws {
            try withServer { port, _, _ in
                let peer = try Peer(port: port)
                let body = String(repeating: "0123456789", count: 6000)
                peer.send("POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n")
                var rest = Substring(body)
                while !rest.isEmpty {
                    peer.send(String(rest.prefix(7000)))
                    rest = rest.dropFirst(7000)
                }
                #expect(try peer.answer().text == body)
            }
        }

        @Test("serves assets plain and compressed, and says when the browser has them")
        func servesAssets() throws {
            let handler = TestHandler()
            handler.asset = StaticAsset(
                contentType: "text/html; charset=utf-8",
                plain: Array("<p>hello".utf8),
                gzip: [0x1f, 0x8b, 1, 2],
                caching: .briefly,
                headers: [("content-security-policy", "default-src 'self'")]
            )
            try withServer(handler: handler) { port, _, _ in
                let peer = try Peer(port: port)
                let plain = try peer.request("/asset")
                #expect(plain.text == "<p>hello")
                #expect(plain.headers["content-type"] == "text/html; charset=utf-8")
                #expect(plain.headers["cache-control"] == "public, max-age=300")
                #expect(plain.headers["x-content-type-options"] == "nosniff")
                #expect(plain.headers["vary"] == "accept-encoding")
                #expect(plain.headers["content-security-policy"] == "default-src 'self'")
                #expect(plain.headers["content-encoding"] == nil)
                let small = try peer.request("/asset", headers: "Accept-Encoding: br, gzip;q=0.5\r\n")
                #expect(small.body == [0x1f, 0x8b, 1, 2])
                #expect(small.headers["content-encoding"] == "gzip")
                let tag = try #require(plain.headers["etag"])
                let smallTag = try #require(small.headers["etag"])
                #expect(tag != smallTag)
                #expect(try peer.request("/asset", headers: "Accept-Encoding: gzip;q=0\r\n").headers["etag"] == tag)
                let known = try peer.request("/asset", headers: "If-None-Match: \"x\", W/\(tag)\r\n")
                #expect(known.status == 304 && known.headers["etag"] == tag)
                #expect(known.headers["content-length"] == nil)
                #expect(try peer.request("/asset", headers: "If-None-Match: \(smallTag)\r\n").status == 200)
                let head = try peer.request("/asset", method: "HEAD")
                #expect(head.status == 200 && head.headers["content-length"] == "8")
                #expect(try peer.request("/asset", method: "PUT", body: "x").status == 405)
            }
        }

        @Test("lets nobody split its answers")
        func splitsNothing() throws {
            try withServer { port, _, _ in
                let headers = try Peer(port: port).request("/split").headers
                #expect(headers["x-a"] == nil && headers["x-b"] == nil && headers["x-c"] == "3")
            }
        }

        @Test("chooses the subprotocol of an upgrade")
        func choosesSubprotocol() throws {
            try withServer { port, _, _ in
                let json = "Sec-WebSocket-Protocol: market-hub.v1.json\r\n"
                let answer = try Peer(port: port).upgrade(headers: json)
                #expect(answer.headers["sec-websocket-protocol"] == "market-hub.v1.json")
                #expect(answer.headers["sec-websocket-extensions"] == nil)
                // From libwebsockets' own RFC 6455 section 1.3.
                #expect(answer.headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
                #expect(try Peer(port: port).upgrade().headers["sec-websocket-protocol"] == nil)
                let deflate = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
                #expect(try Peer(port: port).upgrade(headers: deflate).headers["sec-websocket-extensions"] == nil)
            }
        }

        @Test("is refused on the way to a WebSocket with the answer's headers")
        func refusesUpgrade() throws {
            try withServer { port, _, _ in
                let peer = try Peer(port: port)
                let answer = try peer.request("/secret", headers: Peer.upgradeHeaders)
                #expect(answer.status == 401)
                #expect(answer.headers["www-authenticate"] == "Bearer")
                #expect(answer.headers["connection"] == "close")
            }
        }
    }
}
