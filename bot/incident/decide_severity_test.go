package incident

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func severeAlert(id int64, s Severity) Command {
	return Command{Verb: VerbAttach, Alert: &AlertRef{Alert: id, Source: "sentry", Kind: "sentry.issue", Title: "boom"}, Severity: s}
}

func kindsSince(w *fixture, n int) (out []EventKind) {
	for _, e := range w.events[n:] {
		out = append(out, e.Kind)
	}
	return out
}

func TestAttach_RaisesAtOnceUnlessAPersonLowered(t *testing.T) {
	for name, c := range map[string]struct {
		prepare  func(*fixture)
		proposes bool
	}{
		"nobody lowered":                 {func(*fixture) {}, false},
		"raised by a person":             {func(w *fixture) { w.must("eng1", Command{Verb: VerbSetSeverity, Severity: Sev2}) }, false},
		"lowered":                        {func(w *fixture) { w.must("eng1", Command{Verb: VerbSetSeverity, Severity: Sev4}) }, true},
		"lowered by an acknowledgement":  {func(w *fixture) { w.must("eng2", Command{Verb: VerbAcknowledge, Severity: Sev4}) }, true},
		"lowered and partly raised":      {func(w *fixture) { setSeverities(w, Sev2, Sev4, Sev3) }, true},
		"lowered and raised to the same": {func(w *fixture) { setSeverities(w, Sev4, Sev3) }, false},
		"lowered and raised by the bot": {func(w *fixture) {
			setSeverities(w, Sev4)
			w.must("", severeAlert(8, Sev3))
			w.now = w.now.Add(ProposalTimeout)
			w.must("", Command{Verb: VerbSeverityTimeout})
		}, false},
	} {
		w := newFixture(t)
		w.must("", Command{Verb: VerbOpen, Title: "odd logins", Severity: Sev3})
		c.prepare(w)
		was, n := w.inc.Severity, len(w.events)
		w.must("", severeAlert(9, Sev1))
		if c.proposes {
			if w.inc.Severity != was || w.inc.SeverityProposal == nil || w.inc.SeverityProposal.Severity != Sev1 || w.inc.SeverityProposal.Alert != 9 ||
				!slices.Contains(kindsSince(w, n), EventSeverityProposed) || slices.Contains(kindsSince(w, n), EventRoundStarted) {
				t.Errorf("%s: got %s, %+v and %v, want only a proposal", name, w.inc.Severity, w.inc.SeverityProposal, kindsSince(w, n))
			}
			continue
		}
		if w.inc.Severity != Sev1 || w.inc.SeverityProposal != nil || !w.inc.NeedsPage() {
			t.Errorf("%s: got %s and %+v, want sev1 and a page", name, w.inc.Severity, w.inc.SeverityProposal)
		}
	}
}

func setSeverities(w *fixture, severities ...Severity) {
	for _, s := range severities {
		if s != w.inc.Severity {
			w.must("eng1", Command{Verb: VerbSetSeverity, Severity: s})
		}
	}
}

func TestSeverityProposal_Answers(t *testing.T) {
	fixture := func() *fixture { return fixtureWithProposal(t, Sev3, Sev4) }
	for name, c := range map[string]struct {
		by     PersonID
		cmd    Command
		want   Severity
		events string
	}{
		"accepted":          {"eng2", Command{Verb: VerbSetSeverity, Severity: Sev1}, Sev1, "severity_set round_started"},
		"in part":           {"eng2", Command{Verb: VerbSetSeverity, Severity: "sev-3"}, Sev3, "severity_set round_started"},
		"repeated":          {"eng2", Command{Verb: VerbSetSeverity, Severity: "4", Text: "a test"}, Sev4, "severity_kept"},
		"kept":              {"eng2", Command{Verb: VerbKeepSeverity, Text: "a test"}, Sev4, "severity_kept"},
		"kept, no reason":   {"eng2", Command{Verb: VerbKeepSeverity}, Sev4, "severity_kept"},
		"answered by alert": {"", severeAlert(3, Sev2), Sev4, "alert_attached"}, // not more severe than proposed: no second proposal
	} {
		w := fixture()
		n := len(w.events)
		w.must(c.by, c.cmd)
		got := strings.Trim(fmt.Sprint(kindsSince(w, n)), "[]")
		if w.inc.Severity != c.want || got != c.events || (w.inc.SeverityProposal == nil) != (c.by != "") {
			t.Errorf("%s: got %s with %s and %+v, want %s with %s", name, w.inc.Severity, got, w.inc.SeverityProposal, c.want, c.events)
		}
		w.now = w.now.Add(ProposalTimeout)
		events, err := w.decideAs("", Command{Verb: VerbSeverityTimeout})
		if err != nil || (len(events) == 0) != (c.by != "") {
			t.Errorf("%s: got %d events of the timer, %v", name, len(events), err)
		}
	}
	w := fixture()
	w.mustFail("out1", Command{Verb: VerbKeepSeverity}, CodeUnknown)
	w.must("eng1", Command{Verb: VerbKeepSeverity})
	w.mustFail("eng1", Command{Verb: VerbKeepSeverity}, CodeConflict)
	w.must("", severeAlert(4, Sev1)) // each alert proposes again
	if w.inc.SeverityProposal == nil {
		t.Error("next alert: got no proposal, want one")
	}
}

