public import Hub
public import Market

// What the hub answers to a legacy client. Each function appends one JSON text; the caller frames it.

extension LegacyCodec {
    /// Appends that the connection is closed with this code, and when to come back.
    public static func append(disconnect code: UInt16, reconnectAfterMs: UInt32, to out: inout OutputBytes) {
        out.append(#"{"type":"disconnect","code":"#)
        out.append(decimal: UInt64(code))
        out.append(#","reconnectAfterMs":"#)
        out.append(decimal: UInt64(reconnectAfterMs))
        out.append("}")
    }

    /// `{"type":"subscriptions","channels":[{"name":"marketData","symbols":["BTC-USD"]}]}`: the whole set now active.
    public static func append(subscriptions: [Hub.Subscriptions], to out: inout OutputBytes) {
        out.append(#"{"type":"subscriptions","channels":["#)
        for (index, channel) in subscriptions.enumerated() {
            if index > 0 { out.append(UInt8(ascii: ",")) }
            out.append(#"{"name":"#)
            out.append(json: channel.channel.name)
            out.append(#","symbols":["#)
            for (index, symbol) in channel.symbols.enumerated() {
                if index > 0 { out.append(UInt8(ascii: ",")) }
                out.append(json: symbol)
            }
            out.append("]}")
        }
        out.append("]}")
    }

    /// `{"type":"pong","id":7}`, or without an id where the ping had none: it is as ``LegacyRequest/ping(id:)`` gives it.
    public static func append(pongID id: String, to out: inout OutputBytes) {
        out.append(#"{"type":"pong""#)
        if !id.isEmpty {
            out.append(#","id":"#)
            out.append(id)
        }
        out.append("}")
    }

    /// `{"type":"instruments","instruments":[...],"next":0}`: a page, and the `from` of the next, 0 after the last.
    public static func append(instruments: [Instrument], next: UInt32, to out: inout OutputBytes) {
        out.append(#"{"type":"instruments","instruments":["#)
        for (index, instrument) in instruments.enumerated() {
            if index > 0 { out.append(UInt8(ascii: ",")) }
            append(instrument, to: &out)
        }
        out.append(#"],"next":"#)
        out.append(decimal: UInt64(next))
        out.append("}")
    }

    /// `{"type":"error","reason":"unknown_symbol","code":102,"message":"...","requestId":"...","request":{...}}`.
    ///
    /// `retryAfterMs` and `fields` stand in it where the refusal has them, `request` where `original`, which is as
    /// ``LegacyCommand/original`` gives it, is not empty.
    public static func append(
        _ refusal: Refusal,
        requestID: String,
        original: String,
        to out: inout OutputBytes
    ) {
        out.append(#"{"type":"error","reason":"#)
        out.append(json: refusal.code.reason)
        out.append(#","code":"#)
        out.append(decimal: UInt64(refusal.code.rawValue))
        out.append(#","message":"#)
        out.append(json: refusal.message)
        if refusal.retryAfterMs > 0 {
            out.append(#","retryAfterMs":"#)
            out.append(decimal: UInt64(refusal.retryAfterMs))
        }
        if !refusal.fields.isEmpty {
            out.append(#","fields":["#)
            for (index, field) in refusal.fields.enumerated() {
                out.append(index > 0 ? #",{"field":"# : #"{"field":"#)
                out.append(json: field.name)
                out.append(#","message":"#)
                out.append(json: field.message)
                out.append("}")
            }
            out.append("]")
        }
        out.append(#","requestId":"#)
        out.append(json: requestID)
        if !original.isEmpty {
            out.append(#","request":"#)
            out.append(original)
        }
        out.append("}")
    }

    /// One instrument: names, kind, units, steps.
    public static func append(_ instrument: Instrument, to out: inout OutputBytes) {
        out.append(#"{"id":"#)
        out.append(decimal: UInt64(instrument.id.rawValue))
        out.append(#","symbol":"#)
        out.append(json: instrument.symbol)
        out.append(#","venue":"#)
        out.append(json: instrument.venue)
        out.append(#","rawSymbol":"#)
        out.append(json: instrument.rawSymbol)
        out.append(#","kind":"#)
        out.append(json: instrument.kind.name)
        out.append(#","priceScale":"#)
        out.append(decimal: UInt64(instrument.priceScale))
        out.append(#","quantityScale":"#)
        out.append(decimal: UInt64(instrument.quantityScale))
        out.append(#","tick":""#)
        out.append(units: instrument.tick, scale: instrument.priceScale)
        out.append(#"","lot":""#)
        out.append(units: instrument.lot, scale: instrument.quantityScale)
        out.append("\"")
        append(instrument.terms, to: &out)
        out.append("}")
    }

    /// What is known of them.
    private static func append(_ terms: Instrument.Terms, to out: inout OutputBytes) {
        for (key, text) in [
            ("base", terms.base), ("quote", terms.quote), ("settle", terms.settle),
            ("contractSize", terms.contractSize?.text ?? ""), ("strike", terms.strike?.text ?? ""),
        ] where !text.isEmpty {
            out.append(#",""#)
            out.append(key)
            out.append(#"":"#)
            out.append(json: text)
        }
        if terms.isInverse { out.append(#","inverse":true"#) }
        if let right = terms.right { out.append(right == .call ? #","right":"call""# : #","right":"put""#) }
        guard terms.expiryNs > 0 else { return }
        out.append(#","expiry":""#)
        out.append(timeNs: terms.expiryNs)
        out.append("\"")
    }
}
