internal import CLibWebSockets
internal import CTransport
internal import Glibc

/// One request and its answer on a connection that (still) speaks HTTP.
final class HTTPExchange {
    var request: HTTPRequest
    let bodyBytes: Int
    /// Set on an upgrade that was admitted.
    var admission: Admission?
    /// The part of the answer's body that has not left yet.
    var response: HTTPResponse?
    var sentBytes = 0
    var closes = false
    /// Whether the answer waits for its time; nothing of it has left.
    var isHeld = false
    /// Whether its header has left.
    var hasBegun = true

    struct Admission {
        /// Sec-WebSocket-Key.
        var key: String
        var subprotocol: String?
        var tag: UInt8
        var socketClass: SocketClass
        var compression: CompressionAgreement?
    }

    init(request: HTTPRequest, bodyBytes: Int) {
        self.request = request
        self.bodyBytes = bodyBytes
    }
}

extension IOLoop {
    private static let chunkBytes = 16 * 1024

    /// The header of a request is complete: LWS_CALLBACK_HTTP.
    func requestArrived(_ id: ConnectionID, _ wsi: OpaquePointer) -> Int32 {
        let settings = listeners[Int(sockets[id].listener)].settings
        sockets[id].deadlineNs = 0
        sockets[id].hasAsked = true
        let reader = RequestReader(wsi: wsi)
        guard let head = AdmissionGate.head(of: reader, isUpgrade: false) else { return -1 }
        if let refusal = refusalForAll(id) { return refuse(wsi, refusal) }
        switch AdmissionGate.judge(head, bodyBytesMost: settings.bodyBytesMost) {
        case .refuse(let status, let message):
            handler?.turnedAway(.badRequest, on: self)
            return refuse(wsi, refusal(status, message))
        case .pass(let bodyBytes):
            let exchange = HTTPExchange(request: request(id, head, reader), bodyBytes: bodyBytes)
            exchange.closes = wantsClose(reader)
            sockets[id].exchange = exchange
            guard bodyBytes > 0 else { return answer(id, wsi, exchange) }
            exchange.request.body.reserveCapacity(bodyBytes)
            sockets[id].deadlineNs = nowNs + UInt64(settings.bodySeconds) * 1_000_000_000
            if reader.text(WSI_TOKEN_HTTP_EXPECT)?.lowercased() == "100-continue" {
                return send(Array("HTTP/1.1 100 Continue\r\n\r\n".utf8), wsi, LWS_WRITE_HTTP) ? 0 : -1
            }
            return 0
        }
    }

    /// A part of the body: LWS_CALLBACK_HTTP_BODY.
    func bodyArrived(_ id: ConnectionID, _ bytes: UnsafeRawBufferPointer) -> Int32 {
        guard let exchange = sockets[id].exchange, exchange.response == nil,
            exchange.request.body.count + bytes.count <= exchange.bodyBytes
        else { return -1 }
        exchange.request.body.append(contentsOf: bytes)
        return 0
    }

    /// The body is complete: LWS_CALLBACK_HTTP_BODY_COMPLETION.
    func bodyCompleted(_ id: ConnectionID, _ wsi: OpaquePointer) -> Int32 {
        guard let exchange = sockets[id].exchange, exchange.response == nil else { return -1 }
        sockets[id].deadlineNs = 0
        return answer(id, wsi, exchange)
    }

    /// Room for more of the answer: LWS_CALLBACK_HTTP_WRITEABLE.
    func answerWritable(_ id: ConnectionID, _ wsi: OpaquePointer) -> Int32 {
        guard let exchange = sockets[id].exchange, let response = exchange.response, !exchange.isHeld else { return 0 }
        guard exchange.hasBegun else { return begin(response, id, wsi, exchange) }
        let start = exchange.sentBytes
        let end = min(start + IOLoop.chunkBytes, response.body.count)
        let isLast = end == response.body.count
        let isSent = response.body.withUnsafeBytes { body in
            write(
                UnsafeRawBufferPointer(rebasing: body[start..<end]),
                wsi,
                isLast ? LWS_WRITE_HTTP_FINAL : LWS_WRITE_HTTP
            )
        }
        guard isSent else { return -1 }
        exchange.sentBytes = end
        return isLast ? complete(id, wsi, exchange) : continueLater(id, wsi)
    }

