import Hub
import Market
import Testing
import Wire

@testable import Server

@Suite("A pass on its way out")
struct OutgoingPassTests {
    /// A hub in which everybody listens to the trades of one instrument, with one trade to be told.
    private static func hub(listeners: Int) throws -> (hub: Hub, sessions: [SessionID], instruments: LegacyInstruments)
    {
        var hub = Hub(epoch: 1)
        var table = InstrumentTable()
        let instrument = try table.add(
            Instrument(
                id: InstrumentID(0),
                venue: "x",
                symbol: "A-B",
                rawSymbol: "AB",
                priceScale: 2,
                quantityScale: 2
            )
        )
        var aside = Pass()
        _ = hub.adopt(table, into: &aside)
        let sessions = (0..<listeners).map { _ in hub.open(.legacy) }
        for session in sessions {
            _ = hub.handle(
                .subscribe(SubscribeRequest(channel: .trades, symbols: ["A-B"])),
                from: session,
                requestID: 1,
                into: &aside
            )
        }
        tell(1, of: instrument, to: &hub)
        return (hub, sessions, LegacyInstruments(table))
    }

    private static func tell(_ sequence: UInt64, of instrument: InstrumentID, to hub: inout Hub) {
        let trade = Trade(
            price: Price(ticks: 5),
            quantity: Quantity(lots: 3),
            aggressor: .buyer,
            id: TradeID(sequence)
        )
        let event = MarketEvent(
            instrument: instrument,
            eventNs: 1,
            receivedNs: 2,
            sequence: sequence,
            payload: .trade(trade)
        )
        hub.receive(event, levels: Span())
    }

    /// Takes what is left, in turn.
    private static func rest(of outgoing: inout OutgoingPass) -> [SessionID] {
        var sessions: [SessionID] = []
        while let place = outgoing.takeNext() { sessions.append(outgoing.pass.shares[place].session) }
        return sessions
    }

    @Test("gives everybody a share, whoever asks for it out of turn, and nobody two")
    func sharesOnce() throws {
        var (hub, sessions, instruments) = try Self.hub(listeners: 5)
        var outgoing = OutgoingPass()
        outgoing.begin(atNs: 7)
        hub.pass(atNs: 7, into: &outgoing.pass)
        outgoing.encode(instruments: instruments) { 0 }
        let (wasOnItsWay, begunNs) = (outgoing.isOnItsWay, outgoing.begunNs)
        #expect(wasOnItsWay && begunNs == 7)
        let first = outgoing.takeNext()
        let early = outgoing.take(of: sessions[3])
        let shares = outgoing.pass.shares.map(\.session)
        #expect(first.map { shares[$0] } == sessions[0])
        #expect(early.map { shares[$0] } == sessions[3])
        let again = outgoing.take(of: sessions[3])
        let served = outgoing.take(of: sessions[0])
        #expect(again == nil && served == nil)
        let left = Self.rest(of: &outgoing)
        #expect(left == [sessions[1], sessions[2], sessions[4]])
        let isOnItsWay = outgoing.isOnItsWay
        #expect(!isOnItsWay)
    }

    @Test("owes nothing to a session that began in another's place, or that hears nothing")
    func strangers() throws {
        var (hub, sessions, _) = try Self.hub(listeners: 2)
        var outgoing = OutgoingPass()
        outgoing.begin(atNs: 0)
        hub.pass(atNs: 0, into: &outgoing.pass)
        hub.close(sessions[1])
        let successor = hub.open(.legacy)
        let stranger = hub.open(.legacy)
        #expect(successor.slot == sessions[1].slot)
        let shares = [outgoing.take(of: successor), outgoing.take(of: stranger)]
        #expect(shares == [nil, nil])
    }

    @Test("is used again for the next pass")
    func isReused() throws {
        var (hub, sessions, instruments) = try Self.hub(listeners: 3)
        var outgoing = OutgoingPass()
        for sequence in 2..<5 as Range<UInt64> {
            outgoing.begin(atNs: Int64(sequence))
            hub.pass(atNs: Int64(sequence), into: &outgoing.pass)
            outgoing.encode(instruments: instruments) { 0 }
            let out = outgoing.take(of: sessions[1])
            #expect(out != nil)
            let left = Self.rest(of: &outgoing)
            #expect(left == [sessions[0], sessions[2]])
            Self.tell(sequence, of: InstrumentID(0), to: &hub)
        }
    }
}
