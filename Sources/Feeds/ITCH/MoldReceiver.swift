/// The listening side of MoldUDP64: puts packets of one or two lines into order and asks again for what is lost.
///
/// Pure: packets and time are given in, what to do comes out. Of two lines the packet that comes first counts. A packet that
/// comes too early waits, within bounds, while those before it are given a moment to arrive and are then asked for. What
/// cannot be had again within ``Limits/recoveryMostNs`` is given up, and that is said. Source: Nasdaq, MoldUDP64 1.00.
public struct MoldReceiver: Sendable {
    public struct Limits: Sendable {
        /// How long a missing packet may come by itself, on the other line or out of order, before it is asked for.
        public var reorderNs: Int64 = 5_000_000
        /// Between requests that bring nothing, and between those that do: an answer is one packet with what fits into it.
        public var requestEveryNs: Int64 = 100_000_000
        public var requestAgainNs: Int64 = 1_000_000
        /// Messages asked for at once.
        public var requestMost: UInt16 = 1_000
        /// A packet so many messages ahead is no packet of this feed.
        public var aheadMost: UInt64 = 4_000_000_000
        /// Without any progress for so long the missing messages are given up.
        public var recoveryMostNs: Int64 = 3_000_000_000
        /// Packets that wait, and their bytes; later ones are dropped then, and asked for in their turn.
        public var packetsMost = 4_096
        public var bytesMost = 8 << 20
        /// Without a packet on any line for so long the feed is silent; servers send a heartbeat a second.
        public var silenceMostNs: Int64 = 5_000_000_000

        public init() {}
    }

    public enum Effect: Hashable, Sendable {
        /// Another session begins; `isWhole` when its messages come from the first on.
        case began(session: String, isWhole: Bool)
        /// To be sent to the re-request server.
        case request([UInt8])
        /// These messages will not come.
        case lost(Range<UInt64>)
        /// All of the session was heard.
        case ended
        /// Nothing is heard any more, or something is again.
        case silent
        case heard
        /// Come back with ``advance(toNs:into:message:)`` by then.
        case wait(untilNs: Int64)
    }

    public struct Counters: Sendable, Hashable {
        public var packets = 0
        public var badPackets = 0
        /// Packets of which everything was known already, as of the slower of two lines.
        public var repeatedPackets = 0
        /// Packets that came before their turn.
        public var earlyPackets = 0
        public var droppedPackets = 0
        public var requests = 0
        public var lostMessages: UInt64 = 0
        /// By line: packets that brought something new.
        public var firstOnLine: [Int] = []

        public init() {}
    }

    private struct Waiting: Sendable {
        var first: UInt64
        var end: UInt64
        /// Message blocks without the packet's header.
        var bytes: [UInt8]
    }

    public static let headerBytes = 20
    private static let endOfSession: UInt16 = .max

    public private(set) var counters = Counters()
    /// The number of the next message.
    public private(set) var next: UInt64 = 1
    public private(set) var session = ""
    private let limits: Limits
    private let canRequest: Bool
    /// As in packets; empty before the first.
    private var sessionBytes: [UInt8] = []
    /// Late packets of it are not another new one.
    private var previousSession: [UInt8] = []
    /// In the order of their numbers.
    private var waiting: [Waiting] = []
    private var waitingBytes = 0
    /// One more than the highest number that is known to exist.
    private var seenEnd: UInt64 = 1
    private var endsAt: UInt64?
    private var hasEnded = false
    private var isSilent = true
    private var heardNs: Int64 = 0
    /// Since when messages are missing; nil while none is.
    private var gapSinceNs: Int64?
    private var progressNs: Int64 = 0
    /// When the last request of this gap was sent, and for which message on.
    private var requested: (atNs: Int64, first: UInt64)?
    private var waitUntilNs = Int64.max

    /// `lines` bring the same packets; `canRequest` says whether there is a server that sends packets again.
    public init(lines: Int = 1, canRequest: Bool, limits: Limits = Limits()) {
        self.limits = limits
        self.canRequest = canRequest
        counters.firstOnLine = Array(repeating: 0, count: lines)
    }

    private var isMissing: Bool { next < seenEnd }

