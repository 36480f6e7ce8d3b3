import Glibc

@testable import Transport

/// A certificate authority of its own, and a certificate by it for the name `feed.test`, in a temporary folder.
final class TestAuthority {
    struct Failed: Error {
        var output: String
    }

    let folder: String
    var authorityPath: String { folder + "/authority.pem" }
    var server: TLSSettings { TLSSettings(certificatePath: folder + "/feed.pem", keyPath: folder + "/feed.key") }

    init() throws {
        var template = Array("/tmp/transport-tests-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw Failed(output: "no folder") }
        folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let output = try ChildProcess.output(
            of: """
                cd \(folder) && exec 2>&1
                openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout authority.key \
                    -out authority.pem -days 2 -subj "/CN=Test authority" &&
                openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout feed.key -out feed.csr \
                    -subj "/CN=feed.test" &&
                echo "subjectAltName=DNS:feed.test" > names &&
                openssl x509 -req -in feed.csr -CA authority.pem -CAkey authority.key -CAcreateserial -out feed.pem \
                    -days 2 -extfile names && echo made
                """
        )
        guard output.hasSuffix("made\n") else { throw Failed(output: output) }
    }

    deinit {
        _ = try? ChildProcess.output(of: "rm -r \(folder)")
    }
}

/// Another program, spoken to by pipes.
final class ChildProcess {
    private var process: pid_t = 0
    private let input: Int32
    private let output: Int32

    init(_ path: String, _ arguments: [String]) throws {
        var toChild: [Int32] = [0, 0]
        var fromChild: [Int32] = [0, 0]
        guard pipe(&toChild) == 0, pipe(&fromChild) == 0 else { throw TestAuthority.Failed(output: "no pipe") }
        for end in toChild + fromChild { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        (input, output) = (toChild[1], fromChild[0])
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawn_file_actions_adddup2(&actions, toChild[0], 0)
        posix_spawn_file_actions_adddup2(&actions, fromChild[1], 1)
        var texts = ([path] + arguments).map { strdup($0) } + [nil]
        let result = posix_spawn(&process, path, &actions, nil, &texts, environ)
        for text in texts { free(text) }
        posix_spawn_file_actions_destroy(&actions)
        close(toChild[0])
        close(fromChild[1])
        guard result == 0 else { throw TestAuthority.Failed(output: "cannot start \(path): \(result)") }
    }

    /// The next line it prints, without its end.
    func line() -> String {
        var line: [UInt8] = []
        var byte: UInt8 = 0
        while Glibc.read(output, &byte, 1) == 1, byte != 10 { line.append(byte) }
        return String(decoding: line, as: UTF8.self)
    }

    func write(_ text: String) {
        let bytes = Array(text.utf8)
        _ = Glibc.write(input, bytes, bytes.count)
    }

    /// Some more of what it prints; false at the end.
    func read(into buffer: inout [UInt8], most: Int) -> Bool {
        withUnsafeTemporaryAllocation(byteCount: most, alignment: 1) { room in
            let got = Glibc.read(output, room.baseAddress, most)
            if got > 0 { buffer.append(contentsOf: room[..<got]) }
            return got > 0
        }
    }

    /// Ends it, where it has not ended by itself, and waits for it.
    func end() {
        close(input)
        close(output)
        kill(process, SIGKILL)  // the runtime blocks the others in its threads, and so in their children
        var status: Int32 = 0
        waitpid(process, &status, 0)
    }

    /// What a shell command prints.
    static func output(of command: String) throws -> String {
        let child = try ChildProcess("/bin/sh", ["-c", command])
        var all: [UInt8] = []
        withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 1) { room in
            while true {
                let got = Glibc.read(child.output, room.baseAddress, 4096)
                guard got > 0 else { return }
                all.append(contentsOf: room[..<got])
            }
        }
        child.end()
        return String(decoding: all, as: UTF8.self)
    }
}
