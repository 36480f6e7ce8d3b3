internal import CLibUV
internal import CLibWebSockets
internal import CTransport
internal import Glibc

/// WebSockets from the moment of their 101 on: taken from libwebsockets, watched in an epoll set of the loop's own, read and ended.
extension IOLoop {
    /// Bytes read from one connection in one turn, a record of TLS; what is left makes it ready again when others had their turn.
    static let readBytesMost = 16 * 1024

    // MARK: The beginning

    /// Takes an admitted upgrade out of libwebsockets, which is to hang up on what it is left with.
    ///
    /// The connection goes on when that has happened: ``goOn(_:)``.
    /// - Returns: false when the process has no descriptor left for it.
    func takeOver(_ id: ConnectionID, _ wsi: OpaquePointer, _ exchange: HTTPExchange) -> Bool {
        guard let admission = exchange.admission else { return false }
        let descriptor = ct_take_descriptor(lws_get_socket_fd(wsi), uv_backend_fd(uv))
        guard descriptor >= 0 else { return false }
        sockets[id].wsi = nil
        sockets[id].role = .webSocket
        sockets[id].peer = WebSocketPeer(
            descriptor: descriptor,
            tls: ct_tls_take(UnsafeMutableRawPointer(wsi)),
            reader: WebSocketFrameReader(
                from: .client,
                messageBytesMost: admission.socketClass.messageBytesMost,
                inflater: admission.compression == nil ? nil : inflater
            )
        )
        sockets[id].deflateWindowBits = UInt8(admission.compression?.windowBits ?? 0)
        return true
    }

    /// libwebsockets has let go of a connection that was taken from it.
    func goOn(_ id: ConnectionID) {
        guard let peer = sockets[id].peer, let exchange = sockets[id].exchange, let admission = exchange.admission
        else { return }
        // The loop has ended meanwhile: nobody was told of it, and nobody is.
        if case .ended = phase { return finish(id) }
        peer.resumeTLS()
        ct_bound_send_queue(
            peer.descriptor,
            Int32(admission.socketClass.sendBufferBytes),
            Int32(admission.socketClass.notSentLowWaterBytes)
        )
        sockets[id].phase = .open
        sockets[id].tag = admission.tag
        sockets[id].deadlineNs = 0
        let answer = WebSocketUpgrade.answer(
            key: admission.key,
            subprotocol: admission.subprotocol,
            extensions: admission.compression?.answer
        )
        guard peer.watch(by: epollSet, as: id), answer.withUnsafeBytes({ peer.write($0) }) == .sent else {
            return finish(id)
        }
        sockets[id].exchange = nil
        handler?.opened(id, tag: admission.tag, request: exchange.request, on: self)
        if !isServing { sayGoodbye(id) }
    }

    // MARK: Events

    /// The epoll set has somebody who is ready.
    func serveEstablished() {
        withUnsafeTemporaryAllocation(of: ct_ready.self, capacity: Int(CT_READY_MOST)) { ready in
            let count = Int(ct_epoll_ready(epollSet, ready.baseAddress, Int32(ready.count)))
            for event in ready[..<count] {
                guard let id = ConnectionID(packed: UnsafeMutableRawPointer(bitPattern: UInt(event.id))) else {
                    continue
                }
                if event.events & CT_WRITABLE.rawValue != 0 { flush(id) }
                if event.events & CT_READABLE.rawValue != 0 { read(id) }
            }
        }
    }

    private func flush(_ id: ConnectionID) {
        guard sockets.contains(id), let peer = sockets[id].peer else { return }
        switch peer.flush() {
        case .failed: return finish(id)
        case .waits: return
        case .sent: break
        }
        peer.watchForRoom(by: epollSet, as: id)
        switch sockets[id].phase {
        case .open:
            sockets[id].isBlocked = false
            handler?.writable(id, on: self)
        case .closing: requestClose(id)
        case .gone: saidGoodbye(id, peer)
        case .young: break
        }
    }

    private func read(_ id: ConnectionID) {
        guard sockets.contains(id), let peer = sockets[id].peer else { return }
        let got = peer.receive(into: readRoom)
        guard got != 0 else { return }
        guard got > 0 else { return finish(id) }
        guard !peer.isDiscarding else { return }
        let bytes = UnsafeRawBufferPointer(rebasing: readRoom[..<got])
        do throws(WebSocketFault) {
            try peer.reader.read(bytes) { message, payload in take(message, payload, from: id, peer) }
            sendPongs(id, peer)
        } catch {
            sendPongs(id, peer)
            peer.isDiscarding = true
            guard sockets.contains(id), sockets[id].phase == .open else { return }
            close(id, code: error.code, reason: error.reason)
        }
    }

