import Server
import Testing

@Suite("The JSON5 reader")
struct JSON5ReaderTests {
    private static func read(_ text: String) throws(JSON5Error) -> JSON5Node { try JSON5Reader.read(text.utf8) }

    @Test(
        "reads every spelling of a value",
        arguments: [
            ("null", "null"),
            (" true ", "true"),
            ("12", "12"),
            ("+12", "12"),
            ("-0", "-0"),
            ("-1.5", "-1.5"),
            (".5", "0.5"),
            ("5.", "5"),
            ("-.25e+1", "-2.5"),
            ("1E3", "1000"),
            ("0xFf", "255"),
            ("-0x10", "-16"),
            ("9223372036854775807", "9223372036854775807"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("9223372036854775808", "9.223372036854776e+18"),
            ("Infinity", "Infinity"),
            ("-Infinity", "-Infinity"),
            ("+NaN", "NaN"),
            ("'it''", nil),
            (#"'a "quoted" \'word\''"#, #""a \"quoted\" 'word'""#),
            (#""\b\f\n\r\t\v\0\x41\u00e9\ud83d\ude00\/\a""#, #""\u0008\u000c\n\r\t\u000b\u0000Aé😀/a""#),
            ("'one \\\ntwo \\\r\nthree \\\u{2028}four'", #""one two three four""#),
            ("[]", "[]"),
            ("[1, 'a', [],]", #"[1, "a", []]"#),
            ("{}", "{}"),
            (
                "{a: 1, $b_2: 2, 'c d': 3, \"e\": 4, ünï: 5, \\u0061b: 6, null: 7,}",
                #"{ "a": 1, "$b_2": 2, "c d": 3, "e": 4, "ünï": 5, "ab": 6, "null": 7 }"#
            ),
            ("// one\n/* two\n * three **/ [ // four\r 1 /**/ , ] // end", "[1]"),
            ("\u{FEFF}\u{A0}\u{2003}\u{2029}\t\u{B}\u{C}1", "1"),
        ] as [(String, String?)]
    )
    func reads(text: String, expected: String?) throws {
        guard let expected else {
            #expect(throws: JSON5Error.self) { try Self.read(text) }
            return
        }
        #expect(JSONText.compact(try Self.read(text).value) == expected)
    }

    @Test(
        "says where and what is wrong, and what would be right",
        arguments: [
            ("", "1:1: the text ends where a value was expected"),
            ("{a 1}", "1:4: expected a colon after the key, found \"1\""),
            ("{a: 1 b: 2}", "1:7: expected a comma or } after the value, found \"b\""),
            ("{a: 1,, }", "1:7: expected a key or }, found \",\""),
            ("{a: 1", "1:6: the text ends where a comma or } after the value was expected"),
            ("[1 2]", "1:4: expected a comma or ] after the value, found \"2\""),
            ("[,]", "1:2: expected a value, found \",\""),
            ("1 2", "1:3: expected the end of the text, found \"2\""),
            ("{\n  a: yes\n}", "2:6: yes is no value; write text in quotes: \"yes\""),
            ("{a: 1,\r\n /* é */ a: 2}", "2:10: key \"a\" stands twice, first at 1:2; remove one"),
            ("{a: 1, \"\\u0061\": 2}", "1:8: key \"a\" stands twice, first at 1:2; remove one"),
            ("\n /* x", "2:2: the comment that begins here is never closed; end it with */"),
            ("/ 1", "1:1: expected a value, key or comment (// or /* */), found \"/\""),
            ("[ 'abc ]", "1:3: the text that begins here is never closed; end it with the quote it began with"),
            ("'a\nb'", "1:3: a line break inside quoted text; write \\n, or end the line with \\ to continue it"),
            ("'\\1'", "1:2: \\1 is no escape; write a backslash itself as \\\\"),
            ("'\\01'", "1:2: \\0 is no escape; write a backslash itself as \\\\"),
            ("'\\xZ0'", "1:2: \\x without 2 hexadecimal digits is no escape; write a backslash itself as \\\\"),
            ("'\\ud83d'", "1:2: half of a surrogate pair, \\ud83d, is no escape; write a backslash itself as \\\\"),
            ("010", "1:1: 010 is no number; JSON5 has 12, -1.5, .5, 1e3 and 0xFF"),
            ("[1.2.3]", "1:2: 1.2.3 is no number; JSON5 has 12, -1.5, .5, 1e3 and 0xFF"),
            ("1e", "1:1: 1e is no number; JSON5 has 12, -1.5, .5, 1e3 and 0xFF"),
            (".", "1:1: . is no number; JSON5 has 12, -1.5, .5, 1e3 and 0xFF"),
            ("--1", "1:1: - is no number; JSON5 has 12, -1.5, .5, 1e3 and 0xFF"),
            ("0x", "1:1: 0x is no number; JSON5 has 12, -1.5, .5, 1e3 and 0xFF"),
            ("12ms", "1:1: 12ms is no number; JSON5 has 12, -1.5, .5, 1e3 and 0xFF"),
            ("0x10000000000000000", "1:1: the number 0x10000000000000000 does not fit in 64 bits"),
            ("1e999", "1:1: the number 1e999 does not fit in 64 bits"),
        ]
    )
    func refuses(text: String, expected: String) {
        let error = #expect(throws: JSON5Error.self) { try Self.read(text) }
        #expect(error.map { "\($0.position): \($0.message)" } == expected)
    }

    @Test("refuses bytes that are not UTF-8, at their place")
    func notUTF8() {
        let error = #expect(throws: JSON5Error.self) { try JSON5Reader.read(Array("{\n é: '".utf8) + [0xC3, 0x28]) }
        #expect(error == JSON5Error(.notUTF8(byte: 0xC3), at: TextPosition(line: 2, column: 6)))
    }

    @Test("reads as deep as its bound, and no deeper")
    func depth() throws {
        let most = JSON5Reader.levelsMost
        func nested(_ levels: Int) -> String {
            String(repeating: "[", count: levels) + String(repeating: "]", count: levels)
        }
        _ = try Self.read(nested(most))
        let error = #expect(throws: JSON5Error.self) { try Self.read(nested(most + 1)) }
        #expect(error == JSON5Error(.tooDeep(levelsMost: most), at: TextPosition(line: 1, column: most + 1)))
    }

    @Test("reads as much as its bound, and no more")
    func length() throws {
        let most = JSON5Reader.bytesMost
        _ = try Self.read("1" + String(repeating: " ", count: most - 1))
        #expect(throws: JSON5Error(.tooLong(bytes: most + 1, bytesMost: most), at: TextPosition(line: 1, column: 1))) {
            try Self.read("1" + String(repeating: " ", count: most))
        }
    }

    @Test("knows where each key and value stands")
    func positions() throws {
        let node = try Self.read("{\n  listen: {\r\n    port: 80,\r  },\u{2028}é: [1, 2] }")
        let listen = try #require(node["listen"])
        #expect(listen.position == TextPosition(line: 2, column: 11))
        #expect(listen["port"]?.position == TextPosition(line: 3, column: 11))
        guard case .object(let members) = node.value, case .list(let elements) = members[1].node.value else {
            Issue.record("an object with a list was expected")
            return
        }
        #expect(members[1].keyPosition == TextPosition(line: 5, column: 1))
        #expect(elements[1].position == TextPosition(line: 5, column: 8))
    }

    @Test("never traps on damaged text, and reads again what it wrote")
    func damaged() {
        let text = Array(
            #"{a: [1, -2.5e3, 'x\u0041\n', null], "b": {c: true, d: 0x1F,}, /* é */ e: Infinity} // end"#.utf8
        )
        var state: UInt64 = 42
        func next() -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33)
        }
        for _ in 0..<20_000 {
            var damaged = text
            for _ in 0...(next() % 3) {
                switch next() % 3 {
                case 0: damaged[next() % damaged.count] = UInt8(next() % 256)
                case 1: damaged.remove(at: next() % damaged.count)
                default: damaged.insert(text[next() % text.count], at: next() % damaged.count)
                }
            }
            damaged.withUnsafeBytes { fuzzJSON5Reader($0) }
        }
    }
}
