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

// alerts are references with the store's ids given.
func alerts(ids ...int64) []AlertRef {
	out := make([]AlertRef, len(ids))
	for n, id := range ids {
		out[n] = AlertRef{Alert: id, Kind: "sentry.issue", Title: fmt.Sprint("alert ", id), At: start}
	}
	return out
}

// splitOff splits and returns the world of the new incident.
func (w *world) splitOff(id ID, env Env, cmd Command, moved []AlertRef) (*world, error) {
	cmd.Verb, cmd.For, cmd.Via, cmd.Auth = VerbSplit, w.inc.ID, ViaSlack, "test"
	mine, theirs, err := DecideSplit(cmd, w.inc, New(id), moved, env)
	if err != nil {
		return nil, err
	}
	other := newWorld(w.t)
	other.inc, other.now = New(id), w.now
	w.commit(mine)
	other.commit(theirs)
	return other, nil
}

func TestSplitInEveryStatus(t *testing.T) {
	const want = "t a c r r - - - -" // where the source stands afterwards
	for n, status := range Statuses() {
		w := given(t, status)
		before, history := w.inc, len(w.events)
		other, err := w.splitOff(99, splitEnv(w), Command{Title: "another key", Text: "another account"}, w.inc.Alerts)
		cell := strings.Fields(want)[n]
		if cell == "-" {
			reason := strings.ReplaceAll(string(status), "_", " ") + ", so split is not possible"
			if status == Merged {
				reason = "was merged into INC-8"
			}
			if CodeOf(err) != CodeConflict || !strings.Contains(err.Error(), reason) {
				t.Errorf("%s: %v", status, err)
			}
			continue
		}
		if err != nil || w.inc.Status != letters[cell] || len(w.inc.Alerts) != 0 || w.inc.Submission != nil || len(w.inc.Signatures) != 0 {
			t.Errorf("%s: %v, then %s with %d alerts", status, err, w.inc.Status, len(w.inc.Alerts))
			continue
		}
		e := w.events[history]
		if e.Kind != EventSplitInto || e.Field("target") != "INC-99" || e.Field("alerts") != "1" || e.Text("reason") != "another account" || e.By != "eng1" {
			t.Errorf("%s: the source's timeline says %+v", status, e)
		}
		if o := other.inc; o.Status != Triage || o.Severity != before.Severity || !o.Restricted || o.OpenedBy != "eng1" || o.SplitFrom != before.ID ||
			fmt.Sprint(o.Alerts) != fmt.Sprint(before.Alerts) || !o.NeedsPage() || o.LegalHold != nil || o.Commander != "" {
			t.Errorf("%s: the new incident is %+v", status, o)
		}
		last := other.events[len(other.events)-1]
		if last.Kind != EventSplitFrom || last.Field("source") != "INC-7" || last.Text("reason") != "another account" {
			t.Errorf("%s: the new timeline ends with %+v", status, last)
		}
	}
}

