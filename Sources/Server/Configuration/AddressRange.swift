import Glibc

/// One IP address, or all that share its first bits: `192.168.1.7`, `10.0.0.0/8`, `fd00::/8`.
package struct AddressRange: Hashable, Sendable, CustomStringConvertible {
    /// 4 or 16 bytes in network order, the bits behind the prefix zero.
    private var bytes: [UInt8]
    private var prefixBits: Int
    package let description: String

    /// Nil unless it is an address in numbers, perhaps with `/` and a prefix length that fits.
    package init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count <= 2, let bytes = Self.bytes(ofAddress: String(parts[0])) else { return nil }
        var prefixBits = bytes.count * 8
        if parts.count == 2 {
            guard
                parts[1].utf8.allSatisfy({ (0x30...0x39).contains($0) }),
                let bits = Int(parts[1]), bits <= prefixBits
            else { return nil }
            prefixBits = bits
        }
        self.bytes = Self.masked(bytes, prefixBits: prefixBits)
        self.prefixBits = prefixBits
        description = text
    }

    /// Whether the address, written in numbers, lies within; IPv4 written as IPv6 (`::ffff:1.2.3.4`) counts as IPv4.
    package func contains(address: String) -> Bool {
        guard let other = Self.bytes(ofAddress: address), other.count == bytes.count else { return false }
        return Self.masked(other, prefixBits: prefixBits) == bytes
    }

    private static func masked(_ bytes: [UInt8], prefixBits: Int) -> [UInt8] {
        bytes.enumerated().map { index, byte in
            let kept = min(8, max(0, prefixBits - index * 8))
            return kept == 8 ? byte : byte & ~(0xFF >> UInt8(kept))
        }
    }

    private static func bytes(ofAddress text: String) -> [UInt8]? {
        // A zero would end the text for C, and what follows it would pass unread.
        guard !text.utf8.contains(0) else { return nil }
        var bytes = [UInt8](repeating: 0, count: 16)
        if inet_pton(AF_INET, text, &bytes) == 1 { return Array(bytes[..<4]) }
        guard inet_pton(AF_INET6, text, &bytes) == 1 else { return nil }
        let isMapped = bytes[..<10].allSatisfy { $0 == 0 } && bytes[10] == 0xFF && bytes[11] == 0xFF
        return isMapped ? Array(bytes[12...]) : bytes
    }
}
