internal import CLibUV
internal import CLibWebSockets
internal import CTransport
internal import Glibc

/// Where and how a loop listens.
///
/// Every loop opens its own socket on the same port and the kernel spreads the connections over them.
public struct ListenerSettings: Sendable {
    /// What is spoken on accepted connections.
    public enum Kind: Sendable {
        case http
        case rawTCP
    }

    /// A numeric address, or `localhost` for 127.0.0.1.
    public var host: String
    /// Zero lets the kernel choose; ``IOLoop/listen(_:)`` returns the port that it became.
    public var port: UInt16
    /// The owner's own mark, handed back with every request and connection.
    public var tag: UInt8
    public var kind: Kind
    public var tls: TLSSettings?
    /// From accepting a connection to the end of its first request header, a TLS handshake included.
    public var headerTimeoutSeconds = 5
    /// How long a connection may rest between two requests.
    public var keepAliveSeconds = 15
    /// How long a client may take for the whole body of a request, and for each 16 KB of an answer.
    public var bodySeconds = 10
    public var bodyBytesMost = 64 * 1024
    /// A socket that listens already and becomes the loop's own, as after a hot restart.
    public var adoptDescriptor: Int32?

    public init(host: String, port: UInt16, tag: UInt8 = 0, kind: Kind = .http, tls: TLSSettings? = nil) {
        self.host = host
        self.port = port
        self.tag = tag
        self.kind = kind
        self.tls = tls
    }
}

/// The certificate chain and key of a listener, both PEM files.
///
/// TLS 1.2 and 1.3, HTTP/1.1 only (frames written raw would bypass the framing of HTTP/2). Session tickets are sealed
/// under keys that all loops of the process share and that change every hour.
public struct TLSSettings: Sendable, Equatable {
    public var certificatePath: String
    public var keyPath: String
    /// The authority's word on the certificate, an OCSP response in DER, shown to clients that ask for it until it expires.
    public var ocspResponsePath: String?
    /// A PEM file of the authorities of which a client must have a certificate; nil asks for none.
    public var clientAuthoritiesPath: String?

    public init(
        certificatePath: String,
        keyPath: String,
        clientAuthoritiesPath: String? = nil,
        ocspResponsePath: String? = nil
    ) {
        self.certificatePath = certificatePath
        self.keyPath = keyPath
        self.ocspResponsePath = ocspResponsePath
        self.clientAuthoritiesPath = clientAuthoritiesPath
    }
}

/// A listening socket of one loop, with the libwebsockets vhost that its connections join.
struct Listener {
    let settings: ListenerSettings
    let descriptor: Int32
    let vhost: OpaquePointer
    let watcher: UnsafeMutablePointer<uv_poll_t>
    /// Of a TLS listener: its SSL_CTX, and what ``ct_staple()`` made for it.
    let tlsContext: UnsafeMutableRawPointer?
    let staple: UnsafeMutableRawPointer?
}

/// What became of reading a listener's certificate anew.
public struct CertificateReading: Sendable {
    public enum Outcome: Sendable, Equatable {
        case taken
        /// The certificate is taken, and its authority's word has expired.
        case takenWithoutStaple
        /// The old one goes on.
        case refused(String)
    }

    public var certificatePath: String
    public var outcome: Outcome
}

extension IOLoop {
    /// Starts listening; call before ``run()`` or on the loop's thread.
    /// - Returns: the port, which is the kernel's choice where the settings say zero.
    /// - Throws: ``TransportError``; nothing is left open.
    @discardableResult
    public func listen(_ settings: ListenerSettings) throws(TransportError) -> UInt16 {
        let descriptor = try openSocket(settings)
        guard let vhost = makeServerVhost(settings) else {
            _ = Glibc.close(descriptor)
            if let tls = settings.tls {
                throw .certificate(path: tls.certificatePath, keyPath: tls.keyPath, message: lastLogLine())
            }
            throw .context(message: lastLogLine())
        }
        var (tlsContext, staple): (UnsafeMutableRawPointer?, UnsafeMutableRawPointer?)
        if let tls = settings.tls {
            (tlsContext, staple) = (ct_prepared_server_tls(), ct_staple())
            if case .refused(let message) = use(tls, tlsContext, staple) {
                ct_staple_free(staple)
                _ = Glibc.close(descriptor)
                throw .certificate(path: tls.certificatePath, keyPath: tls.keyPath, message: message)
            }
        }
        let watcher = addHandle(uv_poll_t.self) { uv_poll_init(uv, $0, descriptor) }
        uv_poll_start(watcher, Int32(UV_READABLE.rawValue)) { watcher, _, _ in
            guard let watcher else { return }
            IOLoop.owner(watcher.pointee.data).accept(from: watcher)
        }
        listeners.append(
            Listener(
                settings: settings,
                descriptor: descriptor,
                vhost: vhost,
                watcher: watcher,
                tlsContext: tlsContext,
                staple: staple
            )
        )
        return ct_bound_port(descriptor)
    }

    /// The sockets that listen under a tag, for a successor; not while the loop runs, but for a loop that stands still.
    public func listening(tag: UInt8) -> [Int32] {
        listeners.filter { $0.settings.tag == tag }.map(\.descriptor)
    }

