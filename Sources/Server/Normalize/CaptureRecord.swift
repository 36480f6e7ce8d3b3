/// One line of a capture: `recv_ns  conn  kind  payload`, separated by tabs.
///
/// The payload points into the line and lives as long as it.
package struct CaptureRecord {
    package enum Kind: UInt8 {
        /// A connection was opened; the payload is its URL.
        case connect = 0x43
        /// A frame that the client sent.
        case sent = 0x53
        /// A frame that the client received.
        case received = 0x52
        /// The answer to an HTTP request; the payload is the URL, a tab and the body.
        case answer = 0x48
        /// What does not fit a line of text: the letter of another kind, a tab, and that kind's payload in base64.
        ///
        /// A small letter, `r` or `s`, says that it is bytes rather than text. See ``unpacked(in:)``.
        case packed = 0x42
        /// A word of the recorder itself; see ``RecordingMark``.
        case mark = 0x4D
    }

    package enum Fault: Error, Hashable, Sendable {
        case missingField
        case badTime
        case badConnection
        case badKind
        /// An answer without a tab between URL and body.
        case missingBody
        /// A packed record that holds no other kind, or no base64.
        case badPacking
        case lineTooLong(bytesMost: Int)
    }

    /// When the recorder read it, nanoseconds since 1970 UTC.
    package var receivedNs: Int64
    /// 0 for HTTP.
    package var connection: UInt32
    package var kind: Kind
    package var payload: UnsafeRawBufferPointer
    /// Whether the payload is bytes of a binary protocol rather than text; only a packed record can say so.
    package var isBinary = false

    package init(_ line: UnsafeRawBufferPointer) throws(Fault) {
        var at = 0
        guard let time = try Self.number(line, &at, .badTime) else { throw .badTime }
        guard let number = try Self.number(line, &at, .badConnection), let connection = UInt32(exactly: number) else {
            throw .badConnection
        }
        guard at + 1 < line.count, line[at + 1] == UInt8(ascii: "\t") else {
            throw at + 1 < line.count ? .badKind : .missingField
        }
        guard let kind = Kind(rawValue: line[at]) else { throw .badKind }
        receivedNs = time
        self.connection = connection
        self.kind = kind
        payload = UnsafeRawBufferPointer(rebasing: line[(at + 2)...])
    }

    /// Reads digits up to a tab; nil when there are none or too many.
    private static func number(
        _ line: UnsafeRawBufferPointer,
        _ at: inout Int,
        _ fault: Fault
    ) throws(Fault) -> Int64? {
        var total: Int64 = 0
        let start = at
        while at < line.count, line[at] != UInt8(ascii: "\t") {
            let digit = line[at] &- UInt8(ascii: "0")
            guard digit < 10, at - start < 18 || total <= 922_337_203_685_477_579 else { throw fault }
            let (sum, overflow) = (total * 10).addingReportingOverflow(Int64(digit))
            guard !overflow else { throw fault }
            total = sum
            at += 1
        }
        guard at < line.count else { throw .missingField }
        defer { at += 1 }
        return at > start ? total : nil
    }

    /// The record that a packed one holds, its payload in `room`; any other record as it is.
    package func unpacked(in room: UnpackingRoom) throws(Fault) -> CaptureRecord {
        guard kind == .packed else { return self }
        guard payload.count >= 2, payload[1] == UInt8(ascii: "\t") else { throw .badPacking }
        var record = self
        switch payload[0] {
        case UInt8(ascii: "r"): (record.kind, record.isBinary) = (.received, true)
        case UInt8(ascii: "s"): (record.kind, record.isBinary) = (.sent, true)
        default:
            guard let kind = Kind(rawValue: payload[0]), kind != .packed else { throw .badPacking }
            record.kind = kind
        }
        guard let bytes = room.decode(UnsafeRawBufferPointer(rebasing: payload[2...])) else { throw .badPacking }
        record.payload = bytes
        return record
    }

    /// URL and body of an ``Kind/answer``.
    package func answer() throws(Fault) -> (url: String, body: UnsafeRawBufferPointer) {
        guard let tab = payload.firstIndex(of: UInt8(ascii: "\t")) else { throw .missingBody }
        return (
            String(decoding: payload[..<tab], as: UTF8.self), UnsafeRawBufferPointer(rebasing: payload[(tab + 1)...])
        )
    }
}

extension CaptureRecord.Fault: CustomStringConvertible {
    package var description: String {
        switch self {
        case .missingField: "a line needs time, connection, kind and payload, separated by tabs"
        case .badTime: "the time is not a whole number of nanoseconds"
        case .badConnection: "the connection is not a number"
        case .badKind: "the kind is not one of C, S, R, H, B and M"
        case .missingBody: "an HTTP answer needs URL, tab and body"
        case .badPacking: "a record of kind B needs a kind, a tab and base64 with its padding"
        case .lineTooLong(let most): "the line is longer than \(most) bytes"
        }
    }
}
