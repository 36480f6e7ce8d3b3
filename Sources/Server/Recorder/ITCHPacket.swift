/// Messages of ITCH as recordings hold them: a packet of MoldUDP64, whatever brought them.
///
/// Session (10 bytes), number of the first message (8), how many (2), and each with its length (2) before it; the most
/// significant byte first. Source: Nasdaq, MoldUDP64 1.00.
struct ITCHPacket {
    /// Longer ones are divided, though a single message may be longer.
    static let bytesMost = 60_000
    private static let headerBytes = 20
    private static let messagesMost = 0xFFFE

    private(set) var bytes: [UInt8] = []
    private var first: UInt64 = 0
    private var count = 0
    private var session: [UInt8] = []

    var isEmpty: Bool { count == 0 }

    /// The session of the messages from here on; its name is at most 10 bytes.
    mutating func setSession(_ name: String) {
        session = Array(name.utf8.prefix(10))
        session += [UInt8](repeating: UInt8(ascii: " "), count: 10 - session.count)
    }

    /// Whether a message can be added; otherwise the packet must be handed over first.
    func takes(_ message: UnsafeRawBufferPointer, _ number: UInt64) -> Bool {
        isEmpty
            || number == first + UInt64(count) && count < Self.messagesMost
                && bytes.count + 2 + message.count <= Self.bytesMost
    }

    mutating func append(_ message: UnsafeRawBufferPointer, _ number: UInt64) {
        if isEmpty {
            first = number
            if session.isEmpty { setSession("") }
            bytes += session
            withUnsafeBytes(of: number.bigEndian) { bytes.append(contentsOf: $0) }
            bytes += [0, 0]
        }
        withUnsafeBytes(of: UInt16(clamping: message.count).bigEndian) { bytes.append(contentsOf: $0) }
        bytes.append(contentsOf: message.prefix(Int(UInt16.max)))
        count += 1
        bytes[18] = UInt8(truncatingIfNeeded: count >> 8)
        bytes[19] = UInt8(truncatingIfNeeded: count)
    }

    mutating func removeAll() {
        bytes.removeAll(keepingCapacity: true)
        count = 0
    }

    /// Hands out each message of a packet with its number.
    ///
    /// - Returns: whether the packet is whole; what comes before its end is handed out in any case.
    static func read(_ packet: UnsafeRawBufferPointer, message: (UnsafeRawBufferPointer, UInt64) -> Void) -> Bool {
        guard packet.count >= headerBytes else { return false }
        let first = UInt64(bigEndian: packet.loadUnaligned(fromByteOffset: 10, as: UInt64.self))
        let count = UInt16(bigEndian: packet.loadUnaligned(fromByteOffset: 18, as: UInt16.self))
        var at = headerBytes
        for index in 0..<UInt64(count) {
            guard at + 2 <= packet.count else { return false }
            let length = Int(UInt16(bigEndian: packet.loadUnaligned(fromByteOffset: at, as: UInt16.self)))
            guard at + 2 + length <= packet.count else { return false }
            message(UnsafeRawBufferPointer(rebasing: packet[(at + 2)..<(at + 2 + length)]), first &+ index)
            at += 2 + length
        }
        return at == packet.count
    }
}
