import Transport

extension FuzzProperty {
    /// Frames mean the same however they are cut, and no message passes the bound.
    ///
    /// The first byte says whose they are, and into how long parts the rest is cut.
    static let webSocketFrames = FuzzProperty(name: "websocket-frames") { bytes in
        guard let first = bytes.first else { return }
        let rest = UnsafeRawBufferPointer(rebasing: bytes.dropFirst())
        let sender: WebSocketFrameReader.Sender = first < 128 ? .server : .client
        let whole = FrameListener.hear(rest, from: sender, partBytes: max(1, rest.count))
        let cut = FrameListener.hear(rest, from: sender, partBytes: Int(first & 127) + 1)
        precondition(whole.heard == cut.heard, "messages mean something else when their bytes are cut")
        precondition(whole.fault == cut.fault, "the protocol is broken elsewhere when the bytes are cut")
    }

    /// The answer to an upgrade is taken once its head is whole, not before, and what follows the head is no part of it.
    static let webSocketAnswer = FuzzProperty(name: "websocket-answer") { bytes in
        let upgrade = WebSocketUpgrade(nonce: Array("the sample nonce".utf8), subprotocol: "market-hub.v1.json")
        let answer = upgrade.read(Array(bytes))
        guard case .accepted(let headBytes) = answer else { return }
        precondition((0...min(bytes.count, WebSocketUpgrade.headBytesMost)).contains(headBytes), "a head of nothing")
        precondition(upgrade.read(Array(bytes.prefix(headBytes))) == answer, "what follows the head changes it")
        precondition(upgrade.read(Array(bytes.prefix(headBytes - 1))) == .incomplete, "a head without its end is taken")
    }
}

/// What one end hears of the other's frames.
private struct FrameListener {
    private(set) var heard: [[UInt8]] = []
    private(set) var fault: WebSocketFault?
    private static let messageBytesMost = 300

    static func hear(
        _ bytes: UnsafeRawBufferPointer,
        from sender: WebSocketFrameReader.Sender,
        partBytes: Int
    ) -> FrameListener {
        var listener = FrameListener()
        let inflater = sender == .client ? Inflater() : nil
        var reader = WebSocketFrameReader(from: sender, messageBytesMost: messageBytesMost, inflater: inflater)
        // A client's frames are unmasked where they lie.
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
        defer { copy.deallocate() }
        copy.copyMemory(from: bytes)
        for start in stride(from: 0, to: copy.count, by: partBytes) {
            let part = UnsafeRawBufferPointer(rebasing: copy[start..<min(start + partBytes, copy.count)])
            do throws(WebSocketFault) {
                try reader.read(part) { message, payload in
                    precondition(payload.count <= messageBytesMost, "a bound is passed")
                    listener.heard.append(Array("\(message) ".utf8) + payload)
                    return true
                }
            } catch {
                listener.fault = error
                return listener
            }
        }
        return listener
    }
}
