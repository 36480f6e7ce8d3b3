import JSON
import Testing

/// Reads a text and says what it is in a canonical spelling.
private func spelled(_ text: String, limits: JSONLimits = JSONLimits()) throws(JSONError) -> String {
    try spelled(Array(text.utf8), limits: limits)
}

private func spelled(_ bytes: [UInt8], limits: JSONLimits = JSONLimits()) throws(JSONError) -> String {
    let outcome = bytes.withUnsafeBytes { bytes -> Result<String, JSONError> in
        do throws(JSONError) {
            return .success(spell(try JSONDocument(reading: bytes, limits: limits).root))
        } catch {
            return .failure(error)
        }
    }
    return try outcome.get()
}

private func spell(_ value: JSONValue) -> String {
    switch value.kind {
    case .object: "{" + value.members.map { "\($0.key)=\(spell($0.value))" }.joined(separator: ",") + "}"
    case .array: "[" + value.elements.map(spell).joined(separator: ",") + "]"
    case .string: "'\(value.string ?? "?")'"
    case .number, .true, .false, .null: String(decoding: value.source, as: UTF8.self)
    }
}

@Suite("A JSON text")
struct JSONDocumentTests {
    @Test(
        "is read as it is written",
        arguments: [
            (#"{}"#, "{}"), ("[]", "[]"), (" 1 ", "1"), ("\t\r\n null", "null"), ("true", "true"), ("false", "false"),
            (#"{"a":1,"b":[true,{"c":null}],"d":"x"}"#, "{a=1,b=[true,{c=null}],d='x'}"),
            ("[[],[[]],{}]", "[[],[[]],{}]"),
            ("-0.0012300e+05", "-0.0012300e+05"), ("0", "0"),
            ("123456789012345678901234567890", "123456789012345678901234567890"),
            (#""\"\\\/\b\f\n\r\tz""#, "'\"\\/\u{8}\u{c}\n\r\tz'"),
            (#""\u00e9\u20AC\ud83d\ude00""#, "'é€😀'"),
            (#""é€😀""#, "'é€😀'"),
            (#"{"\u0061":1}"#, "{a=1}"),
        ]
    )
    func reads(text: String, meaning: String) throws {
        #expect(try spelled(text) == meaning)
    }

    @Test(
        "that is wrong is refused with the reason and the byte",
        arguments: [
            ("", JSONError(.ended, at: 0)),
            ("  ", JSONError(.ended, at: 2)),
            ("[", JSONError(.ended, at: 1)),
            ("[1", JSONError(.ended, at: 2)),
            (#"{"a""#, JSONError(.ended, at: 4)),
            (#"{"a":"#, JSONError(.ended, at: 5)),
            (#""abc"#, JSONError(.ended, at: 4)),
            ("tru", JSONError(.ended, at: 3)),
            ("-", JSONError(.ended, at: 1)),
            ("1.", JSONError(.ended, at: 2)),
            ("1e", JSONError(.ended, at: 2)),
            ("1 2", JSONError(.textAfterTheEnd, at: 2)),
            ("{}}", JSONError(.textAfterTheEnd, at: 2)),
            ("01", JSONError(.badNumber, at: 1)),
            ("1.x", JSONError(.badNumber, at: 2)),
            ("[-]", JSONError(.badNumber, at: 2)),
            ("[1,]", JSONError(.unexpected(UInt8(ascii: "]"), wanted: "a value"), at: 3)),
            ("[,1]", JSONError(.unexpected(UInt8(ascii: ","), wanted: "a value"), at: 1)),
            ("[1 2]", JSONError(.unexpected(UInt8(ascii: "2"), wanted: "',' or ']'"), at: 3)),
            (#"{"a":1,}"#, JSONError(.unexpected(UInt8(ascii: "}"), wanted: "a key in quotes"), at: 7)),
            (#"{a:1}"#, JSONError(.unexpected(UInt8(ascii: "a"), wanted: "a key in quotes"), at: 1)),
            (#"{"a" 1}"#, JSONError(.unexpected(UInt8(ascii: "1"), wanted: "':'"), at: 5)),
            ("trux", JSONError(.unexpected(UInt8(ascii: "x"), wanted: "true"), at: 3)),
            ("+1", JSONError(.unexpected(UInt8(ascii: "+"), wanted: "a value"), at: 0)),
            ("NaN", JSONError(.unexpected(UInt8(ascii: "N"), wanted: "a value"), at: 0)),
            ("\"a\nb\"", JSONError(.controlCharacter(10), at: 2)),
            (#""\x""#, JSONError(.badEscape, at: 1)),
            (#""\u12g4""#, JSONError(.badEscape, at: 1)),
            (#""\ud800""#, JSONError(.loneSurrogate, at: 1)),
            (#""\ud800\u0041""#, JSONError(.loneSurrogate, at: 1)),
            (#""\udc00""#, JSONError(.loneSurrogate, at: 1)),
            (#"{"a":1,"a":2}"#, JSONError(.duplicateKey("a"), at: 7)),
            (#"{"a":[{"x":1}],"b":2,"\u0061":3}"#, JSONError(.duplicateKey("a"), at: 21)),
        ]
    )
    func refuses(text: String, error: JSONError) {
        #expect(throws: error) { try spelled(text) }
    }

    @Test(
        "must be UTF-8 as RFC 3629 has it",
        arguments: [
            [0x80], [0xC0, 0xAF], [0xC1, 0xBF], [0xC3], [0xE0, 0x9F, 0xBF], [0xED, 0xA0, 0x80], [0xE2, 0x82],
            [0xF0, 0x8F, 0xBF, 0xBF], [0xF4, 0x90, 0x80, 0x80], [0xF5, 0x80, 0x80, 0x80], [0xFF], [0xC3, 0x28],
        ] as [[UInt8]]
    )
    func refusesBrokenUTF8(bytes: [UInt8]) {
        #expect(throws: JSONError(.notUTF8, at: 1)) { try spelled([0x22] + bytes + [0x22]) }
    }

    @Test("keeps each limit on both of its sides")
    func limits() throws {
        let limits = JSONLimits(bytesMost: 12, depthMost: 2, valuesMost: 5, membersMost: 1)
        #expect(try spelled("[1,2,3,4]", limits: limits) == "[1,2,3,4]")
        #expect(throws: JSONError(.tooManyValues(most: 5), at: 9)) { try spelled("[1,2,3,4,5]", limits: limits) }
        #expect(try spelled("[[]]", limits: limits) == "[[]]")
        #expect(throws: JSONError(.tooDeep(most: 2), at: 2)) { try spelled("[[[]]]", limits: limits) }
        #expect(try spelled(#"{"a":1}     "#, limits: limits) == "{a=1}")
        #expect(throws: JSONError(.tooLong(most: 12), at: 12)) { try spelled(#"{"a":1}      "#, limits: limits) }
        #expect(throws: JSONError(.tooManyMembers(most: 1), at: 6)) { try spelled(#"{"":1,"b":2}"#, limits: limits) }
    }

    @Test("nested without end costs its depth limit and no stack")
    func nesting() {
        let text = String(repeating: "[", count: 60_000)
        #expect(throws: JSONError(.tooDeep(most: 16), at: 16)) { try spelled(text) }
    }

    @Test("of any bytes is read or refused, never a trap")
    func anyBytes() {
        var random = SplitMix(state: 7)
        let letters = Array(#"{}[]",:\u0019eE+-.truefalsn "#.utf8) + [0xC3, 0xA9, 0x00, 0xFF]
        for _ in 0..<20_000 {
            let bytes = (0..<Int(random.next() % 24)).map { _ in letters[Int(random.next() % UInt64(letters.count))] }
            if let meaning = try? spelled(bytes) { #expect(!meaning.isEmpty) }
        }
    }

    @Test("knows where each value stands")
    func ranges() {
        let text = Array(#"{"a": [1, "x"], "b":true}"#.utf8)
        text.withUnsafeBytes { bytes in
            guard let root = try? JSONDocument(reading: bytes).root else {
                Issue.record("the text is valid")
                return
            }
            #expect(root.range == 0..<25)
            #expect(root["a"]?.range == 6..<14)
            #expect(root["a"]?.elements[1].range == 10..<13)
            #expect(root["b"]?.bool == true)
            #expect(root["c"] == nil)
        }
    }

    @Test(
        "gives whole numbers that fit and no others",
        arguments: [
            ("18446744073709551615", UInt64.max), ("0", 0), ("18446744073709551616", nil), ("-1", nil), ("1.0", nil),
            ("1e3", nil), (#""1""#, nil),
        ] as [(String, UInt64?)]
    )
    func wholeNumbers(text: String, value: UInt64?) throws {
        let read = try Array(text.utf8).withUnsafeBytes { try JSONDocument(reading: $0).root.uint64 }
        #expect(read == value)
    }

    @Test("tells keys apart that only look the same")
    func composedKeys() throws {
        let text = "{\"caf\u{E9}\":1,\"cafe\u{301}\":2}"
        let found = try Array(text.utf8).withUnsafeBytes { try JSONDocument(reading: $0).root["cafe\u{301}"]?.uint64 }
        #expect(found == 2)
    }

    @Test("error tells what and where")
    func words() {
        let error = JSONError(.unexpected(UInt8(ascii: "]"), wanted: "a value"), at: 3)
        #expect("\(error)" == "']' where a value should be at byte 3")
    }
}

private struct SplitMix {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
