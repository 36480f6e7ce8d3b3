internal import CTransport

/// A file of the web page, held in memory, plain and compressed.
public struct StaticAsset: Sendable {
    /// How long a browser may use its copy unasked.
    public enum Caching: Sendable {
        /// The name changes with the content: one year.
        case immutable
        /// Five minutes.
        case briefly
        /// Ask every time.
        case revalidated

        var header: String {
            switch self {
            case .immutable: "public, max-age=31536000, immutable"
            case .briefly: "public, max-age=300"
            case .revalidated: "no-cache"
            }
        }
    }

    public let contentType: String
    public let plain: [UInt8]
    public let gzip: [UInt8]?
    /// Strong, of the content; the compressed variant has its own (RFC 9110 section 8.8.3.3).
    public let etag: String
    public let gzipETag: String
    private let headers: [(name: String, value: String)]

    /// Hashes the content.
    ///
    /// `headers` come with each answer: a content security policy, for one.
    public init(
        contentType: String,
        plain: [UInt8],
        gzip: [UInt8]? = nil,
        caching: Caching,
        headers: [(name: String, value: String)] = []
    ) {
        self.contentType = contentType
        self.plain = plain
        self.gzip = gzip
        let digest = StaticAsset.digest(of: plain)
        etag = "\"\(digest)\""
        gzipETag = "\"\(digest)-gzip\""
        self.headers =
            [
                ("cache-control", caching.header), ("vary", "accept-encoding"), ("x-content-type-options", "nosniff"),
            ] + headers
    }

    /// The answer to a GET or HEAD of this asset: 200, 304 where the browser has it, 405 for any other method.
    public func response(to request: HTTPRequest) -> HTTPResponse {
        guard request.method == .get || request.method == .head else {
            return HTTPResponse(
                status: 405,
                contentType: "text/plain; charset=utf-8",
                headers: [("allow", "GET, HEAD")],
                body: Array("only GET and HEAD\n".utf8)
            )
        }
        let encoded = StaticAsset.takesGzip(request.header("accept-encoding") ?? "") ? gzip : nil
        let tag = encoded == nil ? etag : gzipETag
        let all = [("etag", tag)] + headers
        if let known = request.header("if-none-match"), StaticAsset.matches(known, tag) {
            return HTTPResponse(status: 304, headers: all)
        }
        guard let encoded else {
            return HTTPResponse(status: 200, contentType: contentType, headers: all, body: plain)
        }
        return HTTPResponse(
            status: 200,
            contentType: contentType,
            headers: all + [("content-encoding", "gzip")],
            body: encoded
        )
    }

    /// Weak comparison, as If-None-Match wants it (RFC 9110 section 13.1.2).
    private static func matches(_ known: String, _ tag: String) -> Bool {
        HTTPRequest.list(known).contains { $0 == "*" || $0 == tag || $0 == "W/" + tag }
    }

    /// `gzip` or `*`, not ruled out by a zero quality.
    static func takesGzip(_ accepted: String) -> Bool {
        var takesAny = false
        for item in HTTPRequest.list(accepted.lowercased()) {
            let parts = item.split(separator: ";").map { $0.filter { $0 != " " } }
            let isRefused = parts.dropFirst().contains { part in
                part.hasPrefix("q=") && part.dropFirst(2).allSatisfy { $0 == "0" || $0 == "." }
            }
            if parts.first == "gzip" || parts.first == "x-gzip" { return !isRefused }
            if parts.first == "*" { takesAny = !isRefused }
        }
        return takesAny
    }

    private static func digest(of bytes: [UInt8]) -> String {
        var digest = [UInt8](repeating: 0, count: 32)
        let isDone = bytes.withUnsafeBytes { ct_sha256($0.baseAddress, $0.count, &digest) } == 1
        precondition(isDone, "OpenSSL has no SHA-256")
        let digits = Array("0123456789abcdef")
        return String(digest.prefix(16).flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] })
    }
}