    /// Takes one packet of a line.
    ///
    /// `effects` gets what to do; ``Effect/began`` and ``Effect/lost`` stand there before the messages behind them, and `before` is
    /// called to have them done. `message` gets each message once and in order, with its number, valid during the call.
    public mutating func receive(
        _ packet: UnsafeRawBufferPointer,
        line: Int,
        atNs now: Int64,
        into effects: inout [Effect],
        before: (inout [Effect]) -> Void,
        message: (UnsafeRawBufferPointer, UInt64) -> Void
    ) {
        counters.packets += 1
        guard let header = Header(packet) else {
            counters.badPackets += 1
            return
        }
        hear(now, &effects)
        guard joinSession(of: packet, header, now, &effects, before) else { return }
        let end = header.first + UInt64(header.messages)
        guard end <= next || end - next <= limits.aheadMost else {
            counters.badPackets += 1
            return wait(&effects)
        }
        seenEnd = max(seenEnd, end)
        if header.count == Self.endOfSession { endsAt = header.first }
        let blocks = UnsafeRawBufferPointer(rebasing: packet[Self.headerBytes...])
        if header.messages == 0 {
            // A heartbeat.
        } else if end <= next {
            counters.repeatedPackets += 1
        } else if header.first <= next {
            counters.firstOnLine[line] += 1
            deliver(blocks, first: header.first, message)
            progressNs = now
            deliverWaiting(message)
        } else {
            keep(blocks, header.first, end, line)
        }
        settle(now, &effects, before, message)
    }

    /// Does what is due: asks again, gives up, notices silence.
    public mutating func advance(
        toNs now: Int64,
        into effects: inout [Effect],
        before: (inout [Effect]) -> Void,
        message: (UnsafeRawBufferPointer, UInt64) -> Void
    ) {
        waitUntilNs = .max
        settle(now, &effects, before, message)
    }

    // MARK: Packets

    private struct Header {
        var first: UInt64
        var count: UInt16
        var messages: Int

        /// Nil when the packet is not what its header says.
        init?(_ packet: UnsafeRawBufferPointer) {
            guard packet.count >= MoldReceiver.headerBytes else { return nil }
            let fields = ITCHFields(bytes: packet)
            first = fields.u64(10)
            count = fields.u16(18)
            messages = count == MoldReceiver.endOfSession ? 0 : Int(count)
            // Far from the end of the numbers, so that sums never overflow.
            guard first > 0, first < 1 << 62 else { return nil }
            var at = MoldReceiver.headerBytes
            for _ in 0..<messages {
                guard at + 2 <= packet.count else { return nil }
                at += 2 + Int(fields.u16(at))
            }
            guard at == packet.count else { return nil }
        }
    }

    /// Whether a packet belongs to the session that is heard; another session begins with its first packet.
    private mutating func joinSession(
        of packet: UnsafeRawBufferPointer,
        _ header: Header,
        _ now: Int64,
        _ effects: inout [Effect],
        _ before: (inout [Effect]) -> Void
    ) -> Bool {
        let name = packet[..<10]
        if sessionBytes.elementsEqual(name) { return true }
        if previousSession.elementsEqual(name) {
            counters.repeatedPackets += 1
            return false
        }
        previousSession = sessionBytes
        sessionBytes = Array(name)
        let trimmed = name.drop { $0 == UInt8(ascii: " ") }
        session = String(decoding: trimmed.prefix { $0 != UInt8(ascii: " ") }, as: UTF8.self)
        waiting = []
        waitingBytes = 0
        (endsAt, hasEnded) = (nil, false)
        // Everything from the first message on can be had where there is a server for it.
        next = canRequest ? 1 : header.first
        seenEnd = next
        (requested, gapSinceNs, progressNs) = (nil, nil, now)
        effects.append(.began(session: session, isWhole: next == 1))
        before(&effects)
        return true
    }

    private mutating func deliver(
        _ blocks: UnsafeRawBufferPointer,
        first: UInt64,
        _ message: (UnsafeRawBufferPointer, UInt64) -> Void
    ) {
        var (number, at) = (first, 0)
        while at < blocks.count {
            let length = Int(ITCHFields(bytes: blocks).u16(at))
            if number == next {
                message(UnsafeRawBufferPointer(rebasing: blocks[(at + 2)..<(at + 2 + length)]), number)
                next += 1
            }
            at += 2 + length
            number += 1
        }
    }

