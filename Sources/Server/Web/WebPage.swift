internal import CZlib
internal import FoundationEssentials
package import Transport

/// The built web page, read once and held in memory, plain and compressed.
package struct WebPage: Sendable {
    /// Why a page cannot be served.
    package enum Problem: Error, CustomStringConvertible {
        case unreadable(path: String, reason: String)
        case malformed(path: String, reason: String)
        case tooLarge(path: String, bytes: Int)

        package var description: String {
            switch self {
            case .unreadable(let path, let reason):
                "cannot read \(path) (\(reason)); build the page by Scripts/build-web, or set web.root"
            case .malformed(let path, let reason):
                "\(path) is not what Scripts/build-web writes (\(reason)); build the page again"
            case .tooLarge(let path, let bytes):
                "\(path) has \(bytes) bytes, more than a page's file may have; look at what was built"
            }
        }
    }

    /// What Scripts/build-web says of its files, in `assets.json`.
    private struct Listing: Decodable {
        struct Entry: Decodable {
            var path: String
            var file: String
            var type: String
            var gzip: Bool
            var cache: String
        }

        var documentHeaders: [String: String]
        var assets: [Entry]
    }

    /// The largest file of a page.
    private static let fileBytesMost = 16 * 1024 * 1024

    private let assets: [String: StaticAsset]

    /// No page.
    package static let none = WebPage(assets: [:])

    private init(assets: [String: StaticAsset]) { self.assets = assets }

    /// Reads the directory that Scripts/build-web made.
    package init(root: String) throws(Problem) {
        let listing = try Self.listing(at: root + "/assets.json")
        let headers = listing.documentHeaders.sorted { $0.key < $1.key }.map {
            (name: $0.key.lowercased(), value: $0.value)
        }
        var assets: [String: StaticAsset] = [:]
        for entry in listing.assets {
            let path = root + "/" + entry.file
            let bytes = try Self.bytes(at: path)
            let isDocument = entry.type.hasPrefix("text/html")
            assets[entry.path] = StaticAsset(
                contentType: entry.type,
                plain: bytes,
                gzip: entry.gzip ? Self.compressed(bytes) : nil,
                caching: entry.cache == "immutable" ? .immutable : .briefly,
                headers: isDocument ? headers.filter { $0.name != "x-content-type-options" } : []
            )
        }
        self.init(assets: assets)
    }

    package func asset(at path: String) -> StaticAsset? { assets[path] }

    package var isEmpty: Bool { assets.isEmpty }

    private static func listing(at path: String) throws(Problem) -> Listing {
        let bytes = try bytes(at: path)
        do {
            return try JSONDecoder().decode(Listing.self, from: Data(bytes))
        } catch {
            throw .malformed(path: path, reason: "\(error)")
        }
    }

    private static func bytes(at path: String) throws(Problem) -> [UInt8] {
        let data: Data
        do {
            data = try Data(contentsOf: URL(filePath: path))
        } catch {
            throw .unreadable(path: path, reason: "\(error)")
        }
        guard data.count <= fileBytesMost else { throw .tooLarge(path: path, bytes: data.count) }
        return Array(data)
    }

    /// The bytes as gzip (RFC 1952); nil when that is not shorter.
    static func compressed(_ bytes: [UInt8]) -> [UInt8]? {
        var stream = z_stream()
        let gzipWindow: Int32 = 15 + 16
        let size = Int32(MemoryLayout<z_stream>.size)
        guard deflateInit2_(&stream, 9, Z_DEFLATED, gzipWindow, 9, Z_DEFAULT_STRATEGY, ZLIB_VERSION, size) == Z_OK
        else {
            return nil
        }
        defer { deflateEnd(&stream) }
        var output = [UInt8](repeating: 0, count: Int(deflateBound(&stream, UInt(bytes.count))) + 32)
        var input = bytes
        let isDone = input.withUnsafeMutableBufferPointer { input in
            output.withUnsafeMutableBufferPointer { output in
                stream.next_in = input.baseAddress
                stream.avail_in = UInt32(input.count)
                stream.next_out = output.baseAddress
                stream.avail_out = UInt32(output.count)
                return deflate(&stream, Z_FINISH) == Z_STREAM_END
            }
        }
        guard isDone, Int(stream.total_out) < bytes.count else { return nil }
        return Array(output.prefix(Int(stream.total_out)))
    }
}
