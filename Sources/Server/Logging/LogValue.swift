/// The value of a field of a log line.
package enum LogValue: Hashable, Sendable {
    case text(String)
    case integer(Int64)
    case number(Double)
    case flag(Bool)
    case list([LogValue])
    /// In this order; no name twice.
    case object(KeyedLogValues)

    /// Any whole number; what does not fit in 64 bits becomes the nearest number.
    package static func count(_ number: some BinaryInteger) -> LogValue {
        Int64(exactly: number).map(LogValue.integer) ?? .number(Double(number))
    }
}

/// Named values in the order given.
package struct KeyedLogValues: Hashable, Sendable, ExpressibleByDictionaryLiteral {
    package struct Pair: Hashable, Sendable {
        package var name: String
        package var value: LogValue
    }

    package var pairs: [Pair]

    package init(_ pairs: [(String, LogValue)]) { self.pairs = pairs.map(Pair.init) }
    package init(dictionaryLiteral elements: (String, LogValue)...) { self.init(elements) }
}

extension LogValue: ExpressibleByStringInterpolation, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral {
    package init(stringLiteral value: String) { self = .text(value) }
    package init(integerLiteral value: Int64) { self = .integer(value) }
    package init(floatLiteral value: Double) { self = .number(value) }
}

extension LogValue: ExpressibleByBooleanLiteral, ExpressibleByArrayLiteral {
    package init(booleanLiteral value: Bool) { self = .flag(value) }
    package init(arrayLiteral elements: LogValue...) { self = .list(elements) }
}