func TestSeverityProposal_TimesOut(t *testing.T) {
	w := fixtureWithProposal(t, Sev3, Sev4)
	until := w.inc.SeverityProposal.Until
	w.now = until.Add(-2 * time.Second)
	if events, err := w.decideAs("", Command{Verb: VerbSeverityTimeout}); len(events) > 0 || err != nil {
		t.Fatalf("before the timeout: got %d events, %v, want none", len(events), err)
	}
	w.now = until
	n := len(w.events)
	w.must("", Command{Verb: VerbSeverityTimeout})
	if e := w.events[n]; w.inc.Severity != Sev1 || e.By != "" || !strings.Contains(e.Text("reason"), "root.login") || !w.inc.NeedsPage() || w.inc.SeverityProposal != nil {
		t.Errorf("got %s by %q because %q, want sev1 by the bot and a page", w.inc.Severity, e.By, e.Text("reason"))
	}

	// A more severe proposal does not get more time.
	w = fixtureWithSeverities(t, Sev2, Sev4)
	w.must("", severeAlert(2, Sev3))
	first := w.inc.SeverityProposal.Until
	w.now = w.now.Add(time.Minute)
	w.must("", severeAlert(3, Sev1))
	if p := w.inc.SeverityProposal; p.Severity != Sev1 || !p.Until.Equal(first) {
		t.Errorf("got %+v, want sev1 until %s", p, first)
	}

	// An acknowledgement of the proposed severity holds.
	w = fixtureIn(t, Active) // acknowledged at sev2
	setSeverities(w, Sev4)
	w.must("", severeAlert(2, Sev2))
	w.now = w.inc.SeverityProposal.Until
	if w.must("", Command{Verb: VerbSeverityTimeout}); w.inc.Severity != Sev2 || w.inc.NeedsPage() {
		t.Errorf("got %s and a page %t, want sev2 without a page", w.inc.Severity, w.inc.NeedsPage())
	}
}

func TestSeverityProposal_InReview(t *testing.T) {
	proposed := func() *fixture {
		w := fixtureIn(t, Active)
		setSeverities(w, Sev4)
		w.must("", Command{Verb: VerbAttach, Alert: &AlertRef{Alert: 2, Kind: "sentry.issue", Title: "boom"}})
		w.must("eng1", Command{Verb: VerbResolve, Text: "all restored"})
		w.must("eng1", Command{Verb: VerbSubmit, Record: fullRecord})
		w.must("", severeAlert(3, Sev1))
		return w
	}
	w := proposed()
	if w.inc.Status != InReview {
		t.Fatalf("got %s after a proposal, want in review", w.inc.Status)
	}
	w.now = w.inc.SeverityProposal.Until
	if w.must("", Command{Verb: VerbSeverityTimeout}); w.inc.Status != Resolved || w.inc.Severity != Sev1 {
		t.Errorf("raised: got %s at %s, want resolved at sev1", w.inc.Status, w.inc.Severity)
	}
	// No approval before the answer.
	for _, answer := range []Command{{Verb: VerbKeepSeverity}, {Verb: VerbSetSeverity, Severity: Sev4}} {
		w = proposed()
		w.signAll()
		if w.inc.Status != InReview {
			t.Fatalf("got %s with an open proposal, want in review", w.inc.Status)
		}
		if w.must("eng1", answer); w.inc.Status != Approved {
			t.Errorf("kept: got %s, want approved", w.inc.Status)
		}
	}
}

