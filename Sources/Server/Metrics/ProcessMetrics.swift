internal import Glibc

/// What the system knows of this process, read at each scrape.
package enum ProcessMetrics {
    /// Adds the `process_` families and the version to a registry.
    package static func register(in registry: MetricRegistry, version: String) {
        registry.read(.buildInfo, version) { 1 }
        registry.read(.residentBytes) { pages(field: 1) }
        registry.read(.virtualBytes) { pages(field: 0) }
        registry.read(.openDescriptors) { openDescriptorCount() }
        registry.read(.descriptorsMost) { descriptorLimit() }
        registry.read(.threads) { Double(statField(17) ?? 0) }
        registry.read(.processorSeconds) { processorSeconds() }
        let startSeconds = startSeconds()
        registry.read(.startTime) { startSeconds }
    }

    private static func pages(field: Int) -> Double {
        let fields = file("/proc/self/statm").split(separator: " ")
        guard fields.count > field, let pages = Double(fields[field]) else { return 0 }
        return pages * Double(sysconf(Int32(_SC_PAGESIZE)))
    }

    private static func openDescriptorCount() -> Double {
        guard let directory = opendir("/proc/self/fd") else { return 0 }
        defer { closedir(directory) }
        var count = 0
        while readdir(directory) != nil { count += 1 }
        // Without `.`, `..` and the directory itself.
        return Double(max(0, count - 3))
    }

    private static func descriptorLimit() -> Double {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        return limit.rlim_cur == .max ? .infinity : Double(limit.rlim_cur)
    }

    private static func processorSeconds() -> Double {
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
        return seconds(usage.ru_utime) + seconds(usage.ru_stime)
    }

    /// Seconds since 1970.
    private static func startSeconds() -> Double {
        let lines = file("/proc/stat").split(separator: "\n")
        guard
            let boot = lines.first(where: { $0.hasPrefix("btime ") })?.split(separator: " ").last,
            let bootSeconds = Double(boot), let ticks = statField(19)
        else { return 0 }
        return bootSeconds + Double(ticks) / Double(sysconf(Int32(_SC_CLK_TCK)))
    }

    /// A field of /proc/self/stat, counted from the one behind the name, which may hold anything.
    private static func statField(_ index: Int) -> Int64? {
        let text = file("/proc/self/stat")
        guard let end = text.lastIndex(of: ")") else { return nil }
        let fields = text[text.index(after: end)...].split(separator: " ")
        return fields.count > index ? Int64(fields[index]) : nil
    }

    private static func file(_ path: String) -> String {
        String(decoding: (try? FileError.readFile(path, bytesMost: 1 << 20)) ?? [], as: UTF8.self)
    }
}
