import Market
import Testing

@Suite("An order ledger")
struct OrderLedgerTests {
    @Test("aggregates what rests and keeps who came first")
    func aggregates() throws {
        var ledger = OrderLedger()
        let book = ledger.addBook()
        for (id, ticks, lots) in [(1, 100, 5), (2, 100, 7), (3, 99, 1), (4, 100, 2)] as [(UInt64, Int64, Int64)] {
            _ = try ledger.add(order(id, .bid, ticks, lots), to: book)
        }
        let added = try ledger.add(order(5, .ask, 101, 3), to: book)
        #expect(added.level == LevelChange(.ask, price: Price(ticks: 101), quantity: Quantity(lots: 3)))
        #expect(ledger.books[book].top(9, of: .bid).map(\.quantity.lots) == [14, 1])
        #expect(ids(ledger, book, .bid) == [1, 2, 4, 3])
        #expect(ledger.count == 5 && ledger.levelCount == 3 && ledger.isConsistent)
    }

    @Test("lets a partial execution keep its priority and a replacement lose it")
    func priority() throws {
        var ledger = OrderLedger()
        let book = ledger.addBook()
        for id: UInt64 in 1...3 { _ = try ledger.add(order(id, .ask, 10, 4), to: book) }
        let executed = try ledger.reduce(1, by: Quantity(lots: 1))
        #expect(executed.order.quantity.lots == 3 && executed.level.quantity.lots == 11)
        #expect(ids(ledger, book, .ask) == [1, 2, 3])
        let replaced = try ledger.replace(2, with: 9, price: Price(ticks: 10), quantity: Quantity(lots: 6))
        #expect(replaced.old.order.quantity.isZero && replaced.old.level.quantity.lots == 7)
        #expect(replaced.new.order.side == .ask && replaced.new.level.quantity.lots == 13)
        #expect(ids(ledger, book, .ask) == [1, 3, 9])
        let gone = try ledger.reduce(1, by: Quantity(lots: 3))
        #expect(gone.order.quantity.isZero && ids(ledger, book, .ask) == [3, 9])
        #expect(try ledger.remove(3).level.quantity.lots == 6)
        #expect(try ledger.remove(9).level.quantity.isZero)
        #expect(ledger.books[book].isEmpty && ledger.count == 0 && ledger.isConsistent)
    }

    @Test("refuses what cannot be and stays as it was")
    func refuses() throws {
        var ledger = OrderLedger(limits: .init(ordersMost: 2, levelsMost: 2))
        let book = ledger.addBook()
        _ = try ledger.add(order(1, .bid, 5, 5), to: book)
        #expect(throws: OrderLedger.Refusal.orderExists) { _ = try ledger.add(order(1, .bid, 5, 5), to: book) }
        #expect(throws: OrderLedger.Refusal.noQuantity) { _ = try ledger.add(order(2, .bid, 5, 0), to: book) }
        #expect(throws: OrderLedger.Refusal.outOfRange) { _ = try ledger.add(order(2, .bid, 5, .max), to: book) }
        #expect(throws: OrderLedger.Refusal.unknownOrder) { _ = try ledger.remove(2) }
        #expect(throws: OrderLedger.Refusal.unknownOrder) { _ = try ledger.reduce(2, by: Quantity(lots: 1)) }
        #expect(throws: OrderLedger.Refusal.noQuantity) { _ = try ledger.reduce(1, by: .zero) }
        #expect(throws: OrderLedger.Refusal.tooMuch(resting: Quantity(lots: 5))) {
            _ = try ledger.reduce(1, by: Quantity(lots: 6))
        }
        _ = try ledger.add(order(2, .bid, 6, 1), to: book)
        #expect(throws: OrderLedger.Refusal.tooManyOrders(most: 2)) {
            _ = try ledger.add(order(3, .bid, 6, 1), to: book)
        }
        #expect(throws: OrderLedger.Refusal.tooManyLevels(most: 2)) {
            _ = try ledger.replace(1, with: 3, price: Price(ticks: 7), quantity: Quantity(lots: 1))
        }
        #expect(throws: OrderLedger.Refusal.orderExists) {
            _ = try ledger.replace(1, with: 2, price: Price(ticks: 5), quantity: Quantity(lots: 1))
        }
        #expect(ids(ledger, book, .bid) == [2, 1] && ledger.isConsistent)
        #expect(ledger.order(1)?.order == order(1, .bid, 5, 5) && ledger.order(3) == nil)
    }

    @Test("is what a simple model is after any run of changes", arguments: 1...12 as ClosedRange<UInt64>)
    func followsModel(seed: UInt64) {
        var random = Dice(state: seed)
        var ledger = OrderLedger(limits: .init(ordersMost: 400, levelsMost: 60))
        var model = NaiveLedger(ordersMost: 400, levelsMost: 60)
        let bookCount = 3
        for _ in 0..<bookCount { _ = ledger.addBook() }
        for step in 0..<6_000 {
            let id = random.next() % 700
            let other = random.next() % 700
            let side: Side = random.next() % 2 == 0 ? .bid : .ask
            let price = Price(ticks: Int64(random.next() % 24) - 4)
            let quantity = Quantity(lots: Int64(random.next() % 6))
            let book = Int(random.next() % UInt64(bookCount))
            // Grows for a while, then shrinks, so that full and empty are both met.
            let choice = random.next() % (step % 2_000 < 1_200 ? 12 : 7)
            var (was, wanted): (Result<Void, OrderLedger.Refusal>, Result<Void, OrderLedger.Refusal>)
            switch choice {
            case 0, 1:
                was = Result { () throws(OrderLedger.Refusal) in _ = try ledger.reduce(id, by: quantity) }
                wanted = Result { () throws(OrderLedger.Refusal) in try model.reduce(id, by: quantity) }
            case 2, 3:
                was = Result { () throws(OrderLedger.Refusal) in _ = try ledger.remove(id) }
                wanted = Result { () throws(OrderLedger.Refusal) in try model.remove(id) }
            case 4, 5:
                was = Result { () throws(OrderLedger.Refusal) in
                    _ = try ledger.replace(id, with: other, price: price, quantity: quantity)
                }
                wanted = Result { () throws(OrderLedger.Refusal) in
                    try model.replace(id, with: other, price: price, quantity: quantity)
                }
            default:
                let order = RestingOrder(id: id, side: side, price: price, quantity: quantity)
                was = Result { () throws(OrderLedger.Refusal) in _ = try ledger.add(order, to: book) }
                wanted = Result { () throws(OrderLedger.Refusal) in try model.add(order, to: book) }
            }
            #expect(refusal(was) == refusal(wanted), "at step \(step)")
            if random.next() % 1_500 == 0 {
                ledger.removeAll(of: book)
                model.orders.removeAll { $0.book == book }
            }
            guard step % 97 == 0 else { continue }
            #expect(ledger.isConsistent, "at step \(step)")
            for book in 0..<bookCount {
                for side in Side.allCases {
                    var told: [RestingOrder] = []
                    ledger.forEachOrder(of: book, side) { told.append($0) }
                    #expect(told == model.orders(of: book, side), "at step \(step)")
                }
            }
        }
    }

    private func refusal(_ result: Result<Void, OrderLedger.Refusal>) -> OrderLedger.Refusal? {
        if case .failure(let refusal) = result { refusal } else { nil }
    }

    private func order(_ id: UInt64, _ side: Side, _ ticks: Int64, _ lots: Int64) -> RestingOrder {
        RestingOrder(id: id, side: side, price: Price(ticks: ticks), quantity: Quantity(lots: lots))
    }

    private func ids(_ ledger: OrderLedger, _ book: Int, _ side: Side) -> [UInt64] {
        var ids: [UInt64] = []
        ledger.forEachOrder(of: book, side) { ids.append($0.id) }
        return ids
    }
}

