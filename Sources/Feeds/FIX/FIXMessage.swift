import Market

/// One message while its fields come in: its own values, the entry that is being read, and the book that entries add to.
struct FIXMessage {
    let type: FrameValue
    let text: UnsafeRawBufferPointer
    let dialect: FIXMarketDataDialect
    var isSnapshot = false

    private(set) var (symbol, securityID) = (FrameValue.none, FrameValue.none)
    private(set) var (sequence, application) = (FrameValue.none, FrameValue.none)
    private(set) var (textField, rejection, tradingStatus) = (FrameValue.none, FrameValue.none, FrameValue.none)
    private(set) var reportType = FrameValue.none
    private var sentNs: Int64 = 0

    /// Entries that 268 tells of; nil ahead of it.
    private var entriesTold: Int?
    private var entriesRead = 0
    /// The tag that each entry begins with.
    private var delimiter = 0
    private var entry: FIXEntry?
    /// The instrument of the entry before, which holds where an entry names none.
    private var lastNamed = FrameValue.none
    private var book: VenueBook?

    /// More entries are no message.
    private static let entriesMost = 100_000

    init(type: FrameValue, text: UnsafeRawBufferPointer, dialect: FIXMarketDataDialect) {
        self.type = type
        self.text = text
        self.dialect = dialect
    }

    /// The instrument that the message is about.
    var named: FrameValue { Self.instrument(symbol, securityID, text) }

    /// Why something was refused.
    var reason: FrameValue { textField.isPresent ? textField : rejection }

    /// The symbol, or the identifier where the symbol says that there is none.
    private static func instrument(
        _ symbol: FrameValue,
        _ identifier: FrameValue,
        _ text: UnsafeRawBufferPointer
    ) -> FrameValue {
        let isSymbol = symbol.isPresent && !symbol.isWord("[N/A]", in: text) && !symbol.isWord("N/A", in: text)
        return isSymbol || !identifier.isPresent ? symbol : identifier
    }

    // MARK: Fields

    mutating func takeHeader(_ field: FIXScanner.Field) throws(FrameFault) {
        switch field.tag {
        case 52: sentNs = try FIXScanner.timestampNs(field.value, in: text)
        case 55: symbol = field.value
        case 48: securityID = field.value
        case 58: textField = field.value
        case 281, 373, 380: rejection = field.value
        case 326: tradingStatus = field.value
        case 1180: application = field.value
        case 1181: sequence = field.value
        case 1426: reportType = field.value
        default: break
        }
    }

    /// Takes a field of a message with market data; entries that are whole by then are added to the frame.
    mutating func takeEntryField(_ field: FIXScanner.Field, _ frame: inout VenueFrame) throws(FrameFault) {
        guard entriesTold != nil else {
            guard field.tag == 268 else { return try takeHeader(field) }
            let count = try FIXScanner.count(field.value, in: text, named: "NoMDEntries")
            guard count <= Self.entriesMost else { throw .wrong(field: "NoMDEntries") }
            entriesTold = count
            return
        }
        switch field.tag {
        // The application's count may stand behind the entries, where no entry has such a field.
        case 1180, 1181, 52: try takeHeader(field)
        case 268: throw .wrong(field: "NoMDEntries")
        default:
            if delimiter == 0 {
                guard field.tag == 279 || field.tag == 269 else {
                    guard entriesTold == 0 else { throw .missing(field: "MDEntryType") }
                    return try takeHeader(field)
                }
                delimiter = field.tag
            }
            if field.tag == delimiter {
                try close(&frame)
                entry = FIXEntry()
            }
            entry?.take(field)
        }
    }

    /// Adds what is left; the message is over.
    mutating func finish(_ frame: inout VenueFrame) throws(FrameFault) {
        guard let entriesTold else { throw .missing(field: "NoMDEntries") }
        try close(&frame)
        closeBook(&frame)
        guard entriesRead == entriesTold else { throw .wrong(field: "NoMDEntries") }
        // Counts and sending times without prices are no harm.
        if frame.messages.isEmpty { frame.messages.append(.other) }
    }

    // MARK: Entries

    private mutating func close(_ frame: inout VenueFrame) throws(FrameFault) {
        guard let entry else { return }
        self.entry = nil
        entriesRead += 1
        let own = Self.instrument(entry.symbol, entry.securityID, text)
        let instrument = own.isPresent ? own : (lastNamed.isPresent ? lastNamed : named)
        lastNamed = instrument
        guard let kind = entry.kind(in: text) else { return }
        guard instrument.isPresent else { throw .missing(field: "Symbol") }
        switch kind {
        case .bid: try addLevel(.bid, entry, instrument, &frame)
        case .offer: try addLevel(.ask, entry, instrument, &frame)
        case .emptyBook:
            closeBook(&frame)
            book = makeBook(instrument, isSnapshot: true, frame, atNs: try eventNs(of: entry))
            closeBook(&frame)
        case .trade, .indexValue: try addTrade(entry, instrument, isDerived: kind == .indexValue, &frame)
        }
    }

    private func eventNs(of entry: FIXEntry) throws(FrameFault) -> Int64 {
        guard entry.time.isPresent else { return sentNs }
        let time = try FIXScanner.timeOfDayNs(entry.time, in: text)
        guard !entry.date.isPresent else { return try FIXScanner.dateNs(entry.date, in: text) + time }
        return sentNs == 0 ? 0 : FIXScanner.nearestNs(timeOfDay: time, to: sentNs)
    }

