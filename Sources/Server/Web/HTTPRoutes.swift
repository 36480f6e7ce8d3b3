package import Market
package import Transport

/// What a WebSocket was admitted to.
package enum UpgradeTag: UInt8, Sendable {
    case legacy = 1
    case enhanced = 2
    case echo = 3
}

/// Which HTTP requests are answered, how, and who may become a WebSocket.
///
/// A value that every I/O loop has a copy of; nothing in it changes while it is used.
package struct HTTPRoutes: Sendable {
    package static let legacyPath = "/ws"
    package static let enhancedPath = "/ws/v2"
    /// Only where the configuration says so.
    package static let echoPath = "/echo"
    package static let legacySubprotocol = "market-hub.v1.json"
    package static let enhancedSubprotocol = "market-hub.v2.protobuf"

    private let page: WebPage
    private let classes: ClientLoop.SocketClasses
    private let markets: MarketRoutes
    private let hasEcho: Bool

    package init(
        page: WebPage,
        classes: ClientLoop.SocketClasses,
        markets: MarketRoutes,
        hasEcho: Bool = false
    ) {
        self.page = page
        self.classes = classes
        self.markets = markets
        self.hasEcho = hasEcho
    }

    // MARK: Upgrades

    package func admit(_ request: HTTPRequest, gate: OriginGate, requestID: () -> String) -> UpgradeDecision {
        func refuse(_ status: Int, _ reason: String, _ detail: String) -> UpgradeDecision {
            .refuse(.problem(status, reason, detail, requestID: requestID()))
        }
        guard request.listenerTag == ClientLoop.ListenerTag.web.rawValue else {
            return refuse(404, "not_found", "No WebSocket is served here.")
        }
        switch gate.judge(request) {
        case .foreignHost: return refuse(403, "foreign_host", OriginGate.foreignHostText)
        case .foreignOrigin: return refuse(403, "foreign_origin", OriginGate.foreignOriginText)
        case .own: break
        }
        let offered = request.offeredSubprotocols
        switch request.path {
        case Self.legacyPath:
            guard offered.isEmpty || offered.contains(Self.legacySubprotocol) else {
                return refuse(400, "unknown_subprotocol", "Offer \(Self.legacySubprotocol) or none.")
            }
            let subprotocol = offered.isEmpty ? nil : Self.legacySubprotocol
            var socketClass = classes.browser
            socketClass.compresses = classes.compressesJSON
            return .accept(subprotocol: subprotocol, tag: UpgradeTag.legacy.rawValue, socketClass)
        case Self.enhancedPath:
            guard offered.contains(Self.enhancedSubprotocol) else {
                return refuse(400, "unknown_subprotocol", "Offer the subprotocol \(Self.enhancedSubprotocol).")
            }
            // Browsers always send Origin, programs hardly ever: it decides how much may lie in the kernel.
            let isBrowser = request.header("origin") != nil
            return .accept(
                subprotocol: Self.enhancedSubprotocol,
                tag: UpgradeTag.enhanced.rawValue,
                isBrowser ? classes.browser : classes.bot
            )
        case Self.echoPath where hasEcho:
            var echo = SocketClass.bot(messageBytesMost: EchoClients.messageBytesMost)
            echo.compresses = true
            return .accept(subprotocol: nil, tag: UpgradeTag.echo.rawValue, echo)
        default:
            return refuse(404, "not_found", "WebSockets are served on \(Self.legacyPath) and \(Self.enhancedPath).")
        }
    }

    /// What is wrong with a request that is refused before it is looked at.
    static func reason(of status: Int) -> String {
        switch status {
        case 411: "length_required"
        case 413: "body_too_large"
        case 426: "upgrade_required"
        case 503: "unavailable"
        default: "bad_request"
        }
    }

    // MARK: Requests

    /// Answers a request on the web listener.
    package func respond(
        to request: HTTPRequest,
        gate: OriginGate,
        table: InstrumentTable,
        newestCandle: (InstrumentID, CandleInterval) -> Candle?,
        requestID: () -> String
    ) -> HTTPResponse {
        func problem(_ status: Int, _ reason: String, _ detail: String) -> HTTPResponse {
            .problem(status, reason, detail, requestID: requestID())
        }
        if gate.judge(request) == .foreignHost {
            return problem(403, "foreign_host", OriginGate.foreignHostText)
        }
        if let asset = page.asset(at: request.path) { return asset.response(to: request) }
        switch request.path {
        case Self.legacyPath, Self.enhancedPath:
            return problem(426, "upgrade_required", "Connect with a WebSocket client.")
        case let path where path == MarketRoutes.path || path.hasPrefix(MarketRoutes.path + "/"):
            guard request.method == .get || request.method == .head else { return .notAllowed(requestID: requestID()) }
            return markets.respond(
                to: path,
                query: request.queryValue,
                table: table,
                newestCandle: newestCandle,
                requestID: requestID
            )
        case "/":
            return problem(404, "no_page", "The web page is not built; see Scripts/build-web and web.root.")
        default:
            return problem(404, "not_found", "There is nothing at \(request.path).")
        }
    }
}

extension HTTPResponse {
    /// An error as RFC 9457 describes it.
    ///
    /// `code` is that of the same refusal on the WebSocket channels, where there is one.
    package static func problem(
        _ status: Int,
        _ reason: String,
        _ detail: String,
        code: UInt32? = nil,
        requestID: String
    ) -> HTTPResponse {
        let text =
            #"{"type":"about:blank","status":\#(status),"reason":\#(JSONText.quoted(reason)),"#
            + (code.map { #""code":\#($0),"# } ?? "")
            + #""detail":\#(JSONText.quoted(detail)),"requestId":\#(JSONText.quoted(requestID))}"# + "\n"
        return HTTPResponse(
            status: status,
            contentType: "application/problem+json",
            headers: [("cache-control", "no-store"), ("x-request-id", requestID)],
            body: Array(text.utf8)
        )
    }

    package static func notAllowed(requestID: String) -> HTTPResponse {
        var response = problem(405, "method_not_allowed", "Only GET and HEAD are served here.", requestID: requestID)
        response.headers.append(("allow", "GET, HEAD"))
        return response
    }

    /// The id that a ``problem(_:_:_:requestID:)`` was given; nil for any other answer.
    var problemID: String? { headers.first { $0.name == "x-request-id" }?.value }
}
