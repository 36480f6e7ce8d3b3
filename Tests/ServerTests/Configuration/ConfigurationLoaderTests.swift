import Server
import Testing

@Suite("The configuration loader")
struct ConfigurationLoaderTests {
    private static func load(
        _ text: String? = nil,
        environment: [String: String] = [:],
        set assignments: [String] = []
    ) throws(ConfigurationError) -> EffectiveConfiguration {
        try ConfigurationLoader.load(
            file: text.map { ("hub.json5", Array($0.utf8)) },
            environment: environment,
            assignments: assignments
        )
    }

    private static func origin(_ path: String, in configuration: EffectiveConfiguration) -> ConfigurationOrigin? {
        configuration.settings.first { $0.leaf.path == path }?.origin
    }

    @Test("gives the defaults when nobody says anything")
    func defaults() throws {
        let configuration = try Self.load()
        #expect(configuration.values == Configuration())
        #expect(configuration.settings.allSatisfy { $0.origin == .defaults })
    }

    @Test("lets the environment win over the file, and flags over both")
    func layers() throws {
        let text = "{listen: {port: 1, host: '::1'}, admin: {port: 2}, hub: {pingMs: 3000}}"
        let configuration = try Self.load(
            text,
            environment: ["MARKET_HUB_LISTEN_PORT": "11", "MARKET_HUB_ADMIN_PORT": "12", "PATH": "/bin"],
            set: ["listen.port=21", "listen.port=22"]
        )
        #expect(configuration.values.listen.port == 22)
        #expect(configuration.values.listen.host == "::1")
        #expect(configuration.values.admin.port == 12)
        #expect(configuration.values.hub.pingMs == 3000)
        #expect(configuration.values.hub.heartbeatMs == 15_000)
        #expect(Self.origin("listen.port", in: configuration) == .flag("listen.port=22"))
        #expect(Self.origin("listen.host", in: configuration) == .file("hub.json5"))
        #expect(Self.origin("admin.port", in: configuration) == .environment("MARKET_HUB_ADMIN_PORT"))
    }

    @Test("takes every kind of value from flags and environment")
    func kinds() throws {
        let configuration = try Self.load(
            environment: ["MARKET_HUB_SOURCES_CAPTURE_LOOP": "true", "MARKET_HUB_SOURCES_CAPTURE_SPEED_FACTOR": "2"],
            set: [
                "listen.origins=https://a.example, https://b.example:8443", "listen.hosts=", "logging.level=debug",
                "sources.synthetic.seed=9223372036854775807",
                "sources.tcp.allowed=['10.0.0.0/8']", "web.root=a=b,c",
                "sources.venues=[{venue: 'kraken', symbols: ['XBT/USD']}]",
            ]
        ).values
        #expect(configuration.sources.capture.loop)
        #expect(configuration.sources.capture.speedFactor == 2)
        #expect(configuration.listen.origins == ["https://a.example", "https://b.example:8443"])
        #expect(configuration.listen.hosts.isEmpty)
        #expect(configuration.sources.synthetic.seed == .max)
        #expect(configuration.logging.level == .debug)
        #expect(configuration.sources.tcp.allowed == ["10.0.0.0/8"])
        #expect(configuration.web.root == "a=b,c")
        #expect(configuration.sources.venues.map(\.venue) == ["kraken"])
        #expect(configuration.sources.venues.map(\.url) == [""])
    }

    @Test("takes a number where it is whole, however it is written")
    func wholeNumbers() throws {
        let configuration = try Self.load("{hub: {pingMs: 5e3}, sources: {capture: {speedFactor: 10}}}").values
        #expect(configuration.hub.pingMs == 5000)
        #expect(configuration.sources.capture.speedFactor == 10)
    }

    @Test(
        "accepts both ends of a range and refuses what lies beyond",
        arguments: [("0", true), ("65535", true), ("-1", false), ("65536", false)]
    )
    func ranges(port: String, isAccepted: Bool) {
        #expect(((try? Self.load("{listen: {port: \(port)}}")) != nil) == isAccepted)
    }

