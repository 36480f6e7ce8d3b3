import Feeds
import JSON
import Market

extension FuzzProperty {
    /// The venues' scanner takes exactly the texts that our clients' reader takes, but for what it leaves unchecked, and reads
    /// a number on its short way as on its long one.
    static let venueJSON = FuzzProperty(name: "venue-json") { text in
        let place = compareGrammars(text)
        compareNumbers(text)
        guard let place else { return }
        if let timeNs = try? JSONScanner.isoTimeNs(place, in: text) {
            precondition(timeNs >= 0, "a time before 1970")
        }
    }

    /// - Returns: where the value stands, when the whole text is one.
    private static func compareGrammars(_ text: UnsafeRawBufferPointer) -> FrameValue? {
        let limits = JSONLimits(
            bytesMost: .max,
            depthMost: JSONScanner.depthMost,
            valuesMost: .max,
            membersMost: .max
        )
        let scanned = Result { () throws(FrameFault) in
            var scanner = JSONScanner(text)
            let place = try scanner.value()
            try scanner.finish()
            precondition(scanner.at == text.count)
            return place
        }
        let read = Result { () throws(JSONError) in try JSONDocument(reading: text, limits: limits) }
        switch (scanned, read) {
        case (.success(let place), .success(let document)):
            precondition(document.root.range == place.start..<place.end, "the value stands elsewhere")
            if let string = document.root.string {
                precondition(place.string(in: text).utf8.elementsEqual(string.utf8), "another text")
            }
            return place
        case (.success(let place), .failure(let error)):
            switch error.problem {
            // Whoever makes a text of a string repairs it.
            case .notUTF8, .loneSurrogate, .duplicateKey: break
            default: preconditionFailure("the scanner takes what is no JSON: \(error)")
            }
            _ = place.string(in: text)
            return place
        case (.failure(let fault), .success):
            preconditionFailure("the scanner refuses JSON: \(fault)")
        case (.failure, .failure):
            return nil
        }
    }

    /// Reads what stands first in the text as a number, and as a value from which ``Decimal`` makes one.
    private static func compareNumbers(_ text: UnsafeRawBufferPointer) {
        var fast = JSONScanner(text)
        let number = try? fast.number()
        var slow = JSONScanner(text)
        let place = try? slow.value()
        guard let place, let decimal = decimal(at: place, in: text) else {
            precondition(number == nil, "a number that is none")
            return
        }
        guard let number else { preconditionFailure("a number that is not taken") }
        precondition(fast.at == slow.at, "the number ends elsewhere")
        precondition(number.written == decimal.scale && number.scale <= number.written, "other decimals")
        precondition(number.scale == 0 || number.digits % 10 != 0, "a zero at the end counts")
        let exact = Decimal(digits: number.digits, scale: number.scale)
        precondition(exact.units(atScale: decimal.scale) == decimal.digits, "another number")
    }

    /// The number that a value is, bare or in quotes.
    private static func decimal(at place: FrameValue, in text: UnsafeRawBufferPointer) -> Decimal? {
        let isQuoted = text[place.start] == UInt8(ascii: "\"")
        let digits = isQuoted ? (place.start + 1)..<(place.end - 1) : place.start..<place.end
        return Decimal(UnsafeRawBufferPointer(rebasing: text[digits]))
    }

    /// Entries of a list of instruments are usable, whatever the list says.
    static let venueLists = FuzzProperty(name: "venue-lists") { text in
        for dialect in Venues.all {
            guard let listed = try? VenueListing.instruments(in: text, of: dialect) else { continue }
            precondition(listed.count <= VenueListing.entriesMost)
            for instrument in listed {
                precondition(instrument.venue == dialect.venue)
                precondition(!instrument.symbol.isEmpty && !instrument.rawSymbol.isEmpty, "an instrument without name")
                precondition(instrument.priceScale <= 18 && instrument.quantityScale <= 18, "too many decimals")
                precondition(instrument.tick > 0 && instrument.lot > 0, "a step of nothing")
            }
        }
    }
}
