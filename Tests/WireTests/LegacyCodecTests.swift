import Hub
import Market
import Testing

@testable import Wire

private func decodeLegacy(_ bytes: [UInt8], symbolsMost: Int = 10) -> [LegacyCommand] {
    bytes.withUnsafeBytes { LegacyCodec.decode($0, symbolsMost: symbolsMost) }
}

private func decodeLegacy(_ text: String) -> [LegacyCommand] { decodeLegacy(Array(text.utf8)) }

private func refusal(_ command: LegacyCommand?) -> Refusal? {
    if case .failure(let refusal)? = command?.request { refusal } else { nil }
}

private func marketData(_ symbols: [String], intervalMs: UInt32 = 0) -> Request {
    .subscribe(
        SubscribeRequest(channel: .marketData, symbols: symbols, delivery: .conflate, intervalMs: intervalMs)
    )
}

@Suite("A frame from a legacy client")
struct LegacyCodecTests {
    @Test(
        "is read into a request",
        arguments: [
            (
                #"{"type":"subscribe","channel":"marketData","symbols":["BTC-USD"]}"#,
                .hub(marketData(["BTC-USD"]), batch: false)
            ),
            (#"{"type":"subscribe","symbol":"BTC-USD@kraken"}"#, .hub(marketData(["BTC-USD@kraken"]), batch: false)),
            (
                #"{"type":"subscribe","symbols":["*","\u0041"],"intervalMs":250,"batch":true,"later":{}}"#,
                .hub(marketData(["*", "A"], intervalMs: 250), batch: true)
            ),
            (
                #"{"type":"subscribe","channel":"book","symbol":"X","depth":10}"#,
                .hub(
                    .subscribe(SubscribeRequest(channel: .book, symbols: ["X"], delivery: .conflate, depth: 10)),
                    batch: false
                )
            ),
            (
                #"{"type":"subscribe","channel":"candles","symbol":"X","interval":"15m"}"#,
                .hub(
                    .subscribe(
                        SubscribeRequest(
                            channel: .candles,
                            symbols: ["X"],
                            delivery: .conflate,
                            candleInterval: .fifteenMinutes
                        )
                    ),
                    batch: false
                )
            ),
            (
                #"{"type":"subscribe","channel":"status","symbol":"X"}"#,
                .hub(.subscribe(SubscribeRequest(channel: .status, symbols: ["X"])), batch: false)
            ),
            (
                #"{"type":"unsubscribe","channel":"trades","symbol":"X"}"#,
                .hub(.unsubscribe(UnsubscribeRequest(channel: .trades, symbols: ["X"])), batch: false)
            ),
            (#"{"type":"list"}"#, .hub(.list(ListRequest()), batch: false)),
            (
                #"{"type":"list","pattern":"B*","from":2,"limit":1}"#,
                .hub(.list(ListRequest(pattern: "B*", from: 2, limit: 1)), batch: false)
            ),
            (#"{"type":"ping"}"#, .ping(id: "")),
            (#"{"type":"ping","id":7}"#, .ping(id: "7")),
            (#"{"type":"ping","id":"a\u0022"}"#, .ping(id: #""a\u0022""#)),
        ] as [(String, LegacyRequest)]
    )
    func reads(text: String, request: LegacyRequest) throws {
        let commands = decodeLegacy(text)
        #expect(commands == [LegacyCommand(request: .success(request), original: text)])
    }

    @Test("may be an array: each request is answered by itself")
    func readsArray() throws {
        let commands = decodeLegacy(#"[{"type":"ping","id":1}, {"type":"dance"} ,5]"#)
        #expect(commands.map(\.original) == [#"{"type":"ping","id":1}"#, #"{"type":"dance"}"#, "5"])
        #expect(try commands[0].request.get() == .ping(id: "1"))
        #expect(refusal(commands[1])?.code == .unknownCommand)
        #expect(refusal(commands[2])?.code == .malformed)
    }

    @Test(
        "that is wrong is told what would pass",
        arguments: [
            ("", .malformed, nil), ("{", .malformed, nil), ("5", .malformed, nil), ("[]", .malformed, nil),
            (#"{"type":"ping","type":"ping"}"#, .malformed, nil),
            ("{}", .unknownCommand, nil), (#"{"type":"dance"}"#, .unknownCommand, nil),
            (#"{"type":5}"#, .invalidField, "type"),
            (#"{"type":"subscribe"}"#, .invalidField, "symbols"),
            (#"{"type":"subscribe","symbols":[]}"#, .invalidField, "symbols"),
            (#"{"type":"subscribe","symbols":"X"}"#, .invalidField, "symbols"),
            (#"{"type":"subscribe","symbols":[1]}"#, .invalidField, "symbols"),
            (#"{"type":"subscribe","symbols":[""]}"#, .invalidField, "symbols"),
            (#"{"type":"subscribe","symbol":""}"#, .invalidField, "symbol"),
            (#"{"type":"subscribe","symbol":["X"]}"#, .invalidField, "symbol"),
            (#"{"type":"subscribe","symbol":"X","symbols":["X"]}"#, .invalidField, "symbols"),
            (#"{"type":"subscribe","symbols":[1,2,3,4,5,6,7,8,9,10,11]}"#, .tooManySymbols, "symbols"),
            (#"{"type":"subscribe","symbol":"X","channel":"orders"}"#, .unknownChannel, "channel"),
            (#"{"type":"subscribe","symbol":"X","channel":1}"#, .invalidField, "channel"),
            (#"{"type":"subscribe","symbol":"X","intervalMs":-1}"#, .invalidField, "intervalMs"),
            (#"{"type":"subscribe","symbol":"X","intervalMs":4294967296}"#, .invalidField, "intervalMs"),
            (#"{"type":"subscribe","symbol":"X","depth":"10"}"#, .invalidField, "depth"),
            (#"{"type":"subscribe","symbol":"X","batch":1}"#, .invalidField, "batch"),
            (#"{"type":"subscribe","symbol":"X","interval":"1m"}"#, .invalidField, "interval"),
            (#"{"type":"subscribe","symbol":"X","channel":"candles","interval":"2m"}"#, .invalidField, "interval"),
            (#"{"type":"list","pattern":5}"#, .invalidField, "pattern"),
            (#"{"type":"ping","id":{}}"#, .invalidField, "id"),
        ] as [(String, Refusal.Code, String?)]
    )
    func refuses(text: String, code: Refusal.Code, field: String?) throws {
        let commands = decodeLegacy(text)
        let refused = try #require(refusal(commands.first))
        #expect(commands.count == 1)
        #expect(refused.code == code)
        #expect(refused.fields.map(\.name) == (field.map { [$0] } ?? []))
    }

    @Test("that is no JSON is told the byte where it goes wrong")
    func tellsWhere() {
        #expect(refusal(decodeLegacy(#"{"type":ping}"#).first)?.message.contains("byte 8") == true)
        #expect(refusal(decodeLegacy([0x22, 0xFF, 0x22]).first)?.message.contains("not UTF-8 at byte 1") == true)
    }

    @Test("is given back in its error up to 512 bytes")
    func echo() {
        for (length, isGivenBack) in [(512, true), (513, false)] {
            let head = #"{"type":"dance","x":""#
            let text = head + String(repeating: "x", count: length - head.utf8.count - 2) + #""}"#
            #expect(text.utf8.count == length)
            #expect(decodeLegacy(text).first?.original == (isGivenBack ? text : ""))
        }
    }

    @Test("may hold as many symbols and requests as are allowed, and no more")
    func limits() {
        let symbols = Array(repeating: #""X""#, count: 1_001)
        func subscribe(_ count: Int) -> [UInt8] {
            Array(#"{"type":"subscribe","symbols":[\#(symbols.prefix(count).joined(separator: ","))]}"#.utf8)
        }
        #expect(refusal(decodeLegacy(subscribe(1_000), symbolsMost: 1_000).first) == nil)
        #expect(refusal(decodeLegacy(subscribe(1_001), symbolsMost: 1_000).first)?.code == .tooManySymbols)
        let ping = Array(repeating: #"{"type":"ping"}"#, count: LegacyCodec.commandsMost + 1)
        #expect(decodeLegacy("[" + ping.dropLast().joined(separator: ",") + "]").count == LegacyCodec.commandsMost)
        #expect(refusal(decodeLegacy("[" + ping.joined(separator: ",") + "]").first)?.code == .malformed)
        let name = String(repeating: "x", count: 128)
        #expect(refusal(decodeLegacy(#"{"type":"subscribe","symbol":"\#(name)"}"#).first) == nil)
        #expect(refusal(decodeLegacy(#"{"type":"subscribe","symbol":"\#(name)x"}"#).first)?.code == .invalidField)
    }

    @Test("of any bytes is read or refused, never a trap", arguments: 0..<10 as Range<UInt64>)
    func anyBytes(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let whole = Array(
            #"[{"type":"subscribe","channel":"book","symbols":["é","*"],"depth":10},{"type":"ping","id":7}]"#.utf8
        )
        for _ in 0..<1_000 {
            var bytes = random.next() & 3 == 0 ? random.bytes(most: 60) : whole
            for _ in 0..<Int.random(in: 0...3, using: &random) where !bytes.isEmpty {
                let at = Int(random.next() % UInt64(bytes.count))
                if random.next() & 1 == 0 { bytes[at] = UInt8(random.next() & 255) } else { bytes.remove(at: at) }
            }
            bytes.withUnsafeBytes { WireFuzzing.legacyFrame($0) }
        }
    }
}
