import Server
import Testing

@Suite("The configuration")
struct ConfigurationTests {
    /// All sections, those inside lists included.
    private static let sections: [any ConfigurationSection.Type] = [
        Configuration.self, ListenConfiguration.self, AdminConfiguration.self, TLSConfiguration.self,
        TransportConfiguration.self, HubConfiguration.self, FeedConfiguration.self, SourcesConfiguration.self,
        SyntheticConfiguration.self, CaptureConfiguration.self, VenueConfiguration.self, TCPSourceConfiguration.self,
        WebConfiguration.self, LoggingConfiguration.self, DiagnosticsConfiguration.self,
    ]

    @Test("describes every key it encodes, and no other", arguments: sections.indices)
    func keys(index: Int) throws {
        let section = Self.sections[index]
        #expect(try Set(section.keys.map(\.name)) == encodedKeys(of: section))
        #expect(Set(section.keys.map(\.name)).count == section.keys.count)
    }

    private func encodedKeys(of section: any ConfigurationSection.Type) throws -> Set<String> {
        let mirror = Mirror(reflecting: section.init())
        return Set(mirror.children.compactMap(\.label))
    }

    @Test("has defaults that it accepts itself")
    func defaultsAreSound() {
        #expect(Configuration().validate().isEmpty)
        let text = Array(ConfigurationText.plainDefaults.utf8)
        #expect((try? ConfigurationLoader.load(file: ("defaults", text)))?.values == Configuration())
    }

    @Test(
        "makes the name of a variable from the path",
        arguments: [
            ("listen.port", "MARKET_HUB_LISTEN_PORT"),
            ("signaling.expireTimeoutMs", "MARKET_HUB_SIGNALING_EXPIRE_TIMEOUT_MS"),
        ]
    )
    func environmentNames(path: String, expected: String) {
        #expect(ConfigurationLeaf.environmentName(path: path) == expected)
    }

    @Test("gives every path a variable of its own")
    func environmentNamesDiffer() {
        let leaves = Configuration.leaves()
        #expect(Set(leaves.map(\.environmentName)).count == leaves.count)
    }

    @Test("tells on a change what a running hub takes over and what needs a restart")
    func changes() throws {
        let old = try ConfigurationLoader.load(assignments: ["listen.origins=https://a.b"])
        let new = try ConfigurationLoader.load(
            file: ("f", Array("{listen: {origins: ['https://a.b'], port: 9}, logging: {level: 'debug'}}".utf8))
        )
        let changes = ConfigurationChanges(from: old, to: new)
        #expect(changes.reloadable == ["logging.level"])
        #expect(changes.needingRestart == ["listen.port"])
        #expect(ConfigurationChanges(from: old, to: old).isEmpty)
        let running = try old.takingReloadable(from: new)
        #expect(running.values.logging.level == .debug)
        #expect(running.values.listen.port == 8080)
        #expect(ConfigurationChanges(from: running, to: new).needingRestart == ["listen.port"])
    }

    @Test(
        "knows what lies within a range of addresses",
        arguments: [
            ("10.0.0.0/8", "10.255.0.1", true), ("10.0.0.0/8", "11.0.0.1", false), ("192.168.1.7", "192.168.1.7", true),
            ("192.168.1.7", "192.168.1.8", false), ("0.0.0.0/0", "8.8.8.8", true), ("0.0.0.0/0", "::1", false),
            ("192.168.1.128/25", "192.168.1.127", false), ("192.168.1.128/25", "192.168.1.128", true),
            ("fd00::/8", "fd12::1", true), ("fd00::/8", "fe00::1", false), ("127.0.0.1", "::ffff:127.0.0.1", true),
            ("10.0.0.0/8", "nonsense", false),
        ]
    )
    func addressRanges(range: String, address: String, isInside: Bool) throws {
        #expect(try #require(AddressRange(range)).contains(address: address) == isInside)
    }

    @Test(
        "refuses what is no range of addresses",
        arguments: ["", "x", "10.0.0.0/33", "::/129", "10.0.0.0/", "1.2.3.4/-1"]
    )
    func noAddressRange(text: String) { #expect(AddressRange(text) == nil) }
}

extension ConfigurationText {
    /// The built-in defaults; they are sound by ``ConfigurationTests/defaultsAreSound()``.
    static var plainDefaults: String {
        (try? ConfigurationLoader.load()).map { plain($0) } ?? ""
    }
}
