import Glibc
import Testing

@testable import Transport

/// All tests that make loops run one after another: a new context overwrites process-wide state of libwebsockets.
@Suite(.serialized)
enum WithLoops {}

/// Answers a few paths, echoes messages, and notes what happens.
final class TestHandler: IOLoopHandler, @unchecked Sendable {
    struct Notes {
        var opened: [(loop: Int, id: ConnectionID)] = []
        var closed: [ConnectionID] = []
        var pongs: [[UInt8]] = []
        var peers: [String] = []
        var turns = 0
        var sweeps = 0
        var passes = 0
        var wakes = 0
        var writables = 0
    }

    let notes = Guarded(Notes())
    private let jobs = Guarded<[@Sendable (IOLoop) -> Void]>([])

    // Set before the loop runs.
    var asset = StaticAsset(contentType: "text/javascript", plain: Array("let x = 1".utf8), caching: .immutable)
    var onOpened: (ConnectionID, IOLoop) -> Void = { _, _ in }
    var onPass: (IOLoop) -> Void = { _ in }
    var onWritable: (ConnectionID, IOLoop) -> Void = { _, _ in }
    var onReceived: ((UnsafeRawBufferPointer, Bool, ConnectionID, IOLoop) -> Void)?
    var socketClass = SocketClass.bot(messageBytesMost: 256 * 1024)

    /// Comes after a tenth of a second.
    static var late: HTTPResponse {
        var response = HTTPResponse(status: 200, text: "better late")
        response.delayNs = 100_000_000
        return response
    }

    static let big: [UInt8] = (0..<900_000).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }

    /// Has the loop's thread do something.
    func perform(on loop: IOLoop, _ job: @escaping @Sendable (IOLoop) -> Void) {
        jobs.withLock { $0.append(job) }
        loop.wake()
    }

    func wake(on loop: IOLoop) {
        notes.withLock { $0.wakes += 1 }
        let due = jobs.withLock { jobs in
            defer { jobs.removeAll() }
            return jobs
        }
        for job in due { job(loop) }
    }

    func turnEnded(on loop: IOLoop) { notes.withLock { $0.turns += 1 } }
    func sweep(on loop: IOLoop) { notes.withLock { $0.sweeps += 1 } }

    func passDue(on loop: IOLoop) {
        notes.withLock { $0.passes += 1 }
        onPass(loop)
    }

    func respond(to request: HTTPRequest, on loop: IOLoop) -> HTTPResponse {
        switch request.path {
        case "/hello": HTTPResponse(status: 200, text: "hello \(request.queryValue("name") ?? "you")")
        case "/loop": HTTPResponse(status: 200, text: "\(loop.index)", closes: true)
        case "/body": HTTPResponse(status: 200, body: request.body)
        case "/asset": asset.response(to: request)
        case "/big": HTTPResponse(status: 200, contentType: "application/octet-stream", body: TestHandler.big)
        case "/host": HTTPResponse(status: 200, text: request.header("host") ?? "")
        case "/close": HTTPResponse(status: 200, text: "bye", closes: true)
        case "/late": TestHandler.late
        case "/split": HTTPResponse(status: 200, headers: [("x-a", "1\r\nx-b: 2"), ("x-c", "3")])
        case "/about":
            HTTPResponse(
                status: 200,
                text: [
                    request.method.rawValue, request.path, request.query.map { "\($0.name)=\($0.value)" }.joined(),
                    request.header("X-Request-Id") ?? "-", request.header("user-agent") ?? "-", request.peerAddress,
                    "\(request.listenerTag)", "\(request.isTLS)",
                ]
                .joined(separator: "|")
            )
        default: HTTPResponse(status: 404, text: "no such page")
        }
    }

    func admit(_ request: HTTPRequest, on loop: IOLoop) -> UpgradeDecision {
        switch request.path {
        case "/ws":
            request.offeredSubprotocols.isEmpty
                ? .accept(subprotocol: nil, tag: 7, socketClass)
                : request.offeredSubprotocols.first(where: { $0.hasPrefix("market-hub.") })
                    .map { .accept(subprotocol: $0, tag: 7, socketClass) }
                    ?? .refuse(HTTPResponse(status: 400, text: "bad"))
        case "/secret": .refuse(HTTPResponse(status: 401, headers: [("www-authenticate", "Bearer")]))
        case "/bad": .refuse(HTTPResponse(status: 400, text: "bad"))
        default: .refuse(HTTPResponse(status: 404, text: "no such endpoint"))
        }
    }

    func opened(_ connection: ConnectionID, tag: UInt8, request: HTTPRequest, on loop: IOLoop) {
        notes.withLock { $0.opened.append((loop.index, connection)) }
        onOpened(connection, loop)
    }

    func received(
        _ message: UnsafeRawBufferPointer,
        isText: Bool,
        from connection: ConnectionID,
        on loop: IOLoop
    ) {
        if let onReceived { return onReceived(message, isText, connection, loop) }
        WebSocketFrame.bytes(isText ? .text : .binary, message)
            .withUnsafeBytes { _ = loop.write($0, to: connection) }
    }

    func ponged(_ payload: UnsafeRawBufferPointer, from connection: ConnectionID, on loop: IOLoop) {
        notes.withLock { $0.pongs.append(Array(payload)) }
    }

    func writable(_ connection: ConnectionID, on loop: IOLoop) {
        notes.withLock { $0.writables += 1 }
        onWritable(connection, loop)
    }

    func closed(_ connection: ConnectionID, on loop: IOLoop) { notes.withLock { $0.closed.append(connection) } }

    func rawOpened(_ connection: ConnectionID, peerAddress: String, tag: UInt8, on loop: IOLoop) {
        notes.withLock { $0.peers.append("\(peerAddress) \(tag)") }
    }

    func rawReceived(_ bytes: UnsafeRawBufferPointer, from connection: ConnectionID, on loop: IOLoop) {
        _ = loop.write(bytes, to: connection)
    }
}

/// Loops in threads of their own, on kernel-given ports, stopped and joined at the end of `body`.
func withServer(
    loops count: Int = 1,
    handler: TestHandler = TestHandler(),
    settings: ListenerSettings = testListener(),
    prepare: (IOLoop) -> Void = { _ in },
    _ body: (UInt16, [IOLoop], TestHandler) throws -> Void
) throws {
    var loops: [IOLoop] = []
    var settings = settings
    for index in 0..<count {
        let loop = try IOLoop(index: index, handler: handler)
        settings.port = try loop.listen(settings)
        prepare(loop)
        loops.append(loop)
    }
    let threads = loops.map { loop in Worker { loop.run() } }
    defer {
        for loop in loops { loop.requestStop() }
        for thread in threads { thread.join() }
    }
    try body(settings.port, loops, handler)
}

func testListener(tls: TLSSettings? = nil) -> ListenerSettings {
    ListenerSettings(host: "127.0.0.1", port: 0, tag: 3, tls: tls)
}
