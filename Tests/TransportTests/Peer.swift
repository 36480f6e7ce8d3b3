import Glibc

/// A client over a plain POSIX socket that can say anything, right or wrong.
final class Peer {
    enum Failure: Error {
        case connect(Int32)
        case closed
        case timeout
        case upgrade(String)
    }

    struct Answer {
        var status: Int
        var headers: [String: String]
        var body: [UInt8]
        var text: String { String(decoding: body, as: UTF8.self) }
    }

    private(set) var descriptor: Int32
    var buffer: [UInt8] = []
    private(set) var isEnded = false

    init(port: UInt16, receiveBuffer: Int32? = nil) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        if var size = receiveBuffer {
            setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<Int32>.size))
        }
        var yes: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &yes, socklen_t(MemoryLayout<Int32>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else {
            let code = errno
            Glibc.close(descriptor)
            descriptor = -1
            throw Failure.connect(code)
        }
    }

    deinit { close() }

    func close() {
        if descriptor >= 0 { Glibc.close(descriptor) }
        descriptor = -1
    }

    func send(_ text: String) { send(Array(text.utf8)) }

    /// Sends everything or gives up where the other side has gone.
    func send(_ bytes: [UInt8]) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let sent = rest.withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard sent > 0 else { return }
            rest = rest.dropFirst(sent)
        }
    }

    /// Reads what is there, waiting for the first byte this long; false when nothing came.
    @discardableResult
    func read(most: Int = 65_536, within seconds: Double) -> Bool {
        guard !isEnded else { return false }
        var watched = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        guard poll(&watched, 1, Int32(seconds * 1000)) > 0 else { return false }
        let got = withUnsafeTemporaryAllocation(byteCount: most, alignment: 1) { room in
            let got = recv(descriptor, room.baseAddress, most, 0)
            if got > 0 { buffer.append(contentsOf: room[..<got]) }
            return got
        }
        if got <= 0 { isEnded = true }
        return got > 0
    }

    /// Reads until the other side closes; false when it does not in time.
    func readToEnd(within seconds: Double = 5) -> Bool {
        let end = monotonicSeconds() + seconds
        while !isEnded {
            let left = end - monotonicSeconds()
            guard left > 0 else { return false }
            read(within: left)
        }
        return true
    }

    /// The next HTTP answer, whole.
    func answer(within seconds: Double = 5, isHead: Bool = false) throws -> Answer {
        let end = monotonicSeconds() + seconds
        while true {
            if let answer = takeAnswer(isHead: isHead) { return answer }
            guard !isEnded else { throw Failure.closed }
            let left = end - monotonicSeconds()
            guard left > 0 else { throw Failure.timeout }
            read(within: left)
        }
    }

    private func takeAnswer(isHead: Bool) -> Answer? {
        guard let headEnd = headLength else { return nil }
        let lines = String(decoding: buffer[..<headEnd], as: UTF8.self).split(separator: "\r\n")
        var headers: [String: String] = [:]
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: ":") else { continue }
            headers[line[..<colon].lowercased()] = String(line[line.index(after: colon)...].drop { $0 == " " })
        }
        let status = Int(lines.first?.split(separator: " ").dropFirst().first ?? "") ?? 0
        let isEmpty = isHead || status == 101 || status == 100 || status == 204 || status == 304
        let count = isEmpty ? 0 : Int(headers["content-length"] ?? "0") ?? 0
        guard buffer.count >= headEnd + count else { return nil }
        let body = Array(buffer[headEnd..<headEnd + count])
        buffer.removeFirst(headEnd + count)
        return Answer(status: status, headers: headers, body: body)
    }

    private var headLength: Int? {
        guard buffer.count >= 4 else { return nil }
        for place in 0...(buffer.count - 4) where buffer[place..<place + 4].elementsEqual([13, 10, 13, 10]) {
            return place + 4
        }
        return nil
    }

    func request(_ path: String, method: String = "GET", headers: String = "", body: String = "") throws -> Answer {
        let length = body.isEmpty ? "" : "Content-Length: \(body.utf8.count)\r\n"
        send("\(method) \(path) HTTP/1.1\r\nHost: x\r\n\(length)\(headers)\r\n\(body)")
        return try answer(isHead: method == "HEAD")
    }

    // MARK: WebSocket

    static let upgradeHeaders =
        "Upgrade: websocket\r\nConnection: Upgrade\r\n"
        + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"

    @discardableResult
    func upgrade(_ path: String = "/ws", headers: String = "") throws -> Answer {
        send("GET \(path) HTTP/1.1\r\nHost: x\r\n\(Peer.upgradeHeaders)\(headers)\r\n")
        let answer = try answer()
        guard answer.status == 101 else { throw Failure.upgrade("\(answer.status)") }
        return answer
    }

    func sendFrame(_ opcode: UInt8, _ payload: [UInt8], isFinal: Bool = true, isMasked: Bool = true) {
        send(Peer.frame(opcode, payload, isFinal: isFinal, isMasked: isMasked))
    }

    static func frame(_ opcode: UInt8, _ payload: [UInt8], isFinal: Bool = true, isMasked: Bool = true) -> [UInt8] {
        var frame: [UInt8] = [(isFinal ? 0x80 : 0) | opcode]
        let bit: UInt8 = isMasked ? 0x80 : 0
        switch payload.count {
        case ..<126: frame.append(bit | UInt8(payload.count))
        case ..<65_536: frame += [bit | 126, UInt8(payload.count >> 8), UInt8(payload.count & 255)]
        default:
            frame.append(bit | 127)
            for place in 0..<8 { frame.append(UInt8(truncatingIfNeeded: payload.count >> (56 - 8 * place))) }
        }
        guard isMasked else { return frame + payload }
        let mask: [UInt8] = [1, 2, 3, 4]
        return frame + mask + payload.enumerated().map { $0.element ^ mask[$0.offset & 3] }
    }

    /// The next frame; throws when none comes in time or the other side has gone.
    func frame(within seconds: Double = 5) throws -> ServerFrame {
        let end = monotonicSeconds() + seconds
        while true {
            if let frame = try ServerFrame(takingFrom: &buffer) { return frame }
            guard !isEnded else { throw Failure.closed }
            let left = end - monotonicSeconds()
            guard left > 0 else { throw Failure.timeout }
            read(within: left)
        }
    }

    /// The code of the next close frame, skipping what comes before.
    func closeCode(within seconds: Double = 5) throws -> Int {
        while true {
            let frame = try frame(within: seconds)
            guard frame.first == 0x88 else { continue }
            return frame.payload.count < 2 ? 1005 : Int(frame.payload[0]) << 8 | Int(frame.payload[1])
        }
    }
}

