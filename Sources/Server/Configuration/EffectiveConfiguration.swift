/// A configuration and where each of its values came from.
package struct EffectiveConfiguration: Sendable {
    package let values: Configuration
    /// One for every key, in the order of ``ConfigurationSection/leaves(under:)``.
    package let settings: [ConfigurationSetting]

    package init(values: Configuration, settings: [ConfigurationSetting]) {
        self.values = values
        self.settings = settings
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
