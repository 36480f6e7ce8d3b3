/// A decimal number as venues and clients write it: a whole number and how many of its digits stand behind the point.
public struct Decimal: Hashable, Sendable, BitwiseCopyable {
    public var digits: Int64
    /// At most 18.
    public var scale: UInt8

    public init(digits: Int64, scale: UInt8) {
        self.digits = digits
        self.scale = scale
    }

    /// The same number in units of 10^-scale; nil when digits would be lost or it does not fit.
    public func units(atScale wanted: UInt8) -> Int64? {
        var value = digits
        if wanted >= scale {
            for _ in 0..<(wanted - scale) {
                let (product, overflow) = value.multipliedReportingOverflow(by: 10)
                guard !overflow else { return nil }
                value = product
            }
            return value
        }
        for _ in 0..<(scale - wanted) {
            let (quotient, digit) = value.quotientAndRemainder(dividingBy: 10)
            guard digit == 0 else { return nil }
            value = quotient
        }
        return value
    }

    /// Reads JSON's number syntax, also as the content of a JSON string: `-12.50`, `1e-8`, `5E+3`.
    ///
    /// Digits stay as written, so `0.10` has scale 2. Nil when it is anything else (`01` and `.5` are), when it has more than
    /// 18 decimals that are not zeros at the end, or when its digits without the point do not fit 64 bits.
    public init?(_ text: UnsafeRawBufferPointer) {
        var at = 0
        let isNegative = text.count > 0 && text[0] == UInt8(ascii: "-")
        if isNegative { at += 1 }
        var (value, digitCount, scale): (Int64, Int, Int) = (0, 0, 0)
        var isBehindPoint = false
        scan: while at < text.count {
            switch text[at] {
            case UInt8(ascii: "0")...UInt8(ascii: "9"):
                let (tenfold, overflow) = value.multipliedReportingOverflow(by: 10)
                let (sum, carried) = tenfold.addingReportingOverflow(Int64(text[at] - UInt8(ascii: "0")))
                guard !overflow, !carried else { return nil }
                // A zero stands before the point only by itself.
                guard digitCount != 1 || value != 0 || isBehindPoint else { return nil }
                value = sum
                digitCount += 1
                if isBehindPoint { scale += 1 }
            case UInt8(ascii: ".") where !isBehindPoint && digitCount > 0:
                isBehindPoint = true
            case UInt8(ascii: "e"), UInt8(ascii: "E"):
                break scan
            default:
                return nil
            }
            at += 1
        }
        guard digitCount > 0, !isBehindPoint || scale > 0 else { return nil }
        if at < text.count {
            at += 1
            let isExponentNegative = at < text.count && text[at] == UInt8(ascii: "-")
            if at < text.count, text[at] == UInt8(ascii: "-") || text[at] == UInt8(ascii: "+") { at += 1 }
            guard at < text.count, text.count - at <= 3 else { return nil }
            var exponent = 0
            while at < text.count {
                guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(text[at]) else { return nil }
                exponent = exponent * 10 + Int(text[at] - UInt8(ascii: "0"))
                at += 1
            }
            scale += isExponentNegative ? exponent : -exponent
            if value == 0 { scale = max(0, min(scale, 18)) }
            while scale < 0 {
                let (product, overflow) = value.multipliedReportingOverflow(by: 10)
                guard !overflow else { return nil }
                value = product
                scale += 1
            }
        }
        while scale > 18 {
            guard value % 10 == 0 else { return nil }
            value /= 10
            scale -= 1
        }
        digits = isNegative ? -value : value
        self.scale = UInt8(scale)
    }

    public init?(_ text: String) {
        var copy = text
        guard let read = copy.withUTF8({ Decimal(UnsafeRawBufferPointer($0)) }) else { return nil }
        self = read
    }

    /// The shortest text that means this number: no trailing zeros, no exponent, `0.5` rather than `.5`.
    public var text: String {
        var (value, places) = (digits, Int(scale))
        while places > 0, value % 10 == 0 {
            value /= 10
            places -= 1
        }
        guard places > 0 else { return String(value) }
        let whole = String(value.magnitude)
        let padded = whole.count > places ? whole : String(repeating: "0", count: places + 1 - whole.count) + whole
        return (value < 0 ? "-" : "") + padded.dropLast(places) + "." + padded.suffix(places)
    }

    /// The text with exactly ``scale`` decimals: `0.50` at scale 2.
    public var paddedText: String {
        let places = Int(scale)
        let whole = String(digits.magnitude)
        let padded = whole.count > places ? whole : String(repeating: "0", count: places + 1 - whole.count) + whole
        let sign = digits < 0 ? "-" : ""
        return places == 0 ? sign + whole : sign + padded.dropLast(places) + "." + padded.suffix(places)
    }
}
