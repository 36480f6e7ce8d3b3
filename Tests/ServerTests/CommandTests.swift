import Server
import Synchronization
import Testing

@Suite("The command")
struct CommandTests {
    private final class Output: Sendable {
        let printed = Mutex("")
        let complaints = Mutex([String]())
    }

    private static func run(
        _ line: String,
        environment: [String: String] = [:],
        files: [String: String] = [:]
    ) -> (status: CommandStatus, printed: String, complaints: [String]) {
        let output = Output()
        let status = runCommand(
            Console(
                arguments: line.split(separator: " ").map(String.init),
                environment: environment,
                readFile: { path throws(FileError) in
                    guard let text = files[path] else {
                        throw .cannotRead(path: path, reason: "No such file or directory")
                    }
                    return Array(text.utf8)
                },
                whyUnreadable: { files[$0] == nil ? "No such file or directory" : nil },
                print: { text in output.printed.withLock { $0 += text } },
                complain: { text in output.complaints.withLock { $0.append(text) } }
            )
        )
        return (status, output.printed.withLock { $0 }, output.complaints.withLock { $0 })
    }

    @Test("says that a configuration is sound, with status 0")
    func sound() {
        let result = Self.run(
            "config check --config f --set listen.port=1",
            files: ["f": "{web: {root: 'w'}}", "w": ""]
        )
        #expect(result.status == .success)
        #expect(result.complaints.isEmpty)
        #expect(
            result.printed
                == "The configuration is sound: 2 of \(Configuration.leaves().count) keys given.\n"
        )
    }

    @Test("names every file of the configuration that cannot be read", arguments: ["config check", "serve"])
    func missingFiles(command: String) {
        let text = """
            {tls: {certificateFile: 'there', keyFile: 'k'},
             sources: {capture: {files: ['there', 'c'], venue: 'kraken'},
                       venues: [{venue: 'kraken', symbols: ['a'], caFile: 'd'}]}}
            """
        let result = Self.run("\(command) --config f --set web.root=w", files: ["f": text, "there": ""])
        #expect(result.status == .wrongUsage)
        let advice = "No such file or directory; check the path and its permissions"
        #expect(
            result.complaints == [
                "f:1:43: tls.keyFile names \"k\": \(advice)",
                "f:2:39: sources.capture.files[1] names \"c\": \(advice)",
                "f:3:63: sources.venues[0].caFile names \"d\": \(advice)",
                "--set web.root=w: web.root names \"w\": \(advice)",
            ]
        )
        #expect(Self.run("config print --config f", files: ["f": text]).status == .success)
    }

    @Test(
        "ends with status 2 and one line for each mistake",
        arguments: [
            (
                "config check --config nowhere",
                ["--config: nowhere: No such file or directory; check the path and its permissions"]
            ),
            (
                "config print --set listen.port=x --set a=1",
                [
                    "--set listen.port=x: listen.port must be a whole number from 0 to 65535, not the text \"x\"",
                    "--set a=1: unknown key a; \"market-hub config print\" shows all",
                ]
            ),
            (
                "serve --config bad",
                [
                    "bad:1:2: unknown key x; known here are listen, admin, tls, transport, hub, feed, "
                        + "sources, feedOut, candles, record, web, logging, diagnostics"
                ]
            ),
            ("sevre", ["unknown command \"sevre\"; did you mean serve?"]),
        ]
    )
    func mistakes(line: String, complaints: [String]) {
        let result = Self.run(line, files: ["bad": "{x: 1}"])
        #expect(result.status == .wrongUsage)
        #expect(result.printed.isEmpty)
        #expect(result.complaints == complaints)
    }

    @Test(
        "prints version, help, schema and configuration on stdout",
        arguments: [
            ("version", "market-hub \(marketHubVersion)\n"), ("help", HelpText.overview()),
            ("serve --help", "Usage: market-hub serve"),
            ("config schema", "{\n  \"$schema\""), ("config print", "{\n  listen: {\n"),
            ("config print --docs", "// The configuration of the market hub"),
        ]
    )
    func prints(line: String, beginning: String) {
        let result = Self.run(line)
        #expect(result.status == .success)
        #expect(result.printed.hasPrefix(beginning))
        #expect(result.complaints.isEmpty)
    }
}
