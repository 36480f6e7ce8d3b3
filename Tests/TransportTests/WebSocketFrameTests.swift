import Testing

@testable import Transport

@Suite("A WebSocket frame header")
struct WebSocketFrameTests {
    @Test(
        "has the shortest length there is",
        arguments: [
            (0, [0x81, 0]), (125, [0x81, 125]), (126, [0x81, 126, 0, 126]), (65_535, [0x81, 126, 255, 255]),
            (65_536, [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] as [(Int, [UInt8])]
    )
    func lengths(count: Int, header: [UInt8]) {
        let frame = WebSocketFrame.bytes(.text, [UInt8](repeating: 9, count: count))
        #expect(Array(frame.prefix(header.count)) == header)
        #expect(frame.count == header.count + count)
        #expect(WebSocketFrame.headerBytes(payloadBytes: count) == header.count)
    }

    @Test(
        "names its kind",
        arguments: [
            (WebSocketFrame.Kind.text, 0x81), (.binary, 0x82), (.close, 0x88), (.ping, 0x89), (.pong, 0x8a),
        ] as [(WebSocketFrame.Kind, UInt8)]
    )
    func kinds(kind: WebSocketFrame.Kind, first: UInt8) {
        #expect(WebSocketFrame.bytes(kind, [1]) == [first, 1, 1])
    }

    @Test("is masked by a client, as the standard's example is")
    func masks() {
        // RFC 6455 section 5.7.
        let frame = WebSocketFrame.maskedBytes(.text, Array("Hello".utf8), mask: 0x37fa_213d)
        #expect(frame == [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58])
        let payload = (0..<300).map { UInt8(truncatingIfNeeded: $0) }
        #expect(WebSocketFrame.maskedBytes(.binary, payload, mask: 0x0102_0304) == Peer.frame(2, payload))
    }

    @Test("has as much of a reason as fits, in whole characters")
    func cutsReasons() {
        #expect(WebSocketFrame.reasonBytes("short") == Array("short".utf8))
        let long = String(repeating: "x", count: 122) + "ä"
        #expect(WebSocketFrame.reasonBytes(long) == [UInt8](repeating: 0x78, count: 122))
    }

    @Test(
        "cuts a run of frames only where one ends",
        arguments: [
            ([10, 20], 100, 34), ([10, 20], 12, 12), ([10, 20], 33, 12), ([10, 20], 34, 34), ([10, 20], 1, 12),
            ([125, 126, 65_535, 65_536], 127, 127), ([125, 126, 65_535, 65_536], 257, 257),
            ([125, 126, 65_535, 65_536], 65_795, 257), ([125, 126, 65_535, 65_536], 65_796, 65_796),
            ([65_536, 1], 100, 65_546), ([0, 0, 0], 5, 4),
        ] as [([Int], Int, Int)]
    )
    func wholeFrames(payloads: [Int], most: Int, expected: Int) {
        let bytes = payloads.flatMap { WebSocketFrame.bytes(.binary, [UInt8](repeating: 7, count: $0)) }
        let count = bytes.withUnsafeBytes { WebSocketFrame.wholeFrames(in: $0, most: most) }
        #expect(count == expected)
    }
}
