import Foundation
import FuzzProperties
import Testing

@Suite("The seed corpora of the fuzzers")
struct FuzzPropertyTests {
    private static let corpora = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "Fuzzers/corpus")

    private static func seeds(of property: String) throws -> [URL] {
        try FileManager.default.contentsOfDirectory(
            at: corpora.appending(path: property),
            includingPropertiesForKeys: nil
        )
    }

    @Test("keep every property", arguments: fuzzProperties.map(\.name))
    func keep(name: String) throws {
        let property = try #require(fuzzProperties.first { $0.name == name })
        let seeds = try Self.seeds(of: name)
        #expect(!seeds.isEmpty, "a fuzzer without seeds starts blind: put some into Fuzzers/corpus/\(name)")
        for seed in seeds {
            try Data(contentsOf: seed).withUnsafeBytes(property.check)
        }
        property.check(UnsafeRawBufferPointer(start: nil, count: 0))
    }

    @Test("belong to a property each")
    func belongToAProperty() throws {
        let folders = try FileManager.default.contentsOfDirectory(atPath: Self.corpora.path)
        #expect(Set(folders) == Set(fuzzProperties.map(\.name)))
    }
}
