import Feeds
import Testing

@Suite("An ITCH message")
struct ITCHMessageTests {
    /// Kinds and lengths as Nasdaq TotalView-ITCH 5.0 gives them.
    static let lengths: [(kind: Character, length: Int)] = [
        ("S", 12), ("R", 39), ("H", 25), ("Y", 20), ("L", 26), ("V", 35), ("W", 12), ("K", 28), ("J", 35), ("h", 21),
        ("A", 36), ("F", 40), ("E", 31), ("C", 36), ("X", 23), ("D", 19), ("U", 35), ("P", 44), ("Q", 40), ("B", 19),
        ("I", 50), ("N", 20), ("O", 48),
    ]

    @Test("has the length of its kind and no other", arguments: lengths)
    func length(kind: Character, length: Int) throws {
        let code = try #require(kind.asciiValue)
        for count in 1...64 {
            var bytes = [UInt8](repeating: 0, count: count)
            bytes[0] = code
            if count > 19, kind == "A" || kind == "F" { bytes[19] = UInt8(ascii: "S") }
            if count == length {
                let message = try bytes.withUnsafeBytes { try ITCHMessage($0) }
                #expect(message.timeNs == 0)
            } else {
                #expect(throws: ITCHFault.wrongLength(kind: code, length: count, expected: length)) {
                    try bytes.withUnsafeBytes { _ = try ITCHMessage($0) }
                }
            }
        }
    }

    @Test("is refused when it has no known kind, no side, no bytes, or a time after the day's end")
    func refused() throws {
        let known = Set(Self.lengths.compactMap(\.kind.asciiValue))
        for kind in UInt8.min...UInt8.max where !known.contains(kind) {
            let bytes = [kind] + [UInt8](repeating: 0, count: 30)
            #expect(throws: ITCHFault.unknownKind(kind)) { try bytes.withUnsafeBytes { _ = try ITCHMessage($0) } }
        }
        #expect(throws: ITCHFault.empty) { _ = try ITCHMessage(UnsafeRawBufferPointer(start: nil, count: 0)) }
        let side = ITCHBytes.add(1, "b", 1, at: 1)
        #expect(throws: ITCHFault.badSide(kind: UInt8(ascii: "A"))) {
            try side.withUnsafeBytes { _ = try ITCHMessage($0) }
        }
        for (timeNs, isRight) in [(86_399_999_999_999, true), (86_400_000_000_000, false)] as [(UInt64, Bool)] {
            var made = ITCHBytes("D", timeNs: timeNs)
            made.add(UInt64(1))
            let isRead = (try? read(made)) != nil
            #expect(isRead == isRight)
        }
    }

    @Test("tells collars, halts, imbalances and all the rest field by field")
    func fields() throws {
        var made = ITCHBytes("J", locate: 7, tracking: 9, timeNs: 0x0102_0304_0506)
        made.add("AB", 8)
        for number: UInt32 in [1, 2, 3, 4] { made.add(number) }
        let collar = try read(made)
        #expect(collar.locate == 7 && collar.tracking == 9 && collar.timeNs == 0x0102_0304_0506)
        guard case .auctionCollar(let told) = collar.body else { throw NotThis() }
        #expect(told.stock.text == "AB" && [told.reference, told.upper, told.lower, told.extensions] == [1, 2, 3, 4])

        made = ITCHBytes("V")
        for number: UInt64 in [1, 2, 3] { made.add(number << 40) }
        guard case .circuitBreakerLevels(let one, let two, let three) = try read(made).body else { throw NotThis() }
        #expect([one, two, three] == [1 << 40, 2 << 40, 3 << 40])

        made = ITCHBytes("I")
        made.add(UInt64(5))
        made.add(UInt64(6))
        made.add("B", 1)
        made.add("ABCDEFGH", 8)
        for number: UInt32 in [7, 8, 9] { made.add(number) }
        made.add("CL", 2)
        guard case .imbalance(let noii) = try read(made).body else { throw NotThis() }
        #expect(noii.pairedShares == 5 && noii.imbalanceShares == 6 && noii.direction == UInt8(ascii: "B"))
        #expect(noii.stock.text == "ABCDEFGH" && [noii.farPrice, noii.nearPrice, noii.referencePrice] == [7, 8, 9])
        #expect(noii.crossKind == UInt8(ascii: "C") && noii.variation == UInt8(ascii: "L"))

        made = ITCHBytes("O")
        made.add("DL", 8)
        made.add("Y", 1)
        for number: UInt32 in [1, 2, 3] { made.add(number) }
        made.add(UInt64(4))
        for number: UInt32 in [5, 6] { made.add(number) }
        guard case .directListing(let listing) = try read(made).body else { throw NotThis() }
        #expect(listing.stock.text == "DL" && listing.eligibility == UInt8(ascii: "Y") && listing.nearTimeNs == 4)
        #expect([listing.priceLeast, listing.priceMost, listing.nearPrice] == [1, 2, 3])
        #expect(listing.collarLower == 5 && listing.collarUpper == 6)

        made = ITCHBytes("L")
        made.add("MPID", 4)
        made.add("X", 8)
        made.add("YNA", 3)
        guard case .participantPosition(let position) = try read(made).body else { throw NotThis() }
        #expect(position.participant.text == "MPID" && position.stock.text == "X")
        #expect([position.isPrimary, position.mode, position.state] == Array("YNA".utf8))

        made = ITCHBytes("K")
        made.add("IPO", 8)
        made.add(UInt32(34_200))
        made.add("A", 1)
        made.add(UInt32(170_000))
        guard case .quotingPeriod(let period) = try read(made).body else { throw NotThis() }
        #expect(period.stock.text == "IPO" && period.releaseSeconds == 34_200 && period.price == 170_000)
        #expect(period.qualifier == UInt8(ascii: "A"))
    }

    @Test("tells crosses, broken trades, tests and retail interest")
    func more() throws {
        var made = ITCHBytes("Q")
        made.add(UInt64(1_000_000))
        made.add("ABC", 8)
        made.add(UInt32(123))
        made.add(UInt64(99))
        made.add("O", 1)
        guard case .crossTrade(let cross) = try read(made).body else { throw NotThis() }
        #expect(cross.shares == 1_000_000 && cross.stock.text == "ABC" && cross.price == 123 && cross.match == 99)
        #expect(cross.kind == UInt8(ascii: "O"))
        made = ITCHBytes("B")
        made.add(UInt64(99))
        guard case .brokenTrade(99) = try read(made).body else { throw NotThis() }
        made = ITCHBytes("N")
        made.add("ABC", 8)
        made.add("S", 1)
        guard case .retailInterest(let stock, UInt8(ascii: "S")) = try read(made).body else { throw NotThis() }
        #expect(stock.text == "ABC")
        made = ITCHBytes("Y")
        made.add("ABC", 8)
        made.add("2", 1)
        guard case .regSHO(_, UInt8(ascii: "2")) = try read(made).body else { throw NotThis() }
        made = ITCHBytes("h")
        made.add("ABC", 8)
        made.add("QH", 2)
        guard case .operationalHalt(_, UInt8(ascii: "Q"), UInt8(ascii: "H")) = try read(made).body else {
            throw NotThis()
        }
        made = ITCHBytes("W")
        made.add("3", 1)
        guard case .circuitBreakerBreach(UInt8(ascii: "3")) = try read(made).body else { throw NotThis() }
        made = ITCHBytes("C")
        made.add(UInt64(1))
        made.add(UInt32(2))
        made.add(UInt64(3))
        made.add("Y", 1)
        made.add(UInt32(4))
        guard case .executedWithPrice(let executed) = try read(made).body else { throw NotThis() }
        #expect(executed.order == 1 && executed.shares == 2 && executed.match == 3 && executed.price == 4)
        #expect(executed.printable == UInt8(ascii: "Y"))
    }

    private struct NotThis: Error {}

    private func read(_ made: ITCHBytes) throws -> ITCHMessage {
        try made.bytes.withUnsafeBytes { try ITCHMessage($0) }
    }
}