/// A frame of a server, held against RFC 6455.
struct ServerFrame: Equatable {
    struct Malformed: Error, CustomStringConvertible {
        var description: String
    }

    var first: UInt8
    var payload: [UInt8]

    /// Nil when it is not complete yet.
    init?(takingFrom buffer: inout [UInt8]) throws {
        guard buffer.count >= 2 else { return nil }
        guard [0x81, 0x82, 0x88, 0x89, 0x8a].contains(buffer[0]) else {
            throw Malformed(description: "first byte \(buffer[0])")
        }
        guard buffer[1] & 0x80 == 0 else { throw Malformed(description: "masked") }
        var header = 2
        var count = Int(buffer[1])
        if count >= 126 {
            guard buffer[0] & 8 == 0 else { throw Malformed(description: "long control frame") }
            header = count == 126 ? 4 : 10
            guard buffer.count >= header else { return nil }
            count = buffer[2..<header].reduce(0) { $0 << 8 | Int($1) }
        }
        guard buffer.count >= header + count else { return nil }
        first = buffer[0]
        payload = Array(buffer[header..<header + count])
        buffer.removeFirst(header + count)
    }
}

func monotonicSeconds() -> Double {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    return Double(now.tv_sec) + Double(now.tv_nsec) / 1e9
}

/// Whether something becomes true in time.
func eventually(within seconds: Double = 5, _ condition: () -> Bool) -> Bool {
    let end = monotonicSeconds() + seconds
    while !condition() {
        guard monotonicSeconds() < end else { return false }
        usleep(500)
    }
    return true
}

/// A value behind a lock that the thread sanitizer sees.
///
/// It does not see the contended path of `Synchronization.Mutex`, whose library is not instrumented.
final class Guarded<Value>: @unchecked Sendable {
    private let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private var value: Value

    init(_ value: Value) {
        self.value = value
        pthread_mutex_init(lock, nil)
    }

    deinit {
        pthread_mutex_destroy(lock)
        lock.deallocate()
    }

    func withLock<Result>(_ body: (inout Value) throws -> Result) rethrows -> Result {
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        return try body(&value)
    }
}

/// A joined thread.
struct Worker {
    private final class Body {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    private var thread = pthread_t()

    init(_ run: @escaping @Sendable () -> Void) {
        pthread_create(
            &thread,
            nil,
            { body in
                if let body { Unmanaged<Body>.fromOpaque(body).takeRetainedValue().run() }
                return nil
            },
            Unmanaged.passRetained(Body(run)).toOpaque()
        )
    }

    func join() { pthread_join(thread, nil) }
}