/// The same rules, as slowly and plainly as can be.
private struct NaiveLedger {
    struct Entry {
        var order: RestingOrder
        var book: Int
    }

    let ordersMost: Int
    let levelsMost: Int
    /// In the order of coming.
    var orders: [Entry] = []

    func orders(of book: Int, _ side: Side) -> [RestingOrder] {
        let own = orders.filter { $0.book == book && $0.order.side == side }.map(\.order)
        let prices = Set(own.map(\.price)).sorted { side == .bid ? $0 > $1 : $0 < $1 }
        return prices.flatMap { price in own.filter { $0.price == price } }
    }

    private struct Place: Hashable {
        var book: Int
        var side: Side
        var price: Price
    }

    private func checkLevel(_ order: RestingOrder, _ book: Int) throws(OrderLedger.Refusal) {
        let places = Set(orders.map { Place(book: $0.book, side: $0.order.side, price: $0.order.price) })
        guard places.count < levelsMost || places.contains(Place(book: book, side: order.side, price: order.price))
        else { throw .tooManyLevels(most: levelsMost) }
    }

    mutating func add(_ order: RestingOrder, to book: Int) throws(OrderLedger.Refusal) {
        guard !order.quantity.isZero else { throw .noQuantity }
        guard !orders.contains(where: { $0.order.id == order.id }) else { throw .orderExists }
        guard orders.count < ordersMost else { throw .tooManyOrders(most: ordersMost) }
        try checkLevel(order, book)
        orders.append(Entry(order: order, book: book))
    }

    mutating func reduce(_ id: UInt64, by quantity: Quantity) throws(OrderLedger.Refusal) {
        guard !quantity.isZero else { throw .noQuantity }
        guard let index = orders.firstIndex(where: { $0.order.id == id }) else { throw .unknownOrder }
        let resting = orders[index].order.quantity
        guard quantity <= resting else { throw .tooMuch(resting: resting) }
        orders[index].order.quantity = Quantity(lots: resting.lots - quantity.lots)
        if orders[index].order.quantity.isZero { orders.remove(at: index) }
    }

    mutating func remove(_ id: UInt64) throws(OrderLedger.Refusal) {
        guard let index = orders.firstIndex(where: { $0.order.id == id }) else { throw .unknownOrder }
        orders.remove(at: index)
    }

    mutating func replace(
        _ id: UInt64,
        with newID: UInt64,
        price: Price,
        quantity: Quantity
    ) throws(OrderLedger.Refusal) {
        guard !quantity.isZero else { throw .noQuantity }
        guard let index = orders.firstIndex(where: { $0.order.id == id }) else { throw .unknownOrder }
        guard newID == id || !orders.contains(where: { $0.order.id == newID }) else { throw .orderExists }
        let old = orders[index]
        let new = RestingOrder(id: newID, side: old.order.side, price: price, quantity: quantity)
        try checkLevel(new, old.book)
        orders.remove(at: index)
        orders.append(Entry(order: new, book: old.book))
    }
}

/// The same seed, the same throws.
private struct Dice: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
