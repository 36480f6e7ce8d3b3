/// A configuration and where each of its values came from.
package struct EffectiveConfiguration: Sendable {
    package let values: Configuration
    /// One for every key, in the order of ``ConfigurationSection/leaves(under:)``.
    package let settings: [ConfigurationSetting]

    /// Decodes and validates what the settings say together; they are of the right kinds and in range.
    init(settings: [ConfigurationSetting]) throws(ConfigurationError) {
        let byPath = Dictionary(uniqueKeysWithValues: settings.map { ($0.leaf.path, $0) })
        values = Configuration.decoded(from: Self.tree(of: Configuration.self, under: "", byPath))
        self.settings = settings
        let complaints = values.validate()
        guard complaints.isEmpty else {
            throw ConfigurationError(
                complaints.map { complaint in
                    let place = Self.place(of: complaint.path, byPath)
                    return ConfigurationFault(place: place, message: "\(complaint.path) \(complaint.message)")
                }
            )
        }
    }

    /// This configuration with those of the other's values that a running hub takes over.
    package func takingReloadable(
        from other: EffectiveConfiguration
    ) throws(ConfigurationError) -> EffectiveConfiguration {
        try EffectiveConfiguration(
            settings: zip(settings, other.settings).map { $0.leaf.key.isReloadable ? $1 : $0 }
        )
    }

    private static func tree(
        of section: any ConfigurationSection.Type,
        under prefix: String,
        _ settings: [String: ConfigurationSetting]
    ) -> JSON5Value {
        let start = TextPosition(line: 1, column: 1)
        return .object(
            section.keys.compactMap { key in
                let path = prefix.isEmpty ? key.name : "\(prefix).\(key.name)"
                let node: JSON5Node? =
                    if case .section(let inner) = key.kind {
                        JSON5Node(tree(of: inner, under: path, settings), at: start)
                    } else {
                        settings[path]?.node
                    }
                return node.map { JSON5Member(key: key.name, keyPosition: start, node: $0) }
            }
        )
    }

    /// Where the value at a path such as `sources.venues[0].url` was given.
    private static func place(of path: String, _ settings: [String: ConfigurationSetting]) -> String {
        let (leafPath, inside) = path.firstIndex(of: "[").map { (path[..<$0], path[$0...]) } ?? (path[...], "")
        guard let setting = settings[String(leafPath)] else { return "configuration" }
        var node = setting.node
        for step in inside.split(whereSeparator: { "[].".contains($0) }) {
            if let index = Int(step), case .list(let nodes) = node.value, nodes.indices.contains(index) {
                node = nodes[index]
            } else if let member = node[String(step)] {
                node = member
            }
        }
        return setting.origin.place(at: node.position)
    }
}

/// The value of one key.
package struct ConfigurationSetting: Sendable {
    package var leaf: ConfigurationLeaf
    package var node: JSON5Node
    package var origin: ConfigurationOrigin
}

/// Who gave a value; the later ones win over the earlier.
package enum ConfigurationOrigin: Hashable, Sendable {
    case defaults
    case file(String)
    case environment(String)
    case flag(String)

    /// The place as error messages and comments name it; `position` counts for files alone.
    package func place(at position: TextPosition) -> String {
        switch self {
        case .defaults: "configuration"
        case .file(let name): "\(name):\(position)"
        case .environment(let name): name
        case .flag(let text): "--set \(text)"
        }
    }
}

/// One thing wrong with a configuration: where, and what to do.
package struct ConfigurationFault: Hashable, Sendable, CustomStringConvertible {
    /// `file:line:column`, the name of the environment variable, or the flag.
    package var place: String
    package var message: String

    package init(place: String, message: String) {
        self.place = place
        self.message = message
    }

    package var description: String { "\(place): \(message)" }
}

/// Everything wrong with a configuration; never empty.
package struct ConfigurationError: Error, Hashable, Sendable {
    package var faults: [ConfigurationFault]

    package init(_ faults: [ConfigurationFault]) { self.faults = faults }
}
