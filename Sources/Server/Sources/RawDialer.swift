import Transport

/// Opens raw connections to a server that has one address or several, of which each attempt takes the next.
///
/// Lives on the feed thread, which it never holds up: names are looked up elsewhere.
final class RawDialer {
    /// Why there will be no connection, for people.
    struct Failure: Error {
        var reason: String
    }

    /// The files that TLS needs; empty ones are not used.
    struct Files {
        var authorities: String
        var certificate: String
        var key: String
    }

    private let addresses: [FeedAddress]
    private let files: Files
    /// Attempts so far.
    private var attempts = 0
    /// The attempt under way; an answer to any other is no longer wanted.
    private var wanted: Int?
    /// How often a lookup under way is looked at.
    private static let lookupPauseNs: UInt64 = 5_000_000

    /// Nil without an address, or when one is none.
    init?(_ urls: [String], _ files: Files) {
        addresses = urls.compactMap(FeedAddress.init)
        guard !addresses.isEmpty, addresses.count == urls.count else { return nil }
        self.files = files
    }

    /// The address of the attempt under way, or of the last one.
    var address: FeedAddress { addresses[max(0, attempts - 1) % addresses.count] }

    /// Begins an attempt, which ends one that is under way.
    ///
    /// `done` is called once unless the attempt is ended: with a connection that `handler` will hear of, maybe within this call, or
    /// with the reason why there is none, never within it.
    func dial(
        on feedLoop: FeedLoop,
        handler: any RawClientHandler,
        done: @escaping (Result<RawClient, Failure>) -> Void
    ) {
        attempts += 1
        wanted = attempts
        let (attempt, address) = (attempts, address)
        guard !NameLookup.isAddress(address.host) else {
            return open(address.server, attempt, on: feedLoop, handler, done)
        }
        look(at: NameLookup(host: address.host), of: address, attempt, on: feedLoop, handler, done)
    }

    /// Ends the attempt under way, if a connection did not come of it yet.
    func cancel() { wanted = nil }

    private func look(
        at lookup: NameLookup,
        of address: FeedAddress,
        _ attempt: Int,
        on feedLoop: FeedLoop,
        _ handler: any RawClientHandler,
        _ done: @escaping (Result<RawClient, Failure>) -> Void
    ) {
        guard attempt == wanted else { return }
        switch lookup.answer {
        case .addresses(let found):
            var server = address.server
            server.address = found[attempt / addresses.count % found.count]
            open(server, attempt, on: feedLoop, handler, done)
        case .failed(let reason): fail("\(address.host): \(reason)", attempt, on: feedLoop, done)
        case nil:
            feedLoop.loop?.after(Self.lookupPauseNs) { [weak self, weak feedLoop] in
                if let self, let feedLoop { look(at: lookup, of: address, attempt, on: feedLoop, handler, done) }
            }
        }
    }

    private func open(
        _ server: ServerAddress,
        _ attempt: Int,
        on feedLoop: FeedLoop,
        _ handler: any RawClientHandler,
        _ done: @escaping (Result<RawClient, Failure>) -> Void
    ) {
        var settings = RawClientSettings(server: server)
        if !files.authorities.isEmpty { settings.authoritiesPath = files.authorities }
        if !files.certificate.isEmpty {
            settings.certificate = TLSSettings(certificatePath: files.certificate, keyPath: files.key)
        }
        do throws(TransportError) {
            // Without a loop, or when it is ending, nobody is to hear anything.
            guard let client = try feedLoop.loop?.connectRaw(settings, handler: handler) else { return }
            wanted = nil
            done(.success(client))
        } catch {
            fail("\(error)", attempt, on: feedLoop, done)
        }
    }

    /// Told later, because whoever dials may be in the middle of something.
    private func fail(
        _ reason: String,
        _ attempt: Int,
        on feedLoop: FeedLoop,
        _ done: @escaping (Result<RawClient, Failure>) -> Void
    ) {
        _ = feedLoop.loop?.after(0) { [weak self] in
            if let self, attempt == wanted { done(.failure(Failure(reason: reason))) }
        }
    }
}
