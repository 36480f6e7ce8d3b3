import Testing

@testable import Server

@Suite("The configuration of a FIX server")
struct FIXConfigurationTests {
    private static func server(_ change: (inout FIXConfiguration) -> Void = { _ in }) -> FIXConfiguration {
        var server = FIXConfiguration()
        server.urls = ["tls://fix.example:9876"]
        (server.senderCompId, server.targetCompId) = ("HUB", "VENUE")
        change(&server)
        return server
    }

    private static func complaints(_ servers: FIXConfiguration...) -> [String] {
        var configuration = Configuration()
        configuration.sources.fix = servers
        return configuration.validate().map(\.path)
    }

    @Test("is fine with an address and both names, and with several servers that have names of their own")
    func fine() {
        #expect(Self.complaints(Self.server()) == [])
        #expect(Self.complaints(Self.server(), Self.server { $0.venue = "fix-jse-2" }) == [])
    }

    @Test("needs an address and both names")
    func needs() {
        #expect(
            Self.complaints(FIXConfiguration()) == [
                "sources.fix[0].urls", "sources.fix[0].senderCompId", "sources.fix[0].targetCompId",
            ]
        )
    }

    @Test("refuses what is no venue of FIX", arguments: ["", "jse", "fix-", "fix-JSE", "fix_jse", "kraken", "fix-a@b"])
    func venue(name: String) {
        #expect(Self.complaints(Self.server { $0.venue = name }) == ["sources.fix[0].venue"])
    }

    @Test("refuses two servers of one name, texts that end a field, and channels that FIX does not have")
    func refuses() {
        #expect(Self.complaints(Self.server(), Self.server()) == ["sources.fix[1].venue"])
        #expect(Self.complaints(Self.server { $0.user = "a\u{1}35=5" }) == ["sources.fix[0].user"])
        #expect(Self.complaints(Self.server { $0.symbols = ["A", "B\n"] }) == ["sources.fix[0].symbols[1]"])
        #expect(Self.complaints(Self.server { $0.channels = ["trades", "quotes"] }) == ["sources.fix[0].channels[1]"])
        #expect(Self.complaints(Self.server { $0.keyFile = "a.key" }) == ["sources.fix[0].keyFile"])
    }
}
