import Glibc
import Market
import Testing

@testable import Server

@Suite("Event ring")
struct EventRingTests {
    private static func event(_ sequence: UInt64, levels count: Int = 0) -> (MarketEvent, [LevelChange]) {
        let trade = Trade(
            price: Price(ticks: Int64(sequence)),
            quantity: Quantity(lots: 1),
            aggressor: .buyer,
            id: TradeID(sequence)
        )
        let event = MarketEvent(
            instrument: InstrumentID(UInt32(sequence % 7)),
            eventNs: 1,
            receivedNs: 2,
            sequence: sequence,
            payload: .trade(trade)
        )
        let levels = (0..<count).map { place in
            LevelChange(.ask, price: Price(ticks: Int64(sequence) + Int64(place)), quantity: Quantity(lots: 3))
        }
        return (event, levels)
    }

    private static func push(_ sequence: UInt64, levels count: Int = 0, to ring: EventRing) -> Bool {
        let (event, levels) = event(sequence, levels: count)
        return ring.push(event, levels: levels.span)
    }

    @Test("gives back what was put in, in order, with its levels")
    func order() {
        let ring = EventRing(capacity: 8192)
        for sequence in 1...5 { #expect(Self.push(UInt64(sequence), levels: sequence, to: ring)) }
        var seen: [UInt64] = []
        let count = ring.drain(most: 100) { event, levels in
            seen.append(event.sequence)
            #expect(levels.count == Int(event.sequence))
            for place in levels.indices {
                #expect(levels[place].price.ticks == Int64(event.sequence) + Int64(place))
            }
            guard case .trade(let trade) = event.payload else { return #expect(Bool(false), "another payload") }
            #expect(trade.id.text == String(event.sequence))
        }
        #expect(count == 5)
        #expect(seen == [1, 2, 3, 4, 5])
        #expect(ring.usedBytes == 0)
    }

    @Test("hands over no more than asked for, and the rest later")
    func bounded() {
        let ring = EventRing(capacity: 8192)
        for sequence in 1...5 { #expect(Self.push(UInt64(sequence), to: ring)) }
        var seen: [UInt64] = []
        let first = ring.drain(most: 2) { event, _ in seen.append(event.sequence) }
        let second = ring.drain(most: 10) { event, _ in seen.append(event.sequence) }
        #expect(first == 2)
        #expect(second == 3)
        #expect(seen == [1, 2, 3, 4, 5])
    }

    @Test("refuses what does not fit and takes it once there is room", arguments: [0, 3, 40])
    func full(levels: Int) {
        let ring = EventRing(capacity: 4096)
        var pushed: UInt64 = 0
        while Self.push(pushed + 1, levels: levels, to: ring) { pushed += 1 }
        #expect(pushed > 0)
        #expect(ring.usedBytes <= ring.capacity)
        #expect(!Self.push(99, levels: levels, to: ring))
        var first: [UInt64] = []
        let one = ring.drain(most: 1) { event, _ in first.append(event.sequence) }
        #expect(one == 1)
        #expect(first == [1])
        let rest = ring.drain(most: 1000) { _, _ in }
        #expect(rest == Int(pushed) - 1)
        #expect(Self.push(pushed + 1, levels: levels, to: ring))
    }

    @Test("keeps order and bytes over thousands of turns round its memory")
    func wraps() {
        let ring = EventRing(capacity: 4096)
        var (pushed, drained): (UInt64, UInt64) = (0, 0)
        while drained < 20_000 {
            while Self.push(pushed + 1, levels: Int(pushed % 5), to: ring) { pushed += 1 }
            _ = ring.drain(most: Int(pushed % 3) + 1) { event, levels in
                #expect(event.sequence == drained + 1)
                #expect(levels.count == Int(drained % 5))
                drained = event.sequence
            }
        }
    }

    private static func orders(_ count: Int) -> OrderList {
        OrderList(
            (0..<count).map { number in
                RestingOrder(
                    id: UInt64(number),
                    side: number % 2 == 0 ? .bid : .ask,
                    price: Price(ticks: Int64(number)),
                    quantity: Quantity(lots: 2)
                )
            }
        )
    }

    @Test("carries more single orders than it has bytes, as one record")
    func manyOrders() {
        let ring = EventRing(capacity: 4096)
        let (event, _) = Self.event(9)
        #expect(ring.push(event, orders: Self.orders(10_000)))
        #expect(Self.push(10, to: ring))
        var changes: [OrderChange] = []
        var last: UInt64 = 0
        #expect(ring.drain(most: 10) { _, _ in } == 10_002, "not parted, and counted")
        #expect(ring.push(event, orders: Self.orders(10_000)))
        let count = ring.drain(most: .max) { event, levels in
            last = event.sequence
            guard case .order(let change) = event.payload else { return }
            #expect(event.sequence == 9 && levels.isEmpty)
            changes.append(change)
        }
        #expect(count == 10_003 && last == 9 && ring.usedBytes == 0)
        #expect(changes.count == 10_002)
        #expect(changes.first?.kind == .cleared && changes.last?.kind == .complete)
        #expect(
            changes[8]
                == OrderChange(.added, side: .ask, id: 7, price: Price(ticks: 7), quantity: Quantity(lots: 2))
        )
    }

    @Test("lets go of single orders when they were drained, were refused, or never will be drained")
    func freesOrders() {
        weak var drained: OrderList?
        weak var refused: OrderList?
        weak var left: OrderList?
        do {
            let ring = EventRing(capacity: 4096)
            let (event, _) = Self.event(1)
            do {
                let list = Self.orders(3)
                drained = list
                #expect(ring.push(event, orders: list))
            }
            #expect(drained != nil)
            _ = ring.drain(most: .max) { _, _ in }
            #expect(drained == nil)
            do {
                let list = Self.orders(3)
                left = list
                #expect(ring.push(event, orders: list))
            }
            while Self.push(2, to: ring) {}
            do {
                let list = Self.orders(3)
                refused = list
                #expect(!ring.push(event, orders: list))
            }
            #expect(refused == nil && left != nil)
        }
        #expect(left == nil)
    }

    @Test("carries events from one thread to another without loss")
    func threads() {
        let ring = EventRing(capacity: 16_384)
        let count: UInt64 = 200_000
        let pusher = JoinableThread(name: "pusher") {
            for sequence in 1...count {
                while !Self.push(sequence, levels: Int(sequence % 4), to: ring) { sched_yield() }
            }
        }
        var last: UInt64 = 0
        var isInOrder = true
        while last < count {
            let taken = ring.drain(most: 1000) { event, levels in
                isInOrder = isInOrder && event.sequence == last + 1 && levels.count == Int(event.sequence % 4)
                last = event.sequence
            }
            if taken == 0 { sched_yield() }
        }
        pusher.join()
        #expect(isInOrder)
    }
}
