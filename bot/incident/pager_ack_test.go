package incident

import (
	"testing"
	"time"
)

// TestAcknowledge_ByPagerNeedsCurrentRound gives acknowledgements of a pager to an
// incident in round 2, which started ten minutes after round 1.
func TestAcknowledge_ByPagerNeedsCurrentRound(t *testing.T) {
	inRound2 := func(t *testing.T) *fixture {
		w := fixtureIn(t, Triage)
		w.must("eng1", Command{Verb: VerbAcknowledge})
		w.now = start.Add(10 * time.Minute)
		w.must("eng1", Command{Verb: VerbSetSeverity, Severity: Sev1})
		return w
	}
	for _, tt := range []struct {
		name  string
		round int
		at    time.Duration // after the start of round 2
		via   Via
		ok    bool
	}{
		{"of this round", 2, time.Minute, ViaPager, true},
		{"of this round without a time", 2, -1, ViaPager, true},
		{"of round 1", 1, time.Minute, ViaPager, false},
		{"of a round that does not exist", 3, time.Minute, ViaPager, false},
		{"clock of the pager behind", 2, -30 * time.Second, ViaPager, true},
		{"before the round", 2, -5 * time.Minute, ViaPager, false},
		{"of 2020", 2, -6 * 365 * 24 * time.Hour, ViaPager, false},
		{"of 2020 without a round", 0, -6 * 365 * 24 * time.Hour, ViaPager, false},
		{"by a person in chat", 0, -5 * time.Minute, ViaSlack, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := inRound2(t)
			cmd := Command{Verb: VerbAcknowledge, For: w.inc.ID, Via: tt.via, Round: tt.round, HappenedAt: w.inc.Paging.StartedAt.Add(tt.at)}
			if tt.at == -1 {
				cmd.HappenedAt = time.Time{}
			}
			events, err := Decide(cmd, w.inc, Env{Now: start.Add(20 * time.Minute), Actor: "eng2", Directory: w.dir, Policy: w.policy})
			if tt.ok != (err == nil && len(events) > 0) || !tt.ok && CodeOf(err) != CodeConflict {
				t.Errorf("got %d events, error %v; want accepted %v", len(events), err, tt.ok)
			}
		})
	}
}

// An incident raised in the pager may be acknowledged there before its alert arrives.
func TestAcknowledge_ByPagerBeforeItsAlertArrived(t *testing.T) {
	raised := start.Add(-time.Hour)
	for at, ok := range map[time.Time]bool{raised.Add(time.Minute): true, raised.Add(-time.Hour): false} {
		w := newFixture(t)
		w.must("", Command{Verb: VerbOpen, Title: "disk", Severity: Sev2, Alert: &AlertRef{Alert: 1, Source: "pagerduty", Kind: "pagerduty.incident", At: raised}})
		_, err := Decide(Command{Verb: VerbAcknowledge, For: w.inc.ID, Via: ViaPager, HappenedAt: at}, w.inc, Env{Now: w.now, Actor: "eng2", Directory: w.dir, Policy: w.policy})
		if ok != (err == nil) {
			t.Errorf("acknowledged at %s: got error %v, want accepted %v", at, err, ok)
		}
	}
}

// The state of an old round does not contain its start.
func TestAcknowledge_ByPagerInOldRound(t *testing.T) {
	w := fixtureIn(t, Triage)
	w.inc.Paging.StartedAt = time.Time{}
	for at, ok := range map[time.Time]bool{w.now: true, start.AddDate(-6, 0, 0): false} {
		_, err := Decide(Command{Verb: VerbAcknowledge, For: w.inc.ID, Via: ViaPager, Round: 1, HappenedAt: at}, w.inc, Env{Now: w.now, Actor: "eng2", Directory: w.dir, Policy: w.policy})
		if ok != (err == nil) {
			t.Errorf("acknowledged at %s: got error %v, want accepted %v", at, err, ok)
		}
	}
}

func TestSourceNote_AboutAPageIsNotOlderThanTheIncident(t *testing.T) {
	w := fixtureIn(t, Triage)
	note := func(round int, at time.Time) error {
		_, err := w.decideAs("", Command{Verb: VerbSourceNote, Text: "resolved", Round: round, HappenedAt: at})
		return err
	}
	if err := note(1, start.AddDate(-6, 0, 0)); CodeOf(err) != CodeConflict {
		t.Errorf("note of 2020 about a page: got error %v, want a conflict", err)
	}
	if err := note(1, w.now); err != nil {
		t.Errorf("note about a page: %v", err)
	}
	if err := note(0, start.AddDate(-6, 0, 0)); err != nil {
		t.Errorf("note about an alert: %v", err)
	}
}

func TestEarliestAck(t *testing.T) {
	opened, paged := start, start.Add(time.Hour)
	early, late := start.Add(-time.Hour), start.Add(2*time.Hour)
	for name, c := range map[string]struct {
		round, current int
		startedAt      time.Time
		alerts         []time.Time
		want           time.Time
	}{
		"raised in the pager":            {0, 1, paged, []time.Time{late, early}, early},
		"raised in the pager, no page":   {0, 0, time.Time{}, []time.Time{early}, early},
		"the first round":                {1, 1, paged, []time.Time{early}, paged},
		"a later round":                  {0, 2, paged, []time.Time{early}, paged},
		"a later alert":                  {0, 1, paged, []time.Time{late}, paged},
		"an alert without a time":        {0, 1, paged, []time.Time{{}}, paged},
		"an old round without its start": {2, 2, time.Time{}, []time.Time{early}, opened},
	} {
		inc := Incident{OpenedAt: opened, Paging: Paging{Round: c.current, StartedAt: c.startedAt}}
		for _, at := range c.alerts {
			inc.Alerts = append(inc.Alerts, AlertRef{At: at})
		}
		if got := inc.earliestAck(c.round); !got.Equal(c.want) {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}
