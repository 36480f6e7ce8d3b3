/// Why a stream is no DBN, or not one that can be read on.
public enum DBNError: Error, Hashable, Sendable {
    /// The first bytes are not `DBN`.
    case notDBN
    /// The stream is packed with Zstandard.
    case packed
    case unknownVersion(UInt8)
    /// The metadata tells a length of its own that none can have, or says more than fits into it.
    case badMetadata(Part)
    /// A record tells a length that its kind cannot have.
    case badLength(record: Int, bytes: Int)
    /// The stream ends inside its metadata (record 0) or inside a record.
    case truncated(record: Int)

    /// The name of a part of the metadata.
    public struct Part: Hashable, Sendable, ExpressibleByStringLiteral, CustomStringConvertible {
        private let name: FrameFault.FieldName

        public init(stringLiteral literal: StaticString) { name = FrameFault.FieldName(stringLiteral: literal) }

        public var description: String { name.description }
    }
}

extension DBNError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .notDBN: "it does not begin with \"DBN\""
        case .packed: "it is packed with Zstandard, which the hub does not read: unpack it with \"zstd -d\" first"
        case .unknownVersion(let version): "DBN version \(version) is unknown; 1, 2 and 3 are read"
        case .badMetadata(let field): "its metadata is wrong: \(field)"
        case .badLength(let record, let bytes): "record \(record) has \(bytes) bytes, which its kind cannot have"
        case .truncated(let record):
            record == 0 ? "it ends inside its metadata" : "it ends inside record \(record)"
        }
    }
}

/// What a DBN stream says of itself ahead of its records.
public struct DBNMetadata: Hashable, Sendable {
    public var version: UInt8
    /// `GLBX.MDP3`.
    public var dataset: String
    /// The kind of records by Databento's numbers; nil for a mixture.
    public var schema: UInt16?
    /// Nanoseconds since 1970; the end is nil where the stream is open.
    public var startNs: UInt64
    public var endNs: UInt64?
    public var limit: UInt64?
    /// How instruments were asked for and are named, by Databento's numbers; nil for a mixture.
    public var requestedNaming: UInt8?
    public var naming: UInt8
    /// Every record ends with the time at which it was sent.
    public var hasSendingTimes: Bool
    /// Bytes of a symbol, with the zero at its end.
    public var symbolBytes: Int
    public var symbols: [String]
    public var partial: [String]
    public var notFound: [String]
    public var mappings: [Mapping]

    public struct Mapping: Hashable, Sendable {
        public var symbol: String
        public var intervals: [Interval]
    }

    /// What a symbol stands for from a day to the day before another, days as 20201228.
    public struct Interval: Hashable, Sendable {
        public var firstDay: UInt32
        public var endDay: UInt32
        public var symbol: String
    }

    /// Metadata that tells to be longer is not read.
    public static let bytesMost = 64 << 20
    /// `DBN`, the version and the length of what follows.
    static let prefixBytes = 8
    private static let fixedBytes = 100

    static let instrumentID: UInt8 = 0

    /// Reads metadata without its prefix.
    init(version: UInt8, _ bytes: UnsafeRawBufferPointer) throws(DBNError) {
        var reader = Reader(bytes: bytes)
        guard bytes.count >= Self.fixedBytes + 4 else { throw .badMetadata("length") }
        self.version = version
        dataset = reader.text(16)
        let schema = reader.number(UInt16.self)
        self.schema = schema == .max ? nil : schema
        startNs = reader.number(UInt64.self)
        let end = reader.number(UInt64.self)
        endNs = end == .max ? nil : end
        let limit = reader.number(UInt64.self)
        self.limit = limit == 0 ? nil : limit
        // Version 1 counted its records here.
        if version == 1 { _ = reader.number(UInt64.self) }
        let requested = reader.number(UInt8.self)
        requestedNaming = requested == .max ? nil : requested
        naming = reader.number(UInt8.self)
        hasSendingTimes = reader.number(UInt8.self) != 0
        symbolBytes = version == 1 ? 22 : Int(reader.number(UInt16.self))
        guard (1...1_024).contains(symbolBytes) else { throw .badMetadata("symbol_cstr_len") }
        reader.at = Self.fixedBytes
        guard reader.number(UInt32.self) == 0 else { throw .badMetadata("schema definition") }
        symbols = try reader.list("symbols", symbolBytes)
        partial = try reader.list("partial", symbolBytes)
        notFound = try reader.list("not_found", symbolBytes)
        var mappings: [Mapping] = []
        let count = try reader.count("mappings", entryBytes: symbolBytes + 4)
        for _ in 0..<count {
            guard reader.left >= symbolBytes + 4 else { throw .badMetadata("mappings") }
            let symbol = reader.text(symbolBytes)
            let intervalCount = try reader.count("intervals", entryBytes: symbolBytes + 8)
            var intervals: [Interval] = []
            intervals.reserveCapacity(intervalCount)
            for _ in 0..<intervalCount {
                let (first, end) = (reader.number(UInt32.self), reader.number(UInt32.self))
                intervals.append(Interval(firstDay: first, endDay: end, symbol: reader.text(symbolBytes)))
            }
            mappings.append(Mapping(symbol: symbol, intervals: intervals))
        }
        self.mappings = mappings
    }

    /// Reads little-endian numbers and padded texts; the caller has seen that there is enough.
    private struct Reader {
        let bytes: UnsafeRawBufferPointer
        var at = 0

        var left: Int { bytes.count - at }

        mutating func number<Number: FixedWidthInteger>(_ type: Number.Type) -> Number {
            defer { at += MemoryLayout<Number>.size }
            return Number(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: Number.self))
        }

        mutating func text(_ count: Int) -> String {
            defer { at += count }
            return String(decoding: bytes[at..<(at + count)].prefix { $0 != 0 }, as: UTF8.self)
        }

        /// A count of entries for which there is room: a lie costs no memory.
        mutating func count(_ field: DBNError.Part, entryBytes: Int) throws(DBNError) -> Int {
            guard left >= 4 else { throw .badMetadata(field) }
            let count = Int(number(UInt32.self))
            guard count <= left / entryBytes else { throw .badMetadata(field) }
            return count
        }

        mutating func list(_ field: DBNError.Part, _ symbolBytes: Int) throws(DBNError) -> [String] {
            let count = try count(field, entryBytes: symbolBytes)
            return (0..<count).map { _ in text(symbolBytes) }
        }

    }
}