    /// An upgrade is asked for: LWS_CALLBACK_HTTP_CONFIRM_UPGRADE.
    ///
    /// Never lets libwebsockets do it: what is admitted is taken from it, what is refused gets its status here.
    func upgradeAsked(_ id: ConnectionID, _ wsi: OpaquePointer) -> Int32 {
        sockets[id].deadlineNs = 0
        sockets[id].hasAsked = true
        let reader = RequestReader(wsi: wsi)
        // libwebsockets answers an unknown kind of upgrade itself, drops the header, and asks nevertheless.
        guard let head = AdmissionGate.head(of: reader, isUpgrade: true) else { return -1 }
        if let refusal = refusalForAll(id) { return refuse(wsi, refusal) }
        if case .refuse(let status, let message) = AdmissionGate.judge(head, bodyBytesMost: 0) {
            handler?.turnedAway(.badRequest, on: self)
            var refusal = refusal(status, message)
            if status == 426 { refusal.headers += [("upgrade", "websocket"), ("sec-websocket-version", "13")] }
            return refuse(wsi, refusal)
        }
        let exchange = HTTPExchange(request: request(id, head, reader), bodyBytes: 0)
        guard let handler else { return -1 }
        switch handler.admit(exchange.request, on: self) {
        case .refuse(let response): return refuse(wsi, response)
        case .accept(let subprotocol, let tag, let socketClass):
            precondition(
                subprotocol.map(exchange.request.offeredSubprotocols.contains) ?? true,
                "a subprotocol of its own"
            )
            exchange.admission = HTTPExchange.Admission(
                key: head.webSocketKey ?? "",
                subprotocol: subprotocol,
                tag: tag,
                socketClass: socketClass,
                // Of several headers it is not known where one ends.
                compression: socketClass.compresses && !reader.isRepeated(WSI_TOKEN_EXTENSIONS)
                    ? reader.text(WSI_TOKEN_EXTENSIONS).flatMap(CompressionAgreement.meeting) : nil
            )
            guard takeOver(id, wsi, exchange) else { return refuse(wsi, refusal(503, "too many connections")) }
            sockets[id].exchange = exchange
            return -1
        }
    }

    private func request(_ id: ConnectionID, _ head: AdmissionGate.Head, _ reader: RequestReader) -> HTTPRequest {
        let settings = listeners[Int(sockets[id].listener)].settings
        return HTTPRequest(
            method: head.method,
            path: head.path,
            query: reader.query,
            headers: reader.headers,
            peerAddress: sockets[id].peerAddress,
            listenerTag: settings.tag,
            isTLS: settings.tls != nil
        )
    }

    /// What everybody hears who comes while the loop is full or ends.
    private func refusalForAll(_ id: ConnectionID) -> HTTPResponse? {
        guard takesRequests else { return refusal(503, "the server is stopping") }
        guard sockets[id].isSurplus else { return nil }
        handler?.turnedAway(.tooManyConnections, on: self)
        var full = refusal(503, "too many connections")
        full.headers += [("retry-after", "5")]
        return full
    }

    private func refusal(_ status: Int, _ detail: String) -> HTTPResponse {
        handler?.refusal(status, detail, on: self) ?? HTTPResponse(status: status, text: detail + "\n")
    }

    private func wantsClose(_ reader: RequestReader) -> Bool {
        let said = (reader.text(WSI_TOKEN_CONNECTION) ?? "").lowercased()
        // As libwebsockets decides: it closes after the answer whatever we say.
        let isModern = (reader.text(WSI_TOKEN_HTTP) ?? "").hasSuffix("1.1")
        return said == "close" || !isModern && said != "keep-alive"
    }

