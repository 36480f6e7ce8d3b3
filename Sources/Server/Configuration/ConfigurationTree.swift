internal import FoundationEssentials

extension ConfigurationSection {
    /// The section's defaults as a tree: the encoded value, numbers of the kind their key has, in the order of `keys`.
    package static func encodedDefaults() -> JSON5Node {
        do {
            let bytes = try JSONEncoder().encode(Self())
            return Self.inOrder(try JSON5Reader.read(bytes))
        } catch {
            stop(because: "the defaults of \(Self.self) cannot be encoded: \(error)")
        }
    }

    /// The value that a whole tree of the section's keys means.
    static func decoded(from tree: JSON5Value) -> Self {
        do {
            return try JSONDecoder().decode(Self.self, from: Data(JSONText.compact(tree).utf8))
        } catch {
            // Every kind and range has been checked, so the table of keys and the properties disagree.
            stop(because: "the configuration cannot be decoded as \(Self.self): \(error)")
        }
    }

    private static func inOrder(_ node: JSON5Node) -> JSON5Node {
        let members = keys.compactMap { key -> JSON5Member? in
            guard var member = node[key.name] else { return nil }
            switch (key.kind, member.value) {
            case (.section(let section), _): member = section.inOrder(member)
            case (.number, .integer(let number)): member.value = .number(Double(number))
            default: break
            }
            return JSON5Member(key: key.name, keyPosition: node.position, node: member)
        }
        return JSON5Node(.object(members), at: node.position)
    }
}

/// Compares values with the kinds of their keys, and collects what is wrong.
struct ConfigurationCheck {
    /// What is wrong, in the order found.
    private(set) var findings: [(position: TextPosition, message: String)] = []

    /// Walks an object as a section: `take` gets every known key that holds no section, with its checked value.
    mutating func walk(
        _ node: JSON5Node,
        as section: any ConfigurationSection.Type,
        under path: String,
        take: (String, JSON5Node) -> Void
    ) {
        guard case .object(let members) = node.value else {
            let name = path.isEmpty ? "the configuration" : path
            return findings.append((node.position, "\(name) must be an object, not \(node.value.summary)"))
        }
        for member in members {
            let memberPath = path.isEmpty ? member.key : "\(path).\(member.key)"
            guard let key = section.keys.first(where: { $0.name == member.key }) else {
                findings.append((member.keyPosition, Self.unknown(memberPath, in: section, under: path)))
                continue
            }
            if case .section(let inner) = key.kind {
                walk(member.node, as: inner, under: memberPath, take: take)
            } else if let checked = checked(member.node, as: key.kind, path: memberPath) {
                take(memberPath, checked)
            }
        }
    }

    /// The value as its key wants it; nil, and a finding, when it is of another kind or out of range.
    mutating func checked(_ node: JSON5Node, as kind: ConfigurationKey.Kind, path: String) -> JSON5Node? {
        switch (kind, node.value) {
        case (.flag, .flag), (.text, .text), (.path, .text):
            return node
        case (.choice(let choices), .text(let text)) where choices.contains(text):
            return node
        case (.choice(let choices), .text(let text)):
            let near = nearestName(to: text, among: choices).map { "; did you mean \(JSONText.quoted($0))?" } ?? ""
            findings.append((node.position, "\(path) must be \(kind.expectation), not \(JSONText.quoted(text))\(near)"))
            return nil
        case (.integer(let range), .integer(let number)) where range.contains(Int(number)):
            return node
        case (.integer(let range), .number(let number)):
            guard let whole = Int64(exactly: number), range.contains(Int(whole)) else { break }
            return JSON5Node(.integer(whole), at: node.position)
        case (.number(let range), .number(let number)) where range.contains(number):
            return node
        case (.number(let range), .integer(let number)) where range.contains(Double(number)):
            return JSON5Node(.number(Double(number)), at: node.position)
        case (.texts(let most), .list(let nodes)), (.paths(let most), .list(let nodes)):
            return list(nodes, countMost: most, at: node.position, path: path) { check, element, path in
                if case .text = element.value { return element }
                check.findings.append((element.position, "\(path) must be text, not \(element.value.summary)"))
                return nil
            }
        case (.objects(let section, let most), .list(let nodes)):
            return list(nodes, countMost: most, at: node.position, path: path) { check, element, path in
                check.element(element, as: section, path: path)
            }
        default: break
        }
        findings.append((node.position, "\(path) must be \(kind.expectation), not \(node.value.summary)"))
        return nil
    }

    private mutating func list(
        _ nodes: [JSON5Node],
        countMost: Int,
        at position: TextPosition,
        path: String,
        each: (inout Self, JSON5Node, String) -> JSON5Node?
    ) -> JSON5Node? {
        guard nodes.count <= countMost else {
            findings.append((position, "\(path) has \(nodes.count) entries; at most \(countMost) are allowed"))
            return nil
        }
        var checked: [JSON5Node] = []
        for (index, node) in nodes.enumerated() {
            if let element = each(&self, node, "\(path)[\(index)]") { checked.append(element) }
        }
        return checked.count == nodes.count ? JSON5Node(.list(checked), at: position) : nil
    }

    /// An object of a list, what it leaves out filled in from the defaults of its kind.
    private mutating func element(
        _ node: JSON5Node,
        as section: any ConfigurationSection.Type,
        path: String
    ) -> JSON5Node? {
        let findingsBefore = findings.count
        var given: [String: JSON5Node] = [:]
        walk(node, as: section, under: path) { given[$0] = $1 }
        guard findings.count == findingsBefore else { return nil }
        let defaults = section.encodedDefaults()
        let members = section.keys.compactMap { key -> JSON5Member? in
            guard let value = given["\(path).\(key.name)"] ?? defaults[key.name] else { return nil }
            let position = given["\(path).\(key.name)"]?.position ?? node.position
            return JSON5Member(key: key.name, keyPosition: position, node: JSON5Node(value.value, at: position))
        }
        return JSON5Node(.object(members), at: node.position)
    }

    private static func unknown(_ path: String, in section: any ConfigurationSection.Type, under: String) -> String {
        let siblings = section.keys.map { under.isEmpty ? $0.name : "\(under).\($0.name)" }
        let everywhere = Configuration.leaves().map(\.path)
        // A key put into the wrong section, or into none.
        let astray = everywhere.first { $0.hasSuffix(".\(path.split(separator: ".").last ?? "")") }
        if let near = nearestName(to: path, among: siblings) ?? astray ?? nearestName(to: path, among: everywhere) {
            return "unknown key \(path); did you mean \(near)?"
        }
        return "unknown key \(path); known here are \(section.keys.map(\.name).joined(separator: ", "))"
    }
}
