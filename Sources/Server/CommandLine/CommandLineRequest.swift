/// What a command line asks for.
package enum CommandLineRequest: Hashable, Sendable {
    case serve(ServeOptions)
    case normalize(NormalizeOptions)
    case venue(VenueOptions)
    case record(ServeOptions)
    case replay(ReplayOptions)
    case checkConfiguration(ConfigurationOptions)
    case printConfiguration(ConfigurationOptions, isDocumented: Bool)
    case printSchema
    case version
    /// The text to print.
    case help(String)
}

/// Where the configuration comes from, besides the environment.
package struct ConfigurationOptions: Hashable, Sendable {
    package var file: String?
    /// The operands of `--set`, in order.
    package var assignments: [String] = []

    package init(file: String? = nil, assignments: [String] = []) {
        self.file = file
        self.assignments = assignments
    }
}

/// How the hub is to run.
package struct ServeOptions: Hashable, Sendable {
    package var configuration: ConfigurationOptions

    package init(configuration: ConfigurationOptions = ConfigurationOptions()) {
        self.configuration = configuration
    }
}

/// Which recording to play to clients, and how badly.
package struct VenueOptions: Hashable, Sendable {
    /// What to do wrong when a line of the recording is reached.
    package struct Fault: Hashable, Sendable {
        package enum Kind: String, CaseIterable, Sendable {
            case cut
            case silence
            case garbage
        }

        package var kind: Kind
        /// Counts from 1.
        package var line: Int

        package init(kind: Kind, line: Int) {
            self.kind = kind
            self.line = line
        }
    }

    package var captureFiles: [String] = []
    package var host = "127.0.0.1"
    package var port: UInt16 = 8443
    package var certificateFile: String?
    package var keyFile: String?
    /// 0 is as fast as it goes.
    package var speedFactor = 1.0
    package var isLooping = false
    package var seed: UInt64 = 1
    package var snapshotDelayMsMost = 0
    package var faults: [Fault] = []

    package init() {}
}

/// Why a command line makes no sense.
package enum UsageError: Error, Hashable, Sendable {
    case noCommand
    case unknownCommand(String)
    case missingSubcommand(of: String)
    case unknownOption(String, command: String, known: [String])
    case repeatedOption(String, command: String)
    case missingValue(option: String, valueName: String, command: String)
    case unexpectedValue(option: String, command: String)
    case badValue(option: String, value: String, expected: String, command: String)
    case missingOption(String, command: String)
    case missingOperand(String, command: String)
    case unexpectedOperand(String, command: String)

    /// One line that says what to do.
    package var message: String {
        switch self {
        case .noCommand:
            "no command; try \"market-hub serve\", or \"market-hub help\""
        case .unknownCommand(let name):
            "unknown command \(JSONText.quoted(name)); \(Self.advice(name, CommandDescription.all.map(\.name), "help"))"
        case .missingSubcommand(let name):
            "\(name) needs to know what to do: "
                + CommandDescription.all.map(\.name).filter { $0.hasPrefix("\(name) ") }
                .map { "\"market-hub \($0)\"" }.joined(separator: ", ")
        case .unknownOption(let name, let command, let known):
            "\(command): unknown option \(name); \(Self.advice(name, known, "\(command) --help"))"
        case .repeatedOption(let name, let command):
            "\(command): \(name) is given twice; give it once"
        case .missingValue(let option, let valueName, let command):
            "\(command): \(option) needs a value; write \(option) \(valueName)"
        case .unexpectedValue(let option, let command):
            "\(command): \(option) takes no value; write it alone"
        case .badValue(let option, let value, let expected, let command):
            "\(command): \(option) must be \(expected), not \(JSONText.quoted(value))"
        case .missingOption(let option, let command):
            "\(command): \(option) is missing; see \"market-hub \(command) --help\""
        case .missingOperand(let name, let command):
            "\(command): no \(name) given; see \"market-hub \(command) --help\""
        case .unexpectedOperand(let text, let command):
            "\(command): unexpected \(JSONText.quoted(text)); see \"market-hub \(command) --help\""
        }
    }

    private static func advice(_ name: String, _ known: [String], _ help: String) -> String {
        nearestName(to: name, among: known).map { "did you mean \($0)?" } ?? "see \"market-hub \(help)\""
    }
}
