import Feeds
import Testing

/// The smallest generator that will do: the same seed breaks the same bytes.
private struct Seeded: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}

@Suite("Broken frames", .enabled(if: Captures.arePresent, "the captures are not beside the package"))
struct MutationTests {
    static let captures: [(venue: String, path: String)] = [
        ("coinbase", "coinbase/coinbase-A.cap.gz"),
        ("binance", "binance/binance-A.cap.gz"),
        ("binance-usdm", "binance_futures/binance_futures-A.cap.gz"),
        ("kraken", "kraken/kraken-A.cap.gz"),
        ("okx", "okx/okx-A.cap.gz"),
        ("deribit", "deribit/deribit-A.cap.gz"),
        ("bitstamp", "bitstamp/bitstamp-A.cap.gz"),
        ("bitmex", "bitmex/bitmex-A.cap.gz"),
        ("bybit-v2", "bybit/bybit-A.cap.gz"),
        ("kraken-futures", "kraken_futures/kraken_futures-A.cap.gz"),
        ("kraken-v2", "Fixtures/kraken-v2.cap.gz"),
        ("coinbase-advanced", "Fixtures/coinbase-advanced.cap.gz"),
        ("gemini", "Fixtures/gemini.cap.gz"),
    ]

    @Test("flipped, repeated, cut and swapped bytes never stop the feed", arguments: captures, [1, 2, 3])
    func mutations(capture: (venue: String, path: String), seed: UInt64) throws {
        let file = try CaptureFile(capture.path)
        var random = Seeded(state: seed)
        var replay = try Replay(capture.venue)
        let interesting = Array("\"\\{}[],:.-+eE0123456789tfnu \u{0}".utf8)
        for line in file.lines.prefix(2_500) {
            var payload = Array(file.bytes[line.payload])
            if !payload.isEmpty, random.next() % 2 == 0 {
                for _ in 0..<Int.random(in: 1...4, using: &random) where !payload.isEmpty {
                    let place = Int.random(in: 0..<payload.count, using: &random)
                    switch random.next() % 6 {
                    case 0: payload[place] ^= 1 << UInt8(random.next() % 8)
                    case 1: payload[place] = interesting[Int(random.next() % UInt64(interesting.count))]
                    case 2: payload.removeSubrange(place...)
                    case 3: payload.remove(at: place)
                    case 4: payload.insert(UInt8(ascii: "9"), at: place)
                    default:
                        let length = min(8, payload.count - place)
                        payload.insert(contentsOf: payload[place..<(place + length)], at: place)
                    }
                }
            }
            payload.withUnsafeBytes { replay.play(line, $0) }
        }
        #expect(replay.faults.count > 100 || file.lines.count < 500)
        #expect(replay.feed.counters.badFrames == replay.faults.count)
    }

    @Test("every prefix of a frame is a fault, for every venue", arguments: captures)
    func prefixes(capture: (venue: String, path: String)) throws {
        let file = try CaptureFile(capture.path)
        let frames = file.lines.filter { $0.kind == UInt8(ascii: "R") && $0.payload.count < 600 }
        for line in stride(from: 0, to: frames.count, by: max(1, frames.count / 20)).map({ frames[$0] }) {
            let dialect = try #require(Venues.dialect(of: capture.venue))
            for length in 0..<line.payload.count {
                // A buffer of its own, so that reading behind the end is seen.
                let prefix = Array(file.bytes[line.payload].prefix(length))
                var frame = VenueFrame()
                #expect(throws: FrameFault.self) {
                    try prefix.withUnsafeBytes { try dialect.parse($0, into: &frame) }
                }
            }
        }
    }
}
