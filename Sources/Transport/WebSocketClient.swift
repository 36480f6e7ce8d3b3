internal import Glibc

/// Names a WebSocket that a loop itself opened to a server; never used again.
public struct ClientID: Hashable, Sendable, BitwiseCopyable {
    var number: UInt64
}

/// How to reach a server's WebSocket.
public struct WebSocketClientSettings: Sendable {
    /// ``ServerAddress/address`` must be there unless the host is an address already.
    public var server: ServerAddress
    /// A PEM file of the authorities to trust instead of the system's.
    public var authoritiesPath: String?
    /// Offered; the server must choose it or none.
    public var subprotocol: String?
    public var headers: [(name: String, value: String)] = [("User-Agent", "market-hub")]
    /// For TCP, TLS and the upgrade together.
    public var connectTimeoutSeconds = 10
    /// A longer message closes the connection with 1009.
    public var messageBytesMost = 16 * 1024 * 1024

    public init(server: ServerAddress) {
        self.server = server
    }
}

/// Hears from one or several WebSockets that a loop opened; always on the loop's thread.
public protocol WebSocketClientHandler: AnyObject {
    func opened(_ client: ClientID, on loop: IOLoop)
    /// A whole message; the bytes are valid during the call only. A text is UTF-8.
    func received(_ message: UnsafeRawBufferPointer, isText: Bool, from client: ClientID, on loop: IOLoop)
    func ponged(_ payload: UnsafeRawBufferPointer, from client: ClientID, on loop: IOLoop)
    /// What ``IOLoop/send(text:to:)`` left waiting has gone.
    func writable(_ client: ClientID, on loop: IOLoop)
    /// Told once for every connect, whether it was opened or not, and never within the call that asked for the end;
    /// `reason` is for people.
    func closed(_ client: ClientID, reason: String, on loop: IOLoop)
}

extension WebSocketClientHandler {
    public func ponged(_ payload: UnsafeRawBufferPointer, from client: ClientID, on loop: IOLoop) {}
    public func writable(_ client: ClientID, on loop: IOLoop) {}
}

/// A WebSocket over a ``RawClient``.
final class WebSocketClient: RawClientHandler {
    private enum State {
        case connecting
        /// The server's answer, as far as it has come.
        case upgrading([UInt8])
        case open
        /// We said goodbye and wait for the server's.
        case closing
        case ended
    }

    let id: ClientID
    private var state = State.connecting
    private let settings: WebSocketClientSettings
    private let handler: any WebSocketClientHandler
    private let upgrade: WebSocketUpgrade
    private var reader: WebSocketFrameReader
    private var raw: RawClient?
    private var timer: LoopTimer?
    /// What the newest ping that was not answered brought: only that one must be (RFC 6455 section 5.5.3).
    private var ping: [UInt8]?
    private var random = SystemRandomNumberGenerator()
    /// How long the server may take for its own close frame.
    private static let goodbyeNs: UInt64 = 2_000_000_000

    fileprivate init(_ id: ClientID, _ settings: WebSocketClientSettings, _ handler: any WebSocketClientHandler) {
        self.id = id
        self.settings = settings
        self.handler = handler
        var random = SystemRandomNumberGenerator()
        let nonce = (0..<16).map { _ in UInt8.random(in: 0...255, using: &random) }
        upgrade = WebSocketUpgrade(nonce: nonce, subprotocol: settings.subprotocol)
        reader = WebSocketFrameReader(from: .server, messageBytesMost: settings.messageBytesMost)
    }

    fileprivate func connect(on loop: IOLoop) {
        var rawSettings = RawClientSettings(server: settings.server)
        rawSettings.authoritiesPath = settings.authoritiesPath
        rawSettings.connectTimeoutSeconds = settings.connectTimeoutSeconds
        timer = loop.after(UInt64(settings.connectTimeoutSeconds) * 1_000_000_000) { [weak self, weak loop] in
            guard let self, let loop else { return }
            end("no connection within \(settings.connectTimeoutSeconds) s", on: loop)
        }
        do throws(TransportError) {
            raw = try loop.connectRaw(rawSettings, handler: self)
            if raw == nil { endSoon("the loop ends", on: loop) }
        } catch {
            endSoon("\(Self.prefix(settings.server))\(error)", on: loop)
        }
    }

    // MARK: What the owner does

    fileprivate func send(_ kind: WebSocketFrame.Kind, _ payload: [UInt8]) -> WriteResult {
        guard case .open = state, let raw else { return .gone }
        if raw.isBlocked { return .refused }
        write(kind, payload)
        return raw.isBlocked ? .blocked : .sent
    }

    fileprivate func close(code: UInt16, reason: String, on loop: IOLoop) {
        switch state {
        case .connecting, .upgrading: endSoon("given up", on: loop)
        case .open:
            writeGoodbye(code, reason)
            state = .closing
            timer = loop.after(Self.goodbyeNs) { [weak self, weak loop] in
                if let self, let loop { end("closed, without an answer", on: loop) }
            }
        case .closing, .ended: break
        }
    }

    /// The loop ends, and with it the connection.
    func goodbye() {
        if case .open = state { writeGoodbye(1001, "going away") }
    }

    // MARK: What happens

    func opened(_ raw: RawClient, on loop: IOLoop) {
        guard case .connecting = state else { return }
        guard let request = upgrade.request(settings.server, headers: settings.headers) else {
            return fail("its path or a header has characters that none may have", on: loop)
        }
        state = .upgrading([])
        raw.send(request)
    }

