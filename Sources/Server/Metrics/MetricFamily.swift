/// One metric with all its series, as `Docs/METRICS.md` documents it.
package struct MetricFamily: Hashable, Sendable {
    package enum Kind: String, Sendable {
        case counter
        case gauge
        case histogram
    }

    package var name: String
    package var kind: Kind
    /// One sentence.
    package var help: String
    package var labels: [String] = []

    package init(_ name: String, _ kind: Kind, _ help: String, labels: [String] = []) {
        self.name = name
        self.kind = kind
        self.help = help
        self.labels = labels
    }
}

// MARK: Clients

extension MetricFamily {
    package static let connectionsOpen = MetricFamily(
        "market_hub_connections_open",
        .gauge,
        "Connections open now.",
        labels: ["channel"]
    )
    package static let connectionsOpened = MetricFamily(
        "market_hub_connections_opened_total",
        .counter,
        "Connections accepted.",
        labels: ["channel"]
    )
    package static let connectionsRefused = MetricFamily(
        "market_hub_connections_refused_total",
        .counter,
        "Connections and upgrades refused.",
        labels: ["channel", "reason"]
    )
    package static let connectionsClosed = MetricFamily(
        "market_hub_connections_closed_total",
        .counter,
        "Connections closed, by WebSocket close code.",
        labels: ["channel", "code"]
    )
    package static let clientsBlocked = MetricFamily(
        "market_hub_clients_blocked",
        .gauge,
        "Clients that take no bytes now.",
        labels: ["channel"]
    )
    package static let messagesReceived = MetricFamily(
        "market_hub_messages_received_total",
        .counter,
        "Messages that clients sent.",
        labels: ["channel"]
    )
    package static let messagesSent = MetricFamily(
        "market_hub_messages_sent_total",
        .counter,
        "Messages sent to clients.",
        labels: ["channel"]
    )
    package static let bytesReceived = MetricFamily(
        "market_hub_received_bytes_total",
        .counter,
        "Payload bytes that clients sent.",
        labels: ["channel"]
    )
    package static let bytesSent = MetricFamily(
        "market_hub_sent_bytes_total",
        .counter,
        "Bytes written to clients, framing included.",
        labels: ["channel"]
    )
    package static let badFrames = MetricFamily(
        "market_hub_bad_frames_total",
        .counter,
        "Frames that could not be understood.",
        labels: ["channel", "reason"]
    )
    package static let requests = MetricFamily(
        "market_hub_requests_total",
        .counter,
        "Requests of clients.",
        labels: ["channel", "kind"]
    )
    package static let requestsFailed = MetricFamily(
        "market_hub_requests_failed_total",
        .counter,
        "Requests answered with an error.",
        labels: ["channel", "reason"]
    )
    package static let subscriptions = MetricFamily(
        "market_hub_subscriptions",
        .gauge,
        "Subscriptions now.",
        labels: ["channel"]
    )
}

// MARK: Fan-out

extension MetricFamily {
    package static let pushes = MetricFamily(
        "market_hub_pushes_total",
        .counter,
        "Pushes encoded: once per topic, format and pass.",
        labels: ["channel"]
    )
    package static let deliveries = MetricFamily(
        "market_hub_deliveries_total",
        .counter,
        "Pushes given to subscribers.",
        labels: ["channel"]
    )
    package static let conflations = MetricFamily(
        "market_hub_conflations_total",
        .counter,
        "Pushes left out for clients that were behind, and merged into what they got later.",
        labels: ["channel"]
    )
    package static let recoveries = MetricFamily(
        "market_hub_recoveries_total",
        .counter,
        "Subscriptions that asked to go on from a position, by what became of that.",
        labels: ["result"]
    )
    package static let waitingBytes = MetricFamily(
        "market_hub_waiting_bytes",
        .gauge,
        "Bytes that must not be lost and wait for slow clients; bounded by hub.privateQueuesBytesMost."
    )
    package static let latency = MetricFamily(
        "market_hub_latency_seconds",
        .histogram,
        "How old a push is: from the venue's event to its receipt here (received), from there to its bytes (encoded), and, "
            + "once a message, to the system (sent). Without pushes that wait for an interval's end.",
        labels: ["stage"]
    )
    package static let passDuration = MetricFamily(
        "market_hub_pass_duration_seconds",
        .histogram,
        "How long a fan-out pass of an I/O loop took."
    )
}

