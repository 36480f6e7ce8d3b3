/// One side of SoupBinTCP: logs in, keeps the connection alive, and goes on after a loss where it was.
///
/// Pure: connections, bytes and time are given in, what to do comes out. Messages are numbered by counting; after a connection
/// was lost the next login asks for the session it was in and the first number not heard, so that nothing is missed or
/// heard twice. Times are of any clock that does not go back. Source: Nasdaq, SoupBinTCP 3.00.
public struct SoupBinClient: Sendable {
    public struct Login: Sendable, Hashable {
        public var user: String
        public var password: String
        /// Milliseconds after which the server may take the client for dead: a field that version 4 adds; nil for version 3.
        public var heartbeatTimeoutMs: Int?

        public init(user: String, password: String, heartbeatTimeoutMs: Int? = nil) {
            self.user = user
            self.password = password
            self.heartbeatTimeoutMs = heartbeatTimeoutMs
        }
    }

    public struct Limits: Sendable {
        public var connectMostNs: Int64 = 10_000_000_000
        /// Nothing heard for so long ends the connection; servers send a heartbeat a second.
        public var silenceMostNs: Int64 = 15_000_000_000
        public var heartbeatEveryNs: Int64 = 1_000_000_000
        /// Pauses before connecting again double from the least to the most.
        public var pauseLeastNs: Int64 = 500_000_000
        public var pauseMostNs: Int64 = 60_000_000_000

        public init() {}
    }

    public enum Event: Hashable, Sendable {
        case start
        case connected
        case closed
        case timer
        case stop
    }

    public enum Effect: Hashable, Sendable {
        case connect
        case send([UInt8])
        case close
        /// Logged in: messages follow from this number on.
        ///
        /// A session that goes on does so exactly where it was left; `missed` messages are lost otherwise.
        case loggedIn(session: String, next: UInt64, goesOn: Bool, missed: UInt64)
        /// The connection is of no use any more; another follows after a pause.
        case lost(Loss)
        /// The session has ended and will not go on.
        case ended
        /// Come back with ``Event/timer`` by then.
        case wait(untilNs: Int64)
    }

    public enum Loss: Hashable, Sendable {
        case connection
        case silence
        /// The server refuses the user; asking again helps nobody before its operator does something.
        case notAuthorized
        case sessionNotAvailable
        case protocolError(String)
    }

    private enum State: Hashable {
        case idle
        case connecting
        case loggingIn
        case live
        case pausing
        case stopped
    }

    private let login: Login
    private let limits: Limits
    private var state = State.idle
    private var framing = LengthFraming()
    /// As the server spells it; empty before the first login.
    public private(set) var session = ""
    /// The number of the next message.
    public private(set) var next: UInt64 = 1
    private var enteredNs: Int64 = 0
    private var heardNs: Int64 = 0
    private var saidNs: Int64 = 0
    private var untilNs: Int64 = 0
    private var losses: Int64 = 0
    private var waitUntilNs = Int64.max

    public init(_ login: Login, limits: Limits = Limits()) {
        self.login = login
        self.limits = limits
    }

    public var isLive: Bool { state == .live }

    /// Takes an event; `effects` gets what to do, in order.
    ///
    /// `random` is any number, so that many hubs do not come back at once.
    public mutating func handle(_ event: Event, atNs now: Int64, random: UInt64, into effects: inout [Effect]) {
        guard state != .stopped else { return }
        switch event {
        case .start: if state == .idle { connect(now, &effects) }
        case .connected: if state == .connecting { sendLogin(now, &effects) }
        case .closed: if isOpen || state == .connecting { lose(.connection, now, random, &effects) }
        case .timer: waitUntilNs = .max
        case .stop:
            if isOpen {
                effects.append(.send(Self.packet(UInt8(ascii: "O"))))
                effects.append(.close)
            }
            state = .stopped
            return
        }
        act(now, random, &effects)
        wait(&effects)
    }

    /// Takes what the server sent, cut anywhere.
    ///
    /// `message` gets each message with its number, valid during the call. ``Effect/loggedIn`` stands in `effects` before the first
    /// message that follows it: `before` is called to have it done.
    public mutating func receive(
        _ bytes: UnsafeRawBufferPointer,
        atNs now: Int64,
        random: UInt64,
        into effects: inout [Effect],
        before: (inout [Effect]) -> Void,
        message: (UnsafeRawBufferPointer, UInt64) -> Void
    ) {
        guard isOpen else { return }
        heardNs = now
        // Out of self while it is read.
        var framing = LengthFraming()
        swap(&framing, &self.framing)
        framing.receive(bytes) { packet in
            take(packet, now, random, &effects, before, message)
            return isOpen
        }
        swap(&framing, &self.framing)
        if !isOpen { self.framing.removeAll() }
        act(now, random, &effects)
        wait(&effects)
    }

    private var isOpen: Bool { state == .loggingIn || state == .live }

    private mutating func take(
        _ packet: UnsafeRawBufferPointer,
        _ now: Int64,
        _ random: UInt64,
        _ effects: inout [Effect],
        _ before: (inout [Effect]) -> Void,
        _ message: (UnsafeRawBufferPointer, UInt64) -> Void
    ) {
        guard let kind = packet.first else {
            return giveUp(.protocolError("a packet without a type"), now, random, &effects)
        }
        let payload = UnsafeRawBufferPointer(rebasing: packet[1...])
        switch (kind, state) {
        case (UInt8(ascii: "S"), .live):
            message(payload, next)
            next += 1
        case (UInt8(ascii: "H"), _), (UInt8(ascii: "+"), _), (UInt8(ascii: "U"), _): break
        case (UInt8(ascii: "A"), .loggingIn):
            accept(payload, now, random, &effects)
            before(&effects)
        case (UInt8(ascii: "J"), .loggingIn):
            let isUnknown = payload.first == UInt8(ascii: "S")
            if isUnknown { session = "" }
            giveUp(isUnknown ? .sessionNotAvailable : .notAuthorized, now, random, &effects)
            // Neither comes right by asking often.
            if !isUnknown { untilNs = now + limits.pauseMostNs }
        case (UInt8(ascii: "Z"), .live):
            effects.append(.ended)
            session = ""
            giveUp(.connection, now, random, &effects)
        default:
            giveUp(.protocolError("a packet of type \(kind) that may not come here"), now, random, &effects)
        }
    }

