/// A capture in memory, sorted by what its frames belong to.
///
/// Texts lie one behind the other in one buffer; a frame is a place in it.
package struct Recording: Sendable {
    /// Longer recordings are refused: all of it is held in memory.
    package static let bytesMost = 2 << 30

    /// A frame that is played.
    package struct Frame: Sendable {
        /// In its file, from 1.
        package var line: Int
        /// Since the first played frame; never less than that of the frame before.
        package var afterNs: Int64
        /// The place of its stream in ``streams``.
        package var stream: Int
        package var text: Range<Int>
    }

    /// Why a capture cannot be played.
    package enum Refusal: Error, Equatable {
        case unreadable(CaptureReader.Failure)
        case badLine(path: String, line: Int, CaptureRecord.Fault)
        case tooLong(bytesMost: Int)
        /// No address of the recording is one of a venue that can be played.
        case unknownVenue
        /// A frame that the recording's own client sent has no meaning for the venue.
        case badRequest(path: String, line: Int, MeaningFault)
        case empty

        package var message: String {
            switch self {
            case .unreadable(let failure): NormalizeError(failure).description
            case .badLine(let path, let line, let fault): "\(path):\(line): \(fault.description)"
            case .tooLong(let most): "the recording has more than \(most) bytes, which is the most that is played"
            case .unknownVenue:
                "no address in the recording belongs to a venue that can be played: "
                    + VenueManners.all.map(\.manner.venue).joined(separator: ", ")
            case .badRequest(let path, let line, let fault):
                "\(path):\(line): what the client sent has no meaning for the venue: \(fault.description)"
            case .empty: "the recording has no frame to play"
            }
        }
    }

    package private(set) var manner: any VenueManner
    package private(set) var frames: [Frame] = []
    /// Every stream that was subscribed to or of which a frame was recorded.
    package private(set) var streams: [PlayedStream] = []
    package private(set) var symbols: Set<String> = []
    /// What everyone hears who connects.
    package private(set) var greeting: String?
    private var bytes: [UInt8] = []
    private var places: [PlayedStream: Int] = [:]
    private var acknowledgements: [PlayedStream: Range<Int>] = [:]
    private var answers: [String: [Answer]] = [:]
    private var firstNs: Int64?

    private struct Answer: Sendable {
        var query: [String: String]
        var body: Range<Int>
    }

    /// Reads the captures in order, as one recording.
    package init(paths: [String]) throws(Refusal) {
        guard let manner = try Self.findManner(paths) else { throw .unknownVenue }
        self.manner = manner
        for path in paths {
            try Self.readLines(path) { record, line throws(Refusal) in
                try add(record, path, line)
                return true
            }
        }
        guard !frames.isEmpty else { throw .empty }
    }

    package func place(of stream: PlayedStream) -> Int? { places[stream] }

    package func offers(_ stream: PlayedStream) -> Bool { places[stream] != nil }

    package func acknowledgement(of stream: PlayedStream) -> String? {
        acknowledgements[stream].map { String(decoding: bytes[$0], as: UTF8.self) }
    }

    package func text(_ frame: Frame) -> ArraySlice<UInt8> { bytes[frame.text] }

    /// The recorded answer to a request whose query has the same items in any order.
    package func answer(
        path: String,
        query: [(name: String, value: String)]
    ) throws(HTTPRefusal) -> ArraySlice<UInt8> {
        guard let recorded = answers[path] else { throw .unknownPath }
        let asked = Dictionary(query.map { ($0.name, $0.value) }) { first, _ in first }
        if let answer = recorded.first(where: { $0.query == asked }) { return bytes[answer.body] }
        guard let sameSymbol = recorded.first(where: { $0.query["symbol"] == asked["symbol"] }) else {
            throw .unknownSymbol
        }
        let names = Set(asked.keys).union(sameSymbol.query.keys)
        throw .unknownParameter(names.sorted().first { asked[$0] != sameSymbol.query[$0] } ?? "")
    }

    // MARK: Reading

    private static func findManner(_ paths: [String]) throws(Refusal) -> (any VenueManner)? {
        var found: (any VenueManner)?
        for path in paths where found == nil {
            try readLines(path) { record, _ throws(Refusal) in
                switch record.kind {
                case .connect:
                    found = VenueManners.manner(ofURL: String(decoding: record.payload, as: UTF8.self))
                case .answer: found = (try? record.answer()).flatMap { VenueManners.manner(ofURL: $0.url) }
                case .sent, .received, .packed, .mark: break
                }
                return found == nil
            }
        }
        return found
    }

    /// Calls back with every line until it answers false.
    private static func readLines(
        _ path: String,
        _ body: (CaptureRecord, Int) throws(Refusal) -> Bool
    ) throws(Refusal) {
        var number = 0
        let room = UnpackingRoom()
        var reader: CaptureReader
        do throws(CaptureReader.Failure) { reader = try CaptureReader(path: path) } catch { throw .unreadable(error) }
        while true {
            let line: CaptureReader.Line?
            do throws(CaptureReader.Failure) { line = try reader.next() } catch { throw .unreadable(error) }
            guard let line else { return }
            // What is missing is not played; the rest is as good as it was.
            if case .lost = line { continue }
            number += 1
            guard case .text(let text) = line else {
                throw .badLine(path: path, line: number, .lineTooLong(bytesMost: CaptureReader.lineBytesMost))
            }
            let record: CaptureRecord
            do throws(CaptureRecord.Fault) { record = try CaptureRecord(text).unpacked(in: room) } catch {
                throw .badLine(path: path, line: number, error)
            }
            guard try body(record, number) else { return }
        }
    }

    private mutating func add(_ record: CaptureRecord, _ path: String, _ line: Int) throws(Refusal) {
        switch record.kind {
        case .connect:
            let url = String(decoding: record.payload, as: UTF8.self)
            guard let address = WebAddress(url) else { return }
            let (path, query) = Self.split(address.path)
            for stream in (try? manner.streams(ofPath: path, query: query)) ?? [] { _ = intern(stream) }
        case .sent:
            do throws(MeaningFault) {
                guard case .subscribe(let streams, _) = try manner.request(record.payload) else { return }
                for stream in streams.sorted() { _ = intern(stream) }
            } catch {
                throw .badRequest(path: path, line: line, error)
            }
        case .received: try addFrame(record, line)
        case .answer:
            guard let (url, body) = try? record.answer(), let address = WebAddress(url) else { return }
            let (path, query) = Self.split(address.path)
            let items = Dictionary(query.map { ($0.name, $0.value) }) { first, _ in first }
            answers[path, default: []].append(Answer(query: items, body: try keep(body)))
        // A packed record was unpacked, and the recorder's own words are none of the venue's.
        case .packed, .mark: break
        }
    }

    private mutating func addFrame(_ record: CaptureRecord, _ line: Int) throws(Refusal) {
        switch manner.role(of: record.payload) {
        case .data(let stream):
            let first = firstNs ?? record.receivedNs
            firstNs = first
            let after = max(frames.last?.afterNs ?? 0, record.receivedNs - first)
            frames.append(
                Frame(line: line, afterNs: after, stream: intern(stream), text: try keep(record.payload))
            )
        case .acknowledgement(let stream):
            _ = intern(stream)
            acknowledgements[stream] = try keep(record.payload)
        case .greeting:
            if greeting == nil { greeting = String(decoding: record.payload, as: UTF8.self) }
        case .other: break
        }
    }

    private mutating func intern(_ stream: PlayedStream) -> Int {
        if let place = places[stream] { return place }
        places[stream] = streams.count
        streams.append(stream)
        symbols.insert(stream.symbol)
        return streams.count - 1
    }

    private mutating func keep(_ text: UnsafeRawBufferPointer) throws(Refusal) -> Range<Int> {
        guard bytes.count + text.count <= Self.bytesMost else { throw .tooLong(bytesMost: Self.bytesMost) }
        let start = bytes.count
        bytes.append(contentsOf: text)
        return start..<bytes.count
    }

    /// Path and query items of what stands behind the host of an address.
    static func split(_ target: String) -> (path: String, query: [(name: String, value: String)]) {
        let parts = target.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        let items = (parts.count > 1 ? parts[1] : "").split(separator: "&").map { item in
            let sides = item.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            return (name: String(sides[0]), value: sides.count > 1 ? String(sides[1]) : "")
        }
        return (parts[0].isEmpty ? "/" : String(parts[0]), items)
    }
}
