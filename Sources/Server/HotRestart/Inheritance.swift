import Glibc
import Market
import Transport

/// What a hub takes over from the one before it: sockets that listen, and what that one knew.
struct Inheritance {
    /// The sockets of one listener, an I/O loop each.
    struct Sockets {
        /// As the ready line names it.
        var name: String
        /// As they were configured.
        var host: String
        var port: Int
        /// Where they listen.
        var boundPort: Int
        var descriptors: [Int32]
    }

    /// What the threads knew when they stood still.
    struct Knowledge {
        var epoch: UInt64
        var feed: [UInt8]
        /// By I/O loop.
        var loops: [[UInt8]]
        /// Of a hub that keeps candles in memory only; else the files have them.
        var candles: [UInt8]
    }

    var sockets: [Sockets] = []
    /// The recordings' directory, which the one before has locked.
    var recordingLock: Int32?
    var ticketKeys: [UInt8] = []
    /// ``HubClock/offset``, so that time does not go back.
    var clockOffsetNs: Int64 = 0
    /// Nil where what was written cannot be read: by another version of the hub.
    var knowledge: Knowledge?

    /// Raised when what stands before the knowledge changes: a hub of another version then takes nothing over, and is not started.
    private static let formatVersion: UInt32 = 1

    /// The kinds of messages between two hubs.
    enum MessageKind: UInt8 {
        /// The new one read its configuration and asks for everything.
        case hello = 1
        case everything = 2
        /// The new one has made everything and started nothing.
        case ready = 3
        /// The new one may start; the old one numbers no event any more, whatever happens.
        case go = 4
        /// The new one serves; the old one may end.
        case serving = 5
    }

    // MARK: As a message

    /// The sockets go as descriptors, in their order and the lock last.
    var message: HandoverChannel.Message {
        var state = StateWriter()
        state.append(Self.formatVersion)
        state.append(UInt32(sockets.count))
        for listener in sockets {
            state.append(listener.name)
            state.append(listener.host)
            state.append(Int64(listener.port))
            state.append(Int64(listener.boundPort))
            state.append(UInt32(listener.descriptors.count))
        }
        state.append(recordingLock != nil)
        state.append(ticketKeys)
        state.append(clockOffsetNs)
        state.append(StateLayout.fingerprint)
        if let knowledge {
            state.append(knowledge.epoch)
            state.append(knowledge.feed)
            state.append(UInt32(knowledge.loops.count))
            for loop in knowledge.loops { state.append(loop) }
            state.append(knowledge.candles)
        }
        let descriptors = sockets.flatMap(\.descriptors) + [recordingLock].compactMap(\.self)
        return HandoverChannel.Message(
            kind: MessageKind.everything.rawValue,
            bytes: state.bytes,
            descriptors: descriptors
        )
    }

    init() {}

    /// - Throws: when it is no such message, or of a version that has it otherwise; its descriptors stay open.
    init(_ message: HandoverChannel.Message) throws(StateReader.Malformed) {
        var state = StateReader(message.bytes)
        var descriptors = message.descriptors[...]
        guard message.kind == MessageKind.everything.rawValue, try state.read(UInt32.self) == Self.formatVersion else {
            throw StateReader.Malformed()
        }
        for _ in 0..<(try state.read(UInt32.self)) {
            let (name, host) = (try state.readText(), try state.readText())
            let (port, boundPort) = (try state.read(Int64.self), try state.read(Int64.self))
            let count = Int(try state.read(UInt32.self))
            guard count <= descriptors.count else { throw StateReader.Malformed() }
            sockets.append(
                Sockets(
                    name: name,
                    host: host,
                    port: Int(port),
                    boundPort: Int(boundPort),
                    descriptors: Array(descriptors.prefix(count))
                )
            )
            descriptors = descriptors.dropFirst(count)
        }
        if try state.read(Bool.self) { recordingLock = descriptors.popFirst() }
        ticketKeys = try state.readAll()
        clockOffsetNs = try state.read()
        guard try state.read(UInt64.self) == StateLayout.fingerprint, !state.isAtEnd else { return }
        var knowledge = Knowledge(epoch: try state.read(), feed: try state.readAll(), loops: [], candles: [])
        for _ in 0..<(try state.read(UInt32.self)) { knowledge.loops.append(try state.readAll()) }
        knowledge.candles = try state.readAll()
        self.knowledge = knowledge
    }

    /// Closes what nobody took: connections to it would wait for ever.
    mutating func closeRest() {
        for descriptor in sockets.flatMap(\.descriptors) { close(descriptor) }
        sockets = []
        if let recordingLock { close(recordingLock) }
        recordingLock = nil
    }

    /// Takes the lock of the recordings' directory, if this hub records there too.
    mutating func takeRecordingLock(of directory: String) -> Int32? {
        guard let lock = recordingLock, RecordingDirectory.isDirectory(lock, directory) else { return nil }
        recordingLock = nil
        return lock
    }

    /// Takes the sockets of a listener that is configured as it was; none when there is no such.
    mutating func take(_ name: String, host: String, port: Int) -> Sockets? {
        let place = sockets.firstIndex { $0.name == name && $0.host == host && $0.port == port }
        return place.map { sockets.remove(at: $0) }
    }
}
