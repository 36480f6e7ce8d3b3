import Testing

@testable import Transport

@Suite("Compression of WebSocket messages")
struct WebSocketCompressionTests {
    private static func piece(_ bytes: [UInt8], by deflater: Deflater) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: deflater.mostBytes(of: bytes.count)) { room, filled in
            filled = bytes.withUnsafeBytes { deflater.deflate($0, into: UnsafeMutableRawBufferPointer(room)) }
        }
    }

    private static func inflated(_ payload: [UInt8], bytesMost: Int = 1 << 20) throws -> [UInt8] {
        let inflater = Inflater()
        return try payload.withUnsafeBytes { payload in
            Result { () throws(WebSocketFault) in
                try inflater.inflate(payload, bytesMost: bytesMost) { Array($0) }
            }
        }
        .get()
    }

    private static let texts = ["", "a", String(repeating: "tick ", count: 5_000), "\u{0}\u{1}", "last"]

    @Test("of pieces one after the other is that of the whole, in any order, as often as you like")
    func concatenation() throws {
        let deflater = Deflater(level: 1)
        let pieces = Self.texts.map { Self.piece(Array($0.utf8), by: deflater) }
        for order in [[0], [1], [2], [2, 2], [4, 3, 2, 1, 0], [0, 1, 2, 3, 4], [1, 1, 1]] {
            let payload = order.flatMap { pieces[$0] }.dropLast(Deflater.tail.count)
            #expect(try Self.inflated(Array(payload)) == Array(order.map { Self.texts[$0] }.joined().utf8))
        }
    }

    @Test("lets bytes stand between pieces as they are")
    func stored() throws {
        let deflater = Deflater(level: 9)
        var payload: [UInt8] = []
        for text in ["one", "two"] {
            var header = [UInt8](repeating: 0, count: Deflater.storedHeaderBytes)
            header.withUnsafeMutableBytes { Deflater.writeStoredHeader(of: 1, into: $0) }
            payload += header + [UInt8(ascii: ",")] + Self.piece(Array(text.utf8), by: deflater)
        }
        #expect(try Self.inflated(payload.dropLast(Deflater.tail.count)) == Array(",one,two".utf8))
    }

    @Test("is bounded after inflating", arguments: [(9_999, true), (10_000, true), (10_001, false), (1 << 22, false)])
    func bound(count: Int, isTaken: Bool) throws {
        let payload = Array(Self.piece([UInt8](repeating: 7, count: count), by: Deflater(level: 9)).dropLast(4))
        let result = Result { try Self.inflated(payload, bytesMost: 10_000) }
        if isTaken {
            #expect(try result.get().count == count)
        } else {
            #expect(throws: WebSocketFault.tooLong(bytesMost: 10_000)) { try result.get() }
        }
    }

    @Test("keeps within the window that the other end has, and is left out where it does not pay")
    func frames() throws {
        let deflater = Deflater(level: 6)
        let text = [UInt8](repeating: 65, count: 600)
        let narrow = text.withUnsafeBytes { deflater.frame(.text, $0, windowBits: 9) }
        #expect(narrow == nil)
        let frame = try #require(text.withUnsafeBytes { deflater.frame(.text, $0, windowBits: 10) })
        #expect(frame[0] == 0xc1 && Int(frame[1]) == frame.count - 2)
        #expect(try Self.inflated(Array(frame.dropFirst(2))) == text)
        let noise: [UInt8] = [3, 1, 4, 1, 5, 9, 2, 6]
        #expect(noise.withUnsafeBytes { deflater.frame(.binary, $0, windowBits: 15) } == nil)
    }
}
