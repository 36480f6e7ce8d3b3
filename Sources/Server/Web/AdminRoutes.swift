package import Transport

/// What operators ask: `/metrics`, `/livez`, `/readyz`.
package struct AdminRoutes {
    private let registry: MetricRegistry
    private let health: HealthState
    /// Nil where nobody may have a loop stand still.
    private let stalls: LoopStalls?

    package init(registry: MetricRegistry, health: HealthState, stalls: LoopStalls? = nil) {
        self.stalls = stalls
        self.registry = registry
        self.health = health
    }

    package func respond(to request: HTTPRequest, gate: OriginGate, requestID: () -> String) -> HTTPResponse {
        if gate.judge(request) == .foreignHost {
            return .problem(403, "foreign_host", OriginGate.foreignHostText, requestID: requestID())
        }
        if request.path == "/admin/v1/stall", request.method == .post, let stalls {
            let (loop, ms) = (request.queryValue("loop").flatMap(Int.init), request.queryValue("ms").flatMap(Int.init))
            guard let loop, let ms, stalls.ask(loop: loop, milliseconds: ms) else {
                let text = "Wanted are loop, the number of an I/O loop, and ms, 1 to \(LoopStalls.millisecondsMost)."
                return .problem(400, "bad_request", text, requestID: requestID())
            }
            return HTTPResponse(status: 202, text: "loop \(loop) will stand still for \(ms) ms\n")
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
