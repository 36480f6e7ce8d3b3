import Market

extension JSONScanner {
    /// Reads `[{"price":1.5,"qty":0.2},...]`, as Kraken's newer APIs write the sides of a book.
    mutating func krakenLevels(_ side: Side, into levels: inout [VenueLevel]) throws(FrameFault) {
        var isMore = try beginArray()
        while isMore {
            var (price, quantity): (VenueNumber?, VenueNumber?)
            var isMoreMembers = try beginObject()
            while isMoreMembers {
                let key = try key()
                if key.equals("price", in: text) {
                    price = try number()
                } else if key.equals("qty", in: text) {
                    quantity = try number()
                } else {
                    try skip()
                }
                isMoreMembers = try nextMember()
            }
            guard let price else { throw .missing(field: "price") }
            guard let quantity else { throw .missing(field: "qty") }
            guard quantity.digits >= 0 else { throw .negativeQuantity }
            levels.append(VenueLevel(side, price: price, quantity: quantity))
            isMore = try nextElement()
        }
    }
}
