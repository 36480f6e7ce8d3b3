import Testing

@testable import Server

@Suite("The address of a feed")
struct FeedAddressTests {
    @Test(
        "is tcp or tls, a host and a port",
        arguments: [
            ("tcp://127.0.0.1:8091", false, "127.0.0.1", 8091), ("tls://hub.example.org:1", true, "hub.example.org", 1),
            ("tls://[::1]:65535", true, "::1", 65535),
        ] as [(String, Bool, String, UInt16)]
    )
    func reads(text: String, isTLS: Bool, host: String, port: UInt16) throws {
        let address = try #require(FeedAddress(text))
        #expect(address.isTLS == isTLS && address.host == host && address.port == port)
    }

    @Test(
        "is nothing else",
        arguments: [
            "", "127.0.0.1:8091", "tcp://", "tcp://host", "tcp://host:", "tcp://:80", "tcp://host:0",
            "tcp://host:65536",
            "tcp://host:+1", "tcp://ho st:1", "tcp://host:1/path", "tls://user@host:1", "wss://host:1", "TCP://host:1",
        ]
    )
    func refuses(text: String) {
        #expect(FeedAddress(text) == nil)
    }
}