    private func answer(_ id: ConnectionID, _ wsi: OpaquePointer, _ exchange: HTTPExchange) -> Int32 {
        guard let handler else { return -1 }
        let response = handler.respond(to: exchange.request, on: self)
        if response.closes { exchange.closes = true }
        guard response.delayNs > 0 else { return begin(response, id, wsi, exchange) }
        hold(response, id, exchange)
        return 0
    }

    /// Keeps an answer back; a connection that is gone by then needs none.
    private func hold(_ response: HTTPResponse, _ id: ConnectionID, _ exchange: HTTPExchange) {
        let delay = min(response.delayNs, 30_000_000_000)
        exchange.response = response
        exchange.isHeld = true
        exchange.hasBegun = false
        sockets[id].deadlineNs = nowNs + delay + 10_000_000_000
        after(delay) { [weak self] in
            guard let self, sockets.contains(id), sockets[id].exchange === exchange, let wsi = sockets[id].wsi
            else { return }
            exchange.isHeld = false
            sockets[id].deadlineNs = 0
            lws_callback_on_writable(wsi)
        }
    }

    private func begin(
        _ response: HTTPResponse,
        _ id: ConnectionID,
        _ wsi: OpaquePointer,
        _ exchange: HTTPExchange
    ) -> Int32 {
        exchange.hasBegun = true
        if !isServing { exchange.closes = true }
        var start = response.head(date: dateText(), closing: exchange.closes)
        let hasBody = exchange.request.method != .head && response.status != 304 && response.status != 204
        let count = hasBody ? response.body.count : 0
        // Header and the beginning of the body in one write.
        let first = min(count, IOLoop.chunkBytes)
        start.append(contentsOf: response.body[..<first])
        guard send(start, wsi, first == count ? LWS_WRITE_HTTP_FINAL : LWS_WRITE_HTTP) else { return -1 }
        exchange.response = response
        exchange.sentBytes = first
        return first == count ? complete(id, wsi, exchange) : continueLater(id, wsi)
    }

    private func continueLater(_ id: ConnectionID, _ wsi: OpaquePointer) -> Int32 {
        let settings = listeners[Int(sockets[id].listener)].settings
        lws_set_timeout(wsi, PENDING_TIMEOUT_HTTP_CONTENT, Int32(settings.bodySeconds))
        lws_callback_on_writable(wsi)
        return 0
    }

    private func complete(_ id: ConnectionID, _ wsi: OpaquePointer, _ exchange: HTTPExchange) -> Int32 {
        sockets[id].exchange = nil
        if exchange.closes { return -1 }
        return lws_http_transaction_completed(wsi) != 0 ? -1 : 0
    }

    /// Answers and closes; header and body in one write.
    private func refuse(_ wsi: OpaquePointer, _ response: HTTPResponse) -> Int32 {
        _ = send(response.head(date: dateText(), closing: true) + response.body, wsi, LWS_WRITE_HTTP_FINAL)
        return -1
    }

    private func send(_ bytes: [UInt8], _ wsi: OpaquePointer, _ kind: lws_write_protocol) -> Bool {
        bytes.withUnsafeBytes { write($0, wsi, kind) }
    }

    /// Writes without framing; libwebsockets changes none of these bytes.
    private func write(_ bytes: UnsafeRawBufferPointer, _ wsi: OpaquePointer, _ kind: lws_write_protocol) -> Bool {
        guard let start = bytes.bindMemory(to: UInt8.self).baseAddress else { return true }
        return lws_write(wsi, UnsafeMutablePointer(mutating: start), bytes.count, kind) >= 0
    }

    private func dateText() -> String {
        let second = nowNs / 1_000_000_000
        if second != date.second {
            date.second = second
            date.text = withUnsafeTemporaryAllocation(of: CChar.self, capacity: 32) { room in
                guard let start = room.baseAddress else { return "" }
                ct_http_date(start)
                return String(cString: start)
            }
        }
        return date.text
    }
}