func TestSplitGuards(t *testing.T) {
	env := func(w *world, change func(*Env)) Env { e := splitEnv(w); change(&e); return e }
	asks := Command{Title: "another key"}
	for name, c := range map[string]struct {
		change func(*Env)
		cmd    Command
		moved  []AlertRef
		code   Code
		field  string
		says   string
	}{
		"nobody the configuration knows": {func(e *Env) { e.Actor = "" }, asks, alerts(1), CodeForbidden, "", "nobody the configuration knows"},
		"the bot":                        {func(e *Env) { e.Actor, e.System = "", true }, asks, alerts(1), CodeForbidden, "", "for a person to say"},
		"somebody who may not read it":   {func(e *Env) { e.Actor = "pay1" }, asks, alerts(1), CodeForbidden, "", "is restricted"},
		"somebody who only reads":        {func(e *Env) { e.Actor = "out1" }, asks, alerts(1), CodeForbidden, "", "only responders"},
		"no alert":                       {func(*Env) {}, asks, nil, CodeInvalid, "alerts", "split INC-7 alerts"},
		"no title":                       {func(*Env) {}, Command{Title: " \n"}, alerts(1), CodeInvalid, "title", "what happened"},
		"a title too long":               {func(*Env) {}, Command{Title: strings.Repeat("x", MaxTitle+1)}, alerts(1), CodeInvalid, "title", "201 characters"},
		"a reason too long":              {func(*Env) {}, Command{Title: "x", Text: strings.Repeat("x", MaxText+1)}, alerts(1), CodeInvalid, "text", "characters"},
		"a severity that is none":        {func(*Env) {}, Command{Title: "x", Severity: "sev9"}, alerts(1), CodeInvalid, "severity", "sev9"},
		"a date to come":                 {func(*Env) {}, Command{Title: "x", HappenedAt: start.AddDate(1, 0, 0)}, alerts(1), CodeInvalid, "happened_at", "future"},
	} {
		w := given(t, Active)
		w.must("eng1", Command{Verb: VerbGrant, Person: "out1", Text: "owns the table"})
		_, err := w.splitOff(99, env(w, c.change), c.cmd, c.moved)
		var e *Error
		if CodeOf(err) != c.code || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		} else if !errors.As(err, &e) || e.Field != c.field {
			t.Errorf("%s: the error does not name %q: %v", name, c.field, err)
		}
	}
}

// What is restricted stays restricted, whoever asks for what.
func TestSplitDoesNotPublish(t *testing.T) {
	for _, open := range []bool{false, true} {
		for _, asks := range []bool{false, true} {
			w := given(t, Active)
			if open {
				w.must("eng1", Command{Verb: VerbRestrict, Public: true})
			}
			other, err := w.splitOff(99, splitEnv(w), Command{Title: "x", Public: asks}, w.inc.Alerts)
			if err != nil || other.inc.Restricted == open {
				t.Errorf("source open %t, asked for public %t: restricted %t, %v", open, asks, other.inc.Restricted, err)
			}
		}
	}
}

func TestSplitTakesTheWorstAlong(t *testing.T) {
	for _, p := range []PersonalData{PersonalUnknown, PersonalNo, PersonalSuspected, PersonalConfirmed} {
		w := given(t, Active)
		w.inc.Facts.PersonalData = p
		other, err := w.splitOff(99, splitEnv(w), Command{Title: "x", Severity: Sev4}, w.inc.Alerts)
		if err != nil {
			t.Fatal(err)
		}
		want, called := p, 3
		if p == PersonalNo || p == PersonalUnknown { // of the new one nothing is known
			want, called = PersonalUnknown, 0
		}
		if other.inc.Facts.PersonalData != want || len(other.inc.InvolvedDepartments) != called || other.inc.Severity != Sev4 || other.inc.PeakSeverity != Sev2 {
			t.Errorf("%s: %s, called %v, %s, was %s", p, other.inc.Facts.PersonalData, other.inc.InvolvedDepartments, other.inc.Severity, other.inc.PeakSeverity)
		}
	}
	w := given(t, Active)
	w.must("sec1", Command{Verb: VerbSetLegalHold, Text: "the regulator asked"})
	other, err := w.splitOff(99, splitEnv(w), Command{Title: "x"}, w.inc.Alerts)
	if err != nil || other.inc.LegalHold == nil || other.inc.LegalHold.Reason != "the regulator asked" || w.inc.LegalHold == nil {
		t.Errorf("%v: a split lost the hold: %+v, %+v", err, other.inc.LegalHold, w.inc.LegalHold)
	}
	w.inc.LegalHold.Reason = "" // erased
	if other, err = w.splitOff(100, splitEnv(w), Command{Title: "x"}, alerts(1)); err != nil || other.inc.LegalHold == nil || other.inc.LegalHold.Reason != "split from INC-7" {
		t.Errorf("%v: a hold whose reason is gone: %+v", err, other.inc.LegalHold)
	}
}

