internal import Hub
internal import JSON

/// What the fuzzers feed: whatever bytes a client can send, decoded as the server does it.
///
/// Beyond not trapping, it holds what decoded to what was promised of it.
package enum WireFuzzing {
    private static let symbolsMost = 1000

    package static func enhancedFrame(_ bytes: UnsafeRawBufferPointer) {
        guard let commands = try? EnhancedCodec.decode(bytes, symbolsMost: symbolsMost) else { return }
        precondition(commands.count <= EnhancedCodec.commandsMost, "more commands than a frame may hold")
        for command in commands {
            guard case .success(let request) = command.request else { continue }
            checkBounds(request, symbolBytesMost: EnhancedCodec.symbolBytesMost)
        }
    }

    private static func checkBounds(_ request: Request, symbolBytesMost: Int) {
        var symbols: [String] = []
        switch request {
        case .subscribe(let subscribe):
            symbols = subscribe.symbols
            precondition(!symbols.isEmpty, "a subscription to nothing")
            precondition(subscribe.from.count <= symbolsMost, "more positions than allowed")
        case .unsubscribe(let unsubscribe):
            symbols = unsubscribe.symbols
            precondition(!symbols.isEmpty || !unsubscribe.topics.isEmpty, "an end of nothing")
            precondition(symbols.isEmpty || unsubscribe.channel != nil, "symbols without a channel")
            precondition(unsubscribe.topics.count <= symbolsMost, "more topics than allowed")
        case .list(let list):
            precondition(list.pattern.utf8.count <= symbolBytesMost, "too long a pattern")
        case .connect(let connect):
            precondition(connect.client.utf8.count <= EnhancedCodec.clientBytesMost, "too long a name")
        case .resync(let resync):
            precondition((1...symbolsMost).contains(resync.topics.count), "no topics, or more than allowed")
        case .ping:
            break
        }
        precondition(symbols.count <= symbolsMost, "more symbols than allowed")
        precondition(
            symbols.allSatisfy { (1...symbolBytesMost).contains($0.utf8.count) },
            "no symbol, or too long a one"
        )
    }

    package static func legacyFrame(_ bytes: UnsafeRawBufferPointer) {
        let commands = LegacyCodec.decode(bytes, symbolsMost: symbolsMost)
        precondition(!commands.isEmpty, "every legacy frame has an answer")
        precondition(commands.count <= LegacyCodec.commandsMost, "more requests than a frame may hold")
        for command in commands {
            precondition(command.original.utf8.count <= LegacyCodec.echoBytesMost, "too long to be given back")
            if case .success(.hub(let request, _)) = command.request {
                checkBounds(request, symbolBytesMost: LegacyCodec.symbolBytesMost)
            }
            guard case .failure(let refusal) = command.request else { continue }
            var out = OutputBytes()
            LegacyCodec.append(refusal, requestID: "1", original: command.original, to: &out)
            let limits = JSONLimits(bytesMost: .max, depthMost: LegacyCodec.depthMost + 1)
            let answer = out.withBytes { bytes in
                Result { () throws(JSONError) in try JSONDocument(reading: bytes, limits: limits).root }
            }
            guard case .success(let error) = answer else { preconditionFailure("an error that is no JSON: \(answer)") }
            precondition(error["type"]?.string == "error", "an error that says it is something else")
        }
    }
}