    /// Login Accepted: session, 10 characters, then the number of the next message, 20 characters.
    private mutating func accept(
        _ payload: UnsafeRawBufferPointer,
        _ now: Int64,
        _ random: UInt64,
        _ effects: inout [Effect]
    ) {
        guard payload.count == 30, let told = Self.number(UnsafeRawBufferPointer(rebasing: payload[10...])),
            // Far from the end of the numbers, so that counting never overflows.
            told > 0, told < 1 << 62
        else { return giveUp(.protocolError("a login accepted that is none"), now, random, &effects) }
        let name = Self.text(UnsafeRawBufferPointer(rebasing: payload[..<10]))
        let goesOn = name == session
        let missed = goesOn ? (told > next ? told - next : 0) : told - 1
        // A server that begins before what was asked would say things twice.
        guard !goesOn || told >= next else {
            session = ""
            return giveUp(.protocolError("a session that goes back"), now, random, &effects)
        }
        session = name
        next = told
        state = .live
        losses = 0
        effects.append(.loggedIn(session: name, next: told, goesOn: goesOn, missed: missed))
    }

    // MARK: Coming and going

    private mutating func connect(_ now: Int64, _ effects: inout [Effect]) {
        state = .connecting
        enteredNs = now
        framing.removeAll()
        effects.append(.connect)
    }

    private mutating func sendLogin(_ now: Int64, _ effects: inout [Effect]) {
        state = .loggingIn
        (enteredNs, heardNs, saidNs) = (now, now, now)
        var packet = Self.packet(UInt8(ascii: "L"))
        Self.append(login.user, 6, isRight: false, &packet)
        Self.append(login.password, 10, isRight: false, &packet)
        Self.append(session, 10, isRight: true, &packet)
        Self.append("\(session.isEmpty ? 1 : next)", 20, isRight: true, &packet)
        if let timeout = login.heartbeatTimeoutMs { Self.append("\(timeout)", 5, isRight: true, &packet) }
        packet[1] = UInt8(packet.count - 2)
        effects.append(.send(packet))
    }

    private mutating func lose(_ loss: Loss, _ now: Int64, _ random: UInt64, _ effects: inout [Effect]) {
        let pause = min(limits.pauseMostNs, limits.pauseLeastNs << min(losses, 20))
        let half = max(1, pause / 2)
        untilNs = now + half + Int64(random % UInt64(half))
        losses += 1
        state = .pausing
        effects.append(.lost(loss))
    }

    private mutating func giveUp(_ loss: Loss, _ now: Int64, _ random: UInt64, _ effects: inout [Effect]) {
        effects.append(.close)
        lose(loss, now, random, &effects)
    }

    private mutating func act(_ now: Int64, _ random: UInt64, _ effects: inout [Effect]) {
        switch state {
        case .connecting where now - enteredNs >= limits.connectMostNs: giveUp(.silence, now, random, &effects)
        case .loggingIn where now - heardNs >= limits.silenceMostNs,
            .live where now - heardNs >= limits.silenceMostNs:
            giveUp(.silence, now, random, &effects)
        case .live where now - saidNs >= limits.heartbeatEveryNs:
            saidNs = now
            effects.append(.send(Self.packet(UInt8(ascii: "R"))))
        case .pausing where now >= untilNs: connect(now, &effects)
        default: break
        }
    }

    private mutating func wait(_ effects: inout [Effect]) {
        let next: Int64 =
            switch state {
            case .idle, .stopped: .max
            case .connecting: enteredNs + limits.connectMostNs
            case .loggingIn: heardNs + limits.silenceMostNs
            case .live: min(heardNs + limits.silenceMostNs, saidNs + limits.heartbeatEveryNs)
            case .pausing: untilNs
            }
        // What is heard moves the end of silence only: a timer that comes too early asks again.
        guard next < waitUntilNs else { return }
        waitUntilNs = next
        effects.append(.wait(untilNs: next))
    }

    // MARK: Bytes

    private static func packet(_ kind: UInt8) -> [UInt8] { [0, 1, kind] }

    /// Appends text in a field of fixed length; what is too long is cut.
    private static func append(_ text: String, _ length: Int, isRight: Bool, _ packet: inout [UInt8]) {
        let bytes = Array(text.utf8.prefix(length))
        let filling = repeatElement(UInt8(ascii: " "), count: length - bytes.count)
        if isRight { packet += filling }
        packet += bytes
        if !isRight { packet += filling }
    }

    private static func text(_ bytes: UnsafeRawBufferPointer) -> String {
        let trimmed = bytes.drop { $0 == UInt8(ascii: " ") }
        return String(decoding: trimmed.prefix { $0 != UInt8(ascii: " ") }, as: UTF8.self)
    }

    /// A number among spaces; nil when there is none, or it does not fit.
    private static func number(_ bytes: UnsafeRawBufferPointer) -> UInt64? { UInt64(text(bytes)) }
}
