import Testing

@testable import Wire

@Suite("Output bytes")
struct OutputBytesTests {
    @Test("grow and keep what was put")
    func grows() {
        var out = OutputBytes(capacity: 1)
        for byte in 0..<1_000 { out.append(UInt8(truncatingIfNeeded: byte)) }
        out.append("text")
        #expect(out.count == 1_004)
        #expect(out.withBytes { Array($0.prefix(1_000)) } == (0..<1_000).map { UInt8(truncatingIfNeeded: $0) })
        out.truncate(to: 2)
        #expect(out.withBytes { Array($0) } == [0, 1])
        out.removeAll()
        let isEmpty = out.isEmpty
        #expect(isEmpty)
    }

    @Test("leave room for a header that is patched later")
    func room() {
        var out = OutputBytes(capacity: 1)
        out.append("a")
        let start = out.leaveRoom(2)
        out.append("b")
        out.withMutableBytes { $0[start + 1] = 9 }
        #expect(out.withBytes { Array($0) } == [0x61, 0, 9, 0x62])
    }

    @Test("close a message whose length takes any room", arguments: [0, 1, 127, 128, 16_383, 16_384, 70_000], 1...3)
    func messages(length: Int, lengthRoom: Int) {
        var out = OutputBytes(capacity: 1)
        out.append("x")
        out.message(1, lengthRoom: lengthRoom) { out in
            for index in 0..<length { out.append(UInt8(truncatingIfNeeded: index)) }
        }
        out.append("y")
        var expected: [UInt8] = [0x78, 0x0A]
        var left = length
        while left >= 128 {
            expected.append(UInt8(left & 127 | 128))
            left >>= 7
        }
        expected.append(UInt8(left))
        expected += (0..<length).map { UInt8(truncatingIfNeeded: $0) } + [0x79]
        #expect(out.withBytes { Array($0) } == expected)
    }

    @Test("know how long a varint is")
    func varints() {
        for bits in 0...64 {
            let value: UInt64 = bits == 64 ? .max : 1 << UInt64(bits)
            var out = OutputBytes(capacity: 20)
            var at = out.end
            at.put(varint: value)
            out.advance(to: at)
            #expect(out.count == varintLength(value))
        }
        #expect(varintLength(0) == 1)
    }
}
