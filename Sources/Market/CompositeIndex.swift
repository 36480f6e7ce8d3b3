/// One price of an instrument over several venues: the median of the mid prices of those whose book is fresh and live.
///
/// The rules:
/// * The mid price of a source is half the sum of its best bid and best ask, exact whatever the decimals of its venue.
/// * A source counts when its data is live, both sides of its book have a price, they do not cross, and the last event of its
///   book is at most `staleNs` old.
/// * Where an outlier rule is set and at least three sources count, one whose mid is further from the median of them all than so
///   many basis points is left out, and the median is that of the rest. Two do not say which of them is wrong.
/// * The median of an even number is half the sum of the middle two. It is rounded once, to the index's own decimals, half to even.
/// * With fewer than `leastSources` there is no value.
public struct CompositeIndex: Sendable {
    public struct Settings: Hashable, Sendable {
        public var staleNs: Int64
        public var leastSources: Int
        /// 0 leaves no outlier out.
        public var outlierBasisPoints: Int
        /// Decimals of the index, at most 12.
        public var priceScale: UInt8

        public init(staleNs: Int64, leastSources: Int, outlierBasisPoints: Int = 0, priceScale: UInt8) {
            precondition(priceScale <= 12 && leastSources > 0 && outlierBasisPoints >= 0 && staleNs > 0)
            self.staleNs = staleNs
            self.leastSources = leastSources
            self.outlierBasisPoints = outlierBasisPoints
            self.priceScale = priceScale
        }
    }

    /// What one venue says at a moment.
    public struct Source: Hashable, Sendable {
        public var quote: Quote
        /// Decimals of the quote's prices.
        public var priceScale: UInt8
        public var state: MarketStatus.State
        /// When its book or quote was last heard of; nil when never.
        public var receivedNs: Int64?

        public init(quote: Quote, priceScale: UInt8, state: MarketStatus.State, receivedNs: Int64?) {
            self.quote = quote
            self.priceScale = priceScale
            self.state = state
            self.receivedNs = receivedNs
        }
    }

    /// Whether a source counts, or why it does not.
    public enum Verdict: Hashable, Sendable, CaseIterable {
        case counts
        /// Nothing was heard of it: it is not a known instrument yet, or has no book.
        case unknown
        case notLive
        case stale
        case oneSided
        case crossed
        case outlier
    }

    public struct Judged: Hashable, Sendable {
        /// Nil where one side is missing or nothing is known.
        public var mid: Mid?
        /// Time since its book was last heard of; nil when it never was.
        public var ageNs: Int64?
        public var verdict: Verdict
    }

    /// What the index is at a moment.
    public struct Reading: Hashable, Sendable {
        /// In units of the index; nil when too few sources count.
        public var value: Price?
        /// In the order of the sources given.
        public var sources: [Judged]

        public var countingCount: Int { sources.count { $0.verdict == .counts } }
    }

    /// A mid price in units of 10^-19, in which half a unit of 10^-18 is whole.
    public struct Mid: Hashable, Comparable, Sendable {
        static let scale: UInt8 = 19
        var units: Int128

        init(units: Int128) { self.units = units }

        /// - Precondition: `priceScale` is at most 18.
        public init(_ bid: Price, _ ask: Price, priceScale: UInt8) {
            let sum = Int128(bid.ticks) + Int128(ask.ticks)
            units = sum * 5 * Int128(Int64.power(ofTen: 18 - priceScale))
        }

        public static func < (left: Mid, right: Mid) -> Bool { left.units < right.units }

        /// The nearest price of so many decimals, half to even; nil when it does not fit.
        public func rounded(toScale scale: UInt8) -> Price? {
            let unit = 10 * Int128(Int64.power(ofTen: 18 - scale))
            var (quotient, rest) = units.quotientAndRemainder(dividingBy: unit)
            if rest < 0 { (quotient, rest) = (quotient - 1, rest + unit) }
            if rest * 2 > unit || rest * 2 == unit && !quotient.isMultiple(of: 2) { quotient += 1 }
            return Int64(exactly: quotient).map { Price(ticks: $0) }
        }

        /// The exact decimal.
        public var text: String {
            let digits = String(units.magnitude)
            let padded = String(repeating: "0", count: max(0, 20 - digits.count)) + digits
            var fraction = padded.suffix(19)
            while fraction.last == "0" { fraction.removeLast() }
            return (units < 0 ? "-" : "") + padded.dropLast(19) + (fraction.isEmpty ? "" : "." + fraction)
        }
    }

    public let settings: Settings

    public init(_ settings: Settings) { self.settings = settings }

    /// What the index is, from what every source says at `nowNs`.
    public func reading(of sources: [Source], atNs nowNs: Int64) -> Reading {
        var judged = sources.map { judge($0, atNs: nowNs) }
        if settings.outlierBasisPoints > 0 { leaveOutliersOut(&judged) }
        let mids = judged.filter { $0.verdict == .counts }.compactMap(\.mid)
        let value = mids.count >= settings.leastSources ? Self.median(mids) : nil
        return Reading(value: value?.rounded(toScale: settings.priceScale), sources: judged)
    }

    private func judge(_ source: Source, atNs nowNs: Int64) -> Judged {
        let ageNs = source.receivedNs.map { max(0, nowNs.saturatingSubtracting($0)) }
        let (bid, ask) = (source.quote.bid, source.quote.ask)
        guard !bid.quantity.isZero, !ask.quantity.isZero else {
            return Judged(mid: nil, ageNs: ageNs, verdict: ageNs == nil ? .unknown : .oneSided)
        }
        let mid = Mid(bid.price, ask.price, priceScale: source.priceScale)
        let verdict: Verdict =
            if source.state != .live {
                .notLive
            } else if ageNs.map({ $0 > settings.staleNs }) ?? true {
                .stale
            } else if bid.price >= ask.price {
                .crossed
            } else {
                .counts
            }
        return Judged(mid: mid, ageNs: ageNs, verdict: verdict)
    }

    private func leaveOutliersOut(_ judged: inout [Judged]) {
        let mids = judged.filter { $0.verdict == .counts }.compactMap(\.mid)
        guard mids.count >= 3, let median = Self.median(mids) else { return }
        let most = Int128(median.units.magnitude) / 10_000 * Int128(settings.outlierBasisPoints)
        for index in judged.indices where judged[index].verdict == .counts {
            guard let mid = judged[index].mid, Int128((mid.units - median.units).magnitude) > most else { continue }
            judged[index].verdict = .outlier
        }
    }

    /// Half the sum of the middle two where there is no middle one.
    static func median(_ mids: [Mid]) -> Mid? {
        guard !mids.isEmpty else { return nil }
        let sorted = mids.sorted()
        let upper = sorted[sorted.count / 2]
        guard sorted.count.isMultiple(of: 2) else { return upper }
        let lower = sorted[sorted.count / 2 - 1]
        // Not their sum, which may not fit.
        return Mid(units: lower.units + (upper.units - lower.units) / 2)
    }
}
