import Testing

@testable import Transport

/// One hostile (or merely odd) thing to say to an HTTP server, and what must come of it.
struct HostileRequest: CustomTestStringConvertible {
    var testDescription: String
    var bytes: String
    /// The status of each answer in order; empty when the connection is closed without one.
    var statuses: [Int]
    var isClosed: Bool

    init(_ description: String, _ bytes: String, _ statuses: [Int], isClosed: Bool) {
        testDescription = description
        self.bytes = bytes
        self.statuses = statuses
        self.isClosed = isClosed
    }

    private static func upgrade(_ headers: String) -> String { "GET /ws HTTP/1.1\r\nHost: x\r\n\(headers)\r\n" }
    private static let whole = Peer.upgradeHeaders
    private static let next = "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"

    static let upgrades: [HostileRequest] = [
        .init("version 99", upgrade(whole.replacing("13", with: "99")), [426], isClosed: true),
        .init("no version", upgrade(whole.replacing("Sec-WebSocket-Version: 13\r\n", with: "")), [426], isClosed: true),
        .init("no key", upgrade(whole.replacing("Sec-WebSocket-Key", with: "X-Key")), [400], isClosed: true),
        .init("short key", upgrade(whole.replacing("dGhlIHNhbXBsZSBub25jZQ==", with: "abc")), [400], isClosed: true),
        .init("long key", upgrade(whole.replacing("dGhl", with: "dGhldGhl")), [400], isClosed: true),
        .init("no Host", "GET /ws HTTP/1.1\r\n\(whole)\r\n", [400], isClosed: true),
        .init("two Hosts", upgrade("Host: y\r\n" + whole), [400], isClosed: true),
        .init("by POST", "POST /ws HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\(whole)\r\n", [405], isClosed: true),
        .init("with a body", upgrade("Content-Length: 3\r\n" + whole) + "abc", [400], isClosed: true),
        .init("chunked", upgrade("Transfer-Encoding: chunked\r\n" + whole), [411], isClosed: true),
        .init("no Connection", upgrade(whole.replacing("Connection: Upgrade\r\n", with: "")), [400], isClosed: true),
        .init("Connection: close", upgrade(whole.replacing("n: Up", with: "n: close, x-up")), [400], isClosed: true),
        .init(
            "unknown subprotocol",
            upgrade("Sec-WebSocket-Protocol: zzz\r\n" + whole),
            [400],
            isClosed: true
        ),
        .init(
            "endless subprotocols",
            upgrade("Sec-WebSocket-Protocol: " + String(repeating: "a, ", count: 90) + "\r\n" + whole),
            [400],
            isClosed: true
        ),
        .init(
            "to HTTP/2",
            upgrade("Upgrade: h2c\r\nConnection: Upgrade\r\nHTTP2-Settings: AAMAAABk\r\n"),
            [426],
            isClosed: true
        ),
        .init("to something else", upgrade("Upgrade: gopher\r\nConnection: Upgrade\r\n"), [403], isClosed: true),
        .init("unknown path", "GET /nope HTTP/1.1\r\nHost: x\r\n\(whole)\r\n", [404], isClosed: true),
        .init("not allowed", "GET /secret HTTP/1.1\r\nHost: x\r\n\(whole)\r\n", [401], isClosed: true),
        .init("not wanted", "GET /bad HTTP/1.1\r\nHost: x\r\n\(whole)\r\n", [400], isClosed: true),
        .init(
            "refused after a good request",
            next + "GET /secret HTTP/1.1\r\nHost: x\r\n\(whole)\r\n",
            [200, 401],
            isClosed: true
        ),
    ]

    private static func post(_ headers: String, _ body: String) -> String {
        "POST /body HTTP/1.1\r\nHost: x\r\n\(headers)\r\n\(body)"
    }

