import FoundationEssentials
import Server
import Testing

@Suite("The configuration as text")
struct ConfigurationTextTests {
    @Test("Config/market-hub.json5 holds exactly the known keys with their defaults and documentation")
    func documentedFile() throws {
        let root = #filePath.components(separatedBy: "/Tests/ServerTests/")[0]
        let text = try String(
            decoding: Data(contentsOf: URL(filePath: "\(root)/Config/market-hub.json5")),
            as: UTF8.self
        )
        let file = try ConfigurationLoader.load(file: ("market-hub.json5", Array(text.utf8)))
        #expect(file.values == Configuration())
        #expect(file.settings.filter { $0.origin == .defaults }.map(\.leaf.path) == [])
        let hint: Comment = "make it anew: market-hub config print --docs > Config/market-hub.json5"
        #expect(text == ConfigurationText.documented(try ConfigurationLoader.load()), hint)
        for key in VenueConfiguration.keys { #expect(text.contains("// - \(key.name): ")) }
    }

    @Test("is read back as the same, with the origin of what is not the default beside it")
    func plain() throws {
        let configuration = try ConfigurationLoader.load(
            file: ("a\nb.json5", Array("{sources: {venues: [{venue: 'kraken', symbols: ['XBT/USD', 'é\"']}]}}".utf8)),
            environment: ["MARKET_HUB_WEB_ROOT": "x"],
            assignments: ["listen.port=0"]
        )
        let text = ConfigurationText.plain(configuration)
        #expect(try ConfigurationLoader.load(file: ("again", Array(text.utf8))).values == configuration.values)
        #expect(text.contains("    port: 0, // --set listen.port=0\n"))
        #expect(text.contains("    root: \"x\", // MARKET_HUB_WEB_ROOT\n"))
        #expect(text.contains("    ], // a b.json5:1:20\n"))
        #expect(text.contains("    host: \"127.0.0.1\",\n"))
    }

    @Test("is described by a JSON Schema with every key")
    func schema() throws {
        let schema = try JSON5Reader.read(ConfigurationSchema.text().utf8)
        for leaf in Configuration.leaves() {
            var node: JSON5Node? = schema
            for step in leaf.path.split(separator: ".") { node = node?["properties"]?[String(step)] }
            let described = try #require(node, "\(leaf.path) is missing")
            #expect(described["description"]?.value == .text(leaf.key.documentation))
            #expect(described["default"] != nil)
        }
        let port = schema["properties"]?["listen"]?["properties"]?["port"]
        #expect(port?["maximum"]?.value == .integer(65535))
        #expect(schema["additionalProperties"]?.value == .flag(false))
    }
}
