internal import Glibc

/// The version of the hub, as `market-hub version` and the metrics tell it.
package let marketHubVersion = "0.1.0"

/// The process: one call from main.
public func runMarketHub() {
    exit(runCommand(Console.process()).rawValue)
}

/// Reads the command line and does what it asks.
package func runCommand(_ console: Console) -> CommandStatus {
    let request: CommandLineRequest
    do {
        request = try CommandLineParser.parse(console.arguments)
    } catch {
        console.complain(error.message)
        return .wrongUsage
    }
    switch request {
    case .serve(let options):
        return withUsableConfiguration(options.configuration, console) { configuration in
            serve(configuration, options.configuration, console)
        }
    case .record(let options):
        return withUsableConfiguration(options.configuration, console) { configuration in
            record(configuration, options.configuration, console)
        }
    case .replay(let options):
        return withUsableConfiguration(options.configuration, console) { configuration in
            replay(configuration, options, console)
        }
    case .normalize(let options):
        return normalize(options, console)
    case .venue(let options):
        return playVenue(options, console)
    case .checkConfiguration(let options):
        return withUsableConfiguration(options, console) { configuration in
            let changed = configuration.settings.filter { $0.origin != .defaults }.count
            console.print("The configuration is sound: \(changed) of \(configuration.settings.count) keys given.\n")
            return .success
        }
    case .printConfiguration(let options, let isDocumented):
        return withConfiguration(options, console) { configuration in
            console.print(
                isDocumented ? ConfigurationText.documented(configuration) : ConfigurationText.plain(configuration)
            )
            return .success
        }
    case .printSchema:
        console.print(ConfigurationSchema.text())
    case .version:
        console.print("market-hub \(marketHubVersion)\n")
    case .help(let text):
        console.print(text)
    }
    return .success
}

/// Reads the configuration from file, environment and flags; also what SIGHUP calls.
package func loadConfiguration(
    _ options: ConfigurationOptions,
    _ console: Console
) throws(ConfigurationError) -> EffectiveConfiguration {
    var file: (name: String, bytes: [UInt8])?
    if let path = options.file {
        do {
            file = (path, try console.readFile(path))
        } catch {
            throw ConfigurationError([ConfigurationFault(place: "--config", message: error.message)])
        }
    }
    return try ConfigurationLoader.load(
        file: file,
        environment: console.environment,
        assignments: options.assignments
    )
}

private func withConfiguration(
    _ options: ConfigurationOptions,
    _ console: Console,
    _ body: (EffectiveConfiguration) -> CommandStatus
) -> CommandStatus {
    do {
        return body(try loadConfiguration(options, console))
    } catch {
        for fault in error.faults { console.complain(fault.description) }
        return .wrongUsage
    }
}

/// The same, and every file it names can be read.
private func withUsableConfiguration(
    _ options: ConfigurationOptions,
    _ console: Console,
    _ body: (EffectiveConfiguration) -> CommandStatus
) -> CommandStatus {
    withConfiguration(options, console) { configuration in
        let faults = configuration.unreadablePaths(console.whyUnreadable)
        for fault in faults { console.complain(fault.description) }
        return faults.isEmpty ? body(configuration) : .wrongUsage
    }
}

// MARK: Call sites of the long-running commands

/// `market-hub record`: as `serve`, without clients.
private func record(
    _ effective: EffectiveConfiguration,
    _ options: ConfigurationOptions,
    _ console: Console
) -> CommandStatus {
    guard effective.values.record.isEnabled else {
        console.complain("record: no directory to record into; give --directory DIRECTORY")
        return .wrongUsage
    }
    let sources = effective.values.sources
    guard
        !sources.venues.isEmpty || sources.tcp.enabled || !sources.fix.isEmpty || ITCHSource.isLive(sources.itch)
    else {
        console.complain(
            "record: nothing to record; name sources.venues or sources.fix, or set sources.tcp.enabled or sources.itch.mode"
        )
        return .wrongUsage
    }
    return serve(effective, options, for: .record, console)
}

/// `market-hub replay`: as `serve`, with recordings instead of the configured sources.
private func replay(
    _ effective: EffectiveConfiguration,
    _ options: ReplayOptions,
    _ console: Console
) -> CommandStatus {
    do throws(Replay.Refusal) {
        return serve(effective, options.configuration, for: .replay(try Replay(options)), console)
    } catch {
        console.complain("replay: \(error.message)")
        return .wrongUsage
    }
}

/// `market-hub normalize`: rows on stdout, complaints on stderr.
private func normalize(_ options: NormalizeOptions, _ console: Console) -> CommandStatus {
    do throws(NormalizeError) {
        let report = try normalize(options, write: writeToStandardOutput, complain: console.complain)
        return report.isStopped ? .failed : .success
    } catch {
        console.complain(error.description)
        return error.exitStatus == 2 ? .wrongUsage : .failed
    }
}

/// Writes all of it; a reader that is gone ends the process, as it would end `cat`.
private func writeToStandardOutput(_ bytes: UnsafeRawBufferPointer) {
    var rest = bytes[...]
    while !rest.isEmpty {
        let chunk = UnsafeRawBufferPointer(rebasing: rest)
        let count = write(STDOUT_FILENO, chunk.baseAddress, chunk.count)
        if count > 0 {
            rest = rest.dropFirst(count)
        } else if errno != EINTR {
            exit(CommandStatus.failed.rawValue)
        }
    }
}
