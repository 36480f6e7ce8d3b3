/// Messages to peers who are not there, in order, within bounds.
struct WaitingMessages: Sendable {
    struct Message: Sendable {
        var sender: String
        var text: [UInt8]
    }

    private struct Queue: Sendable {
        /// Of the first message: later ones do not make it younger.
        var begunNs: Int64
        /// Counts queues: those that expire together are told in the order in which they began.
        var number: UInt64
        var messages: [Message] = []
        var byteCount = 0
    }

    private var queues: [PeerName: Queue] = [:]
    /// For how many names messages of a sender wait.
    private var absentCounts: [String: Int] = [:]
    private var queueCount: UInt64 = 0
    private(set) var count = 0
    private(set) var byteCount = 0

    /// False when a bound does not allow it; nothing changed then.
    mutating func add(
        _ text: [UInt8],
        from sender: String,
        to name: PeerName,
        atNs now: Int64,
        _ settings: RealmSettings
    ) -> Bool {
        let known = queues[name]
        guard known?.messages.count ?? 0 < settings.waitingMost,
            (known?.byteCount ?? 0) + text.count <= settings.waitingBytesMost,
            byteCount + text.count <= settings.waitingBytesInAllMost
        else { return false }
        if !(known?.messages.contains { $0.sender == sender } ?? false) {
            guard absentCounts[sender] ?? 0 < settings.absentMost else { return false }
            absentCounts[sender, default: 0] += 1
        }
        if known == nil {
            queueCount += 1
            queues[name] = Queue(begunNs: now, number: queueCount)
        }
        queues[name]?.messages.append(Message(sender: sender, text: text))
        queues[name]?.byteCount += text.count
        count += 1
        byteCount += text.count
        return true
    }

    /// Takes out everything that waits for a name, oldest first.
    mutating func take(for name: PeerName) -> [Message] {
        guard let queue = queues.removeValue(forKey: name) else { return [] }
        count -= queue.messages.count
        byteCount -= queue.byteCount
        for sender in Set(queue.messages.map(\.sender)) {
            let left = (absentCounts[sender] ?? 0) - 1
            absentCounts[sender] = left > 0 ? left : nil
        }
        return queue.messages
    }

    /// Drops what began to wait at `ns` or before; each sender and name once, in the order in which they were first said.
    mutating func expire(before ns: Int64) -> [(sender: String, name: PeerName)] {
        let old = queues.filter { $0.value.begunNs <= ns }.sorted { $0.value.number < $1.value.number }
        var told: [(sender: String, name: PeerName)] = []
        for (name, _) in old {
            var senders: Set<String> = []
            for message in take(for: name) where senders.insert(message.sender).inserted {
                told.append((message.sender, name))
            }
        }
        return told
    }
}
