/// How many bytes may be on their way to a client without its having said that they arrived.
///
/// What lies in kernels and in the client's own buffers grows old there: seconds of it, before the socket takes no more. So a ping with a
/// number goes into the stream from time to time, and its pong says that all bytes before it were read. More than a window's worth, and
/// what the way there and back takes, beyond the last pong, and the client counts as behind: it is told the newest once it is through,
/// instead of all that was. The window is a quarter of a second for a client that is new or was behind of late, and grows to three
/// quarters while it keeps up: then it is asked a third as often, and each answer costs half a message.
///
/// A client that never answered one is not held to it: what it has not read shows by itself, only later.
package struct Credit {
    private struct Marker {
        var number: UInt32
        /// Bytes sent before it.
        var bytes: UInt64
        var sentNs: Int64
    }

    private static let windowLeastNs: Int64 = 250_000_000
    private static let windowMostNs: Int64 = 750_000_000
    /// This much is always allowed.
    package static let bytesLeast: UInt64 = 16_384
    /// Markers that are not answered yet; with as many out, no other follows.
    private static let markersMost = 4

    private var sent: UInt64 = 0
    private var arrived: UInt64 = 0
    private var markers: [Marker] = []
    private var nextNumber: UInt32 = 0
    private var markedNs: Int64 = 0
    private var markedBytes: UInt64 = 0
    private var arrivedNs: Int64 = 0
    /// Bytes a second that arrived of late.
    private var rate: UInt64 = 0
    /// How long the way there and back takes when nothing lies on it: what is on its way for that long is nobody's fault.
    private var roundTripNs: Int64 = .max
    private var hasAnswered = false
    /// Of how much time the bytes may be on their way; a marker goes out once a window, or with half of what is allowed.
    private var windowNs = Self.windowLeastNs

    package init() {}

    /// What may be on its way.
    package var allowed: UInt64 {
        let seconds = (Double(windowNs) + (hasAnswered ? 1.5 * Double(roundTripNs) : 0)) / 1e9
        return max(Self.bytesLeast, UInt64(Double(rate) * seconds))
    }

    /// Whether more is on its way than may be.
    package var isUsedUp: Bool { sent - arrived > Self.bytesLeast && hasAnswered && sent - arrived > allowed }

    /// Counts bytes that were written.
    package mutating func send(_ bytes: Int) {
        sent += UInt64(bytes)
        if isUsedUp { windowNs = Self.windowLeastNs }
    }

    /// The payload of the ping that is to follow the bytes that are about to be written; nil while none is due.
    package mutating func marker(behind bytes: Int, atNs now: Int64) -> [UInt8]? {
        let unmarked = sent + UInt64(bytes) - markedBytes
        guard unmarked >= Self.bytesLeast / 2, markers.count < Self.markersMost else { return nil }
        guard now - markedNs >= windowNs || unmarked >= allowed / 2 else { return nil }
        nextNumber &+= 1
        markedNs = now
        markedBytes = sent + UInt64(bytes)
        markers.append(Marker(number: nextNumber, bytes: markedBytes, sentNs: now))
        return withUnsafeBytes(of: nextNumber.littleEndian) { Array($0) }
    }

    /// Whether nothing is out whose answer could bring new credit: then a ping by itself has to go.
    package var needsPing: Bool { isUsedUp && markers.isEmpty }

    /// The payload of a ping by itself, which asks after all that was sent so far.
    ///
    /// With as many out as may be it repeats the newest: of several pings the newest alone may be answered (RFC 6455, section 5.5.3).
    package mutating func ping(atNs now: Int64) -> [UInt8] {
        if markers.count < Self.markersMost {
            nextNumber &+= 1
            markedNs = now
            markedBytes = sent
            markers.append(Marker(number: nextNumber, bytes: sent, sentNs: now))
        }
        let number = markers.last?.number ?? nextNumber
        return withUnsafeBytes(of: number.littleEndian) { Array($0) }
    }

    /// Takes a pong; one that answers no marker says nothing.
    package mutating func pong(_ payload: UnsafeRawBufferPointer, atNs now: Int64) {
        guard payload.count == 4 else { return }
        let number = UInt32(littleEndian: payload.loadUnaligned(as: UInt32.self))
        guard let place = markers.firstIndex(where: { $0.number == number }) else { return }
        let (bytes, sentNs) = (markers[place].bytes, markers[place].sentNs)
        if !isUsedUp { windowNs = min(Self.windowMostNs, windowNs + windowNs / 8) }
        // The shortest there was; a way that grows longer is learned in minutes, not from a few who wait.
        let known = roundTripNs == .max ? .max : roundTripNs + roundTripNs / 1_000
        roundTripNs = min(known, max(1, now - sentNs))
        markers.removeSubrange(...place)
        if markers.isEmpty { markers = [] }
        // At once after another it says little of a rate.
        let elapsed = UInt64(max(1_000_000, now - arrivedNs))
        let newest = (bytes - arrived).multipliedReportingOverflow(by: 1_000_000_000).partialValue / elapsed
        rate = newest > rate ? newest : (3 * rate + newest) / 4
        arrived = bytes
        arrivedNs = now
        hasAnswered = true
    }
}
