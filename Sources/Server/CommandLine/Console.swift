internal import Glibc

/// What a command sees of the world before its work begins; tests give their own.
package struct Console: Sendable {
    /// Everything behind the name of the program.
    package var arguments: [String]
    package var environment: [String: String]
    package var readFile: @Sendable (String) throws(FileError) -> [UInt8]
    /// Why a file or directory cannot be read; nil when it can.
    package var whyUnreadable: @Sendable (String) -> String?
    package var print: @Sendable (String) -> Void
    package var complain: @Sendable (String) -> Void

    package init(
        arguments: [String],
        environment: [String: String],
        readFile: @escaping @Sendable (String) throws(FileError) -> [UInt8],
        whyUnreadable: @escaping @Sendable (String) -> String?,
        print: @escaping @Sendable (String) -> Void,
        complain: @escaping @Sendable (String) -> Void
    ) {
        self.arguments = arguments
        self.environment = environment
        self.readFile = readFile
        self.whyUnreadable = whyUnreadable
        self.print = print
        self.complain = complain
    }

    /// The process's own.
    package static func process() -> Console {
        var variables: [String: String] = [:]
        var next = environ
        while let entry = next.pointee {
            let text = String(cString: entry)
            if let equals = text.firstIndex(of: "=") {
                variables[String(text[..<equals])] = String(text[text.index(after: equals)...])
            }
            next += 1
        }
        return Console(
            arguments: Array(CommandLine.arguments.dropFirst()),
            environment: variables,
            readFile: { path throws(FileError) in
                try FileError.readFile(path, bytesMost: JSON5Reader.bytesMost)
            },
            whyUnreadable: { access($0, R_OK) == 0 ? nil : String(cString: strerror(errno)) },
            print: { write($0, to: STDOUT_FILENO) },
            complain: { write("market-hub: \($0)\n", to: STDERR_FILENO) }
        )
    }

    /// Everything, also when the descriptor takes it in parts; what a closed pipe refuses is lost.
    private static func write(_ text: String, to descriptor: Int32) {
        var text = text
        text.withUTF8 { bytes in
            var rest = UnsafeRawBufferPointer(bytes)
            while !rest.isEmpty {
                let count = Glibc.write(descriptor, rest.baseAddress, rest.count)
                if count > 0 {
                    rest = UnsafeRawBufferPointer(rebasing: rest[count...])
                } else if errno != EINTR {
                    return
                }
            }
        }
    }
}

/// Why a file could not be read.
package enum FileError: Error, Hashable, Sendable {
    /// The system's reason, `No such file or directory`.
    case cannotRead(path: String, reason: String)
    case tooLong(path: String, bytesMost: Int)

    /// One line that names the file.
    package var message: String {
        switch self {
        case .cannotRead(let path, let reason): "\(path): \(reason); check the path and its permissions"
        case .tooLong(let path, let most): "\(path): longer than \(most) bytes, which is the most that is read"
        }
    }

    /// The first line of a file that holds a secret.
    package static func readSecret(_ path: String) throws(FileError) -> String {
        String(decoding: try readFile(path, bytesMost: 4_096).prefix { $0 != 10 && $0 != 13 }, as: UTF8.self)
    }

    /// The whole file.
    package static func readFile(_ path: String, bytesMost: Int) throws(FileError) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .cannotRead(path: path, reason: String(cString: strerror(errno))) }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = read(descriptor, &chunk, chunk.count)
            if count == 0 { return bytes }
            if count < 0 {
                if errno == EINTR { continue }
                throw .cannotRead(path: path, reason: String(cString: strerror(errno)))
            }
            bytes += chunk[..<count]
            if bytes.count > bytesMost { throw .tooLong(path: path, bytesMost: bytesMost) }
        }
    }
}
