// swift-tools-version: 6.2
import PackageDescription

// A package of its own, because instrumented code needs flags for the whole graph: Scripts/fuzz knows them.
let package = Package(
    name: "Fuzzers",
    dependencies: [.package(name: "market-hub", path: "..")],
    targets: [
        .executableTarget(
            name: "fuzz",
            dependencies: [.product(name: "MarketHubKit", package: "market-hub")],
            path: "Fuzz"
        )
    ],
    swiftLanguageModes: [.v6]
)
