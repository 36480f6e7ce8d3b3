import Server
import Testing

@Suite("A rule for texts of the configuration")
struct ConfigurationRuleTests {
    @Test(
        "takes an origin as browsers send it",
        arguments: [
            ("https://example.org", true), ("http://localhost:8080", true), ("https://[::1]:8443", true),
            ("http://127.0.0.1", true), ("https://example.org/", false), ("https://", false), ("example.org", false),
            ("ftp://example.org", false), ("https://a b", false), ("https://a:port", false), ("https://a:70000", false),
            ("https://user@a", false), ("*", false), ("null", false),
        ]
    )
    func origins(text: String, isSound: Bool) {
        var listen = ListenConfiguration()
        listen.origins = [text]
        #expect(listen.validate().isEmpty == isSound)
    }

    @Test(
        "takes a host without scheme, port and path",
        arguments: [
            ("hub.example.org", true), ("localhost", true), ("10.0.0.1", true), ("::1", true), ("", false),
            ("a:80", false), ("http://a", false), ("a/b", false), ("a b", false),
            (String(repeating: "a", count: 253), true),
            (String(repeating: "a", count: 254), false),
        ]
    )
    func hosts(text: String, isSound: Bool) {
        var listen = ListenConfiguration()
        listen.hosts = [text]
        #expect(listen.validate().isEmpty == isSound)
    }

    @Test(
        "takes the address of a venue over TLS, or without it on this machine",
        arguments: [
            ("", true), ("wss://ws.kraken.com", true), ("wss://127.0.0.1:8443/feed?x=1", true),
            ("ws://127.0.0.1:8443", true), ("ws://localhost/feed", true), ("ws://[::1]:1", true), ("wss://", false),
            ("ws://example.org", false), ("https://example.org", false), ("ws://127.0.0.1.example.org", false),
            ("ws://localhost@example.org", false), ("ws://127.0.0.1:80@example.org/", false),
            ("wss://user@example.org", false), ("wss://a:b", false),
        ]
    )
    func urls(text: String, isSound: Bool) {
        var venue = VenueConfiguration()
        (venue.venue, venue.symbols, venue.url) = ("kraken", ["XBT/USD"], text)
        #expect(venue.validate().isEmpty == isSound)
    }

    @Test(
        "takes an address to listen on in numbers",
        arguments: [
            ("127.0.0.1", true), ("0.0.0.0", true), ("::", true), ("localhost", false), ("", false),
            ("10.0.0.0/8", false), ("127.1", false),
        ]
    )
    func addresses(text: String, isSound: Bool) {
        var admin = AdminConfiguration()
        admin.host = text
        #expect(admin.validate().isEmpty == isSound)
    }
}
