import Signaling
import Testing
import Wire

@Suite("Frames of PeerJS clients")
struct SignalingCodecTests {
    private func decode(_ text: String) -> SignalingFrame? {
        var copy = text
        return copy.withUTF8 { SignalingCodec.decode(UnsafeRawBufferPointer($0)) }
    }

    private func relayed(_ text: String, from source: String = "me") -> String? {
        var copy = text
        return copy.withUTF8 { bytes in
            let frame = UnsafeRawBufferPointer(bytes)
            guard let read = SignalingCodec.decode(frame) else { return nil }
            var out = OutputBytes()
            SignalingCodec.append(relaying: read, of: frame, from: source, to: &out)
            return out.withBytes { String(decoding: $0, as: UTF8.self) }
        }
    }

    private func text(_ word: SignalingWord) -> String {
        var out = OutputBytes()
        SignalingCodec.append(word, to: &out)
        return out.withBytes { String(decoding: $0, as: UTF8.self) }
    }

    @Test("are known by their type, in capitals and no other way", arguments: SignalingKind.allCases)
    func types(kind: SignalingKind) {
        #expect(decode(#"{"type":"\#(kind.name)"}"#)?.kind == kind)
        let lower = decode(#"{"type":"\#(kind.name.lowercased())"}"#)
        #expect(lower != nil && lower?.kind == nil)
    }

    @Test(
        "with a type of servers alone, or none, are objects all the same",
        arguments: [
            #"{"type":"OPEN"}"#, #"{"type":"ERROR"}"#, #"{"type":"ID-TAKEN"}"#, "{}", #"{"type":5}"#,
            #"{"type":null,"a":[]}"#,
        ]
    )
    func unknownTypes(text: String) {
        let read = decode(text)
        #expect(read != nil && read?.kind == nil)
    }

    @Test(
        "that are no JSON object are none",
        arguments: [
            "", " ", "null", "5", "[]", #"["type"]"#, "{nope", "{", "}", #"{"a"}"#, #"{"a":}"#, #"{"a":1,}"#,
            #"{,"a":1}"#,
            #"{"a":1}x"#, #"{"a":01}"#, #"{"a":1.}"#, #"{"a":.1}"#, #"{"a":1e}"#, #"{"a":+1}"#, #"{"a":-}"#,
            #"{"a":tru}"#,
            #"{"a":"\x"}"#, #"{"a":"\u12g4"}"#, "{\"a\":\"\u{1}\"}", #"{"a":[1,]}"#, #"{"a":[1 2]}"#,
            #"{"a":{"b":1,}}"#,
            #"{"a":{"b"}}"#, #"{"a":[}"#, #"{"a":{]}"#, #"{'a':1}"#, #"{"a":NaN}"#, #"{"a":"b}"#, #"{"a":[[[]]}"#,
            #"{"a":{1:2}}"#, #"{"a":"\"#, #"{"a":"\u12"#, "\u{feff}{}",
        ]
    )
    func noObjects(text: String) { #expect(decode(text) == nil) }

    @Test("with anything that JSON allows are read")
    func allOfJSON() {
        let text =
            #" { "payload" : [ -0.5e+10, {"a":{}, "b" : [ ] }, "\u00e9\n\"\\\/", true, false, null, [[1],[2]] ] , "type":"OFFER" } "#
        let read = decode(text)
        #expect(read?.kind == .offer && read?.payload != nil)
        #expect(
            relayed(text.replacing(#""type""#, with: #""dst":"x","type""#))?.contains(
                #""payload":[ -0.5e+10, {"a":{}, "b" : [ ] }"#
            ) == true
        )
    }

    @Test("go on with the sender's id, keys in one order, and the payload as it was")
    func relays() {
        #expect(
            relayed(
                #"{"payload": {"sdp":"v=0\r\n", "n":12345678901234567890, "m":1.10} ,"dst":"you","src":"forged","type":"OFFER","more":1}"#
            )
                == #"{"type":"OFFER","src":"me","dst":"you","payload":{"sdp":"v=0\r\n", "n":12345678901234567890, "m":1.10}}"#
        )
        #expect(relayed(#"{"type":"LEAVE","dst":"you"}"#) == #"{"type":"LEAVE","src":"me","dst":"you"}"#)
        #expect(
            relayed(#"{"type":"ANSWER","dst":"you","payload":null}"#)
                == #"{"type":"ANSWER","src":"me","dst":"you","payload":null}"#
        )
        #expect(
            relayed(#"{"type":"OFFER","dst":"a\"b\u00e9😀"}"#, from: "q\"\\\n")
                == #"{"type":"OFFER","src":"q\"\\\n","dst":"a\"bé😀"}"#
        )
    }

    @Test("count the last of a key that comes twice, and keys with escapes")
    func keys() {
        let twice = decode(#"{"type":"OFFER","dst":"a","type":"ANSWER","dst":"b"}"#)
        #expect(twice?.kind == .answer && twice?.destination == .id("b"))
        let escaped = decode(#"{"t\u0079pe":"OFF\u0045R","\u0064st":"\u0061"}"#)
        #expect(escaped?.kind == .offer && escaped?.destination == .id("a"))
    }

    @Test(
        "name nobody where JavaScript sees nothing",
        arguments: ["null", "false", "0", "-0", "0.0", "0e5", "-0.00E-1", #""""#]
    )
    func namesNobody(value: String) {
        let read = decode(#"{"type":"OFFER","dst":\#(value)}"#)
        #expect(read != nil && read?.destination == nil)
    }

    @Test(
        "name what is no id as it was written",
        arguments: ["5", #"["a"]"#, "{}", "true", "0.1", "1e0", #""\ud800""#]
    )
    func namesOthers(value: String) {
        #expect(decode(#"{"type":"OFFER","dst":\#(value)}"#)?.destination == .other(value))
        #expect(text(.expire(src: .other(value), dst: "me")) == #"{"type":"EXPIRE","src":\#(value),"dst":"me"}"#)
    }

    @Test("may be nested as deep as they are long")
    func deep() {
        let depth = 200_000
        let payload = String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
        let frame = #"{"type":"OFFER","dst":"x","payload":\#(payload)}"#
        #expect(relayed(frame) == #"{"type":"OFFER","src":"me","dst":"x","payload":\#(payload)}"#)
        #expect(decode(String(frame.dropLast(2)) + "}") == nil)
        let mixed = String(repeating: #"{"a":["#, count: 500) + String(repeating: "]}", count: 500)
        #expect(decode(#"{"a":\#(mixed)}"#) != nil)
        #expect(decode(#"{"a":\#(mixed.replacing("]}", with: "}]"))}"#) == nil)
    }

    @Test("of the server are word for word those that clients know")
    func words() {
        #expect(text(.open) == #"{"type":"OPEN"}"#)
        #expect(text(.idTaken) == #"{"type":"ID-TAKEN","payload":{"msg":"ID is taken"}}"#)
        #expect(
            text(.error(.incomplete))
                == #"{"type":"ERROR","payload":{"msg":"No id, token, or key supplied to websocket server"}}"#
        )
        #expect(text(.error(.wrongKey)) == #"{"type":"ERROR","payload":{"msg":"Invalid key provided"}}"#)
        #expect(
            text(.error(.full)) == #"{"type":"ERROR","payload":{"msg":"Server has reached its concurrent user limit"}}"#
        )
        #expect(text(.error(.invalidMessage)) == #"{"type":"ERROR","payload":{"msg":"Invalid message"}}"#)
        #expect(text(.expire(src: .id("a\"b"), dst: "c")) == #"{"type":"EXPIRE","src":"a\"b","dst":"c"}"#)
        #expect(text(.relay(Array("as it is".utf8))) == "as it is")
    }
}