// MARK: Sources

extension MetricFamily {
    package static let feedEvents = MetricFamily(
        "market_hub_feed_events_total",
        .counter,
        "Normalized events.",
        labels: ["venue", "kind"]
    )
    package static let feedBadLines = MetricFamily(
        "market_hub_feed_bad_lines_total",
        .counter,
        "Messages of a venue that could not be understood.",
        labels: ["venue"]
    )
    package static let feedGaps = MetricFamily(
        "market_hub_feed_gaps_total",
        .counter,
        "Gaps found in a venue's sequence, checksums included.",
        labels: ["venue"]
    )
    package static let feedResyncs = MetricFamily(
        "market_hub_feed_resyncs_total",
        .counter,
        "Books asked for anew.",
        labels: ["venue"]
    )
    package static let feedReconnects = MetricFamily(
        "market_hub_feed_reconnects_total",
        .counter,
        "Connections to a venue made anew.",
        labels: ["venue"]
    )
    package static let feedLag = MetricFamily(
        "market_hub_feed_lag_seconds",
        .histogram,
        "Time from the venue's event to its receipt here.",
        labels: ["venue"]
    )
    package static let feedLineEvents = MetricFamily(
        "market_hub_feed_line_events_total",
        .counter,
        "Trades and book changes of a connection to a venue, by whether it brought them first.",
        labels: ["venue", "line", "order"]
    )
    package static let feedLineBooks = MetricFamily(
        "market_hub_feed_line_books",
        .gauge,
        "Books that a connection to a venue has complete now.",
        labels: ["venue", "line"]
    )
    package static let feedTakeovers = MetricFamily(
        "market_hub_feed_takeovers_total",
        .counter,
        "Books that one connection to a venue took over from another that lost them.",
        labels: ["venue"]
    )
    package static let feedBreakerOpenings = MetricFamily(
        "market_hub_feed_breaker_openings_total",
        .counter,
        "Times that a venue was left alone after failures, or because it asked for that.",
        labels: ["venue"]
    )
    package static let feedChecksums = MetricFamily(
        "market_hub_feed_checksums_total",
        .counter,
        "Checksums of a venue's books that were compared, and audits of Bitstamp's, by whether they fit.",
        labels: ["venue", "outcome"]
    )
    package static let feedRepeats = MetricFamily(
        "market_hub_feed_repeats_total",
        .counter,
        "Trades, book updates and frames of a venue that had come before.",
        labels: ["venue", "kind"]
    )
    package static let feedMissedTrades = MetricFamily(
        "market_hub_feed_missed_trades_total",
        .counter,
        "Trades that a venue's numbers show to be missing.",
        labels: ["venue"]
    )
    package static let feedStaleBooks = MetricFamily(
        "market_hub_feed_stale_books_total",
        .counter,
        "Books called stale because nothing came for too long.",
        labels: ["venue"]
    )
    package static let feedLastEvent = MetricFamily(
        "market_hub_feed_last_event_timestamp_seconds",
        .gauge,
        "When the last event of a venue was received, in whole seconds since 1970.",
        labels: ["venue"]
    )
    package static let feedClockAhead = MetricFamily(
        "market_hub_feed_clock_ahead_total",
        .counter,
        "Events that a venue dated later than they were received; their lag counts as 0.",
        labels: ["venue"]
    )
    package static let feedInstruments = MetricFamily(
        "market_hub_feed_instruments",
        .gauge,
        "Instruments of a venue by the state of their data.",
        labels: ["venue", "state"]
    )
    package static let ringDrops = MetricFamily(
        "market_hub_ring_drops_total",
        .counter,
        "Events that found a ring between threads full.",
        labels: ["ring"]
    )
}

// MARK: Candles

extension MetricFamily {
    package static let candleLateTrades = MetricFamily(
        "market_hub_candle_late_trades_total",
        .counter,
        "Trades that came too late for a candle of at least one length."
    )
    package static let candleDisbelievedTimes = MetricFamily(
        "market_hub_candle_disbelieved_times_total",
        .counter,
        "Trades counted by their time of receipt because the venue's time was more than 5 s after it."
    )
    package static let candleBytes = MetricFamily(
        "market_hub_candle_history_bytes",
        .gauge,
        "Memory that past candles take."
    )
    package static let candlesLost = MetricFamily(
        "market_hub_candle_history_lost_total",
        .counter,
        "Past candles that were not kept because candles.bytesMost was in use."
    )
}

