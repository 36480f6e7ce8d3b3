/// Where the numbered frames of each connection stand.
///
/// A connection has one count, or several with names; what a venue may name so is bounded, and counts beyond the bound are
/// not followed.
struct FrameCounts: Sendable {
    enum Place: Sendable {
        case isNext
        /// The number came before.
        case isKnown
        /// Frames between the last one and this did not come.
        case isBehindGap
    }

    private struct Count: Sendable {
        var connection: UInt32
        var name: [UInt8]
        var last: UInt64
        var isLost = false
    }

    private static let countsMost = 1_024
    private var counts: [Count] = []
    /// The count of the frame last taken; nil when it has none.
    private(set) var current: Int?

    /// Takes a frame's number; the first of a connection begins its count.
    mutating func take(_ number: UInt64, of name: UnsafeRawBufferPointer, on connection: UInt32) -> Place {
        current = counts.firstIndex { $0.connection == connection && $0.name.elementsEqual(name) }
        guard let index = current else {
            let count = Count(connection: connection, name: Array(name), last: number)
            if counts.count < Self.countsMost {
                current = counts.count
                counts.append(count)
            } else if let gone = counts.firstIndex(where: { $0.isLost }) {
                current = gone
                counts[gone] = count
            }
            return .isNext
        }
        guard !counts[index].isLost else {
            counts[index].isLost = false
            counts[index].last = number
            return .isNext
        }
        let last = counts[index].last
        guard number > last else { return .isKnown }
        counts[index].last = number
        return number == last &+ 1 ? .isNext : .isBehindGap
    }

    /// The frame has no number.
    mutating func takeNone() { current = nil }

    /// The connection is gone: its next one counts anew.
    mutating func forget(_ connection: UInt32) {
        for index in counts.indices where counts[index].connection == connection { counts[index].isLost = true }
    }
}