    /// One message of a client.
    /// - Returns: whether the next one is wanted.
    private func take(
        _ message: WebSocketFrameReader.Message,
        _ payload: UnsafeRawBufferPointer,
        from id: ConnectionID,
        _ peer: WebSocketPeer
    ) -> Bool {
        if case .ping = message {
            if sockets[id].phase == .open { pongs += WebSocketFrame.bytes(.pong, payload) }
            return true
        }
        sendPongs(id, peer)
        if case .close(let code, _) = message {
            peer.isDiscarding = true
            switch sockets[id].phase {
            case .open: close(id, code: code)
            case .gone where !peer.isWaiting: finish(id)
            case .young, .closing, .gone: break
            }
            return false
        }
        guard sockets[id].phase == .open else { return true }
        switch message {
        case .text: handler?.received(payload, isText: true, from: id, on: self)
        case .binary: handler?.received(payload, isText: false, from: id, on: self)
        case .pong: handler?.ponged(payload, from: id, on: self)
        case .ping, .close: break
        }
        return true
    }

    /// Answers pings that came one after the other by one write: a client that sends nothing else must not cost one each.
    private func sendPongs(_ id: ConnectionID, _ peer: WebSocketPeer) {
        guard !pongs.isEmpty else { return }
        defer { pongs.removeAll(keepingCapacity: true) }
        guard sockets.contains(id), sockets[id].phase == .open else { return }
        conclude(peer.pong(pongs), id, peer)
    }

    // MARK: Writing

    /// As far back as what is deflated for a connection may refer, as a power of two; nil where nothing may be deflated.
    public func deflateWindowBits(of connection: ConnectionID) -> Int? {
        guard sockets.contains(connection), sockets[connection].deflateWindowBits > 0 else { return nil }
        return Int(sockets[connection].deflateWindowBits)
    }

    func write(_ bytes: UnsafeRawBufferPointer, to id: ConnectionID, of peer: WebSocketPeer) -> WriteResult {
        let outcome = peer.write(bytes)
        conclude(outcome, id, peer)
        return switch outcome {
        case .sent: .sent
        case .waits: .blocked
        case .failed: .gone
        }
    }

    private func conclude(_ outcome: WebSocketPeer.Outcome, _ id: ConnectionID, _ peer: WebSocketPeer) {
        switch outcome {
        case .sent: break
        case .waits:
            sockets[id].isBlocked = true
            peer.watchForRoom(by: epollSet, as: id)
        case .failed: abort(id)
        }
    }

    // MARK: The end

    /// The turn's callbacks are done: says goodbye, or hangs up.
    func workOffCloseRequest(of id: ConnectionID, _ peer: WebSocketPeer) {
        if sockets[id].isAborting {
            ct_reset_on_close(peer.descriptor)
            return finish(id)
        }
        // With a remainder the goodbye would come inside a frame: `flush` asks again.
        guard case .closing(let code) = sockets[id].phase, !peer.isWaiting else { return }
        sockets[id].phase = .gone
        sockets[id].deadlineNs = nowNs + 5_000_000_000  // for the peer's own close frame
        let payload = code == 1005 ? [] : [UInt8(code >> 8), UInt8(code & 0xff)] + sockets[id].closeReason
        switch WebSocketFrame.bytes(.close, payload).withUnsafeBytes({ peer.write($0) }) {
        case .sent: saidGoodbye(id, peer)
        case .waits: peer.watchForRoom(by: epollSet, as: id)
        case .failed: finish(id)
        }
    }

    /// Our close frame has left.
    private func saidGoodbye(_ id: ConnectionID, _ peer: WebSocketPeer) {
        guard peer.isDiscarding else { return }
        // Closing now would send a reset after the frame, because not everything was read, and the peer might never see it.
        peer.endWriting()
        sockets[id].deadlineNs = nowNs + 2_000_000_000
    }

    /// Gives back what an established connection has; the last that is heard of it.
    func finish(_ id: ConnectionID) {
        guard let peer = sockets[id].peer else { return }
        peer.end()
        let (code, wasOpened) = (sockets[id].closeCode, sockets[id].exchange == nil)
        sockets.remove(id)
        publishCount()
        if wasOpened { handler?.closed(id, code: code == 0 ? 1006 : code, on: self) }
        endIfEmpty()
    }
}
