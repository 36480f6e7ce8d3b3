import Feeds
import Market
import Transport

/// Messages of ITCH over SoupBinTCP: the connection that ``SoupBinClient`` wants.
final class SoupBinSession: ITCHBringer, RawClientHandler {
    private(set) var state = HealthState.SourceState.connecting

    private let intake: ITCHIntake
    private unowned let feedLoop: FeedLoop
    private var client: SoupBinClient
    private let address: (host: String, port: UInt16)?
    private var socket: RawClient?
    private var timer: LoopTimer?
    private var random = SystemRandomNumberGenerator()

    init(_ intake: ITCHIntake, on feedLoop: FeedLoop) {
        self.intake = intake
        self.feedLoop = feedLoop
        let configuration = intake.configuration
        address = ITCHConfiguration.hostAndPort(configuration.server)
        var password = ""
        if !configuration.passwordFile.isEmpty {
            do throws(FileError) {
                password = try FileError.readSecret(configuration.passwordFile)
            } catch {
                state = .failed(reason: error.message)
            }
        }
        let timeout = configuration.heartbeatTimeoutMs
        client = SoupBinClient(
            .init(user: configuration.user, password: password, heartbeatTimeoutMs: timeout == 0 ? nil : timeout)
        )
    }

    func start() {
        guard case .connecting = state else {
            feedLoop.log.error("itch-password-unreadable", ["file": .text(intake.configuration.passwordFile)])
            return
        }
        handle(.start)
    }

    // MARK: The connection

    func opened(_ socket: RawClient, on loop: IOLoop) {
        guard socket === self.socket else { return }
        handle(.connected)
    }

    func received(_ bytes: UnsafeRawBufferPointer, from socket: RawClient, on loop: IOLoop) {
        guard socket === self.socket else { return }
        var effects: [SoupBinClient.Effect] = []
        intake.takeMessages(atNs: feedLoop.clock.nowNs) { take in
            client.receive(
                bytes,
                atNs: HubClock.monotonicNs,
                random: random.next(),
                into: &effects,
                before: { tellFeed(&$0) },
                message: take
            )
        }
        perform(effects)
        feedLoop.holdBack(socket)
    }

    func closed(_ socket: RawClient, reason: String, on loop: IOLoop) {
        guard socket === self.socket else { return }
        self.socket = nil
        feedLoop.log.warning("itch-connection-lost", ["reason": .text(reason)])
        handle(.closed)
    }

    // MARK: What the client wants done

    private func handle(_ event: SoupBinClient.Event) {
        var effects: [SoupBinClient.Effect] = []
        client.handle(event, atNs: HubClock.monotonicNs, random: random.next(), into: &effects)
        perform(effects)
    }

    /// Does what must be done before the messages behind it, and nothing else: the client is at work.
    private func tellFeed(_ effects: inout [SoupBinClient.Effect]) {
        for case .loggedIn(let session, let next, let goesOn, let missed) in effects {
            feedLoop.log.info(
                "itch-logged-in",
                ["session": .text(session), "next": .count(next), "goesOn": .flag(goesOn)]
            )
            state = .live
            if !goesOn { intake.beginSession(session, isWhole: missed == 0) } else { intake.resumed() }
            if goesOn, missed > 0 { intake.lost(missed) }
        }
        effects.removeAll { if case .loggedIn = $0 { true } else { false } }
    }

    private func perform(_ effects: [SoupBinClient.Effect]) {
        for effect in effects {
            switch effect {
            case .connect: connect()
            case .send(let bytes): socket?.send(bytes)
            case .close:
                socket?.close()
                socket = nil
            case .loggedIn: break
            case .lost(let loss): lost(loss)
            case .ended: feedLoop.log.info("itch-session-ended", [:])
            case .wait(let untilNs):
                timer?.cancel()
                let delay = UInt64(max(0, untilNs - HubClock.monotonicNs))
                timer = feedLoop.loop?.after(delay) { [weak self] in self?.handle(.timer) }
            }
        }
    }

    private func lost(_ loss: SoupBinClient.Loss) {
        let (reason, text): (MarketStatus.Reason, String) =
            switch loss {
            case .connection: (.connectionLost, "the connection ended")
            case .silence: (.silence, "the server is silent")
            case .notAuthorized: (.connectionLost, "the server refuses the user or the password")
            case .sessionNotAvailable: (.connectionLost, "the server has this session no more")
            case .protocolError(let problem): (.connectionLost, problem)
            }
        state = .failed(reason: text)
        feedLoop.log.warning("itch-session-lost", ["reason": .text(text)])
        feedLoop.metrics.countReconnect(venue: ITCHFeed.venue)
        intake.disconnected(reason)
    }

    private func connect() {
        guard let address, let loop = feedLoop.loop else { return }
        do throws(TransportError) {
            let server = ServerAddress(host: address.host, port: address.port, isTLS: false)
            socket = try loop.connectRaw(RawClientSettings(server: server), handler: self)
        } catch {
            feedLoop.log.warning("itch-connection-lost", ["reason": .text(error.advice)])
            loop.after(0) { [weak self] in self?.handle(.closed) }
        }
    }
}
