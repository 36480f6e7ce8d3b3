import Hub

/// Leaves out of a datum what its subscribers do not want.
///
/// It works on the bytes that were written just now, once a push: the writers need not know of it.
enum LegacyFields {
    /// Takes out of the `data` of the JSON text that begins at `start`, and ends the buffer, all members but those in `wanted`.
    static func keep(_ wanted: UInt32, of channel: Channel, from start: Int, in out: inout OutputBytes) {
        let names = channel.fieldNames
        let end = out.withMutableBytes { bytes -> Int? in
            guard var read = place(of: "\"data\":{", in: bytes, from: start) else { return nil }
            var write = read
            var isFirst = true
            while read < bytes.count, bytes[read] != UInt8(ascii: "}") {
                if bytes[read] == UInt8(ascii: ",") { read += 1 }
                let memberEnd = endOfMember(in: bytes, from: read)
                // A name has no escapes.
                let nameEnd = endOfString(in: bytes, from: read) - 1
                let name = UnsafeRawBufferPointer(rebasing: bytes[(read + 1)..<nameEnd])
                let isWanted = names.indices.contains {
                    wanted & 1 << UInt32($0) != 0 && names[$0].utf8.elementsEqual(name)
                }
                if isWanted {
                    if !isFirst {
                        bytes[write] = UInt8(ascii: ",")
                        write += 1
                    }
                    isFirst = false
                    for place in read..<memberEnd {
                        bytes[write] = bytes[place]
                        write += 1
                    }
                }
                read = memberEnd
            }
            for place in read..<bytes.count {
                bytes[write] = bytes[place]
                write += 1
            }
            return write
        }
        if let end { out.truncate(to: end) }
    }

    /// Behind the text.
    private static func place(of text: StaticString, in bytes: UnsafeMutableRawBufferPointer, from start: Int) -> Int? {
        let wanted = UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
        var at = start
        while at + wanted.count <= bytes.count {
            if bytes[at..<(at + wanted.count)].elementsEqual(wanted) { return at + wanted.count }
            at += 1
        }
        return nil
    }

    /// Behind the string that begins here.
    private static func endOfString(in bytes: UnsafeMutableRawBufferPointer, from start: Int) -> Int {
        var at = start + 1
        while at < bytes.count, bytes[at] != UInt8(ascii: "\"") { at += bytes[at] == UInt8(ascii: "\\") ? 2 : 1 }
        return at + 1
    }

    /// Where a comma or the closing brace follows.
    private static func endOfMember(in bytes: UnsafeMutableRawBufferPointer, from start: Int) -> Int {
        var at = start
        var depth = 0
        while at < bytes.count {
            switch bytes[at] {
            case UInt8(ascii: "\""):
                at = endOfString(in: bytes, from: at)
                continue
            case UInt8(ascii: "["), UInt8(ascii: "{"): depth += 1
            case UInt8(ascii: ","), UInt8(ascii: "}"), UInt8(ascii: "]"):
                if depth == 0 { return at }
                if bytes[at] != UInt8(ascii: ",") { depth -= 1 }
            default: break
            }
            at += 1
        }
        return at
    }
}
