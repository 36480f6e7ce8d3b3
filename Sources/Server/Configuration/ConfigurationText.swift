/// Writes a configuration as JSON5 that the hub reads back.
package enum ConfigurationText {
    /// The effective values; where a value differs from its default, a comment says where it came from.
    package static func plain(_ configuration: EffectiveConfiguration) -> String {
        text(configuration, isDocumented: false)
    }

    /// The same with every key's meaning, range, default and environment variable above it.
    package static func documented(_ configuration: EffectiveConfiguration) -> String {
        """
        // The configuration of the market hub, in JSON5. Every key is here with its default: keep what you change.
        // Stronger than this file are environment variables (named below), stronger still --set section.key=value.
        // "market-hub config check --config FILE" reads a file and says what is wrong with it.

        """ + text(configuration, isDocumented: true)
    }

    private static func text(_ configuration: EffectiveConfiguration, isDocumented: Bool) -> String {
        let settings = Dictionary(uniqueKeysWithValues: configuration.settings.map { ($0.leaf.path, $0) })
        let defaults = Configuration.encodedDefaults()
        var writer = Writer(settings: settings, isDocumented: isDocumented)
        writer.lines.append("{")
        writer.section(Configuration.self, under: "", defaults: defaults, indentation: "  ")
        writer.lines.append("}\n")
        return writer.lines.joined(separator: "\n")
    }

    private struct Writer {
        let settings: [String: ConfigurationSetting]
        let isDocumented: Bool
        var lines: [String] = []

        mutating func section(
            _ section: any ConfigurationSection.Type,
            under prefix: String,
            defaults: JSON5Node?,
            indentation: String
        ) {
            for (index, key) in section.keys.enumerated() {
                let path = prefix.isEmpty ? key.name : "\(prefix).\(key.name)"
                if isDocumented, index > 0 { lines.append("") }
                if isDocumented { comment(key.documentation, indentation) }
                if case .section(let inner) = key.kind {
                    lines.append("\(indentation)\(key.name): {")
                    self.section(inner, under: path, defaults: defaults?[key.name], indentation: indentation + "  ")
                    lines.append("\(indentation)},")
                } else if let setting = settings[path], let normal = defaults?[key.name] {
                    if isDocumented { facts(of: setting.leaf, normal: normal, indentation) }
                    let value = JSONText.indented(setting.node.value, by: indentation)
                    lines.append("\(indentation)\(key.name): \(value),\(origin(of: setting))")
                }
            }
        }

        private func origin(of setting: ConfigurationSetting) -> String {
            guard setting.origin != .defaults else { return "" }
            let place = setting.origin.place(at: setting.node.position)
            // Names of files and flags may hold anything, line breaks too.
            return " // \(String(place.map { $0.isNewline ? " " : $0 }))"
        }

        private mutating func facts(of leaf: ConfigurationLeaf, normal: JSON5Node, _ indentation: String) {
            let reload = leaf.key.isReloadable ? " Taken over on SIGHUP." : ""
            let normal = JSONText.compact(normal.value)
            let expectation = leaf.key.kind.expectation
            let facts = expectation.prefix(1).uppercased() + expectation.dropFirst()
            comment("\(facts); default \(normal).\(reload) \(leaf.environmentName)", indentation)
            guard case .objects(let section, _) = leaf.key.kind else { return }
            let defaults = section.encodedDefaults()
            for key in section.keys {
                let normal = defaults[key.name].map { JSONText.compact($0.value) } ?? ""
                let facts = "\(key.kind.expectation); default \(normal)."
                comment(
                    "- \(key.name): \(key.documentation) \(facts.prefix(1).uppercased())\(facts.dropFirst())",
                    indentation
                )
            }
        }

        private mutating func comment(_ text: String, _ indentation: String) {
            var line = "\(indentation)//"
            for word in text.split(separator: " ") {
                if line.count + 1 + word.count > 120 {
                    lines.append(line)
                    line = "\(indentation)//"
                }
                line += " \(word)"
            }
            lines.append(line)
        }
    }
}
