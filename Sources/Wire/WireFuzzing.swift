internal import Hub

/// What the fuzzers feed: whatever bytes a client can send, decoded as the server does it.
///
/// Beyond not trapping, it holds what decoded to what was promised of it.
package enum WireFuzzing {
    private static let symbolsMost = 1000

    package static func enhancedFrame(_ bytes: UnsafeRawBufferPointer) {
        guard let commands = try? EnhancedCodec.decode(bytes, symbolsMost: symbolsMost) else { return }
        precondition(commands.count <= EnhancedCodec.commandsMost, "more commands than a frame may hold")
        for command in commands {
            guard case .success(let made) = command.request, case .subscribe(let request) = made else { continue }
            precondition((1...symbolsMost).contains(request.symbols.count), "no symbols, or more than allowed")
            precondition(request.symbols.allSatisfy { !$0.isEmpty }, "an empty symbol")
        }
    }

    package static func legacyFrame(_ bytes: UnsafeRawBufferPointer) {
        let commands = LegacyCodec.decode(bytes, symbolsMost: symbolsMost)
        precondition(!commands.isEmpty, "every legacy frame has an answer")
        precondition(commands.count <= LegacyCodec.commandsMost, "more requests than a frame may hold")
        for command in commands {
            precondition(command.original.utf8.count <= LegacyCodec.echoBytesMost, "too long to be given back")
            guard case .failure(let refusal) = command.request else { continue }
            var out = OutputBytes()
            LegacyCodec.append(refusal, requestID: "1", original: command.original, to: &out)
            let answers = out.withBytes { LegacyCodec.decode($0, symbolsMost: symbolsMost) }
            guard case .failure(let again)? = answers.first?.request else {
                preconditionFailure("an error is no request")
            }
            precondition(again.code == .unknownCommand, "an error that is no JSON: \(again.message)")
        }
    }
}
