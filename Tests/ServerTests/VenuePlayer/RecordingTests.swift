import Server
import Testing

@Suite("A recording that is played")
struct RecordingTests {
    @Test("knows the venue, its streams and what everyone hears, and leaves out what was the recorded connection's own")
    func reads() throws {
        let recording = try Played.kraken()
        #expect(recording.manner.venue == "kraken")
        #expect(recording.frames.map(\.line) == [5, 6, 8])
        #expect(recording.frames.map(\.afterNs) == [0, 10_000_000, 20_000_000])
        #expect(recording.symbols == ["A/X", "B/X"])
        #expect(recording.greeting?.contains("systemStatus") == true)
        #expect(recording.offers(PlayedStream(channel: "trade", symbol: "B/X")))
        #expect(!recording.offers(PlayedStream(channel: "ticker", symbol: "B/X")))
        #expect(
            String(decoding: recording.text(recording.frames[1]), as: UTF8.self) == "[8,[[\"2\"]],\"trade\",\"B/X\"]"
        )
    }

    @Test("answers a request for a book whatever the order of its items, and says what is wrong with another")
    func answers() throws {
        let recording = try Played.recording(
            "1\t0\tH\thttps://api.binance.com/api/v3/depth?symbol=AB&limit=1000\t{\"lastUpdateId\":1}",
            "2\t1\tR\t{\"stream\":\"ab@trade\",\"data\":{}}"
        )
        #expect(recording.manner.venue == "binance")
        func ask(_ path: String, _ query: [(name: String, value: String)]) -> String {
            do throws(HTTPRefusal) {
                return String(decoding: try recording.answer(path: path, query: query), as: UTF8.self)
            } catch {
                return "\(error)"
            }
        }
        #expect(ask("/api/v3/depth", [("limit", "1000"), ("symbol", "AB")]) == "{\"lastUpdateId\":1}")
        #expect(ask("/api/v3/depth", [("limit", "5"), ("symbol", "AB")]) == "unknownParameter(\"limit\")")
        #expect(ask("/api/v3/depth", [("symbol", "CD"), ("limit", "1000")]) == "unknownSymbol")
        #expect(ask("/api/v3/time", []) == "unknownPath")
    }

    @Test("refuses what it cannot play and says why")
    func refuses() throws {
        #expect(throws: Recording.Refusal.unknownVenue) {
            try Played.recording("1\t1\tC\twss://example.com", "2\t1\tR\t{}")
        }
        #expect(throws: Recording.Refusal.empty) { try Played.recording("1\t1\tC\twss://ws.kraken.com") }
        #expect(throws: Recording.Refusal.self) {
            try Played.recording("1\t1\tC\twss://ws.kraken.com", "x\t1\tR\t{}")
        }
        #expect(throws: Recording.Refusal.self) {
            try Played.recording("1\t1\tC\twss://ws.kraken.com", "2\t1\tS\t{\"event\":\"sing\"}")
        }
        #expect(throws: Recording.Refusal.self) { try Recording(paths: ["/no/such/file"]) }
    }
}
