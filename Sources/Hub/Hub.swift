/// Who hears what: the sessions of one I/O loop, their subscriptions and the state of everything they listen to.
public struct Hub: Sendable {
    /// A client's subscriptions of one channel, for the answer that lists them.
    public struct Subscriptions: Hashable, Sendable {
        public var channel: Channel
        /// In the order in which they were made; wildcards stand as they were written.
        public var symbols: [String]

        public init(channel: Channel, symbols: [String]) {
            self.channel = channel
            self.symbols = symbols
        }
    }
}
