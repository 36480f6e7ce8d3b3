package import Transport

/// What operators ask: `/metrics`, `/livez`, `/readyz`.
package struct AdminRoutes {
    private let registry: MetricRegistry
    private let health: HealthState

    package init(registry: MetricRegistry, health: HealthState) {
        self.registry = registry
        self.health = health
    }

    package func respond(to request: HTTPRequest, gate: OriginGate, requestID: () -> String) -> HTTPResponse {
        if gate.judge(request) == .foreignHost {
            return .problem(403, "foreign_host", OriginGate.foreignHostText, requestID: requestID())
        }
        guard request.method == .get || request.method == .head else {
            return .notAllowed(requestID: requestID())
        }
        switch request.path {
        case "/metrics":
            return HTTPResponse(status: 200, contentType: MetricRegistry.contentType, body: registry.scrape())
        case "/livez": return report(.live, request)
        case "/readyz": return report(.ready, request)
        case "/":
            return HTTPResponse(
                status: 200,
                text: "market-hub \(marketHubVersion)\n/metrics\n/livez\n/readyz?verbose\n"
            )
        default:
            return .problem(404, "not_found", "There is nothing at \(request.path).", requestID: requestID())
        }
    }

    private func report(_ question: HealthState.Question, _ request: HTTPRequest) -> HTTPResponse {
        let isVerbose = request.query.contains { $0.name == "verbose" }
        let report = health.report(question, isVerbose: isVerbose, atNs: HubClock.monotonicNs)
        return HTTPResponse(status: report.status, text: report.text)
    }
}
