import Server
import Testing

@Suite("Looking names up")
struct NameLookupTests {
    @Test(
        "an address is known for what it is",
        arguments: [
            ("127.0.0.1", true), ("::1", true), ("localhost", false), ("1.2.3", false), ("", false),
        ]
    )
    func addresses(host: String, isAddress: Bool) {
        #expect(NameLookup.isAddress(host) == isAddress)
    }

    @Test("finds this machine by its name, and says why it does not find another")
    func finds() async throws {
        guard case .addresses(let addresses) = try await Self.answer("localhost") else {
            Issue.record("localhost has no address")
            return
        }
        #expect(addresses.allSatisfy(NameLookup.isAddress))
        // A name that cannot be one, so that no server of names is asked.
        guard case .failed(let reason) = try await Self.answer("no such host") else {
            Issue.record("an impossible name has an address")
            return
        }
        #expect(!reason.isEmpty)
    }

    private static func answer(_ host: String) async throws -> NameLookup.Answer {
        let lookup = NameLookup(host: host)
        for _ in 0..<3_000 {
            if let answer = lookup.answer { return answer }
            try await Task.sleep(nanoseconds: 5_000_000)
        }
        throw CancellationError()
    }
}
