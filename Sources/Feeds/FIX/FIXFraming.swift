/// Cuts a stream of bytes into FIX messages.
///
/// What stands before a message's `8=FIX` is skipped and counted. A message whose length lies is handed out up to the next
/// thing that looks like a trailer, for the dialect to refuse and count: one lie costs one message, once as many bytes came as
/// it tells. No more than a message of ``messageBytesMost``, and as much again just received, is ever held.
public struct FIXFraming: Sendable {
    /// A message that says to be longer is skipped.
    public static let messageBytesMost = 1 << 20

    /// Bytes that belonged to no message.
    public private(set) var skippedBytes = 0
    private var bytes: [UInt8] = []
    private var start = 0
    /// The byte ahead of the kept ones.
    private var previous: UInt8 = 0

    public init() {}

    /// Bytes that are kept for a message that is not whole yet.
    public var keptBytes: Int { bytes.count - start }

    /// Takes bytes and hands out each message that is whole by then; it is valid during the call only.
    public mutating func receive(
        _ chunk: UnsafeRawBufferPointer,
        message: (UnsafeRawBufferPointer) -> Void
    ) {
        // In parts, so that what is kept is bounded by a message and a part.
        var rest = chunk[...]
        while !rest.isEmpty {
            let part = rest.prefix(Self.messageBytesMost)
            rest = rest.dropFirst(part.count)
            bytes.append(contentsOf: part)
            cut(isAtEnd: false, message)
            if start > 0 { previous = bytes[start - 1] }
            bytes.removeFirst(start)
            start = 0
        }
    }

    /// Hands out what is left of a stream that ends inside a message, for it to be refused and counted.
    public mutating func finish(message: (UnsafeRawBufferPointer) -> Void) {
        cut(isAtEnd: true, message)
        self.bytes = []
        start = 0
    }

    private mutating func cut(isAtEnd: Bool, _ message: (UnsafeRawBufferPointer) -> Void) {
        while start < bytes.count {
            let begin = beginning(from: start, isAtEnd: isAtEnd)
            skippedBytes += begin - start
            start = begin
            guard start < bytes.count else { return }
            guard let length = length(isAtEnd: isAtEnd) else { return }
            if length > 0 {
                bytes[start..<(start + length)].withUnsafeBytes(message)
                start += length
            } else {
                // No message begins here after all.
                skippedBytes += 1
                start += 1
            }
        }
    }

    /// The first place from `from` on where a message begins, or may begin once more bytes come.
    private func beginning(from: Int, isAtEnd: Bool) -> Int {
        let mark: StaticString = "8=FIX"
        let markCount = mark.utf8CodeUnitCount
        return bytes.withUnsafeBufferPointer { bytes in
            var place = from
            search: while place < bytes.count {
                // `58=FIX` is a text, not a beginning.
                let isInNumber = (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(
                    place > 0 ? bytes[place - 1] : previous
                )
                guard bytes[place] == UInt8(ascii: "8"), !isInNumber else {
                    place += 1
                    continue
                }
                for index in 0..<markCount {
                    guard place + index < bytes.count else {
                        if isAtEnd { break search }
                        return place
                    }
                    guard bytes[place + index] == mark.utf8Start[index] else {
                        place += 1
                        continue search
                    }
                }
                return place
            }
            return bytes.count
        }
    }

    /// The length of the message that begins at `start`: 0 when there is none, nil while that cannot be told.
    private func length(isAtEnd: Bool) -> Int? {
        bytes.withUnsafeBytes { all -> Int? in
            let rest = UnsafeRawBufferPointer(rebasing: all[start...])
            let header: FIXScanner.Header?
            do throws(FrameFault) { header = try FIXScanner.header(of: rest) } catch { return 0 }
            guard let header else { return isAtEnd ? rest.count : nil }
            guard header.messageEnd <= Self.messageBytesMost else { return 0 }
            guard header.messageEnd <= rest.count || isAtEnd else { return nil }
            if isTrailer(header.trailer, in: rest) { return header.messageEnd }
            // The length lies, or the stream ends too early.
            let told = UnsafeRawBufferPointer(rebasing: rest.prefix(header.messageEnd))
            return trailer(from: header.body, in: told).map { $0 + FIXScanner.trailerBytes } ?? told.count
        }
    }

    private func isTrailer(_ place: Int, in rest: UnsafeRawBufferPointer) -> Bool {
        guard place > 0, place + FIXScanner.trailerBytes <= rest.count, rest[place - 1] == FIXScanner.fieldEnd,
            rest[place] == UInt8(ascii: "1"), rest[place + 1] == UInt8(ascii: "0"),
            rest[place + 2] == UInt8(ascii: "=")
        else { return false }
        return rest[place + FIXScanner.trailerBytes - 1] == FIXScanner.fieldEnd
    }

    /// The first thing that looks like a trailer.
    private func trailer(from: Int, in rest: UnsafeRawBufferPointer) -> Int? {
        var place = from
        while place + FIXScanner.trailerBytes <= rest.count {
            if isTrailer(place, in: rest) { return place }
            place += 1
        }
        return nil
    }
}

/// The fields of one message in their order, for whoever wants to look at one as a whole.
public struct FIXFields: Hashable, Sendable {
    public let all: [Field]

    public struct Field: Hashable, Sendable {
        public var tag: Int
        public var value: String
    }

    /// - Throws: why the bytes are no whole message.
    public init(_ message: UnsafeRawBufferPointer) throws(FrameFault) {
        var scanner = try FIXScanner(message)
        var fields: [Field] = []
        while let field = try scanner.next() {
            fields.append(
                Field(
                    tag: field.tag,
                    value: String(decoding: message[field.value.start..<field.value.end], as: UTF8.self)
                )
            )
        }
        all = fields
    }

    /// The first field of a tag.
    public func value(of tag: Int) -> String? { all.first { $0.tag == tag }?.value }
}
