package command_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	. "tocsin/bot/command"
	. "tocsin/bot/incident"
)

// readTimes parses a time where no text follows, and where a text follows.
// The current time of the test is Friday 2026-11-20, 09:00 in Paris.
func readTimes(t *testing.T, text string) map[string]func() (time.Time, string, error) {
	c := testContext(t)
	return map[string]func() (time.Time, string, error){
		"fact": func() (time.Time, string, error) {
			w, err := Parse("fact occurred "+text+" because the log shows it", c)
			if err != nil {
				return time.Time{}, "", err
			}
			at, err := time.Parse(time.RFC3339, w.Command.Fact.Value)
			if w.Command.Text != "the log shows it" {
				return at, "", fmt.Errorf("got the reason %q", w.Command.Text)
			}
			return at, w.Command.Zone, err
		},
		"note": func() (time.Time, string, error) {
			w, err := Parse("note at "+text+" disabled the key", c)
			if err == nil && w.Command.Text != "disabled the key" {
				err = fmt.Errorf("got the text %q", w.Command.Text)
			}
			return w.Command.HappenedAt, w.Command.Zone, err
		},
	}
}

func TestParse_PastTimes(t *testing.T) {
	for text, want := range map[string]string{
		"02:31": "2026-11-20T01:31:00Z", "2:31": "2026-11-20T01:31:00Z", "23:10": "2026-11-19T22:10:00Z", "now": "2026-11-20T08:00:00Z",
		"10:00 pm": "2026-11-19T21:00:00Z", "10pm": "2026-11-19T21:00:00Z", "10 PM": "2026-11-19T21:00:00Z", "9:30 a.m.": "2026-11-19T08:30:00Z", "8:30a.m.": "2026-11-20T07:30:00Z",
		"12 am": "2026-11-19T23:00:00Z", "12:15 pm": "2026-11-19T11:15:00Z", "22:00 pm": "2026-11-19T21:00:00Z", "noon": "2026-11-19T11:00:00Z", "midnight": "2026-11-19T23:00:00Z",
		"22h": "2026-11-19T21:00:00Z", "22h30": "2026-11-19T21:30:00Z", "8 o'clock": "2026-11-20T07:00:00Z", "8 h": "2026-11-20T07:00:00Z", "2:31 Uhr": "2026-11-20T01:31:00Z",
		"02:31:05": "2026-11-20T01:31:05Z", "02:31:05.250": "2026-11-20T01:31:05Z", "02:31:05,250": "2026-11-20T01:31:05Z",
		"yesterday 22:00": "2026-11-19T21:00:00Z", "22:00 yesterday": "2026-11-19T21:00:00Z", "yesterday at 10 pm": "2026-11-19T21:00:00Z", "today 08:00": "2026-11-20T07:00:00Z",
		"yesterday noon": "2026-11-19T11:00:00Z", "noon yesterday": "2026-11-19T11:00:00Z", "yesterday 24:00": "2026-11-19T23:00:00Z",
		"last friday 9:00": "2026-11-13T08:00:00Z", "monday 9:00": "2026-11-16T08:00:00Z", "Mon 9:00": "2026-11-16T08:00:00Z", "9:00 on monday": "2026-11-16T08:00:00Z", "thurs 9am": "2026-11-19T08:00:00Z",
		"20 min ago": "2026-11-20T07:40:00Z", "2h ago": "2026-11-20T06:00:00Z", "1h30m ago": "2026-11-20T06:30:00Z", "2h30 ago": "2026-11-20T05:30:00Z", "2h30": "2026-11-20T01:30:00Z", "90min ago": "2026-11-20T06:30:00Z", "1 hour and 30 minutes ago": "2026-11-20T06:30:00Z", "an hour ago": "2026-11-20T07:00:00Z",
		"half an hour ago": "2026-11-20T07:30:00Z", "two hours ago": "2026-11-20T06:00:00Z", "1.5h ago": "2026-11-20T06:30:00Z", "3 days ago": "2026-11-17T08:00:00Z", "2 days ago at 10:00": "2026-11-18T09:00:00Z",
		"2026-11-18 10:00": "2026-11-18T09:00:00Z", "2026-11-18T10:00": "2026-11-18T09:00:00Z", "2026-11-18_10:00": "2026-11-18T09:00:00Z", "2026-11-18T10:00:00.123Z": "2026-11-18T10:00:00Z",
		"2026-11-18T10:00:00.123+01:00": "2026-11-18T09:00:00Z", "2026-11-18T10:00:00+0530": "2026-11-18T04:30:00Z", "2026-11-18t10:00:00z": "2026-11-18T10:00:00Z", "20261118T100000Z": "2026-11-18T10:00:00Z",
		"2026-11-18T10:00 EST": "2026-11-18T15:00:00Z", "[2026-11-18 10:00:00]": "2026-11-18T09:00:00Z", "2026/11/18 10:00": "2026-11-18T09:00:00Z",
		"18.11.2026 10:00": "2026-11-18T09:00:00Z", "18.11. 10:00": "2026-11-18T09:00:00Z", "18/11/2026 10:00": "2026-11-18T09:00:00Z", "11/18/2026 10:00": "2026-11-18T09:00:00Z", "05/05/2026 10:00": "2026-05-05T08:00:00Z",
		"18 Nov 10:00": "2026-11-18T09:00:00Z", "Nov 18 10:00": "2026-11-18T09:00:00Z", "Nov 18, 10:00": "2026-11-18T09:00:00Z", "November 18th, 2026 at 10am": "2026-11-18T09:00:00Z", "18th of November 2026, 10:00": "2026-11-18T09:00:00Z", "10:00 18 nov": "2026-11-18T09:00:00Z",
		"02:31 UTC": "2026-11-20T02:31:00Z", "02:31Z": "2026-11-20T02:31:00Z", "02:31 Zulu": "2026-11-20T02:31:00Z", "02:31 utc": "2026-11-20T02:31:00Z",
		"2026-11-18 10:00 EST": "2026-11-18T15:00:00Z", "10:00 pm EST": "2026-11-20T03:00:00Z", "10pm EST yesterday": "2026-11-20T03:00:00Z", "2026-07-18 10:00 EDT": "2026-07-18T14:00:00Z", "2026-11-18 10:00 (CET)": "2026-11-18T09:00:00Z",
		"2026-07-18 10:00 CEST": "2026-07-18T08:00:00Z", "2026-11-18 10:00 America/New_York": "2026-11-18T15:00:00Z", "2026-11-18 10:00 europe/zurich": "2026-11-18T09:00:00Z", "2026-07-18 10:00 ET": "2026-07-18T14:00:00Z",
		"2026-11-18 10:00 UTC+2": "2026-11-18T08:00:00Z", "2026-11-18 10:00 GMT-5": "2026-11-18T15:00:00Z", "2026-11-18 10:00 UTC+05:30": "2026-11-18T04:30:00Z", "2026-11-18 10:00 +02:00": "2026-11-18T08:00:00Z", "2026-11-18 10:00 UTC +02:00": "2026-11-18T08:00:00Z",
		"2026-11-18 10:00+02:00": "2026-11-18T08:00:00Z", "2026-11-18 10:00 −05:00": "2026-11-18T15:00:00Z", "2026-11-18 10:00:00-05": "2026-11-18T15:00:00Z", "2026-11-18T10:00-05:00": "2026-11-18T15:00:00Z", "2026‑11‑18 10：00": "2026-11-18T09:00:00Z", "２０２６-11-18 10:00": "2026-11-18T09:00:00Z", "2026-11-18\u00a010:00\u202fpm": "2026-11-18T21:00:00Z",
		"2026-10-25 02:30 CEST": "2026-10-25T00:30:00Z", "2026-10-25 02:30 CET": "2026-10-25T01:30:00Z", "2026-10-25 02:30+02:00": "2026-10-25T00:30:00Z", "“2026-11-18 10:00 EST”": "2026-11-18T15:00:00Z",
	} {
		if want == "" {
			continue
		}
		for place, read := range readTimes(t, text) {
			at, _, err := read()
			if err != nil || at.UTC().Truncate(time.Second).Format(time.RFC3339) != want {
				t.Errorf("%s %q: got %s, %v, want %s", place, text, at.UTC().Format(time.RFC3339), err, want)
			}
		}
	}
}

