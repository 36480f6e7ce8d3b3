import Market
import Testing

@Suite("The cyclic redundancy check")
struct CRC32Tests {
    @Test(
        "is zlib's",
        arguments: [("", 0), ("123456789", 0xCBF4_3926), ("a", 0xE8B7_BE43), ("\0", 0xD202_EF8D)] as [(String, UInt32)]
    )
    func knownVectors(text: String, sum: UInt32) {
        var crc = CRC32()
        for byte in text.utf8 { crc.add(byte) }
        #expect(crc.value == sum)
    }

    @Test("adds numbers as their digits", arguments: [0, 7, 10, 1_000_000, -17, .max, .min] as [Int64])
    func decimals(number: Int64) {
        var byNumber = CRC32()
        byNumber.add(decimal: number)
        var byText = CRC32()
        for byte in String(number).utf8 { byText.add(byte) }
        #expect(byNumber.value == byText.value)
    }
}
