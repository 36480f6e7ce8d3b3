public import Hub
internal import Market

/// When a command was read and when its answer was ready, nanoseconds since 1970 UTC.
public struct Timing: Hashable, Sendable {
    public var receivedNs: UInt64
    public var doneNs: UInt64

    public init(receivedNs: UInt64, doneNs: UInt64) {
        self.receivedNs = receivedNs
        self.doneNs = doneNs
    }
}

/// What is left of the requests that a client may send at once, and in how many milliseconds it will be whole again.
public struct Budget: Hashable, Sendable {
    public var requestsLeft: UInt32
    public var wholeInMs: UInt32

    public init(requestsLeft: UInt32, wholeInMs: UInt32) {
        self.requestsLeft = requestsLeft
        self.wholeInMs = wholeInMs
    }
}

/// What a client may at most do, as the connect reply tells it.
public struct Limits: Hashable, Sendable {
    public var subscriptionsMost: UInt32
    public var symbolsPerRequestMost: UInt32
    public var frameBytesMost: UInt32
    public var requestsPerSecondMost: UInt32
    public var privateQueueBytesMost: UInt32

    public init(
        subscriptionsMost: UInt32,
        symbolsPerRequestMost: UInt32,
        frameBytesMost: UInt32,
        requestsPerSecondMost: UInt32,
        privateQueueBytesMost: UInt32
    ) {
        self.subscriptionsMost = subscriptionsMost
        self.symbolsPerRequestMost = symbolsPerRequestMost
        self.frameBytesMost = frameBytesMost
        self.requestsPerSecondMost = requestsPerSecondMost
        self.privateQueueBytesMost = privateQueueBytesMost
    }
}

/// What replies tell of the server besides the hub's answer.
public struct ServerFacts: Hashable, Sendable {
    public var version: String
    /// Of the sequences of every topic.
    public var epoch: UInt64
    public var limits: Limits
    /// An idle client hears a heartbeat so often.
    public var heartbeatMs: UInt32
    /// The server's clock, nanoseconds since 1970 UTC.
    public var serverNs: UInt64
    /// Finds a refused request in the logs; stands in errors only.
    public var requestID: String

    public init(
        version: String,
        epoch: UInt64,
        limits: Limits,
        heartbeatMs: UInt32,
        serverNs: UInt64,
        requestID: String
    ) {
        self.version = version
        self.epoch = epoch
        self.limits = limits
        self.heartbeatMs = heartbeatMs
        self.serverNs = serverNs
        self.requestID = requestID
    }
}

// What stands in a server frame besides pushes. Every function appends one field of a ServerFrame; a frame is any number of them,
// one after the other.

extension EnhancedCodec {
    /// Appends one `replies` field.
    public static func append(
        reply id: UInt32,
        _ answer: Answer,
        timing: Timing,
        budget: Budget,
        server: ServerFacts,
        to out: inout OutputBytes
    ) {
        out.message(1, lengthRoom: 2) { out in
            out.field(1, id)
            switch answer {
            case .refused(let refusal):
                append(2, refusal, requestID: server.requestID, to: &out)
            case .connected(let welcome):
                append(welcome, server, to: &out)
            case .subscribed(let outcomes):
                out.message(4, lengthRoom: 2) { out in
                    for outcome in outcomes { append(outcome, server, to: &out) }
                }
            case .unsubscribed(let topics):
                out.message(5) { out in
                    guard !topics.isEmpty else { return }
                    out.message(1) { out in
                        out.reserve(topics.count * 5 + WireKind.slack)
                        var at = out.end
                        for topic in topics { at.put(varint: UInt64(topic.rawValue)) }
                        out.advance(to: at)
                    }
                }
            case .listed(let instruments, let next, let tableVersion):
                out.message(6, lengthRoom: 2) { out in
                    for instrument in instruments { append(1, instrument, to: &out) }
                    out.field(2, next)
                    out.field(3, tableVersion)
                }
            case .resynced(let topics):
                out.message(8) { out in for topic in topics { append(1, topic, to: &out) } }
            case .pong(let clientNs):
                out.message(7) { out in
                    out.field(1, fixed64: clientNs)
                    out.field(2, fixed64: server.serverNs)
                }
            }
            out.message(14) { out in
                out.field(1, budget.requestsLeft)
                out.field(2, budget.wholeInMs)
            }
            out.message(15) { out in
                out.field(1, fixed64: timing.receivedNs)
                out.field(2, fixed64: timing.doneNs)
            }
        }
    }

    /// Appends the time at which a frame goes out.
    public static func append(sentNs: UInt64, to out: inout OutputBytes) { out.field(3, fixed64: sentNs) }

    /// Appends when the pushes of a frame were encoded.
    public static func append(encodedNs: UInt64, to out: inout OutputBytes) { out.field(5, fixed64: encodedNs) }

    /// Appends that the client is behind since then, or was.
    public static func appendDegradation(
        isOver: Bool,
        sinceNs: UInt64,
        leftOut: UInt64,
        to out: inout OutputBytes
    ) {
        out.message(6) { out in
            out.field(1, isOver)
            out.field(2, fixed64: sinceNs)
            out.field(3, varint: leftOut)
        }
    }

