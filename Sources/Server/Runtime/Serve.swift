import Glibc
import Transport

/// `market-hub serve`: runs until SIGTERM or SIGINT, reads its configuration again on SIGHUP.
///
/// Signals are blocked in every thread and read here alone.
func serve(
    _ effective: EffectiveConfiguration,
    _ options: ConfigurationOptions,
    for purpose: HubPurpose = .serve,
    _ console: Console
) -> CommandStatus {
    let signals = blockSignals()
    let clock = HubClock()
    let logging = effective.values.logging
    let log = Log(level: logging.level, format: logging.format, bufferBytesMost: logging.bufferBytesMost) {
        clock.nowNs
    }
    defer { log.close() }
    let server: MarketHubServer
    do throws(StartError) {
        server = try MarketHubServer(effective.values, for: purpose, log: log, clock: clock)
    } catch {
        console.complain(error.message)
        return .wrongUsage
    }
    server.start()
    let notifier = SystemdNotifier(environment: console.environment)
    console.print(readyLine(server.listeners))
    log.info("ready", KeyedLogValues(server.listeners.map { ($0.name, .text($0.address)) }))
    notifier.notify("READY=1")
    var running = effective
    while true {
        switch waitForSignal(signals, mostNs: notifier.watchdogNs) {
        case SIGHUP:
            notifier.notify("RELOADING=1")
            running = reload(running, options, console, server, log)
            notifier.notify("READY=1")
        case 0:
            if server.isAlive { notifier.notify("WATCHDOG=1") }
        case let signal:
            log.info("stopping", ["signal": .count(signal)])
            notifier.notify("STOPPING=1")
            server.stop()
            log.info("stopped")
            return .success
        }
    }
}

/// `{"event":"ready","listeners":{"web":"127.0.0.1:8080",...}}`, for programs that start the hub.
private func readyLine(_ listeners: [(name: String, address: String)]) -> String {
    let entries = listeners.map { "\(JSONText.quoted($0.name)):\(JSONText.quoted($0.address))" }
    return #"{"event":"ready","listeners":{"# + entries.joined(separator: ",") + "}}\n"
}

private func reload(
    _ running: EffectiveConfiguration,
    _ options: ConfigurationOptions,
    _ console: Console,
    _ server: MarketHubServer,
    _ log: Log
) -> EffectiveConfiguration {
    let read: EffectiveConfiguration
    do throws(ConfigurationError) {
        read = try loadConfiguration(options, console)
    } catch {
        for fault in error.faults { log.error("reload-failed", ["problem": .text(fault.description)]) }
        return running
    }
    let changes = ConfigurationChanges(from: running, to: read)
    // What needs a restart stays as it runs, and is named again at the next reload.
    let mixed: EffectiveConfiguration
    do throws(ConfigurationError) {
        mixed = try running.takingReloadable(from: read)
    } catch {
        for fault in error.faults { log.error("reload-failed", ["problem": .text(fault.description)]) }
        return running
    }
    server.reload(mixed.values)
    log.info(
        "reloaded",
        [
            "changed": .list(changes.reloadable.map { .text($0) }),
            "needsRestart": .list(changes.needingRestart.map { .text($0) }),
        ]
    )
    return mixed
}

func blockSignals() -> sigset_t {
    signal(SIGPIPE, SIG_IGN)
    // libwebsockets would send the hub's own requests through a proxy that was meant for others.
    unsetenv("http_proxy")
    var signals = sigset_t()
    sigemptyset(&signals)
    for number in [SIGTERM, SIGINT, SIGHUP] { sigaddset(&signals, number) }
    pthread_sigmask(SIG_BLOCK, &signals, nil)
    return signals
}

/// The next signal, or 0 when `mostNs` have passed without one; nil waits for ever.
func waitForSignal(_ signals: sigset_t, mostNs: Int64?) -> Int32 {
    var signals = signals
    while true {
        guard let mostNs else {
            var number: Int32 = 0
            if sigwait(&signals, &number) == 0 { return number }
            continue
        }
        var time = timespec(tv_sec: Int(mostNs / 1_000_000_000), tv_nsec: Int(mostNs % 1_000_000_000))
        let number = sigtimedwait(&signals, nil, &time)
        if number > 0 { return number }
        if errno == EAGAIN { return 0 }
    }
}
