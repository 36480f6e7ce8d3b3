import Hub
import Market

// Single orders as bytes: by hand, like the other pushes.

extension EnhancedCodec {
    /// Appends a whole push of one change; at most 200 bytes.
    static func append(_ change: OrderChange, _ push: borrowing Push, to out: inout OutputBytes) {
        let frame = out.openMessage(2)
        var at = out.end
        put(headOf: push, at: &at)
        // Field 16 is the first whose tag takes two bytes.
        at.put(16 << 3 & 0x7F | WireKind.bytes | 0x80)
        at.put(16 >> 4)
        let length = at
        at += 1
        at.put(1, varint: UInt64(change.kind.rawValue))
        at.put(2, varint: UInt64(change.side.rawValue) + 1)
        at.put(3, varint: change.id)
        at.put(4, varint: change.newID)
        at.put(5, signed: change.price.ticks)
        at.put(6, varint: UInt64(bitPattern: change.quantity.lots))
        if let checksum = push.checksum { at.put(7, present: checksum) }
        assert(at - length <= 128, "the message's length does not fit one byte")
        length.pointee = UInt8(truncatingIfNeeded: at - length - 1)
        out.advance(to: at)
        out.close(frame)
    }

    /// Appends the snapshot's field: bids, then asks, which is the order of the field numbers.
    static func append(
        _ orders: ArraySlice<RestingOrder>,
        _ checksum: UInt32?,
        lengthRoom: Int,
        to out: inout OutputBytes
    ) {
        let message = out.openMessage(15, lengthRoom: lengthRoom)
        let orderLengthMost = 2 + 3 * (1 + WireKind.varintLengthMost)
        out.reserve(orders.count * orderLengthMost + WireKind.slack + 5)
        var at = out.end
        for side in [Side.bid, .ask] {
            let field: UInt8 = side == .bid ? 1 : 2
            for order in orders where order.side == side {
                put(field, at: &at) { at in
                    at.put(1, varint: order.id)
                    at.put(2, signed: order.price.ticks)
                    at.put(3, varint: UInt64(bitPattern: order.quantity.lots))
                }
            }
        }
        if let checksum { at.put(3, present: checksum) }
        out.advance(to: at)
        out.close(message)
    }
}
