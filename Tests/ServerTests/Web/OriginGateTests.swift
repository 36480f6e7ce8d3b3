import Testing

@testable import Server

@Suite("Origin gate")
struct OriginGateTests {
    private let gate = OriginGate(origins: ["https://app.example.org"], hosts: ["hub.example.org"])

    @Test(
        "lets programs and its own pages in",
        arguments: [
            ("127.0.0.1:8080", nil), ("localhost:8080", nil), ("LOCALHOST", nil), ("[::1]:8080", nil),
            ("hub.example.org", nil), ("hub.example.org:443", nil),
            ("127.0.0.1:8080", "http://127.0.0.1:8080"), ("hub.example.org", "https://hub.example.org"),
            ("localhost:8080", "https://app.example.org"), ("localhost:8080", "HTTPS://APP.EXAMPLE.ORG"),
        ] as [(String, String?)]
    )
    func own(host: String, origin: String?) {
        #expect(gate.judge(host: host, origin: origin) == .own)
    }

    @Test(
        "turns away pages of others",
        arguments: [
            ("localhost:8080", "https://evil.example"), ("localhost:8080", "http://localhost:9090"),
            ("localhost:8080", "http://localhost"), ("127.0.0.1:8080", "null"),
            ("hub.example.org", "https://hub.example.org.evil.example"),
        ]
    )
    func foreignOrigin(host: String, origin: String) {
        #expect(gate.judge(host: host, origin: origin) == .foreignOrigin)
    }

    @Test(
        "turns away names that are not its own, so that a page cannot rebind its name to us",
        arguments: ["evil.example", "evil.example:8080", "", "127.0.0.1.evil.example", "1.2.3", "1.2.3.256", "[zz]"]
    )
    func foreignHost(host: String) {
        #expect(gate.judge(host: host, origin: nil) == .foreignHost)
    }
}

@Suite("Web address")
struct WebAddressTests {
    @Test(
        "reads what venues and Config write",
        arguments: [
            ("wss://ws-feed.example", true, "ws-feed.example", 443, ""),
            (
                "wss://stream.example:9443/stream?streams=a@b/c@d", true, "stream.example", 9443,
                "/stream?streams=a@b/c@d"
            ),
            ("http://127.0.0.1:80/", false, "127.0.0.1", 80, "/"),
            ("https://[::1]:8443/x", true, "::1", 8443, "/x"), ("https://[::1]/x", true, "::1", 443, "/x"),
        ] as [(String, Bool, String, UInt16, String)]
    )
    func reads(text: String, isTLS: Bool, host: String, port: UInt16, path: String) throws {
        let address = try #require(WebAddress(text))
        #expect(address.isTLS == isTLS)
        #expect(address.host == host)
        #expect(address.port == port)
        #expect(address.path == path)
    }

    @Test(
        "refuses anything else",
        arguments: [
            "", "ftp://x", "wss://", "wss://:1/", "wss://x:99999/", "x", "ws://::1", "ws://[::1", "ws://[::1]x/",
            "ws://a b/", "ws://a/b c", "ws://a/\r\nX: y", "ws://x:+80/", "ws://user@x/", "ws://x#y",
        ]
    )
    func refuses(text: String) {
        #expect(WebAddress(text) == nil)
    }

    @Test("moves to another server and keeps the resource")
    func moves() throws {
        let venue = try #require(WebAddress("wss://stream.example:9443/stream?streams=a"))
        #expect(venue.moved(to: WebAddress("wss://127.0.0.1:1234")).path == "/stream?streams=a")
        let below = venue.moved(to: WebAddress("ws://127.0.0.1:1234/play"))
        #expect(below.path == "/play/stream?streams=a")
        #expect(!below.isTLS)
        #expect(venue.moved(to: nil) == venue)
    }
}
