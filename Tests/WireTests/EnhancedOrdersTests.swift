import CMarketHubProto
import Hub
import Market
import Testing

@testable import Wire

@Suite("Single orders on the enhanced channel")
struct EnhancedOrdersTests {
    private func withPush(
        _ bytes: [UInt8],
        _ body: (Markethub__V2__Push) throws -> Void
    ) throws {
        let frame = try #require(markethub__v2__server_frame__unpack(nil, bytes.count, bytes))
        defer { markethub__v2__server_frame__free_unpacked(frame, nil) }
        let size = markethub__v2__server_frame__get_packed_size(frame)
        let repacked = [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
            count = buffer.baseAddress.map { markethub__v2__server_frame__pack(frame, $0) } ?? 0
        }
        #expect(repacked == bytes)
        #expect(frame.pointee.n_pushes == 1 && frame.pointee.base.n_unknown_fields == 0)
        try body(try #require(frame.pointee.pushes?[0]).pointee)
    }

    private func push(_ payload: Push.Payload, _ random: inout SeededRandom) -> Push {
        var push = Push(
            topic: TopicID(UInt32(truncatingIfNeeded: random.anyLength())),
            channel: .orders,
            instrument: InstrumentID(0),
            sequence: random.anyLength(),
            previous: random.anyLength(),
            skipped: random.anyLength(),
            eventNs: Int64(bitPattern: random.anyLength()),
            receivedNs: Int64(bitPattern: random.anyLength()),
            flags: EventFlags(rawValue: UInt16(truncatingIfNeeded: random.anyLength())),
            payload: payload
        )
        push.checksum = random.next() & 1 == 0 ? nil : UInt32(truncatingIfNeeded: random.anyLength())
        return push
    }

    @Test("are, byte for byte, what protobuf-c packs: changes", arguments: 0..<10 as Range<UInt64>)
    func changes(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        for _ in 0..<200 {
            let kinds: [OrderChange.Kind] = [.added, .executed, .reduced, .deleted, .replaced]
            let change = OrderChange(
                kinds.randomElement(using: &random) ?? .added,
                side: random.next() & 1 == 0 ? .bid : .ask,
                id: random.anyLength(),
                newID: random.anyLength(),
                price: random.price(),
                quantity: random.quantity()
            )
            var pass = Pass()
            let push = pass.append(push(.orderChange(change), &random))
            var out = OutputBytes(capacity: 1)
            EnhancedCodec.append(push, of: pass, instruments: Samples.table.all, to: &out)
            try withPush(out.withBytes { Array($0) }) { message in
                #expect(message.payload_case == MARKETHUB__V2__PUSH__PAYLOAD_ORDER_CHANGE)
                #expect(message.sequence == push.sequence && message.previous == push.previous)
                let read = message.order_change.pointee
                #expect(read.kind.rawValue == UInt32(change.kind.rawValue))
                #expect(read.side.rawValue == UInt32(change.side.rawValue) + 1)
                #expect(read.id == change.id && read.new_id == change.newID)
                #expect(read.price == change.price.ticks && read.quantity == UInt64(change.quantity.lots))
                #expect((read.check_case == MARKETHUB__V2__BOOK_ORDER_CHANGE__CHECK_CRC32) == (push.checksum != nil))
                if let checksum = push.checksum { #expect(read.crc32 == checksum) }
            }
        }
    }

    @Test("are, byte for byte, what protobuf-c packs: snapshots", arguments: [0, 1, 5, 6, 7, 40, 1_201, 5_000])
    func snapshots(count: Int) throws {
        var random = SeededRandom(seed: UInt64(count))
        let orders = (0..<count).map { _ in
            RestingOrder(
                id: random.anyLength(),
                side: random.next() & 1 == 0 ? .bid : .ask,
                price: random.price(),
                quantity: random.quantity()
            )
        }
        var pass = Pass()
        pass.append(
            push(.orderSnapshot, &random),
            orders: [orders.first ?? RestingOrder(id: 1, side: .bid, price: .zero, quantity: .zero)]
        )
        let push = pass.append(push(.orderSnapshot, &random), orders: orders)
        var out = OutputBytes(capacity: 1)
        EnhancedCodec.append(push, of: pass, instruments: Samples.table.all, to: &out)
        try withPush(out.withBytes { Array($0) }) { message in
            #expect(message.payload_case == MARKETHUB__V2__PUSH__PAYLOAD_ORDER_SNAPSHOT)
            let read = message.order_snapshot.pointee
            func side(
                _ side: Side,
                _ list: UnsafeMutablePointer<UnsafeMutablePointer<Markethub__V2__BookOrder>?>?,
                _ count: Int
            ) {
                let wanted = orders.filter { $0.side == side }
                #expect(count == wanted.count)
                for (index, order) in wanted.enumerated() {
                    let read = list?[index]?.pointee
                    #expect(read?.id == order.id && read?.price == order.price.ticks)
                    #expect(read?.quantity == UInt64(order.quantity.lots))
                }
            }
            side(.bid, read.bids, read.n_bids)
            side(.ask, read.asks, read.n_asks)
            #expect((read.check_case == MARKETHUB__V2__BOOK_ORDERS__CHECK_CRC32) == (push.checksum != nil))
        }
    }

    @Test("say of an instrument whether it has them")
    func instrument() throws {
        var instrument = Samples.table.all[0]
        instrument.hasSingleOrders = true
        var out = OutputBytes()
        EnhancedCodec.append(1, instrument, to: &out)
        let bytes = Array(out.withBytes { Array($0) }.dropFirst(2))
        let read = try #require(markethub__v2__instrument__unpack(nil, bytes.count, bytes))
        defer { markethub__v2__instrument__free_unpacked(read, nil) }
        #expect(read.pointee.single_orders == 1)
    }
}