@Suite("Midnight in New York")
struct EasternTimeTests {
    @Test(
        "is four hours behind UTC in summer and five in winter",
        arguments: [
            ("2010-12-24", 1_293_166_800), ("2019-01-30", 1_548_824_400), ("2024-03-10", 1_710_046_800),
            ("2024-03-11", 1_710_129_600), ("2024-07-04", 1_720_065_600), ("2024-11-03", 1_730_606_400),
            ("2024-11-04", 1_730_696_400), ("2024-02-29", 1_709_182_800),
        ] as [(String, Int64)]
    )
    func midnight(date: String, seconds: Int64) throws {
        let midnightNs = try #require(EasternTime.midnightNs(of: date))
        #expect(midnightNs == seconds * 1_000_000_000)
        #expect(EasternTime.midnightNs(before: midnightNs) == midnightNs)
        #expect(EasternTime.midnightNs(before: midnightNs + 80_000 * 1_000_000_000) == midnightNs)
        #expect(EasternTime.midnightNs(before: midnightNs - 1) < midnightNs)
    }

    @Test(
        "is not of a date that there is not",
        arguments: ["2023-02-29", "2024-13-01", "2024-1-1", "", "2024-04-31", "20240101xx", "1969-12-31"]
    )
    func none(date: String) { #expect(EasternTime.midnightNs(of: date) == nil) }
}
