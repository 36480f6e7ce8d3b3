import Server
import Testing

@Suite("The command line")
struct CommandLineParserTests {
    private static func parse(_ line: String) throws(UsageError) -> CommandLineRequest {
        try CommandLineParser.parse(line.split(separator: " ").map(String.init))
    }

    @Test("reads serve and config with the same options")
    func configuration() throws {
        var options = ConfigurationOptions()
        #expect(try Self.parse("serve") == .serve(ServeOptions(configuration: options)))
        options.file = "f"
        options.assignments = ["a.b=1", "c.d=x=y"]
        let line = "--config f --set a.b=1 --set=c.d=x=y"
        #expect(try Self.parse("serve \(line)") == .serve(ServeOptions(configuration: options)))
        #expect(try Self.parse("config check \(line)") == .checkConfiguration(options))
        #expect(try Self.parse("config print \(line)") == .printConfiguration(options, isDocumented: false))
        #expect(try Self.parse("config print \(line) --docs") == .printConfiguration(options, isDocumented: true))
        #expect(try Self.parse("config schema") == .printSchema)
    }

    @Test("takes files that end in .itch50 for ITCH")
    func normalizeITCH() throws {
        var options = NormalizeOptions(venue: "itch", files: ["a.itch50", "b.itch50.gz"])
        options.sessionDate = "2019-01-30"
        #expect(try Self.parse("normalize --date 2019-01-30 a.itch50 b.itch50.gz") == .normalize(options))
        #expect(throws: UsageError.self) { _ = try Self.parse("normalize --date 2019-01-30 a.itch50 b.gz") }
    }

    @Test("reads normalize with every option")
    func normalize() throws {
        var options = NormalizeOptions()
        options.venue = "kraken"
        options.files = ["a"]
        #expect(try Self.parse("normalize --venue kraken a") == .normalize(options))
        // A FIX server has a name of its own.
        for (name, isKnown) in [("fix", true), ("fix-jse", true), ("fix-", false), ("jse", false)] {
            #expect(((try? Self.parse("normalize --venue \(name) a")) != nil) == isKnown)
            #expect(((try? Self.parse("replay --venue \(name) a")) != nil) == isKnown)
        }
        options.instrumentsPath = "i.json"
        options.emits = [.trades, .book]
        options.bookDepth = 5
        options.finalBooks = 20
        options.isStrict = true
        options.files = ["a", "-", "--b"]
        let line = "a --emit trades,book --strict --instruments i.json --book-depth 5 --final-books 20 - -- --b"
        #expect(try Self.parse("normalize --venue kraken \(line)") == .normalize(options))
    }

    @Test("reads venue with every option")
    func venue() throws {
        var options = VenueOptions()
        options.captureFiles = ["c"]
        #expect(try Self.parse("venue --capture c") == .venue(options))
        options.captureFiles = ["c", "d"]
        (options.host, options.port) = ("::1", 0)
        (options.certificateFile, options.keyFile) = ("x", "y")
        options.speedFactor = 0.5
        options.isLooping = true
        options.seed = 7
        options.snapshotDelayMsMost = 300
        options.faults = [.init(kind: .cut, line: 3), .init(kind: .garbage, line: 9)]
        let line = "--capture d --listen [::1]:0 --certificate x --key y --speed 0.5 --loop --seed 7"
        let faults = "--snapshot-delay-ms 300 --fault cut@3 --fault garbage@9"
        #expect(try Self.parse("venue --capture c \(line) \(faults)") == .venue(options))
    }

    @Test("reads record, whose directory is a key of the configuration")
    func record() throws {
        var options = ServeOptions()
        options.configuration.file = "f"
        options.configuration.assignments = ["a.b=1", "record.directory=d"]
        #expect(try Self.parse("record --directory d --set a.b=1 --config f") == .record(options))
        #expect(try Self.parse("record") == .record(ServeOptions()))
    }

    @Test("reads replay with every option")
    func replay() throws {
        var options = ReplayOptions()
        options.paths = ["a", "b"]
        #expect(try Self.parse("replay a b") == .replay(options))
        options.configuration.assignments = ["listen.port=0"]
        (options.venue, options.instrumentsPath) = ("kraken", "i.json")
        (options.speedFactor, options.isLooping) = (2.5, true)
        (options.seek, options.until) = (.offset(90_000_000_000), .time(1_000_000_000))
        let line = "--venue kraken --instruments i.json --speed 2.5 --loop --set listen.port=0"
        #expect(try Self.parse("replay a \(line) --seek +1m30s --until 1970-01-01T00:00:01Z b") == .replay(options))
        options = ReplayOptions()
        (options.paths, options.speedFactor) = (["a"], 0)
        #expect(try Self.parse("replay a --speed max") == .replay(options))
    }

