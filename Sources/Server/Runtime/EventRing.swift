package import Market
import Synchronization

/// The units in which an instrument's numbers are; an instrument that was not heard of begins with them.
package struct InstrumentUnits: Hashable, Sendable, BitwiseCopyable {
    package var id: InstrumentID
    package var priceScale: UInt8
    package var quantityScale: UInt8

    package init(of instrument: Instrument) {
        id = instrument.id
        priceScale = instrument.priceScale
        quantityScale = instrument.quantityScale
    }
}

/// All single orders of an instrument at one moment, bids first, each side in the order of priority.
package final class OrderList: Sendable {
    package let orders: [RestingOrder]

    package init(_ orders: [RestingOrder]) {
        self.orders = orders
    }
}

/// Carries numbered market events from the feed thread to one I/O loop, without locks and without allocation.
///
/// One thread pushes, one drains. Bounded: a push that does not fit is refused and the pusher must say so to the loop later.
/// Events lie in the ring as they lie in memory, each with its levels behind it.
package final class EventRing: @unchecked Sendable {
    /// How a record begins.
    private struct Head: BitwiseCopyable {
        /// Of the whole record; 0 says that the next record is at the ring's start.
        var byteCount: UInt32
        /// ``units`` says that the record is no event, ``orders`` that a reference to an ``OrderList`` follows its event.
        var levelCount: UInt32

        static let units = UInt32.max
        static let orders = UInt32.max - 1
    }

    private static let alignment = 16
    private static let eventOffset = 16
    private static let levelsOffset = (eventOffset + MemoryLayout<MarketEvent>.size + 15) / 16 * 16

    package let capacity: Int
    private let memory: UnsafeMutableRawPointer
    // Positions only grow; their rest by the capacity is the place in memory. A cache line for each, because two threads write.
    private let pushed = Padded()
    private let drained = Padded()
    /// The pusher's last sight of `drained`: reading the other thread's line costs more than reading one's own.
    private var drainedSeen = 0

    private final class Padded: Sendable {
        let before = InlineArray<8, Int>(repeating: 0)
        let position = Atomic<Int>(0)
        let after = InlineArray<8, Int>(repeating: 0)
    }

    /// - Parameter capacity: bytes; at least 4,096 and a multiple of 16. A book of *n* levels needs about 24 × *n*.
    package init(capacity: Int) {
        precondition(capacity >= 4096 && capacity % Self.alignment == 0, "a ring of \(capacity) bytes")
        self.capacity = capacity
        memory = .allocate(byteCount: capacity, alignment: 64)
    }

    deinit {
        // Lets go of the lists that nobody has drained.
        _ = drain(most: .max) { _, _ in }
        memory.deallocate()
    }

    /// Bytes in use, as either thread sees them; may be out of date at once.
    package var usedBytes: Int {
        pushed.position.load(ordering: .relaxed) - drained.position.load(ordering: .relaxed)
    }

    /// Adds an event; false when there is no room, and then nothing changed.
    package func push(_ event: MarketEvent, levels: Span<LevelChange>) -> Bool {
        let size = Self.levelsOffset + levels.count * MemoryLayout<LevelChange>.stride
        guard let (record, end) = room(size, levelCount: UInt32(levels.count)) else { return false }
        record.storeBytes(of: event, toByteOffset: Self.eventOffset, as: MarketEvent.self)
        levels.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress else { return }
            (record + Self.levelsOffset).copyMemory(from: base, byteCount: bytes.count)
        }
        pushed.position.store(end, ordering: .releasing)
        return true
    }

    /// Adds the units in which an instrument's later events are; false when there is no room.
    package func push(_ units: InstrumentUnits) -> Bool {
        let size = Self.eventOffset + MemoryLayout<InstrumentUnits>.size
        guard let (record, end) = room(size, levelCount: Head.units) else { return false }
        record.storeBytes(of: units, toByteOffset: Self.eventOffset, as: InstrumentUnits.self)
        pushed.position.store(end, ordering: .releasing)
        return true
    }

    /// Adds all single orders of an instrument, however many: the ring holds only a reference to them.
    ///
    /// They are drained as `event` with ``OrderChange/Kind/cleared``, each order, and ``OrderChange/Kind/complete``.
    /// - Returns: false when there is no room.
    package func push(_ event: MarketEvent, orders: OrderList) -> Bool {
        let size = Self.levelsOffset + MemoryLayout<Unmanaged<OrderList>>.size
        guard let (record, end) = room(size, levelCount: Head.orders) else { return false }
        record.storeBytes(of: event, toByteOffset: Self.eventOffset, as: MarketEvent.self)
        record.storeBytes(of: .passRetained(orders), toByteOffset: Self.levelsOffset, as: Unmanaged<OrderList>.self)
        pushed.position.store(end, ordering: .releasing)
        return true
    }

    /// Finds room for a record and writes its head; nil when there is none.
    ///
    /// The record counts from when `end` is published.
    private func room(_ size: Int, levelCount: UInt32) -> (record: UnsafeMutableRawPointer, end: Int)? {
        let needed = (size + Self.alignment - 1) / Self.alignment * Self.alignment
        let start = pushed.position.load(ordering: .relaxed)
        let place = start % capacity
        let isWrapping = place + needed > capacity
        let total = isWrapping ? needed + capacity - place : needed
        if start + total - drainedSeen > capacity {
            drainedSeen = drained.position.load(ordering: .acquiring)
            guard start + total - drainedSeen <= capacity else { return nil }
        }
        if isWrapping { memory.storeBytes(of: Head(byteCount: 0, levelCount: 0), toByteOffset: place, as: Head.self) }
        let record = memory + (isWrapping ? 0 : place)
        record.storeBytes(of: Head(byteCount: UInt32(needed), levelCount: levelCount), as: Head.self)
        return (record, start + total)
    }

    /// Hands about `most` events over, oldest first: to `body` events, to `units` the units of those behind them.
    ///
    /// - Returns: how many; `most` or more says that there may be more, because single orders of an instrument are not parted.
    package func drain(
        most: Int,
        units: (InstrumentUnits) -> Void = { _ in },
        into body: (MarketEvent, Span<LevelChange>) -> Void
    ) -> Int {
        let end = pushed.position.load(ordering: .acquiring)
        var at = drained.position.load(ordering: .relaxed)
        var count = 0
        while at < end, count < most {
            var record = memory + at % capacity
            var head = record.load(as: Head.self)
            if head.byteCount == 0 {
                at += capacity - at % capacity
                record = memory
                head = record.load(as: Head.self)
            }
            at += Int(head.byteCount)
            count += 1
            if head.levelCount == Head.units {
                units(record.load(fromByteOffset: Self.eventOffset, as: InstrumentUnits.self))
                continue
            }
            let event = record.load(fromByteOffset: Self.eventOffset, as: MarketEvent.self)
            if head.levelCount == Head.orders {
                let list = record.load(fromByteOffset: Self.levelsOffset, as: Unmanaged<OrderList>.self)
                let orders = list.takeRetainedValue()
                Self.unfold(orders, of: event, into: body)
                count += orders.orders.count + 1
                continue
            }
            let levels = UnsafeBufferPointer(
                start: (record + Self.levelsOffset).assumingMemoryBound(to: LevelChange.self),
                count: Int(head.levelCount)
            )
            body(event, levels.span)
        }
        drained.position.store(at, ordering: .releasing)
        return count
    }

    private static func unfold(
        _ list: OrderList,
        of event: MarketEvent,
        into body: (MarketEvent, Span<LevelChange>) -> Void
    ) {
        var event = event
        event.payload = .order(OrderChange(.cleared))
        body(event, Span())
        for order in list.orders {
            event.payload = .order(
                OrderChange(.added, side: order.side, id: order.id, price: order.price, quantity: order.quantity)
            )
            body(event, Span())
        }
        event.payload = .order(OrderChange(.complete))
        body(event, Span())
    }
}