    private func addTrade(
        _ entry: FIXEntry,
        _ instrument: FrameValue,
        isDerived: Bool,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        // A trade that is taken back or corrected happened all the same; an index has one value at a time.
        let action = try entry.action(in: text)
        guard action == .new || (isDerived && action == .change) else { return }
        guard entry.price.isPresent else { throw .missing(field: "MDEntryPx") }
        var quantity = VenueNumber(digits: 1, scale: 0, written: 0)
        if !isDerived {
            guard entry.size.isPresent else { throw .missing(field: "MDEntrySize") }
            quantity = try FIXScanner.number(entry.size, in: text)
            guard quantity.digits >= 0 else { throw .negativeQuantity }
        }
        let isNumbered = isDerived && entry.reportSequence.isPresent
        var trade = VenueTrade(
            symbol: instrument,
            price: try FIXScanner.number(entry.price, in: text),
            quantity: quantity,
            aggressor: entry.aggressor(in: text),
            id: isDerived ? .none : (entry.tradeID.isPresent ? entry.tradeID : entry.id),
            eventNs: try eventNs(of: entry),
            sequence: isNumbered ? try FIXScanner.unsigned(entry.reportSequence, in: text, named: "RptSeq") : 0,
            isHistoric: isSnapshot
        )
        trade.isDerived = isDerived
        frame.messages.append(.trade(trade))
    }

    // MARK: Books

    private func makeBook(
        _ instrument: FrameValue,
        isSnapshot: Bool,
        _ frame: VenueFrame,
        atNs eventNs: Int64
    ) -> VenueBook {
        var book = VenueBook(
            symbol: instrument,
            isSnapshot: isSnapshot,
            levels: frame.levels.count..<frame.levels.count
        )
        book.depth = dialect.depth
        book.eventNs = eventNs
        return book
    }

    private mutating func addLevel(
        _ side: Side,
        _ entry: FIXEntry,
        _ instrument: FrameValue,
        _ frame: inout VenueFrame
    ) throws(FrameFault) {
        let name = instrument.bytes(in: text)
        let (keying, key) = try key(of: entry)
        if let open = book, !open.symbol.bytes(in: text).elementsEqual(name) || open.keying != keying {
            // A snapshot is one: half of its entries cannot be known by another thing than the rest.
            guard !isSnapshot || !open.symbol.bytes(in: text).elementsEqual(name) else {
                throw .wrong(field: "MDEntryID")
            }
            closeBook(&frame)
        }
        let eventNs = try eventNs(of: entry)
        var open = book ?? makeBook(instrument, isSnapshot: isSnapshot, frame, atNs: eventNs)
        open.keying = keying
        open.eventNs = max(open.eventNs, eventNs)
        let action = isSnapshot ? FIXEntry.Action.new : try entry.action(in: text)
        let isRemoved = action.isRemoval
        var (price, quantity) = (VenueNumber.absent, VenueNumber.absent)
        if entry.price.isPresent { price = try FIXScanner.number(entry.price, in: text) }
        if isRemoved {
            quantity = VenueNumber(digits: 0, scale: 0, written: 0)
        } else if entry.size.isPresent {
            quantity = try FIXScanner.number(entry.size, in: text)
            guard quantity.digits >= 0 else { throw .negativeQuantity }
        }
        // A change may leave out what stays; where there is no name, and in anything new, it cannot.
        let isChange = keying != .price && (isRemoved || action == .change)
        guard price != .absent || isChange else { throw .missing(field: "MDEntryPx") }
        guard quantity != .absent || isChange else { throw .missing(field: "MDEntrySize") }
        if keying == .entry, action == .change, let old = oldName(of: entry) {
            guard price != .absent, quantity != .absent else { throw .missing(field: "MDEntryPx") }
            let none = VenueNumber(digits: 0, scale: 0, written: 0)
            frame.levels.append(VenueLevel(side, price: .absent, quantity: none))
            frame.levelNames.append(old)
        }
        frame.levels.append(VenueLevel(side, price: price, quantity: quantity))
        frame.levelNames.append(key)
        book = open
    }

    /// What a bid or offer is known by, and its name or place then.
    private func key(of entry: FIXEntry) throws(FrameFault) -> (LevelKeying, UInt64) {
        let action = isSnapshot ? FIXEntry.Action.new : try entry.action(in: text)
        if dialect.keying != .price, entry.id.isPresent || (!isSnapshot && entry.referenceID.isPresent) {
            guard action != .deleteThrough, action != .deleteFrom else { throw .wrong(field: "MDUpdateAction") }
            return (.entry, FIXScanner.name(entry.id.isPresent ? entry.id : entry.referenceID, in: text))
        }
        guard dialect.keying != .entryID else { throw .missing(field: "MDEntryID") }
        let place = entry.level.isPresent ? entry.level : entry.position
        if dialect.keying == .automatic, !isSnapshot, place.isPresent {
            let position = try FIXScanner.count(place, in: text, named: "MDPriceLevel")
            guard (1...PositionedLevel.positionMost).contains(position) else { throw .wrong(field: "MDPriceLevel") }
            return (.position, PositionedLevel(action.atPlace, position).name)
        }
        guard action != .deleteThrough, action != .deleteFrom else { throw .wrong(field: "MDUpdateAction") }
        return (.price, 0)
    }

    /// The name that an entry had before it got the one that it bears.
    private func oldName(of entry: FIXEntry) -> UInt64? {
        guard entry.id.isPresent, entry.referenceID.isPresent else { return nil }
        let (old, new) = (FIXScanner.name(entry.referenceID, in: text), FIXScanner.name(entry.id, in: text))
        return old == new ? nil : old
    }

    private mutating func closeBook(_ frame: inout VenueFrame) {
        guard var open = book else { return }
        open.levels = open.levels.lowerBound..<frame.levels.count
        frame.messages.append(.book(open))
        book = nil
    }
}
