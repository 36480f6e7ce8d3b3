import Server

extension FuzzProperty {
    /// An address of a venue is written in a way that is read as the same, and smuggles nothing into a request.
    static let webAddress = FuzzProperty(name: "web-address") { bytes in
        let texts = String(decoding: bytes, as: UTF8.self).split(separator: "\n", maxSplits: 1).map(String.init)
        guard let text = texts.first, let address = WebAddress(text) else { return }
        precondition(WebAddress(address.text) == address, "what we write, we read")
        precondition((address.host + address.path).utf8.allSatisfy { (0x21...0x7E).contains($0) }, "a space or worse")
        precondition(address.path.isEmpty || address.path.hasPrefix("/") || address.path.hasPrefix("?"))
        guard texts.count > 1, let other = WebAddress(texts[1]) else { return }
        let moved = address.moved(to: other)
        precondition(WebAddress(moved.text) == moved, "what was moved, we read")
        precondition(moved.host == other.host && moved.path.hasSuffix(address.path), "moved elsewhere")
    }

    /// A range of addresses holds the address that it is written with, and no other family.
    static let addressRange = FuzzProperty(name: "address-range") { bytes in
        let texts = String(decoding: bytes, as: UTF8.self).split(separator: "\n", maxSplits: 1).map(String.init)
        guard let text = texts.first, let range = AddressRange(text) else { return }
        precondition(text.utf8.allSatisfy { (0x21...0x7E).contains($0) }, "an address with more than numbers")
        precondition(AddressRange(range.description) == range, "what we write, we read")
        let written = text.prefix { $0 != "/" }
        precondition(range.contains(address: String(written)), "a range without the address it is written with")
        guard texts.count > 1, range.contains(address: texts[1]) else { return }
        guard let address = AddressRange(texts[1]) else { preconditionFailure("no address, and yet within") }
        precondition(address.contains(address: texts[1]))
    }
}