// A time that has two meanings, or none, is refused with the choices.
func TestParse_UnclearTimes(t *testing.T) {
	for text, want := range map[string]string{
		"03/04/2026 10:00": "2026-03-04 or 2026-04-03", "3-4-2026 10:00": "2026-03-04 or 2026-04-03", "18.11.26 10:00": "four digits",
		"2026-11-18 10:00 IST": "Asia/Kolkata, Europe/Dublin, Asia/Jerusalem", "2026-11-18 10:00 CST": "America/Chicago, Asia/Shanghai, America/Havana", "2026-11-18 10:00 BST": "Europe/London, Asia/Dhaka",
		"2026-07-18 10:00 EST": "EST is not in force on 2026-07-18. Type EDT, or America/New_York", "2026-11-18 10:00 CEST": "Type CET",
		"2026-03-29 02:30": "does not exist on 2026-03-29 in Europe/Paris", "2026-10-25 02:30": "02:30 UTC+02:00 or 02:30 UTC+01:00", "2026-03-08 02:30 America/New_York": "02:30 UTC-05:00 or 02:30 UTC-04:00",
		"yesterday midnight": "2026-11-19 00:00 or 2026-11-20 00:00", "next friday 10:00": "2026-11-27 or 2026-12-04", "friday 08:00": "Type today, or the date 2026-11-13",
		"2026-11-18 10:00 Europe/Zurrich": `Did you mean "Europe/Zurich"?`, "2026-11-18 25:00": "is not a date or time", "2026-02-30 10:00": "is not a date", "13:00 am": "is not a date or time", "2026-11-18": "the time of day is missing",
		"10:00+99:99": `"+99:99" is not an offset`, "2026-11-24T10:00:00+05:60": `"+05:60" is not an offset`, "2026-11-24 10:00:00-99:99": `"-99:99" is not an offset`,
		"2026-11-24T10:00:00+15:00": "such as 10:00:00+02:00", "10:00+15:00": "such as 10:00+02:00", "2026-11-24T10:00:00-24:00": "between -14:00 and +14:00",
		"yesterday": "the time of day is missing", "14:00-15:00": "is a range. Type one time, such as 14:00", "02:31-03:00": "Type 02:31 for the beginning", "2.31": "is not a date or time", "0231": "is not a date or time", "30.02.2026 10:00": "is not a date",
	} {
		for place, read := range readTimes(t, text) {
			if want == "" && place == "note" {
				want = "is not an exact time. Type at 02:31"
			}
			if at, _, err := read(); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s %q: got %s, %v, want an error with %q", place, text, at, err, want)
			}
		}
	}
}

