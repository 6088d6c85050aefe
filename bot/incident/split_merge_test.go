package incident

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// alertRefs returns references to alerts with the ids.
func alertRefs(ids ...int64) []AlertRef {
	out := make([]AlertRef, len(ids))
	for n, id := range ids {
		out[n] = AlertRef{Alert: id, Kind: "sentry.issue", Title: fmt.Sprint("alert ", id), At: start}
	}
	return out
}

// split moves alerts to a new incident and returns its fixture.
func (w *fixture) split(id ID, env Env, cmd Command, moved []AlertRef) (*fixture, error) {
	cmd.Verb, cmd.For, cmd.Via, cmd.Auth = VerbSplit, w.inc.ID, ViaSlack, "test"
	mine, theirs, err := DecideSplit(cmd, w.inc, New(id), moved, env)
	if err != nil {
		return nil, err
	}
	other := newFixture(w.t)
	other.inc, other.now = New(id), w.now
	w.commit(mine)
	other.commit(theirs)
	return other, nil
}

func TestSplit_EveryStatus(t *testing.T) {
	const want = "t a c r r - - - -" // status of the source afterwards
	for n, status := range Statuses() {
		w := fixtureIn(t, status)
		before, history := w.inc, len(w.events)
		other, err := w.split(99, responderEnv(w), Command{Title: "another key", Text: "another account"}, w.inc.Alerts)
		cell := strings.Fields(want)[n]
		if cell == "-" {
			reason := strings.ReplaceAll(string(status), "_", " ") + ", so split is not possible"
			if status == Merged {
				reason = "was merged into INC-8"
			}
			if CodeOf(err) != CodeConflict || !strings.Contains(err.Error(), reason) {
				t.Errorf("%s: got %v, want %q", status, err, reason)
			}
			continue
		}
		if err != nil || w.inc.Status != statusLetters[cell] || len(w.inc.Alerts) != 0 || w.inc.Submission != nil || len(w.inc.Signatures) != 0 {
			t.Errorf("%s: got %v, then source %s with %d alerts, want none", status, err, w.inc.Status, len(w.inc.Alerts))
			continue
		}
		e := w.events[history]
		if e.Kind != EventSplitInto || e.Field("target") != "INC-99" || e.Field("alerts") != "1" || e.Text("reason") != "another account" || e.By != "eng1" {
			t.Errorf("%s: got source event %+v, want the split", status, e)
		}
		if o := other.inc; o.Status != Triage || o.Severity != before.Severity || !o.Restricted || o.OpenedBy != "eng1" || o.SplitFrom != before.ID ||
			fmt.Sprint(o.Alerts) != fmt.Sprint(before.Alerts) || !o.NeedsPage() || o.LegalHold != nil || o.Commander != "" {
			t.Errorf("%s: got new incident %+v, want an unacknowledged copy in triage", status, o)
		}
		last := other.events[len(other.events)-1]
		if last.Kind != EventSplitFrom || last.Field("source") != "INC-7" || last.Text("reason") != "another account" {
			t.Errorf("%s: got last event %+v, want the origin", status, last)
		}
	}
}

