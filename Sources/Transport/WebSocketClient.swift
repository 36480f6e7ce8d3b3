internal import CLibWebSockets
internal import CTransport
internal import Glibc

/// Names a WebSocket that a loop itself opened to a server, while it lives.
public struct ClientID: Hashable, Sendable, BitwiseCopyable {
    var connection: ConnectionID
}

/// How to reach a server's WebSocket.
public struct WebSocketClientSettings: Sendable {
    public var server: ServerAddress
    /// A PEM file of the authorities to trust instead of the system's.
    public var authoritiesPath: String?
    /// Offered; the server must choose it or none.
    public var subprotocol: String?
    public var headers: [(name: String, value: String)] = [("user-agent", "market-hub")]
    /// For TCP, TLS and the upgrade together, up to half a minute.
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
    /// A whole message; the bytes are valid during the call only.
    func received(_ message: UnsafeRawBufferPointer, isText: Bool, from client: ClientID, on loop: IOLoop)
    func ponged(_ payload: UnsafeRawBufferPointer, from client: ClientID, on loop: IOLoop)
    /// What ``IOLoop/send(text:to:)`` left waiting has gone.
    func writable(_ client: ClientID, on loop: IOLoop)
    /// Told once for every connect, whether it was opened or not; `reason` is for people.
    func closed(_ client: ClientID, reason: String, on loop: IOLoop)
}

extension WebSocketClientHandler {
    public func ponged(_ payload: UnsafeRawBufferPointer, from client: ClientID, on loop: IOLoop) {}
    public func writable(_ client: ClientID, on loop: IOLoop) {}
}

final class WebSocketClient: ClientConnection {
    private let settings: WebSocketClientSettings
    private let handler: any WebSocketClientHandler
    private var closing: String?
    private var wasOpened = false

    init(settings: WebSocketClientSettings, handler: any WebSocketClientHandler) {
        self.settings = settings
        self.handler = handler
        super.init(server: settings.server, headers: settings.headers)
    }

    override func upgraded(_ id: ConnectionID, on loop: IOLoop) {
        loop.sockets[id].phase = .open
        loop.sockets[id].deadlineNs = 0
        loop.sockets[id].messageBytesMost = settings.messageBytesMost
        wasOpened = true
        handler.opened(ClientID(connection: id), on: loop)
        if !loop.isServing { loop.sayGoodbye(id) }
    }

    override func received(_ message: UnsafeRawBufferPointer, isText: Bool, _ id: ConnectionID, on loop: IOLoop) {
        handler.received(message, isText: isText, from: ClientID(connection: id), on: loop)
    }

    override func ponged(_ payload: UnsafeRawBufferPointer, _ id: ConnectionID, on loop: IOLoop) {
        handler.ponged(payload, from: ClientID(connection: id), on: loop)
    }

    override func writable(_ id: ConnectionID, on loop: IOLoop) {
        handler.writable(ClientID(connection: id), on: loop)
    }

    override func closeArrived(code: UInt16, reason: String) {
        closing = reason.isEmpty ? "closed by the server with \(code)" : "closed by the server with \(code): \(reason)"
    }

    override func ended(_ id: ConnectionID, on loop: IOLoop) {
        handler.closed(ClientID(connection: id), reason: reason, on: loop)
    }

    private var reason: String {
        switch failure {
        case .timedOut where !wasOpened: "no connection within \(settings.connectTimeoutSeconds) s"
        case .refused(let message): message
        case .tooLarge(let bytesMost): "a message was too long, more than \(bytesMost) bytes"
        default: closing ?? (wasOpened ? "connection lost" : "no connection")
        }
    }
}

extension IOLoop {
    /// Opens a WebSocket to a server; the handler is kept until it has been told of the end.
    public func connect(_ settings: WebSocketClientSettings, handler: any WebSocketClientHandler) -> ClientID {
        let id = connect(
            settings.server,
            authorities: settings.authoritiesPath,
            subprotocol: settings.subprotocol,
            isWebSocket: true,
            connectSeconds: settings.connectTimeoutSeconds,
            secondsMost: UInt64(settings.connectTimeoutSeconds),
            client: WebSocketClient(settings: settings, handler: handler)
        )
        return ClientID(connection: id)
    }

    /// Sends a text message, masked.
    public func send(text: String, to client: ClientID) -> WriteResult {
        send(Array(text.utf8), LWS_WRITE_TEXT, to: client)
    }

    /// Sends a binary message, masked.
    public func send(binary: [UInt8], to client: ClientID) -> WriteResult {
        send(binary, LWS_WRITE_BINARY, to: client)
    }

    /// Sends a ping; its payload of at most 125 bytes comes back.
    public func ping(_ client: ClientID, payload: [UInt8]) -> WriteResult {
        precondition(payload.count < 126, "a ping of \(payload.count) bytes")
        return send(payload, LWS_WRITE_PING, to: client)
    }

    /// Closes with 1000; a connection that is not open yet is given up.
    public func close(_ client: ClientID, code: UInt16 = 1000, reason: String = "") {
        let id = client.connection
        guard sockets.contains(id) else { return }
        if sockets[id].phase == .young {
            abort(id)
        } else {
            close(id, code: code, reason: reason)
        }
    }

    private func send(_ payload: [UInt8], _ kind: lws_write_protocol, to client: ClientID) -> WriteResult {
        let id = client.connection
        guard sockets.contains(id), sockets[id].phase == .open, let wsi = sockets[id].wsi else { return .gone }
        if sockets[id].isBlocked { return .refused }
        // libwebsockets writes the header before the payload and masks it in place.
        let room = ct_lws_pre()
        if scratch.count < room + payload.count { scratch = [UInt8](repeating: 0, count: room + payload.count) }
        scratch.replaceSubrange(room..<room + payload.count, with: payload)
        let result = scratch.withUnsafeMutableBufferPointer { bytes in
            guard let start = bytes.baseAddress else { return Int32(-1) }
            return lws_write(wsi, start + room, payload.count, kind)
        }
        if result < 0 {
            abort(id)
            return .gone
        }
        guard lws_partial_buffered(wsi) != 0 else { return .sent }
        sockets[id].isBlocked = true
        return .blocked
    }
}
