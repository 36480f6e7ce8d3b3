import CZlib
import Foundation
import Testing

/// Recorded venue traffic beside the package; tests that need it skip where it is absent.
enum Captures {
    static let root = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "../shared/captures").standardizedFileURL

    private static let tests = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()

    static let arePresent = FileManager.default.fileExists(atPath: root.appending(path: "README.md").path)

    /// All bytes of a file, unpacked when it ends in `.gz`.
    static func bytes(_ path: String) throws -> [UInt8] {
        // What this package makes itself is beside the tests.
        let isOurs = path.hasPrefix("Fixtures/")
        let file = (isOurs ? tests : root).appending(path: path).path
        let stream = try #require(gzopen(file, "rb"), "cannot open \(file)")
        defer { gzclose(stream) }
        gzbuffer(stream, 1 << 20)
        var all: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 20)
        while true {
            let count = gzread(stream, &chunk, UInt32(chunk.count))
            try #require(count >= 0, "cannot unpack \(file)")
            guard count > 0 else { return all }
            all.append(contentsOf: chunk[..<Int(count)])
        }
    }

    static func rows<Row: Decodable>(_ path: String, as type: Row.Type = Row.self) throws -> [Row] {
        let decoder = JSONDecoder()
        return try bytes(path).split(separator: UInt8(ascii: "\n")).map { line in
            try decoder.decode(Row.self, from: Data(line))
        }
    }

    static func value<Value: Decodable>(_ path: String, as type: Value.Type = Value.self) throws -> Value {
        try JSONDecoder().decode(Value.self, from: Data(bytes(path)))
    }
}

/// One line of a capture: `recv_ns  conn  kind  payload`, separated by tabs.
struct CaptureLine {
    var number: Int
    var receivedNs: Int64
    var connection: UInt32
    var kind: UInt8
    var payload: Range<Int>
}

struct CaptureFile {
    let bytes: [UInt8]
    let lines: [CaptureLine]

    init(_ path: String) throws {
        let bytes = try Captures.bytes(path)
        self.bytes = bytes
        var lines: [CaptureLine] = []
        var start = 0
        bytes.withUnsafeBufferPointer { bytes in
            while start < bytes.count {
                var end = start
                while end < bytes.count, bytes[end] != 10 { end += 1 }
                var field = 0
                var at = start
                var numbers: [Int64] = [0, 0]
                var kind: UInt8 = 0
                while field < 3, at < end {
                    if bytes[at] == 9 {
                        field += 1
                    } else if field < 2 {
                        numbers[field] = numbers[field] * 10 + Int64(bytes[at] - 48)
                    } else {
                        kind = bytes[at]
                    }
                    at += 1
                }
                lines.append(
                    CaptureLine(
                        number: lines.count + 1,
                        receivedNs: numbers[0],
                        connection: UInt32(numbers[1]),
                        kind: kind,
                        payload: at..<end
                    )
                )
                start = end + 1
            }
        }
        self.lines = lines
    }
}