func TestPromoteInEveryStatus(t *testing.T) {
	for _, status := range Statuses() {
		promote := Command{Verb: VerbPromote, Alert: &alerts(5)[0]}
		w := given(t, status)
		w.refused("", promote, CodeForbidden)
		if !status.Live() {
			w.refused("eng1", promote, CodeConflict)
			continue
		}
		w.refused("leg1", promote, CodeForbidden)
		w.refused("pay1", promote, CodeForbidden)
		w.must("eng1", promote)
		if n := len(w.inc.Alerts); w.inc.Alerts[n-1].Alert != 5 || w.inc.Status == InReview {
			t.Errorf("%s: %+v in %s", status, w.inc.Alerts, w.inc.Status)
		}
		if events, err := w.as("sec1", promote); err != nil || len(events) > 0 {
			t.Errorf("%s: promoted again: %d events, %v", status, len(events), err)
		}
	}
	w := given(t, InReview) // of a kind that was signed: one more of the same
	w.must("eng1", Command{Verb: VerbPromote, Alert: &AlertRef{Alert: 6, Kind: "cloudtrail.StopLogging", Title: "again"}})
	if w.inc.Status != InReview {
		t.Errorf("one more of a known kind leads to %s", w.inc.Status)
	}
	w.refused("eng1", Command{Verb: VerbPromote}, CodeInvalid)
	w.inc.Restricted = false
	w.refused("leg1", Command{Verb: VerbPromote, Alert: &alerts(7)[0]}, CodeForbidden)
	w.must("eng1", Command{Verb: VerbPromote, Alert: &alerts(7)[0], Severity: Sev1})
	if w.inc.Severity != Sev1 {
		t.Errorf("promoted at sev1, it is %s", w.inc.Severity)
	}
	w.must("eng1", Command{Verb: VerbPromote, Alert: &alerts(8)[0], Severity: Sev4})
	if w.inc.Severity != Sev1 {
		t.Errorf("a milder alert makes it %s", w.inc.Severity)
	}
}

func TestHoldInEveryStatus(t *testing.T) {
	for _, status := range Statuses() {
		w := given(t, status)
		w.inc.Restricted = false
		hold, release := Command{Verb: VerbSetLegalHold, Text: "the regulator asked"}, Command{Verb: VerbReleaseLegalHold, Text: "it is settled"}
		if status == Merged {
			w.refused("leg1", hold, CodeConflict)    // its alerts are elsewhere, and so is what a hold keeps
			w.inc.LegalHold = &LegalHold{By: "leg1"} // from before
			w.must("leg1", release)
			continue
		}
		for _, p := range []PersonID{"eng1", "com1", "pay1"} {
			w.refused(p, hold, CodeForbidden)
		}
		w.refused("", hold, CodeForbidden)
		w.refused("leg1", Command{Verb: VerbSetLegalHold, Text: " "}, CodeInvalid)
		for _, p := range []PersonID{"leg1", "leg2", "sec1"} {
			if events, err := w.as(p, release); err != nil || len(events) > 0 {
				t.Errorf("%s: released what is not held: %v", status, err)
			}
			w.must(p, hold)
			if h := w.inc.LegalHold; h == nil || h.By != p || h.Reason != hold.Text || w.inc.Status != status {
				t.Errorf("%s: %+v in %s", status, h, w.inc.Status)
			}
			if events, err := w.as("sec2", hold); err != nil || len(events) > 0 {
				t.Errorf("%s: held twice: %v", status, err)
			}
			w.refused("eng1", release, CodeForbidden)
			w.refused("leg2", Command{Verb: VerbReleaseLegalHold}, CodeInvalid)
			if w.inc.LegalHold == nil {
				t.Errorf("%s: a refused release took the hold", status)
			}
			w.must("sec1", release)
			if w.inc.LegalHold != nil || w.inc.Status != status {
				t.Errorf("%s: still held, or %s", status, w.inc.Status)
			}
		}
	}
}

func TestHoldSurvivesAMerge(t *testing.T) {
	held := func(id ID, reason string) *world {
		w := given(t, Active)
		if w.inc.ID = id; reason != "" {
			w.must("sec1", Command{Verb: VerbSetLegalHold, Text: reason})
		}
		return w
	}
	for _, c := range []struct{ source, target, want string }{
		{"", "", ""}, {"a", "", "a"}, {"", "b", "b"}, {"a", "b", "b; INC-7: a"},
	} {
		from, into := held(7, c.source), held(8, c.target)
		mine, theirs, err := DecideMerge(Command{Verb: VerbMerge}, from.inc, into.inc, splitEnv(from))
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
			t.Errorf("held for %q merged into one held for %q: held for %q", c.source, c.target, got)
		}
	}
}

