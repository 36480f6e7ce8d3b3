internal import CLibWebSockets

/// Refuses every request that two readers could understand differently, before a byte of its body is read.
///
/// libwebsockets 4.1.6 lets them through: any WebSocket version, any key, a second length, a length beside a
/// Transfer-Encoding (the rest is then taken for a second request), a negative length (it waits for ever).
enum AdmissionGate {
    /// The parts of a request header that decide.
    struct Head {
        var method: HTTPRequest.Method
        var path: String
        var hosts: Int
        var hasTransferEncoding = false
        var contentLengths: [String] = []
        var upgrade: String?
        var connection: String?
        var webSocketVersion: String?
        var webSocketKey: String?
        var offeredSubprotocols: String?
    }

    enum Verdict: Equatable {
        /// Go on; so many bytes of body follow.
        case pass(bodyBytes: Int)
        /// Answer so, and close.
        case refuse(status: Int, message: String)
    }

    /// RFC 9112 sections 3.2 and 6.3, RFC 6455 section 4.2.1.
    static func judge(_ head: Head, bodyBytesMost: Int) -> Verdict {
        if !head.path.hasPrefix("/") { return .refuse(status: 400, message: "the path must begin with a slash") }
        if head.hosts != 1 { return .refuse(status: 400, message: "exactly one Host header is required") }
        if head.hasTransferEncoding {
            return .refuse(status: 411, message: "Transfer-Encoding is not accepted; send Content-Length")
        }
        if head.contentLengths.count > 1 { return .refuse(status: 400, message: "more than one Content-Length") }
        var length: Int?
        if let text = head.contentLengths.first {
            guard let number = decimal(text) else {
                return .refuse(status: 400, message: "Content-Length is not a number of bytes")
            }
            length = number
        }
        if head.upgrade != nil { return judgeUpgrade(head, length: length) }
        switch head.method {
        case .post, .put, .patch:
            guard let length else { return .refuse(status: 411, message: "Content-Length is required") }
            guard length <= bodyBytesMost else {
                return .refuse(status: 413, message: "the body may have at most \(bodyBytesMost) bytes")
            }
            return .pass(bodyBytes: length)
        case .get, .head, .delete, .options:
            guard length ?? 0 == 0 else { return .refuse(status: 400, message: "\(head.method.rawValue) has no body") }
            return .pass(bodyBytes: 0)
        }
    }

    private static func judgeUpgrade(_ head: Head, length: Int?) -> Verdict {
        guard head.upgrade?.lowercased() == "websocket", head.webSocketVersion == "13" else {
            return .refuse(status: 426, message: "only WebSocket version 13 is spoken here")
        }
        guard head.method == .get else { return .refuse(status: 405, message: "a WebSocket begins with GET") }
        guard length ?? 0 == 0 else { return .refuse(status: 400, message: "an upgrade has no body") }
        guard let key = head.webSocketKey, key.utf8.count == 24, key.hasSuffix("==") else {
            return .refuse(status: 400, message: "Sec-WebSocket-Key must be 16 bytes in base64")
        }
        // libwebsockets gives both lists 128 bytes and hangs up on longer ones without a word.
        let connection = head.connection ?? ""
        guard connection.utf8.count < 127,
            HTTPRequest.list(connection).contains(where: { $0.lowercased() == "upgrade" })
        else { return .refuse(status: 400, message: "Connection must say upgrade") }
        guard (head.offeredSubprotocols ?? "").utf8.count < 127 else {
            return .refuse(status: 400, message: "too many subprotocols")
        }
        return .pass(bodyBytes: 0)
    }

    private static func decimal(_ text: String) -> Int? {
        guard (1...9).contains(text.utf8.count), text.utf8.allSatisfy({ (48...57).contains($0) }) else { return nil }
        return Int(text)
    }

    /// The decisive parts of the header that libwebsockets has just read; nil when it is gone.
    static func head(of reader: RequestReader, isUpgrade: Bool) -> Head? {
        guard let (method, path) = reader.target else { return nil }
        var head = Head(method: method, path: path, hosts: 0)
        if reader.text(WSI_TOKEN_HOST) != nil { head.hosts = reader.isRepeated(WSI_TOKEN_HOST) ? 2 : 1 }
        head.hasTransferEncoding = lws_hdr_total_length(reader.wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING) > 0
        if let length = reader.text(WSI_TOKEN_HTTP_CONTENT_LENGTH) {
            let isRepeated = reader.isRepeated(WSI_TOKEN_HTTP_CONTENT_LENGTH)
            head.contentLengths = isRepeated ? [length, length] : [length]
        }
        guard isUpgrade else { return head }
        head.upgrade = reader.text(WSI_TOKEN_UPGRADE) ?? ""
        head.connection = reader.text(WSI_TOKEN_CONNECTION)
        head.webSocketVersion = reader.text(WSI_TOKEN_VERSION)
        head.webSocketKey = reader.text(WSI_TOKEN_KEY)
        head.offeredSubprotocols = reader.text(WSI_TOKEN_PROTOCOL)
        return head
    }
}
