import Testing

/// A rule about single lines: what must not stand in which files, and what to do instead.
struct LineRule: Sendable, CustomTestStringConvertible {
    let name: String
    /// A line without this word cannot offend: a cheap look before the expression.
    let word: String
    let pattern: @Sendable (Substring) -> Bool
    let covers: @Sendable (SourceFile) -> Bool
    let offender: String
    let innocent: String

    var testDescription: String { name }

    func offences(in file: SourceFile) -> [String] {
        guard covers(file) else { return [] }
        return file.lines.enumerated().filter { $0.element.contains(word) && pattern($0.element) }
            .map { "\(file.path):\($0.offset + 1): \(name)" }
    }
}

private let isCode: @Sendable (SourceFile) -> Bool = { file in
    ["swift", "ts", "py", "c", "h", "cpp"].contains(file.fileExtension)
        || ["Scripts", ".ci"].contains(file.components[0])
}
private let isLibrary: @Sendable (SourceFile) -> Bool = { file in
    file.components[0] == "Sources" && file.components[1] != "market-hub" && file.fileExtension == "swift"
}
/// This file quotes what it forbids.
private let isElsewhere: @Sendable (SourceFile) -> Bool = { $0.path != "Tests/TidyTests/StyleTests.swift" }

private let rules: [LineRule] = [
    LineRule(
        name: "a failure is handled or passed on, never try!",
        word: "try!",
        pattern: { _ in true },
        covers: { $0.fileExtension == "swift" && isElsewhere($0) },
        offender: "let a = try! read()",
        innocent: "let a = try read()"
    ),
    LineRule(
        name: "a library returns values and logs, it does not print",
        word: "rint(",
        pattern: { !$0.contains(/^\s*\/\//) && $0.contains(/(^|[^\w.])(debugP|p)rint\(/) },
        covers: isLibrary,
        offender: "    print(\"here\")",
        innocent: "    blueprint(of: house)"
    ),
    LineRule(
        name: "no paths of somebody's machine",
        word: "/",
        pattern: { $0.contains(/(^|[\s"'`=(:])\/(home|Users|root|work|mnt)\//) },
        covers: isElsewhere,
        offender: "see `/home/somebody/project`",
        innocent: "https://example.org/home/ and ../work/captures"
    ),
    LineRule(
        name: "what is left to do belongs in the issue tracker",
        word: "",
        pattern: { $0.contains(/(\/\/|#|\/\*|<!--)\s*(TODO|FIXME|XXX|HACK)\b/) },
        covers: { isElsewhere($0) && ($0.fileExtension != "md") },
        offender: "// TODO: bounds",
        innocent: "ok 1 - a # the TODO directive"
    ),
    LineRule(
        name: "a test skips by .enabled(if:) with a reason; the reason of a cancelled test reaches no report",
        word: "Test.cancel(",
        pattern: { _ in true },
        covers: { $0.fileExtension == "swift" && isElsewhere($0) },
        offender: "try Test.cancel(\"no captures\")",
        innocent: "@Test(.enabled(if: exists, \"no captures\"))"
    ),
    LineRule(
        name: "XCTest is not built: write Swift Testing",
        word: "import XCTest",
        pattern: { _ in true },
        covers: { $0.fileExtension == "swift" && isElsewhere($0) },
        offender: "import XCTest",
        innocent: "import Testing"
    ),
]

@Suite("The style of the tree")
struct StyleTests {
    @Test("keeps the rules about lines", arguments: rules)
    func keeps(rule: LineRule) {
        for offence in SourceTree.files.flatMap(rule.offences(in:)) {
            Issue.record("\(offence)")
        }
    }

    @Test("a rule about lines finds its offender and spares its neighbour", arguments: rules)
    func ruleWorks(rule: LineRule) {
        let offender = SourceFile(path: "Sources/Market/A.swift", text: "import Hub\n\(rule.offender)\n")
        let innocent = SourceFile(path: "Sources/Market/A.swift", text: "import Hub\n\(rule.innocent)\n")
        #expect(rule.offences(in: offender) == ["Sources/Market/A.swift:2: \(rule.name)"])
        #expect(rule.offences(in: innocent).isEmpty)
    }

    @Test("a helper lives with the one who understands it, not in a file for all and sundry")
    func namesSayWhatIsInside() {
        let vague = /(?i)^(utils?|utilities|common|core|helpers?|misc|managers?)\b|(Utils?|Helpers?|Manager)\./
        for file in SourceTree.files where !file.isGenerated {
            #expect(!file.name.contains(vague), "\(file): name the file after its idea")
            for folder in file.components.dropLast() {
                #expect(!folder.contains(vague), "\(file): name the folder \(folder) after its idea")
            }
        }
    }

    @Test("a file tells one story in at most 600 lines")
    func filesAreShort() {
        for file in SourceTree.files where isCode(file) && !file.isGenerated {
            #expect(file.lines.count <= 600, "\(file): split it by idea")
        }
    }
}
