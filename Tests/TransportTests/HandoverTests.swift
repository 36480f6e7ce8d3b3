import Glibc
import Testing
import Transport

@Suite("The stream from a hub to its successor")
struct HandoverTests {
    private func pair() -> (HandoverChannel, HandoverChannel) {
        var ends: [Int32] = [0, 0]
        precondition(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
        return (HandoverChannel(descriptor: ends[0]), HandoverChannel(descriptor: ends[1]))
    }

    @Test("carries bytes and descriptors, message by message")
    func carriesDescriptors() throws {
        let (one, other) = pair()
        var pipes: [Int32] = [0, 0]
        #expect(pipe(&pipes) == 0)
        defer { close(pipes[0]) }
        try one.send(HandoverChannel.Message(kind: 1), mostMs: 100)
        try one.send(HandoverChannel.Message(kind: 2, bytes: [7, 8, 9], descriptors: [pipes[1]]), mostMs: 100)
        close(pipes[1])
        let first = try other.receive(mostMs: 100)
        #expect(first.kind == 1 && first.bytes.isEmpty && first.descriptors.isEmpty)
        let second = try other.receive(mostMs: 100)
        #expect(second.kind == 2 && second.bytes == [7, 8, 9] && second.descriptors.count == 1)
        // It is the pipe's end, under another number.
        let writer = try #require(second.descriptors.first)
        #expect(write(writer, [5], 1) == 1)
        close(writer)
        var byte: UInt8 = 0
        #expect(read(pipes[0], &byte, 1) == 1 && byte == 5)
        // And nobody else has it any more.
        #expect(read(pipes[0], &byte, 1) == 0)
    }

    @Test("says so when the other side is gone, or silent, or talks nonsense")
    func failures() {
        let (one, other) = pair()
        #expect(throws: HandoverChannel.Failure.timedOut) { try one.receive(mostMs: 1) }
        #expect(throws: Never.self) { try other.send(HandoverChannel.Message(kind: 255, bytes: []), mostMs: 10) }
        #expect(throws: Never.self) { try one.receive(mostMs: 10) }
        var ends: [Int32] = [0, 0]
        #expect(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
        let third = HandoverChannel(descriptor: ends[0])
        #expect(write(ends[1], [UInt8](repeating: 0xff, count: 9), 9) == 9)
        #expect(throws: HandoverChannel.Failure.malformed) { try third.receive(mostMs: 10) }
        close(ends[1])
        #expect(throws: HandoverChannel.Failure.ended) { try third.receive(mostMs: 10) }
        #expect(throws: (any Error).self) {
            try third.send(HandoverChannel.Message(kind: 1, bytes: [UInt8](repeating: 0, count: 9)), mostMs: 10)
        }
    }

    @Test("is the third descriptor of a program that is started, with the environment given and no other descriptor")
    func startsPrograms() throws {
        let open = Glibc.open("/dev/null", O_RDONLY)
        defer { close(open) }
        let script = #"test "$WORD" = said && ! test -e /proc/self/fd/\#(open) && exec cat <&3 >&3"#
        let (channel, process) = try HandoverChannel.start(
            "/bin/sh",
            arguments: ["sh", "-c", script],
            environment: ["WORD": "said", "PATH": "/bin:/usr/bin"]
        )
        try channel.send(HandoverChannel.Message(kind: 4, bytes: [1, 2, 3]), mostMs: 5_000)
        let echo = try channel.receive(mostMs: 5_000)
        #expect(echo.kind == 4 && echo.bytes == [1, 2, 3])
        kill(process, SIGKILL)
        var status: Int32 = 0
        #expect(waitpid(process, &status, 0) == process)
        #expect(throws: HandoverChannel.Failure.ended) { try channel.receive(mostMs: 5_000) }
        #expect(throws: HandoverChannel.Failure.system(code: ENOENT)) {
            try HandoverChannel.start("/nowhere/at-all", arguments: ["x"], environment: [:])
        }
    }

    @Test("session tickets are sealed with the same keys at both")
    func ticketKeys() {
        let keys = SessionTickets.keys
        SessionTickets.use(keys)
        #expect(SessionTickets.keys == keys)
        // What is no list of keys is left alone.
        SessionTickets.use(keys + [1])
        #expect(SessionTickets.keys == keys)
    }
}