    func received(_ bytes: UnsafeRawBufferPointer, from raw: RawClient, on loop: IOLoop) {
        switch state {
        case .open, .closing: read(bytes, on: loop)
        case .upgrading(var head):
            // Not to be copied for each part.
            state = .connecting
            head.append(contentsOf: bytes)
            switch upgrade.read(head) {
            case .incomplete: state = .upgrading(head)
            case .refused(let reason): fail(reason, on: loop)
            case .accepted(let headBytes):
                timer?.cancel()
                state = .open
                handler.opened(id, on: loop)
                head.withUnsafeBytes { head in
                    let frames = UnsafeRawBufferPointer(rebasing: head[headBytes...])
                    if !frames.isEmpty { read(frames, on: loop) }
                }
            }
        case .connecting, .ended: break
        }
    }

    func writable(_ raw: RawClient, on loop: IOLoop) {
        answerPing()
        if case .open = state, !raw.isBlocked { handler.writable(id, on: loop) }
    }

    func closed(_ raw: RawClient, reason: String, on loop: IOLoop) {
        self.raw = nil
        if case .upgrading = state { return fail(reason, on: loop) }
        end(reason, on: loop)
    }

    private func read(_ bytes: UnsafeRawBufferPointer, on loop: IOLoop) {
        do throws(WebSocketFault) {
            try reader.read(bytes) { message, payload in
                take(message, payload, on: loop)
                if case .ended = state { return false }
                return true
            }
        } catch {
            if case .open = state { writeGoodbye(error.code, error.reason) }
            end(error.reason, on: loop)
        }
        answerPing()
    }

    private func answerPing() {
        guard case .open = state, let raw, !raw.isBlocked, let payload = ping else { return }
        ping = nil
        write(.pong, payload)
    }

    private func take(_ message: WebSocketFrameReader.Message, _ payload: UnsafeRawBufferPointer, on loop: IOLoop) {
        guard case .open = state else {
            // Of a server that was told goodbye only its own matters.
            if case .close = message { end("closed", on: loop) }
            return
        }
        switch message {
        case .text: handler.received(payload, isText: true, from: id, on: loop)
        case .binary: handler.received(payload, isText: false, from: id, on: loop)
        case .ping: ping = Array(payload)
        case .pong: handler.ponged(payload, from: id, on: loop)
        case .close(let code, let reason):
            writeGoodbye(code == 1005 ? 1000 : code, "")
            end("closed by the server with \(code)" + (reason.isEmpty ? "" : ": \(reason)"), on: loop)
        }
    }

    // MARK: Details

    private func write(_ kind: WebSocketFrame.Kind, _ payload: [UInt8]) {
        raw?.send(WebSocketFrame.maskedBytes(kind, payload, mask: random.next()))
    }

    private func writeGoodbye(_ code: UInt16, _ reason: String) {
        write(.close, [UInt8(code >> 8), UInt8(code & 0xff)] + WebSocketFrame.reasonBytes(reason))
    }

    private func fail(_ reason: String, on loop: IOLoop) {
        end(Self.prefix(settings.server) + reason, on: loop)
    }

    private static func prefix(_ server: ServerAddress) -> String {
        "cannot connect to \(server.host):\(server.port): "
    }

    /// Ends the connection, and tells when the turn is over.
    private func endSoon(_ reason: String, on loop: IOLoop) {
        release()
        loop.soon { [self] in tell(reason, on: loop) }
    }

    private func end(_ reason: String, on loop: IOLoop) {
        if case .ended = state { return }
        release()
        tell(reason, on: loop)
    }

    private func release() {
        state = .ended
        timer?.cancel()
        timer = nil
        raw?.close()
        raw = nil
    }

    private func tell(_ reason: String, on loop: IOLoop) {
        loop.webSocketClients[id] = nil
        handler.closed(id, reason: reason, on: loop)
    }
}

extension IOLoop {
    /// Opens a WebSocket to a server; the handler is kept until it has been told of the end.
    public func connect(_ settings: WebSocketClientSettings, handler: any WebSocketClientHandler) -> ClientID {
        let id = ClientID(number: webSocketClientsMade)
        webSocketClientsMade += 1
        let client = WebSocketClient(id, settings, handler)
        webSocketClients[id] = client
        client.connect(on: self)
        return id
    }

    /// Sends a text message, masked.
    public func send(text: String, to client: ClientID) -> WriteResult {
        webSocketClients[client]?.send(.text, Array(text.utf8)) ?? .gone
    }

    /// Sends a binary message, masked.
    public func send(binary: [UInt8], to client: ClientID) -> WriteResult {
        webSocketClients[client]?.send(.binary, binary) ?? .gone
    }

    /// Sends a ping; its payload of at most 125 bytes comes back.
    public func ping(_ client: ClientID, payload: [UInt8]) -> WriteResult {
        precondition(payload.count < 126, "a ping of \(payload.count) bytes")
        return webSocketClients[client]?.send(.ping, payload) ?? .gone
    }

    /// Closes with a code; a connection that is not open yet is given up.
    ///
    /// Nothing more is heard from it but its end.
    public func close(_ client: ClientID, code: UInt16 = 1000, reason: String = "") {
        webSocketClients[client]?.close(code: code, reason: reason, on: self)
    }
}