    @Test("reads version under both names", arguments: ["version", "--version"])
    func version(line: String) throws { #expect(try Self.parse(line) == .version) }

    @Test(
        "says what is wrong and what to do",
        arguments: [
            ("", "no command; try \"market-hub serve\", or \"market-hub help\""),
            ("srve", "unknown command \"srve\"; did you mean serve?"),
            ("xyzzyxyzzy", "unknown command \"xyzzyxyzzy\"; see \"market-hub help\""),
            ("config chek", "unknown command \"config chek\"; did you mean config check?"),
            (
                "config",
                "config needs to know what to do: "
                    + "\"market-hub config check\", \"market-hub config print\", \"market-hub config schema\""
            ),
            ("help srve", "unknown command \"srve\"; did you mean serve?"),
            ("serve --confg f", "serve: unknown option --confg; did you mean --config?"),
            ("serve --verbose", "serve: unknown option --verbose; see \"market-hub serve --help\""),
            ("serve --config", "serve: --config needs a value; write --config FILE"),
            ("serve --config --set a.b=1", "serve: --config needs a value; write --config FILE"),
            ("serve --config a --config b", "serve: --config is given twice; give it once"),
            ("serve now", "serve: unexpected \"now\"; see \"market-hub serve --help\""),
            ("version --x", "version: unknown option --x; see \"market-hub version --help\""),
            ("config print --docs=1", "config print: --docs takes no value; write it alone"),
            ("normalize a", "normalize: --venue is missing; see \"market-hub normalize --help\""),
            ("normalize --venue kraken", "normalize: no FILE given; see \"market-hub normalize --help\""),
            (
                "normalize --venue krakn a",
                "normalize: --venue must be one of \(NormalizeOptions.venues.joined(separator: ", ")), not \"krakn\""
            ),
            (
                "normalize --venue kraken --emit trades, a",
                "normalize: --emit must be some of trades, quotes, book, candles, status, by commas, not \"trades,\""
            ),
            (
                "normalize --venue kraken --final-books 0 a",
                "normalize: --final-books must be a whole number from 1 to 1000000, not \"0\""
            ),
            (
                "normalize --venue kraken --book-depth -1 a",
                "normalize: --book-depth must be a whole number from 0 to 1000000, not \"-1\""
            ),
            ("replay", "replay: no FILE given; see \"market-hub replay --help\""),
            ("replay a --speed 0", "replay: --speed must be a number above 0 to 1000000, or max, not \"0\""),
            (
                "replay a --seek 10",
                "replay: --seek must be a time such as 2026-01-31T12:00:00Z, or an offset such as +1h30m or +2.5s, "
                    + "not \"10\""
            ),
            ("record a", "record: unexpected \"a\"; see \"market-hub record --help\""),
            ("venue", "venue: --capture is missing; see \"market-hub venue --help\""),
            (
                "venue --capture c --listen 8443",
                "venue: --listen must be an IP address and a port, such as 127.0.0.1:8443 or [::1]:8443, not \"8443\""
            ),
            (
                "venue --capture c --listen 127.0.0.1:65536",
                "venue: --listen must be an IP address and a port, such as 127.0.0.1:8443 or [::1]:8443, "
                    + "not \"127.0.0.1:65536\""
            ),
            ("venue --capture c --key k", "venue: --certificate is missing; see \"market-hub venue --help\""),
            ("venue --capture c --certificate k", "venue: --key is missing; see \"market-hub venue --help\""),
            ("venue --capture c --speed fast", "venue: --speed must be a number from 0 to 1000000, not \"fast\""),
            (
                "venue --capture c --fault cut@1 --fault cut@0",
                "venue: --fault must be cut@LINE, silence@LINE or garbage@LINE, not \"cut@0\""
            ),
        ]
    )
    func refuses(line: String, expected: String) {
        let error = #expect(throws: UsageError.self) { try Self.parse(line) }
        #expect(error?.message == expected)
    }

    @Test("explains every command with its options and exit statuses", arguments: CommandDescription.all.map(\.name))
    func help(name: String) throws {
        let command = try #require(CommandDescription.all.first { $0.name == name })
        guard case .help(let text) = try Self.parse("\(name) --help") else {
            Issue.record("help was expected")
            return
        }
        #expect(name == "help" || text == HelpText.text(for: command))
        #expect(try Self.parse("help \(name)") == .help(HelpText.text(for: command)))
        let shown = HelpText.text(for: command)
        for option in command.options { #expect(shown.contains("  \(option.spelling) ")) }
        #expect(shown.contains("Exit status:"))
        #expect(shown.split(separator: "\n").allSatisfy { $0.count <= 120 })
        #expect(HelpText.overview().contains(command.summary))
    }

    @Test("explains a group of commands", arguments: ["config --help", "help config"])
    func groupHelp(line: String) throws {
        guard case .help(let text) = try Self.parse(line) else {
            Issue.record("help was expected")
            return
        }
        for name in ["config check", "config print", "config schema"] { #expect(text.contains("market-hub \(name)")) }
    }
}
