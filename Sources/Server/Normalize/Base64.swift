/// Base64 with padding (RFC 4648 section 4), for payloads that do not fit a line of text.
enum Base64 {
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    private static let digits: [UInt8] = {
        var table = [UInt8](repeating: .max, count: 256)
        for (value, letter) in alphabet.enumerated() { table[Int(letter)] = UInt8(value) }
        return table
    }()

    static func append(_ bytes: UnsafeRawBufferPointer, to text: inout [UInt8]) {
        var at = 0
        while at + 3 <= bytes.count {
            let group = Int(bytes[at]) << 16 | Int(bytes[at + 1]) << 8 | Int(bytes[at + 2])
            text.append(alphabet[group >> 18])
            text.append(alphabet[group >> 12 & 63])
            text.append(alphabet[group >> 6 & 63])
            text.append(alphabet[group & 63])
            at += 3
        }
        guard at < bytes.count else { return }
        let hasTwo = at + 2 == bytes.count
        let group = Int(bytes[at]) << 16 | (hasTwo ? Int(bytes[at + 1]) << 8 : 0)
        text.append(alphabet[group >> 18])
        text.append(alphabet[group >> 12 & 63])
        text.append(hasTwo ? alphabet[group >> 6 & 63] : UInt8(ascii: "="))
        text.append(UInt8(ascii: "="))
    }

    /// Writes what the text means to `room`, which has three bytes for each four of it; nil for what ``append`` never writes.
    static func decode(_ text: UnsafeRawBufferPointer, into room: UnsafeMutableRawBufferPointer) -> Int? {
        guard text.count % 4 == 0 else { return nil }
        guard let last = text.last else { return 0 }
        let padding = last == UInt8(ascii: "=") ? (text[text.count - 2] == UInt8(ascii: "=") ? 2 : 1) : 0
        let letters = text.count - padding
        var (group, count) = (UInt32(0), 0)
        for at in 0..<letters {
            let digit = digits[Int(text[at])]
            guard digit < 64 else { return nil }
            group = group << 6 | UInt32(digit)
            guard at % 4 == 3 else { continue }
            room[count] = UInt8(truncatingIfNeeded: group >> 16)
            room[count + 1] = UInt8(truncatingIfNeeded: group >> 8)
            room[count + 2] = UInt8(truncatingIfNeeded: group)
            (group, count) = (0, count + 3)
        }
        // What is left over of the last digit must be zero: one text for the same bytes.
        switch padding {
        case 1:
            guard group & 3 == 0 else { return nil }
            room[count] = UInt8(truncatingIfNeeded: group >> 10)
            room[count + 1] = UInt8(truncatingIfNeeded: group >> 2)
        case 2:
            guard group & 15 == 0 else { return nil }
            room[count] = UInt8(truncatingIfNeeded: group >> 4)
        default: break
        }
        return text.count / 4 * 3 - padding
    }
}

/// Memory for the payload of a packed record, used again for the next.
package final class UnpackingRoom {
    private var memory: UnsafeMutableRawBufferPointer

    package init() { memory = .allocate(byteCount: 4096, alignment: 1) }

    deinit { memory.deallocate() }

    /// The decoded bytes, valid until the next call; nil for what is no base64.
    func decode(_ text: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        let needed = text.count / 4 * 3
        if memory.count < needed {
            memory.deallocate()
            memory = .allocate(byteCount: max(needed, memory.count * 2), alignment: 1)
        }
        guard let count = Base64.decode(text, into: memory) else { return nil }
        return UnsafeRawBufferPointer(rebasing: memory[..<count])
    }
}
