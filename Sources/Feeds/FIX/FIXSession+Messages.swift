import Market

/// What the venue's messages mean for the session.
extension FIXSession {
    private struct Header {
        var type = FrameValue.none
        var number: UInt64 = 0
        var isRepeated = false
        var (sender, target) = (FrameValue.none, FrameValue.none)
        /// TestReqID, HeartBtInt, NewSeqNo, BeginSeqNo, GapFillFlag, Text.
        var (test, interval, newNumber, begin, fills, text) = (
            FrameValue.none, FrameValue.none, FrameValue.none, FrameValue.none, FrameValue.none, FrameValue.none
        )
    }

    private func header(of message: UnsafeRawBufferPointer) throws(FrameFault) -> Header {
        var scanner = try FIXScanner(message)
        var header = Header()
        var isNumbered = false
        while let field = try scanner.next() {
            switch field.tag {
            case 35 where !header.type.isPresent: header.type = field.value
            case 34:
                header.number = try FIXScanner.unsigned(field.value, in: message, named: "MsgSeqNum")
                isNumbered = true
            case 43: header.isRepeated = field.value.isWord("Y", in: message)
            case 49: header.sender = field.value
            case 56: header.target = field.value
            case 112: header.test = field.value
            case 108: header.interval = field.value
            case 36: header.newNumber = field.value
            case 7: header.begin = field.value
            case 123: header.fills = field.value
            case 58: header.text = field.value
            // The rest of market data is the feed's.
            case 268: return header
            default: break
            }
        }
        guard isNumbered, header.number > 0 else { throw .missing(field: "MsgSeqNum") }
        return header
    }

    /// Takes a message; tells whether the feed should read it.
    mutating func take(
        _ message: UnsafeRawBufferPointer,
        _ now: Int64,
        _ random: UInt64,
        _ effects: inout [Effect]
    ) -> Bool {
        let header: Header
        do throws(FrameFault) {
            header = try self.header(of: message)
        } catch {
            // A garbled message has no number: the next one shows that it is missing. The feed counts it.
            return true
        }
        hear(now)
        guard header.sender.string(in: message) == settings.target,
            header.target.string(in: message) == settings.sender
        else {
            refuse("the names in 49 and 56 are not those of this session", now, random, &effects)
            return false
        }
        let isLogon = header.type.isWord("A", in: message)
        if state == .loggingOn {
            guard isLogon else {
                let text = header.text.string(in: message)
                effects.append(.report("no logon but 35=\(header.type.string(in: message)) \(text)"))
                giveUp(.venueRequest, now, random, &effects)
                return false
            }
            return logOn(header, message, now, random, &effects)
        }
        if header.type.isWord("4", in: message), !header.fills.isWord("Y", in: message) {
            reset(header, message, now, random, &effects)
            return false
        }
        switch place(of: header, now, random, &effects) {
        case .isNext: break
        case .isOther: return false
        }
        return understand(header, message, now, random, &effects)
    }

    private mutating func logOn(
        _ header: Header,
        _ message: UnsafeRawBufferPointer,
        _ now: Int64,
        _ random: UInt64,
        _ effects: inout [Effect]
    ) -> Bool {
        if header.interval.isPresent {
            guard let seconds = try? FIXScanner.count(header.interval, in: message, named: "HeartBtInt"),
                seconds <= 3_600
            else {
                refuse("108 is no interval", now, random, &effects)
                return false
            }
            heartbeatNs = Int64(seconds) * 1_000_000_000
        }
        // Whatever came before is of no use.
        nextIn = header.number + 1
        begin(now)
        return true
    }

    // MARK: Counts

    private enum Place {
        case isNext
        case isOther
    }

    private mutating func place(
        of header: Header,
        _ now: Int64,
        _ random: UInt64,
        _ effects: inout [Effect]
    ) -> Place {
        if header.number == nextIn {
            nextIn += 1
            endFilling(now, random, &effects)
            // It may have been the moment to leave.
            return state == .live ? .isNext : .isOther
        }
        if header.number < nextIn {
            // A repetition says that it is one; anything else is a count that went back.
            if !header.isRepeated {
                refuse("34=\(header.number) came, \(nextIn) is next", now, random, &effects)
            }
            return .isOther
        }
        if fillsUntil == 0 {
            send("35=2\u{1}7=\(nextIn)\u{1}16=0\u{1}", now, &effects)
            hasMissed = false
            fillsSinceNs = now
        }
        fillsUntil = max(fillsUntil, header.number + 1)
        return .isOther
    }

    private mutating func endFilling(_ now: Int64, _ random: UInt64, _ effects: inout [Effect]) {
        guard fillsUntil > 0, nextIn >= fillsUntil else { return }
        fillsUntil = 0
        guard hasMissed else { return }
        hasMissed = false
        beginAnew(now, random, &effects)
    }

    /// The venue sets its count, whatever was before.
    private mutating func reset(
        _ header: Header,
        _ message: UnsafeRawBufferPointer,
        _ now: Int64,
        _ random: UInt64,
        _ effects: inout [Effect]
    ) {
        guard let number = try? FIXScanner.unsigned(header.newNumber, in: message, named: "NewSeqNo"), number >= nextIn
        else { return refuse("36 of a reset goes back", now, random, &effects) }
        let isJump = number > nextIn
        nextIn = number
        fillsUntil = 0
        hasMissed = false
        if isJump { beginAnew(now, random, &effects) }
    }

    // MARK: Meaning

    private mutating func understand(
        _ header: Header,
        _ message: UnsafeRawBufferPointer,
        _ now: Int64,
        _ random: UInt64,
        _ effects: inout [Effect]
    ) -> Bool {
        let type = header.type
        if type.isWord("1", in: message) {
            send("35=0\u{1}112=\(header.test.string(in: message))\u{1}", now, &effects)
        } else if type.isWord("2", in: message) {
            fill(header, message, now, &effects)
        } else if type.isWord("4", in: message) {
            skip(header, message, now, random, &effects)
            return false
        } else if type.isWord("5", in: message) {
            let text = header.text.string(in: message)
            effects.append(.report(text.isEmpty ? "the venue logs out" : "the venue logs out: \(text)"))
            send("35=5\u{1}", now, &effects)
            giveUp(.venueRequest, now, random, &effects)
            return false
        } else if type.isWord("A", in: message) {
            return false
        }
        return true
    }

    /// The venue misses messages of ours: nothing of before is worth sending again, but requests that it did not hear are made
    /// anew.
    private mutating func fill(
        _ header: Header,
        _ message: UnsafeRawBufferPointer,
        _ now: Int64,
        _ effects: inout [Effect]
    ) {
        guard let begin = try? FIXScanner.unsigned(header.begin, in: message, named: "BeginSeqNo"), begin > 0,
            begin < nextOut
        else { return }
        send("35=4\u{1}123=Y\u{1}36=\(nextOut)\u{1}", now, filling: begin, &effects)
        if hasRequest(from: begin) { resubscribeAll() }
    }

    /// The venue fills a hole with nothing, up to a number.
    private mutating func skip(
        _ header: Header,
        _ message: UnsafeRawBufferPointer,
        _ now: Int64,
        _ random: UInt64,
        _ effects: inout [Effect]
    ) {
        guard let number = try? FIXScanner.unsigned(header.newNumber, in: message, named: "NewSeqNo"), number >= nextIn
        else { return refuse("36 of a gap fill goes back", now, random, &effects) }
        // It may hide market data as well as heartbeats.
        hasMissed = true
        nextIn = number
        if fillsUntil == 0 { fillsUntil = number }
        endFilling(now, random, &effects)
    }
}
