import Hub
import Market
import Testing

@testable import Wire

func decode(_ bytes: [UInt8], symbolsMost: Int = 10) throws(Refusal) -> [EnhancedCommand] {
    let outcome = bytes.withUnsafeBytes { bytes -> Result<[EnhancedCommand], Refusal> in
        do throws(Refusal) {
            return .success(try EnhancedCodec.decode(bytes, symbolsMost: symbolsMost))
        } catch {
            return .failure(error)
        }
    }
    return try outcome.get()
}

/// The bytes of a client frame with one command.
private func frame(_ kind: UInt8, id: UInt32 = 9, _ content: (inout OutputBytes) -> Void) -> [UInt8] {
    var out = OutputBytes()
    out.message(1) { out in
        out.field(1, id)
        out.message(kind, content)
    }
    return out.withBytes { Array($0) }
}

private func subscribe(_ content: (inout OutputBytes) -> Void) -> [UInt8] { frame(5, content) }

@Suite("A frame from an enhanced client")
struct EnhancedCodecTests {
    @Test("is read into requests")
    func reads() throws {
        let full = frame(5, id: .max) { out in
            out.field(1, 3)
            out.element(2, "BTC-USD@kraken")
            out.element(2, "*")
            out.field(3, 25)
            out.field(4, varint: 10)
            out.field(5, 2)
            out.field(6, 100)
        }
        let candles = frame(5, id: 0) { out in
            out.field(1, 4)
            out.element(2, "é")
            out.field(7, 6)
        }
        let connect = frame(2) { out in
            out.field(1, "bot 1")
            out.field(2, 25)
            out.field(3, 1)
        }
        let unsubscribe = frame(6) { out in
            out.field(1, 1)
            out.element(2, "X")
            out.message(3) { $0.append(5 as UInt8) }
        }
        let list = frame(7) { out in
            out.field(1, "B*")
            out.field(2, 4)
            out.field(3, 2)
        }
        let ping = frame(8) { $0.field(1, fixed64: 77) }
        let commands = try decode(full + candles + connect + unsubscribe + list + ping)
        #expect(commands.map(\.id) == [.max, 0, 9, 9, 9, 9])
        let requests = try commands.map { try $0.request.get() }
        let book = SubscribeRequest(
            channel: .book,
            symbols: ["BTC-USD@kraken", "*"],
            delivery: .conflate,
            depth: 25,
            group: 10,
            intervalMs: 100
        )
        let expected: [Request] = [
            .subscribe(book),
            .subscribe(SubscribeRequest(channel: .candles, symbols: ["é"], candleInterval: .day)),
            .connect(ConnectRequest(client: "bot 1", passMs: 25, wantsTimings: true)),
            .unsubscribe(UnsubscribeRequest(channel: .ticker, symbols: ["X"], topics: [TopicID(5)])),
            .list(ListRequest(pattern: "B*", from: 4, limit: 2)),
            .ping(clientNs: 77),
        ]
        #expect(requests == expected)
    }

    @Test("may be empty: that is a frame without commands")
    func empty() throws {
        #expect(try decode([]).isEmpty)
    }

    @Test(
        "that is no ClientFrame is malformed as a whole",
        arguments: [[0x0A], [0x0A, 5, 1], [0xFF], [0x0A, 2, 0x2A, 9], [0x0B], Array("{\"type\":\"ping\"}".utf8)]
            as [[UInt8]]
    )
    func refusesGarbage(bytes: [UInt8]) {
        #expect { try decode(bytes) } throws: { ($0 as? Refusal)?.code == .malformed }
    }

    @Test("cut off anywhere is malformed, never half carried out")
    func refusesTruncated() {
        let whole = subscribe { out in
            out.field(1, 1)
            out.element(2, "BTC-USD")
        }
        for length in 1..<whole.count {
            #expect { try decode(Array(whole.prefix(length))) } throws: { ($0 as? Refusal)?.code == .malformed }
        }
    }

    @Test("with a command of a kind that is not known refuses that command alone")
    func unknownKind() throws {
        let unknown = frame(10) { $0.field(1, 1) }
        let commands = try decode(unknown + frame(8) { _ in })
        #expect(commands.count == 2)
        #expect(refusal(commands[0])?.code == .unknownCommand)
        #expect(try commands[1].request.get() == .ping(clientNs: 0))
    }

    @Test("with fields that are not known is read without them")
    func unknownFields() throws {
        let ping = frame(8) { out in
            out.field(1, fixed64: 5)
            out.field(15, "later")
        }
        #expect(try decode(ping).first?.request.get() == .ping(clientNs: 5))
    }