    /// Appends that the connection is closed with this code, and when to come back.
    public static func appendDisconnect(code: UInt16, reconnectAfterMs: UInt32, to out: inout OutputBytes) {
        out.message(7) { out in
            out.field(1, UInt32(code))
            out.field(2, reconnectAfterMs)
        }
    }

    /// Appends a heartbeat with the newest sequences of the topics that changed since the one before.
    public static func appendHeartbeat(_ topics: [TopicSequence], to out: inout OutputBytes) {
        out.message(4) { out in for topic in topics { append(1, topic, to: &out) } }
    }

    private static func append(_ field: UInt8, _ topic: TopicSequence, to out: inout OutputBytes) {
        out.message(field) { out in
            out.field(1, topic.topic.rawValue)
            out.field(2, varint: topic.sequence)
        }
    }

    private static func append(_ welcome: Welcome, _ server: ServerFacts, to out: inout OutputBytes) {
        out.message(3) { out in
            out.field(1, fixed64: server.serverNs)
            out.field(2, server.version)
            out.field(3, varint: welcome.epoch)
            out.field(4, varint: welcome.session)
            out.field(5, welcome.tableVersion)
            out.field(6, welcome.instrumentCount)
            out.message(7) { out in
                out.field(1, server.limits.subscriptionsMost)
                out.field(2, server.limits.symbolsPerRequestMost)
                out.field(3, server.limits.frameBytesMost)
                out.field(4, server.limits.requestsPerSecondMost)
                out.field(5, server.limits.privateQueueBytesMost)
            }
            out.field(8, server.heartbeatMs)
        }
    }

    private static func append(_ outcome: SymbolOutcome, _ server: ServerFacts, to out: inout OutputBytes) {
        let candleCount = outcome.history?.candles.count ?? 0
        out.message(1, lengthRoom: candleCount > 300 ? 3 : candleCount > 3 ? 2 : 1) { out in
            out.field(1, outcome.symbol)
            switch outcome.result {
            case .success(let topic):
                append(topic, epoch: server.epoch, to: &out)
                if let past = outcome.history { append(4, past.inUnits(of: topic.instrument), to: &out) }
            case .failure(let refusal): append(3, refusal, requestID: server.requestID, to: &out)
            }
            if let recovery = outcome.recovery { append(recovery, to: &out) }
        }
    }

    private static func append(_ recovery: Recovery, to out: inout OutputBytes) {
        out.message(5) { out in
            out.field(1, recovery.isRecovered)
            out.field(2, UInt32(recovery.failure?.rawValue ?? 0))
            out.field(3, varint: recovery.missed?.lowerBound ?? 0)
            out.field(4, varint: recovery.missed?.upperBound ?? 0)
        }
    }

    private static func append(_ topic: TopicDescription, epoch: UInt64, to out: inout OutputBytes) {
        out.message(2) { out in
            out.field(1, topic.id.rawValue)
            append(2, topic.instrument, to: &out)
            out.field(3, UInt32(topic.view.channel.rawValue))
            out.field(4, topic.view.depth)
            out.field(5, varint: UInt64(clamping: topic.view.group))
            out.field(6, UInt32(topic.view.delivery.rawValue))
            out.field(7, topic.view.intervalMs)
            out.field(8, topic.view.candleInterval.map { UInt32($0.wireValue) } ?? 0)
            out.field(9, varint: epoch)
            out.field(10, varint: topic.sequence)
        }
    }

    static func append(_ field: UInt8, _ instrument: Instrument, to out: inout OutputBytes) {
        out.message(field) { out in
            out.field(1, instrument.id.rawValue)
            out.field(2, instrument.symbol)
            out.field(3, instrument.venue)
            out.field(4, instrument.rawSymbol)
            out.field(5, UInt32(instrument.kind.rawValue))
            out.field(6, UInt32(instrument.priceScale))
            out.field(7, UInt32(instrument.quantityScale))
            out.field(8, varint: UInt64(clamping: instrument.tick))
            out.field(9, varint: UInt64(clamping: instrument.lot))
            append(instrument.terms, to: &out)
            out.field(wide: 18, varint: instrument.hasSingleOrders ? 1 : 0)
        }
    }

    private static func append(_ terms: Instrument.Terms, to out: inout OutputBytes) {
        out.field(10, terms.base)
        out.field(11, terms.quote)
        out.field(12, terms.settle)
        out.field(13, terms.contractSize?.text ?? "")
        out.field(14, terms.isInverse)
        out.field(15, fixed64: UInt64(clamping: terms.expiryNs))
        out.field(wide: 16, terms.strike?.text ?? "")
        out.field(wide: 17, varint: UInt64(terms.right?.rawValue ?? 0))
    }

    private static func append(
        _ field: UInt8,
        _ refusal: Refusal,
        requestID: String,
        to out: inout OutputBytes
    ) {
        out.message(field, lengthRoom: 2) { out in
            out.field(1, refusal.code.rawValue)
            out.field(2, refusal.code.reason)
            out.field(3, refusal.message)
            out.field(4, refusal.code.isTemporary)
            out.field(5, refusal.retryAfterMs)
            for field in refusal.fields {
                out.message(6) { out in
                    out.field(1, field.name)
                    out.field(2, field.message)
                }
            }
            out.field(7, requestID)
        }
    }
}
