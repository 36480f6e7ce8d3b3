import Market

/// One record of DBN: fixed fields at fixed places, little-endian.
struct DBNRecord {
    let bytes: UnsafeRawBufferPointer

    /// The kinds of records that the hub reads, by Databento's numbers.
    enum Kind: UInt8 {
        case trade = 0x00
        case depth1 = 0x01
        case depth10 = 0x0A
        case status = 0x12
        case definition = 0x13
        case error = 0x15
        case symbolMapping = 0x16
        case candleSecond = 0x20
        case candleMinute = 0x21
        case candleHour = 0x22
        case candleDay = 0x23
        case order = 0xA0
        case top1 = 0xC3
        case top1Minute = 0xC4
        case tradeWithTop = 0xC5

        /// Bytes that a record of this kind has at least; 0 where that depends on the version.
        var bytesLeast: Int {
            switch self {
            case .trade: 48
            case .depth1, .top1, .top1Minute, .tradeWithTop: 80
            case .depth10: 48 + 10 * 32
            case .status: 40
            case .candleSecond, .candleMinute, .candleHour, .candleDay, .order: 56
            case .definition, .error, .symbolMapping: 0
            }
        }
    }

    var kindNumber: UInt8 { bytes[1] }
    var kind: Kind? { Kind(rawValue: kindNumber) }
    var instrument: UInt32 { number(4) }

    /// When it happened, nanoseconds since 1970; 0 where nobody knows.
    var eventNs: Int64 { time(8) }

    /// When Databento received it; that of the event where a kind of record does not tell.
    var receivedNs: Int64 {
        let place: Int
        switch kind {
        case .order: place = 40
        case .trade, .depth1, .depth10, .top1, .top1Minute, .tradeWithTop: place = 32
        case .status, .definition: place = 16
        default: return eventNs
        }
        guard bytes.count >= place + 8 else { return eventNs }
        let time = time(place)
        return time == 0 ? eventNs : time
    }

    func number<Number: FixedWidthInteger>(_ place: Int, as type: Number.Type = Number.self) -> Number {
        Number(littleEndian: bytes.loadUnaligned(fromByteOffset: place, as: Number.self))
    }

    /// A time; 0 where it is none, all bits set among them.
    func time(_ place: Int) -> Int64 { Int64(exactly: number(place, as: UInt64.self)) ?? 0 }

    /// A fixed price in units of 10^-9; nil where it is told to be none.
    func price(_ place: Int) -> VenueNumber? {
        let units: Int64 = number(place)
        guard units != .max else { return nil }
        var (digits, scale) = (units, UInt8(9))
        while scale > 0, digits % 10 == 0 { (digits, scale) = (digits / 10, scale - 1) }
        return VenueNumber(digits: digits, scale: scale, written: scale)
    }

    func quantity(_ place: Int) -> VenueNumber {
        VenueNumber(digits: Int64(number(place, as: UInt32.self)), scale: 0, written: 0)
    }

    /// A text padded with zeros.
    func text(_ place: Int, _ count: Int) -> String {
        String(decoding: bytes[place..<(place + count)].prefix { $0 != 0 }, as: UTF8.self)
    }

    /// A symbol as the hub takes names, without spaces: `ESH1 C3700` is `ESH1_C3700`.
    static func name(of symbol: String) -> String { String(symbol.map { $0 == " " ? "_" : $0 }) }
}

/// Names of instruments as the metadata and the records of a stream tell them.
struct DBNSymbols: Sendable {
    private var intervals: [UInt32: [(first: UInt32, end: UInt32, symbol: String)]] = [:]
    private var told: [UInt32: String] = [:]
    /// More names told by records are not kept: their instruments go by their numbers.
    private static let toldMost = 1 << 20

    init() {}

    init(_ metadata: DBNMetadata) {
        for mapping in metadata.mappings {
            for interval in mapping.intervals {
                let isByNumber = metadata.naming == DBNMetadata.instrumentID
                let (number, symbol) =
                    isByNumber
                    ? (interval.symbol, mapping.symbol) : (mapping.symbol, interval.symbol)
                guard let number = UInt32(number), !symbol.isEmpty else { continue }
                intervals[number, default: []].append((interval.firstDay, interval.endDay, DBNRecord.name(of: symbol)))
            }
        }
    }

    mutating func learn(_ symbol: String, of instrument: UInt32) {
        guard !symbol.isEmpty, told.count < Self.toldMost || told[instrument] != nil else { return }
        told[instrument] = DBNRecord.name(of: symbol)
    }

    /// The symbol of an instrument at a time: numbers are given to others on other days.
    func symbol(of instrument: UInt32, atNs timeNs: Int64) -> String {
        if let symbol = told[instrument] { return symbol }
        guard let all = intervals[instrument] else { return String(instrument) }
        let date = CalendarDate(ofNs: timeNs)
        let day = UInt32(date.year * 10_000 + date.month * 100 + date.day)
        return all.first { $0.first <= day && day < $0.end }?.symbol ?? String(instrument)
    }
}
