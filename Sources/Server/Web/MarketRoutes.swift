import Hub
package import Market
package import Transport
import Wire

/// What can be asked of the markets by HTTP: the list of instruments, one of them, and its candles.
package struct MarketRoutes: Sendable {
    package static let path = "/api/v1/markets"

    private let candles: CandleStore
    private let indexes: IndexBoard

    package init(candles: CandleStore, indexes: IndexBoard) {
        self.candles = candles
        self.indexes = indexes
    }

    /// Answers a GET or HEAD of a path that begins with ``path``.
    ///
    /// - Parameters:
    ///   - path: the whole of it, percent-decoded.
    ///   - query: the value of a name in the query, nil when it is not there.
    ///   - table: the instruments as the loop knows them.
    ///   - newestCandle: the newest candle of an instrument that the loop heard of; those before it are in the store.
    ///   - requestID: makes the id of a refusal.
    /// - Returns: what was asked for, or a problem that says what would pass.
    package func respond(
        to path: String,
        query: (String) -> String?,
        table: InstrumentTable,
        newestCandle: (InstrumentID, CandleInterval) -> Candle?,
        requestID: () -> String
    ) -> HTTPResponse {
        let parts = path.dropFirst(Self.path.count).split(separator: "/", omittingEmptySubsequences: false)
            .dropFirst().map(String.init)
        do throws(Refusal) {
            switch parts.count {
            case 0: return list(table)
            case 1: return one(try instrument(parts[0], table))
            case 2 where parts[1] == "candles":
                return try candles(query, try instrument(parts[0], table), newestCandle)
            default:
                return .problem(404, "not_found", "There is nothing at \(path).", requestID: requestID())
            }
        } catch {
            let status = error.code == .unknownSymbol ? 404 : 400
            return .problem(
                status,
                error.code.reason,
                error.message,
                code: error.code.rawValue,
                requestID: requestID()
            )
        }
    }

    private func instrument(_ name: String, _ table: InstrumentTable) throws(Refusal) -> Instrument {
        guard let id = table.id(named: name) else {
            throw Refusal(.unknownSymbol, "No instrument \(name.prefix(64)); \(Self.path) lists those there are.")
        }
        return table[id]
    }

    private func list(_ table: InstrumentTable) -> HTTPResponse {
        var out = OutputBytes(capacity: 65_536)
        LegacyCodec.append(instruments: table.all, next: 0, to: &out)
        return Self.json(out)
    }

    /// One instrument; an index with what it is made of.
    private func one(_ instrument: Instrument) -> HTTPResponse {
        var out = OutputBytes(capacity: 4_096)
        out.append(#"{"instrument":"#)
        LegacyCodec.append(instrument, to: &out)
        if let report = indexes[instrument.id] {
            out.append(#","index":"#)
            append(report, of: instrument, to: &out)
        }
        out.append("}")
        return Self.json(out)
    }

    private func append(_ report: IndexBoard.Report, of instrument: Instrument, to out: inout OutputBytes) {
        let value = report.reading.value.map {
            JSONText.quoted(Decimal(digits: $0.ticks, scale: instrument.priceScale).text)
        }
        out.append(#"{"value":\#(value ?? "null"),"time":"\#(TimeText.text(utcNs: report.timeNs))","#)
        out.append(
            #""leastSources":\#(report.settings.leastSources),"staleMs":\#(report.settings.staleNs / 1_000_000),"#
        )
        out.append(#""outlierBasisPoints":\#(report.settings.outlierBasisPoints),"sources":["#)
        for (index, (name, source)) in zip(report.names, report.reading.sources).enumerated() {
            let mid = source.mid.map { JSONText.quoted($0.text) } ?? "null"
            let ageMs = source.ageNs.map { String($0 / 1_000_000) } ?? "null"
            let reason = source.verdict == .counts ? "null" : JSONText.quoted(source.verdict.wireName)
            out.append(index > 0 ? "," : "")
            out.append(#"{"symbol":\#(JSONText.quoted(name)),"mid":\#(mid),"ageMs":\#(ageMs),"#)
            out.append(#""counts":\#(source.verdict == .counts),"reason":\#(reason)}"#)
        }
        out.append("]}")
    }

    // MARK: Candles

    private func candles(
        _ query: (String) -> String?,
        _ instrument: Instrument,
        _ newestCandle: (InstrumentID, CandleInterval) -> Candle?
    ) throws(Refusal) -> HTTPResponse {
        let interval = try interval(query("interval") ?? CandleInterval.minute.name)
        let limit = try limit(query("limit"))
        let newest = newestCandle(instrument.id, interval)
        let wanted = newest == nil ? limit : limit - 1
        var past = candles.past(instrument.id, interval, limit: wanted, endNs: newest?.openNs)
        if let newest {
            if past.candles.isEmpty {
                (past.priceScale, past.quantityScale) = (instrument.priceScale, instrument.quantityScale)
            }
            if let last = past.appended(newest, of: instrument) { past = last }
        }
        var out = OutputBytes(capacity: 256 + 256 * past.candles.count)
        out.append(
            #"{"symbol":\#(JSONText.quoted(instrument.qualifiedSymbol)),"interval":"\#(interval.name)","candles":"#
        )
        LegacyCodec.append(past, to: &out)
        out.append("}")
        return Self.json(out)
    }

    private func interval(_ text: String) throws(Refusal) -> CandleInterval {
        guard let interval = CandleInterval(name: text) else {
            let names = CandleInterval.allCases.map(\.name).joined(separator: ", ")
            throw Refusal(.invalidField, "interval must be one of \(names).", fields: [.init("interval", names)])
        }
        return interval
    }

    private func limit(_ text: String?) throws(Refusal) -> Int {
        let most = CandleHistory.answerMost
        guard let text else { return most }
        guard let limit = Int(text), (1...most).contains(limit), text.utf8.allSatisfy({ (48...57).contains($0) }) else {
            throw Refusal(
                .invalidField,
                "limit must be a whole number from 1 to \(most).",
                fields: [.init("limit", "1 to \(most)")]
            )
        }
        return limit
    }

    private static func json(_ out: borrowing OutputBytes) -> HTTPResponse {
        HTTPResponse(
            status: 200,
            contentType: "application/json",
            headers: [("cache-control", "no-store")],
            body: out.withBytes { Array($0) }
        )
    }
}

extension CompositeIndex.Verdict {
    /// As JSON clients read it.
    fileprivate var wireName: String {
        switch self {
        case .counts: "counts"
        case .unknown: "unknown"
        case .notLive: "not_live"
        case .stale: "stale"
        case .oneSided: "one_sided"
        case .crossed: "crossed"
        case .outlier: "outlier"
        }
    }
}

extension PastCandles {
    /// The candles and one behind them that is in an instrument's units; nil when these are not those of the candles.
    fileprivate func appended(_ candle: Candle, of instrument: Instrument) -> PastCandles? {
        let price = Decimal(digits: 1, scale: instrument.priceScale).units(atScale: priceScale)
        let quantity = Decimal(digits: 1, scale: instrument.quantityScale).units(atScale: quantityScale)
        // A loop may be about to hear of finer units; the store is never behind it.
        guard let price, let quantity, let scaled = candle.scaled(price: price, quantity: quantity) else { return nil }
        return PastCandles(candles + [scaled], priceScale: priceScale, quantityScale: quantityScale)
    }
}
