internal import CLibWebSockets
internal import CTransport
internal import Glibc

/// A GET that a loop makes: a snapshot of a venue, a list of its instruments.
public struct HTTPFetch: Sendable {
    public var server: ServerAddress
    /// A PEM file of the authorities to trust instead of the system's.
    public var authoritiesPath: String?
    public var headers: [(name: String, value: String)] = [("user-agent", "market-hub"), ("accept", "*/*")]
    public var bytesMost = 16 * 1024 * 1024
    /// For everything together, up to half a minute.
    public var timeoutSeconds = 10

    public init(server: ServerAddress) {
        self.server = server
    }
}

/// A complete answer; redirects are answers too, they are not followed.
public struct HTTPFetchReply: Sendable, Equatable {
    public var status: Int
    public var contentType: String
    /// Seconds, where the server says so.
    public var retryAfter: String?
    public var body: [UInt8]
}

extension IOLoop {
    /// Fetches; `completion` is called once, later, on the loop's thread.
    public func fetch(
        _ fetch: HTTPFetch,
        completion: @escaping (Result<HTTPFetchReply, ClientFailure>) -> Void
    ) {
        connect(
            fetch.server,
            authorities: fetch.authoritiesPath,
            secondsMost: fetch.timeoutSeconds,
            client: FetchConnection(fetch, completion)
        )
    }
}

private final class FetchConnection: ClientConnection {
    private let bytesMost: Int
    private let completion: (Result<HTTPFetchReply, ClientFailure>) -> Void
    private var reply: HTTPFetchReply?
    /// The body ends where the connection ends.
    private var endsWithConnection = false
    private var isChunked = false
    private var isComplete = false

    init(_ fetch: HTTPFetch, _ completion: @escaping (Result<HTTPFetchReply, ClientFailure>) -> Void) {
        bytesMost = fetch.bytesMost
        self.completion = completion
        super.init(server: fetch.server, headers: fetch.headers)
    }

    override func answered(_ id: ConnectionID, _ wsi: OpaquePointer, on loop: IOLoop) -> Int32 {
        _ = super.answered(id, wsi, on: loop)
        let reader = RequestReader(wsi: wsi)
        reply = HTTPFetchReply(
            status: status,
            contentType: reader.text(WSI_TOKEN_HTTP_CONTENT_TYPE) ?? "",
            retryAfter: reader.text(WSI_TOKEN_HTTP_RETRY_AFTER),
            body: []
        )
        let length = reader.text(WSI_TOKEN_HTTP_CONTENT_LENGTH)
        isChunked = reader.text(WSI_TOKEN_HTTP_TRANSFER_ENCODING) != nil
        endsWithConnection = length == nil && !isChunked
        guard let length, let bytes = Int(length), bytes > bytesMost else { return 0 }
        failure = .tooLarge(bytesMost: bytesMost)
        return -1
    }

    override func bodyArrived(_ bytes: UnsafeRawBufferPointer) -> Int32 {
        guard let have = reply?.body.count, have + bytes.count <= bytesMost else {
            failure = failure ?? .tooLarge(bytesMost: bytesMost)
            return -1
        }
        reply?.body.append(contentsOf: bytes)
        return 0
    }

    override func bodyCompleted() { isComplete = true }

    /// libwebsockets takes the end of the connection for the end of a chunked body.
    override func bodyStopped() {
        if isChunked { isComplete = false }
    }

    override func ended(_ id: ConnectionID, on loop: IOLoop) {
        if let reply, isComplete || endsWithConnection && failure == nil {
            completion(.success(reply))
        } else if let failure {
            completion(.failure(failure))
        } else if loop.isServing {
            completion(.failure(.cutShort))
        } else {
            completion(.failure(.stopped))
        }
    }
}
