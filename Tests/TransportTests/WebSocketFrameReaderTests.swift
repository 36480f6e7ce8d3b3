import Testing

@testable import Transport

/// What a reader hands on, as text.
private func read(
    _ portions: [[UInt8]],
    from sender: WebSocketFrameReader.Sender = .server,
    messageBytesMost: Int = 100_000,
    wanted: Int = .max
) -> (messages: [String], fault: WebSocketFault?) {
    var reader = WebSocketFrameReader(from: sender, messageBytesMost: messageBytesMost)
    var messages: [String] = []
    for portion in portions {
        do throws(WebSocketFault) {
            var bytes = portion
            try bytes.withUnsafeMutableBytes { bytes in
                Result { () throws(WebSocketFault) in
                    try reader.read(UnsafeRawBufferPointer(bytes)) { message, payload in
                        switch message {
                        case .close(let code, let reason): messages.append("close \(code) \(reason)")
                        default:
                            let text = String(decoding: payload, as: UTF8.self)
                            messages.append(
                                payload.count < 50 ? "\(message) \(text)" : "\(message) \(payload.count) bytes"
                            )
                        }
                        return messages.count < wanted
                    }
                }
            }.get()
        } catch {
            return (messages, error)
        }
    }
    return (messages, nil)
}

private func frame(_ opcode: UInt8, _ text: String, isFinal: Bool = true) -> [UInt8] {
    Peer.frame(opcode, Array(text.utf8), isFinal: isFinal, isMasked: false)
}

@Suite("A reader of frames")
struct WebSocketFrameReaderTests {
    private static let conversation =
        frame(1, "one") + frame(2, "two") + frame(9, "ping") + frame(1, "thr", isFinal: false) + frame(10, "pong")
        + frame(0, "ee", isFinal: false) + frame(0, "") + frame(1, String(repeating: "x", count: 126))
        + frame(2, String(repeating: "y", count: 65_536)) + frame(1, "")
        + Peer.frame(8, [3, 232, 0x62], isMasked: false)
    private static let messages = [
        "text one", "binary two", "ping ping", "pong pong", "text three", "text 126 bytes", "binary 65536 bytes",
        "text ",
        "close 1000 b",
    ]

    /// The same, as a client says it.
    private static let maskedConversation =
        [(1, "one"), (2, "two"), (9, "ping")].flatMap { Peer.frame($0.0, Array($0.1.utf8)) }
        + Peer.frame(1, Array("thr".utf8), isFinal: false) + Peer.frame(10, Array("pong".utf8))
        + Peer.frame(0, Array("ee".utf8), isFinal: false) + Peer.frame(0, [])
        + Peer.frame(1, [UInt8](repeating: 0x78, count: 126)) + Peer.frame(2, [UInt8](repeating: 0x79, count: 65_536))
        + Peer.frame(1, []) + Peer.frame(8, [3, 232, 0x62])

    @Test("takes a client's mask off, however the bytes are cut", arguments: [1, 3, 7, 1_000, 65_537, 1_000_000])
    func masked(portion: Int) {
        let bytes = Self.maskedConversation
        let portions = stride(from: 0, to: bytes.count, by: portion)
            .map { Array(bytes[$0..<min($0 + portion, bytes.count)]) }
        let (messages, fault) = read(portions, from: .client)
        #expect(messages == Self.messages && fault == nil)
        let wrong = read([Self.conversation], from: .client)
        #expect(wrong.fault?.code == 1002 && wrong.messages.isEmpty)
    }

    @Test("hands on the same however the bytes are cut", arguments: [1, 2, 3, 5, 7, 100, 1_000, 65_537, 1_000_000])
    func cutAnywhere(portion: Int) {
        let bytes = Self.conversation
        let portions = stride(from: 0, to: bytes.count, by: portion)
            .map { Array(bytes[$0..<min($0 + portion, bytes.count)]) }
        let (messages, fault) = read(portions)
        #expect(messages == Self.messages && fault == nil)
    }

    @Test("hands on the same however two portions are cut")
    func cutTwice() {
        let bytes = Array(Self.conversation.prefix(200))
        for cut in 0...bytes.count {
            let (messages, fault) = read([Array(bytes[..<cut]), Array(bytes[cut...])])
            #expect(messages == Array(Self.messages.prefix(6)) && fault == nil, "cut at \(cut)")
        }
    }

