import Feeds
import Market

/// The file of ITCH messages again and again, a session each: decoded, applied to orders and books, told to a sink that counts.
func benchmarkITCH(_ bytes: [UInt8], rounds: Int) {
    let sessions = 50
    for tellsOrders in [false, true] {
        var (bestNs, messages, events, faults) = (Int64.max, 0, 0, 0)
        for _ in 0..<rounds {
            var settings = ITCHFeed.Settings()
            settings.tellsOrders = tellsOrders
            var feed = ITCHFeed(settings, midnightNs: 1)
            var table = InstrumentTable()
            var sink = CountingSink()
            (messages, faults) = (0, 0)
            let startNs = nowNs()
            bytes.withUnsafeBytes { bytes in
                for _ in 0..<sessions {
                    feed.beginSession(midnightNs: 1, isWhole: true, atNs: 1, into: &sink)
                    var framing = LengthFraming()
                    framing.receive(bytes) { message in
                        messages += 1
                        do throws(ITCHFault) {
                            try feed.receive(
                                message,
                                atNs: 1,
                                sequence: UInt64(messages),
                                instruments: &table,
                                into: &sink
                            )
                        } catch {
                            faults += 1
                        }
                        return true
                    }
                }
            }
            bestNs = min(bestNs, nowNs() - startNs)
            events = sink.events
        }
        let perSecond = Double(messages) / Double(bestNs) * 1e3
        print(
            "itch \(tellsOrders ? "books and orders" : "books") swift msgs \(messages) best \(Double(bestNs) / 1e9)s  "
                + "\(perSecond) M msg/s  \(bestNs / Int64(max(messages, 1))) ns/msg faults \(faults) events \(events)"
        )
    }
}
