/// A group of keys of the configuration: one object in the file.
///
/// The properties carry the defaults and are encoded under their own names, which are the keys. `keys` says of each
/// what the value alone cannot: its kind and range, what it does, and whether a running hub takes a new value.
package protocol ConfigurationSection: Codable, Hashable, Sendable {
    init()
    /// Every key of the section, in the order it is shown. A test compares them with what is encoded.
    static var keys: [ConfigurationKey] { get }
    /// What is wrong with the values taken together, and with texts that must follow a rule; ranges are checked before.
    func validate() -> [ConfigurationComplaint]
}

extension ConfigurationSection {
    package func validate() -> [ConfigurationComplaint] { [] }
}

/// A value that a section refuses: where, relative to the section, and what would pass.
package struct ConfigurationComplaint: Hashable, Sendable {
    /// Such as `port` or `venues[0].url`.
    package var path: String
    package var message: String

    package init(_ path: String, _ message: String) {
        self.path = path
        self.message = message
    }

    package func under(_ section: String) -> Self { Self("\(section).\(path)", message) }
}

/// What is known of one key of a section.
package struct ConfigurationKey: Sendable {
    package enum Kind: Sendable {
        case flag
        case integer(ClosedRange<Int>)
        case number(ClosedRange<Double>)
        case text
        case choice([String])
        case texts(countMost: Int)
        /// A file or directory that must be readable when the hub starts; empty is none.
        case path
        case paths(countMost: Int)
        case objects(any ConfigurationSection.Type, countMost: Int)
        case section(any ConfigurationSection.Type)
    }

    package var name: String
    package var kind: Kind
    /// What it does, in sentences.
    package var documentation: String
    /// Whether a running hub takes a new value on SIGHUP.
    package var isReloadable = false

    package init(_ name: String, _ kind: Kind, _ documentation: String) {
        self.name = name
        self.kind = kind
        self.documentation = documentation
    }

    /// The same key, taken over by a running hub.
    package var reloadable: Self {
        var key = self
        key.isReloadable = true
        return key
    }
}

extension ConfigurationKey.Kind {
    /// What is expected, as said in error messages and in the documented file.
    package var expectation: String {
        switch self {
        case .flag: "true or false"
        case .integer(let range): "a whole number from \(range.lowerBound) to \(range.upperBound)"
        case .number(let range):
            "a number from \(JSONText.number(range.lowerBound)) to \(JSONText.number(range.upperBound))"
        case .text: "text"
        case .choice(let choices): "one of \(choices.map(JSONText.quoted).joined(separator: ", "))"
        case .path: "a path, as text"
        case .texts(let most): "a list of at most \(most) texts"
        case .paths(let most): "a list of at most \(most) paths, as texts"
        case .objects(_, let most): "a list of at most \(most) objects"
        case .section: "an object"
        }
    }
}

/// A key by its full path.
package struct ConfigurationLeaf: Sendable {
    /// Such as `listen.port`.
    package var path: String
    package var key: ConfigurationKey
    /// Such as `MARKET_HUB_LISTEN_PORT`.
    package var environmentName: String { Self.environmentName(path: path) }

    /// `signaling.expireTimeoutMs` is `MARKET_HUB_SIGNALING_EXPIRE_TIMEOUT_MS`.
    package static func environmentName(path: String) -> String {
        var name = environmentPrefix
        for character in path {
            if character == "." {
                name += "_"
            } else if character.isUppercase {
                name += "_\(character)"
            } else {
                name += character.uppercased()
            }
        }
        return name
    }
    package static let environmentPrefix = "MARKET_HUB_"
}

extension ConfigurationSection {
    /// Every key below, sections opened, in the order shown; what lists hold is not a path of its own.
    package static func leaves(under prefix: String = "") -> [ConfigurationLeaf] {
        keys.flatMap { key in
            let path = prefix.isEmpty ? key.name : "\(prefix).\(key.name)"
            guard case .section(let section) = key.kind else { return [ConfigurationLeaf(path: path, key: key)] }
            return section.leaves(under: path)
        }
    }
}
