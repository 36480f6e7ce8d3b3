/// Builds the effective configuration: defaults, over them the file, over it the environment, over that the flags.
package struct ConfigurationLoader {
    private let leaves = Configuration.leaves()
    private var settings: [String: ConfigurationSetting] = [:]
    private var faults: [ConfigurationFault] = []

    /// The effective configuration.
    ///
    /// `environment` is the whole environment; only names that begin with `MARKET_HUB_` count. `assignments` are the
    /// operands of `--set`, such as `listen.port=0`, the later ones stronger.
    /// - Throws: ``ConfigurationError`` with everything that is wrong, in the order of the layers.
    package static func load(
        file: (name: String, bytes: [UInt8])? = nil,
        environment: [String: String] = [:],
        assignments: [String] = []
    ) throws(ConfigurationError) -> EffectiveConfiguration {
        var loader = ConfigurationLoader()
        if let file { loader.merge(file: file.name, file.bytes) }
        loader.merge(environment: environment)
        for assignment in assignments { loader.merge(assignment: assignment) }
        guard loader.faults.isEmpty else { throw ConfigurationError(loader.faults) }
        return try EffectiveConfiguration(settings: loader.leaves.compactMap { loader.settings[$0.path] })
    }

    private init() {
        let tree = Configuration.encodedDefaults()
        for leaf in leaves {
            let node = leaf.path.split(separator: ".").reduce(Optional(tree)) { $0?[String($1)] }
            guard let node else { stop(because: "\(leaf.path) is a key without a default") }
            settings[leaf.path] = ConfigurationSetting(leaf: leaf, node: node, origin: .defaults)
        }
    }

    private mutating func set(_ path: String, _ node: JSON5Node, from origin: ConfigurationOrigin) {
        settings[path]?.node = node
        settings[path]?.origin = origin
    }

    // MARK: Layers

    private mutating func merge(file name: String, _ bytes: [UInt8]) {
        let root: JSON5Node
        do {
            root = try JSON5Reader.read(bytes)
        } catch {
            faults.append(ConfigurationFault(place: "\(name):\(error.position)", message: error.message))
            return
        }
        var (check, taken) = (ConfigurationCheck(), [(String, JSON5Node)]())
        check.walk(root, as: Configuration.self, under: "") { taken.append(($0, $1)) }
        for (path, node) in taken { set(path, node, from: .file(name)) }
        note(check, from: .file(name))
    }

    private mutating func merge(environment: [String: String]) {
        let known = Dictionary(uniqueKeysWithValues: leaves.map { ($0.environmentName, $0) })
        for (name, text) in environment.sorted(by: { $0.key < $1.key })
        where name.hasPrefix(ConfigurationLeaf.environmentPrefix) {
            if let leaf = known[name] {
                merge(text: text, as: leaf, from: .environment(name))
            } else {
                let near = nearestName(to: name, among: leaves.map(\.environmentName))
                let advice = near.map { "did you mean \($0)?" } ?? "unset it, or see \"market-hub config print --docs\""
                faults.append(ConfigurationFault(place: name, message: "no such variable; \(advice)"))
            }
        }
    }

    private mutating func merge(assignment: String) {
        let origin = ConfigurationOrigin.flag(assignment)
        func fault(_ message: String) -> ConfigurationFault {
            ConfigurationFault(place: origin.place(at: TextPosition(line: 1, column: 1)), message: message)
        }
        guard let equals = assignment.firstIndex(of: "=") else {
            return faults.append(fault("no value; write --set section.key=value"))
        }
        let path = String(assignment[..<equals])
        if let leaf = leaves.first(where: { $0.path == path }) {
            merge(text: String(assignment[assignment.index(after: equals)...]), as: leaf, from: .flag(assignment))
        } else if let inside = leaves.first(where: { $0.path.hasPrefix("\(path).") }) {
            faults.append(fault("\(path) is a section; name a key of it, such as \(inside.path)"))
        } else {
            let near = nearestName(to: path, among: leaves.map(\.path))
            let advice = near.map { "did you mean \($0)?" } ?? "\"market-hub config print\" shows all"
            faults.append(fault("unknown key \(path); \(advice)"))
        }
    }

    /// Takes a text as the kind of its key: lists by commas, or as JSON5 when it begins with `[`.
    private mutating func merge(text: String, as leaf: ConfigurationLeaf, from origin: ConfigurationOrigin) {
        let start = TextPosition(line: 1, column: 1)
        var node = JSON5Node(.text(text), at: start)
        switch leaf.key.kind {
        case .flag: if let flag = Bool(text) { node.value = .flag(flag) }
        case .integer: if let number = Int64(text) { node.value = .integer(number) }
        case .number: if let number = Double(text) { node.value = .number(number) }
        case .texts where !text.hasPrefix("["), .paths where !text.hasPrefix("["):
            let parts = text.isEmpty ? [] : text.split(separator: ",", omittingEmptySubsequences: false)
            node.value = .list(parts.map { JSON5Node(.text(Self.trimmed($0)), at: start) })
        case .texts, .paths, .objects:
            do {
                node = try JSON5Reader.read(text.utf8)
            } catch {
                let message = "\(leaf.path): column \(error.position.column): \(error.message)"
                return faults.append(ConfigurationFault(place: origin.place(at: start), message: message))
            }
        case .text, .path, .choice, .section: break
        }
        var check = ConfigurationCheck()
        if let checked = check.checked(node, as: leaf.key.kind, path: leaf.path) {
            set(leaf.path, checked, from: origin)
        }
        note(check, from: origin)
    }

    private static func trimmed(_ text: Substring) -> String {
        let end = text.lastIndex { $0 != " " }.map(text.index(after:)) ?? text.startIndex
        return String(text[..<end].drop { $0 == " " })
    }

    private mutating func note(_ check: ConfigurationCheck, from origin: ConfigurationOrigin) {
        faults += check.findings.map { finding in
            ConfigurationFault(place: origin.place(at: finding.position), message: finding.message)
        }
    }
}