func TestSeverityProposal_MergeAndSplit(t *testing.T) {
	from, into := fixtureWithProposal(t, Sev3, Sev4), sev4Fixture(t, Active)
	into.inc.ID = 8
	until := from.inc.SeverityProposal.Until
	mine, theirs, err := DecideMerge(Command{Verb: VerbMerge}, from.inc, into.inc, responderEnv(from))
	if err != nil {
		t.Fatal(err)
	}
	from.commit(mine)
	into.commit(theirs)
	if p := into.inc.SeverityProposal; p == nil || p.Severity != Sev1 || !p.Until.Equal(until) || from.inc.SeverityProposal != nil || into.inc.OneMayDismiss() {
		t.Errorf("merged: got %+v and %+v, want the proposal in the target", p, from.inc.SeverityProposal)
	}
	from = fixtureWithProposal(t, Sev3, Sev4)
	other, err := from.split(9, responderEnv(from), Command{Title: "another"}, from.inc.Alerts[1:])
	if err != nil || other.inc.SeverityProposal == nil || from.inc.SeverityProposal == nil {
		t.Errorf("split with the alert: got %v, %+v and %+v, want the proposal in both", err, other.inc.SeverityProposal, from.inc.SeverityProposal)
	}
	from = fixtureWithProposal(t, Sev3, Sev4)
	if other, err = from.split(9, responderEnv(from), Command{Title: "another"}, from.inc.Alerts[:1]); err != nil || other.inc.SeverityProposal != nil {
		t.Errorf("split without the alert: got %v, %+v, want no proposal", err, other.inc.SeverityProposal)
	}
	// A merge that raises the severity a little does not answer the proposal.
	from, into = fixtureWithSeverities(t, Sev3), fixtureWithProposal(t, Sev3, Sev4)
	into.inc.ID = 8
	if _, theirs, err = DecideMerge(Command{Verb: VerbMerge}, from.inc, into.inc, responderEnv(from)); err != nil {
		t.Fatal(err)
	}
	if into.commit(theirs); into.inc.Severity != Sev3 || into.inc.SeverityProposal == nil {
		t.Errorf("got %s and %+v, want sev3 and the open proposal", into.inc.Severity, into.inc.SeverityProposal)
	}
	// A dismissal and its reopening leave no proposal that nobody can answer.
	w := fixtureWithProposal(t, Sev3, Sev4)
	w.must("eng2", dismissCommand)
	w.must("sec1", dismissCommand)
	w.must("eng2", Command{Verb: VerbReopen, Text: "it is real"})
	if w.inc.SeverityProposal != nil {
		t.Errorf("reopened: got %+v, want no proposal", w.inc.SeverityProposal)
	}
}

func TestOpen_StoresTheCanonicalSeverity(t *testing.T) {
	w := newFixture(t)
	if w.must("eng1", Command{Verb: VerbOpen, Title: "x", Severity: "SEV-2"}); w.inc.Severity != Sev2 {
		t.Errorf("got %q, want sev2", w.inc.Severity)
	}
}

func TestPagingCovers(t *testing.T) {
	for _, c := range []struct {
		by   PersonID
		at   Severity
		to   Severity
		want bool
	}{{"eng1", Sev2, Sev2, true}, {"eng1", Sev2, Sev3, true}, {"eng1", Sev2, Sev1, false}, {"", Sev2, Sev2, false}} {
		if got := (Paging{AcknowledgedBy: c.by, AcknowledgedSeverity: c.at}).covers(c.to); got != c.want {
			t.Errorf("acknowledged by %q at %s: got %s covered %t, want %t", c.by, c.at, c.to, got, c.want)
		}
	}
}

