internal import CLibWebSockets
internal import CTransport

/// What libwebsockets calls for everything that happens on any connection: finds the loop and tells it.
func answerLibWebSockets(
    _ wsi: OpaquePointer?,
    _ reason: lws_callback_reasons,
    _ user: UnsafeMutableRawPointer?,
    _ input: UnsafeMutableRawPointer?,
    _ length: Int
) -> Int32 {
    if reason == LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS {
        ct_prepare_server_tls(user)
        return 0
    }
    // libwebsockets leaves the verdict on a client's certificate to this answer: 0 would take any.
    if reason == LWS_CALLBACK_OPENSSL_PERFORM_CLIENT_CERT_VERIFICATION { return length == 1 ? 0 : 1 }
    guard let wsi, let id = ConnectionID(packed: lws_get_opaque_user_data(wsi)),
        let context = lws_get_context(wsi), let owner = lws_context_user(context),
        let loop = Unmanaged<IOLoop.Owner>.fromOpaque(owner).takeUnretainedValue().loop, loop.sockets.contains(id)
    else { return 0 }
    let bytes = UnsafeRawBufferPointer(start: input, count: input == nil ? 0 : length)
    return loop.answer(reason, id, wsi, bytes, input)
}

extension IOLoop {
    fileprivate func answer(
        _ reason: lws_callback_reasons,
        _ id: ConnectionID,
        _ wsi: OpaquePointer,
        _ bytes: UnsafeRawBufferPointer,
        _ input: UnsafeMutableRawPointer?
    ) -> Int32 {
        switch reason {
        case LWS_CALLBACK_RAW_WRITEABLE:
            drained(id, wsi)
            return 0
        case LWS_CALLBACK_RAW_RX: return rawArrived(id, bytes)
        case LWS_CALLBACK_SERVER_NEW_CLIENT_INSTANTIATED:
            sockets[id].wsi = wsi
            return 0
        case LWS_CALLBACK_RAW_ADOPT:
            sockets[id].wsi = wsi
            return rawAdopted(id)
        case LWS_CALLBACK_HTTP: return requestArrived(id, wsi)
        case LWS_CALLBACK_HTTP_BODY: return bodyArrived(id, bytes)
        case LWS_CALLBACK_HTTP_BODY_COMPLETION: return bodyCompleted(id, wsi)
        case LWS_CALLBACK_HTTP_WRITEABLE: return answerWritable(id, wsi)
        case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE: return upgradeAsked(id, wsi)
        case LWS_CALLBACK_WSI_DESTROY:
            destroyed(id)
            return 0
        default: return answerForClient(reason, id, wsi, bytes, input)
        }
    }

    private func answerForClient(
        _ reason: lws_callback_reasons,
        _ id: ConnectionID,
        _ wsi: OpaquePointer,
        _ bytes: UnsafeRawBufferPointer,
        _ input: UnsafeMutableRawPointer?
    ) -> Int32 {
        guard let client = sockets[id].client else { return 0 }
        switch reason {
        case LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER: return appendHeaders(client.headers, input, bytes.count)
        case LWS_CALLBACK_ESTABLISHED_CLIENT_HTTP:
            sockets[id].wsi = wsi
            return client.answered(id, wsi, on: self)
        case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
            connectFailed(id, String(decoding: bytes, as: UTF8.self))
            return 0
        case LWS_CALLBACK_RECEIVE_CLIENT_HTTP: return readBody(wsi, for: client)
        case LWS_CALLBACK_RECEIVE_CLIENT_HTTP_READ: return client.bodyArrived(bytes)
        case LWS_CALLBACK_COMPLETED_CLIENT_HTTP:
            client.bodyCompleted()
            return -1  // one request a connection
        default: return 0
        }
    }

    /// `input` points to the place where the next header goes; `room` bytes are left there.
    private func appendHeaders(
        _ headers: [(name: String, value: String)],
        _ input: UnsafeMutableRawPointer?,
        _ room: Int
    ) -> Int32 {
        guard let place = input?.assumingMemoryBound(to: UnsafeMutablePointer<UInt8>.self) else { return -1 }
        let text = headers.map { "\($0.name): \($0.value)\r\n" }.joined()
        guard text.utf8.count < room else { return -1 }
        for byte in text.utf8 {
            place.pointee.pointee = byte
            place.pointee += 1
        }
        return 0
    }

    /// Has libwebsockets take the body's framing off; it calls back with the bytes.
    private func readBody(_ wsi: OpaquePointer, for client: ClientConnection) -> Int32 {
        let room = ct_lws_pre()
        return withUnsafeTemporaryAllocation(of: CChar.self, capacity: room + 16 * 1024) { buffer in
            guard let base = buffer.baseAddress else { return -1 }
            var start: UnsafeMutablePointer<CChar>? = base + room
            var count = Int32(buffer.count - room)
            let result = lws_http_client_read(wsi, &start, &count)
            if start == base + room { client.bodyStopped() }
            return result < 0 ? -1 : 0
        }
    }
}
