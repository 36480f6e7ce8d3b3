/// The cyclic redundancy check of zlib, PNG and Ethernet (polynomial 0xEDB88320, reflected).
///
/// Here because the pure modules import no C and Kraken's book checksum is part of the model.
public struct CRC32: Sendable {
    private var state: UInt32 = .max

    public init() {}

    public var value: UInt32 { ~state }

    public mutating func add(_ byte: UInt8) {
        state = Self.table[Int(UInt8(truncatingIfNeeded: state) ^ byte)] ^ (state >> 8)
    }

    /// Adds the decimal digits of a number, without leading zeros, with a sign only when negative.
    public mutating func add(decimal number: Int64) {
        if number < 0 { add(UInt8(ascii: "-")) }
        var left = number.magnitude
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 20) { digits in
            var count = 0
            repeat {
                let (quotient, digit) = left.quotientAndRemainder(dividingBy: 10)
                digits[count] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: digit)
                count += 1
                left = quotient
            } while left > 0
            while count > 0 {
                count -= 1
                add(digits[count])
            }
        }
    }

    private static let table: [UInt32] = (0..<256).map { byte in
        (0..<8).reduce(UInt32(byte)) { sum, _ in sum & 1 == 1 ? 0xEDB8_8320 ^ (sum >> 1) : sum >> 1 }
    }
}