    @Test(
        "says in the file's own words what is wrong",
        arguments: [
            ("{", "hub.json5:1:2: the text ends where a key or } was expected"),
            ("3", "hub.json5:1:1: the configuration must be an object, not the number 3"),
            ("{\n  lisen: {}}", "hub.json5:2:3: unknown key lisen; did you mean listen?"),
            ("{listen: {prot: 1}}", "hub.json5:1:11: unknown key listen.prot; did you mean listen.port?"),
            ("{port: 1}", "hub.json5:1:2: unknown key port; did you mean listen.port?"),
            (
                "{listen: {wibblywobbly: 1}}",
                "hub.json5:1:11: unknown key listen.wibblywobbly; known here are "
                    + "host, port, origins, hosts, trustedProxies, connectionsMost"
            ),
            ("{listen: 80}", "hub.json5:1:10: listen must be an object, not the number 80"),
            (
                "{listen: {port: '80'}}",
                "hub.json5:1:17: listen.port must be a whole number from 0 to 65535, not the text \"80\""
            ),
            (
                "{listen: {port: 1.5}}",
                "hub.json5:1:17: listen.port must be a whole number from 0 to 65535, not the number 1.5"
            ),
            (
                "{listen: {port: Infinity}}",
                "hub.json5:1:17: listen.port must be a whole number from 0 to 65535, not the number Infinity"
            ),
            (
                "{sources: {capture: {speedFactor: NaN}}}",
                "hub.json5:1:35: sources.capture.speedFactor must be a number from 0 to 1000000, not the number NaN"
            ),
            ("{listen: {host: null}}", "hub.json5:1:17: listen.host must be text, not null"),
            (
                "{listen: {host: 'localhost'}}",
                "hub.json5:1:17: listen.host is \"localhost\"; write an IP address in numbers, such as 127.0.0.1 or 0.0.0.0"
            ),
            (
                "{listen: {origins: 'https://a.b'}}",
                "hub.json5:1:20: listen.origins must be a list of at most 256 texts, not the text \"https://a.b\""
            ),
            ("{listen: {origins: ['https://a.b', true]}}", "hub.json5:1:36: listen.origins[1] must be text, not true"),
            (
                "{listen: {origins: ['https://a.b',\n 'https://a.b/']}}",
                "hub.json5:2:2: listen.origins[1] is \"https://a.b/\"; an origin is http:// or https://, "
                    + "a host and perhaps a port, without a path"
            ),
            (
                "{listen: {hosts: ['http://x']}}",
                "hub.json5:1:19: listen.hosts[0] is \"http://x\"; write the host name alone, without scheme, port and path"
            ),
            (
                "{listen: {trustedProxies: ['10.0.0.0/33']}}",
                "hub.json5:1:28: listen.trustedProxies[0] is \"10.0.0.0/33\"; write an IP address or a range, "
                    + "such as 192.168.1.7 or 10.0.0.0/8"
            ),
            (
                "{logging: {level: 'inf'}}",
                "hub.json5:1:19: logging.level must be one of \"debug\", \"info\", \"warning\", \"error\", "
                    + "not \"inf\"; did you mean \"info\"?"
            ),
            ("{tls: {keyFile: 'k'}}", "hub.json5:1:17: tls.keyFile is set but tls.certificateFile is not; set both"),
            (
                "{tls: {certificateFile: 'c'}}",
                "hub.json5:1:25: tls.certificateFile is set but tls.keyFile is not; set both"
            ),
            (
                "{hub: {silenceMs: 20000}}",
                "hub.json5:1:19: hub.silenceMs is 20000; it must be above hub.pingMs (20000), or all are closed"
            ),
            (
                "{hub: {requestsBurstMost: 49}}",
                "hub.json5:1:27: hub.requestsBurstMost is 49; it must not be below hub.requestsPerSecondMost (50)"
            ),
            (
                "{admin: {port: 8080}}",
                "hub.json5:1:16: admin.port is also listen.port; give the admin listener a port of its own"
            ),
            (
                "{sources: {venues: {}}}",
                "hub.json5:1:20: sources.venues must be a list of at most 64 objects, not an object"
            ),
            (
                "{sources: {venues: [{symbols: ['a']}]}}",
                "hub.json5:1:21: sources.venues[0].venue is missing; name one of "
                    + VenueConfiguration.known.joined(separator: ", ")
            ),
            (
                "{sources: {venues: [{venue: 'kraken', symbol: 'a'}]}}",
                "hub.json5:1:39: unknown key sources.venues[0].symbol; did you mean sources.venues[0].symbols?"
            ),
            (
                "{sources: {venues: [{venue: 'kraken', symbols: ['a'],\n url: 'http://x'}]}}",
                "hub.json5:2:7: sources.venues[0].url is \"http://x\"; it must be wss://host[:port]/path (ws:// only to this machine)"
            ),
            (
                "{sources: {venues: [{venue: 'kraken', symbols: ['a']}, {venue: 'kraken', symbols: ['b']}]}}",
                "hub.json5:1:64: sources.venues[1].venue is \"kraken\" like sources.venues[0].venue; name each venue once"
            ),
            (
                "{sources: {capture: {files: ['a']}}}",
                "hub.json5:1:29: sources.capture.files is set but sources.capture.venue is not; name the recorded venue"
            ),
            ("{listen: {port: 1, port: 2}}", "hub.json5:1:20: key \"port\" stands twice, first at 1:11; remove one"),
        ]
    )
    func badFile(text: String, expected: String) {
        let error = #expect(throws: ConfigurationError.self) { try Self.load(text) }
        #expect(error?.faults.map(\.description) == [expected])
    }

