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
}

extension ConfigurationText {
    /// The built-in defaults; they are sound by ``ConfigurationTests/defaultsAreSound()``.
    static var plainDefaults: String {
        (try? ConfigurationLoader.load()).map { plain($0) } ?? ""
    }
}
