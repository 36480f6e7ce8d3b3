import Testing

@testable import Feeds

@Suite("The index of venues' names")
struct SymbolIndexTests {
    private func place(of name: String, in index: SymbolIndex) -> Int? {
        var name = name
        return name.withUTF8 { index.place(of: UnsafeRawBufferPointer($0)) }
    }

    private func index(_ names: [String]) -> SymbolIndex {
        var index = SymbolIndex()
        for var name in names { _ = name.withUTF8 { index.add(UnsafeRawBufferPointer($0)) } }
        return index
    }

    @Test("names of all lengths are found in the order of adding, and none before")
    func lengths() {
        // Each is the beginning of the next.
        let names = (1...64).map { String(repeating: "BTC-USD", count: 10).prefix($0) }.map(String.init)
        for count in names.indices {
            let index = index(Array(names[..<count]))
            #expect(names.map { place(of: $0, in: index) } == names.indices.map { $0 < count ? $0 : nil })
        }
    }

    @Test(
        "names that differ in one byte are told apart wherever it stands",
        arguments: [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 18, 64]
    )
    func bytes(count: Int) {
        let names = (0..<count).map { place in
            String((0..<count).map { $0 == place ? "B" as Character : "A" })
        }
        let index = index(names)
        #expect(names.map { place(of: $0, in: index) } == Array(names.indices))
        #expect(place(of: String(repeating: "A", count: count), in: index) == nil)
    }
}
