/// What `help` and `--help` print.
package enum HelpText {
    private static let statuses = """
        Exit status:
          0  all went well
          1  the work was begun and failed
          2  wrong command line or configuration, missing file, or busy port: nothing was begun

        """

    /// Every command in a line.
    package static func overview() -> String {
        let commands = CommandDescription.all.map { ($0.name, $0.summary) }
        return """
            market-hub takes market data from venues, normalizes it and fans it out to browsers and bots.

            Usage: market-hub COMMAND [OPTION...]

            Commands:
            \(aligned(commands))

            "market-hub COMMAND --help" explains a command and its options.

            \(statuses)
            """
    }

    /// One command with its options and examples.
    package static func text(for command: CommandDescription) -> String {
        var usage = "market-hub \(command.name)"
        if !command.options.isEmpty { usage += " [OPTION...]" }
        if let operand = command.operandName { usage += command.name == "help" ? " [\(operand)]" : " \(operand)..." }
        let options =
            command.options.map { ($0.spelling, $0.help + ($0.repeats ? "; may be repeated" : "")) }
            + [("--help", "print this text")]
        var parts = ["Usage: \(usage)", capitalized(command.summary) + "."]
        if !command.details.isEmpty { parts.append(command.details) }
        parts.append("Options:\n\(aligned(options))")
        if !command.examples.isEmpty {
            parts.append("Examples:\n\(command.examples.map { "  \($0)" }.joined(separator: "\n"))")
        }
        parts.append(statuses)
        return parts.joined(separator: "\n\n")
    }

    private static func capitalized(_ text: String) -> String { text.prefix(1).uppercased() + text.dropFirst() }

    /// Two columns, the second one wrapped at 100.
    private static func aligned(_ rows: [(String, String)]) -> String {
        let width = rows.map(\.0.count).max() ?? 0
        return rows.map { name, text in
            var lines = [""]
            for word in text.split(separator: " ") {
                let last = lines[lines.count - 1]
                if last.count + word.count + 1 > 96 - width, !last.isEmpty {
                    lines.append(String(word))
                } else {
                    lines[lines.count - 1] += last.isEmpty ? String(word) : " \(word)"
                }
            }
            let padding = "\n" + String(repeating: " ", count: width + 4)
            return "  \(name)\(String(repeating: " ", count: width - name.count))  \(lines.joined(separator: padding))"
        }
        .joined(separator: "\n")
    }
}
