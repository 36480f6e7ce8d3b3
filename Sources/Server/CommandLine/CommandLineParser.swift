/// Reads what a command line asks for.
package enum CommandLineParser {
    /// The request of the words behind the name of the program.
    package static func parse(_ arguments: [String]) throws(UsageError) -> CommandLineRequest {
        guard let first = arguments.first else { throw .noCommand }
        if first == "--help" || first == "-h" { return .help(HelpText.overview()) }
        if first == "--version" { return .version }
        if first == "help" {
            let wanted = arguments.dropFirst().filter { $0 != "--help" && $0 != "-h" }
            if wanted.isEmpty { return .help(HelpText.overview()) }
            return try help(on: Array(wanted))
        }
        let (command, rest) = try command(at: arguments)
        guard let command else { return try help(on: [first]) }
        if rest.prefix(while: { $0 != "--" }).contains(where: { $0 == "--help" || $0 == "-h" }) {
            return .help(HelpText.text(for: command))
        }
        return try request(of: command, ParsedWords(rest, for: command))
    }

    /// The command that the first words name; nil when they ask for help on a group of commands.
    private static func command(
        at arguments: [String]
    ) throws(UsageError) -> (CommandDescription?, rest: ArraySlice<String>) {
        let name = arguments[0]
        if let command = CommandDescription.all.first(where: { $0.name == name }) {
            return (command, arguments.dropFirst())
        }
        guard CommandDescription.all.contains(where: { $0.name.hasPrefix("\(name) ") }) else {
            throw .unknownCommand(name)
        }
        guard arguments.count > 1 else { throw .missingSubcommand(of: name) }
        if arguments[1] == "--help" || arguments[1] == "-h" { return (nil, []) }
        let full = "\(name) \(arguments[1])"
        guard let command = CommandDescription.all.first(where: { $0.name == full }) else {
            throw .unknownCommand(full)
        }
        return (command, arguments.dropFirst(2))
    }

    private static func help(on words: [String]) throws(UsageError) -> CommandLineRequest {
        let name = words.joined(separator: " ")
        let commands = CommandDescription.all.filter { $0.name == name || $0.name.hasPrefix("\(name) ") }
        guard !commands.isEmpty else { throw .unknownCommand(name) }
        return .help(commands.map(HelpText.text(for:)).joined(separator: "\n"))
    }

    private static func request(
        of command: CommandDescription,
        _ words: ParsedWords
    ) throws(UsageError) -> CommandLineRequest {
        let configuration = ConfigurationOptions(file: words["--config"], assignments: words.all("--set"))
        switch command.name {
        case CommandDescription.serve.name: return .serve(ServeOptions(configuration: configuration))
        case CommandDescription.normalize.name: return .normalize(try normalizeOptions(words))
        case CommandDescription.venue.name: return .venue(try venueOptions(words))
        case CommandDescription.record.name:
            var recording = configuration
            if let directory = words["--directory"] { recording.assignments.append("record.directory=\(directory)") }
            return .record(ServeOptions(configuration: recording))
        case CommandDescription.replay.name: return .replay(try replayOptions(words, configuration))
        case CommandDescription.configCheck.name: return .checkConfiguration(configuration)
        case CommandDescription.configPrint.name:
            return .printConfiguration(configuration, isDocumented: words.has("--docs"))
        case CommandDescription.configSchema.name: return .printSchema
        case CommandDescription.version.name: return .version
        default: stop(because: "\(command.name) is described but not read")
        }
    }

    private static func normalizeOptions(_ words: ParsedWords) throws(UsageError) -> NormalizeOptions {
        var options = NormalizeOptions()
        let areITCH = words.operands.allSatisfy { $0.hasSuffix(".itch50") || $0.hasSuffix(".itch50.gz") }
        options.venue = words["--venue"] == nil && areITCH ? "itch" : try words.needed("--venue")
        let known = NormalizeOptions.venues
        guard NormalizeOptions.knows(options.venue) else {
            throw words.badValue("--venue", "one of \(known.joined(separator: ", "))")
        }
        options.sessionDate = words["--date"]
        options.instrumentsPath = words["--instruments"]
        if let kinds = words["--emit"] {
            options.emits = []
            for name in kinds.split(separator: ",", omittingEmptySubsequences: false) {
                guard let kind = NormalizeOptions.Kind(rawValue: String(name)) else {
                    let all = NormalizeOptions.Kind.allCases.map(\.rawValue).joined(separator: ", ")
                    throw words.badValue("--emit", "some of \(all), by commas")
                }
                options.emits.insert(kind)
            }
        }
        options.bookDepth = try words.integer("--book-depth", 0...1_000_000) ?? options.bookDepth
        options.finalBooks = try words.integer("--final-books", 1...1_000_000)
        options.isStrict = words.has("--strict")
        options.files = words.operands
        return options
    }

    private static func replayOptions(
        _ words: ParsedWords,
        _ configuration: ConfigurationOptions
    ) throws(UsageError) -> ReplayOptions {
        var options = ReplayOptions()
        options.configuration = configuration
        options.paths = words.operands
        let known = RecordedTraffic.venues
        if let venue = words["--venue"] {
            guard RecordedTraffic.knows(venue) else {
                throw words.badValue("--venue", "one of \(known.joined(separator: ", "))")
            }
            options.venue = venue
        }
        options.instrumentsPath = words["--instruments"]
        if let speed = words["--speed"], speed != "max" {
            guard let factor = Double(speed), factor > 0, factor <= 1_000_000 else {
                throw words.badValue("--speed", "a number above 0 to 1000000, or max")
            }
            options.speedFactor = factor
        } else if words.has("--speed") {
            options.speedFactor = 0
        }
        options.isLooping = words.has("--loop")
        options.seek = try point("--seek", words)
        options.until = try point("--until", words)
        return options
    }

    private static func point(_ name: String, _ words: ParsedWords) throws(UsageError) -> ReplayPoint? {
        guard let text = words[name] else { return nil }
        guard let point = ReplayPoint(text) else {
            throw words.badValue(name, "a time such as 2026-01-31T12:00:00Z, or an offset such as +1h30m or +2.5s")
        }
        return point
    }

    private static func venueOptions(_ words: ParsedWords) throws(UsageError) -> VenueOptions {
        var options = VenueOptions()
        _ = try words.needed("--capture")
        options.captureFiles = words.all("--capture")
        if let listen = words["--listen"] {
            let (host, port) = ConfigurationRule.hostAndPort(listen)
            guard let port = port.flatMap(UInt16.init), !host.contains("/"), AddressRange(host) != nil else {
                throw words.badValue("--listen", "an IP address and a port, such as 127.0.0.1:8443 or [::1]:8443")
            }
            (options.host, options.port) = (host, port)
        }
        options.certificateFile = words["--certificate"]
        options.keyFile = words["--key"]
        if options.certificateFile == nil, options.keyFile != nil { _ = try words.needed("--certificate") }
        if options.certificateFile != nil { _ = try words.needed("--key") }
        if let speed = words["--speed"] {
            guard let factor = Double(speed), (0...1_000_000).contains(factor) else {
                throw words.badValue("--speed", "a number from 0 to 1000000")
            }
            options.speedFactor = factor
        }
        options.isLooping = words.has("--loop")
        if let seed = try words.integer("--seed", 0...Int.max) { options.seed = UInt64(seed) }
        options.snapshotDelayMsMost = try words.integer("--snapshot-delay-ms", 0...600_000) ?? 0
        for text in words.all("--fault") {
            let parts = text.split(separator: "@", omittingEmptySubsequences: false)
            guard
                parts.count == 2, let kind = VenueOptions.Fault.Kind(rawValue: String(parts[0])),
                let line = Int(parts[1]), line > 0
            else {
                throw words.badValue("--fault", "cut@LINE, silence@LINE or garbage@LINE", text)
            }
            options.faults.append(VenueOptions.Fault(kind: kind, line: line))
        }
        return options
    }
}

