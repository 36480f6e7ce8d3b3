import Server
import Testing

@Suite("Kraken's version 2, played")
struct KrakenV2MannerTests {
    private static func recording() throws -> Recording {
        try Played.recording(
            "1\t1\tC\twss://ws.kraken.com/v2",
            "2\t1\tS\t{\"method\":\"subscribe\",\"params\":{\"channel\":\"book\",\"symbol\":[\"A/X\"],\"depth\":10},\"req_id\":1}",
            "3\t1\tR\t{\"channel\":\"status\",\"type\":\"update\",\"data\":[{}]}",
            "4\t1\tR\t{\"method\":\"subscribe\",\"result\":{\"channel\":\"book\",\"symbol\":\"A/X\"},\"success\":true}",
            "5\t1\tR\t{\"channel\":\"instrument\",\"type\":\"snapshot\",\"data\":{\"pairs\":[{\"symbol\":\"A/X\"}]}}",
            "6\t1\tR\t{\"channel\":\"book\",\"type\":\"snapshot\",\"data\":[{\"symbol\":\"A/X\"}]}",
            "7\t1\tR\t{\"channel\":\"heartbeat\"}",
            "8\t1\tR\t{\"channel\":\"trade\",\"type\":\"update\",\"data\":[{\"symbol\":\"B/X\"}]}"
        )
    }

    private static let book = PlayedStream(channel: "book", symbol: "A/X")
    private static let units = PlayedStream(channel: "instrument", symbol: "")

    @Test("is another venue than version 1 of the same host, and knows its streams")
    func reads() throws {
        let recording = try Self.recording()
        #expect(recording.manner.venue == "kraken-v2")
        #expect(recording.streams == [Self.book, Self.units, PlayedStream(channel: "trade", symbol: "B/X")])
        #expect(recording.frames.map(\.line) == [5, 6, 8])
        #expect(recording.greeting?.contains("status") == true)
        let old = try Played.kraken()
        #expect(old.manner.venue == "kraken")
    }

    @Test("answers each pair on its own")
    func replies() throws {
        let recording = try Self.recording()
        let text =
            "{\"req_id\":4,\"params\":{\"symbol\":[\"C/X\",\"A/X\"],\"channel\":\"book\"},\"method\":\"subscribe\"}"
        let request = try Played.request(text, of: recording.manner)
        let reply = recording.manner.reply(to: request, having: [], in: recording)
        #expect(reply.begins == [Self.book])
        #expect(
            reply.texts == [
                "{\"method\":\"subscribe\",\"req_id\":4,\"result\":{\"channel\":\"book\",\"symbol\":\"A/X\"},\"success\":true}",
                "{\"error\":\"Currency pair not supported C/X\",\"method\":\"subscribe\",\"req_id\":4,\"success\":false,"
                    + "\"symbol\":\"C/X\"}",
            ]
        )
        let instrument = try Played.request(
            "{\"method\":\"subscribe\",\"params\":{\"channel\":\"instrument\"}}",
            of: recording.manner
        )
        #expect(instrument == .subscribe([Self.units], tag: nil))
        let pong = recording.manner.reply(to: .ping(tag: "7"), having: [], in: recording)
        #expect(pong.texts == ["{\"method\":\"pong\",\"req_id\":7}"])
        let ends = recording.manner.reply(
            to: .unsubscribe([Self.book, Self.units], tag: nil),
            having: [Self.book],
            in: recording
        )
        #expect(ends.ends == [Self.book])
        #expect(ends.texts.count == 2)
    }

    @Test(
        "what has no meaning is named",
        arguments: [
            ("{\"method\":\"subscribe\"}", MeaningFault.badMember("params")),
            ("{\"params\":{}}", .badMember("method")),
            ("{\"method\":\"add_order\",\"params\":{}}", .unknownRequest("add_order")),
            ("{\"method\":\"subscribe\",\"params\":{\"channel\":\"executions\"}}", .badChannel("executions")),
            ("{\"method\":\"subscribe\",\"params\":{\"channel\":\"book\"}}", .badMember("symbol")),
            (
                "{\"method\":\"subscribe\",\"params\":{\"channel\":\"trade\",\"symbol\":[],\"depth\":1}}",
                .unknownMember("depth")
            ),
        ]
    )
    func meaningless(text: String, fault: MeaningFault) {
        #expect(throws: fault) { try Played.request(text, of: KrakenV2Manner()) }
    }
}