// TestRaiseByAlert_OnlyAlertsPropose raises the severity that a person lowered.
func TestRaiseByAlert_OnlyAlertsPropose(t *testing.T) {
	for verb, want := range map[Verb]EventKind{VerbAttach: EventSeverityProposed, VerbPromote: EventSeveritySet, VerbMerge: EventSeveritySet} {
		d := newDecider(Command{Verb: verb, Severity: Sev2}, Incident{Status: Active, Severity: Sev4, LoweredFrom: Sev2}, Env{Now: start})
		if err := d.raiseByAlert(AlertRef{Alert: 1, Kind: "root.login"}); err != nil || len(d.events) == 0 || d.events[0].Kind != want {
			t.Errorf("%s: got %+v, %v, want %s", verb, d.events, err, want)
		}
	}
}

// TestSeverityProposal_KeepsTheEarlierDeadline requires that neither proposal gets
// more time, and that a merge proposes nothing less severe.
func TestSeverityProposal_KeepsTheEarlierDeadline(t *testing.T) {
	for _, c := range []struct{ present, next, want time.Duration }{{time.Minute, time.Hour, time.Minute}, {time.Hour, time.Minute, time.Minute}} {
		d := newDecider(Command{Verb: VerbAttach}, Incident{Severity: Sev4, SeverityProposal: &SeverityProposal{Severity: Sev3, Until: start.Add(c.present)}}, Env{Now: start})
		d.proposeSeverity(SeverityProposal{Severity: Sev1, Until: start.Add(c.next)})
		if len(d.events) != 1 || d.events[0].Field("until") != instant(start.Add(c.want)) {
			t.Errorf("%v then %v: got %+v, want the deadline after %v", c.present, c.next, d.events, c.want)
		}
	}
	alerts := []AlertRef{{Alert: 5}}
	for target, want := range map[Severity]int{Sev1: 0, Sev2: 0, Sev3: 1} {
		d := newDecider(Command{Verb: VerbMerge}, Incident{Severity: target, Alerts: alerts}, Env{Now: start})
		if d.inheritProposal(Incident{SeverityProposal: &SeverityProposal{Severity: Sev2, Alert: 5}}); len(d.events) != want {
			t.Errorf("merged into %s: got %d proposals of sev2, want %d", target, len(d.events), want)
		}
	}
}

func TestApplySeverity_PeaksAndAcknowledgement(t *testing.T) {
	for _, c := range []struct {
		by     PersonID
		at, to Severity
		want   Severity
	}{{"eng1", Sev3, Sev2, Sev2}, {"eng1", Sev2, Sev3, Sev2}, {"eng1", "", Sev2, ""}, {"", Sev3, Sev2, Sev3}} {
		inc := Incident{Severity: Sev3, Paging: Paging{AcknowledgedBy: c.by, AcknowledgedSeverity: c.at}}
		if inc.applySeverity(c.to); inc.Paging.AcknowledgedSeverity != c.want {
			t.Errorf("by %q at %q, set to %s: got acknowledged at %q, want %q", c.by, c.at, c.to, inc.Paging.AcknowledgedSeverity, c.want)
		}
	}
	set := func(by PersonID, s Severity) Event {
		return Event{By: by, Fields: map[string]string{"severity": string(s)}}
	}
	inc := Incident{Severity: Sev1, PeakSeverity: Sev1}
	inc.applySeveritySet(set("eng1", Sev3))
	if inc.applySeveritySet(set("eng1", Sev4)); inc.LoweredFrom != Sev1 {
		t.Errorf("lowered twice: got lowered from %q, want sev1", inc.LoweredFrom)
	}
	proposal := Event{Fields: map[string]string{"severity": "sev2", "alert": "1", "until": instant(start)}}
	if inc.applySeverityProposed(proposal); inc.PeakSeverity != Sev1 || inc.SeverityProposal == nil {
		t.Errorf("got peak %s, want sev1 after a proposal of sev2", inc.PeakSeverity)
	}
	if inc.applySeveritySet(set("eng1", Sev2)); inc.SeverityProposal != nil {
		t.Error("got a proposal of sev2 in an incident of sev2, want none")
	}
	if inc.applySeveritySet(set("", Sev2)); inc.LoweredFrom != "" {
		t.Errorf("raised by the bot: got lowered from %q, want nothing", inc.LoweredFrom)
	}
}
