import Market

/// Reads one FIX message from front to back, handing out values as places in it.
///
/// The frame is checked first: `8`, `9` and `35` in front, the body as long as `9` says, the sum that `10` tells behind it
/// (FIXT 1.1, "FIX Message Format"). Nothing is allocated.
struct FIXScanner {
    struct Field {
        var tag: Int
        var value: FrameValue
    }

    /// Ends every field.
    static let fieldEnd: UInt8 = 1
    /// A tag has no more digits.
    private static let tagDigitsMost = 6
    /// `10=123` and the end of the field.
    static let trailerBytes = 7

    let text: UnsafeRawBufferPointer
    private var at: Int
    /// Where the trailer begins.
    private let end: Int
    /// How long the field of raw data that comes next is, and its tag.
    private var data: (tag: Int, count: Int)?

    /// - Throws: why the bytes are no whole message; ``FrameFault/wrong(field:)`` names the field that lies.
    init(_ text: UnsafeRawBufferPointer) throws(FrameFault) {
        self.text = text
        guard let header = try Self.header(of: text) else { throw .truncated }
        guard text.count == header.messageEnd, text[header.trailer - 1] == Self.fieldEnd,
            text[header.trailer] == UInt8(ascii: "1"), text[header.trailer + 1] == UInt8(ascii: "0"),
            text[header.trailer + 2] == UInt8(ascii: "="), text[header.messageEnd - 1] == Self.fieldEnd
        else { throw .wrong(field: "BodyLength") }
        var sum: UInt8 = 0
        for byte in text[..<header.trailer] { sum &+= byte }
        var told = 0
        for byte in text[(header.trailer + 3)..<(header.messageEnd - 1)] {
            let digit = byte &- UInt8(ascii: "0")
            guard digit < 10 else { throw .wrong(field: "CheckSum") }
            told = told * 10 + Int(digit)
        }
        guard told == Int(sum) else { throw .wrong(field: "CheckSum") }
        at = header.body
        end = header.trailer
    }

    /// Where the parts of a message lie, as its first two fields tell.
    struct Header {
        var body: Int
        var trailer: Int
        var messageEnd: Int { trailer + trailerBytes }
    }

    /// Reads `8=FIX...` and `9=...` at the start of some bytes.
    ///
    /// - Returns: nil when the bytes end inside them.
    static func header(of text: UnsafeRawBufferPointer) throws(FrameFault) -> Header? {
        let begin: StaticString = "8=FIX"
        for index in 0..<begin.utf8CodeUnitCount {
            guard index < text.count else { return nil }
            guard text[index] == begin.utf8Start[index] else { throw .wrong(field: "BeginString") }
        }
        var at = begin.utf8CodeUnitCount
        while at < text.count, text[at] != fieldEnd {
            guard at < 16, text[at] > 0x20, text[at] < 0x7F, text[at] != UInt8(ascii: "=") else {
                throw .wrong(field: "BeginString")
            }
            at += 1
        }
        at += 1
        guard at < text.count else { return nil }
        guard text[at] == UInt8(ascii: "9") else { throw .missing(field: "BodyLength") }
        guard at + 1 < text.count else { return nil }
        guard text[at + 1] == UInt8(ascii: "=") else { throw .missing(field: "BodyLength") }
        at += 2
        var (length, digits) = (0, 0)
        while at < text.count, text[at] != fieldEnd {
            let digit = text[at] &- UInt8(ascii: "0")
            guard digit < 10, digits < 8 else { throw .wrong(field: "BodyLength") }
            (length, digits, at) = (length * 10 + Int(digit), digits + 1, at + 1)
        }
        guard at < text.count else { return nil }
        // `35=0` and its end are the least that a body can be.
        guard digits > 0, length >= 5 else { throw .wrong(field: "BodyLength") }
        return Header(body: at + 1, trailer: at + 1 + length)
    }

