internal import Synchronization

/// Makes short ids by which an error shown to a client is found in the log.
///
/// Ten letters and digits that are hard to confuse; no id comes twice in 2^50. Callable from any thread.
package final class RequestIDGenerator: Sendable {
    private let next: Atomic<UInt64>
    private static let mask: UInt64 = (1 << 50) - 1
    private static let alphabet = Array("0123456789abcdefghjkmnpqrstvwxyz".utf8)

    /// Equal seeds give equal ids.
    package init(seed: UInt64) { next = Atomic(seed) }

    package func make() -> String {
        // Each step is a bijection of 50 bits, so that different numbers stay different but look unrelated.
        var number = next.wrappingAdd(1, ordering: .relaxed).oldValue & Self.mask
        number = number &* 0x9E37_79B9_7F4A_7C15 & Self.mask
        number ^= number >> 27
        number = number &* 0xBF58_476D_1CE4_E5B9 & Self.mask
        number ^= number >> 25
        let letters = (0..<10).map { Self.alphabet[Int(number >> UInt64(45 - 5 * $0) & 31)] }
        return String(decoding: letters, as: UTF8.self)
    }
}
