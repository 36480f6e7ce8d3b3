import Market

extension FuzzProperty {
    /// A decimal that was read is written in a way that is read as the same number, and keeps its bounds.
    static let decimal = FuzzProperty(name: "decimal") { bytes in
        guard let decimal = Decimal(bytes) else { return }
        precondition(decimal.scale <= 18, "a scale is at most 18")
        guard let shortest = Decimal(decimal.text), let padded = Decimal(decimal.paddedText) else {
            preconditionFailure("what we write, we read")
        }
        precondition(padded == decimal, "the padded text keeps digits and scale")
        precondition(shortest.scale <= decimal.scale, "the shortest text adds no decimals")
        precondition(shortest.units(atScale: decimal.scale) == decimal.digits, "the shortest text is the same number")
        precondition(decimal.units(atScale: decimal.scale) == decimal.digits)
    }
}
