import Testing

/// Which imports each module may have; the rest of what `Docs/ARCHITECTURE.md` says follows from it.
///
/// The build refuses an import that `Package.swift` does not declare. This refuses a declaration nobody decided on,
/// and what needs no declaration: Foundation, the clock, the C library.
private let allowedImports: [String: Set<String>] = [
    "Market": [],
    "Feeds": ["Market"],
    "Hub": ["Market"],
    "Signaling": [],
    "JSON": [],
    "Wire": ["Hub", "Market", "Signaling", "JSON", "CMarketHubProto"],
    "Transport": ["CLibWebSockets", "CLibUV", "CTransport", "CZlib", "Glibc", "Synchronization"],
    "Server": [
        "Market", "Feeds", "Hub", "Wire", "JSON", "Transport", "CLibWebSockets", "CLibUV", "CTransport", "CZlib",
        "FoundationEssentials", "Glibc", "Synchronization",
    ],
    "market-hub": ["Server"],
]

/// The modules named by the import declarations of Swift source.
private func imports(of text: String) -> [String] {
    let declaration =
        /^\s*(?:@\w+(?:\([^)]*\))?\s+)*(?:(?:public|package|internal|fileprivate|private)\s+)?import\s+(?:(?:struct|class|enum|protocol|func|var|let|typealias)\s+)?(?<module>\w+)/
    return text.split(separator: "\n").compactMap { line in
        line.contains("import") ? line.firstMatch(of: declaration).map { String($0.output.module) } : nil
    }
}

@Suite("The layers")
struct LayeringTests {
    @Test("every module imports only what its layer may know")
    func importsAreAllowed() {
        let sources = SourceTree.files(below: "Sources", extensions: ["swift"])
        #expect(!sources.isEmpty)
        for file in sources {
            let module = file.components[1]
            guard let allowed = allowedImports[module] else {
                Issue.record("\(file): say in LayeringTests.swift what the module \(module) may import")
                continue
            }
            for imported in imports(of: file.text) where !allowed.contains(imported) {
                Issue.record("\(file): \(module) must not import \(imported)")
            }
        }
    }

    @Test("C modules hold no Swift, Swift modules no C")
    func languagesStayApart() {
        for file in SourceTree.files(below: "Sources") {
            let isCModule =
                file.components[1].hasPrefix("C") && file.components[1].dropFirst().first?.isUppercase == true
            let isSwift = file.fileExtension == "swift"
            #expect(!isSwift || !isCModule, "\(file): a C module holds module maps, shims and generated code")
            #expect(isCModule || !["c", "h"].contains(file.fileExtension), "\(file): C code enters by a C module")
        }
    }

    @Test(
        "finds the module in every spelling of an import",
        arguments: [
            ("import Foundation", ["Foundation"]), ("public import Market", ["Market"]),
            ("  @preconcurrency import Glibc", ["Glibc"]), ("@_spi(Tests) package import Hub", ["Hub"]),
            ("import struct Market.Price", ["Market"]), ("// important", []), ("let important = 1", []),
        ]
    )
    func readsImports(line: String, modules: [String]) {
        #expect(imports(of: line) == modules)
    }
}
