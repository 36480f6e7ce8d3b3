internal import CTransport
internal import Glibc

/// The stream over which one process hands its listening sockets, and what it knows, to the one that takes its place.
///
/// Messages have a kind, bytes and descriptors; both sides wait for each other no longer than they say.
public final class HandoverChannel {
    public enum Failure: Error, Equatable {
        /// The other side is gone.
        case ended
        /// Nothing came, or went, within the time.
        case timedOut
        case system(code: Int32)
        /// What came is no message.
        case malformed
    }

    public struct Message {
        public var kind: UInt8
        public var bytes: [UInt8]
        /// Belong to whoever received them.
        public var descriptors: [Int32]

        public init(kind: UInt8, bytes: [UInt8] = [], descriptors: [Int32] = []) {
            self.kind = kind
            self.bytes = bytes
            self.descriptors = descriptors
        }
    }

    /// Descriptors in one message.
    public static let descriptorsMost = Int(CT_DESCRIPTORS_MOST)
    /// Bytes in one message.
    public static let bytesMost = 4 << 30
    /// The number that the stream has in a process that was started with it.
    public static let startedDescriptor: Int32 = 3

    private let descriptor: Int32

    /// Takes over an end of the stream.
    public init(descriptor: Int32) {
        self.descriptor = descriptor
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
    }

    deinit { _ = Glibc.close(descriptor) }

    /// Starts a program that has the other end as ``startedDescriptor``, and none of this process's other descriptors but 0 to 2.
    ///
    /// - Returns: this end, and the program's process id.
    public static func start(
        _ path: String,
        arguments: [String],
        environment: [String: String]
    ) throws(Failure) -> (channel: HandoverChannel, process: Int32) {
        var ends: [Int32] = [0, 0]
        let failure = ct_handover_pair(&ends)
        guard failure == 0 else { throw .system(code: -failure) }
        let (own, other) = (ends[0], ends[1])
        let process = withTexts(arguments) { arguments in
            withTexts(environment.map { "\($0)=\($1)" }) { environment in
                ct_spawn(path, arguments, environment, other, startedDescriptor)
            }
        }
        _ = Glibc.close(other)
        guard process > 0 else {
            _ = Glibc.close(own)
            throw .system(code: -process)
        }
        return (HandoverChannel(descriptor: own), process)
    }

    private static func withTexts<Result>(
        _ texts: [String],
        _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Result
    ) -> Result {
        var pointers: [UnsafeMutablePointer<CChar>?] = texts.map { strdup($0) }
        pointers.append(nil)
        defer { for pointer in pointers { free(pointer) } }
        return pointers.withUnsafeBufferPointer { buffer in
            guard let base = buffer.baseAddress else { preconditionFailure("a list with an end is not empty") }
            return body(base)
        }
    }

    // MARK: Messages

    /// Sends a message; each part of it must go within `mostMs`.
    public func send(_ message: Message, mostMs: Int32) throws(Failure) {
        var head = [message.kind]
        withUnsafeBytes(of: UInt64(message.bytes.count).littleEndian) { head.append(contentsOf: $0) }
        try send(head, message.descriptors, mostMs)
        try send(message.bytes, [], mostMs)
    }

    private func send(_ bytes: [UInt8], _ descriptors: [Int32], _ mostMs: Int32) throws(Failure) {
        var (done, descriptors) = (0, descriptors)
        while done < bytes.count {
            let sent = bytes.withUnsafeBytes { bytes in
                let rest = UnsafeRawBufferPointer(rebasing: bytes[done...])
                return ct_send_descriptors(
                    descriptor,
                    rest.baseAddress,
                    rest.count,
                    descriptors,
                    descriptors.count,
                    mostMs
                )
            }
            guard sent > 0 else { throw Self.failure(Int32(-sent)) }
            done += sent
            descriptors = []
        }
    }

    /// Waits for a message; each part of it must come within `mostMs`.
    public func receive(mostMs: Int32) throws(Failure) -> Message {
        var message = Message(kind: 0)
        let head = try receive(1 + 8, &message.descriptors, mostMs)
        message.kind = head[0]
        let count = head[1...].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        guard count <= UInt64(Self.bytesMost) else { throw .malformed }
        message.bytes = try receive(Int(count), &message.descriptors, mostMs)
        return message
    }

    private func receive(_ count: Int, _ descriptors: inout [Int32], _ mostMs: Int32) throws(Failure) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var received = [Int32](repeating: -1, count: Self.descriptorsMost)
        var done = 0
        while done < count {
            var number = 0
            let got = bytes.withUnsafeMutableBytes { bytes in
                let room = UnsafeMutableRawBufferPointer(rebasing: bytes[done...])
                return ct_receive_descriptors(descriptor, room.baseAddress, room.count, &received, &number, mostMs)
            }
            guard got > 0 else { throw Self.failure(Int32(-got)) }
            descriptors += received[..<number]
            done += got
        }
        return bytes
    }

    private static func failure(_ code: Int32) -> Failure {
        switch code {
        case EPIPE, ECONNRESET: .ended
        case ETIMEDOUT: .timedOut
        default: .system(code: code)
        }
    }
}

/// Keys of TLS session tickets, which a successor takes over so that clients resume their sessions there.
public enum SessionTickets {
    public static var keys: [UInt8] {
        var keys = [UInt8](repeating: 0, count: Int(CT_TICKET_KEY_BYTES))
        let count = ct_ticket_keys(&keys)
        return Array(keys[..<count])
    }

    /// To be called before anybody is listened for.
    public static func use(_ keys: [UInt8]) { ct_use_ticket_keys(keys, keys.count) }
}
