/// What a command tells whoever started it.
package enum CommandStatus: Int32, Sendable {
    case success = 0
    /// The work was begun and could not be done.
    case failed = 1
    /// The command line or the configuration is wrong, a file is missing, or a port is taken: nothing was begun.
    case wrongUsage = 2
}

/// Ends the process over a mistake of our own, in release too with its reason on stderr.
func stop(because reason: String) -> Never { fatalError(reason) }
