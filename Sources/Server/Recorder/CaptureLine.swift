/// Writes records as lines of a capture.
package enum CaptureLine {
    private static let tab = UInt8(ascii: "\t")

    /// Appends a record, packed where its payload does not fit a line, and a line feed.
    package static func append(_ head: RecordHead, _ payload: UnsafeRawBufferPointer, to text: inout [UInt8]) {
        append(head.receivedNs, to: &text)
        text.append(tab)
        append(Int64(head.connection), to: &text)
        text.append(tab)
        if head.isBinary || !isLine(payload) {
            text.append(CaptureRecord.Kind.packed.rawValue)
            text.append(tab)
            // Small for bytes: a player must know which kind of frame it was.
            text.append(head.isBinary ? head.kind | 0x20 : head.kind)
            text.append(tab)
            Base64.append(payload, to: &text)
        } else {
            text.append(head.kind)
            text.append(tab)
            text.append(contentsOf: payload)
        }
        text.append(UInt8(ascii: "\n"))
    }

    /// Appends a mark of the recorder itself.
    static func append(_ mark: RecordingMark, connection: UInt32 = 0, atNs now: Int64, to text: inout [UInt8]) {
        var payload = mark.payload
        let head = RecordHead(.mark, source: 0, connection: connection, atNs: now)
        payload.withUTF8 { append(head, UnsafeRawBufferPointer($0), to: &text) }
    }

    /// Whether it can stand in a line as it is: UTF-8 without a line feed.
    private static func isLine(_ payload: UnsafeRawBufferPointer) -> Bool {
        !payload.contains(UInt8(ascii: "\n")) && String(validating: payload, as: UTF8.self) != nil
    }

    private static func append(_ number: Int64, to text: inout [UInt8]) {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 20) { digits in
            var (left, count) = (number.magnitude, 0)
            repeat {
                digits[count] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: left % 10)
                left /= 10
                count += 1
            } while left > 0
            while count > 0 {
                count -= 1
                text.append(digits[count])
            }
        }
    }
}