    @Test(
        "says which variable is wrong",
        arguments: [
            ("MARKET_HUB_LISTEN_PROT", "1", "no such variable; did you mean MARKET_HUB_LISTEN_PORT?"),
            ("MARKET_HUB_", "", "no such variable; unset it, or see \"market-hub config print --docs\""),
            ("MARKET_HUB_LISTEN_PORT", "x", "listen.port must be a whole number from 0 to 65535, not the text \"x\""),
            ("MARKET_HUB_LISTEN_PORT", "", "listen.port must be a whole number from 0 to 65535, not the text \"\""),
            (
                "MARKET_HUB_SOURCES_TCP_ENABLED", "yes",
                "sources.tcp.enabled must be true or false, not the text \"yes\""
            ),
            (
                "MARKET_HUB_LISTEN_HOSTS", "a,,b",
                "listen.hosts[1] is \"\"; write the host name alone, without scheme, port and path"
            ),
            (
                "MARKET_HUB_SOURCES_VENUES", "kraken",
                "sources.venues: column 1: kraken is no value; write text in quotes: \"kraken\""
            ),
        ]
    )
    func badVariable(name: String, value: String, expected: String) {
        let error = #expect(throws: ConfigurationError.self) { try Self.load(environment: [name: value]) }
        #expect(error?.faults.map(\.description) == ["\(name): \(expected)"])
    }

    @Test(
        "says which flag is wrong",
        arguments: [
            ("listen.port", "no value; write --set section.key=value"),
            ("listen=1", "listen is a section; name a key of it, such as listen.host"),
            ("listen.prot=1", "unknown key listen.prot; did you mean listen.port?"),
            ("=1", "unknown key ; \"market-hub config print\" shows all"),
            (
                "listen.port=70000",
                "listen.port must be a whole number from 0 to 65535, not the number 70000"
            ),
            ("hub.silenceMs=300", "hub.silenceMs is 300; it must be above hub.pingMs (20000), or all are closed"),
        ]
    )
    func badFlag(assignment: String, expected: String) {
        let error = #expect(throws: ConfigurationError.self) { try Self.load(set: [assignment]) }
        #expect(error?.faults.map(\.description) == ["--set \(assignment): \(expected)"])
    }

    @Test("tells everything that is wrong at once, layer by layer")
    func everything() {
        let error = #expect(throws: ConfigurationError.self) {
            try Self.load(
                "{a: 1, admin: {port: -1}}",
                environment: ["MARKET_HUB_X_Y": "1"],
                set: ["b=1", "web.root=x"]
            )
        }
        #expect(error?.faults.map(\.place) == ["hub.json5:1:2", "hub.json5:1:22", "MARKET_HUB_X_Y", "--set b=1"])
    }
}
