/// Writes the Prometheus text format, version 0.0.4.
struct PrometheusText {
    private(set) var bytes: [UInt8] = []

    /// The two comments above a family's series.
    mutating func begin(_ family: MetricFamily) {
        let help = Self.escaped(family.help, quotes: false)
        bytes += "# HELP \(family.name) \(help)\n# TYPE \(family.name) \(family.kind.rawValue)\n".utf8
    }

    mutating func add(_ family: MetricFamily, _ labelValues: [String], integer: Int64) {
        add(family.name, zip(family.labels, labelValues).map { ($0, $1) }, "\(integer)")
    }

    mutating func add(_ family: MetricFamily, _ labelValues: [String], number: Double) {
        add(family.name, zip(family.labels, labelValues).map { ($0, $1) }, Self.text(number))
    }

    /// `buckets` are counts of their own, not yet cumulative; the last one has no bound.
    mutating func addHistogram(_ family: MetricFamily, _ labelValues: [String], buckets: [Int64], sumNs: Int64) {
        let labels = zip(family.labels, labelValues).map { ($0, $1) }
        var total: Int64 = 0
        for (index, count) in buckets.enumerated() {
            total += count
            let isLast = index == buckets.count - 1
            let bound = isLast ? "+Inf" : Self.text(Double(HistogramBuckets.boundNs(index)) / 1e9)
            add("\(family.name)_bucket", labels + [("le", bound)], "\(total)")
        }
        add("\(family.name)_sum", labels, Self.text(Double(sumNs) / 1e9))
        add("\(family.name)_count", labels, "\(total)")
    }

    private mutating func add(_ name: String, _ labels: [(String, String)], _ value: String) {
        bytes += name.utf8
        if !labels.isEmpty {
            let pairs = labels.map { "\($0)=\"\(Self.escaped($1, quotes: true))\"" }
            bytes += "{\(pairs.joined(separator: ","))}".utf8
        }
        bytes += " \(value)\n".utf8
    }

    private static func escaped(_ text: String, quotes: Bool) -> String {
        var result = ""
        for character in text.unicodeScalars {
            switch character {
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\"" where quotes: result += "\\\""
            default: result.unicodeScalars.append(character)
            }
        }
        return result
    }

    private static func text(_ number: Double) -> String {
        if number.isNaN { return "NaN" }
        if number.isInfinite { return number < 0 ? "-Inf" : "+Inf" }
        if let whole = Int64(exactly: number) { return "\(whole)" }
        return "\(number)"
    }
}
