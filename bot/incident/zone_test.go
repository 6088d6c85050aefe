package incident

import (
	"testing"
	"time"
)

func TestParseZone_FindsZoneName(t *testing.T) {
	paris, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 28, 10, 0, 0, 0, time.UTC)
	for want, zone := range map[string]*time.Location{"UTC": time.UTC, "Europe/Paris": paris, "EST-05:00": time.FixedZone("EST", -5*3600), "UTC+05:30": OffsetZone("UTC", 5*3600+1800)} {
		name := ZoneName(zone)
		found, err := ParseZone(name)
		if name != want || err != nil || TimeText(at.In(found)) != TimeText(at.In(zone)) {
			t.Errorf("got %q and %s, %v, want %q and %s", name, found, err, want, zone)
		}
	}
	for _, name := range []string{"", "Local", "../etc/passwd", "Europe/Atlantis", "+02:00", "EST"} {
		if zone, err := ParseZone(name); err == nil && name != "EST" {
			t.Errorf("%q: got %s, want an error", name, zone)
		}
	}
}

// The timeline shows a time in the zone that the person typed. Events without a zone,
// as they were stored before, show UTC.
func TestEventSentence_StatesTheTypedZone(t *testing.T) {
	e := Event{Kind: EventFactSet, Fields: map[string]string{"fact": "aware", "regime": "gdpr", "value": "2026-11-28T15:00:00Z"}}
	for zone, want := range map[string]string{"": "2026-11-28 15:00 UTC", "EST-05:00": "2026-11-28 10:00 EST (15:00 UTC)", "Europe/Paris": "2026-11-28 16:00 Europe/Paris (15:00 UTC)", "nonsense": "2026-11-28 15:00 UTC"} {
		e.Fields["zone"] = zone
		s, _ := e.Sentence()
		if at, ok := s.Args[2].(time.Time); !ok || TimeText(at) != want {
			t.Errorf("%q: got %v, want %s", zone, s.Args[2], want)
		}
	}
}

func TestDecide_StoresTheTypedZone(t *testing.T) {
	w := fixtureIn(t, Active)
	w.mustFail("eng1", Command{Verb: VerbNote, Text: "x", Zone: "../etc"}, CodeInvalid)
	for _, test := range []struct {
		cmd  Command
		want string
	}{
		{Command{Verb: VerbSetFact, Text: "x", Zone: "EST-05:00", Fact: &FactChange{Name: FactOccurred, Value: "2026-11-20T01:00:00Z"}}, "EST-05:00"},
		{Command{Verb: VerbNote, Text: "x", Zone: "Europe/Paris", HappenedAt: start}, "Europe/Paris"},
		{Command{Verb: VerbNote, Text: "y", Zone: "Europe/Paris"}, ""},
		{Command{Verb: VerbNote, Text: "z", HappenedAt: start}, ""},
	} {
		events, err := w.decideAs("eng1", test.cmd)
		if err != nil || len(events) == 0 || events[0].Field("zone") != test.want {
			t.Errorf("%+v: got %+v, %v, want the zone %q", test.cmd, events, err, test.want)
		}
	}
}