func TestWhoMayMerge(t *testing.T) {
	for p, code := range map[PersonID]Code{"eng1": "", "sec1": "", "leg1": CodeForbidden, "out1": CodeForbidden, "": CodeForbidden} {
		from, into := given(t, Triage), given(t, Resolved) // nobody is paged for it any more
		into.inc.ID = 8
		from.inc.Restricted, into.inc.Restricted = false, false
		env := splitEnv(from)
		env.Actor = p
		if _, _, err := DecideMerge(Command{Verb: VerbMerge}, from.inc, into.inc, env); CodeOf(err) != code {
			t.Errorf("%s: %v", p, err)
		}
	}
	from, into := given(t, Active), given(t, Active)
	from.dir.People[4].Responder = false // security that does not respond
	into.inc.ID = 8
	from.inc.Restricted, into.inc.Restricted = false, false
	env := splitEnv(from)
	if env.Actor = "sec1"; env.Directory.People[4].ID != "sec1" {
		t.Fatal(env.Directory.People[4].ID)
	}
	if _, _, err := DecideMerge(Command{Verb: VerbMerge}, from.inc, into.inc, env); err != nil {
		t.Error(err)
	}
}

// TestMergeAndSplitLoseNothing throws merges, splits and what bears on them at a
// few incidents: no alert is lost or in two places, both histories stay whole,
// and neither a hold, nor a restriction, nor what makes an incident grave is
// lost on the way.
func TestMergeAndSplitLoseNothing(t *testing.T) {
	runs, merges, splits := 0, 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		runs++
		all := map[ID]*world{}
		next := int64(0)
		now := start
		for id := ID(1); id <= 3; id++ {
			w := newWorld(rt)
			w.inc = New(id)
			next++
			severity := rapid.SampledFrom(Severities()).Draw(rt, "severity")
			w.must("", Command{Verb: VerbOpen, Title: "x", Severity: severity, Public: rapid.Bool().Draw(rt, "public"), Alert: &alerts(next)[0]})
			all[id] = w
		}
		pick := func(name string) *world { return all[rapid.SampledFrom(slices.Sorted(maps.Keys(all))).Draw(rt, name)] }
		for range rapid.IntRange(5, 40).Draw(rt, "commands") {
			now = now.Add(time.Minute)
			w := pick("for")
			w.now = now
			before := w.inc
			switch rapid.SampledFrom([]string{"merge", "merge", "split", "split", "attach", "say"}).Draw(rt, "what") {
			case "merge":
				into := pick("into")
				into.now = now
				taken, was := len(w.inc.Alerts), into.inc
				env := splitEnv(w)
				env.Actor = rapid.SampledFrom([]PersonID{"eng1", "sec1", "out1"}).Draw(rt, "by")
				mine, theirs, err := DecideMerge(Command{Verb: VerbMerge, For: w.inc.ID, Target: into.inc.ID}, w.inc, into.inc, env)
				if err != nil && (len(mine)+len(theirs) > 0 || CodeOf(err) == "") {
					rt.Fatalf("refused with events: %v", err)
				}
				if len(mine) == 0 {
					continue
				}
				merges++
				w.commit(mine)
				into.commit(theirs)
				inherits(rt, before, into.inc)
				if len(into.inc.Alerts) != len(was.Alerts)+taken || len(w.inc.Alerts) != taken || was.LegalHold != nil && into.inc.LegalHold == nil || was.Severity.MoreSevereThan(into.inc.Severity) {
					rt.Fatalf("%d and %d alerts make %d; held %v, %s", len(was.Alerts), taken, len(into.inc.Alerts), into.inc.LegalHold, into.inc.Severity)
				}
			case "split":
				if len(w.inc.Alerts) == 0 {
					continue
				}
				moved := []AlertRef{rapid.SampledFrom(w.inc.Alerts).Draw(rt, "alert")}
				cmd := Command{Title: "y", Public: rapid.Bool().Draw(rt, "asks"), Severity: rapid.SampledFrom(append(Severities(), "")).Draw(rt, "severity")}
				id := ID(len(all) + 1)
				if other, err := w.splitOff(id, splitEnv(w), cmd, moved); err == nil {
					splits++
					all[id] = other
					inherits(rt, before, other.inc)
				}
			case "attach":
				next++
				_, _ = w.as("", Command{Verb: VerbAttach, Alert: &alerts(next)[0]})
				if !slices.ContainsFunc(w.inc.Alerts, func(a AlertRef) bool { return a.Alert == next }) {
					next--
				}
			case "say":
				by := rapid.SampledFrom([]PersonID{"eng1", "sec1"}).Draw(rt, "by")
				cmd := Command{Verb: rapid.SampledFrom([]Verb{VerbAcknowledge, VerbContain, VerbResolve, VerbSetLegalHold, VerbReleaseLegalHold, VerbRestrict, VerbSetSeverity, VerbSetFact, VerbDismiss,
					VerbSubmit}).Draw(rt, "verb"), Text: "because", Public: rapid.Bool().Draw(rt, "public"), Severity: rapid.SampledFrom(Severities()).Draw(rt, "severity"), Record: fullRecord}
				if cmd.Verb == VerbSetFact {
					cmd.Fact = &FactChange{Name: FactPersonalData, Value: rapid.SampledFrom([]string{"no", "suspected", "confirmed"}).Draw(rt, "data")}
				}
				_, _ = w.as(by, cmd)
			}
		}
		where := map[int64][]ID{}
		for id, w := range all {
			sameIncident(rt, w.inc, Fold(id, w.events))
			if faults := Verify(id, w.events, w.inc.Head); len(faults) > 0 {
				rt.Fatalf("the chain of %s: %v", id, faults)
			}
			for _, a := range w.inc.Alerts {
				if w.inc.Status != Merged { // it keeps its own history, and the alerts go on elsewhere
					where[a.Alert] = append(where[a.Alert], id)
				}
			}
		}
		for id := int64(1); id <= next; id++ {
			if len(where[id]) != 1 {
				rt.Fatalf("alert %d of %d is in %v", id, next, where[id])
			}
		}
	})
	t.Logf("%d merges, %d splits in %d runs", merges, splits, runs)
	if !t.Failed() && (merges*2 < runs || splits < runs) {
		t.Error("too few of them: the test proves too little")
	}
}

