extension EffectiveConfiguration {
    /// A fault for every file or directory that is named and cannot be read.
    ///
    /// `reason` says why a path cannot be read, nil when it can. Relative paths start at the working directory.
    package func unreadablePaths(_ reason: (String) -> String?) -> [ConfigurationFault] {
        settings.flatMap { setting in
            Self.paths(in: setting.node, kind: setting.leaf.key.kind, at: setting.leaf.path).compactMap { path, node in
                guard case .text(let file) = node.value, !file.isEmpty, let why = reason(file) else { return nil }
                let place = setting.origin.place(at: node.position)
                let message = "\(path) names \(JSONText.quoted(file)): \(why); check the path and its permissions"
                return ConfigurationFault(place: place, message: message)
            }
        }
    }

    private static func paths(
        in node: JSON5Node,
        kind: ConfigurationKey.Kind,
        at path: String
    ) -> [(path: String, node: JSON5Node)] {
        switch (kind, node.value) {
        case (.path, _):
            [(path, node)]
        case (.paths, .list(let nodes)):
            nodes.enumerated().map { ("\(path)[\($0.offset)]", $0.element) }
        case (.objects(let section, _), .list(let nodes)):
            nodes.enumerated().flatMap { index, element in
                section.keys.flatMap { key in
                    element[key.name].map { paths(in: $0, kind: key.kind, at: "\(path)[\(index)].\(key.name)") } ?? []
                }
            }
        default:
            []
        }
    }
}
