import Testing

@testable import Server

@Suite("The configuration of the own feed")
struct OwnFeedConfigurationTests {
    private static func complaints(_ change: (inout Configuration) -> Void) -> [String] {
        var configuration = Configuration()
        change(&configuration)
        return configuration.validate().map(\.path)
    }

    @Test("is fine as it comes, and with both files of TLS")
    func fine() {
        #expect(Self.complaints { _ in } == [])
        let complaints = Self.complaints { configuration in
            configuration.feedOut.certificateFile = "a.pem"
            configuration.feedOut.keyFile = "a.key"
            configuration.feedOut.clientCaFile = "ca.pem"
            configuration.sources.feeds = [FeedClientConfiguration()]
            configuration.sources.feeds[0].urls = ["tls://a:1", "tcp://b:2"]
        }
        #expect(complaints == [])
    }

    @Test("names what does not go together")
    func refuses() {
        let complaints = Self.complaints { configuration in
            configuration.sources.tcp.certificateFile = "a.pem"
            configuration.feedOut.clientCaFile = "ca.pem"
            configuration.feedOut.allowed = ["10.0.0.0/33"]
            configuration.sources.feeds = [FeedClientConfiguration(), FeedClientConfiguration()]
            configuration.sources.feeds[1].urls = ["tcp://a:1", "http://a:1"]
            configuration.sources.feeds[1].keyFile = "a.key"
        }
        #expect(
            Set(complaints) == [
                "sources.tcp.keyFile", "feedOut.clientCaFile", "feedOut.allowed[0]", "sources.feeds[0].urls",
                "sources.feeds[1].urls[1]", "sources.feeds[1].keyFile",
            ]
        )
    }
}