// MARK: Indexes

extension MetricFamily {
    package static let indexSources = MetricFamily(
        "market_hub_index_sources",
        .gauge,
        "Sources that count in an index now.",
        labels: ["symbol"]
    )
}

// MARK: The recorder

extension MetricFamily {
    package static let recorderRecords = MetricFamily(
        "market_hub_recorder_records_total",
        .counter,
        "Records of raw traffic written to files.",
        labels: ["source"]
    )
    package static let recorderBytes = MetricFamily(
        "market_hub_recorder_written_bytes_total",
        .counter,
        "Bytes written to recordings, packed.",
        labels: ["source"]
    )
    package static let recorderLost = MetricFamily(
        "market_hub_recorder_left_out_total",
        .counter,
        "Records that no file holds, because the ring was full or the disk took nothing.",
        labels: ["source", "reason"]
    )
    package static let recorderFailures = MetricFamily(
        "market_hub_recorder_failures_total",
        .counter,
        "Times that the disk began to fail the recorder."
    )
    package static let recorderFailing = MetricFamily(
        "market_hub_recorder_failing",
        .gauge,
        "1 while the disk takes no recording."
    )
    package static let recorderDiskBytes = MetricFamily(
        "market_hub_recorder_disk_bytes",
        .gauge,
        "Bytes of all recordings in the directory."
    )
    package static let recorderFilesRemoved = MetricFamily(
        "market_hub_recorder_files_removed_total",
        .counter,
        "Finished recordings removed to keep to the bound."
    )
}

// MARK: The process

extension MetricFamily {
    package static let logDrops = MetricFamily(
        "market_hub_log_drops_total",
        .counter,
        "Log lines dropped because stderr was slow."
    )
    package static let metricsOverflow = MetricFamily(
        "market_hub_metrics_overflow_total",
        .counter,
        "Counts of series for which there was no room."
    )
    package static let buildInfo = MetricFamily(
        "market_hub_build_info",
        .gauge,
        "Always 1; the label tells the version.",
        labels: ["version"]
    )
    package static let residentBytes = MetricFamily(
        "process_resident_memory_bytes",
        .gauge,
        "Memory resident in RAM."
    )
    package static let virtualBytes = MetricFamily("process_virtual_memory_bytes", .gauge, "Memory mapped.")
    package static let openDescriptors = MetricFamily("process_open_fds", .gauge, "Descriptors open.")
    package static let descriptorsMost = MetricFamily("process_max_fds", .gauge, "The limit of open descriptors.")
    package static let threads = MetricFamily("process_threads", .gauge, "Threads.")
    package static let startTime = MetricFamily(
        "process_start_time_seconds",
        .gauge,
        "When the process started, in seconds since 1970."
    )
    package static let processorSeconds = MetricFamily(
        "process_cpu_seconds_total",
        .counter,
        "Processor time used, user and system."
    )

    /// Every family there is, in the order shown.
    package static let all: [MetricFamily] = [
        connectionsOpen, connectionsOpened, connectionsRefused, connectionsClosed, clientsBlocked, messagesReceived,
        messagesSent, bytesReceived, bytesSent, badFrames, requests, requestsFailed, subscriptions,
        pushes, deliveries, conflations, recoveries, waitingBytes, latency, passDuration,
        feedEvents, feedBadLines, feedGaps, feedResyncs, feedReconnects, feedLag,
        feedLineEvents, feedLineBooks, feedTakeovers, feedBreakerOpenings, feedChecksums, feedRepeats,
        feedMissedTrades, feedStaleBooks,
        feedLastEvent, feedClockAhead, feedInstruments, ringDrops,
        candleLateTrades, candleDisbelievedTimes, candleBytes, candlesLost, indexSources,
        recorderRecords, recorderBytes, recorderLost, recorderFailures, recorderFailing, recorderDiskBytes,
        recorderFilesRemoved,
        logDrops, metricsOverflow, buildInfo,
        residentBytes, virtualBytes, openDescriptors, descriptorsMost, threads, startTime, processorSeconds,
    ]
}
