import Hub
import Market
import Server
import Wire

extension FuzzProperty {
    /// Any binary frame of a client is read or refused, and what is read keeps its bounds.
    static let enhancedFrame = FuzzProperty(name: "enhanced-frame") { WireFuzzing.enhancedFrame($0) }

    /// Any text frame of a client has an answer, the error that gives a request back is JSON, and a request that was read is
    /// written as a frame that is read as the same.
    static let legacyFrame = FuzzProperty(name: "legacy-frame") { frame in
        WireFuzzing.legacyFrame(frame)
        for command in LegacyCodec.decode(frame, symbolsMost: 1_000) {
            guard case .success(let request) = command.request else { continue }
            let again = Array(text(of: request).utf8).withUnsafeBytes { LegacyCodec.decode($0, symbolsMost: 1_000) }
            precondition(again.count == 1 && again.first?.request == command.request, "a request changed")
        }
    }

    private static func text(of request: LegacyRequest) -> String {
        switch request {
        case .ping(let id):
            return #"{"type":"ping"\#(id.isEmpty ? "" : ",\"id\":" + id)}"#
        case .hub(.subscribe(let subscribe), let batch):
            let length = subscribe.candleInterval.map { ",\"interval\":\"\($0.name)\"" } ?? ""
            return #"{"type":"subscribe","channel":"\#(subscribe.channel.name)","symbols":\#(list(subscribe.symbols))"#
                + #","depth":\#(subscribe.depth),"intervalMs":\#(subscribe.intervalMs),"batch":\#(batch)\#(length)}"#
        case .hub(.unsubscribe(let unsubscribe), _):
            let channel = unsubscribe.channel?.name ?? ""
            return #"{"type":"unsubscribe","channel":"\#(channel)","symbols":\#(list(unsubscribe.symbols))}"#
        case .hub(.list(let wanted), _):
            return #"{"type":"list","pattern":\#(JSONText.quoted(wanted.pattern))"#
                + #","from":\#(wanted.from),"limit":\#(wanted.limit)}"#
        case .hub(let other, _):
            preconditionFailure("a legacy client cannot ask \(other)")
        }
    }

    private static func list(_ symbols: [String]) -> String {
        "[" + symbols.map { JSONText.quoted($0) }.joined(separator: ",") + "]"
    }
}
