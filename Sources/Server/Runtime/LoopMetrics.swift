import Hub
import Transport

/// What one I/O loop counts.
package final class LoopMetrics {
    /// The slots of one of the two channels.
    struct PerFormat {
        let open: GaugeSlot
        let opened: CounterSlot
        let blocked: GaugeSlot
        let messagesReceived: CounterSlot
        let messagesSent: CounterSlot
        let bytesReceived: CounterSlot
        let bytesSent: CounterSlot
        let pushes: CounterSlot
        let deliveries: CounterSlot
        let conflations: CounterSlot
        let subscriptions: GaugeSlot
        let name: String

        fileprivate init(_ name: String, _ registry: MetricRegistry) {
            self.name = name
            open = registry.gauge(.connectionsOpen, name)
            opened = registry.counter(.connectionsOpened, name)
            blocked = registry.gauge(.clientsBlocked, name)
            messagesReceived = registry.counter(.messagesReceived, name)
            messagesSent = registry.counter(.messagesSent, name)
            bytesReceived = registry.counter(.bytesReceived, name)
            bytesSent = registry.counter(.bytesSent, name)
            pushes = registry.counter(.pushes, name)
            deliveries = registry.counter(.deliveries, name)
            conflations = registry.counter(.conflations, name)
            subscriptions = registry.gauge(.subscriptions, name)
        }
    }

    let block: MetricBlock
    let passDuration: HistogramSlot
    let waitingBytes: GaugeSlot
    let received: HistogramSlot
    let encoded: HistogramSlot
    let sent: HistogramSlot
    private let registry: MetricRegistry
    private let legacy: PerFormat
    private let enhanced: PerFormat
    private let heartbeat: Heartbeat

    package init(registry: MetricRegistry, heartbeat: Heartbeat) {
        self.registry = registry
        self.heartbeat = heartbeat
        block = registry.makeBlock()
        passDuration = registry.histogram(.passDuration)
        waitingBytes = registry.gauge(.waitingBytes)
        received = registry.histogram(.latency, "received")
        encoded = registry.histogram(.latency, "encoded")
        sent = registry.histogram(.latency, "sent")
        legacy = PerFormat("legacy", registry)
        enhanced = PerFormat("enhanced", registry)
    }

    /// Shows what was sent, and begins to count anew.
    func show(_ sent: inout SentCounts) {
        for format in Format.allCases {
            let counts = sent[format]
            guard counts.messages > 0 || counts.deliveries > 0 else { continue }
            block.add(counts.messages, to: self[format].messagesSent)
            block.add(counts.bytes, to: self[format].bytesSent)
            block.add(counts.deliveries, to: self[format].deliveries)
        }
        sent = SentCounts()
    }

    subscript(format: Format) -> PerFormat {
        switch format {
        case .legacy: legacy
        case .enhanced: enhanced
        }
    }

    /// Says that the loop is alive.
    func beat(atNs now: Int64) { heartbeat.beat(atNs: now) }

    // Rare enough to look the slot up each time.

    func count(request: Request, _ format: Format) {
        block.add(to: registry.counter(.requests, self[format].name, request.kind))
    }

    func count(_ recovery: Recovery) { block.add(to: registry.counter(.recoveries, recovery.word)) }

    func count(refusal: Refusal, _ format: Format) {
        block.add(to: registry.counter(.requestsFailed, self[format].name, refusal.code.reason))
    }

    func count(badFrame: Refusal.Code, _ format: Format) {
        block.add(to: registry.counter(.badFrames, self[format].name, badFrame.reason))
    }

    /// Codes that a client makes up count as one, so that nobody fills the metrics.
    func count(close code: UInt16, _ format: Format) {
        let isKnown = code >= 1000 && code <= 1015 || CloseReason(rawValue: code) != nil
        block.add(to: registry.counter(.connectionsClosed, self[format].name, isKnown ? String(code) : "other"))
    }

    func count(turnedAway reason: TurnedAway) {
        block.add(to: registry.counter(.connectionsRefused, "http", reason.rawValue))
    }

    func count(refusedUpgrade reason: String) {
        block.add(to: registry.counter(.connectionsRefused, "upgrade", reason))
    }
}

extension Request {
    /// The label of metrics.
    fileprivate var kind: String {
        switch self {
        case .connect: "connect"
        case .subscribe: "subscribe"
        case .unsubscribe: "unsubscribe"
        case .list: "list"
        case .resync: "resync"
        case .ping: "ping"
        }
    }
}

extension Recovery {
    /// As metrics name it.
    fileprivate var word: String {
        switch failure {
        case nil: "recovered"
        case .otherEpoch?: "other_epoch"
        case .tooOld?: "too_old"
        case .unknownSequence?: "unknown_sequence"
        case .beganAnew?: "began_anew"
        }
    }
}

/// What a loop sent within a slice: plain numbers, because each delivery counts.
struct SentCounts {
    struct Counts {
        var messages = 0
        var bytes = 0
        var deliveries = 0
    }

    private var counts = InlineArray<2, Counts>(repeating: Counts())

    subscript(format: Format) -> Counts { counts[Int(format.rawValue)] }

    @inline(__always)
    mutating func write(bytes: Int, _ format: Format) {
        counts[Int(format.rawValue)].messages += 1
        counts[Int(format.rawValue)].bytes += bytes
    }

    @inline(__always)
    mutating func deliver(_ count: Int, _ format: Format) { counts[Int(format.rawValue)].deliveries += count }
}
