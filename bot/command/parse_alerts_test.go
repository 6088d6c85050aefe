package incident

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func parseAlertCommand(t *testing.T, text string) (ParsedCommand, error) {
	t.Helper()
	w := fixtureIn(t, Active)
	return ParseCommandLine(text, ParseContext{Who: "eng1", Directory: w.dir, Now: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)})
}

func TestParseCommandLine_AlertRequests(t *testing.T) {
	for text, want := range map[string]AlertRequest{
		"alerts":                 {Query: QueryAlerts, Disposition: DispositionWatched},
		"alerts dropped":         {Query: QueryAlerts, Disposition: DispositionDropped},
		"alerts maintenance":     {Query: QueryAlerts, Disposition: DispositionMaintenance},
		"explain A17":            {Query: QueryExplain, Alert: 17},
		"explain d2041":          {Query: QueryExplain, Delivery: 2041},
		"maintenance":            {Query: QueryMaintenance},
		"maintenance end #3":     {Query: QueryMaintenance, End: 3},
		"maintenance confirm M3": {Query: QueryMaintenance, Confirm: 3},
	} {
		w, err := parseAlertCommand(t, text)
		if err != nil || w.AlertRequest == nil || *w.AlertRequest != want {
			t.Errorf("%s: got %+v, %v, want %+v", text, w.AlertRequest, err, want)
		}
	}
}

func TestParseCommandLine_MaintenanceWindow(t *testing.T) {
	noon := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]MaintenanceWindow{
		`maintenance add 2h project == "web" because the database moves`:              {From: noon, To: noon.Add(2 * time.Hour), When: `project == "web"`, Reason: "the database moves"},
		`maintenance add 3 days source == "sentry" because x`:                         {From: noon, To: noon.Add(72 * time.Hour), When: `source == "sentry"`, Reason: "x"},
		`maintenance add until 18:00 title contains “because” because of noise`:       {From: noon, To: noon.Add(6 * time.Hour), When: `title contains "because"`, Reason: "of noise"},
		`maintenance add 22:00 to 01:30 when level == "low" || sample because nights`: {From: noon.Add(10 * time.Hour), To: noon.Add(13*time.Hour + 30*time.Minute), When: `level == "low" || sample`, Reason: "nights"},
	} {
		want.Owner = "eng1"
		w, err := parseAlertCommand(t, text)
		if err != nil || w.AlertRequest.Add == nil || *w.AlertRequest.Add != want {
			t.Errorf("%s: got %+v, %v, want %+v", text, w.AlertRequest, err, want)
		}
	}
	for _, text := range []string{"maintenance add 2h sample", "maintenance add whenever sample because x", "maintenance end soon", "maintenance stop", "maintenance frobnicate", "maintenance confirm", "maintenance confirm it", "maintenance confirm M0", "maintenance end 0"} {
		if _, err := parseAlertCommand(t, text); CodeOf(err) != CodeInvalid {
			t.Errorf("%s: got %v, want invalid", text, err)
		}
	}
}

func TestParseCommandLine_SplitPromoteLegalHold(t *testing.T) {
	w, err := parseAlertCommand(t, "split INC-42 alerts A3, A4 and #5 sev1 2 keys leaked because they are others")
	if c := w.Command; err != nil || c.Verb != VerbSplit || c.For != 42 || !slices.Equal(c.Alerts, []int64{3, 4, 5}) || c.Severity != Sev1 ||
		c.Title != "2 keys leaked" || c.Text != "they are others" {
		t.Errorf("got %+v, %v", c, err)
	}
	w, err = parseAlertCommand(t, "split INC-42 alert A3 2 keys leaked")
	if c := w.Command; err != nil || !slices.Equal(c.Alerts, []int64{3}) || c.Title != "2 keys leaked" {
		t.Errorf("got %+v, %v", c, err)
	}
	w, err = parseAlertCommand(t, "alerts promote A17 sev2 into INC-7")
	if c := w.Command; err != nil || c.Verb != VerbPromote || c.For != 7 || !slices.Equal(c.Alerts, []int64{17}) || c.Severity != Sev2 {
		t.Errorf("got %+v, %v", c, err)
	}
	for _, text := range []string{"alerts promote", "alerts promote A17 please", "alerts promote A1,A2", "alerts lost", "explain", "explain everything",
		"split INC-42 alerts", "split INC-42 alerts A3", "split alerts A3 x"} {
		if _, err := parseAlertCommand(t, text); CodeOf(err) != CodeInvalid {
			t.Errorf("%s: got %v, want invalid", text, err)
		}
	}
	w, err = parseAlertCommand(t, "legal-hold release INC-42 because it is over")
	if err == nil {
		t.Errorf("incident after release: got %+v, want an error", w.Command)
	}
	w, err = parseAlertCommand(t, "legal-hold INC-42 release because it is over")
	if c := w.Command; err != nil || c.Verb != VerbReleaseLegalHold || c.Text != "it is over" {
		t.Errorf("got %+v, %v", c, err)
	}
}

