/// An answer to an HTTP request.
///
/// Content-Length, Date and Connection are the transport's to write.
public struct HTTPResponse: Sendable {
    public var status: Int
    /// Empty for an answer without content.
    public var contentType: String
    public var headers: [(name: String, value: String)]
    /// Kept by reference until it has left, not copied for each request.
    public var body: [UInt8]
    /// Whether the connection ends with this answer.
    public var closes: Bool
    /// The answer waits for so long before it leaves, up to half a minute; the refusal of an upgrade never waits.
    public var delayNs: UInt64 = 0

    public init(
        status: Int,
        contentType: String = "",
        headers: [(name: String, value: String)] = [],
        body: [UInt8] = [],
        closes: Bool = false
    ) {
        self.status = status
        self.contentType = contentType
        self.headers = headers
        self.body = body
        self.closes = closes
    }

    /// A text answer, `text/plain` in UTF-8 unless told otherwise.
    public init(status: Int, text: String, contentType: String = "text/plain; charset=utf-8", closes: Bool = false) {
        self.init(status: status, contentType: contentType, body: Array(text.utf8), closes: closes)
    }

    /// The bytes up to and with the empty line.
    ///
    /// A header whose name or value could end the line early is left out: nobody splits our answers.
    func head(date: String, closing: Bool) -> [UInt8] {
        var text = "HTTP/1.1 \(status) \(HTTPResponse.reason(of: status))\r\n"
        if !contentType.isEmpty { text += "content-type: \(contentType)\r\n" }
        if status != 304 && status != 204 { text += "content-length: \(body.count)\r\n" }
        text += "date: \(date)\r\n"
        for (name, value) in headers where HTTPResponse.isPlain(name) && HTTPResponse.isPlain(value) {
            text += "\(name): \(value)\r\n"
        }
        if closing { text += "connection: close\r\n" }
        text += "\r\n"
        return Array(text.utf8)
    }

    private static func isPlain(_ text: String) -> Bool {
        text.utf8.allSatisfy { $0 >= 32 && $0 != 127 }
    }

    static func reason(of status: Int) -> String { reasons[status] ?? "Status" }

    private static let reasons: [Int: String] = [
        200: "OK", 201: "Created", 202: "Accepted", 204: "No Content", 301: "Moved Permanently", 302: "Found",
        303: "See Other", 304: "Not Modified", 307: "Temporary Redirect", 308: "Permanent Redirect",
        400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
        406: "Not Acceptable", 408: "Request Timeout", 409: "Conflict", 410: "Gone", 411: "Length Required",
        412: "Precondition Failed", 413: "Content Too Large", 414: "URI Too Long", 415: "Unsupported Media Type",
        422: "Unprocessable Content", 426: "Upgrade Required", 429: "Too Many Requests",
        431: "Request Header Fields Too Large", 500: "Internal Server Error", 501: "Not Implemented",
        502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout",
    ]
}
