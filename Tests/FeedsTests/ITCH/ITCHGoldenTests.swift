import Feeds
import Foundation
import Market
import Testing

@Suite("The recorded ITCH file", .enabled(if: Captures.arePresent, "the captures are not beside the package"))
struct ITCHGoldenTests {
    @Test("is read like the other decoder reads it, every field of every message")
    func messages() throws {
        let recording = try ITCHRecording()
        let golden = try ITCHRecording.golden()
        #expect(recording.messages.count == golden.count && golden.count == 8_382)
        for (index, (bytes, row)) in zip(recording.messages, golden).enumerated() {
            let message = try bytes.withUnsafeBytes { try ITCHMessage($0) }
            #expect(Self.row(message) == row, "message \(index + 1)")
        }
    }

    @Test("gives the trades that its messages tell, printed once each")
    func trades() throws {
        let recording = try ITCHRecording()
        var replay = ITCHReplay()
        for message in recording.messages { replay.play(message) }
        var trades: [String] = []
        for event in replay.sink.events {
            guard case .trade(let trade) = event.payload else { continue }
            let stock = replay.table[event.instrument].rawSymbol
            let timeNs = event.eventNs - ITCHRecording.midnightNs
            trades.append(
                "\(stock) \(trade.price.ticks) \(trade.quantity.lots) \(trade.aggressor) \(trade.id.text) \(timeNs)"
            )
        }
        let model = try GoldenModel()
        #expect(trades == model.trades && trades.count == 3_543 + 180 - model.unknownExecutions)
        #expect(replay.feed.counters.common.trades == trades.count)
        #expect(replay.faults.isEmpty)
    }

    @Test("gives the books and orders that its messages make, and marks those that miss some")
    func books() throws {
        let recording = try ITCHRecording()
        var replay = ITCHReplay()
        for message in recording.messages { replay.play(message) }
        let model = try GoldenModel()
        #expect(replay.feed.instruments.count == 2 && replay.feed.counters.unknownOrders == model.unknownOrders)
        for (locate, stock) in [(1, "ALC"), (2, "BOB")] {
            let id = try replay.id(stock)
            let wanted = model.orders.filter { $0.locate == locate }
            for side in Side.allCases {
                let own = wanted.filter { $0.order.side == side }.map(\.order)
                let prices = Set(own.map(\.price)).sorted { side == .bid ? $0 > $1 : $0 < $1 }
                let queues = prices.map { price in own.filter { $0.price == price } }
                let levels = queues.map { queue in
                    Level(price: queue[0].price, quantity: Quantity(lots: queue.reduce(0) { $0 + $1.quantity.lots }))
                }
                #expect(replay.feed.orders(of: id).filter { $0.side == side } == queues.flatMap(\.self))
                #expect(replay.feed.book(of: id)?.top(.max, of: side) == levels)
                #expect(replay.sink.books[id]?.top(.max, of: side) == levels)
                #expect(levels.count > 100)
            }
            let told = (replay.sink.orders[id] ?? []).sorted { $0.id < $1.id }
            #expect(told == wanted.map(\.order).sorted { $0.id < $1.id })
            #expect(replay.sink.statuses[id] == MarketStatus(.resyncing, .gap))
            #expect(replay.sink.bookFlags[id]?.contains(.maybeBadBook) == true)
        }
    }

