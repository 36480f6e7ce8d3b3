import Feeds
import Testing

@testable import Server

@Suite("A recorded address")
struct RecordedAddressTests {
    @Test("of FIX says how books are read", arguments: [nil, 5], FIXMarketDataDialect.Keying.allCases)
    func fix(depth: Int?, keying: FIXMarketDataDialect.Keying) {
        let live = FIXMarketDataDialect(venue: "fix-a", keying: keying, depth: depth)
        let url = RecordedAddress.fix(host: "::1", port: 9_876, live)
        #expect(url == "fix://[::1]:9876?depth=\(depth ?? 0)&keying=\(keying.rawValue)")
        let read = RecordedAddress.fixDialect(of: url, venue: "fix-a")
        #expect(read.depth == depth && read.keying == keying && read.venue == "fix-a")
    }

    @Test(
        "of FIX that says nothing, or nonsense, is read as it comes",
        arguments: ["fix://a:1", "fix://a:1?depth=-1&x&keying=z"]
    )
    func fixUnknown(url: String) {
        let read = RecordedAddress.fixDialect(of: url, venue: "fix")
        #expect(read.depth == nil && read.keying == .automatic)
    }

    @Test("of ITCH says from when times count and what the books are")
    func itch() {
        let session = RecordedAddress.ITCHSession(midnightNs: 1_293_166_800_000_000_000, books: .kept)
        let url = RecordedAddress.itch("soupbin://10.1.2.3:5000", session: "S 1?&", session)
        #expect(url == "soupbin://10.1.2.3:5000/S1?midnight=1293166800000000000&books=kept")
        #expect(RecordedAddress.itchSession(of: url) == session)
    }

    @Test(
        "of anything else is no session of ITCH",
        arguments: ["", "soupbin://a:1/S1", "a?midnight=x&books=kept", "a?midnight=1&books=full"]
    )
    func itchUnknown(url: String) { #expect(RecordedAddress.itchSession(of: url) == nil) }
}
