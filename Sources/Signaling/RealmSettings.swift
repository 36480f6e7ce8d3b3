/// Bounds and times of a realm, in the names of the reference server where it has them.
public struct RealmSettings: Hashable, Sendable {
    /// What a socket must name as `key`.
    public var key: String
    /// How long a message waits for a peer that is not there; then its sender is told EXPIRE.
    public var expireTimeoutNs: Int64
    /// A peer that sent no HEARTBEAT for so long is closed.
    public var aliveTimeoutNs: Int64
    /// How often waiting messages are looked at.
    public var cleanupIntervalNs: Int64
    /// Peers of this node; a peer that takes its own id over is let in beyond it.
    public var concurrentMost: Int
    /// Frames that are no JSON objects; with so many a connection is closed.
    public var badFramesMost: Int
    /// Messages, and bytes of them, that wait for one peer.
    public var waitingMost: Int
    public var waitingBytesMost: Int
    /// Peers that are not there for which messages of one sender wait.
    public var absentMost: Int
    /// Bytes of everything that waits.
    public var waitingBytesInAllMost: Int

    /// How often it is looked who is still alive, as in the reference server.
    public static let aliveIntervalNs: Int64 = 300_000_000

    public init(
        key: String = "peerjs",
        expireTimeoutNs: Int64 = 5_000_000_000,
        aliveTimeoutNs: Int64 = 90_000_000_000,
        cleanupIntervalNs: Int64 = 1_000_000_000,
        concurrentMost: Int = 5_000,
        badFramesMost: Int = 10,
        waitingMost: Int = 256,
        waitingBytesMost: Int = 1 << 20,
        absentMost: Int = 64,
        waitingBytesInAllMost: Int = 64 << 20
    ) {
        self.key = key
        self.expireTimeoutNs = expireTimeoutNs
        self.aliveTimeoutNs = aliveTimeoutNs
        self.cleanupIntervalNs = cleanupIntervalNs
        self.concurrentMost = concurrentMost
        self.badFramesMost = badFramesMost
        self.waitingMost = waitingMost
        self.waitingBytesMost = waitingBytesMost
        self.absentMost = absentMost
        self.waitingBytesInAllMost = waitingBytesInAllMost
    }
}