    /// The next field; nil behind the last one before the trailer.
    mutating func next() throws(FrameFault) -> Field? {
        guard at < end else { return nil }
        let start = at
        var tag = 0
        while text[at] != UInt8(ascii: "=") {
            let digit = text[at] &- UInt8(ascii: "0")
            guard digit < 10, at - start < Self.tagDigitsMost, tag > 0 || digit > 0, at + 1 < end else {
                throw .unexpected(byte: text[at], offset: at)
            }
            tag = tag * 10 + Int(digit)
            at += 1
        }
        guard at > start else { throw .unexpected(byte: text[at], offset: at) }
        at += 1
        let first = at
        if let data, data.tag == tag {
            // Raw data may hold the byte that ends other fields.
            guard data.count < end - at, text[at + data.count] == Self.fieldEnd else {
                throw .wrong(field: "data length")
            }
            at += data.count
        } else {
            while text[at] != Self.fieldEnd { at += 1 }
        }
        guard at > first else { throw .unexpected(byte: Self.fieldEnd, offset: at) }
        let value = FrameValue(start: first, end: at)
        at += 1
        data = nil
        if let dataTag = Self.dataTag(ofLength: tag) {
            data = (dataTag, try Self.count(value, in: text, named: "data length"))
        }
        return Field(tag: tag, value: value)
    }

    /// The field of raw data that follows the field that tells its length.
    private static func dataTag(ofLength tag: Int) -> Int? {
        switch tag {
        case 93: 89
        case 90, 95, 212, 348, 350, 352, 354, 356, 358, 360, 362, 364, 445, 618, 621, 1184, 1277, 1280, 1282, 1397,
            1401,
            1403, 1468:
            tag + 1
        default: nil
        }
    }
}

// MARK: Values

extension FIXScanner {
    /// A whole number of zero or more, below two thousand million.
    static func count(
        _ value: FrameValue,
        in text: UnsafeRawBufferPointer,
        named field: FrameFault.FieldName
    ) throws(FrameFault) -> Int {
        let number = try unsigned(value, in: text, named: field)
        guard number <= 2_000_000_000 else { throw .wrong(field: field) }
        return Int(number)
    }

    static func unsigned(
        _ value: FrameValue,
        in text: UnsafeRawBufferPointer,
        named field: FrameFault.FieldName
    ) throws(FrameFault) -> UInt64 {
        guard value.isPresent else { throw .missing(field: field) }
        var total: UInt64 = 0
        for index in value.start..<value.end {
            let digit = text[index] &- UInt8(ascii: "0")
            let (product, isOver) = total.multipliedReportingOverflow(by: 10)
            let (sum, isOverToo) = product.addingReportingOverflow(UInt64(digit))
            guard digit < 10, !isOver, !isOverToo else { throw .wrong(field: field) }
            total = sum
        }
        return total
    }

    /// A price or quantity: digits with at most one point and a minus in front, zeros at either end as the sender likes.
    static func number(_ value: FrameValue, in text: UnsafeRawBufferPointer) throws(FrameFault) -> VenueNumber {
        var at = value.start
        let isNegative = at < value.end && text[at] == UInt8(ascii: "-")
        if isNegative { at += 1 }
        var (digits, scale, written, zeros) = (Int64(0), 0, 0, 0)
        var (isBehindPoint, hasDigit) = (false, false)
        while at < value.end {
            if text[at] == UInt8(ascii: "."), !isBehindPoint {
                isBehindPoint = true
                at += 1
                continue
            }
            let digit = text[at] &- UInt8(ascii: "0")
            guard digit < 10 else { throw .badNumber(offset: value.start) }
            hasDigit = true
            at += 1
            if isBehindPoint {
                written += 1
                // Zeros behind the point count once another digit follows them.
                guard digit > 0 else {
                    zeros += 1
                    continue
                }
            }
            for _ in 0...zeros {
                let (product, isOver) = digits.multipliedReportingOverflow(by: 10)
                guard !isOver else { throw .badNumber(offset: value.start) }
                digits = product
            }
            let (sum, isOver) = digits.addingReportingOverflow(Int64(digit))
            guard !isOver else { throw .badNumber(offset: value.start) }
            digits = sum
            if isBehindPoint { (scale, zeros) = (scale + zeros + 1, 0) }
        }
        guard hasDigit, scale <= 18 else { throw .badNumber(offset: value.start) }
        return VenueNumber(
            digits: isNegative ? -digits : digits,
            scale: UInt8(scale),
            written: UInt8(min(written, 18))
        )
    }

