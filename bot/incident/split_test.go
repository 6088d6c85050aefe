package incident

import (
	"slices"
	"strings"
	"testing"
)

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
