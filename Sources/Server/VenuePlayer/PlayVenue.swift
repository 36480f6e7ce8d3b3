import Glibc
import Transport

/// `market-hub venue`: plays the venue until SIGTERM or SIGINT.
func playVenue(_ options: VenueOptions, _ console: Console) -> CommandStatus {
    let signals = blockSignals()
    let clock = HubClock()
    let log = Log(level: .info, format: .json, bufferBytesMost: 1 << 20) { clock.nowNs }
    defer { log.close() }
    let recording: Recording
    do throws(Recording.Refusal) {
        recording = try Recording(paths: options.captureFiles)
    } catch {
        console.complain(error.message)
        return .wrongUsage
    }
    let player = VenuePlayer(recording, options, log: log)
    let loop: IOLoop
    let port: UInt16
    do throws(TransportError) {
        loop = try IOLoop(index: 0, handler: player)
        port = try listen(loop, options)
    } catch {
        console.complain(error.advice)
        return .wrongUsage
    }
    let thread = JoinableThread(name: "venue") { loop.run() }
    let host = options.host.contains(":") ? "[\(options.host)]" : options.host
    console.print("{\"event\":\"ready\",\"listeners\":{\"venue\":\(JSONText.quoted("\(host):\(port)"))}}\n")
    log.info(
        "ready",
        [
            "venue": .text(recording.manner.venue), "address": .text("\(host):\(port)"),
            "frames": .count(recording.frames.count), "streams": .count(recording.streams.count),
        ]
    )
    var signal = SIGHUP
    // There is nothing to read again.
    while signal == SIGHUP { signal = waitForSignal(signals, mostNs: nil) }
    loop.requestStop()
    thread.join()
    let counted = player.counters
    console.print(
        "{\"event\":\"ended\",\"clients\":\(counted.clients),\"framesPlayed\":\(counted.framesPlayed),"
            + "\"snapshots\":\(counted.snapshots),\"refused\":\(counted.refused),\"faults\":\(counted.faults),"
            + "\"closedByRule\":\(counted.closedByRule)}\n"
    )
    return .success
}

/// Opens the listener; a loop without one is ended at once.
private func listen(_ loop: IOLoop, _ options: VenueOptions) throws(TransportError) -> UInt16 {
    var tls: TLSSettings?
    if let certificate = options.certificateFile, let key = options.keyFile {
        tls = TLSSettings(certificatePath: certificate, keyPath: key)
    }
    do throws(TransportError) {
        return try loop.listen(ListenerSettings(host: options.host, port: options.port, tls: tls))
    } catch {
        loop.requestStop()
        loop.run()
        throw error
    }
}