    private func use(
        _ tls: TLSSettings,
        _ context: UnsafeMutableRawPointer?,
        _ staple: UnsafeMutableRawPointer?
    ) -> CertificateReading.Outcome {
        var problem = [CChar](repeating: 0, count: 256)
        switch ct_certificate_use(
            context,
            tls.certificatePath,
            tls.keyPath,
            tls.ocspResponsePath,
            staple,
            &problem
        ) {
        case 1: return .taken
        case 2: return .takenWithoutStaple
        default:
            return .refused(
                String(decoding: problem.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
            )
        }
    }

    /// Reads every listener's certificate anew; connections that are there keep theirs.
    func readCertificates() {
        for listener in listeners {
            guard let tls = listener.settings.tls else { continue }
            let outcome = use(tls, listener.tlsContext, listener.staple)
            let reading = CertificateReading(certificatePath: tls.certificatePath, outcome: outcome)
            handler?.readCertificate(reading, on: self)
        }
    }

    private func openSocket(_ settings: ListenerSettings) throws(TransportError) -> Int32 {
        if let descriptor = settings.adoptDescriptor { return descriptor }
        let descriptor = ct_listen(settings.host, settings.port, 4096)
        if descriptor >= 0 { return descriptor }
        switch -descriptor {
        case EADDRINUSE: throw .portBusy(host: settings.host, port: settings.port)
        case EADDRNOTAVAIL: throw .address(host: settings.host)
        default: throw .system(operation: "listen on \(settings.host):\(settings.port)", code: -descriptor)
        }
    }

    private func makeServerVhost(_ settings: ListenerSettings) -> OpaquePointer? {
        var info = lws_context_creation_info()
        info.port = -2  // no listening socket of libwebsockets' own (CONTEXT_PORT_NO_LISTEN_SERVER)
        info.protocols = keepProtocols([IOLoop.plainProtocol], receiveBytes: 4096)
        info.vhost_name = keep("listener \(listeners.count)")
        info.options = UInt64(LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS)
        info.keepalive_timeout = Int32(settings.keepAliveSeconds)
        info.timeout_secs_ah_idle = UInt32(settings.headerTimeoutSeconds)
        if let tls = settings.tls {
            info.options |= UInt64(LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT)
            info.ssl_cert_filepath = keep(tls.certificatePath)
            info.ssl_private_key_filepath = keep(tls.keyPath)
            if settings.kind == .http { info.alpn = keep("http/1.1") }
            if let authorities = tls.clientAuthoritiesPath {
                info.ssl_ca_filepath = keep(authorities)
                info.options |= ct_lws_wants_client_certificate()
            }
        }
        ct_forget_log_line()
        return lws_create_vhost(context, &info)
    }

    /// Takes at most 64 connections a turn; the socket is level triggered, the rest comes with the next turn.
    private func accept(from watcher: UnsafeMutablePointer<uv_poll_t>) {
        guard let index = listeners.firstIndex(where: { $0.watcher == watcher }) else { return }
        let listener = listeners[index]
        for _ in 0..<64 {
            let (descriptor, peer) = withUnsafeTemporaryAllocation(of: CChar.self, capacity: 64) { text in
                let descriptor = ct_accept(listener.descriptor, text.baseAddress, text.count)
                guard descriptor >= 0, let start = text.baseAddress else { return (descriptor, "") }
                return (descriptor, String(cString: start))
            }
            switch -descriptor {
            case ...0: adopt(descriptor, peer: peer, listener: index)
            case ECONNABORTED, EINTR: continue
            case EMFILE, ENFILE, ENOBUFS, ENOMEM:
                // Nothing to accept with: a watcher left on would spin. The next sweep tries again.
                uv_poll_stop(watcher)
                areListenersPaused = true
                return
            default: return
            }
        }
        updateTime()
    }

    func resumeListeners() {
        guard areListenersPaused, isServing else { return }
        areListenersPaused = false
        for listener in listeners {
            uv_poll_start(listener.watcher, Int32(UV_READABLE.rawValue)) { watcher, _, _ in
                guard let watcher else { return }
                IOLoop.owner(watcher.pointee.data).accept(from: watcher)
            }
        }
    }

    private func adopt(_ descriptor: Int32, peer: String, listener index: Int) {
        let listener = listeners[index]
        let isSurplus = sockets.acceptedCount >= connectionsMost
        if isSurplus, sockets.acceptedCount >= connectionsMost + IOLoop.surplusMost || listener.settings.kind == .rawTCP
        {
            refusedCount += 1
            handler?.turnedAway(.tooManyConnections, on: self)
            if listener.settings.kind == .rawTCP || listener.settings.tls != nil {
                ct_answer_and_close(descriptor, nil, 0)
            } else {
                IOLoop.full.withUnsafeBytes { ct_answer_and_close(descriptor, $0.baseAddress, $0.count) }
            }
            return
        }
        let id = sockets.add(
            role: listener.settings.kind == .http ? .http : .raw,
            peerAddress: peer,
            listener: UInt16(index)
        )
        publishCount()
        sockets[id].isSurplus = isSurplus
        sockets[id].deadlineNs = nowNs + UInt64(listener.settings.headerTimeoutSeconds) * 1_000_000_000
        var about = lws_adopt_desc_t()
        about.vh = listener.vhost
        about.fd.sockfd = descriptor
        about.opaque = id.packed
        var type = LWS_ADOPT_SOCKET.rawValue
        if listener.settings.tls != nil { type |= LWS_ADOPT_ALLOW_SSL.rawValue }
        if listener.settings.kind == .http {
            type |= LWS_ADOPT_HTTP.rawValue
        } else {
            about.vh_prot_name = keptPlainProtocol
        }
        about.type = lws_adoption_type(rawValue: type)
        // A failed adoption has closed the socket already, and told us if it had come so far.
        if lws_adopt_descriptor_vhost_via_info(&about) == nil, sockets.contains(id) { destroyed(id) }
    }

    /// What a client gets that is too many even for a polite refusal.
    private static let full = Array(
        "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 5\r\ncontent-length: 0\r\n\r\n".utf8
    )
}

/// Raises this process's descriptor limit to the hard limit.
/// - Returns: the limit now in force.
public func raiseDescriptorLimit() -> Int {
    max(0, ct_raise_descriptor_limit())
}