    static let bodies: [HostileRequest] = [
        .init("a body", post("Content-Length: 10\r\n", "0123456789"), [200], isClosed: false),
        .init(
            "a body and the next request",
            post("Content-Length: 5\r\n", "hello" + next),
            [200, 200],
            isClosed: false
        ),
        .init("an empty body", post("Content-Length: 0\r\n", next), [200, 200], isClosed: false),
        .init(
            "the most",
            post("Content-Length: 65536\r\n", String(repeating: "a", count: 65_536)),
            [200],
            isClosed: false
        ),
        .init("above the most", post("Content-Length: 65537\r\n", "abc"), [413], isClosed: true),
        .init("an absurd length", post("Content-Length: 99999999999999999999\r\n", "abc"), [400], isClosed: true),
        .init("a negative length", post("Content-Length: -5\r\n", "hello" + next), [400], isClosed: true),
        .init("a length with letters", post("Content-Length: 5abc\r\n", "hello"), [400], isClosed: true),
        .init("a signed length", post("Content-Length: +5\r\n", "hello"), [400], isClosed: true),
        .init(
            "two lengths",
            post("Content-Length: 5\r\nContent-Length: 10\r\n", "hello" + next),
            [400],
            isClosed: true
        ),
        .init("no length", post("", "hello"), [411], isClosed: true),
        .init("chunks", post("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"), [411], isClosed: true),
        .init(
            "a length and chunks",
            post("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\nG" + next),
            [411],
            isClosed: true
        ),
        .init(
            "to be continued",
            post("Expect: 100-continue\r\nContent-Length: 2\r\n", "ok"),
            [100, 200],
            isClosed: false
        ),
        .init(
            "a body on GET",
            "GET /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 35\r\n\r\n" + next,
            [400],
            isClosed: true
        ),
        .init(
            "a body on DELETE",
            "DELETE /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx",
            [400],
            isClosed: true
        ),
    ]

    static let headers: [HostileRequest] = [
        .init("no Host", "GET /hello HTTP/1.1\r\n\r\n", [400], isClosed: true),
        .init("two Hosts", "GET /hello HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", [400], isClosed: true),
        .init("an unknown method", "FOO /hello HTTP/1.1\r\nHost: x\r\n\r\n", [403], isClosed: true),
        .init("CONNECT", "CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n", [], isClosed: true),
        .init("garbage", String(repeating: "\u{1}\u{2}\u{7f}", count: 20) + "\r\n\r\n", [403], isClosed: true),
        .init(
            "a TLS hello",
            "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\u{1}\u{fc}\u{3}\u{3}\r\n\r\n",
            [403],
            isClosed: true
        ),
        .init("no slash", "GET hello HTTP/1.1\r\nHost: x\r\n\r\n", [403], isClosed: true),
        .init(
            "an oversize header",
            "GET /hello HTTP/1.1\r\nHost: x\r\nUser-Agent: \(String(repeating: "a", count: 9000))\r\n\r\n",
            [],
            isClosed: true
        ),
        .init(
            "an oversize path",
            "GET /\(String(repeating: "a", count: 9000)) HTTP/1.1\r\nHost: x\r\n\r\n",
            [],
            isClosed: true
        ),
        .init("a NUL in the path", "GET /he%00llo HTTP/1.1\r\nHost: x\r\n\r\n", [], isClosed: true),
        .init("a broken escape", "GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n", [403], isClosed: true),
        .init("a way out", "GET /../../hello HTTP/1.1\r\nHost: x\r\n\r\n", [200], isClosed: false),
        .init("an escaped way out", "GET /%2e%2e/%2e%2e/hello HTTP/1.1\r\nHost: x\r\n\r\n", [200], isClosed: false),
        .init("HTTP/1.0", "GET /hello HTTP/1.0\r\nHost: x\r\n\r\n", [200], isClosed: true),
        .init(
            "Connection: close",
            "GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            [200],
            isClosed: true
        ),
        .init("a space before the colon", post("Content-Length : 5\r\n", "hello"), [411], isClosed: true),
    ]
}

extension WithLoops {
    @Suite("The admission gate")
    struct AdmissionGateTests {
        @Test("answers odd upgrades", arguments: HostileRequest.upgrades)
        func upgrades(request: HostileRequest) throws { try check(request) }

        @Test("answers odd bodies", arguments: HostileRequest.bodies)
        func bodies(request: HostileRequest) throws { try check(request) }

        @Test("answers odd headers", arguments: HostileRequest.headers)
        func headers(request: HostileRequest) throws { try check(request) }

        private func check(_ request: HostileRequest) throws {
            try withServer { port, _, handler in
                let peer = try Peer(port: port)
                peer.send(request.bytes)
                for status in request.statuses { #expect(try peer.answer().status == status) }
                if request.isClosed {
                    #expect(peer.readToEnd(within: 1), "stays open")
                } else {
                    #expect(try peer.request("/hello").status == 200)
                }
                #expect(peer.buffer.isEmpty, "\(String(decoding: peer.buffer, as: UTF8.self))")
                #expect(handler.notes.withLock { $0.opened.isEmpty })
                // Whatever it was, it cost its sender alone.
                #expect(try Peer(port: port).request("/hello").text == "hello you")
            }
        }
    }
}