/// The words of a command line, sorted into options and operands as the command describes them.
private struct ParsedWords {
    let command: CommandDescription
    private var values: [String: [String]] = [:]
    private(set) var operands: [String] = []

    init(_ words: ArraySlice<String>, for command: CommandDescription) throws(UsageError) {
        self.command = command
        var rest = words
        var areOptionsOver = false
        while let word = rest.popFirst() {
            if !areOptionsOver, word == "--" {
                areOptionsOver = true
            } else if !areOptionsOver, word.hasPrefix("-"), word != "-" {
                try take(option: word, &rest)
            } else {
                guard command.operandName != nil else { throw .unexpectedOperand(word, command: command.name) }
                operands.append(word)
            }
        }
        if let operand = command.operandName, operands.isEmpty {
            throw .missingOperand(operand, command: command.name)
        }
    }

    private mutating func take(option word: String, _ rest: inout ArraySlice<String>) throws(UsageError) {
        let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard let option = command.options.first(where: { $0.name == parts[0] }) else {
            throw .unknownOption(parts[0], command: command.name, known: command.options.map(\.name))
        }
        guard option.repeats || values[option.name] == nil else {
            throw .repeatedOption(option.name, command: command.name)
        }
        guard let valueName = option.valueName else {
            guard parts.count == 1 else { throw .unexpectedValue(option: option.name, command: command.name) }
            values[option.name] = [""]
            return
        }
        // A word of two dashes is the next option, its value was forgotten; -1 may well be a value.
        let following = rest.first.flatMap { $0.hasPrefix("--") ? nil : $0 }
        guard let value = parts.count == 2 ? parts[1] : following else {
            throw .missingValue(option: option.name, valueName: valueName, command: command.name)
        }
        if parts.count == 1 { rest.removeFirst() }
        values[option.name, default: []].append(value)
    }

    subscript(_ name: String) -> String? { values[name]?.last }
    func all(_ name: String) -> [String] { values[name] ?? [] }
    func has(_ name: String) -> Bool { values[name] != nil }

    func needed(_ name: String) throws(UsageError) -> String {
        guard let value = self[name] else { throw .missingOption(name, command: command.name) }
        return value
    }

    func integer(_ name: String, _ range: ClosedRange<Int>) throws(UsageError) -> Int? {
        guard let text = self[name] else { return nil }
        guard let number = Int(text), range.contains(number) else {
            throw badValue(name, "a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    func badValue(_ name: String, _ expected: String, _ value: String? = nil) -> UsageError {
        .badValue(option: name, value: value ?? self[name] ?? "", expected: expected, command: command.name)
    }
}