func TestSplit_Errors(t *testing.T) {
	env := func(w *fixture, change func(*Env)) Env { e := responderEnv(w); change(&e); return e }
	split := Command{Title: "another key"}
	for name, c := range map[string]struct {
		change func(*Env)
		cmd    Command
		moved  []AlertRef
		code   Code
		field  string
		text   string
	}{
		"unknown identity":        {func(e *Env) { e.Actor = "" }, split, alertRefs(1), CodeForbidden, "", "is not linked to a person"},
		"the bot":                 {func(e *Env) { e.Actor, e.System = "", true }, split, alertRefs(1), CodeForbidden, "", "the bot may not use"},
		"no read access":          {func(e *Env) { e.Actor = "pay1" }, split, alertRefs(1), CodeUnknown, "incident", "you may not read it"},
		"reader, not a responder": {func(e *Env) { e.Actor = "out1" }, split, alertRefs(1), CodeForbidden, "", "is for responders"},
		"no alert":                {func(*Env) {}, split, nil, CodeInvalid, "alerts", "split INC-7 alerts"},
		"no title":                {func(*Env) {}, Command{Title: " \n"}, alertRefs(1), CodeInvalid, "title", "Describe the incident in one line"},
		"title too long":          {func(*Env) {}, Command{Title: strings.Repeat("x", MaxTitle+1)}, alertRefs(1), CodeInvalid, "title", "201 characters"},
		"reason too long":         {func(*Env) {}, Command{Title: "x", Text: strings.Repeat("x", MaxText+1)}, alertRefs(1), CodeInvalid, "text", "characters"},
		"invalid severity":        {func(*Env) {}, Command{Title: "x", Severity: "sev9"}, alertRefs(1), CodeInvalid, "severity", "sev9"},
		"future date":             {func(*Env) {}, Command{Title: "x", HappenedAt: start.AddDate(1, 0, 0)}, alertRefs(1), CodeInvalid, "happened_at", "future"},
	} {
		w := fixtureIn(t, Active)
		w.must("eng1", Command{Verb: VerbGrant, Person: "out1", Text: "owns the table"})
		_, err := w.split(99, env(w, c.change), c.cmd, c.moved)
		var e *Error
		if CodeOf(err) != c.code || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: got %v, want code %s and %q", name, err, c.code, c.text)
		} else if !errors.As(err, &e) || e.Field != c.field {
			t.Errorf("%s: got %v, want field %q", name, err, c.field)
		}
	}
}

func TestSplit_KeepsRestriction(t *testing.T) {
	for _, open := range []bool{false, true} {
		for _, public := range []bool{false, true} {
			w := fixtureIn(t, Active)
			if open {
				w.must("eng1", Command{Verb: VerbRestrict, Public: true})
			}
			other, err := w.split(99, responderEnv(w), Command{Title: "x", Public: public}, w.inc.Alerts)
			if err != nil || other.inc.Restricted == open {
				t.Errorf("source public %t, command public %t: got restricted %t, %v", open, public, other.inc.Restricted, err)
			}
		}
	}
}

func TestSplit_InheritsPersonalDataAndLegalHold(t *testing.T) {
	for _, p := range []PersonalData{PersonalUnknown, PersonalNo, PersonalSuspected, PersonalConfirmed} {
		w := fixtureIn(t, Active)
		w.inc.Facts.PersonalData = p
		other, err := w.split(99, responderEnv(w), Command{Title: "x", Severity: Sev4}, w.inc.Alerts)
		if err != nil {
			t.Fatal(err)
		}
		want, involved := p, 3
		if p == PersonalNo || p == PersonalUnknown { // not established for the new incident
			want, involved = PersonalUnknown, 0
		}
		if other.inc.Facts.PersonalData != want || len(other.inc.InvolvedDepartments) != involved || other.inc.Severity != Sev4 || other.inc.PeakSeverity != Sev2 {
			t.Errorf("%s: got %s, involved %v, %s, peak %s", p, other.inc.Facts.PersonalData, other.inc.InvolvedDepartments, other.inc.Severity, other.inc.PeakSeverity)
		}
	}
	w := fixtureIn(t, Active)
	w.must("sec1", Command{Verb: VerbSetLegalHold, Text: "the regulator asked"})
	other, err := w.split(99, responderEnv(w), Command{Title: "x"}, w.inc.Alerts)
	if err != nil || other.inc.LegalHold == nil || other.inc.LegalHold.Reason != "the regulator asked" || w.inc.LegalHold == nil {
		t.Errorf("got %v and legal holds %+v, %+v, want both held", err, other.inc.LegalHold, w.inc.LegalHold)
	}
	w.inc.LegalHold.Reason = "" // erased
	if other, err = w.split(100, responderEnv(w), Command{Title: "x"}, alertRefs(1)); err != nil || other.inc.LegalHold == nil || other.inc.LegalHold.Reason != "split from INC-7" {
		t.Errorf("hold with an erased reason: got %v and %+v, want reason split from INC-7", err, other.inc.LegalHold)
	}
}