    /// A message under the names of the golden file.
    static func row(_ message: ITCHMessage) -> [String: NSObject] {
        func letter(_ byte: UInt8) -> NSObject {
            String(UnicodeScalar(byte)).trimmingCharacters(in: .whitespaces) as NSString
        }
        func number(_ value: some BinaryInteger) -> NSObject { NSNumber(value: UInt64(value)) }
        func text(_ text: ITCHText) -> NSObject { text.text as NSString }
        var row: [String: NSObject] = [
            "stock_locate": number(message.locate), "tracking_number": number(message.tracking),
            "timestamp": number(message.timeNs),
        ]
        func put(_ kind: String, _ fields: [String: NSObject]) {
            row["message_type"] = kind as NSString
            row.merge(fields) { $1 }
        }
        switch message.body {
        case .systemEvent(let code): put("S", ["event_code": letter(code)])
        case .directory(let directory):
            put(
                "R",
                [
                    "stock": text(directory.stock), "market_category": letter(directory.marketCategory),
                    "financial_status_indicator": letter(directory.financialStatus),
                    "round_lot_size": number(directory.roundLotSize),
                    "round_lots_only": letter(directory.roundLotsOnly),
                    "issue_classification": letter(directory.classification),
                    "issue_sub_type": text(directory.subType), "authenticity": letter(directory.authenticity),
                    "short_sale_threshold_indicator": letter(directory.shortSaleThreshold),
                    "ipo_flag": letter(directory.isIPO), "luld_ref": letter(directory.priceTier),
                    "etp_flag": letter(directory.isETP), "etp_leverage_factor": number(directory.leverageFactor),
                    "inverse_indicator": letter(directory.isInverse),
                ]
            )
        case .tradingAction(let action):
            put(
                "H",
                [
                    "stock": text(action.stock), "trading_state": letter(action.state),
                    "reserved": letter(action.reserved), "reason": text(action.reason),
                ]
            )
        case .add(let add):
            var fields: [String: NSObject] = [
                "order_reference_number": number(add.order), "buy_sell_indicator": letter(add.side),
                "shares": number(add.shares), "stock": text(add.stock), "price": number(add.price),
            ]
            if add.attribution.length > 0 { fields["attribution"] = text(add.attribution) }
            put(add.attribution.length > 0 ? "F" : "A", fields)
        case .executed(let order, let shares, let match):
            put(
                "E",
                [
                    "order_reference_number": number(order), "executed_shares": number(shares),
                    "match_number": number(match),
                ]
            )
        case .cancelled(let order, let shares):
            put("X", ["order_reference_number": number(order), "cancelled_shares": number(shares)])
        case .deleted(let order): put("D", ["order_reference_number": number(order)])
        case .replaced(let replaced):
            put(
                "U",
                [
                    "order_reference_number": number(replaced.order),
                    "new_order_reference_number": number(replaced.newOrder), "shares": number(replaced.shares),
                    "price": number(replaced.price),
                ]
            )
        case .trade(let trade):
            put(
                "P",
                [
                    "order_reference_number": number(trade.order), "buy_sell_indicator": letter(trade.side),
                    "shares": number(trade.shares), "stock": text(trade.stock), "price": number(trade.price),
                    "match_number": number(trade.match),
                ]
            )
        default: put("?", [:])
        }
        return row
    }
}

/// What the rows of the other decoder come to, worked out as plainly as can be.
private struct GoldenModel {
    /// In the order of coming.
    var orders: [(locate: Int, order: RestingOrder)] = []
    var trades: [String] = []
    var unknownOrders = 0
    var unknownExecutions = 0

    init() throws {
        let stocks = [1: "ALC", 2: "BOB"]
        for row in try ITCHRecording.golden() {
            func number(_ name: String) -> Int64 { (row[name] as? NSNumber)?.int64Value ?? -1 }
            let kind = row["message_type"] as? String
            let stock = stocks[Int(number("stock_locate"))] ?? "?"
            let id = UInt64(bitPattern: number("order_reference_number"))
            let index = kind == "P" ? nil : orders.firstIndex { $0.order.id == id }
            switch kind {
            case "A", "F":
                let order = RestingOrder(
                    id: id,
                    side: row["buy_sell_indicator"] as? String == "B" ? .bid : .ask,
                    price: Price(ticks: number("price")),
                    quantity: Quantity(lots: number("shares"))
                )
                orders.append((Int(number("stock_locate")), order))
            case "P":
                trades.append(
                    "\(stock) \(number("price")) \(number("shares")) unknown \(number("match_number")) \(number("timestamp"))"
                )
            case "E", "X", "D", "U":
                guard let index else {
                    unknownOrders += 1
                    if kind == "E" { unknownExecutions += 1 }
                    continue
                }
                let order = orders[index].order
                if kind == "E" {
                    let side = order.side == .bid ? "seller" : "buyer"
                    trades.append(
                        "\(stock) \(order.price.ticks) \(number("executed_shares")) \(side) \(number("match_number")) \(number("timestamp"))"
                    )
                }
                let gone =
                    kind == "E"
                    ? number("executed_shares") : kind == "X" ? number("cancelled_shares") : order.quantity.lots
                orders[index].order.quantity = Quantity(lots: order.quantity.lots - gone)
                if orders[index].order.quantity.isZero {
                    let removed = orders.remove(at: index)
                    if kind == "U" {
                        var next = removed
                        next.order.id = UInt64(number("new_order_reference_number"))
                        next.order.price = Price(ticks: number("price"))
                        next.order.quantity = Quantity(lots: number("shares"))
                        orders.append(next)
                    }
                }
            default: break
            }
        }
    }
}
