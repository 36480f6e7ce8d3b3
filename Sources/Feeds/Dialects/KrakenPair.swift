public import Market

/// One pair as Kraken describes it: an entry of `/0/public/AssetPairs` or of the channel `instrument`.
struct KrakenPair {
    private(set) var symbol = FrameValue.none
    private(set) var status = FrameValue.none
    private var name = FrameValue.none
    private var price = FrameValue.none
    private var quantity = FrameValue.none
    private var tick = FrameValue.none
    private var lot = FrameValue.none

    init(_ scanner: inout JSONScanner) throws(FrameFault) {
        let text = scanner.text
        var isMore = try scanner.beginObject()
        while isMore {
            let key = try scanner.key()
            let value = try scanner.value()
            if key.equals("symbol", in: text) { symbol = value }
            if key.equals("status", in: text) { status = value }
            if key.equals("wsname", in: text) { name = value }
            if key.equals("price_precision", in: text) || key.equals("pair_decimals", in: text) { price = value }
            if key.equals("qty_precision", in: text) || key.equals("lot_decimals", in: text) { quantity = value }
            if key.equals("price_increment", in: text) || key.equals("tick_size", in: text) { tick = value }
            if key.equals("qty_increment", in: text) { lot = value }
            isMore = try scanner.nextMember()
        }
    }

    func priceScale(_ scanner: JSONScanner) throws(FrameFault) -> UInt8 {
        guard let scale = UInt8(exactly: try scanner.unsigned(in: price, named: "price_precision")), scale <= 18
        else { throw .wrong(field: "price_precision") }
        return scale
    }

    func quantityScale(_ scanner: JSONScanner) throws(FrameFault) -> UInt8 {
        guard let scale = UInt8(exactly: try scanner.unsigned(in: quantity, named: "qty_precision")), scale <= 18
        else { throw .wrong(field: "qty_precision") }
        return scale
    }

    /// The name that version 2 has for it: `XBT/USD` of the older APIs is `BTC/USD`; nil when it has none.
    func rawSymbol(in text: UnsafeRawBufferPointer) -> String? {
        if symbol.isString(in: text) { return symbol.string(in: text) }
        guard name.isString(in: text) else { return nil }
        return name.string(in: text).split(separator: "/").map(VenueSymbol.commonAsset).joined(separator: "/")
    }

    /// A step in units of 10^-scale; one unit when the pair does not say.
    func tick(_ scanner: JSONScanner, scale: UInt8) throws(FrameFault) -> Int64 {
        guard tick.isPresent else { return 1 }
        return max(1, try scanner.number(in: tick, named: "price_increment").units(atScale: scale) ?? 1)
    }

    func lot(_ scanner: JSONScanner, scale: UInt8) throws(FrameFault) -> Int64 {
        guard lot.isPresent else { return 1 }
        return max(1, try scanner.number(in: lot, named: "qty_increment").units(atScale: scale) ?? 1)
    }
}

extension KrakenV2Dialect {
    public func symbol(ofRaw rawSymbol: String) -> VenueSymbol {
        let name = rawSymbol.split(separator: "/").map(VenueSymbol.commonAsset).joined(separator: "-")
        return VenueSymbol(name.isEmpty ? rawSymbol : name)
    }

    public func listing(_ scanner: inout JSONScanner) throws(FrameFault) -> Instrument? {
        let pair = try KrakenPair(&scanner)
        guard let rawSymbol = pair.rawSymbol(in: scanner.text) else { return nil }
        let (price, quantity) = (try pair.priceScale(scanner), try pair.quantityScale(scanner))
        return Instrument(
            id: InstrumentID(0),
            venue: venue,
            symbol: symbol(ofRaw: rawSymbol).symbol,
            rawSymbol: rawSymbol,
            priceScale: price,
            quantityScale: quantity,
            tick: try pair.tick(scanner, scale: price),
            lot: try pair.lot(scanner, scale: quantity)
        )
    }
}
