internal import CLibWebSockets
internal import CTransport
internal import Glibc

/// Why a connection of ours to a server came to nothing or ended early.
public enum ClientFailure: Error, Equatable, Sendable {
    /// Not established, or not answered, in the time it was given.
    case timedOut
    /// No connection, no TLS or no upgrade; the message tells which, certificate errors included.
    case refused(String)
    /// The answer is longer than was allowed.
    case tooLarge(bytesMost: Int)
    /// The server hung up in the middle.
    case cutShort
    /// The loop ended first.
    case stopped
}

/// An HTTP request that a loop makes itself, as far as its connection goes.
class ClientConnection {
    var failure: ClientFailure?
    /// Sent with the request.
    let headers: [(name: String, value: String)]
    private let server: ServerAddress
    /// Of the server's answer; zero before it.
    private(set) var status = 0

    init(server: ServerAddress, headers: [(name: String, value: String)]) {
        self.server = server
        self.headers = headers
    }

    /// The header of the server's answer is complete.
    func answered(_ id: ConnectionID, _ wsi: OpaquePointer, on loop: IOLoop) -> Int32 {
        status = Int(lws_http_client_http_response(wsi))
        return 0
    }

    func failed(_ message: String) {
        guard failure == nil else { return }
        let answer = status == 0 ? "" : ", the server answered \(status)"
        failure = .refused("cannot connect to \(server.host):\(server.port): \(message)\(answer)")
    }

    func bodyArrived(_ bytes: UnsafeRawBufferPointer) -> Int32 { -1 }
    func bodyCompleted() {}
    /// There was nothing more to read: the connection has ended.
    func bodyStopped() {}
    /// Called once, when nothing of the connection is left.
    func ended(_ id: ConnectionID, on loop: IOLoop) {}
}

/// Where a client connects to.
public struct ServerAddress: Sendable, Equatable {
    /// The name in the request, in SNI, and that the certificate must bear.
    public var host: String
    public var port: UInt16
    /// Path with query.
    public var path: String
    public var isTLS: Bool
    /// Connect here instead of looking up `host`, which blocks the loop while the resolver takes its time.
    public var address: String?

    /// Host and, where it is not the scheme's own, port; libwebsockets takes the port off again for SNI.
    var authority: String { port == (isTLS ? 443 : 80) ? host : "\(host):\(port)" }

    public init(host: String, port: UInt16, path: String = "/", isTLS: Bool, address: String? = nil) {
        self.host = host
        self.port = port
        self.path = path
        self.isTLS = isTLS
        self.address = address
    }
}

/// Connections that trust the same authorities and have the same time to connect share a vhost.
struct ClientVhostKey: Hashable {
    var authorities: String?
    var connectSeconds: Int
    var isTLS: Bool
}

extension IOLoop {
    static let clientProtocol = "client"

    /// Starts to connect; everything that happens is told later, never within this call.
    func connect(
        _ server: ServerAddress,
        authorities: String?,
        secondsMost: Int,
        client: ClientConnection
    ) {
        let id = sockets.add(role: .httpClient, peerAddress: server.host)
        sockets[id].client = client
        sockets[id].deadlineNs = nowNs + UInt64(secondsMost) * 1_000_000_000
        let key = ClientVhostKey(authorities: authorities, connectSeconds: secondsMost, isTLS: server.isTLS)
        guard isServing, let vhost = clientVhost(key) else {
            client.failed(isServing ? "no TLS context (\(lastLogLine()))" : "the loop ends")
            endSoon(id)
            return
        }
        var info = lws_client_connect_info()
        info.context = context
        info.vhost = vhost
        info.port = Int32(server.port)
        info.ssl_connection = Int32(LCCSCF_HTTP_NO_FOLLOW_REDIRECT.rawValue)
        if server.isTLS { info.ssl_connection |= Int32(LCCSCF_USE_SSL.rawValue) }
        info.opaque_user_data = id.packed
        ct_forget_log_line()
        let wsi = withCStrings([
            server.address ?? server.host, server.authority, server.path, IOLoop.clientProtocol, "http/1.1", "GET",
        ]) { texts -> OpaquePointer? in
            info.address = texts[0]
            info.host = texts[1]
            info.path = texts[2]
            info.local_protocol_name = texts[3]
            info.alpn = texts[4]
            info.method = texts[5]
            return lws_client_connect_via_info(&info)
        }
        guard sockets.contains(id) else { return }
        if let wsi {
            sockets[id].wsi = wsi
        } else {
            client.failed(lastLogLine())
            endSoon(id)
        }
    }

    private func endSoon(_ id: ConnectionID) {
        soon { [self] in
            if sockets.contains(id) { destroyed(id) }
        }
    }

    /// LWS_CALLBACK_CLIENT_CONNECTION_ERROR.
    func connectFailed(_ id: ConnectionID, _ message: String) {
        let log = lastLogLine()
        sockets[id].client?.failed(log.isEmpty || message.contains(log) ? message : "\(message) (\(log))")
    }

    private func clientVhost(_ key: ClientVhostKey) -> OpaquePointer? {
        if let vhost = clientVhosts[key] { return vhost }
        var info = lws_context_creation_info()
        info.port = -1  // CONTEXT_PORT_NO_LISTEN
        info.protocols = keepProtocols([IOLoop.clientProtocol], receiveBytes: IOLoop.writeBytesMost)
        info.vhost_name = keep("client \(clientVhosts.count)")
        info.connect_timeout_secs = UInt32(key.connectSeconds)
        if key.isTLS {
            info.options = UInt64(LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT)
            if let authorities = key.authorities {
                info.options |= UInt64(LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS)
                info.client_ssl_ca_filepath = keep(authorities)
            }
        } else {
            info.options = UInt64(LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS)
        }
        ct_forget_log_line()
        guard let vhost = lws_create_vhost(context, &info) else { return nil }
        clientVhosts[key] = vhost
        return vhost
    }
}

/// C strings that live during the call.
private func withCStrings<Result>(
    _ strings: [String],
    _ body: ([UnsafePointer<CChar>?]) -> Result
) -> Result {
    let copies = strings.map { strdup($0) }
    defer { for copy in copies { free(copy) } }
    return body(copies.map { UnsafePointer($0) })
}
