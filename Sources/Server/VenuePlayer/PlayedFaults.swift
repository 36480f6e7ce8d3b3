/// What goes wrong on demand: each fault once, for the first connection that is played its line or a later one.
package struct PlayedFaults: Sendable {
    private var waiting: [VenueOptions.Fault]
    private var random: SplitMix

    package init(_ faults: [VenueOptions.Fault], seed: UInt64) {
        waiting = faults.sorted { $0.line < $1.line }
        random = SplitMix(state: seed)
    }

    /// The fault that happens before this line is played, if one does; call again until there is none.
    package mutating func due(atLine line: Int) -> VenueOptions.Fault.Kind? {
        guard let first = waiting.first, first.line <= line else { return nil }
        waiting.removeFirst()
        return first.kind
    }

    /// Three frames that nobody can understand: no JSON, a part of a real frame, and JSON that says nothing.
    package mutating func garbage(from frame: ArraySlice<UInt8>) -> [[UInt8]] {
        // Printable, so that it is UTF-8 and the connection may stay.
        let noise = (0..<(1 + Int(random.next() % 200))).map { _ in UInt8(0x20 + random.next() % 0x5F) }
        let cut = Array(frame.prefix(max(1, Int(random.next() % UInt64(max(1, frame.count))))))
        return [noise, Self.endingInWholeCharacter(cut), Array("{\"unexpected\":[\(random.next() % 1_000)]}".utf8)]
    }

    /// A random number below `bound`, for the delay of a snapshot.
    package mutating func number(below bound: UInt64) -> UInt64 { bound == 0 ? 0 : random.next() % bound }

    private static func endingInWholeCharacter(_ bytes: [UInt8]) -> [UInt8] {
        var bytes = bytes
        while let last = bytes.last, last & 0x80 != 0 { bytes.removeLast() }
        return bytes
    }
}

/// SplitMix64: small, seeded, good enough to choose delays and noise.
private struct SplitMix: Sendable {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
