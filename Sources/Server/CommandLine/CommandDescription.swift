/// One option of a command, as it is read and as `--help` shows it.
package struct OptionDescription: Sendable {
    /// With its dashes: `--config`.
    package var name: String
    /// What its value is called; nil for an option without value.
    package var valueName: String?
    /// Whether it may be given more than once.
    package var repeats = false
    package var help: String

    package var spelling: String { valueName.map { "\(name) \($0)" } ?? name }
}

/// One command, as it is read and as `--help` shows it.
package struct CommandDescription: Sendable {
    /// Such as `serve` or `config check`.
    package var name: String
    package var summary: String
    /// Paragraphs below the usage line.
    package var details = ""
    /// What its operands are called; nil when it takes none.
    package var operandName: String?
    package var options: [OptionDescription] = []
    package var examples: [String] = []

    /// Every command, in the order `help` lists them.
    package static let all: [CommandDescription] = [
        serve, record, replay, normalize, venue, configCheck, configPrint, configSchema, version, help,
    ]

    private static let configuration = [
        OptionDescription(
            name: "--config",
            valueName: "FILE",
            help: "read this JSON5 file; without it the built-in defaults count"
        ),
        OptionDescription(
            name: "--set",
            valueName: "KEY=VALUE",
            repeats: true,
            help: "set one key, such as listen.port=0; lists by commas; stronger than file and environment"
        ),
    ]

    package static let serve = CommandDescription(
        name: "serve",
        summary: "run the hub",
        details: """
            Takes market data from the configured sources and fans it out. Prints one line of JSON on stdout when it is
            ready, logs to stderr, and ends cleanly on SIGINT and SIGTERM; SIGHUP reloads the configuration, and
            SIGUSR2 puts a new process in its place (of the program that stands where this one did) without a
            connection refused.
            """,
        options: configuration,
        examples: [
            "market-hub serve",
            "market-hub serve --config Config/market-hub.json5 --set listen.port=0 --set admin.port=0",
            "MARKET_HUB_LOGGING_LEVEL=debug market-hub serve",
        ]
    )

    package static let record = CommandDescription(
        name: "record",
        summary: "write the raw traffic of live venues, FIX, ITCH and the TCP feed to files",
        details: """
            Connects to the configured venues, and listens for the TCP feed, as serve does; clients are not served. One
            series of files per source goes to the directory, in the capture format, packed block by block: a kill loses
            what came in the last second at most. Files are divided by size and age, the oldest go when the directory
            has its most (see record.* in config print --docs). serve records too when record.directory is set.
            """,
        options: configuration + [
            OptionDescription(
                name: "--directory",
                valueName: "DIRECTORY",
                help: "where recordings go; the same as --set record.directory=DIRECTORY"
            )
        ],
        examples: [
            "market-hub record --config Config/market-hub.json5 --directory recordings",
            "market-hub record --config my.json5 --directory recordings --set record.diskBytesMost=100000000000",
        ]
    )

    package static let replay = CommandDescription(
        name: "replay",
        summary: "play recordings to subscribers, at any speed and from any point",
        details: """
            Serves clients as serve does, with recordings instead of the configured sources. Files of one series are
            played in their order; several sources are played together, by their times. With --seek everything before
            that point is taken silently: clients find the books as they were, and hear only what follows. Where it is
            and when it ends is in the log; at the end the hub goes on serving until SIGTERM.
            """,
        operandName: "FILE",
        options: configuration + [
            OptionDescription(
                name: "--speed",
                valueName: "FACTOR",
                help: "1 as recorded, 10 ten times that, max as fast as it goes (default: 1)"
            ),
            OptionDescription(name: "--loop", help: "begin again at the end"),
            OptionDescription(
                name: "--seek",
                valueName: "POINT",
                help: "begin there: a time (2026-01-31T12:00:00Z) or an offset from the first record (+1h30m, +2.5s)"
            ),
            OptionDescription(name: "--until", valueName: "POINT", help: "end there; as --seek"),
            OptionDescription(
                name: "--venue",
                valueName: "VENUE",
                help: "whose traffic it is, where the files do not say; of several only this one's"
            ),
            OptionDescription(
                name: "--instruments",
                valueName: "FILE",
                help: "the venue's instrument list; without it scales are inferred from the digits"
            ),
        ],
        examples: [
            "market-hub replay recordings --speed 10",
            "market-hub replay kraken-*.cap.gz --seek +30m --until +45m --speed max --set listen.port=9000",
        ]
    )

    package static let normalize = CommandDescription(
        name: "normalize",
        summary: "turn recorded venue traffic into normalized JSON lines",
        details: """
            Writes one JSON object a line to stdout. A bad line of a recording is reported on stderr with its file and
            number, and counted; the rest goes on unless --strict is given. Files ending in .gz are read as they are.
            """,
        operandName: "FILE",
        options: [
            OptionDescription(
                name: "--venue",
                valueName: "VENUE",
                help: "whose traffic it is: \(NormalizeOptions.venues.joined(separator: ", ")) "
                    + "(needed, but for files that end in .itch50 or .itch50.gz)"
            ),
            OptionDescription(
                name: "--date",
                valueName: "DATE",
                help: "the day of ITCH files, such as 2019-01-30 (needed there, but for recordings)"
            ),
            OptionDescription(
                name: "--instruments",
                valueName: "FILE",
                help: "the venue's instrument list; without it scales are inferred from the digits"
            ),
            OptionDescription(
                name: "--emit",
                valueName: "KINDS",
                help: "what to write, by commas: "
                    + "\(NormalizeOptions.Kind.allCases.map(\.rawValue).joined(separator: ", ")) (default: all)"
            ),
            OptionDescription(
                name: "--book-depth",
                valueName: "LEVELS",
                help: "levels a side of every book line; 0 writes all (default: 20)"
            ),
            OptionDescription(
                name: "--final-books",
                valueName: "LEVELS",
                help: "at the end write every book once, with so many levels a side"
            ),
            OptionDescription(name: "--strict", help: "stop at the first bad line, with exit status 1"),
        ],
        examples: [
            "market-hub normalize --venue kraken --emit trades recording.jsonl.gz > trades.jsonl",
            "market-hub normalize --venue coinbase --instruments products.json --final-books 20 day1.gz day2.gz",
            "market-hub normalize --date 2019-01-30 --emit trades 01302019.itch50.gz > trades.jsonl",
        ]
    )

    package static let venue = CommandDescription(
        name: "venue",
        summary: "play a venue: speak a recording to whoever connects",
        details: """
            Listens for WebSocket clients and answers as the recorded venue did, its REST snapshots included. A client
            whose frames differ in meaning from the recorded ones is refused.
            """,
        options: [
            OptionDescription(name: "--capture", valueName: "FILE", repeats: true, help: "the recording (needed)"),
            OptionDescription(
                name: "--listen",
                valueName: "HOST:PORT",
                help: "where to listen; port 0 lets the kernel choose (default: 127.0.0.1:8443)"
            ),
            OptionDescription(name: "--certificate", valueName: "FILE", help: "PEM certificate; without it plain TCP"),
            OptionDescription(name: "--key", valueName: "FILE", help: "PEM private key of the certificate"),
            OptionDescription(
                name: "--speed",
                valueName: "FACTOR",
                help: "1 as recorded, 10 ten times that, 0 as fast as it goes (default: 1)"
            ),
            OptionDescription(name: "--loop", help: "begin again at the end"),
            OptionDescription(
                name: "--seed",
                valueName: "NUMBER",
                help: "the same seed gives the same delays and garbage (default: 1)"
            ),
            OptionDescription(
                name: "--snapshot-delay-ms",
                valueName: "MS",
                help: "delay REST snapshots at random, up to this (default: 0)"
            ),
            OptionDescription(
                name: "--fault",
                valueName: "KIND@LINE",
                repeats: true,
                help: "cut the connection, fall silent or send garbage at a line: cut@LINE, silence@LINE, garbage@LINE"
            ),
        ],
        examples: [
            "market-hub venue --capture kraken.jsonl.gz --listen 127.0.0.1:0",
            "market-hub venue --capture kraken.jsonl.gz --certificate c.pem --key k.pem --speed 10 --fault cut@500",
        ]
    )

    package static let configCheck = CommandDescription(
        name: "config check",
        summary: "say what is wrong with a configuration",
        details: "Reads file, environment and flags as serve does; every fault is one line on stderr.",
        options: configuration,
        examples: ["market-hub config check --config Config/market-hub.json5"]
    )

    package static let configPrint = CommandDescription(
        name: "config print",
        summary: "print the configuration that serve would use",
        details: "JSON5 that can be read back; a comment says where each value that is not the default came from.",
        options: configuration + [
            OptionDescription(name: "--docs", help: "with each key's meaning, range, default and environment variable")
        ],
        examples: [
            "market-hub config print --set listen.port=9000",
            "market-hub config print --docs > market-hub.json5",
        ]
    )

    package static let configSchema = CommandDescription(
        name: "config schema",
        summary: "print a JSON Schema of the configuration, for editors",
        examples: ["market-hub config schema > market-hub.schema.json"]
    )

    package static let version = CommandDescription(name: "version", summary: "print the version")

    package static let help = CommandDescription(
        name: "help",
        summary: "explain a command",
        operandName: "COMMAND",
        examples: ["market-hub help serve", "market-hub help config check"]
    )
}