func responderEnv(w *fixture) Env {
	return Env{Now: w.now, Actor: "eng1", Directory: w.dir, Policy: w.policy}
}

func TestSplit_KeepsBothTimelines(t *testing.T) {
	for _, status := range []Status{Active, InReview} {
		w := fixtureIn(t, status)
		w.must("", Command{Verb: VerbAttach, Alert: &AlertRef{Alert: 33, Kind: w.inc.Alerts[0].Kind, Title: "another key"}})
		all := len(w.inc.Alerts)
		moved := []AlertRef{w.inc.Alerts[all-1]}
		cmd := Command{Verb: VerbSplit, For: w.inc.ID, Title: "another key", Text: "another account"}
		mine, theirs, err := DecideSplit(cmd, w.inc, New(99), moved, responderEnv(w))
		if err != nil {
			t.Fatal(err)
		}
		severity, restricted, before := w.inc.Severity, w.inc.Restricted, len(w.events)
		w.commit(mine)
		if len(w.inc.Alerts) != all-1 || !slices.Equal(w.inc.SplitInto, []ID{99}) || len(w.events) <= before {
			t.Errorf("%s: got %d alerts left, split into %v", status, len(w.inc.Alerts), w.inc.SplitInto)
		}
		if status == InReview && (w.inc.Status != Resolved || w.inc.Submission != nil) {
			t.Errorf("signed record with the moved alert: got status %s, want resolved", w.inc.Status)
		}
		inc := New(99)
		for _, e := range theirs {
			inc = Apply(inc, e)
		}
		if inc.Status != Triage || inc.SplitFrom != w.inc.ID || len(inc.Alerts) != 1 || inc.Alerts[0].Alert != 33 || inc.Severity != severity ||
			inc.Restricted != restricted || inc.Title != "another key" || !inc.NeedsPage() {
			t.Errorf("%s: got new incident %+v", status, inc)
		}
	}
}

func TestSplit_Rejected(t *testing.T) {
	w := fixtureIn(t, Active)
	moved := w.inc.Alerts
	cmd := Command{Verb: VerbSplit, For: w.inc.ID, Title: "x"}
	if _, _, err := DecideSplit(cmd, w.inc, New(99), nil, responderEnv(w)); CodeOf(err) != CodeInvalid {
		t.Errorf("without an alert: got %v, want invalid", err)
	}
	env := responderEnv(w)
	env.Actor = "leg1"
	if _, _, err := DecideSplit(cmd, w.inc, New(99), moved, env); CodeOf(err) != CodeUnknown {
		t.Errorf("by an outsider: got %v, want unknown", err)
	}
	cmd.Title = strings.Repeat("x", MaxTitle+1)
	if _, _, err := DecideSplit(cmd, w.inc, New(99), moved, responderEnv(w)); CodeOf(err) != CodeInvalid {
		t.Errorf("title too long: got %v, want invalid", err)
	}
	for _, status := range []Status{Approved, Closed, Dismissed, Merged} {
		w := fixtureIn(t, status)
		if _, _, err := DecideSplit(Command{Verb: VerbSplit, Title: "x"}, w.inc, New(99), moved, responderEnv(w)); CodeOf(err) != CodeConflict {
			t.Errorf("%s: got %v, want a conflict", status, err)
		}
	}
}

func TestLegalHold_LegalAndSecurityOnly(t *testing.T) {
	w := fixtureIn(t, Closed)
	if _, err := w.decideAs("eng1", Command{Verb: VerbSetLegalHold, Text: "x"}); CodeOf(err) != CodeForbidden {
		t.Errorf("by engineering: got %v, want forbidden", err)
	}
	if _, err := w.decideAs("sec1", Command{Verb: VerbSetLegalHold}); CodeOf(err) != CodeInvalid {
		t.Errorf("without a reason: got %v, want invalid", err)
	}
	w.must("leg1", Command{Verb: VerbSetLegalHold, Text: "the regulator asked"})
	if w.inc.LegalHold == nil || w.inc.LegalHold.By != "leg1" || w.inc.Status != Closed {
		t.Errorf("got %+v, want a legal hold by leg1", w.inc.LegalHold)
	}
	w.must("sec1", Command{Verb: VerbReleaseLegalHold, Text: "the case is closed"})
	if w.inc.LegalHold != nil {
		t.Error("got a legal hold after its release, want none")
	}
	source, target := fixtureIn(t, Active), fixtureIn(t, Active)
	target.inc.ID = 8
	source.must("eng1", Command{Verb: VerbInvolve, Department: Legal, Text: "x"})
	source.must("leg1", Command{Verb: VerbSetLegalHold, Text: "the regulator asked"})
	_, theirs, err := DecideMerge(Command{Verb: VerbMerge}, source.inc, target.inc, responderEnv(source))
	if err != nil {
		t.Fatal(err)
	}
	if target.commit(theirs); target.inc.LegalHold == nil {
		t.Error("got no legal hold after a merge, want one")
	}
}