// inherits checks what an incident that took over alerts has of the one they were in.
func inherits(t tester, from, to Incident) {
	t.Helper()
	was := from.PeakSeverity
	if from.Severity.MoreSevereThan(was) {
		was = from.Severity
	}
	switch {
	case from.Restricted && !to.Restricted:
		t.Fatalf("%s is restricted and went on in the open", from.ID)
	case from.LegalHold != nil && to.LegalHold == nil:
		t.Fatalf("the hold of %s is lost", from.ID)
	case was.MoreSevereThan(to.PeakSeverity):
		t.Fatalf("%s was %s, and where it goes on it is %s", from.ID, was, to.PeakSeverity)
	case !from.ContainedAt.IsZero() && to.ContainedAt.IsZero():
		t.Fatalf("%s was contained, and that is lost", from.ID)
	case from.Facts.PersonalData.moreSeriousThan(to.Facts.PersonalData):
		t.Fatalf("personal data: %s became %s", from.Facts.PersonalData, to.Facts.PersonalData)
	case from.dismissalNeedsSecurity() && !to.dismissalNeedsSecurity():
		t.Fatalf("%s took two people to dismiss, and where it goes on one will do", from.ID)
	}
	if len(from.Alerts) > 0 && len(to.Alerts) == 0 || !slices.Contains(to.MergedFrom, from.ID) && to.SplitFrom != from.ID {
		t.Fatalf("where its alerts come from is lost: %s", strconv.Quote(to.ID.String()))
	}
}
