import Feeds
import Testing

@Suite("Cutting a stream into FIX messages")
struct FIXFramingTests {
    private static let first = fix("35=0|1180=A")
    private static let second = fix("35=X|58=8=FIX is no beginning|268=0")

    private func messages(_ bytes: [UInt8], partBytes: Int) -> (messages: [[UInt8]], framing: FIXFraming) {
        var framing = FIXFraming()
        var all: [[UInt8]] = []
        for start in stride(from: 0, to: bytes.count, by: partBytes) {
            Array(bytes[start..<min(bytes.count, start + partBytes)]).withUnsafeBytes { part in
                framing.receive(part) { all.append(Array($0)) }
            }
        }
        framing.finish { all.append(Array($0)) }
        return (all, framing)
    }

    @Test("gives the same messages however the bytes come", arguments: [1, 2, 3, 7, 50, 1_000])
    func parts(bytes: Int) {
        let stream = Self.first + Self.second + Self.first
        let (messages, framing) = messages(stream, partBytes: bytes)
        #expect(messages == [Self.first, Self.second, Self.first])
        #expect(framing.skippedBytes == 0)
    }

    @Test("skips and counts what is no message", arguments: [1, 5, 1_000])
    func garbage(bytes: Int) {
        let garbage = Array("8=FI GET / 8=8=FIX;58=FIX 9=\u{1}".utf8)
        let (messages, framing) = messages(garbage + Self.first + garbage + Self.second + [0x38], partBytes: bytes)
        #expect(messages == [Self.first, Self.second])
        #expect(framing.skippedBytes == 2 * garbage.count + 1)
    }

    @Test("hands out a message whose length lies, and goes on behind it", arguments: ["1", "999", "20"])
    func lies(length: String) {
        var lie = Array("8=FIXT.1.1\u{1}9=\(length)\u{1}35=0\u{1}52=20240102-00:00:00\u{1}10=000\u{1}".utf8)
        let honest = (0..<100).flatMap { _ in Self.first }
        let (messages, framing) = messages(lie + honest, partBytes: 64)
        // A length that no body can have is no beginning.
        if length == "1" {
            #expect(framing.skippedBytes == lie.count)
            lie = []
        }
        #expect(messages.count == 100 + (lie.isEmpty ? 0 : 1))
        #expect(messages.filter { $0 == Self.first }.count == 100)
    }

    @Test("holds no more than a message, whatever length one tells")
    func bounds() {
        var framing = FIXFraming()
        let huge = Array("8=FIXT.1.1\u{1}9=99999999\u{1}".utf8)
        let whole = Array("8=FIXT.1.1\u{1}9=1000000\u{1}".utf8)
        let filler = [UInt8](repeating: UInt8(ascii: "x"), count: 700_000)
        for part in [huge, filler, whole, filler, filler, filler] {
            part.withUnsafeBytes { framing.receive($0) { _ in } }
            #expect(framing.keptBytes <= FIXFraming.messageBytesMost)
        }
    }
}
