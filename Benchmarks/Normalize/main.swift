// How fast venue messages become books, next to the same work done with simdjson in C++.
//
//     bench-normalize PAYLOADS parse|book|steady VENUE ROUNDS
//     bench-normalize FILE book itch ROUNDS
//
// PAYLOADS holds one message a line, without the capture's envelope. Prints the best round. `parse` makes venue messages;
// `book` is the whole way of a live connection: messages, continuity, units, books, events to a sink that counts. `steady`
// is the same with a look at the clock around each message of the second half, when all memory is there: it prints the
// distribution of these times, and how often memory was asked for, when a counter was preloaded (feeds/count_malloc.c).

import Feeds
import Glibc
import Market

struct CountingSink: MarketEventSink {
    var events = 0
    var sum: UInt64 = 0

    mutating func receive(_ event: MarketEvent, levels: Span<LevelChange>) {
        events += 1
        sum &+= event.venueSequence &+ UInt64(levels.count)
    }
}

func readFile(_ path: String) -> [UInt8]? {
    guard let file = fopen(path, "rb") else { return nil }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 20)
    while true {
        let count = fread(&chunk, 1, chunk.count, file)
        guard count > 0 else { return bytes }
        bytes.append(contentsOf: chunk[..<count])
    }
}

/// Of `feeds/count_malloc.c`, where that was preloaded.
let allocationCount: (@convention(c) () -> UInt64)? = dlsym(nil, "market_hub_allocation_count")
    .map { unsafeBitCast($0, to: (@convention(c) () -> UInt64).self) }

func nowNs() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}

/// The first update of each book, as a snapshot that makes the book live from there on: the frames alone have none.
func snapshots(_ payloads: [UnsafeRawBufferPointer], _ dialect: any VenueDialect) -> [String: String] {
    var found: [String: String] = [:]
    var frame = VenueFrame()
    for payload in payloads {
        frame.clear()
        try? dialect.parse(payload, into: &frame)
        for case .book(let book) in frame.messages {
            let rawSymbol = book.symbol.string(in: payload)
            guard found[rawSymbol] == nil else { continue }
            let lastID = dialect.venue == "binance" ? book.firstID - 1 : book.firstID
            found[rawSymbol] = "{\"lastUpdateId\":\(lastID),\"bids\":[],\"asks\":[]}"
        }
    }
    return found
}

func seed(
    _ feed: inout VenueFeed,
    _ instruments: inout InstrumentTable,
    _ sink: inout CountingSink,
    _ snapshots: [String: String]
) {
    for (rawSymbol, body) in snapshots {
        var text = body
        var actions: [FeedAction] = []
        text.withUTF8 { body in
            try? feed.receiveSnapshot(
                UnsafeRawBufferPointer(body),
                rawSymbol: rawSymbol,
                connection: 0,
                atNs: 1,
                instruments: &instruments,
                actions: &actions,
                into: &sink
            )
        }
    }
}

let arguments = CommandLine.arguments
if arguments.count == 5, arguments[2] == "book", arguments[3] == ITCHFeed.venue, let rounds = Int(arguments[4]) {
    guard let bytes = readFile(arguments[1]) else {
        print("cannot read \(arguments[1])")
        exit(2)
    }
    benchmarkITCH(bytes, rounds: rounds)
    exit(0)
}
guard arguments.count == 5, let dialect = Venues.dialect(of: arguments[3]), let rounds = Int(arguments[4]),
    ["parse", "book", "steady"].contains(arguments[2])
else {
    print("usage: bench-normalize PAYLOADS parse|book|steady VENUE ROUNDS")
    exit(2)
}
guard let bytes = readFile(arguments[1]) else {
    print("cannot read \(arguments[1])")
    exit(2)
}
var lines: [Range<Int>] = []
var start = 0
for (index, byte) in bytes.enumerated() where byte == UInt8(ascii: "\n") {
    lines.append(start..<index)
    start = index + 1
}
let byteCount = lines.reduce(0) { $0 + $1.count }
let isSteady = arguments[2] == "steady"
let isBook = arguments[2] == "book" || isSteady
var (bestNs, sum, events, faults) = (Int64.max, UInt64(0), 0, 0)
let isRequested = dialect.snapshotURL(rawSymbol: "X") != nil

bytes.withUnsafeBytes { all in
    let payloads = lines.map { UnsafeRawBufferPointer(rebasing: all[$0]) }
    let bodies = isBook && isRequested ? snapshots(payloads, dialect) : [:]
    for _ in 0..<rounds {
        var frame = VenueFrame()
        var feed = VenueFeed(dialect)
        var instruments = InstrumentTable()
        var sink = CountingSink()
        var actions: [FeedAction] = []
        (sum, faults) = (0, 0)
        seed(&feed, &instruments, &sink, bodies)
        let startNs = nowNs()
        if isSteady {
            let half = payloads.count / 2
            var times = [Int64](repeating: 0, count: payloads.count - half)
            var allocatedBefore: UInt64 = 0
            for (place, payload) in payloads.enumerated() {
                if place == half { allocatedBefore = allocationCount?() ?? 0 }
                let before = nowNs()
                do throws(FrameFault) {
                    try feed.receive(
                        payload,
                        connection: 1,
                        atNs: 1,
                        instruments: &instruments,
                        actions: &actions,
                        into: &sink
                    )
                } catch {
                    faults += 1
                }
                if place >= half { times[place - half] = nowNs() - before }
            }
            let allocations = (allocationCount?() ?? 0) - allocatedBefore
            times.sort()
            func quantile(_ part: Double) -> Int64 { times[min(times.count - 1, Int(Double(times.count) * part))] }
            (sum, events) = (sink.sum, sink.events)
            print(
                "steady \(times.count) messages p50 \(quantile(0.5)) ns p99 \(quantile(0.99)) ns p99.9 \(quantile(0.999)) ns "
                    + "max \(times.last ?? 0) ns allocations \(allocationCount == nil ? "uncounted" : "\(allocations)")"
            )
        } else if isBook {
            for payload in payloads {
                do throws(FrameFault) {
                    try feed.receive(
                        payload,
                        connection: 1,
                        atNs: 1,
                        instruments: &instruments,
                        actions: &actions,
                        into: &sink
                    )
                } catch {
                    faults += 1
                }
            }
            (sum, events) = (sink.sum, sink.events)
        } else {
            for payload in payloads {
                frame.clear()
                do throws(FrameFault) {
                    try dialect.parse(payload, into: &frame)
                } catch {
                    faults += 1
                }
                sum &+= UInt64(frame.levels.count + frame.messages.count)
            }
        }
        bestNs = min(bestNs, nowNs() - startNs)
        if isBook, feed.counters.resyncs > 0 { print("resynced \(feed.counters.resyncs) times") }
    }
}

let perSecond = Double(lines.count) / Double(bestNs) * 1e3
let megabytes = Double(byteCount) / Double(bestNs) * 1e3
print(
    "\(arguments[1]) \(arguments[2]) swift msgs \(lines.count) bytes \(byteCount) best \(Double(bestNs) / 1e9)s  "
        + "\(perSecond) M msg/s  \(megabytes) MB/s  \(bestNs / Int64(max(lines.count, 1))) ns/msg faults \(faults) sum \(sum) "
        + "events \(events)"
)
