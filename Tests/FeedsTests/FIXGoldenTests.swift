import Feeds
import Market
import Testing

/// One row of what simplefix made of the recording.
private struct GoldenMessage: Decodable {
    var n: Int
    var t: String
    var sending: String
    var applseq: Int?
    var entries: [Entry]?

    struct Entry: Decodable, Equatable {
        var action: String?
        var symbol: String?
        var type: String?
        var px: String?
        var netchg: String?
        var time: String?
        var rptseq: String?
        var text: String?
    }
}

@Suite("The recording of a FIX feed", .enabled(if: Captures.arePresent, "the captures are not beside the package"))
struct FIXGoldenTests {
    private static func messages() throws -> [[UInt8]] {
        var framing = FIXFraming()
        var all: [[UInt8]] = []
        try Captures.bytes("fix/jse-ftse-index-a.fix.gz").withUnsafeBytes { bytes in
            framing.receive(bytes) { all.append(Array($0)) }
        }
        framing.finish { all.append(Array($0)) }
        #expect(framing.skippedBytes == 0)
        return all
    }

    private static func golden() throws -> [GoldenMessage] {
        try Captures.rows("fix/jse-ftse-index-a.golden-simplefix.jsonl.gz")
    }

    @Test("has the fields that independent software read")
    func fields() throws {
        let (messages, golden) = (try Self.messages(), try Self.golden())
        #expect(messages.count == 7_000)
        #expect(golden.count == 7_000)
        for (message, row) in zip(messages, golden) {
            let fields = try message.withUnsafeBytes { try FIXFields($0) }
            var entries: [GoldenMessage.Entry] = []
            for (tag, value) in fields.all.map({ ($0.tag, $0.value) }) {
                if tag == 279 { entries.append(GoldenMessage.Entry(action: value)) }
                guard !entries.isEmpty else { continue }
                let last = entries.count - 1
                switch tag {
                case 55: entries[last].symbol = value
                case 269: entries[last].type = value
                case 270: entries[last].px = value
                case 451: entries[last].netchg = value
                case 273: entries[last].time = value
                case 83: entries[last].rptseq = value
                case 58: entries[last].text = value
                default: break
                }
            }
            guard fields.value(of: 35) == row.t, fields.value(of: 52) == row.sending,
                fields.value(of: 1181) == row.applseq.map(String.init), entries == row.entries ?? []
            else {
                Issue.record("message \(row.n) is read otherwise")
                return
            }
        }
    }

    @Test("gives each index value once, exactly as written")
    func values() throws {
        var feed = FIXFeed()
        let golden = try Self.golden()
        for message in try Self.messages() { try feed.receive(message) }
        var seen: Set<Int> = []
        let expected = golden.flatMap { row in
            // A message that came twice has its number twice.
            guard let number = row.applseq, seen.insert(number).inserted else { return [String]() }
            return (row.entries ?? []).filter { $0.type == "3" }.map { entry in
                "\(row.n) \(entry.symbol ?? "") \(entry.px.flatMap { Decimal($0)?.text } ?? "")"
            }
        }
        let ours = feed.recorder.events.compactMap { line, event, instrument -> String? in
            guard case .trade(let trade) = event.payload else { return nil }
            #expect(event.flags.contains(.synthetic) && instrument.kind == .index)
            return "\(line) \(instrument.rawSymbol) \(instrument.text(trade.price))"
        }
        #expect(ours == expected)
        #expect(ours.count == 4_473)
        #expect(feed.feed.counters.badFrames == 0)
    }

    @Test("counts five messages that came twice, no hole in 1181, and eight holes in 83")
    func counts() throws {
        var feed = FIXFeed()
        var repeated: [Int] = []
        for (index, message) in try Self.messages().enumerated() {
            let before = feed.feed.counters.repeatedFrames
            try feed.receive(message)
            if feed.feed.counters.repeatedFrames > before { repeated.append(index + 1) }
        }
        #expect(repeated == [3_123, 4_015, 4_828, 5_720, 6_534])
        #expect(feed.feed.counters.frameGaps == 0)
        let gaps = feed.recorder.events.compactMap { line, event, _ in event.flags.contains(.gapBefore) ? line : nil }
        #expect(gaps == [1_743, 2_064, 2_438, 3_094, 3_910, 4_813, 6_122, 6_173])
        #expect(feed.feed.counters.missedTrades == 8)
    }

    @Test("shows a hole where a message is taken out", arguments: [1_700, 3_000, 5_000])
    func hole(place: Int) throws {
        var messages = try Self.messages()
        let numbered = try #require(
            messages.indices.first {
                $0 >= place && String(decoding: messages[$0], as: UTF8.self).contains("\u{1}1181=")
            }
        )
        messages.remove(at: numbered)
        var feed = FIXFeed()
        var found: [Int] = []
        for (index, message) in messages.enumerated() {
            let before = feed.feed.counters.frameGaps
            try feed.receive(message)
            if feed.feed.counters.frameGaps > before { found.append(index) }
        }
        let next = try #require(
            messages.indices.first {
                $0 >= numbered && String(decoding: messages[$0], as: UTF8.self).contains("\u{1}1181=")
            }
        )
        #expect(found == [next])
    }
}
