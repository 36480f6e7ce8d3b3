import Server
import Testing

@Suite("A log line")
struct LogLineTests {
    @Test("cuts a text that is too long")
    func longText() throws {
        var bytes: [UInt8] = []
        let long = String(repeating: "x", count: LogLine.textBytesMost)
        LogLine.append(["exact": .text(long), "long": .text(long + "y")], to: &bytes)
        #expect(String(decoding: bytes, as: UTF8.self) == "{\"exact\":\"\(long)\",\"long\":\"\(long)…\"}")
    }
}
