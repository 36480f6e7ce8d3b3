import Server
import Testing

@Suite("A change of the configuration")
struct ConfigurationChangesTests {
    @Test("tells on a change what a running hub takes over and what needs a restart")
    func changes() throws {
        let old = try ConfigurationLoader.load(assignments: ["listen.origins=https://a.b"])
        let new = try ConfigurationLoader.load(
            file: ("f", Array("{listen: {origins: ['https://a.b'], port: 9}, logging: {level: 'debug'}}".utf8))
        )
        let changes = ConfigurationChanges(from: old, to: new)
        #expect(changes.reloadable == ["logging.level"])
        #expect(changes.needingRestart == ["listen.port"])
        #expect(ConfigurationChanges(from: old, to: old).isEmpty)
        let running = try old.takingReloadable(from: new)
        #expect(running.values.logging.level == .debug)
        #expect(running.values.listen.port == 8080)
        #expect(ConfigurationChanges(from: running, to: new).needingRestart == ["listen.port"])
    }
}
