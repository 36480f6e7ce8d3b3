// swift-tools-version: 6.2
import PackageDescription

let settings: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableExperimentalFeature("Lifetimes"),
    .treatAllWarnings(as: .error),
    // What the tests and the sanitizers check in debug builds costs a third of a delivery: Docs/decisions/0008.
    .unsafeFlags(["-enforce-exclusivity=unchecked"], .when(configuration: .release)),
]

func module(_ name: String, _ uses: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: uses, swiftSettings: settings)
}
func specification(_ name: String, _ uses: [Target.Dependency]) -> Target {
    .testTarget(name: name, dependencies: uses, swiftSettings: settings)
}
func systemLibrary(_ name: String, pkgConfig: String, apt: [String]) -> Target {
    .systemLibrary(name: name, pkgConfig: pkgConfig, providers: [.apt(apt)])
}

let package = Package(
    name: "market-hub",
    products: [
        .executable(name: "market-hub", targets: ["market-hub"]),
        .executable(name: "bench-normalize", targets: ["bench-normalize"]),
        // For the fuzzers, which are a package of their own.
        .library(name: "MarketHubKit", targets: ["Market", "Feeds", "Hub", "Wire", "Server", "FuzzProperties"]),
    ],
    targets: [
        // What the hub knows: pure values, no I/O, no Foundation.
        module("Market"),
        module("Feeds", ["Market"]),
        module("Hub", ["Market"]),
        module("Signaling"),
        // Edges: bytes and sockets.
        module("JSON"),
        .target(name: "CMarketHubProto", linkerSettings: [.linkedLibrary("protobuf-c")]),
        module("Wire", ["Hub", "Market", "Signaling", "JSON", "CMarketHubProto"]),
        systemLibrary(
            "CLibWebSockets",
            pkgConfig: "libwebsockets",
            apt: ["libwebsockets-dev", "libwebsockets-evlib-uv"]
        ),
        systemLibrary("CLibUV", pkgConfig: "libuv", apt: ["libuv1-dev"]),
        systemLibrary("CZlib", pkgConfig: "zlib", apt: ["zlib1g-dev"]),
        .target(
            name: "CTransport",
            dependencies: ["CLibWebSockets"],
            linkerSettings: [.linkedLibrary("ssl"), .linkedLibrary("crypto")]
        ),
        module("Transport", ["CLibWebSockets", "CLibUV", "CTransport", "CZlib"]),
        // Composition.
        module("Server", ["Market", "Feeds", "Hub", "Wire", "JSON", "Transport", "CZlib"]),
        .executableTarget(name: "market-hub", dependencies: ["Server"], swiftSettings: settings),
        // Benchmarks, one a question.
        .executableTarget(
            name: "bench-normalize",
            dependencies: ["Feeds", "Market"],
            path: "Benchmarks/Normalize",
            swiftSettings: settings
        ),
        // Specifications.
        .target(
            name: "Simulation",
            dependencies: ["Hub", "Market", "Feeds"],
            path: "Tests/Simulation",
            swiftSettings: settings
        ),
        specification("MarketTests", ["Market"]),
        specification("FeedsTests", ["Feeds", "Market", "Simulation", "CZlib"]),
        specification("HubTests", ["Hub", "Market"]),
        specification("SignalingTests", ["Signaling"]),
        specification("JSONTests", ["JSON"]),
        specification("WireTests", ["Wire", "Hub", "Market", "Signaling", "JSON", "CMarketHubProto"]),
        specification("TransportTests", ["Transport"]),
        specification("ServerTests", ["Server", "Market", "Feeds", "Hub", "Wire", "Transport"]),
        specification("SimulationTests", ["Simulation", "Hub", "Market", "Feeds"]),
        // What must hold for any bytes: replayed over the seed corpora here, fuzzed by the package in Fuzzers.
        .target(
            name: "FuzzProperties",
            dependencies: ["Market", "Feeds", "Hub", "JSON", "Wire", "Transport", "Server"],
            path: "Fuzzers/Properties",
            swiftSettings: settings
        ),
        specification("CorpusTests", ["FuzzProperties"]),
        specification("TidyTests", []),
    ],
    swiftLanguageModes: [.v6]
)
