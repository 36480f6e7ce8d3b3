internal import CTransport

/// What a client and a server say before they speak in frames (RFC 6455 section 4).
package struct WebSocketUpgrade {
    package enum Answer: Equatable {
        /// Its end has not come.
        case incomplete
        /// From this byte on there are frames.
        case accepted(headBytes: Int)
        case refused(String)
    }

    /// A longer head is refused.
    package static let headBytesMost = 16 * 1024

    private let key: String
    private let subprotocol: String?

    /// `nonce` is sixteen bytes that were never used before.
    package init(nonce: [UInt8], subprotocol: String?) {
        precondition(nonce.count == 16, "a nonce of \(nonce.count) bytes")
        var key = [CChar](repeating: 0, count: 25)
        ct_websocket_key(nonce, &key)
        self.key = Self.text(key)
        self.subprotocol = subprotocol
    }

    /// - Returns: nil when a part of it would break out of its line.
    func request(_ server: ServerAddress, headers: [(name: String, value: String)]) -> [UInt8]? {
        var lines = [
            ("Host", server.authority), ("Upgrade", "websocket"), ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", key), ("Sec-WebSocket-Version", "13"),
        ]
        if let subprotocol { lines.append(("Sec-WebSocket-Protocol", subprotocol)) }
        lines += headers.map { ($0.name, $0.value) }
        let isPlain = lines.allSatisfy { name, value in (name + value).utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7f } }
        guard isPlain, server.path.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else { return nil }
        let head = "GET \(server.path) HTTP/1.1\r\n" + lines.map { "\($0.0): \($0.1)\r\n" }.joined() + "\r\n"
        return Array(head.utf8)
    }

    /// Reads an answer as far as it has come.
    package func read(_ bytes: [UInt8]) -> Answer {
        guard let end = Self.endOfHead(bytes) else {
            return bytes.count < Self.headBytesMost ? .incomplete : .refused("the answer's head has no end")
        }
        guard end <= Self.headBytesMost else { return .refused("the answer's head is too long") }
        var lines = String(decoding: bytes[..<end], as: UTF8.self).split(separator: "\r\n")[...]
        let status = lines.popFirst()?.split(separator: " ", maxSplits: 2) ?? []
        guard status.count >= 2, status[0].hasPrefix("HTTP/1."), let code = Int(status[1]), status[1].utf8.count == 3
        else { return .refused("the server does not answer in HTTP") }
        guard code == 101 else { return .refused("the server answered \(code)") }
        var fields: [String: String] = [:]
        for line in lines {
            guard let colon = line.firstIndex(of: ":") else { return .refused("a line of the answer has no name") }
            let name = line[..<colon].lowercased()
            let value = Self.trimmed(line[line.index(after: colon)...])
            fields[name] = fields[name].map { "\($0), \(value)" } ?? value
        }
        var accept = [CChar](repeating: 0, count: 29)
        ct_websocket_accept(key, &accept)
        let tokens = (fields["connection"] ?? "").lowercased().split(separator: ",").map(Self.trimmed)
        guard fields["upgrade"]?.lowercased() == "websocket", tokens.contains("upgrade"),
            fields["sec-websocket-accept"] == Self.text(accept)
        else { return .refused("the server answered 101 to something else") }
        guard fields["sec-websocket-extensions"] == nil else { return .refused("the server uses an extension") }
        guard fields["sec-websocket-protocol"] == nil || fields["sec-websocket-protocol"] == subprotocol else {
            return .refused("the server chose a subprotocol that was not offered")
        }
        return .accepted(headBytes: end)
    }

    /// What a server says to a request that it takes; from then on there are frames.
    static func answer(key: String, subprotocol: String?, extensions: String? = nil) -> [UInt8] {
        var accept = [CChar](repeating: 0, count: 29)
        ct_websocket_accept(key, &accept)
        var lines = [
            "HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade",
            "Sec-WebSocket-Accept: \(text(accept))",
        ]
        if let subprotocol { lines.append("Sec-WebSocket-Protocol: \(subprotocol)") }
        if let extensions { lines.append("Sec-WebSocket-Extensions: \(extensions)") }
        return Array((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8)
    }

    private static func endOfHead(_ bytes: [UInt8]) -> Int? {
        guard bytes.count >= 4 else { return nil }
        for at in 0...bytes.count - 4 where bytes[at] == 0x0d {
            if bytes[at + 1] == 0x0a, bytes[at + 2] == 0x0d, bytes[at + 3] == 0x0a { return at + 4 }
        }
        return nil
    }

    private static func trimmed(_ text: Substring) -> String {
        let inner = text.drop { $0 == " " || $0 == "\t" }
        guard let last = inner.lastIndex(where: { $0 != " " && $0 != "\t" }) else { return "" }
        return String(inner[...last])
    }

    private static func text(_ characters: [CChar]) -> String {
        String(decoding: characters.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}