// Words after a time belong to the time, or are refused, or begin the text of a note.
func TestParse_WordsAfterTime(t *testing.T) {
	for text, want := range map[string]string{
		"note at 09:00 est the key": "Type EST", "note at 09:00 +2 hosts": "Type UTC+2", "note at 09:00 CST x": "America/Chicago", "note at 09:00 EAT x": "Africa/Nairobi",
		"fact occurred 02:31 XST because x": `unknown time zone "XST"`, "fact occurred 02:31 or so because x": `"or so"`, "fact occurred 02:31 foo": `"foo"`, "review tomorrow 10:00 sharp": `"sharp" at the end`,
		"fact occurred 20 min ago EST because x": `the time zone "EST" does not belong`, "fact occurred 10:00 CET EST because x": `the time zone "EST" does not belong`,
		"review 2027-01-05 10:00 Foo/Bar": `unknown time zone "Foo/Bar"`, "delegate legal @ada until 2026-12-01 please": `"please" at the end`, "action add detection x owner @ada due friday 17:00": "is not a date",
		"maintenance add until 18:00 IST sample because x": "Asia/Kolkata", "maintenance add from 2026-03-29 02:30 to 04:00 sample because x": "does not exist",
		`fact affected "X" processor 12 notified yesterday because x`: "the time of day is missing", "review next week": "is not a date or time", "review 2026-11-24": "the time of day is missing",
	} {
		if w, err := Parse(text, testContext(t)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %+v, %v, want an error with %q", text, w.Command, err, want)
		}
	}
	for text, want := range map[string]string{
		"note at 09:00 met with legal": "met with legal", "note at 09:00 POST requests failed": "POST requests failed", "note at 09:00 a host died": "a host died",
		"note at 09:00 sat down": "sat down", "note at 09:00 may be broken": "may be broken", "note at 09:00 - EST is a zone": "EST is a zone", "note at 09:00: est une clé": "est une clé", "note at 10 hosts it broke": "at 10 hosts it broke",
		"note at 09:00 because CST is odd": "because CST is odd", "note at 09:00 in 3 hosts": "in 3 hosts",
	} {
		if w, err := Parse(text, testContext(t)); err != nil || w.Command.Text != want {
			t.Errorf("%s: got %q, %v, want %q", text, w.Command.Text, err, want)
		}
	}
}

