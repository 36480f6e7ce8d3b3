import Testing

@testable import Server

@Suite("A recorded packet of ITCH")
struct ITCHPacketTests {
    private static func read(_ bytes: [UInt8]) -> (messages: [String], isWhole: Bool) {
        var messages: [String] = []
        let isWhole = bytes.withUnsafeBytes { packet in
            ITCHPacket.read(packet) { messages.append("\($1) " + String(decoding: $0, as: UTF8.self)) }
        }
        return (messages, isWhole)
    }

    private static func append(_ text: String, _ number: UInt64, to packet: inout ITCHPacket) -> Bool {
        Array(text.utf8).withUnsafeBytes { message in
            guard packet.takes(message, number) else { return false }
            packet.append(message, number)
            return true
        }
    }

    @Test("is one of MoldUDP64 that gives its messages back with their numbers")
    func roundTrip() {
        var packet = ITCHPacket()
        packet.setSession("S1")
        #expect(packet.isEmpty)
        #expect(Self.append("Sxx", 258, to: &packet) && Self.append("", 259, to: &packet))
        let head = Array("S1        ".utf8) + [0, 0, 0, 0, 0, 0, 1, 2, 0, 2]
        #expect(packet.bytes == head + [0, 3] + Array("Sxx".utf8) + [0, 0])
        #expect(Self.read(packet.bytes) == (["258 Sxx", "259 "], true))
        packet.removeAll()
        #expect(packet.isEmpty && Self.append("T", 7, to: &packet))
        #expect(Self.read(packet.bytes) == (["7 T"], true))
    }

    @Test("takes the next number alone, and no more bytes than a packet may have")
    func bounds() {
        var packet = ITCHPacket()
        let long = String(repeating: "x", count: ITCHPacket.bytesMost - 20 - 2 - 2 - 1)
        #expect(Self.append(long, 1, to: &packet))
        #expect(!Self.append("a", 3, to: &packet) && !Self.append("a", 1, to: &packet))
        #expect(!Self.append("ab", 2, to: &packet))
        #expect(Self.append("a", 2, to: &packet))
        #expect(packet.bytes.count == ITCHPacket.bytesMost)
    }

    @Test("that was cut anywhere gives what is whole of it, and says so")
    func cut() {
        var packet = ITCHPacket()
        _ = Self.append("abc", 1, to: &packet)
        _ = Self.append("de", 2, to: &packet)
        for count in 0..<packet.bytes.count {
            let read = Self.read(Array(packet.bytes.prefix(count)))
            #expect(!read.isWhole)
            #expect(read.messages == (count >= 25 ? ["1 abc"] : []))
        }
        #expect(!Self.read(packet.bytes + [0]).isWhole)
    }
}