    private mutating func keep(_ blocks: UnsafeRawBufferPointer, _ first: UInt64, _ end: UInt64, _ line: Int) {
        counters.earlyPackets += 1
        // Mostly it goes to the end.
        var place = waiting.count
        while place > 0, waiting[place - 1].first > first { place -= 1 }
        if place > 0, waiting[place - 1].end >= end {
            counters.repeatedPackets += 1
            return
        }
        guard waiting.count < limits.packetsMost, waitingBytes + blocks.count <= limits.bytesMost else {
            counters.droppedPackets += 1
            return
        }
        counters.firstOnLine[line] += 1
        waitingBytes += blocks.count
        waiting.insert(Waiting(first: first, end: end, bytes: Array(blocks)), at: place)
    }

    private mutating func deliverWaiting(_ message: (UnsafeRawBufferPointer, UInt64) -> Void) {
        var used = 0
        while used < waiting.count, waiting[used].first <= next {
            let packet = waiting[used]
            packet.bytes.withUnsafeBytes { deliver($0, first: packet.first, message) }
            waitingBytes -= packet.bytes.count
            used += 1
        }
        if used > 0 { waiting.removeFirst(used) }
    }

    // MARK: What is missing

    private mutating func hear(_ now: Int64, _ effects: inout [Effect]) {
        heardNs = now
        guard isSilent else { return }
        isSilent = false
        effects.append(.heard)
    }

    private mutating func settle(
        _ now: Int64,
        _ effects: inout [Effect],
        _ before: (inout [Effect]) -> Void,
        _ message: (UnsafeRawBufferPointer, UInt64) -> Void
    ) {
        if !isSilent, now - heardNs >= limits.silenceMostNs {
            isSilent = true
            effects.append(.silent)
        }
        if isMissing {
            let since = gapSinceNs ?? now
            if gapSinceNs == nil { (gapSinceNs, progressNs) = (now, now) }
            if now - progressNs >= limits.recoveryMostNs {
                giveUp(now, &effects, before, message)
            } else if canRequest, now >= requestDueNs(since) {
                request(now, &effects)
            }
        }
        if !isMissing { (gapSinceNs, requested) = (nil, nil) }
        if let endsAt, next >= endsAt, !hasEnded {
            hasEnded = true
            effects.append(.ended)
        }
        wait(&effects)
    }

    private func requestDueNs(_ gapSinceNs: Int64) -> Int64 {
        guard let requested else { return gapSinceNs + limits.reorderNs }
        return requested.atNs + (next > requested.first ? limits.requestAgainNs : limits.requestEveryNs)
    }

    private mutating func request(_ now: Int64, _ effects: inout [Effect]) {
        let missingEnd = waiting.first?.first ?? seenEnd
        let count = min(UInt64(limits.requestMost), missingEnd - next)
        counters.requests += 1
        requested = (now, next)
        var packet = sessionBytes
        for shift in stride(from: UInt64(56), through: 0, by: -8) {
            packet.append(UInt8(truncatingIfNeeded: next >> shift))
        }
        packet.append(UInt8(truncatingIfNeeded: count >> 8))
        packet.append(UInt8(truncatingIfNeeded: count))
        effects.append(.request(packet))
    }

    private mutating func giveUp(
        _ now: Int64,
        _ effects: inout [Effect],
        _ before: (inout [Effect]) -> Void,
        _ message: (UnsafeRawBufferPointer, UInt64) -> Void
    ) {
        let missingEnd = waiting.first?.first ?? seenEnd
        counters.lostMessages += missingEnd - next
        effects.append(.lost(next..<missingEnd))
        before(&effects)
        next = missingEnd
        (progressNs, gapSinceNs, requested) = (now, now, nil)
        deliverWaiting(message)
    }

    private mutating func wait(_ effects: inout [Effect]) {
        var due = isSilent ? Int64.max : heardNs + limits.silenceMostNs
        if let gapSinceNs {
            due = min(due, progressNs + limits.recoveryMostNs)
            if canRequest { due = min(due, requestDueNs(gapSinceNs)) }
        }
        guard due < waitUntilNs else { return }
        waitUntilNs = due
        effects.append(.wait(untilNs: due))
    }
}
