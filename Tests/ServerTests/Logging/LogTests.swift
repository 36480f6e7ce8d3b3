import Glibc
import Server
import Synchronization
import Testing

@Suite("The log")
struct LogTests {
    /// A pipe whose reading end the test holds.
    private struct Pipe: ~Copyable {
        let reading: Int32
        let writing: Int32

        init() throws {
            var ends: [Int32] = [0, 0]
            try #require(pipe(&ends) == 0)
            (reading, writing) = (ends[0], ends[1])
        }

        deinit {
            close(reading)
            close(writing)
        }

        /// Reads so many bytes, or what there is until the end.
        func read(_ count: Int = .max) -> String {
            var (bytes, chunk) = ([UInt8](), [UInt8](repeating: 0, count: 65536))
            while bytes.count < count {
                let got = Glibc.read(reading, &chunk, min(chunk.count, count - bytes.count))
                if got <= 0 { break }
                bytes += chunk[..<got]
            }
            return String(decoding: bytes, as: UTF8.self)
        }

        /// What lies in the pipe now.
        func readWaiting() -> String {
            var count: Int32 = 0
            _ = ioctl(reading, UInt(FIONREAD), &count)
            return read(Int(count))
        }
    }

    private static let timeNs: Int64 = 1_769_903_999_123_456_789

    @Test("writes one line of JSON with time, level, event and fields, in order")
    func json() throws {
        let pipe = try Pipe()
        let log = Log(descriptor: pipe.writing, utcNs: { Self.timeNs })
        log.info(
            "ready",
            [
                "text": "a\n\"b\"\u{1b}", "count": 3, "ratio": 0.5, "isFast": true, "none": .number(.nan),
                "listeners": .object(["web": "127.0.0.1:8080", "ports": [1, 2]]), "large": .count(UInt64.max),
            ]
        )
        log.error("bad-thing")
        log.close()
        let start = #"{"time":"2026-01-31T23:59:59.123456Z","level":"#
        #expect(
            pipe.readWaiting() == start
                + #""info","event":"ready","text":"a\n\"b\"\u001b","count":3,"ratio":0.5,"isFast":true,"none":null,"#
                + #""listeners":{"web":"127.0.0.1:8080","ports":[1,2]},"large":1.8446744073709552e+19}"# + "\n"
                + start + #""error","event":"bad-thing"}"# + "\n"
        )
    }

    @Test("writes text for people, still one line a record")
    func text() throws {
        let pipe = try Pipe()
        let log = Log(format: .text, descriptor: pipe.writing, utcNs: { Self.timeNs })
        log.warning("gap", ["venue": "a\nb", "missed": 2])
        log.close()
        #expect(pipe.readWaiting() == "2026-01-31T23:59:59.123456Z WARNING gap venue=\"a\\nb\" missed=2\n")
    }

    @Test("writes what is as important as its level, and makes no fields for the rest", arguments: LogLevel.allCases)
    func levels(level: LogLevel) throws {
        let pipe = try Pipe()
        let log = Log(level: .error, format: .text, descriptor: pipe.writing, utcNs: { 0 })
        log.setLevel(level)
        var made: [LogLevel] = []
        for each in LogLevel.allCases {
            func fields() -> KeyedLogValues {
                made.append(each)
                return [:]
            }
            log.write(each, "x", fields())
        }
        log.close()
        #expect(made == LogLevel.allCases.filter { $0 >= level })
        #expect(pipe.readWaiting().split(separator: "\n").count == made.count)
    }

    @Test("drops and counts lines when nobody reads, without waiting, and tells when somebody does")
    func bounded() throws {
        let pipe = try Pipe()
        let filling = [UInt8](repeating: 0x2E, count: 4096)
        _ = fcntl(pipe.writing, F_SETFL, O_NONBLOCK)
        var filled = 0
        while true {
            let count = write(pipe.writing, filling, filling.count)
            if count <= 0 { break }
            filled += count
        }
        let log = Log(format: .text, bufferBytesMost: 16_384, descriptor: pipe.writing, utcNs: { 0 })
        let lines = 10_000
        for number in 0..<lines { log.info("x", ["number": .count(number)]) }
        // The writer holds at most one buffer, the callers another.
        let keptMost = 2 * 16_384 / "1970-01-01T00:00:00.000000Z INFO x number=0\n".utf8.count
        #expect(log.droppedCount >= UInt64(lines - keptMost))
        let dropped = log.droppedCount
        _ = pipe.read(filled)
        log.close()
        let written = pipe.readWaiting().split(separator: "\n")
        let told = written.filter { $0.contains(" WARNING log-dropped lines=") }
        #expect(told.compactMap { $0.split(separator: "=").last.flatMap { UInt64($0) } }.reduce(0, +) == dropped)
        #expect(written.count - told.count == lines - Int(dropped))
    }

    @Test("gives up on a descriptor that takes nothing when it is closed")
    func stuck() throws {
        let pipe = try Pipe()
        _ = fcntl(pipe.writing, F_SETFL, O_NONBLOCK)
        let filling = [UInt8](repeating: 0x2E, count: 4096)
        while write(pipe.writing, filling, filling.count) > 0 {}
        let log = Log(descriptor: pipe.writing)
        log.info("never-seen")
        log.close()
        #expect(!pipe.readWaiting().contains("never-seen"))
    }

    @Test("drops what comes after it was closed, and closes twice without harm")
    func closed() throws {
        let pipe = try Pipe()
        let log = Log(descriptor: pipe.writing)
        log.close()
        log.info("late")
        log.close()
        #expect(log.droppedCount == 1)
        #expect(pipe.readWaiting() == "")
    }

    @Test("keeps every line of many threads whole")
    func threads() async throws {
        let pipe = try Pipe()
        let log = Log(format: .text, descriptor: pipe.writing, utcNs: { 0 })
        await withTaskGroup { group in
            for thread in 0..<4 {
                group.addTask {
                    for number in 0..<100 { log.info("x", ["of": .count(thread), "number": .count(number)]) }
                }
            }
        }
        log.close()
        let lines = pipe.readWaiting().split(separator: "\n")
        for thread in 0..<4 {
            let own = lines.filter { $0.contains(" of=\(thread) ") }.compactMap { $0.split(separator: "=").last }
            #expect(own == (0..<100).map { Substring("\($0)") })
        }
    }
}
