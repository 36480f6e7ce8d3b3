internal import CLibWebSockets

/// A whole HTTP request, or the upgrade request of a WebSocket.
public struct HTTPRequest: Sendable {
    /// What the hub can be asked to do; anything else never gets this far.
    public enum Method: String, Sendable {
        case get = "GET"
        case head = "HEAD"
        case post = "POST"
        case put = "PUT"
        case patch = "PATCH"
        case delete = "DELETE"
        case options = "OPTIONS"
    }

    /// One `name=value` of the query, both percent-decoded; the value is empty where there is no `=`.
    public struct QueryItem: Sendable, Equatable {
        public var name: String
        public var value: String
    }

    public var method: Method
    /// Percent-decoded once, `//`, `/./` and `/../` resolved, without the query.
    public var path: String
    public var query: [QueryItem]
    /// Lower-case names.
    public var headers: [(name: String, value: String)]
    /// Numeric, without the port.
    public var peerAddress: String
    /// The tag of the listener's settings.
    public var listenerTag: UInt8
    public var isTLS: Bool
    public var body: [UInt8] = []

    /// The value of a header by its name in any case, one of those that the hub keeps (``HTTPRequest/keptHeaders``).
    public func header(_ name: String) -> String? {
        let name = name.lowercased()
        return headers.first { $0.name == name }?.value
    }

    /// The first query value under this name.
    public func queryValue(_ name: String) -> String? { query.first { $0.name == name }?.value }

    /// The subprotocols that an upgrade offers, in the client's order of preference.
    public var offeredSubprotocols: [String] { HTTPRequest.list(header("sec-websocket-protocol") ?? "") }

    /// The headers that a request keeps; all others are read and dropped.
    public static let keptHeaders: [String] = knownTokens.map(\.name) + customNames

    static let knownTokens: [(name: String, token: lws_token_indexes)] = [
        ("host", WSI_TOKEN_HOST), ("origin", WSI_TOKEN_ORIGIN), ("connection", WSI_TOKEN_CONNECTION),
        ("accept", WSI_TOKEN_HTTP_ACCEPT), ("accept-encoding", WSI_TOKEN_HTTP_ACCEPT_ENCODING),
        ("accept-language", WSI_TOKEN_HTTP_ACCEPT_LANGUAGE), ("if-none-match", WSI_TOKEN_HTTP_IF_NONE_MATCH),
        ("if-match", WSI_TOKEN_HTTP_IF_MATCH), ("authorization", WSI_TOKEN_HTTP_AUTHORIZATION),
        ("cookie", WSI_TOKEN_HTTP_COOKIE), ("content-type", WSI_TOKEN_HTTP_CONTENT_TYPE),
        ("content-length", WSI_TOKEN_HTTP_CONTENT_LENGTH), ("referer", WSI_TOKEN_HTTP_REFERER),
        ("user-agent", WSI_TOKEN_HTTP_USER_AGENT), ("sec-websocket-protocol", WSI_TOKEN_PROTOCOL),
        ("x-forwarded-for", WSI_TOKEN_X_FORWARDED_FOR), ("expect", WSI_TOKEN_HTTP_EXPECT),
        ("access-control-request-headers", WSI_TOKEN_HTTP_AC_REQUEST_HEADERS),
    ]

    static let customNames = [
        "access-control-request-method", "forwarded", "idempotency-key", "sec-fetch-site", "x-api-key",
        "x-forwarded-host", "x-forwarded-proto", "x-request-id", "x-signature", "x-timestamp",
    ]

    /// The items of a comma-separated header.
    static func list(_ value: String) -> [String] {
        value.split(separator: ",").map { item in
            String(item.drop { $0 == " " || $0 == "\t" }.reversed().drop { $0 == " " || $0 == "\t" }.reversed())
        }
        .filter { !$0.isEmpty }
    }
}

/// The header of a request while libwebsockets still has it.
struct RequestReader {
    let wsi: OpaquePointer

    private static let uriTokens: [(method: HTTPRequest.Method, token: lws_token_indexes)] = [
        (.get, WSI_TOKEN_GET_URI), (.head, WSI_TOKEN_HEAD_URI), (.post, WSI_TOKEN_POST_URI),
        (.put, WSI_TOKEN_PUT_URI), (.patch, WSI_TOKEN_PATCH_URI), (.delete, WSI_TOKEN_DELETE_URI),
        (.options, WSI_TOKEN_OPTIONS_URI),
    ]

    /// False when libwebsockets has let go of the header already, after an answer of its own.
    var isPresent: Bool { target != nil }

    var target: (method: HTTPRequest.Method, path: String)? {
        for (method, token) in RequestReader.uriTokens {
            if let path = text(token) { return (method, path) }
        }
        return nil
    }

    func text(_ token: lws_token_indexes) -> String? {
        let length = Int(lws_hdr_total_length(wsi, token))
        guard length > 0 else { return nil }
        return copied(length) { lws_hdr_copy(wsi, $0, $1, token) }
    }

    func custom(_ name: String) -> String? {
        let named = name + ":"
        let count = Int32(named.utf8.count)
        let length = Int(lws_hdr_custom_length(wsi, named, count))
        guard length > 0 else { return nil }
        return copied(length) { lws_hdr_custom_copy(wsi, $0, $1, named, count) }
    }

    func isRepeated(_ token: lws_token_indexes) -> Bool { lws_hdr_fragment_length(wsi, token, 1) > 0 }

    var query: [HTTPRequest.QueryItem] {
        var items: [HTTPRequest.QueryItem] = []
        var place: Int32 = 0
        while true {
            let length = Int(lws_hdr_fragment_length(wsi, WSI_TOKEN_HTTP_URI_ARGS, place))
            guard length > 0 else { return items }
            let item = copied(length) { lws_hdr_copy_fragment(wsi, $0, $1, WSI_TOKEN_HTTP_URI_ARGS, place) } ?? ""
            let parts = item.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            items.append(.init(name: String(parts[0]), value: parts.count > 1 ? String(parts[1]) : ""))
            place += 1
        }
    }

    var headers: [(name: String, value: String)] {
        var found: [(name: String, value: String)] = []
        for (name, token) in HTTPRequest.knownTokens {
            if let value = text(token) { found.append((name, value)) }
        }
        for name in HTTPRequest.customNames {
            if let value = custom(name) { found.append((name, value)) }
        }
        return found
    }

    private func copied(_ length: Int, _ copy: (UnsafeMutablePointer<CChar>?, Int32) -> Int32) -> String? {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: length + 2) { room in
            let count = copy(room.baseAddress, Int32(room.count))
            guard count >= 0 else { return nil }
            return String(decoding: UnsafeRawBufferPointer(room)[..<min(Int(count), length)], as: UTF8.self)
        }
    }
}
