import Glibc
import Transport

/// `market-hub serve`: runs until SIGTERM or SIGINT, reads its configuration again on SIGHUP, and puts a new process in its place
/// on SIGUSR2.
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
    let predecessor = Predecessor(environment: console.environment)
    let server: MarketHubServer
    do throws(StartError) {
        var inheritance: Inheritance?
        if let predecessor {
            do throws(HandoverChannel.Failure) {
                inheritance = try predecessor.inherit()
            } catch {
                console.complain("the running hub hands nothing over (\(error)); stop it and start this one instead")
                return .wrongUsage
            }
        }
        if let inheritance { clock.offset = inheritance.clockOffsetNs }
        server = try MarketHubServer(effective.values, for: purpose, after: inheritance, log: log, clock: clock)
    } catch {
        console.complain(error.message)
        return .wrongUsage
    }
    do throws(HandoverChannel.Failure) { try predecessor?.awaitGo() } catch {
        console.complain("the running hub does not let this one start (\(error)), and goes on itself")
        return .wrongUsage
    }
    server.start()
    do throws(HandoverChannel.Failure) { try predecessor?.letGo() } catch {
        // It serves, and whatever became of the other, this one is all there is.
        log.warning("predecessor-gone", ["problem": .text("\(error)")])
    }
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
        case SIGUSR2:
            guard let outcome = restart(server, purpose, console, notifier, log) else { continue }
            if case .serves(let successor) = outcome { notifier.notify("MAINPID=\(successor)") }
            server.stop(hasSuccessor: true)
            log.info("stopped")
            guard case .serves(let successor) = outcome else { return .failed }
            // Whoever asked this hub to end meanwhile meant the hub, not the process.
            if HotRestart.isAskedToEnd { kill(successor, SIGTERM) }
            return .success
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

/// `{"event":"ready","pid":4711,"listeners":{"web":"127.0.0.1:8080",...}}`, for programs that start the hub.
private func readyLine(_ listeners: [(name: String, address: String)]) -> String {
    let entries = listeners.map { "\(JSONText.quoted($0.name)):\(JSONText.quoted($0.address))" }
    return #"{"event":"ready","pid":"# + String(getpid()) + #","listeners":{"# + entries.joined(separator: ",") + "}}\n"
}

/// What became of the hub that is to serve in this one's place; nil when there is none, and the log says why.
private func restart(
    _ server: MarketHubServer,
    _ purpose: HubPurpose,
    _ console: Console,
    _ notifier: SystemdNotifier,
    _ log: Log
) -> HotRestart.Outcome? {
    guard case .serve = purpose else {
        log.error(
            "restart-failed",
            ["problem": "only market-hub serve has a successor; stop this one and start it again"]
        )
        return nil
    }
    let restart = HotRestart(server: server, environment: console.environment, log: log) {
        if notifier.watchdogNs != nil { notifier.notify("WATCHDOG=1") }
    }
    do throws(HotRestart.Failure) {
        return try restart.run()
    } catch {
        log.error("restart-failed", ["problem": .text(error.reason), "state": "this hub goes on as before"])
        return nil
    }
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
    for number in [SIGTERM, SIGINT, SIGHUP, SIGUSR2] { sigaddset(&signals, number) }
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