func TestPromote_EveryStatus(t *testing.T) {
	for _, status := range Statuses() {
		promote := Command{Verb: VerbPromote, Alert: &alertRefs(5)[0]}
		w := fixtureIn(t, status)
		w.mustFail("", promote, CodeForbidden)
		if !status.Live() {
			w.mustFail("eng1", promote, CodeConflict)
			continue
		}
		w.inc.Restricted = false
		w.mustFail("leg1", promote, CodeForbidden)
		w.mustFail("pay1", promote, CodeForbidden)
		w.must("eng1", promote)
		if n := len(w.inc.Alerts); w.inc.Alerts[n-1].Alert != 5 || w.inc.Status == InReview {
			t.Errorf("%s: got %+v in %s, want alert 5 attached", status, w.inc.Alerts, w.inc.Status)
		}
		if events, err := w.decideAs("sec1", promote); err != nil || len(events) > 0 {
			t.Errorf("%s: second promotion: got %d events, %v, want none", status, len(events), err)
		}
	}
	w := fixtureIn(t, InReview) // an alert of a signed kind
	w.must("eng1", Command{Verb: VerbPromote, Alert: &AlertRef{Alert: 6, Kind: "cloudtrail.StopLogging", Title: "again"}})
	if w.inc.Status != InReview {
		t.Errorf("alert of a known kind: got status %s, want in_review", w.inc.Status)
	}
	w.mustFail("eng1", Command{Verb: VerbPromote}, CodeInvalid)
	w.inc.Restricted = false
	w.mustFail("leg1", Command{Verb: VerbPromote, Alert: &alertRefs(7)[0]}, CodeForbidden)
	w.must("eng1", Command{Verb: VerbPromote, Alert: &alertRefs(7)[0], Severity: Sev1})
	if w.inc.Severity != Sev1 {
		t.Errorf("promoted at sev1: got %s", w.inc.Severity)
	}
	w.must("eng1", Command{Verb: VerbPromote, Alert: &alertRefs(8)[0], Severity: Sev4})
	if w.inc.Severity != Sev1 {
		t.Errorf("promoted at sev4: got %s, want sev1", w.inc.Severity)
	}
}

func TestLegalHold_EveryStatus(t *testing.T) {
	for _, status := range Statuses() {
		w := fixtureIn(t, status)
		w.inc.Restricted = false
		hold, release := Command{Verb: VerbSetLegalHold, Text: "the regulator asked"}, Command{Verb: VerbReleaseLegalHold, Text: "the case is closed"}
		if status == Merged {
			w.mustFail("leg1", hold, CodeConflict)   // its alerts are in the target
			w.inc.LegalHold = &LegalHold{By: "leg1"} // set before the merge
			w.must("leg1", release)
			continue
		}
		for _, p := range []PersonID{"eng1", "com1", "pay1"} {
			w.mustFail(p, hold, CodeForbidden)
		}
		w.mustFail("", hold, CodeForbidden)
		w.mustFail("leg1", Command{Verb: VerbSetLegalHold, Text: " "}, CodeInvalid)
		for _, p := range []PersonID{"leg1", "leg2", "sec1"} {
			if events, err := w.decideAs(p, release); err != nil || len(events) > 0 {
				t.Errorf("%s: release without a hold: got %v, want no events", status, err)
			}
			w.must(p, hold)
			if h := w.inc.LegalHold; h == nil || h.By != p || h.Reason != hold.Text || w.inc.Status != status {
				t.Errorf("%s: got %+v in %s, want the hold", status, h, w.inc.Status)
			}
			if events, err := w.decideAs("sec2", hold); err != nil || len(events) > 0 {
				t.Errorf("%s: second hold: got %v, want no events", status, err)
			}
			w.mustFail("eng1", release, CodeForbidden)
			w.mustFail("leg2", Command{Verb: VerbReleaseLegalHold}, CodeInvalid)
			if w.inc.LegalHold == nil {
				t.Errorf("%s: a rejected release removed the hold", status)
			}
			w.must("sec1", release)
			if w.inc.LegalHold != nil || w.inc.Status != status {
				t.Errorf("%s: got a hold or status %s, want neither changed", status, w.inc.Status)
			}
		}
	}
}

