import Server
import Testing

@Suite("The nearest name")
struct NearestNameTests {
    @Test(
        "is the one most likely meant, or none",
        arguments: [
            ("serve", "serve"), ("SERVE", "serve"), ("srve", "serve"), ("sevre", "serve"), ("servee", "serve"),
            ("verion", "version"), ("normalise", "normalize"), ("x", nil), ("banana", nil), ("", nil),
        ] as [(String, String?)]
    )
    func nearest(name: String, expected: String?) {
        #expect(nearestName(to: name, among: ["serve", "normalize", "version"]) == expected)
    }

    @Test("is the first of equally near ones")
    func tie() { #expect(nearestName(to: "cat", among: ["bat", "hat"]) == "bat") }

    @Test("is found in bounded time for a name of any length")
    func long() { #expect(nearestName(to: String(repeating: "x", count: 1_000_000), among: ["serve"]) == nil) }
}
