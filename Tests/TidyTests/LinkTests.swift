import Testing

/// The targets of Markdown links and pictures outside fenced code.
private func linkTargets(in text: String) -> [String] {
    var isCode = false
    var targets: [String] = []
    for line in text.split(separator: "\n") {
        if line.hasPrefix("```") { isCode.toggle() }
        guard !isCode, line.contains("](") else { continue }
        let prose = line.replacing(/`[^`]*`/, with: "")
        targets += prose.matches(of: /\]\((?<target>[^)\s]+)[^)]*\)/).map { String($0.output.target) }
    }
    return targets
}

/// The anchors GitHub and others make of the headings.
private func anchors(in text: String) -> Set<String> {
    let headings = text.split(separator: "\n").filter { $0.hasPrefix("#") }
    return Set(
        headings.map { heading in
            let words = heading.drop { $0 == "#" || $0 == " " }.lowercased()
            return String(words.filter { $0.isLetter || $0.isNumber || $0 == "-" || $0 == " " || $0 == "_" })
                .replacing(" ", with: "-")
        }
    )
}

/// `Docs/decisions` and `../PERFORMANCE.md` give `Docs/PERFORMANCE.md`; nil when it leaves the repository.
private func resolve(_ target: String, from folder: [String]) -> String? {
    var path = folder
    for part in target.split(separator: "/") where part != "." {
        if part == ".." {
            guard path.popLast() != nil else { return nil }
        } else {
            path.append(String(part))
        }
    }
    return path.joined(separator: "/")
}

@Suite("Links in the documents")
struct LinkTests {
    @Test("lead to something")
    func leadSomewhere() {
        for page in SourceTree.files where page.fileExtension == "md" {
            for target in linkTargets(in: page.text) where !target.contains("://") && !target.hasPrefix("mailto:") {
                let parts = target.split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false).map(
                    String.init
                )
                let path = parts[0].isEmpty ? page.path : resolve(parts[0], from: page.components.dropLast())
                guard let path, SourceTree.exists(path) else {
                    Issue.record("\(page): \(target) is not there")
                    continue
                }
                guard parts.count == 2, let other = SourceTree.files.first(where: { $0.path == path }) else { continue }
                #expect(anchors(in: other.text).contains(parts[1]), "\(page): \(path) has no heading #\(parts[1])")
            }
        }
    }

    @Test("are found where they stand, not in code")
    func targetsAreFound() {
        let page = "See [a](A.md#b), ![p](p.png \"title\").\n```\n[x](no)\n```\nand `[y](no)` [z](#here)"
        #expect(linkTargets(in: page) == ["A.md#b", "p.png", "#here"])
        #expect(anchors(in: "# The hub's `Config`, in full\n## b_c") == ["the-hubs-config-in-full", "b_c"])
        #expect(resolve("../PERFORMANCE.md", from: ["Docs", "decisions"]) == "Docs/PERFORMANCE.md")
        #expect(resolve("../../x", from: ["Docs"]) == nil)
    }
}