    @Test("names the field that is wrong and what would pass")
    func fields() throws {
        let cases: [(bytes: [UInt8], code: Refusal.Code, field: String)] = [
            (subscribe { $0.element(2, "X") }, .unknownChannel, "subscribe.channel"),
            (
                subscribe { out in
                    out.field(1, 7)
                    out.element(2, "X")
                }, .unknownChannel, "subscribe.channel"
            ),
            (subscribe { $0.field(1, 1) }, .invalidField, "subscribe.symbols"),
            (
                subscribe { out in
                    out.field(1, 1)
                    out.element(2, "")
                }, .invalidField, "subscribe.symbols"
            ),
            (
                subscribe { out in
                    out.field(1, 1)
                    out.element(2, String(repeating: "x", count: 129))
                }, .invalidField, "subscribe.symbols"
            ),
            (
                subscribe { out in
                    out.field(1, 1)
                    out.element(2, "X")
                    out.field(5, 4)
                }, .invalidField, "subscribe.delivery"
            ),
            (
                subscribe { out in
                    out.field(1, 4)
                    out.element(2, "X")
                    out.field(7, 7)
                }, .invalidField, "subscribe.candle_interval"
            ),
            (
                subscribe { out in
                    out.field(1, 1)
                    for _ in 0..<11 { out.element(2, "X") }
                }, .tooManySymbols, "subscribe.symbols"
            ),
            (frame(6) { $0.field(1, 1) }, .invalidField, "unsubscribe.symbols"),
            (frame(6) { $0.element(2, "X") }, .unknownChannel, "unsubscribe.channel"),
            (
                frame(6) { $0.message(3) { out in for _ in 0..<11 { out.append(1 as UInt8) } } }, .tooManySymbols,
                "unsubscribe.topics"
            ),
            (frame(2) { $0.field(1, String(repeating: "x", count: 65)) }, .invalidField, "connect.client"),
            (frame(7) { $0.field(1, String(repeating: "x", count: 129)) }, .invalidField, "list.pattern"),
        ]
        for (bytes, code, field) in cases {
            let refused = try #require(refusal(decode(bytes).first))
            #expect(refused.code == code)
            #expect(refused.fields.map(\.name) == [field])
            #expect(refused.fields.allSatisfy { !$0.message.isEmpty })
        }
    }

    @Test("with text that is not UTF-8 is refused")
    func refusesBrokenText() throws {
        let bytes: [UInt8] = [0x0A, 0x09, 0x08, 1, 0x2A, 0x05, 0x08, 1, 0x12, 1, 0xFF]
        #expect(try refusal(decode(bytes).first)?.code == .invalidField)
    }

    @Test("holds up to a hundred commands")
    func commandsMost() throws {
        let ping = frame(8) { _ in }
        let most = Array(repeatElement(ping, count: EnhancedCodec.commandsMost).joined())
        #expect(try decode(most).count == EnhancedCodec.commandsMost)
        #expect { try decode(most + ping) } throws: { ($0 as? Refusal)?.code == .malformed }
    }

    @Test("that is small cannot make the hub take much memory")
    func boundedMemory() {
        // 32,000 empty commands: each would take 48 bytes and more.
        let bytes = Array(repeatElement([0x0A, 0x00] as [UInt8], count: 32_000).joined())
        #expect { try decode(bytes) } throws: { ($0 as? Refusal)?.message.contains("intricate") == true }
        let fewer = Array(repeatElement([0x0A, 0x00] as [UInt8], count: 200).joined())
        #expect { try decode(fewer) } throws: { ($0 as? Refusal)?.message.contains("this one has 200") == true }
    }

    @Test("of any bytes is read or refused, never a trap", arguments: 0..<10 as Range<UInt64>)
    func anyBytes(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let whole = subscribe { out in
            out.field(1, 3)
            for _ in 0..<5 { out.element(2, "BTC-USD") }
            out.field(4, varint: .max)
        }
        for _ in 0..<2_000 {
            var bytes = random.next() & 1 == 0 ? random.bytes(most: 60) : whole
            for _ in 0..<Int.random(in: 0...4, using: &random) where !bytes.isEmpty {
                bytes[Int(random.next() % UInt64(bytes.count))] = UInt8(random.next() & 255)
            }
            fuzzEnhancedFrame(bytes)
        }
    }

    private func refusal(_ command: EnhancedCommand?) -> Refusal? {
        if case .failure(let refusal)? = command?.request { refusal } else { nil }
    }

    private func fuzzEnhancedFrame(_ bytes: [UInt8]) { bytes.withUnsafeBytes { WireFuzzing.enhancedFrame($0) } }
}