    @Test("hands on nothing more once that is not wanted")
    func stops() {
        #expect(read([frame(1, "one") + frame(1, "two")], wanted: 1).messages == ["text one"])
    }

    private static let breaches: [(String, [UInt8], UInt16)] = [
        ("an extension's bit", [0xc1, 0], 1002),
        ("a mask", Peer.frame(1, [1]), 1002),
        ("an unknown message", frame(3, ""), 1002),
        ("an unknown control frame", frame(11, ""), 1002),
        ("a ping in parts", frame(9, "", isFinal: false), 1002),
        ("a long ping", [0x89, 126, 0, 126], 1002),
        ("a continuation of nothing", frame(0, "x"), 1002),
        ("a message inside a message", frame(1, "x", isFinal: false) + frame(1, "y"), 1002),
        ("a short length in four bytes", [0x82, 126, 0, 125], 1002),
        ("a middle length in ten bytes", [0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff], 1002),
        ("a negative length", [0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0], 1002),
        ("an absurd length", [0x82, 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], 1009),
        ("a length above the most", [0x82, 127, 0, 0, 0, 0, 0, 1, 0x86, 0xa1], 1009),
        (
            "parts above the most",
            frame(2, String(repeating: "x", count: 50_000), isFinal: false) + [0x80, 126, 0xc3, 0x51], 1009
        ),
        ("wrong UTF-8", Peer.frame(1, [0xc3, 0x28], isMasked: false), 1007),
        ("wrong UTF-8 far behind", Peer.frame(1, [UInt8](repeating: 0x20, count: 77) + [0xff], isMasked: false), 1007),
        ("UTF-8 cut off", Peer.frame(1, [0x61, 0xe2, 0x82], isMasked: false), 1007),
        (
            "UTF-8 cut off over parts",
            Peer.frame(1, [0xe2], isFinal: false, isMasked: false) + Peer.frame(0, [0x82], isMasked: false), 1007
        ),
        ("half a close code", Peer.frame(8, [3], isMasked: false), 1002),
        ("a reserved close code", Peer.frame(8, [3, 237], isMasked: false), 1002),
        ("a wrong reason", Peer.frame(8, [3, 232, 0xff], isMasked: false), 1007),
    ]

    @Test("tells what breaks the protocol, with the code for it", arguments: breaches)
    func refuses(breach: (name: String, bytes: [UInt8], code: UInt16)) {
        let whole = read([frame(1, "good") + breach.bytes])
        #expect(whole.messages == ["text good"] && whole.fault?.code == breach.code)
        let cut = read([frame(1, "good")] + breach.bytes.map { [$0] })
        #expect(cut.messages == ["text good"] && cut.fault?.code == breach.code, "byte by byte")
    }

    @Test("takes what is just allowed")
    func takes() {
        let most = String(repeating: "x", count: 100_000)
        #expect(read([frame(1, most)]).messages == ["text 100000 bytes"])
        let half = String(repeating: "x", count: 50_000)
        #expect(read([frame(2, half, isFinal: false) + frame(0, half)]).messages == ["binary 100000 bytes"])
        #expect(read([frame(9, String(repeating: "x", count: 125))]).messages == ["ping 125 bytes"])
        #expect(read([frame(1, "Käse 😀")]).messages == ["text Käse 😀"])
        #expect(read([frame(8, "")]).messages == ["close 1005 "])
        #expect(read([Peer.frame(2, [0xff], isMasked: false)]).fault == nil)
    }

    @Test("never takes other bytes than a decoder of the standard library for UTF-8", arguments: 0..<50)
    func agreesOnText(seed: Int) {
        var random = Random(seed: UInt64(seed))
        for _ in 0..<200 {
            var bytes = [UInt8](repeating: 0x41, count: Int.random(in: 0...70, using: &random))
            for _ in 0..<Int.random(in: 0...2, using: &random) {
                let piece =
                    [[0xc3, 0xa4], [0xe2, 0x82, 0xac], [0xf0, 0x9f, 0x98, 0x80], [0xc0, 0x80], [0xed, 0xa0, 0x80]]
                    .randomElement(using: &random)?.map(UInt8.init) ?? []
                bytes.insert(contentsOf: piece, at: Int.random(in: 0...bytes.count, using: &random))
            }
            let isText = bytes.withUnsafeBytes { WebSocketFrameReader.isUTF8($0) }
            #expect(isText == (String(validating: bytes, as: UTF8.self) != nil), "\(bytes)")
        }
    }
}

/// SplitMix64.
private struct Random: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}
