import Server
import Testing

@Suite("A range of addresses")
struct AddressRangeTests {
    @Test(
        "knows what lies within a range of addresses",
        arguments: [
            ("10.0.0.0/8", "10.255.0.1", true), ("10.0.0.0/8", "11.0.0.1", false), ("192.168.1.7", "192.168.1.7", true),
            ("192.168.1.7", "192.168.1.8", false), ("0.0.0.0/0", "8.8.8.8", true), ("0.0.0.0/0", "::1", false),
            ("192.168.1.128/25", "192.168.1.127", false), ("192.168.1.128/25", "192.168.1.128", true),
            ("fd00::/8", "fd12::1", true), ("fd00::/8", "fe00::1", false), ("127.0.0.1", "::ffff:127.0.0.1", true),
            ("10.0.0.0/8", "nonsense", false), ("10.0.0.0/8", "10.0.0.1\0.example", false),
        ]
    )
    func addressRanges(range: String, address: String, isInside: Bool) throws {
        #expect(try #require(AddressRange(range)).contains(address: address) == isInside)
    }

    @Test(
        "refuses what is no range of addresses",
        arguments: ["", "x", "10.0.0.0/33", "::/129", "10.0.0.0/", "1.2.3.4/-1", "1.2.3.4\0", "::1\0x"]
    )
    func noAddressRange(text: String) { #expect(AddressRange(text) == nil) }
}
