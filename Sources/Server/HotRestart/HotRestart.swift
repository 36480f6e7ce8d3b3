import Glibc
import Transport

/// Puts a new process of the hub in this one's place, without a connection refused: SIGUSR2.
///
/// The new one is the program that stands where this one's did, with the same arguments, so that an upgrade is to put the program
/// there and send the signal; it reads the configuration anew. It is given the listening sockets and what this one knows, and only
/// when it serves does this one send its clients away. Until it is told to start nothing has happened: if it fails, this one goes on.
struct HotRestart {
    /// Why there is no successor; this hub goes on.
    struct Failure: Error {
        var reason: String
    }

    /// Says in the new process's environment that there is one before it.
    static let environmentName = "HUB_HANDOVER"
    /// To read the configuration and ask.
    private static let helloMostMs = 20_000
    /// To make everything ready; clients and venues wait meanwhile.
    private static let readyMostMs = 15_000
    /// To start what is ready.
    private static let serveMostMs = 5_000
    /// To take what is handed over.
    private static let sendMostMs: Int32 = 5_000
    private static let lookMs: Int32 = 200

    let server: MarketHubServer
    let environment: [String: String]
    let log: Log
    /// Called some times a second, so that nobody believes that the hub hangs.
    let stillAlive: () -> Void

    /// How a restart ended that cannot be taken back: this process is to end.
    enum Outcome {
        /// By its process id.
        case serves(Int32)
        /// It was told to start, and then it was gone.
        case lost
    }

    /// Starts a successor and hands everything over; returns when this process is to end.
    func run() throws(Failure) -> Outcome {
        let path = try Self.programPath()
        var given = environment
        given[Self.environmentName] = String(HandoverChannel.startedDescriptor)
        // It is the watchdog of another process.
        given["WATCHDOG_PID"] = nil
        let channel: HandoverChannel
        let process: Int32
        do throws(HandoverChannel.Failure) {
            (channel, process) = try HandoverChannel.start(path, arguments: CommandLine.arguments, environment: given)
        } catch {
            throw Failure(reason: "\(path) cannot be started (\(error))")
        }
        log.info("successor-started", ["pid": .count(Int(process)), "program": .text(path)])
        var stands = false
        do throws(Failure) {
            try handOver(to: channel, &stands)
        } catch {
            // By its id, and it is ours: nobody else can have it before it is waited for. Only then is it certain that it does nothing
            // any more to what both have.
            kill(process, SIGKILL)
            var status: Int32 = 0
            waitpid(process, &status, 0)
            if stands { server.goOn() }
            throw error
        }
        do throws(Failure) {
            try wait(for: .serving, from: channel, mostMs: Self.serveMostMs, "does not serve")
        } catch {
            // It was told to start, and may have numbered events: nobody else may number them otherwise.
            log.error("successor-lost", ["problem": .text(error.reason), "remedy": "start the hub again"])
            kill(process, SIGKILL)
            return .lost
        }
        return .serves(process)
    }

    /// Brings the successor to where it has made everything, and tells it to start: from there on there is no way back.
    private func handOver(to channel: HandoverChannel, _ stands: inout Bool) throws(Failure) {
        try wait(for: .hello, from: channel, mostMs: Self.helloMostMs, "did not ask for anything")
        let begun = HubClock.monotonicNs
        guard let inheritance = server.standStill() else { throw Failure(reason: "a thread does not stand still") }
        stands = true
        let message = inheritance.message
        do throws(HandoverChannel.Failure) {
            try channel.send(message, mostMs: Self.sendMostMs)
        } catch {
            throw Failure(reason: "it does not take what it is given (\(error))")
        }
        try wait(for: .ready, from: channel, mostMs: Self.readyMostMs, "is not ready")
        do throws(HandoverChannel.Failure) {
            try channel.send(
                HandoverChannel.Message(kind: Inheritance.MessageKind.go.rawValue),
                mostMs: Self.sendMostMs
            )
        } catch {
            throw Failure(reason: "it is gone before it could start (\(error))")
        }
        let pauseMs = Int((HubClock.monotonicNs - begun) / 1_000_000)
        log.info("handed-over", ["bytes": .count(message.bytes.count), "pauseMs": .count(pauseMs)])
    }

    private func wait(
        for kind: Inheritance.MessageKind,
        from channel: HandoverChannel,
        mostMs: Int,
        _ complaint: String
    ) throws(Failure) {
        let deadline = HubClock.monotonicNs + Int64(mostMs) * 1_000_000
        while true {
            stillAlive()
            let message: HandoverChannel.Message
            do throws(HandoverChannel.Failure) {
                message = try channel.receive(mostMs: Self.lookMs)
            } catch {
                switch error {
                case .timedOut:
                    guard !Self.isAskedToEnd else { throw Failure(reason: "this hub was asked to end meanwhile") }
                    guard HubClock.monotonicNs < deadline else {
                        throw Failure(reason: "the successor \(complaint) within \(mostMs / 1000) s")
                    }
                    continue
                case .ended: throw Failure(reason: "the successor ended; what it said stands above")
                case .system, .malformed: throw Failure(reason: "the successor cannot be heard (\(error))")
                }
            }
            guard message.kind == kind.rawValue else {
                throw Failure(reason: "the successor says what is not to be said now")
            }
            return
        }
    }

    /// Whether a signal waits that ends this hub: whoever sent it does not want to wait for a successor.
    static var isAskedToEnd: Bool {
        var pending = sigset_t()
        sigpending(&pending)
        return sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1
    }

    /// Where this program's file stands, or the one that was put in its place.
    private static func programPath() throws(Failure) -> String {
        var name = [UInt8](repeating: 0, count: 4096)
        let count = name.withUnsafeMutableBytes { room in
            room.baseAddress.map { readlink("/proc/self/exe", $0, room.count) } ?? -1
        }
        guard count > 0 else { throw Failure(reason: "the program's own path is not known") }
        let path = String(decoding: name[..<count], as: UTF8.self)
        let mark = " (deleted)"
        return path.hasSuffix(mark) ? String(path.dropLast(mark.count)) : path
    }
}

/// The hub before this one, as its successor sees it.
struct Predecessor {
    private let channel: HandoverChannel
    private static let mostMs: Int32 = 15_000

    /// Nil where this process was started by nobody that hands over; then it begins anew.
    init?(environment: [String: String]) {
        guard let named = environment[HotRestart.environmentName].flatMap(Int32.init), named > 2 else { return nil }
        channel = HandoverChannel(descriptor: named)
    }

    /// Asks for everything and waits for it.
    func inherit() throws(HandoverChannel.Failure) -> Inheritance {
        try channel.send(HandoverChannel.Message(kind: Inheritance.MessageKind.hello.rawValue), mostMs: Self.mostMs)
        let message = try channel.receive(mostMs: Self.mostMs)
        guard let inheritance = try? Inheritance(message) else {
            for descriptor in message.descriptors { close(descriptor) }
            throw .malformed
        }
        return inheritance
    }

    /// Says that everything is made, and waits for the word to start it.
    func awaitGo() throws(HandoverChannel.Failure) {
        try channel.send(HandoverChannel.Message(kind: Inheritance.MessageKind.ready.rawValue), mostMs: Self.mostMs)
        guard try channel.receive(mostMs: Self.mostMs).kind == Inheritance.MessageKind.go.rawValue else {
            throw .malformed
        }
    }

    /// Says that this hub serves: the other one may end.
    func letGo() throws(HandoverChannel.Failure) {
        try channel.send(HandoverChannel.Message(kind: Inheritance.MessageKind.serving.rawValue), mostMs: Self.mostMs)
    }
}
