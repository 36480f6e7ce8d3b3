import Feeds
import Market
import Transport

/// Messages of ITCH over one or two lines of MoldUDP64: the sockets that ``MoldReceiver`` wants.
final class MoldLines: ITCHBringer {
    private(set) var state = HealthState.SourceState.connecting

    private let intake: ITCHIntake
    private unowned let feedLoop: FeedLoop
    private let configuration: ITCHConfiguration
    private var receiver: MoldReceiver
    private var lines: [DatagramSocket] = []
    /// A socket of its own, because one that is bound to a group hears no answers.
    private var requests: DatagramSocket?
    private let server: (host: String, port: UInt16)?
    private var timer: LoopTimer?
    private var reported = MoldReceiver.Counters()

    init(_ intake: ITCHIntake, on feedLoop: FeedLoop) {
        self.intake = intake
        self.feedLoop = feedLoop
        configuration = intake.configuration
        server = ITCHConfiguration.hostAndPort(configuration.rerequestServer)
        receiver = MoldReceiver(lines: max(1, configuration.lines.count), canRequest: server != nil)
    }

    func start() {
        guard let loop = feedLoop.loop else { return }
        do throws(TransportError) {
            for (index, text) in configuration.lines.enumerated() {
                guard let (host, port) = ITCHConfiguration.hostAndPort(text) else { throw .address(host: text) }
                let line = try DatagramSocket.open(
                    on: loop,
                    host: host,
                    port: port,
                    interface: configuration.interface,
                    receiveBufferBytes: Int32(clamping: configuration.receiveBufferBytes)
                ) { [weak self] packet in self?.receive(packet, line: index) }
                lines.append(line)
                feedLoop.log.info("itch-line", ["line": .count(index), "host": .text(host), "port": .count(line.port)])
            }
            if let server {
                let host = server.host.contains(":") ? "::" : "0.0.0.0"
                requests = try DatagramSocket.open(on: loop, host: host, port: 0) { [weak self] packet in
                    self?.receive(packet, line: 0)
                }
            }
        } catch {
            for line in lines { line.close() }
            state = .failed(reason: error.advice)
            feedLoop.log.error("itch-line-failed", ["problem": .text(error.advice)])
        }
    }

    func sweep() {
        let now = receiver.counters
        guard now != reported else { return }
        let isWorthAWord =
            now.badPackets > reported.badPackets || now.requests > reported.requests
            || now.droppedPackets > reported.droppedPackets
        reported = now
        guard isWorthAWord else { return }
        feedLoop.log.info(
            "itch-lines",
            [
                "packets": .count(now.packets), "bad": .count(now.badPackets), "requests": .count(now.requests),
                "dropped": .count(now.droppedPackets), "lostMessages": .count(now.lostMessages),
                "firstOnLine": .list(now.firstOnLine.map { .count($0) }),
            ]
        )
    }

    // MARK: Packets

    /// Has the receiver take a packet, or do what is due.
    private func receive(_ packet: UnsafeRawBufferPointer?, line: Int = 0) {
        var effects: [MoldReceiver.Effect] = []
        let now = HubClock.monotonicNs
        intake.takeMessages(atNs: feedLoop.clock.nowNs) { take in
            if let packet {
                receiver.receive(
                    packet,
                    line: line,
                    atNs: now,
                    into: &effects,
                    before: { tellFeed(&$0) },
                    message: take
                )
            } else {
                receiver.advance(toNs: now, into: &effects, before: { tellFeed(&$0) }, message: take)
            }
        }
        perform(effects)
    }

    /// Does what must be done before the messages behind it, and nothing else: the receiver is at work.
    private func tellFeed(_ effects: inout [MoldReceiver.Effect]) {
        for effect in effects {
            switch effect {
            case .began(let session, let isWhole): intake.beginSession(session, isWhole: isWhole)
            case .lost(let numbers): intake.lost(UInt64(numbers.count))
            default: continue
            }
        }
        effects.removeAll { effect in
            switch effect {
            case .began, .lost: true
            default: false
            }
        }
    }

    private func perform(_ effects: [MoldReceiver.Effect]) {
        for effect in effects {
            switch effect {
            case .began, .lost: break
            case .request(let bytes): if let server { requests?.send(bytes, to: server.host, port: server.port) }
            case .ended: feedLoop.log.info("itch-session-ended", [:])
            case .silent:
                state = .failed(reason: "nothing is heard on any line")
                feedLoop.log.warning("itch-lines-silent", [:])
                intake.disconnected(.silence)
            case .heard:
                state = .live
                intake.resumed()
            case .wait(let untilNs):
                timer?.cancel()
                let delay = UInt64(max(0, untilNs - HubClock.monotonicNs))
                timer = feedLoop.loop?.after(delay) { [weak self] in self?.receive(nil) }
            }
        }
    }
}