func TestMerge_CombinesLegalHolds(t *testing.T) {
	held := func(id ID, reason string) *fixture {
		w := fixtureIn(t, Active)
		if w.inc.ID = id; reason != "" {
			w.must("sec1", Command{Verb: VerbSetLegalHold, Text: reason})
		}
		return w
	}
	for _, c := range []struct{ source, target, want string }{
		{"", "", ""}, {"a", "", "a"}, {"", "b", "b"}, {"a", "b", "b; INC-7: a"},
	} {
		from, into := held(7, c.source), held(8, c.target)
		mine, theirs, err := DecideMerge(Command{Verb: VerbMerge}, from.inc, into.inc, responderEnv(from))
		if err != nil {
			t.Fatal(err)
		}
		from.commit(mine)
		into.commit(theirs)
		got := ""
		if into.inc.LegalHold != nil {
			got = into.inc.LegalHold.Reason
		}
		if got != c.want || (from.inc.LegalHold != nil) != (c.source != "") {
			t.Errorf("%q merged into %q: got %q, want %q", c.source, c.target, got, c.want)
		}
	}
}

func TestMerge_RespondersAndSecurity(t *testing.T) {
	for p, code := range map[PersonID]Code{"eng1": "", "sec1": "", "leg1": CodeForbidden, "out1": CodeForbidden, "": CodeForbidden} {
		from, into := fixtureIn(t, Triage), fixtureIn(t, Resolved) // a resolved target is not paged
		into.inc.ID = 8
		from.inc.Restricted, into.inc.Restricted = false, false
		env := responderEnv(from)
		env.Actor = p
		if _, _, err := DecideMerge(Command{Verb: VerbMerge}, from.inc, into.inc, env); CodeOf(err) != code {
			t.Errorf("%s: got %v, want code %q", p, err, code)
		}
	}
	from, into := fixtureIn(t, Active), fixtureIn(t, Active)
	from.dir.People[4].Responder = false // member of security, not a responder
	into.inc.ID = 8
	from.inc.Restricted, into.inc.Restricted = false, false
	env := responderEnv(from)
	if env.Actor = "sec1"; env.Directory.People[4].ID != "sec1" {
		t.Fatal(env.Directory.People[4].ID)
	}
	if _, _, err := DecideMerge(Command{Verb: VerbMerge}, from.inc, into.inc, env); err != nil {
		t.Errorf("merge by security: got %v, want no error", err)
	}
}

