import Testing

@testable import Transport

@Suite("An upgrade to a WebSocket")
struct WebSocketUpgradeTests {
    /// The nonce, key and answer of RFC 6455 section 1.3.
    private static let nonce = Array("the sample nonce".utf8)
    private static let accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    private static let server = ServerAddress(host: "feed.test", port: 443, path: "/ws?a=b", isTLS: true)

    private static func upgrade(subprotocol: String? = nil) -> WebSocketUpgrade {
        WebSocketUpgrade(nonce: nonce, subprotocol: subprotocol)
    }

    private static func answer(
        _ lines: [String] = [
            "HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade",
            "Sec-WebSocket-Accept: \(accept)",
        ]
    ) -> [UInt8] {
        Array((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8)
    }

    @Test("is asked for as the standard's example is")
    func asks() throws {
        let bytes = try #require(
            Self.upgrade(subprotocol: "a.b").request(Self.server, headers: [("User-Agent", "hub")])
        )
        let wanted = """
            GET /ws?a=b HTTP/1.1\r\nHost: feed.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r
            Sec-WebSocket-Protocol: a.b\r\nUser-Agent: hub\r\n\r\n
            """
        #expect(String(decoding: bytes, as: UTF8.self) == wanted)
    }

    @Test("names a port that is not the scheme's own")
    func namesPort() throws {
        var server = Self.server
        server.port = 9443
        let bytes = try #require(Self.upgrade().request(server, headers: []))
        #expect(String(decoding: bytes, as: UTF8.self).contains("\r\nHost: feed.test:9443\r\n"))
    }

    @Test(
        "is not asked for with what would begin a line of its own",
        arguments: ["/a\r\nX: y", "/a b", "/\u{7f}", "/ä"]
    )
    func refusesPath(path: String) {
        var server = Self.server
        server.path = path
        #expect(Self.upgrade().request(server, headers: []) == nil)
        #expect(Self.upgrade().request(Self.server, headers: [("X", "y\r\nZ: w")]) == nil)
        #expect(Self.upgrade().request(Self.server, headers: [("X", "y")]) != nil)
    }

    @Test("is done when the answer's head is whole, wherever it is cut")
    func isDone() {
        let head = Self.answer()
        for count in 0..<head.count { #expect(Self.upgrade().read(Array(head[..<count])) == .incomplete) }
        #expect(Self.upgrade().read(head) == .accepted(headBytes: head.count))
        #expect(Self.upgrade().read(head + [0x81, 0]) == .accepted(headBytes: head.count))
    }

    @Test(
        "does not mind how fields are written",
        arguments: [
            ["upgrade:WebSocket", "CONNECTION:\tkeep-alive, upgrade ", "sec-websocket-accept:   \(accept)\t"],
            [
                "Connection: keep-alive", "Upgrade: websocket", "Connection: Upgrade",
                "Sec-WebSocket-Accept: \(accept)", "A: ",
            ],
        ]
    )
    func takesSpellings(fields: [String]) {
        let head = Self.answer(["HTTP/1.1 101"] + fields)
        #expect(Self.upgrade().read(head) == .accepted(headBytes: head.count))
    }

    @Test("ends with the subprotocol that was offered, or none", arguments: [("a.b", true), ("c", false)])
    func checksSubprotocol(chosen: String, isGood: Bool) {
        let head = Self.answer([
            "HTTP/1.1 101 x", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Accept: \(Self.accept)",
            "Sec-WebSocket-Protocol: \(chosen)",
        ])
        let isAccepted = Self.upgrade(subprotocol: "a.b").read(head) == .accepted(headBytes: head.count)
        #expect(isAccepted == isGood)
        #expect(Self.upgrade().read(head) == .refused("the server chose a subprotocol that was not offered"))
    }

    @Test(
        "is refused with the reason",
        arguments: [
            (["HTTP/1.1 404 Not Found"], "the server answered 404"),
            (["HTTP/1.1 200 OK", "Upgrade: websocket"], "the server answered 200"),
            (["SSH-2.0-x 101"], "the server does not answer in HTTP"),
            (["HTTP/1.1"], "the server does not answer in HTTP"),
            (["HTTP/1.1 1010 x"], "the server does not answer in HTTP"),
            (["HTTP/1.1 101 x", "nonsense"], "a line of the answer has no name"),
            (
                ["HTTP/1.1 101 x", "Upgrade: websocket", "Connection: Upgrade"],
                "the server answered 101 to something else"
            ),
            (
                ["HTTP/1.1 101 x", "Upgrade: h2c", "Connection: Upgrade", "Sec-WebSocket-Accept: \(accept)"],
                "the server answered 101 to something else"
            ),
            (
                ["HTTP/1.1 101 x", "Upgrade: websocket", "Connection: close", "Sec-WebSocket-Accept: \(accept)"],
                "the server answered 101 to something else"
            ),
            (
                [
                    "HTTP/1.1 101 x", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Accept: \(accept)",
                    "Sec-WebSocket-Extensions: permessage-deflate",
                ], "the server uses an extension"
            ),
        ] as [([String], String)]
    )
    func refuses(lines: [String], reason: String) {
        #expect(Self.upgrade().read(Self.answer(lines)) == .refused(reason))
    }

    @Test("is refused when the head has no end")
    func boundsHead() {
        let long = Array("HTTP/1.1 101 x\r\nA: ".utf8) + [UInt8](repeating: 0x61, count: WebSocketUpgrade.headBytesMost)
        #expect(Self.upgrade().read(long) == .refused("the answer's head has no end"))
        #expect(Self.upgrade().read(Array(long.dropLast(20))) == .incomplete)
        #expect(Self.upgrade().read(long + Array("\r\n\r\n".utf8)) == .refused("the answer's head is too long"))
    }
}
