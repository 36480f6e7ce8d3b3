import Testing

@Suite("The scripts")
struct ScriptsTests {
    private static let scripts = SourceTree.files(below: "Scripts").filter { $0.components.count == 2 }

    @Test("are executable, and so is what continuous integration runs")
    func areExecutable() {
        #expect(!Self.scripts.isEmpty)
        for path in Self.scripts.map(\.path) + [".ci/run"] {
            #expect(SourceTree.isExecutable(path), "\(path): chmod +x")
        }
    }

    @Test("say how they are used", arguments: scripts)
    func sayHowTheyAreUsed(script: SourceFile) {
        #expect(script.text.hasPrefix("#!"))
        #expect(script.text.contains(/[Uu]sage: Scripts\/\w/))
        #expect(script.text.contains("--help"))
    }

    @Test("continuous integration runs Scripts/test and nothing else")
    func continuousIntegrationRunsTheTests() throws {
        let run = try #require(SourceTree.files.first { $0.path == ".ci/run" })
        let commands = run.lines.filter { !$0.isEmpty && !$0.hasPrefix("#") }
        #expect(commands == [#"exec "$(dirname "$0")/../Scripts/test""#])
    }
}