// TestMergeAndSplit_LoseNothing gives random commands to a few incidents. Every
// alert must be in exactly one incident, timelines must verify, and legal holds,
// restrictions and peak severities must be inherited.
func TestMergeAndSplit_LoseNothing(t *testing.T) {
	runs, merges, splits := 0, 0, 0
	checkUntil(t, func() bool { return merges > 0 && merges*2 >= runs && splits >= runs }, func(rt *rapid.T) {
		runs++
		all := map[ID]*fixture{}
		next := int64(0)
		now := start
		for id := ID(1); id <= 3; id++ {
			w := newFixture(rt)
			w.inc = New(id)
			next++
			severity := rapid.SampledFrom(Severities()).Draw(rt, "severity")
			w.must("", Command{Verb: VerbOpen, Title: "x", Severity: severity, Public: rapid.Bool().Draw(rt, "public"), Alert: &alertRefs(next)[0]})
			all[id] = w
		}
		pick := func(name string) *fixture {
			return all[rapid.SampledFrom(slices.Sorted(maps.Keys(all))).Draw(rt, name)]
		}
		for range rapid.IntRange(5, 40).Draw(rt, "commands") {
			now = now.Add(time.Minute)
			w := pick("for")
			w.now = now
			before := w.inc
			switch rapid.SampledFrom([]string{"merge", "merge", "split", "split", "attach", "other"}).Draw(rt, "action") {
			case "merge":
				into := pick("into")
				into.now = now
				taken, was := len(w.inc.Alerts), into.inc
				env := responderEnv(w)
				env.Actor = rapid.SampledFrom([]PersonID{"eng1", "sec1", "out1"}).Draw(rt, "by")
				mine, theirs, err := DecideMerge(Command{Verb: VerbMerge, For: w.inc.ID, Target: into.inc.ID}, w.inc, into.inc, env)
				if err != nil && (len(mine)+len(theirs) > 0 || CodeOf(err) == "") {
					rt.Fatalf("got events with error %v", err)
				}
				if len(mine) == 0 {
					continue
				}
				merges++
				w.commit(mine)
				into.commit(theirs)
				requireInherited(rt, before, into.inc)
				if len(into.inc.Alerts) != len(was.Alerts)+taken || len(w.inc.Alerts) != taken || was.LegalHold != nil && into.inc.LegalHold == nil || was.Severity.MoreSevereThan(into.inc.Severity) {
					rt.Fatalf("got %[3]d alerts from %[1]d and %[2]d, legal hold %[4]v, severity %[5]s", len(was.Alerts), taken, len(into.inc.Alerts), into.inc.LegalHold, into.inc.Severity)
				}
			case "split":
				if len(w.inc.Alerts) == 0 {
					continue
				}
				moved := []AlertRef{rapid.SampledFrom(w.inc.Alerts).Draw(rt, "alert")}
				cmd := Command{Title: "y", Public: rapid.Bool().Draw(rt, "split public"), Severity: rapid.SampledFrom(append(Severities(), "")).Draw(rt, "severity")}
				id := ID(len(all) + 1)
				if other, err := w.split(id, responderEnv(w), cmd, moved); err == nil {
					splits++
					all[id] = other
					requireInherited(rt, before, other.inc)
				}
			case "attach":
				next++
				_, _ = w.decideAs("", Command{Verb: VerbAttach, Alert: &alertRefs(next)[0]})
				if !slices.ContainsFunc(w.inc.Alerts, func(a AlertRef) bool { return a.Alert == next }) {
					next--
				}
			case "other":
				by := rapid.SampledFrom([]PersonID{"eng1", "sec1"}).Draw(rt, "by")
				cmd := Command{Verb: rapid.SampledFrom([]Verb{VerbAcknowledge, VerbContain, VerbResolve, VerbSetLegalHold, VerbReleaseLegalHold, VerbRestrict, VerbSetSeverity, VerbSetFact, VerbDismiss,
					VerbSubmit}).Draw(rt, "verb"), Text: "because", Public: rapid.Bool().Draw(rt, "public"), Severity: rapid.SampledFrom(Severities()).Draw(rt, "severity"), Record: fullRecord}
				if cmd.Verb == VerbSetFact {
					cmd.Fact = &FactChange{Name: FactPersonalData, Value: rapid.SampledFrom([]string{"no", "suspected", "confirmed"}).Draw(rt, "data")}
				}
				_, _ = w.decideAs(by, cmd)
			}
		}
		where := map[int64][]ID{}
		for id, w := range all {
			requireEqual(rt, w.inc, Fold(id, w.events))
			if errs := Verify(id, w.events, w.inc.Head); len(errs) > 0 {
				rt.Fatalf("chain of %s: got errors %v, want none", id, errs)
			}
			for _, a := range w.inc.Alerts {
				if w.inc.Status != Merged { // a merged incident lists alerts that are now in its target
					where[a.Alert] = append(where[a.Alert], id)
				}
			}
		}
		for id := int64(1); id <= next; id++ {
			if len(where[id]) != 1 {
				rt.Fatalf("alert %d of %d: got incidents %v, want one", id, next, where[id])
			}
		}
	})
	t.Logf("%d merges, %d splits in %d runs", merges, splits, runs)
}

// requireInherited checks the properties that an incident inherits with alerts.
func requireInherited(t tester, from, to Incident) {
	t.Helper()
	was := from.PeakSeverity
	if from.Severity.MoreSevereThan(was) {
		was = from.Severity
	}
	switch {
	case from.Restricted && !to.Restricted:
		t.Fatalf("%s is restricted and its successor is public", from.ID)
	case from.LegalHold != nil && to.LegalHold == nil:
		t.Fatalf("the legal hold of %s is lost", from.ID)
	case was.MoreSevereThan(to.PeakSeverity):
		t.Fatalf("%s had peak severity %s, its successor has %s", from.ID, was, to.PeakSeverity)
	case !from.ContainedAt.IsZero() && to.ContainedAt.IsZero():
		t.Fatalf("the containment of %s is lost", from.ID)
	case from.Facts.PersonalData.moreSeriousThan(to.Facts.PersonalData):
		t.Fatalf("personal data %s became %s", from.Facts.PersonalData, to.Facts.PersonalData)
	case !from.OneMayDismiss() && to.OneMayDismiss():
		t.Fatalf("%s needed two people to dismiss, its successor needs one", from.ID)
	}
	if len(from.Alerts) > 0 && len(to.Alerts) == 0 || !slices.Contains(to.MergedFrom, from.ID) && to.SplitFrom != from.ID {
		t.Fatalf("%s lost its origin", strconv.Quote(to.ID.String()))
	}
}
