import Market

/// One market data entry: the fields of NoMDEntries that the hub has a use for.
struct FIXEntry {
    private(set) var (symbol, securityID) = (FrameValue.none, FrameValue.none)
    private(set) var (price, size, date, time) = (FrameValue.none, FrameValue.none, FrameValue.none, FrameValue.none)
    private(set) var (id, referenceID, tradeID) = (FrameValue.none, FrameValue.none, FrameValue.none)
    private(set) var (position, level, reportSequence) = (FrameValue.none, FrameValue.none, FrameValue.none)
    private var (actionField, typeField, sideField) = (FrameValue.none, FrameValue.none, FrameValue.none)

    enum Kind {
        case bid
        case offer
        case trade
        case indexValue
        case emptyBook
    }

    /// MDUpdateAction (279).
    enum Action {
        case new
        case change
        case delete
        case deleteThrough
        case deleteFrom

        var isRemoval: Bool { self == .delete || self == .deleteThrough || self == .deleteFrom }

        var atPlace: PositionedLevel.Action {
            switch self {
            case .new: .insert
            case .change: .replace
            case .delete: .remove
            case .deleteThrough: .removeThrough
            case .deleteFrom: .removeFrom
            }
        }
    }

    mutating func take(_ field: FIXScanner.Field) {
        switch field.tag {
        case 48: securityID = field.value
        case 55: symbol = field.value
        case 83: reportSequence = field.value
        case 269: typeField = field.value
        case 270: price = field.value
        case 271: size = field.value
        case 272: date = field.value
        case 273: time = field.value
        case 278: id = field.value
        case 279: actionField = field.value
        case 280: referenceID = field.value
        case 290: position = field.value
        case 1003: tradeID = field.value
        case 1023: level = field.value
        case 2446, 5797: sideField = field.value
        default: break
        }
    }

    /// What it tells; nil for what the hub has no use for: opening, closing, settlement, high and low prices, states.
    func kind(in text: UnsafeRawBufferPointer) -> Kind? {
        guard typeField.end - typeField.start == 1 else { return nil }
        switch text[typeField.start] {
        case UInt8(ascii: "0"): return .bid
        case UInt8(ascii: "1"): return .offer
        case UInt8(ascii: "2"): return .trade
        case UInt8(ascii: "3"): return .indexValue
        case UInt8(ascii: "J"): return .emptyBook
        default: return nil
        }
    }

    /// Without the field everything is new: FIX 4.4 wants it in each entry of `35=X`, `35=W` has none.
    func action(in text: UnsafeRawBufferPointer) throws(FrameFault) -> Action {
        guard actionField.isPresent else { return .new }
        guard actionField.end - actionField.start == 1 else { throw .wrong(field: "MDUpdateAction") }
        switch text[actionField.start] {
        case UInt8(ascii: "0"): return .new
        // 5 is an overlay: the place stays, what stands there is another.
        case UInt8(ascii: "1"), UInt8(ascii: "5"): return .change
        case UInt8(ascii: "2"): return .delete
        case UInt8(ascii: "3"): return .deleteThrough
        case UInt8(ascii: "4"): return .deleteFrom
        default: throw .wrong(field: "MDUpdateAction")
        }
    }

    func aggressor(in text: UnsafeRawBufferPointer) -> Aggressor {
        if sideField.isWord("1", in: text) { return .buyer }
        return sideField.isWord("2", in: text) ? .seller : .unknown
    }
}