    /// A name of any length as a number: its value where it is one, a mixture of its bytes otherwise.
    static func name(_ value: FrameValue, in text: UnsafeRawBufferPointer) -> UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for index in value.start..<value.end { hash = (hash ^ UInt64(text[index])) &* 0x0000_0100_0000_01B3 }
        return hash
    }
}

// MARK: Times

extension FIXScanner {
    fileprivate static let dayNs: Int64 = 86_400_000_000_000

    /// A timestamp `20111124-06:29:10.994` in UTC, with up to twelve decimals, of which nine count.
    static func timestampNs(_ value: FrameValue, in text: UnsafeRawBufferPointer) throws(FrameFault) -> Int64 {
        guard value.end - value.start > 9, text[value.start + 8] == UInt8(ascii: "-") else {
            throw .badTime(offset: value.start)
        }
        let date = try dateNs(FrameValue(start: value.start, end: value.start + 8), in: text)
        return date + (try timeOfDayNs(FrameValue(start: value.start + 9, end: value.end), in: text))
    }

    /// A date `20111124`.
    static func dateNs(_ value: FrameValue, in text: UnsafeRawBufferPointer) throws(FrameFault) -> Int64 {
        guard value.end - value.start == 8,
            let date = CalendarDate(
                year: try digits(4, at: value.start, text),
                month: try digits(2, at: value.start + 4, text),
                day: try digits(2, at: value.start + 6, text)
            )
        else { throw .badTime(offset: value.start) }
        return date.startNs
    }

    /// A time of day `06:30:15.000` or `06:30`.
    static func timeOfDayNs(_ value: FrameValue, in text: UnsafeRawBufferPointer) throws(FrameFault) -> Int64 {
        let count = value.end - value.start
        guard count == 5 || count >= 8, text[value.start + 2] == UInt8(ascii: ":") else {
            throw .badTime(offset: value.start)
        }
        let (hour, minute) = (try digits(2, at: value.start, text), try digits(2, at: value.start + 3, text))
        var (second, fraction) = (0, Int64(0))
        if count > 5 {
            guard text[value.start + 5] == UInt8(ascii: ":") else { throw .badTime(offset: value.start) }
            second = try digits(2, at: value.start + 6, text)
        }
        if count > 8 {
            let decimals = count - 9
            guard text[value.start + 8] == UInt8(ascii: "."), (1...12).contains(decimals) else {
                throw .badTime(offset: value.start)
            }
            let kept = min(decimals, 9)
            fraction = Int64(try digits(kept, at: value.start + 9, text)) * powerOfTen(UInt8(9 - kept))
            _ = try digits(decimals - kept, at: value.start + 9 + kept, text)
        }
        guard hour < 24, minute < 60, second <= 60 else { throw .badTime(offset: value.start) }
        return Int64((hour * 60 + minute) * 60 + second) * 1_000_000_000 + fraction
    }

    /// A time of day without a date, on the day that brings it nearest to when the message was sent.
    static func nearestNs(timeOfDay: Int64, to sentNs: Int64) -> Int64 {
        let today = sentNs - sentNs % dayNs + timeOfDay
        if today - sentNs > dayNs / 2 { return max(0, today - dayNs) }
        return sentNs - today > dayNs / 2 ? today + dayNs : today
    }

    private static func digits(
        _ count: Int,
        at start: Int,
        _ text: UnsafeRawBufferPointer
    ) throws(FrameFault) -> Int {
        var total = 0
        for index in start..<(start + count) {
            let digit = text[index] &- UInt8(ascii: "0")
            guard digit < 10 else { throw .badTime(offset: start) }
            total = total * 10 + Int(digit)
        }
        return total
    }
}

extension FIXScanner {
    /// `20111124-06:29:10.994`, in UTC.
    static func timestamp(ofNs timeNs: Int64) -> String {
        func padded(_ number: Int64, _ count: Int) -> String {
            let digits = String(number)
            return String(repeating: "0", count: max(0, count - digits.utf8.count)) + digits
        }
        let milliseconds = timeNs % dayNs / 1_000_000
        let seconds = milliseconds / 1_000
        return CalendarDate(ofNs: timeNs).text + "-" + padded(seconds / 3_600, 2) + ":" + padded(seconds / 60 % 60, 2)
            + ":"
            + padded(seconds % 60, 2) + "." + padded(milliseconds % 1_000, 3)
    }
}
