import Testing

@testable import Feeds

@Suite("A calendar date")
struct CalendarDateTests {
    @Test("every day from 1970 to 2261 follows the one before it and is found by its number")
    func walk() {
        var last = CalendarDate(daysSince1970: 0)
        #expect(last.text == "19700101")
        for days in 1...106_650 {
            let date = CalendarDate(daysSince1970: days)
            guard date.daysSince1970 == days, date.day == last.day + 1 || date.day == 1 else {
                Issue.record("\(date.text) after \(last.text)")
                return
            }
            last = date
        }
        #expect(last.text == "22611231")
    }

    @Test(
        "digits mean a day only when the calendar has it",
        arguments: [
            ("20210730", "20210730"), ("210730", "20210730"), ("20240229", "20240229"), ("20230229", nil),
            ("20211301", nil), ("20210700", nil), ("2021073", nil), ("21O730", nil), ("", nil),
        ] as [(Substring, String?)]
    )
    func digits(text: Substring, day: String?) { #expect(CalendarDate(digits: text)?.text == day) }

    @Test(
        "quarterly contracts end on the last Friday",
        arguments: [
            (2021, 9, "20210924"), (2021, 12, "20211231"), (2022, 3, "20220325"), (2024, 5, "20240531"),
        ]
    )
    func fridays(year: Int, month: Int, day: String) {
        #expect(CalendarDate.lastFriday(year: year, month: month)?.text == day)
    }
}
