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
    }

    package enum Fault: Error, Hashable, Sendable {
        case missingField
        case badTime
        case badConnection
        case badKind
        /// An answer without a tab between URL and body.
        case missingBody
        case lineTooLong(bytesMost: Int)
    }

    /// When the recorder read it, nanoseconds since 1970 UTC.
    package var receivedNs: Int64
    /// 0 for HTTP.
    package var connection: UInt32
    package var kind: Kind
    package var payload: UnsafeRawBufferPointer

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
        case .badKind: "the kind is not one of C, S, R and H"
        case .missingBody: "an HTTP answer needs URL, tab and body"
        case .lineTooLong(let most): "the line is longer than \(most) bytes"
        }
    }
}