func TestParse_FutureTimes(t *testing.T) {
	for text, want := range map[string]string{
		"review 2027-01-05 10:00 America/New_York": "2027-01-05T15:00:00Z America/New_York", "review tomorrow 10 am": "2026-11-21T09:00:00Z ", "review in 2 hours": "2026-11-20T10:00:00Z ", "review in 2h30": "2026-11-20T10:30:00Z ", "delegate legal @ada for 2h30": "2026-11-20T10:30:00Z ",
		"review monday 9:00 CET": "2026-11-23T08:00:00Z CET+01:00", "review 28 Nov 10:00": "2026-11-28T09:00:00Z ", "review 2 Jan 10:00": "2027-01-02T09:00:00Z ", "review tue 14h UTC+2": "2026-11-24T12:00:00Z UTC+02:00",
		"review in 3 days at 10:00": "2026-11-23T09:00:00Z ", "review noon": "2026-11-20T11:00:00Z ", "review midnight": "2026-11-20T23:00:00Z ", "review 8:30 pm": "2026-11-20T19:30:00Z ", "review “tomorrow 10:00”": "2026-11-21T09:00:00Z ",
		"delegate legal @ada until 2026-12-01 17:00 EST": "2026-12-01T22:00:00Z EST-05:00", "delegate legal @ada until 1 Dec": "2026-12-01T23:00:00Z ", "delegate legal @ada until friday 17:00": "", "delegate legal @ada until saturday": "2026-11-21T23:00:00Z ",
		"action add detection x owner @ada due 24.12.2026": "2026-12-24T00:00:00Z ", "action add detection x owner @ada due Dec 24": "2026-12-24T00:00:00Z ", "action add detection x owner @ada due by tuesday": "2026-11-24T00:00:00Z ",
		"action add detection x owner @ada by tuesday": "2026-11-24T00:00:00Z ",
	} {
		if want == "" {
			continue
		}
		w, err := Parse(text, testContext(t))
		c := w.Command
		if c.Action != nil {
			c.When = c.Action.Due
		}
		at := slices.MaxFunc([]time.Time{c.When, c.Until}, time.Time.Compare)
		if got := at.UTC().Format(time.RFC3339) + " " + c.Zone; err != nil || got != want {
			t.Errorf("%s: got %s, %v, want %s", text, got, err, want)
		}
	}
}

func TestParsePast(t *testing.T) {
	c := testContext(t)
	c.Zone = nil
	if at, err := ParsePast("2026-11-20 02:31 EST", c); err != nil || !at.Equal(time.Date(2026, 11, 20, 7, 31, 0, 0, time.UTC)) {
		t.Errorf("got %s, %v", at, err)
	}
	for _, text := range []string{"", "soon", "02:31 and more", "02:31 XST", "03/04/2026 10:00"} {
		if at, err := ParsePast(text, c); CodeOf(err) != CodeInvalid {
			t.Errorf("%q: got %s, %v, want invalid", text, at, err)
		}
	}
}

// A reply repeats each time in the typed zone and in UTC.
func TestTypedTimes(t *testing.T) {
	for text, want := range map[string]string{
		"note at 2026-11-18 10:00 EST x": "Happened at: 2026-11-18 10:00 EST (15:00 UTC)",
		"note at 02:31 x":                "Happened at: 2026-11-20 02:31 Europe/Paris (01:31 UTC)",
		"note x":                         "",
		"review 2027-01-05 23:00 America/New_York":                               "Review meeting: 2027-01-05 23:00 America/New_York (2027-01-06 04:00 UTC)",
		"fact aware GDPR 2026-11-18 10:00 UTC+2 because x":                       "Read as: 2026-11-18 10:00 UTC+02:00 (08:00 UTC)",
		"fact occurred yesterday 10 pm because x":                                "Read as: 2026-11-19 22:00 Europe/Paris (21:00 UTC)",
		"fact occurred 02:31Z because x":                                         "Read as: 2026-11-20 02:31 UTC",
		"fact personal_data no because x":                                        "",
		`fact affected "X" processor 12 notified 2026-11-18 10:00 EST because x`: "Notified at: 2026-11-18 10:00 EST (15:00 UTC)",
		"delegate legal @ada until 2026-12-01":                                   "Valid until: 2026-12-02 00:00 Europe/Paris (2026-12-01 23:00 UTC)",
		"action add detection x owner @ada due 24 Dec":                           "Due: 2026-12-24",
	} {
		c := testContext(t)
		w, err := Parse(text, c)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		var got []string
		for _, echo := range TypedTimes(w.Command, c.Zone) {
			got = append(got, echo.Show(func(arg any) string {
				if at, ok := arg.(time.Time); ok {
					return TimeText(at)
				}
				return fmt.Sprint(arg)
			}).String())
		}
		if strings.Join(got, "\n") != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}
