import Feeds
import Foundation
import Market
import Testing

/// The same seed breaks the same messages.
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

@Suite("Broken FIX messages")
struct FIXMutationTests {
    private static let bodies = [
        "35=X|52=20111124-06:58:56.460|1180=P|1181=1|268=2|279=0|55=J200|269=3|270=25929.169999999996|451=120.26|"
            + "273=07:00:00.000|83=1|279=0|55=J200|269=y|270=2987.03|451=13.85|83=1",
        "35=W|52=20240102-10:00:00.250|55=A|268=3|269=0|270=1.10|271=5|269=0|270=1.09|271=6|269=1|270=1.20|271=7",
        "35=X|268=3|279=0|269=0|55=A|270=1.11|271=1|279=1|269=1|270=1.20|271=9.5|279=2|269=0|270=1.09",
        "35=W|55=B|268=3|269=0|278=b1|270=10|271=5|269=0|278=b2|270=10|271=2.5|269=1|278=a1|270=11|271=1",
        "35=X|268=2|279=1|269=0|55=B|278=b2|270=9.5|279=2|269=1|278=a1",
        "35=W|55=C|268=2|269=0|1023=1|270=10|271=1|269=0|1023=2|270=9|271=2",
        "35=X|55=C|268=2|279=0|269=0|1023=2|270=9.5|271=4|279=2|269=0|1023=3",
        "35=f|55=A|326=2", "35=Y|262=1|58=no", "35=0",
    ]

    /// What a mutation cannot mend: an application whose count ran away would drop everything behind it.
    private static let resetEvery = 50

    @Test("never stop the feed, whether the sum is mended or not", arguments: [1, 2, 3, 4])
    func mutations(seed: UInt64) {
        var random = Seeded(state: seed)
        var feed = FIXFeed()
        var faults = 0
        let interesting = Array("0123456789.-=|:8JWXY\u{0}\u{1}\u{FF}".utf8)
        for round in 0..<4_000 {
            if round % Self.resetEvery == 0 {
                feed.feed.disconnected(1, reason: .connectionLost, atNs: 1, into: &feed.recorder)
            }
            var body = Array(Self.bodies[round % Self.bodies.count].utf8)
            for _ in 0..<Int.random(in: 0...3, using: &random) where !body.isEmpty {
                let place = Int.random(in: 0..<body.count, using: &random)
                switch random.next() % 6 {
                case 0: body[place] ^= 1 << UInt8(random.next() % 8)
                case 1: body[place] = interesting[Int(random.next() % UInt64(interesting.count))]
                case 2: body.removeSubrange(place...)
                case 3: body.remove(at: place)
                case 4: body.insert(UInt8(ascii: "9"), at: place)
                default:
                    let length = min(12, body.count - place)
                    body.insert(contentsOf: body[place..<(place + length)], at: place)
                }
            }
            var message = fix(String(decoding: body, as: UTF8.self))
            if random.next() % 4 == 0 { message[Int.random(in: 0..<message.count, using: &random)] ^= 4 }
            do throws(FrameFault) { try feed.receive(message) } catch { faults += 1 }
        }
        #expect(faults > 500)
        #expect(feed.feed.counters.badFrames == faults)
        #expect(feed.feed.counters.trades > 50)
        #expect(feed.feed.counters.bookUpdates > 100)
        for id in feed.feed.instruments {
            if let book = feed.feed.book(of: id) { #expect(book.isConsistent) }
        }
    }

    @Test(
        "in a recording cost themselves and nothing else",
        .enabled(if: Captures.arePresent, "the captures are not beside the package"),
        arguments: [5, 6, 7]
    )
    func recording(seed: UInt64) throws {
        var random = Seeded(state: seed)
        var bytes = try Captures.bytes("fix/jse-ftse-index-a.fix.gz")
        let flips = 300
        for _ in 0..<flips { bytes[Int.random(in: 0..<bytes.count, using: &random)] ^= 1 << UInt8(random.next() % 8) }
        var feed = FIXFeed()
        var (good, bad) = (0, 0)
        var framing = FIXFraming()
        let take = { (message: UnsafeRawBufferPointer) in
            do throws(FrameFault) {
                try feed.receive(Array(message))
                good += 1
            } catch {
                bad += 1
            }
        }
        bytes.withUnsafeBytes { framing.receive($0, message: take) }
        framing.finish(message: take)
        // A length that a flip made longer can cost the messages it covers.
        #expect(good >= 7_000 - 3 * flips)
        #expect(bad > flips / 2)
        #expect(feed.feed.counters.frameGaps > 50)
    }
}
