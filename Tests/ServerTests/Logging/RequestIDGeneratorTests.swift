import Server
import Testing

@Suite("The ids of requests")
struct RequestIDGeneratorTests {
    @Test("makes ids that are short and differ")
    func requestIDs() {
        let generator = RequestIDGenerator(seed: 7)
        let ids = (0..<10_000).map { _ in generator.make() }
        #expect(Set(ids).count == ids.count)
        #expect(ids.allSatisfy { $0.utf8.count == 10 })
        #expect(RequestIDGenerator(seed: 7).make() == ids[0])
        #expect(RequestIDGenerator(seed: 8).make() == ids[1])
    }
}
