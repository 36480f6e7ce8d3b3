internal import CLibWebSockets
internal import CTransport
internal import Glibc

/// Connections of clients to us, WebSocket and raw alike: writing to them and ending them.
extension IOLoop {
    // MARK: Writing

    /// Writes bytes that are framed already, without a copy when the kernel takes them.
    ///
    /// Give whole frames: pings and pongs go in between writes. What the kernel does not take waits, and the result is
    /// ``WriteResult/blocked``.
    public func write(_ bytes: UnsafeRawBufferPointer, to connection: ConnectionID) -> WriteResult {
        switch sockets.writing(to: connection) {
        case .gone: return .gone
        case .blocked: return .refused
        case .peer(let peer): return write(bytes, to: connection, of: peer)
        case .raw: break
        }
        guard let wsi = sockets[connection].wsi else { return .gone }
        guard let start = bytes.bindMemory(to: UInt8.self).baseAddress else { return .sent }
        let result = lws_write(wsi, UnsafeMutablePointer(mutating: start), bytes.count, LWS_WRITE_HTTP)
        if result < 0 {
            abort(connection)
            return .gone
        }
        guard lws_partial_buffered(wsi) != 0 else { return .sent }
        sockets[connection].isBlocked = true
        // It would be asked to read again and again while it cannot write.
        lws_rx_flow_control(wsi, 0)
        return .blocked
    }

    /// Whether the remainder of a write still waits; true also for a connection that is gone.
    public func isBlocked(_ connection: ConnectionID) -> Bool {
        guard sockets.contains(connection), sockets[connection].phase == .open else { return true }
        return sockets[connection].isBlocked
    }

    /// Sends a ping; its payload of at most 125 bytes comes back in ``IOLoopHandler/ponged(_:from:on:)``.
    public func ping(_ connection: ConnectionID, payload: some Collection<UInt8>) -> WriteResult {
        WebSocketFrame.bytes(.ping, payload).withUnsafeBytes { write($0, to: connection) }
    }

    // MARK: Ending

    /// Closes with a code and a reason (at most 123 bytes of it are sent), after the callbacks of this turn.
    ///
    /// A blocked connection is closed when its remainder is gone, or ended without a word after two seconds. Nothing
    /// more is heard from it. On a raw connection code and reason mean nothing.
    public func close(_ connection: ConnectionID, code: UInt16, reason: String = "") {
        guard sockets.contains(connection), sockets[connection].phase == .open else { return }
        sockets[connection].phase = .closing(code: code)
        sockets[connection].closeCode = code
        sockets[connection].closeReason = Array(reason.utf8.prefix(123))
        sockets[connection].deadlineNs = nowNs + 2_000_000_000
        requestClose(connection)
    }

    /// Ends the connection at once and forgets what was to be sent (SO_LINGER 0: the peer gets a reset).
    public func abort(_ connection: ConnectionID) {
        guard sockets.contains(connection), !sockets[connection].isAborting else { return }
        sockets[connection].isAborting = true
        if sockets[connection].phase != .young { sockets[connection].phase = .gone }
        requestClose(connection)
    }

    func requestClose(_ id: ConnectionID) {
        // A timer of libuv runs before the wait for events; the end of the turn would come after it.
        if closeRequests.isEmpty { wake() }
        closeRequests.append(id)
    }

    /// In uv_check, outside all callbacks: `return -1` from a callback would send no close frame.
    func workOffCloseRequests() {
        guard !closeRequests.isEmpty else { return }
        let requests = closeRequests
        closeRequests.removeAll(keepingCapacity: true)
        for id in requests where sockets.contains(id) {
            if let peer = sockets[id].peer {
                workOffCloseRequest(of: id, peer)
                continue
            }
            guard let wsi = sockets[id].wsi else { continue }
            if sockets[id].isAborting {
                ct_reset_on_close(lws_get_socket_fd(wsi))
                // Not the synchronous kill: that would first try to flush.
                lws_set_timeout(wsi, PENDING_TIMEOUT_USER_REASON_BASE, Int32(LWS_TO_KILL_ASYNC))
            } else if case .closing = sockets[id].phase {
                // What waits goes first: wait for `drained`.
                if lws_partial_buffered(wsi) != 0 { continue }
                sockets[id].phase = .gone
                sockets[id].deadlineNs = nowNs + 5_000_000_000
                lws_set_timeout(wsi, PENDING_TIMEOUT_USER_REASON_BASE, Int32(LWS_TO_KILL_SYNC))
            }
        }
    }

    /// The time of a connection is over, whatever it was given for.
    func expire(_ id: ConnectionID) {
        if let client = sockets[id].client { client.failure = client.failure ?? .timedOut }
        if sockets[id].role == .http, !sockets[id].hasAsked {
            sockets[id].hasAsked = true
            handler?.turnedAway(.slowHeader, on: self)
        }
        if sockets[id].phase == .gone, sockets[id].peer != nil {
            finish(id)
        } else if sockets[id].phase == .gone, let wsi = sockets[id].wsi {
            // Our close frame may still lie in the peer's queue: no reset.
            lws_set_timeout(wsi, PENDING_TIMEOUT_USER_REASON_BASE, Int32(LWS_TO_KILL_ASYNC))
        } else {
            abort(id)
        }
    }

    /// The loop ends.
    func sayGoodbye(_ id: ConnectionID) {
        switch (sockets[id].role, sockets[id].phase) {
        case (.webSocket, .open): close(id, code: 1001, reason: "going away")
        case (.raw, .open): close(id, code: 1001)
        // It is saying goodbye already, and what was sent before that must arrive.
        case (.webSocket, .closing), (.webSocket, .gone): break
        case (.http, .young) where sockets[id].exchange != nil: break  // its answer says close
        default: abort(id)
        }
    }

    // MARK: Called back by libwebsockets

    /// libwebsockets has room again; nothing may have been waiting.
    func drained(_ id: ConnectionID, _ wsi: OpaquePointer) {
        guard lws_partial_buffered(wsi) == 0 else { return }
        if case .closing = sockets[id].phase {
            requestClose(id)
            return
        }
        guard sockets[id].isBlocked else { return }
        sockets[id].isBlocked = false
        lws_rx_flow_control(wsi, 1)
        guard sockets[id].phase == .open else { return }
        handler?.writable(id, on: self)
    }

    /// The last that is heard of a connection of libwebsockets: LWS_CALLBACK_WSI_DESTROY.
    func destroyed(_ id: ConnectionID) {
        if sockets[id].peer != nil { return goOn(id) }
        let socket = sockets[id]
        sockets.remove(id)
        publishCount()
        switch socket.role {
        case .raw where socket.wsi != nil: handler?.closed(id, on: self)
        case .httpClient: socket.client?.ended(id, on: self)
        case .http where !socket.hasAsked:
            // libwebsockets has a timer of its own for the header, which may fire just before ours.
            let isLate = socket.deadlineNs != 0 && nowNs + 200_000_000 >= socket.deadlineNs
            handler?.turnedAway(isLate ? .slowHeader : .noRequest, on: self)
        case .http, .raw, .webSocket: break
        }
        endIfEmpty()
    }
}
